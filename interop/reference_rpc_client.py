#!/usr/bin/env python3
"""An RPC client of the reference oslo.messaging, until standard input ends.

    reference_rpc_client.py --url rabbit://guest:guest@127.0.0.1:5672//?OPTION=VALUE --exchange e --topic t

Each line is a request, and runs in a thread of its own:
    {"id": 1, "how": "call", "method": "echo", "args": "{\\"value\\": 1}"}
"how" is call, cast or fanout; "args" and "context" are JSON texts. What may be there, too: "server", "namespace",
"version", "version_cap", "timeout", "call_monitor_timeout", "retry", "at_least_once", "topic".

The answer is {"id", "seconds"} with "result", which is a JSON text, or "error":
{"kind", "class", "module", "message", "args"}, without the server's traceback; the arguments are a JSON text, and the kind
whose error it is: timeout, undeliverable, delivery, remote (it was not rebuilt: class and message are those of the
server), rebuilt, or local.
"""

import argparse
import threading
import time

import oslo_messaging
import peer
from oslo_messaging import exceptions

#: The modules whose errors are rebuilt.
ALLOWED = ["reference_rpc_errors"]


#: What follows the text of an error that came over the wire.
TRACEBACK = "\nTraceback (most recent call last)"


def kind_of(error):
    if isinstance(error, oslo_messaging.MessagingTimeout):
        return "timeout"
    if isinstance(error, exceptions.MessageUndeliverable):
        return "undeliverable"
    if isinstance(error, oslo_messaging.MessageDeliveryFailure):
        return "delivery"
    if isinstance(error, oslo_messaging.RemoteError):
        return "remote"
    rebuilt = type(error).__module__.endswith("_Remote") or any(TRACEBACK in str(part) for part in error.args)
    return "rebuilt" if rebuilt else "local"


def without_traceback(text):
    return text.split(TRACEBACK)[0] if isinstance(text, str) else text


def described(error):
    kind = kind_of(error)
    # Where it is the first argument that has the traceback, it has the whole message; str() of it may be a repr().
    first = str(error.args[0]) if error.args else ""
    described = {
        "kind": kind,
        "class": type(error).__name__,
        "module": type(error).__module__,
        "message": without_traceback(first if TRACEBACK in first else str(error)),
        "args": peer.written([without_traceback(part) for part in error.args]),
    }
    if kind == "remote":
        described.update({"class": error.exc_type, "message": error.value})
        del described["args"], described["module"]
    return described


class Client:
    def __init__(self, args):
        self.transport = oslo_messaging.get_rpc_transport(peer.configuration(), url=args.url,
                                                          allowed_remote_exmods=ALLOWED)
        self.exchange = args.exchange
        self.topic = args.topic

    def prepared(self, request):
        target = oslo_messaging.Target(exchange=self.exchange, topic=request.get("topic", self.topic))
        options = None
        if request.get("at_least_once"):
            options = oslo_messaging.TransportOptions(at_least_once=True)
        client = oslo_messaging.get_rpc_client(self.transport, target, version_cap=request.get("version_cap"),
                                               transport_options=options)
        names = ("server", "namespace", "version", "timeout", "call_monitor_timeout", "retry")
        given = {name: request[name] for name in names if name in request}
        return client.prepare(fanout=request["how"] == "fanout" or None, **given)

    def answer(self, request):
        begun = time.monotonic()
        try:
            client = self.prepared(request)
            context = peer.read(request.get("context", "{}"))
            arguments = peer.read(request.get("args", "{}"))
            send = client.call if request["how"] == "call" else client.cast
            answer = {"result": peer.written(send(context, request["method"], **arguments))}
        except Exception as error:  # whatever it is, the test wants to know
            answer = {"error": described(error)}
        peer.say(id=request["id"], seconds=time.monotonic() - begun, **answer)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='transport URL; options of the driver in its query')
    parser.add_argument('--exchange', required=True)
    parser.add_argument('--topic', required=True)
    return parser.parse_args()


def main():
    client = Client(arguments())
    peer.say(event="ready")
    threads = []
    for request in peer.asked():
        thread = threading.Thread(target=client.answer, args=[request])
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    client.transport.cleanup()
    peer.say(event="stopped")


if __name__ == '__main__':
    main()
