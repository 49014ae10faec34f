"""A real one-node Kafka for one test, by the kit of the Rust tests. It ends with the block that starts it."""

import contextlib
import pathlib
import queue
import subprocess
import threading

_SCRIPT = pathlib.Path(__file__).parents[3] / "crates/kafka-testkit/kit/kafka.sh"

#: Longest waits in seconds: the script gives up earlier and says why. The jars come over the network, once.
_START = 90
_FETCH = 900
_END = 30


@contextlib.contextmanager
def kafka_node():
    """Starts it, and yields its address, such as ``127.0.0.1:18673``."""
    guardian = subprocess.Popen(
        [_SCRIPT, "run", "single"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    answers = queue.Queue()
    reader = threading.Thread(target=_read, args=(guardian.stdout, answers), daemon=True)
    reader.start()
    try:
        answer = _answer(answers, _START)
        if answer.startswith("fetching "):
            answer = _answer(answers, _FETCH)
        if not answer.startswith("ready "):
            raise RuntimeError(f"Kafka does not start: {answer}")
        fields = dict(field.split("=", 1) for field in answer.split(" ")[1:] if "=" in field)
        yield fields["bootstrap"]
    finally:
        # The end of its input is the guardian's order to kill the node and to wipe its data.
        guardian.stdin.close()
        try:
            guardian.wait(_END)
        except subprocess.TimeoutExpired:
            guardian.kill()
            guardian.wait()
        reader.join(_END)
        guardian.stdout.close()


def _read(stream, answers):
    for line in stream:
        answers.put(line.rstrip("\n"))
    answers.put("the guardian ended")


def _answer(answers, limit):
    try:
        return answers.get(timeout=limit)
    except queue.Empty:
        raise RuntimeError(f"Kafka: no answer within {limit} s") from None
