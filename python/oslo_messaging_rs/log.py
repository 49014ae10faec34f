"""What the library says reaches ``logging`` here, from a Python thread.

One thread for each process, made at the first use of a transport.
"""

import logging
import os
import select
import threading

from oslo_messaging_rs import _native
from oslo_messaging_rs import waiting

LOG = logging.getLogger("oslo_messaging_rs")

#: The longest time in which a change of the logger's level is not seen.
_LOOK = 5.0

_process = None


def start():
    """Starts the thread, unless this process has it."""
    global _process
    process = os.getpid()
    if _process == process:
        return
    _process = process
    _native.start_log()
    _native.set_log_level(LOG.getEffectiveLevel())
    threading.Thread(target=_run, name="oslo-messaging-rs-log", daemon=True).start()


def drain():
    """Says what is there, in the calling thread."""
    for level, place, words in _native.take_log():
        place = place.removeprefix("oslo_messaging").replace("::", ".").strip(".")
        logger = LOG.getChild(place) if place else LOG
        logger.log(level, "%s", words)


def _run():
    fileno = _native.log_fileno()
    while True:
        if waiting.is_green():
            waiting.for_readable(fileno, _LOOK)
        else:
            select.select([fileno], [], [], _LOOK)
        _native.set_log_level(LOG.getEffectiveLevel())
        try:
            drain()
        except Exception:
            LOG.exception("The library's log could not be written")
