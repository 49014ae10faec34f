#!/usr/bin/env python3
"""Sends notifications with the reference oslo.messaging, as a service does.

    reference_send.py --url kafka://127.0.0.1:9092/ --topic notifications --driver messagingv2 --input corpus.jsonl

Each line of the input is an object with publisher_id, event_type, priority, payload and context. The reference
makes message_id and timestamp itself, so those of the input are ignored. A priority it has no method for is an
error. Returns when everything is flushed; exits 1 if the reference logged an error, which is the only way it tells.
"""

import argparse
import json
import logging
import sys

import oslo_messaging
from oslo_config import cfg

METHODS = ('audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample')


class Context:
    """A request context as services have one: the reference sends a plain dict as {}."""

    def __init__(self, values):
        self.values = values

    def redacted_copy(self):
        return self


class ContextSerializer(oslo_messaging.NoOpSerializer):
    """The services' part of sending a context: from an object to a dict."""

    def serialize_context(self, ctxt):
        return dict(ctxt.values) if isinstance(ctxt, Context) else ctxt


class ErrorCount(logging.Handler):
    """Counts what the reference only logs."""

    count = 0

    def emit(self, record):
        self.count += 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='transport URL; options of the driver in its query')
    parser.add_argument('--topic', required=True)
    parser.add_argument('--driver', required=True, choices=['messaging', 'messagingv2'])
    parser.add_argument('--input', required=True, help='a JSONL file, - for standard input')
    parser.add_argument('--compression', choices=['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    return parser.parse_args()


def main():
    args = arguments()
    logging.basicConfig(level=logging.WARNING)
    errors = ErrorCount(level=logging.ERROR)
    logging.getLogger().addHandler(errors)

    url = args.url
    if args.compression:
        url += ('&' if '?' in url else '?') + 'compression_codec=' + args.compression
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url=url)
    notifier = oslo_messaging.Notifier(transport, driver=args.driver, topics=[args.topic],
                                       serializer=ContextSerializer())
    sent = 0
    with sys.stdin if args.input == '-' else open(args.input, encoding='utf-8') as lines:
        for line in lines:
            message = json.loads(line)
            priority = message['priority'].lower()
            if priority not in METHODS:
                sys.exit(f'line {sent + 1}: priority {priority!r} is none of {", ".join(METHODS)}')
            send = getattr(notifier.prepare(publisher_id=message['publisher_id']), priority)
            send(Context(message.get('context') or {}), message['event_type'], message['payload'])
            sent += 1
    # Without it the process would end with messages still queued.
    transport.cleanup()
    print(f'sent {sent}, errors {errors.count}', file=sys.stderr)
    return 1 if errors.count else 0


if __name__ == '__main__':
    sys.exit(main())
