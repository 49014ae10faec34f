"""What Rust writes of Python's objects is what `json.dumps` writes, or it writes nothing."""

import collections
import enum
import json
import random

import pytest
from oslo_messaging_rs import _native

MESSAGE = {"message_id": "m", "priority": "INFO", "payload": None}
TEXTS = ["", "plain", "a\"b\\c/", "\x00\x1f\x7f\x80", "\n\r\t\b\f", "čeština", "🦀", "\u2028\uffff", "x" * 5000]
NUMBERS = [0, -1, 10**18, -(10**300), True, False, 0.0, -0.0, 1.5, 1e16, 1e-7, 5e-324, 1.7976931348623157e308]


def value(source, depth=0):
    kind = source.randrange(8 if depth < 5 else 4)
    if kind < 2:
        return source.choice(TEXTS)
    if kind < 3:
        return source.choice(NUMBERS)
    if kind < 4:
        return None
    count = source.randrange(4)
    if kind < 6:
        return {source.choice(TEXTS) + str(n): value(source, depth + 1) for n in range(count)}
    items = [value(source, depth + 1) for _ in range(count)]
    return items if kind < 7 else tuple(items)


def test_plain_objects_are_written_as_python_writes_them():
    source = random.Random(1)
    for _ in range(20000):
        message, context = {**MESSAGE, "payload": value(source)}, {"a": value(source)}
        assert _native.encode(message, context) == json.dumps({**message, "_context": context})


class Text(str):
    pass


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize("odd", [
    Text("t"), Number.ONE, float("nan"), float("inf"), "\ud800", {1: 2}, {"a": {Text("k"): 1}}, {None: 1},
    object(), {1, 2}, b"bytes",
])
def test_anything_else_is_left_to_python(odd):
    assert _native.encode({**MESSAGE, "payload": [odd]}, {}) is None
    assert _native.encode(MESSAGE, {"a": odd}) is None


def test_a_number_too_long_to_be_written_is_left_to_python():
    assert _native.encode({**MESSAGE, "payload": 1 << 20000}, {}) is None


def test_what_nests_too_deep_is_left_to_python():
    deep = []
    for _ in range(200):
        deep = [deep]
    assert _native.encode({**MESSAGE, "payload": deep}, {}) is None
    deep.append(deep)
    circle = {}
    circle["self"] = circle
    assert _native.encode({**MESSAGE, "payload": circle}, {}) is None


def test_other_kinds_of_dictionaries_are_left_to_python():
    order = collections.OrderedDict(MESSAGE)
    order.move_to_end("message_id")
    assert _native.encode(order, {}) is None
    assert _native.encode(MESSAGE, collections.UserDict()) is None


def test_a_context_key_in_the_message_is_replaced_by_the_context():
    # Python decides on its place: this never comes from a notifier.
    assert _native.encode({**MESSAGE, "_context": 1}, {}) is None
