"""The reference's own unit tests, run against this driver: ``python reference_tests.py [PART OF A NAME]``.

Those of the notifier are written for the reference's ``fake:``. Here ``fake:`` is this driver on the library's broker in
memory, so they run through the same Python and Rust code as on Kafka, under eventlet, which the reference's tests turn
on. Those of the Kafka driver run with ``kafka://`` taken over. What does not apply is listed with its reason in
``reference_tests.toml``; a test that fails and is not there, or that is there and passes, fails the run.
"""

import faulthandler
import logging
import pathlib
import sys
import time
import tomllib
import unittest
import warnings

warnings.simplefilter("ignore")

# First of all, for eventlet patches what it finds.
import oslo_messaging.tests  # noqa: E402, F401

import eventlet  # noqa: E402
from oslo_messaging._drivers import impl_fake  # noqa: E402
from oslo_messaging.tests import utils  # noqa: E402

from oslo_messaging_rs import _native  # noqa: E402
from oslo_messaging_rs import driver  # noqa: E402
from oslo_messaging_rs import options  # noqa: E402
from oslo_messaging_rs import takeover  # noqa: E402

MODULES = [
    "oslo_messaging.tests.notify.test_dispatcher",
    "oslo_messaging.tests.notify.test_listener",
    "oslo_messaging.tests.notify.test_log_handler",
    "oslo_messaging.tests.notify.test_logger",
    "oslo_messaging.tests.notify.test_middleware",
    "oslo_messaging.tests.notify.test_notifier",
    "oslo_messaging.tests.drivers.test_impl_kafka",
]
LIST = pathlib.Path(__file__).with_suffix(".toml")
#: A test that takes longer has failed, in seconds. Some of the reference's wait for ever, and one for what a broker that
#: is away costs: `connect_timeout`, 10 s.
LIMIT = 20
#: When one does not even notice that, all stacks are printed and the run ends.
END = 60


class DriverInMemory(driver.KafkaDriver):
    """This driver on the library's broker in memory."""

    def _open(self):
        exchange = ("DEFAULT", "control_exchange", self._default_exchange or "openstack")
        return _native.Transport("fake:///", [exchange, *options.settings(self._raw_conf)])


def _is_same(context, other):
    """The reference's tests pass objects through memory; what comes from a bus is a dict."""
    return context is other or context.to_dict() == other


class Result(unittest.TestResult):
    def __init__(self, reasons):
        super().__init__()
        self._reasons = reasons
        self.passed, self.not_applying, self.wrong, self.skips = 0, {}, [], []

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(END, exit=True)

    def stopTest(self, test):
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()

    def addSuccess(self, test):
        name = test.id()
        if self._reason(name):
            self.wrong.append((name, "it passes, but is listed as one that does not apply"))
        else:
            self.passed += 1

    def addFailure(self, test, error, details=None):
        name = test.id()
        if reason := self._reason(name):
            self.not_applying[name] = reason
        else:
            text = self._exc_info_to_string(error, test) if error else str(details)
            self.wrong.append((name, text))

    addError = addFailure

    def addSkip(self, test, reason=None, details=None):
        self.skips.append((test.id(), reason or str(details)))

    def _reason(self, name):
        found = [reason for part, reason in self._reasons.items() if part in name]
        return found[0] if found else None


def names(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from names(test)
        else:
            yield test


def main():
    logging.basicConfig(level=logging.CRITICAL)
    reasons = {entry["test"]: entry["why"]
               for entry in tomllib.loads(LIST.read_text())["does_not_apply"]}
    impl_fake.FakeDriver = DriverInMemory
    takeover.install()
    utils.TestContext.__eq__ = _is_same
    loader = unittest.TestLoader()
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    tests = [test for test in names(loader.loadTestsFromNames(MODULES)) if part in test.id()]
    result, begun = Result(reasons), time.monotonic()
    for test in tests:
        before = time.monotonic()
        try:
            with eventlet.Timeout(LIMIT):
                test.run(result)
        except eventlet.Timeout:
            faulthandler.cancel_dump_traceback_later()  # The test has told the result.
        if part:
            print(f"{time.monotonic() - before:6.2f} s  {test.id()}")
    for name, text in result.wrong:
        print(f"\n{name}\n{text}")
    for reason in dict.fromkeys(reasons.values()):
        applied = [name for name, why in result.not_applying.items() if why == reason]
        if applied:
            print(f"\ndoes not apply: {reason}")
            print("\n".join(f"  {name}" for name in applied))
    unused = [part for part in reasons if not any(part in test.id() for test in tests)]
    if unused and not part:
        result.wrong.append(("unused", unused))
        print(f"\nlisted, but no test has these names: {unused}")
    if result.skips:
        print(f"\nskipped by itself: {result.skips}")
    print(f"\n{len(tests)} tests of the reference in {time.monotonic() - begun:.0f} s: "
          f"{result.passed} pass, {len(result.not_applying)} do not apply")
    print(f"\n{result.passed} passed, {len(result.wrong)} failed")
    sys.exit(bool(result.wrong))


main()
