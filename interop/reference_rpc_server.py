#!/usr/bin/env python3
"""An RPC server of the reference oslo.messaging, until standard input ends.

    reference_rpc_server.py --url rabbit://guest:guest@127.0.0.1:5672//?OPTION=VALUE --exchange e --topic t --server s

Writes {"event": "ready"} when it is asked, {"event": "called", "method", "context"} for every method that runs, the
context as JSON text, and {"event": "stopped"} when it has finished what it had accepted.

Endpoints, in this order: namespace none, version 1.5; namespace "ns", version 1.1; namespace "ns", version 2.3;
namespace "new", and "old" as before, version 1.0.
"""

import argparse
import datetime
import time
import uuid

import oslo_messaging
import peer
from oslo_messaging.rpc import dispatcher
from reference_rpc_errors import OwnError, PickyError

#: What JSON has and few send, and what is turned into JSON.
UNUSUAL = {
    "none": None,
    "nan": float("nan"),
    "infinity": float("inf"),
    "negative zero": -0.0,
    "big integer": 2**100,
    "long float": 0.1 + 0.2,
    "small float": 5e-324,
    "whole float": 1e22,
    "empty": {"": [], " ": {}},
    "controls": "\u0000\u001f\u007f\u2028\"\\/",
    "beyond the plane": "\U0001f600\u00fc",
    "half of a pair": "\ud83d",
    "number as key": {1: "one", None: "none", True: "true"},
    "nested": [[[[[[[[[[{"deep": True}]]]]]]]]]],
    "tuple": (1, 2),
    "set": {1},
    "time": datetime.datetime(2026, 1, 2, 3, 4, 5, 678),
    "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "bytes": b"bytes",
}


class Base:
    def told(self, ctxt, method):
        peer.say(event="called", method=method, context=peer.written(ctxt))


class Plain(Base):
    target = oslo_messaging.Target(version="1.5")

    def echo(self, ctxt, value):
        self.told(ctxt, "echo")
        return value

    def add(self, ctxt, a, b=1):
        self.told(ctxt, "add")
        return a + b

    def keywords(self, ctxt, **values):
        self.told(ctxt, "keywords")
        return values

    def size(self, ctxt, value):
        self.told(ctxt, "size")
        return len(value)

    def context(self, ctxt):
        self.told(ctxt, "context")
        return ctxt

    def slow(self, ctxt, seconds):
        self.told(ctxt, "slow")
        time.sleep(seconds)
        return "slept"

    def where(self, ctxt):
        self.told(ctxt, "where")
        return "none 1.5"

    def unusual(self, ctxt, name):
        self.told(ctxt, "unusual")
        return UNUSUAL[name]

    def builtin(self, ctxt, message):
        self.told(ctxt, "builtin")
        raise ValueError(message)

    def builtin_with_arguments(self, ctxt):
        self.told(ctxt, "builtin_with_arguments")
        raise KeyError("key", 7, ["l"], {"k": None})

    def own(self, ctxt, message):
        self.told(ctxt, "own")
        raise OwnError(message, 2)

    def picky(self, ctxt, message):
        self.told(ctxt, "picky")
        raise PickyError(message, needed=1)

    def local(self, ctxt, message):
        self.told(ctxt, "local")

        class LocalError(Exception):
            pass

        raise LocalError(message)

    @oslo_messaging.expected_exceptions(OwnError)
    def expected(self, ctxt, message):
        self.told(ctxt, "expected")
        raise OwnError(message)

    def _private(self, ctxt):
        self.told(ctxt, "_private")
        return "seen"


class Older(Base):
    target = oslo_messaging.Target(namespace="ns", version="1.1")

    def where(self, ctxt):
        self.told(ctxt, "where")
        return "ns 1.1"


class Newer(Base):
    target = oslo_messaging.Target(namespace="ns", version="2.3")

    def where(self, ctxt):
        self.told(ctxt, "where")
        return "ns 2.3"


class Renamed(Base):
    target = oslo_messaging.Target(namespace="new", legacy_namespaces=["old"])

    def where(self, ctxt):
        self.told(ctxt, "where")
        return "new 1.0"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='transport URL; options of the driver in its query')
    parser.add_argument('--exchange', required=True)
    parser.add_argument('--topic', required=True)
    parser.add_argument('--server', required=True)
    return parser.parse_args()


def main():
    args = arguments()
    conf = peer.configuration()
    transport = oslo_messaging.get_rpc_transport(conf, url=args.url)
    target = oslo_messaging.Target(exchange=args.exchange, topic=args.topic, server=args.server)
    endpoints = [Plain(), Older(), Newer(), Renamed()]
    server = oslo_messaging.get_rpc_server(transport, target, endpoints, executor='threading',
                                           access_policy=dispatcher.DefaultRPCAccessPolicy)
    server.start()
    peer.say(event="ready")
    for _ in peer.asked():
        pass
    server.stop()
    server.wait()
    transport.cleanup()
    peer.say(event="stopped")


if __name__ == '__main__':
    main()
