"""From the library's poll to oslo.messaging's executor."""

import logging
import threading

from oslo_messaging._drivers import base
from oslo_messaging._drivers import common
from oslo_utils import eventletutils

from oslo_messaging_rs import waiting

LOG = logging.getLogger("oslo_messaging_rs")

try:
    # Tools that trace messages know the reference's class.
    from oslo_messaging._drivers.impl_kafka import OsloKafkaMessage as _Message
except ImportError:
    _Message = base.RpcIncomingMessage

#: The longest blocking poll of an idle listener, in seconds. A stop ends it at once.
_POLL = 60.0
#: How long a stop waits for what the broker believes to be handled, in seconds.
_STOP = 15.0


class IncomingMessage(_Message):
    """A notification that was polled."""

    def __init__(self, native, follow):
        context, message = native.unpack()
        base.RpcIncomingMessage.__init__(self, context, message, message["message_id"])
        self._native = native
        self._follow = follow

    def acknowledge(self):
        following = self._native.acknowledge()
        if following is not None:
            self._follow(following)

    def requeue(self):
        self._native.requeue()

    def reply(self, reply=None, failure=None):
        LOG.warning("Notifications have no reply")

    def heartbeat(self):
        LOG.warning("Notifications have no heartbeat")


class Listener(base.Listener):
    """Polls in a thread of its own, green under eventlet, and calls oslo.messaging's server back."""

    def __init__(self, native, batch_size, batch_timeout, forget):
        super().__init__(batch_size, batch_timeout)
        self._native = native
        self._forget = forget
        self._ended = eventletutils.Event()
        self._thread = None
        self._process = None
        self._here = threading.local()

    def start(self, on_incoming_callback):
        super().start(on_incoming_callback)
        server = getattr(on_incoming_callback, "__self__", None)
        self._process = getattr(server, "_process_incoming", None)
        self._thread = threading.Thread(
            target=self._run, name="oslo-messaging-rs-listener", daemon=True
        )
        self._thread.start()

    def ready(self, timeout):
        """Waits until notifications can arrive.

        :raises oslo_messaging.MessagingTimeout: with the cause, after `timeout` seconds
        """
        cause = waiting.call(self._native.ready, timeout)
        if cause:
            raise common.Timeout(cause)

    def stop(self, deadline=_STOP):
        """What the broker believes to be handled still goes to the server, then this returns."""
        if not self._native.is_here:
            return  # The parent's: nothing of it runs in a forked child.
        self._native.stop()
        if self._thread is not None and not self._ended.wait(deadline):
            LOG.warning("Endpoints are still at work %s s after the stop", deadline)

    def cleanup(self, deadline=_STOP):
        if not self._native.is_here:
            return
        left = waiting.call(self._native.close, deadline)
        if left:
            LOG.error("%s", left)
        try:
            self._forget(self)
        except ValueError:
            pass  # It was cleaned up before.

    def _run(self):
        try:
            while (polled := self._poll()) is not None:
                if polled:
                    self._deliver(polled)
        except Exception:
            LOG.exception("The listener has failed")
        finally:
            self._ended.set()

    def _poll(self):
        if not waiting.is_green():
            return self._native.poll(_POLL)
        polled = self._native.poll(0)
        if not polled and polled is not None:
            waiting.for_readable(self._native.fileno(), _POLL)
        return polled

    def _deliver(self, natives):
        """Hands messages over. One that the server does not take is let go, which is logged."""
        messages = [message for native in natives if (message := self._read(native)) is not None]
        if not messages:
            return
        try:
            self.on_incoming_callback(messages)
        except Exception:
            LOG.exception("Notifications could not be handed to the server")

    def _read(self, native):
        """The message, or ``None`` for one that Python cannot hold, such as one that nests too deep."""
        try:
            return IncomingMessage(native, self._follow)
        except Exception:
            LOG.exception("A notification could not be read")
            # Counted, kept as a dead letter where there is a topic for them, and passed over at last.
            native.requeue()
            return None

    def _follow(self, native):
        """The notification that had to wait for the one which this thread has just answered.

        This thread handles it, and those that follow: the executor's queue and the change of threads would
        cost more than the handling. A green thread lets others run in between, and servers that are not
        oslo.messaging's are called as always.
        """
        if self._process is None or waiting.is_green():
            self._deliver([native])
            return
        here = self._here
        if getattr(here, "is_busy", False):
            here.next = native  # The loop below, of which this is a part, goes on with it.
            return
        here.is_busy, here.next = True, native
        try:
            while (native := here.next) is not None:
                here.next = None
                if (message := self._read(native)) is not None:
                    self._process([message])
        except Exception:
            LOG.exception("A notification could not be handed to the server")
        finally:
            left, here.next, here.is_busy = here.next, None, False
            if left is not None:
                self._deliver([left])
