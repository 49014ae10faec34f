#!/usr/bin/env python3
"""A notifier and a listener of the reference oslo.messaging on RabbitMQ, until standard input ends.

    reference_notify.py --url rabbit://guest:guest@127.0.0.1:5672//?OPTION=VALUE --topic t [--listen]
        [--pool p] [--priorities info error] [--requeue 1]

Each line of standard input is a notification, sent at once:
    {"driver": "messagingv2", "priority": "info", "publisher_id", "event_type", "payload", "context"}
with the answer {"event": "sent"} or {"event": "failed", "class", "message"}; payload and context are JSON texts. With
--listen each notification that comes is {"event": "came", "priority", "publisher_id", "event_type", "message_id",
"timestamp", "payload", "context", "time"}; the first --requeue times that one is offered it is put back.
"""

import argparse
import collections

import oslo_messaging
import peer
from reference_send import METHODS, Context, ContextSerializer


class Endpoint:
    """Says what comes; one method for each priority that is asked for."""

    def __init__(self, priorities, requeue):
        self.requeue = requeue
        self.times = collections.Counter()
        for priority in priorities:
            setattr(self, priority, self.heard(priority))

    def heard(self, priority):
        def method(ctxt, publisher_id, event_type, payload, metadata):
            self.times[metadata["message_id"]] += 1
            times = self.times[metadata["message_id"]]
            peer.say(event="came", priority=priority, publisher_id=publisher_id, event_type=event_type, time=times,
                     payload=peer.written(payload), context=peer.written(ctxt), **metadata)
            again = times <= self.requeue
            return oslo_messaging.NotificationResult.REQUEUE if again else oslo_messaging.NotificationResult.HANDLED
        return method


def send(transport, topic, line):
    notifier = oslo_messaging.Notifier(transport, driver=line["driver"], topics=[topic], retry=0,
                                       publisher_id=line["publisher_id"], serializer=ContextSerializer())
    context = Context(peer.read(line.get("context", "{}")))
    getattr(notifier, line["priority"])(context, line["event_type"], peer.read(line["payload"]))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='transport URL; options of the driver in its query')
    parser.add_argument('--topic', required=True)
    parser.add_argument('--listen', action='store_true')
    parser.add_argument('--pool')
    parser.add_argument('--requeue', type=int, default=0)
    parser.add_argument('--priorities', nargs='+', choices=METHODS, default=list(METHODS))
    return parser.parse_args()


def main():
    args = arguments()
    transport = oslo_messaging.get_notification_transport(peer.configuration(), url=args.url)
    listener = None
    if args.listen:
        endpoint = Endpoint(args.priorities, args.requeue)
        listener = oslo_messaging.get_notification_listener(
            transport, [oslo_messaging.Target(topic=args.topic)], [endpoint], executor='threading', pool=args.pool,
            allow_requeue=True)
        listener.start()
    peer.say(event="ready")
    for line in peer.asked():
        try:
            send(transport, args.topic, line)
            peer.say(event="sent")
        except Exception as error:  # whatever it is, the test wants to know
            peer.say(event="failed", message=str(error), **{"class": type(error).__name__})
    if listener:
        listener.stop()
        listener.wait()
    transport.cleanup()
    peer.say(event="stopped")


if __name__ == '__main__':
    main()
