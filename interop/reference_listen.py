#!/usr/bin/env python3
"""Listens with the reference oslo.messaging and prints each notification as a line of JSON.

    reference_listen.py --url kafka://127.0.0.1:9092/ --topic notifications --pool audit --count 10 --timeout 30

Prints `ready` to standard error once it would receive a notification sent from then on. Exits 0 after COUNT
notifications, 1 when TIMEOUT seconds have passed before.

A new pool begins at the end of its topics. The reference's start takes 5 s and throws away what it polls
meanwhile, so start this first, and wait for `ready`. The URL's virtual host is ignored, as the reference does.
"""

import argparse
import json
import logging
import sys
import threading
import time

import confluent_kafka
import oslo_messaging
from oslo_config import cfg

PRIORITIES = ('audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample')


class Printer:
    """An endpoint with a method for each of the priorities: the reference subscribes to those topics."""

    def __init__(self, priorities, count):
        self.count = count
        self.seen = 0
        self.enough = threading.Event()
        for priority in priorities:
            setattr(self, priority, self.method(priority))

    def method(self, priority):
        def receive(ctxt, publisher_id, event_type, payload, metadata):
            print(json.dumps({
                'priority': priority,
                'publisher_id': publisher_id,
                'event_type': event_type,
                'payload': payload,
                'context': ctxt,
                'message_id': metadata['message_id'],
                'timestamp': metadata['timestamp'],
            }), flush=True)
            self.seen += 1
            if self.seen >= self.count:
                self.enough.set()
        return receive


def create_topics(transport, topics, deadline):
    """Has the broker create the topics, by the producer as a publisher would.

    The reference's consumer cannot, and would not see a topic that appears later for five minutes.
    """
    connection = transport._driver.pconn
    connection._ensure_producer()
    for topic in topics:
        while True:
            found = connection.producer.list_topics(topic, timeout=10).topics[topic]
            if not found.error and all(p.leader >= 0 for p in found.partitions.values()):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f'{topic}: {found.error or "no leader"}')
            time.sleep(0.05)


def await_positions(server, topics, deadline):
    """Waits until each topic has partitions assigned, and each of those knows where it begins.

    An assigned partition still has to ask for its end; what is sent before that is lost. The consumer knows the
    high watermark from the first answer to a fetch on, and it fetches only from a known position.
    """
    connection = server.listener._poll_style_listener.conn
    poll = connection._poll_messages
    known = threading.Event()

    def poll_and_look(timeout):
        try:
            return poll(timeout)
        finally:
            # Here, because any other thread that asks the consumer while it consumes waits for ever.
            assigned = list(connection.assignment_dict.values())
            if {p.topic for p in assigned} == topics and all(fetched(connection.consumer, p) for p in assigned):
                connection._poll_messages = poll
                known.set()

    connection._poll_messages = poll_and_look
    return known.wait(max(0, deadline - time.monotonic()))


def fetched(consumer, assigned):
    partition = confluent_kafka.TopicPartition(assigned.topic, assigned.partition)
    return consumer.get_watermark_offsets(partition, cached=True)[1] >= 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='transport URL; options of the driver in its query')
    parser.add_argument('--topic', required=True)
    parser.add_argument('--pool', required=True, help='consumer group')
    parser.add_argument('--count', type=int, required=True)
    parser.add_argument('--timeout', type=float, required=True, help='in seconds, from the start')
    parser.add_argument('--priorities', nargs='+', choices=PRIORITIES, default=list(PRIORITIES))
    return parser.parse_args()


def main():
    args = arguments()
    deadline = time.monotonic() + args.timeout
    logging.basicConfig(level=logging.WARNING)

    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url=args.url)
    topics = {f'{args.topic}.{priority}' for priority in args.priorities}
    create_topics(transport, topics, deadline)

    printer = Printer(args.priorities, args.count)
    server = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic=args.topic)], [printer], executor='threading', pool=args.pool)
    # One worker, or the lines would not be in the order of the messages.
    server.start(override_pool_size=1)
    ready = await_positions(server, topics, deadline)
    if ready:
        print('ready', file=sys.stderr, flush=True)
        printer.enough.wait(max(0, deadline - time.monotonic()))
    server.stop()
    server.wait()
    if printer.enough.is_set():
        return 0
    missing = f'{printer.seen} of {args.count}' if ready else 'not every topic assigned'
    print(f'{missing} within {args.timeout} s', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
