"""The driver that the entry point ``rkafka`` names."""

import json
import logging

from oslo_messaging import exceptions
from oslo_messaging._drivers import base
from oslo_serialization import jsonutils

from oslo_messaging_rs import _native
from oslo_messaging_rs import options
from oslo_messaging_rs import processes
from oslo_messaging_rs import waiting
from oslo_messaging_rs.listener import Listener

LOG = logging.getLogger("oslo_messaging_rs")

#: A batch listener's size where none is given, and its longest wait for more.
_BATCH_SIZE = 100
_BATCH_TIMEOUT = 1.0
#: How long ``cleanup`` waits for what was sent, in seconds.
_CLEANUP = 30.0


class NotDelivered(exceptions.MessageDeliveryFailure):
    """The broker does not have the notification."""


class Unknown(exceptions.MessageDeliveryFailure):
    """The notification was sent and not confirmed: the broker may have it."""


class KafkaDriver(base.BaseDriver):
    """Notifications over Apache Kafka. RPC needs another transport, such as ``rabbit://``."""

    def __init__(self, conf, url, default_exchange=None, allowed_remote_exmods=None):
        self._raw_conf = conf
        proxy = options.register(conf, url)
        super().__init__(proxy, url, default_exchange, allowed_remote_exmods)
        self._listeners = []
        self._closed = False
        #: Whether its end is cared for, in this process or in the parent.
        self._known = False
        self._transport = self._open()
        if url.transport.partition("+")[0] == "kafka":
            LOG.info("%s:// is served by oslo_messaging_rs here", url.transport)

    def __getstate__(self):
        # A view of the configuration cannot be pickled, and a transport belongs to its process.
        return {
            "conf": self._raw_conf,
            "url": self._url,
            "exchange": self._default_exchange,
            "exmods": self._allowed_remote_exmods,
        }

    def __setstate__(self, state):
        self.__init__(state["conf"], state["url"], state["exchange"], state["exmods"])

    def _open(self):
        _, rest = str(self._url).split("://", 1)
        url = f"kafka://{rest}"
        return _native.Transport(url, options.settings(self._raw_conf))

    def _live(self):
        """The transport of this process."""
        if self._known and self._transport.is_here:
            return self._transport
        with processes.lock():
            if not self._transport.is_here:
                # The parent's has no threads here. It is left alone.
                self._listeners = []
                self._closed = False
                self._transport = self._open()
            processes.add(self)
            self._known = True
            return self._transport

    def require_features(self, requeue=False):
        if requeue and not self._live().redelivers:
            raise NotImplementedError(
                "Requeue needs [oslo_messaging_kafka] commit = after_dispatch; with before_dispatch "
                "nothing is redelivered"
            )

    def send_notification(self, target, ctxt, message, version, retry=None):
        """Returns when the broker has it, or with ``delivery`` queued or spooled when this has.

        :raises NotDelivered: the broker does not have it
        :raises Unknown: the broker may have it
        """
        context = dict(ctxt) if isinstance(ctxt, dict) else ctxt.to_dict()
        inner = _native.encode(message, context) or json.dumps(
            {**message, "_context": context}, default=jsonutils.to_primitive)
        try:
            waiting.for_delivery(
                self._live(),
                target.topic,
                str(message.get("message_id", "")),
                str(message.get("event_type", "")),
                inner,
                -1 if retry is None else retry,
            )
        except _native.Undelivered as error:
            words, is_unknown = error.args
            LOG.error("%s", words)
            raise (Unknown if is_unknown else NotDelivered)(words) from None

    def listen_for_notifications(self, targets_and_priorities, pool, batch_size, batch_timeout):
        targets = sorted({(target.topic, priority) for target, priority in targets_and_priorities})
        batch_size = batch_size or _BATCH_SIZE
        batch_timeout = _BATCH_TIMEOUT if batch_timeout is None else batch_timeout
        # The first questions to the brokers take up to a second.
        native = waiting.call(self._live().listen, targets, pool, batch_size, batch_timeout)
        listener = Listener(native, batch_size, batch_timeout, self._listeners.remove)
        self._listeners.append(listener)
        return listener

    def send(self, target, ctxt, message, wait_for_reply=None, timeout=None,
             call_monitor_timeout=None, retry=None, transport_options=None):
        raise NotImplementedError(_NO_RPC)

    def listen(self, target, batch_size, batch_timeout):
        raise NotImplementedError(_NO_RPC)

    def cleanup(self):
        if self._closed or not self._transport.is_here:
            return
        self._closed = True
        self.close_listeners(_CLEANUP)
        self._close(_CLEANUP)

    def stats(self):
        """What was done since the driver was made, such as ``{"delivered": 12, ...}``."""
        return self._live().stats()

    def close_listeners(self, deadline):
        if self._transport.is_here:
            for listener in list(self._listeners):
                listener.stop(deadline)
                listener.cleanup(deadline)

    def flush_at_exit(self):
        if self._transport.is_here and not self._closed:
            self._closed = True
            self._close(self.conf[options.GROUP].exit_flush_timeout)

    def _close(self, deadline):
        lost = waiting.call(self._transport.close, deadline)
        if lost:
            LOG.error("%s", lost)


_NO_RPC = (
    "Kafka carries notifications only: open a rabbit:// or amqp:// transport for RPC, and keep this "
    "one in [oslo_messaging_notifications] transport_url"
)
