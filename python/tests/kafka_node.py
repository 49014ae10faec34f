"""A real one-node Kafka for the tests, by the kit of the Rust tests. It ends with the block that starts it."""

import contextlib
import pathlib
import queue
import subprocess
import threading

_SCRIPT = pathlib.Path(__file__).parents[2] / "crates/kafka-testkit/kit/kafka.sh"

#: Longest waits in seconds: the script gives up earlier and says why. The jars come over the network, once.
_START = 90
_FETCH = 900
_END = 30


class Kafka:
    """The node: its address, such as ``127.0.0.1:18673``, and what can be done to it."""

    def __init__(self):
        self._guardian = subprocess.Popen(
            [_SCRIPT, "run", "single"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answers = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        answer = self._answer(_START)
        if answer.startswith("fetching "):
            answer = self._answer(_FETCH)
        if not answer.startswith("ready "):
            self.end()
            raise RuntimeError(f"Kafka does not start: {answer}")
        fields = dict(field.split("=", 1) for field in answer.split(" ")[1:] if "=" in field)
        self.bootstrap = fields["bootstrap"]

    def tell(self, command):
        """``stop``, ``kill``, ``start``, ``pause`` or ``resume``; returns when that is done."""
        self._guardian.stdin.write(f"{command} 1\n")
        self._guardian.stdin.flush()
        answer = self._answer(_START)
        if not answer.startswith("ok "):
            raise RuntimeError(f"Kafka: {command}: {answer}")

    def end(self):
        # The end of its input is the guardian's order to kill the node and to wipe its data.
        self._guardian.stdin.close()
        try:
            self._guardian.wait(_END)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.wait()
        self._reader.join(_END)
        self._guardian.stdout.close()

    def _read(self):
        for line in self._guardian.stdout:
            self._answers.put(line.rstrip("\n"))
        self._answers.put("the guardian ended")

    def _answer(self, limit):
        try:
            return self._answers.get(timeout=limit)
        except queue.Empty:
            raise RuntimeError(f"Kafka: no answer within {limit} s") from None


@contextlib.contextmanager
def kafka_node():
    kafka = Kafka()
    try:
        yield kafka
    finally:
        kafka.end()
