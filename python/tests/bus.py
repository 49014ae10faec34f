"""oslo.messaging as services use it: a configuration, a transport, a notifier, a listener."""

import contextlib
import threading
import time

import oslo_messaging
from oslo_config import cfg

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")


def transport(url, **options):
    """A transport with options of ``[oslo_messaging_kafka]``, as a configuration file sets them."""
    conf = cfg.ConfigOpts()
    conf([], project="tests", default_config_files=[], default_config_dirs=[])
    made = oslo_messaging.get_notification_transport(conf, url=url)
    if not options:
        return made
    # The options are known once a driver is loaded; what is set counts for the next one.
    conf = cfg.ConfigOpts()
    conf([], project="tests", default_config_files=[], default_config_dirs=[])
    made._driver.__class__(conf, oslo_messaging.TransportURL.parse(conf, url))
    for name, value in options.items():
        conf.set_override(name, value, group="oslo_messaging_kafka")
    return oslo_messaging.get_notification_transport(conf, url=url)


def notifier(transport, topic, publisher_id="tests", driver="messagingv2", **arguments):
    return oslo_messaging.Notifier(
        transport, publisher_id, driver=driver, topics=[topic], **arguments)


class Endpoint:
    """Keeps what it gets at every priority."""

    def __init__(self, handle=None):
        self.seen = []
        self._handle = handle
        self._changed = threading.Condition()

    def _take(self, priority, ctxt, publisher_id, event_type, payload, metadata):
        with self._changed:
            self.seen.append((priority, ctxt, publisher_id, event_type, payload, metadata))
            self._changed.notify_all()
        if self._handle is not None:
            return self._handle(payload)

    def wait(self, count, limit=60):
        """Waits for so many; returns what is there after `limit` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.seen) >= count, limit)
            return list(self.seen)

    @property
    def payloads(self):
        return [entry[4] for entry in self.seen]


for _priority in PRIORITIES:
    def _method(self, *arguments, _priority=_priority):
        return self._take(_priority, *arguments)
    setattr(Endpoint, _priority, _method)


@contextlib.contextmanager
def listening(transport, topics, endpoints, ready=30, **arguments):
    """A listener that has its partitions, and that is stopped at the end."""
    topics = [topics] if isinstance(topics, str) else topics
    targets = [oslo_messaging.Target(topic=topic) for topic in topics]
    make = oslo_messaging.get_notification_listener
    if "batch_size" in arguments:
        make = oslo_messaging.get_batch_notification_listener
    server = make(transport, targets, endpoints, **{"executor": "threading", **arguments})
    server.start()
    try:
        if ready:
            server.listener.ready(ready)
        yield server
    finally:
        server.stop()
        server.wait()


def until(condition, limit=30):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
