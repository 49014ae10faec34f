"""What lives in this process: ended in order at its exit, and left alone in a forked child."""

import atexit
import os
import threading
import weakref

from oslo_messaging_rs import log

_drivers = weakref.WeakSet()
_registered = False

#: What listeners get for their orderly end at the process's exit, in seconds.
_LISTENERS_AT_EXIT = 2.0


_lock = threading.Lock()


def lock():
    """For what is done once in each process."""
    return _lock


def _renew():
    global _lock
    _lock = threading.Lock()


# A thread that held it at the fork is not in the child.
os.register_at_fork(after_in_child=_renew)


def add(driver):
    """A driver that has threads from now on."""
    global _registered
    _drivers.add(driver)
    log.start()
    if not _registered:
        _registered = True
        atexit.register(_at_exit)


def _at_exit():
    # Threads that wake up in an interpreter that is gone would end the process hard.
    for driver in list(_drivers):
        driver.close_listeners(_LISTENERS_AT_EXIT)
    for driver in list(_drivers):
        driver.flush_at_exit()
    log.drain()
