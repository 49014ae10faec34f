"""What all tests have: a broker for the whole run, names of their own, and limits."""

import faulthandler
import itertools
import os

import bus
import kafka_node
import pytest

#: No test takes longer than this, in seconds: then all stacks are printed and the run ends.
_LIMIT = 180

_numbers = itertools.count()


@pytest.fixture(scope="session")
def kafka():
    with kafka_node.kafka_node() as node:
        yield node


@pytest.fixture
def own_kafka():
    """A broker that the test may stop and freeze."""
    with kafka_node.kafka_node() as node:
        yield node


@pytest.fixture
def topic():
    return f"t-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def opened(kafka):
    """Opens transports on the broker, and cleans them up."""
    transports = []

    def open_(query="", scheme="rkafka", vhost="", bootstrap=None, **options):
        transport = bus.transport(
            f"{scheme}://{bootstrap or kafka.bootstrap}/{vhost}{query}", **options)
        transports.append(transport)
        return transport

    yield open_
    for transport in transports:
        transport.cleanup()


@pytest.fixture(autouse=True)
def _limit():
    faulthandler.dump_traceback_later(_LIMIT, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def pytest_terminal_summary(terminalreporter):
    """The line that the stages of `make test` are counted by."""
    count = {name: len(terminalreporter.stats.get(name, ())) for name in ("passed", "failed", "error")}
    terminalreporter.write_line(f"\n{count['passed']} passed, {count['failed'] + count['error']} failed")
