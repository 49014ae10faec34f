"""keystone, a Kafka and ceilometer together, and the account of what went from the one to the other."""

import collections
import contextlib
import dataclasses
import time

from broker_view import BrokerView
from ceilometer_service import Ceilometer
from kafka_node import kafka_node
from keystone_service import Keystone
from processes import ServiceFailed, tail

PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")
#: Longest waits in seconds.
_READY = 60
_STORED = 60


@dataclasses.dataclass(frozen=True)
class Case:
    """What differs from test to test. Where nothing is said, the services' own defaults are used."""

    emitter: str = "rkafka"
    consumer: str = "rkafka"
    vhost: str = ""
    kafka_options: dict = dataclasses.field(default_factory=dict)
    notification_format: str = "cadf"

    @property
    def exchanges(self):
        """Empty means ceilometer's own fourteen. The Python library's driver can listen on no more than one."""
        return ("keystone",) if self.consumer == "kafka" else ()

    def topic(self, priority="info"):
        return ".".join(filter(None, ["notifications", priority, self.vhost]))


class Deployment:
    """A fresh broker without topics, a keystone, and a ceilometer that is not started yet.

    To be used in a ``with`` block; everything ends with it.
    """

    def __init__(self, folder, case, database, debug=False):
        self.case = case
        self._folder = folder
        self._database = database
        self._debug = debug
        self._ends = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as ends:
            address = ends.enter_context(kafka_node()).bootstrap
            self.bus = ends.enter_context(BrokerView(address))
            self._place = f"{address}/{self.case.vhost}"
            case = self.case
            self.keystone = Keystone(
                self._folder / "keystone", f"{case.emitter}://{self._place}", case.notification_format)
            self.keystone.take_database(self._database)
            self.ceilometer = Ceilometer(
                self._folder / "ceilometer", f"{case.consumer}://{self._place}", case.kafka_options,
                case.exchanges, self._debug)
            ends.callback(self.ceilometer.kill)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *error):
        return self._ends.__exit__(*error)

    def switch(self, emitter=None, consumer=None):
        """Changes the word before ``://``, as an operator does. ceilometer must not run."""
        self.case = dataclasses.replace(
            self.case, emitter=emitter or self.case.emitter, consumer=consumer or self.case.consumer)
        self.keystone.configure(f"{self.case.emitter}://{self._place}")
        self.ceilometer.configure(f"{self.case.consumer}://{self._place}", self.case.exchanges)

    def start_ceilometer(self):
        """Starts it, and waits until the broker says that it reads every partition."""
        if self.case.consumer == "kafka":
            # Topics that come later it does not see for some time.
            self.bus.make_topics(self.case.topic(priority) for priority in PRIORITIES)
        self.ceilometer.start()
        if not self.bus.await_readers(self.case.topic(), _READY, self.ceilometer.is_running):
            state = f"does not read {self.case.topic()} after {_READY} s" if self.ceilometer.is_running() else "ended"
            raise ServiceFailed(f"ceilometer-agent-notification {state}\n{tail(*self.ceilometer.logs)}")
        if self.case.consumer == "kafka":
            # The Python library's driver polls for 5 s and throws away what it gets.
            time.sleep(8)

    def await_stored(self):
        """Waits until ceilometer has stored what keystone has logged, or for the limit."""
        expected = {entry.message_id for entry in self.keystone.logged() if entry.is_stored}
        deadline = time.monotonic() + _STORED
        while not expected.issubset(self.ceilometer.stored()) and time.monotonic() < deadline:
            time.sleep(0.2)

    def account(self):
        """Waits until ceilometer has stored everything, or for the limit; stops it, and counts."""
        self.await_stored()
        stop = self.ceilometer.stop()
        return Account(
            logged=self.keystone.logged(), on_bus=self.bus.message_ids(), stored=self.ceilometer.stored(),
            left_over=self.bus.left_over(), stop=stop, tails=tail(*self.keystone.logs, *self.ceilometer.logs))


@dataclasses.dataclass(frozen=True)
class Account:
    """What was emitted, what the broker has, and what was stored."""

    logged: list
    on_bus: list
    stored: list
    #: Records that the group has not committed.
    left_over: int
    #: Seconds that ceilometer needed to stop.
    stop: float
    tails: str

    def problems(self, from_bus=False):
        """Words for all that is wrong: empty when nothing is. ``from_bus``: what the bus lacks is not."""
        names = {entry.message_id: f"{entry.event_type} {entry.message_id}" for entry in self.logged}
        emitted = [entry for entry in self.logged if entry.message_id in self.on_bus or not from_bus]
        return [
            *_differences("on the bus", names, [entry.message_id for entry in emitted], self.on_bus),
            *_differences(
                "in ceilometer's file", names, [entry.message_id for entry in emitted if entry.is_stored], self.stored),
            *([f"{self.left_over} not committed"] if self.left_over else []),
        ]

    def summary(self):
        return f"logged {len(self.logged)}, on the bus {len(self.on_bus)}, stored {len(self.stored)}, " \
            f"not committed {self.left_over}, stopped in {self.stop:.1f} s"

    def check(self, at_least, from_bus=False):
        """Fails unless everything that keystone logged was stored once, and that was ``at_least`` so many.

        ``from_bus``: everything that keystone logged and that is on the bus.
        """
        print(self.summary())
        problems = self.problems(from_bus)
        if len(self.logged) < at_least:
            problems.insert(0, f"keystone logged fewer than {at_least}")
        if problems:
            raise AssertionError("\n".join([self.summary(), *problems, self.tails]))


def _differences(where, names, expected, found):
    """Lines for what is not there, is there more than once, or should not be there."""
    counts = collections.Counter(found)
    kinds = {
        "missing": [each for each in expected if not counts[each]],
        "twice": [each for each, count in counts.items() if count > 1],
        "of nobody": [each for each in counts if each not in set(expected)],
    }
    return [
        f"{len(ids)} {kind} {where}: " + ", ".join(names.get(each, each) for each in ids[:10])
        for kind, ids in kinds.items() if ids
    ]
