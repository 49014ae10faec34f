"""Waiting, in threads and under eventlet.

A green thread must not block in a call, and a thread of eventlet's pool is too dear to hold while a
broker is away: a green thread waits for a file descriptor that the library makes readable.
"""

from oslo_utils import eventletutils
from oslo_utils import importutils

_hubs = importutils.try_import("eventlet.hubs")
_tpool = importutils.try_import("eventlet.tpool")


class _Passed(Exception):
    """The time is over. No timeout of eventlet's, which may be the caller's own."""


def is_green():
    """Whether threads are green threads here."""
    return _hubs is not None and eventletutils.is_monkey_patched("thread")


def for_readable(fileno, timeout=None):
    """Waits, green, until a descriptor is readable. ``False``: `timeout` seconds have passed."""
    try:
        _hubs.trampoline(fileno, read=True, timeout=timeout, timeout_exc=_Passed)
    except _Passed:
        return False
    return True


def call(function, *arguments):
    """Calls what may block, without blocking other green threads."""
    if is_green():
        return _tpool.execute(function, *arguments)
    return function(*arguments)


def for_delivery(transport, *notification):
    """Sends, and waits for the answer; raises what it is, unless it is good."""
    if not is_green():
        transport.deliver(*notification)
        return
    receipt = transport.send(*notification)
    while receipt is not None and not receipt.poll():
        for_readable(receipt.fileno())
