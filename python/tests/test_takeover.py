"""``kafka://`` served by this driver because the environment says so, with every stevedore that is about."""

import os
import pathlib
import subprocess
import sys

import programs
import pytest

#: One of each line; the first is the oldest that today's oslo.messaging starts with.
STEVEDORES = ("3.5.2", "4.1.1", "5.1.0", "5.5.0", "5.10.0")

LOAD = """
import oslo_messaging
from oslo_config import cfg
from stevedore import driver
scheme = sys.argv[1]
conf = cfg.ConfigOpts()
conf([], default_config_files=[], default_config_dirs=[])
transport = oslo_messaging.get_notification_transport(conf, url=f"{scheme}://127.0.0.1:1/")
print("driver", type(transport._driver).__module__)
"""


@pytest.fixture
def environment(monkeypatch):
    def set_(word, folder=None):
        monkeypatch.setenv("OSLO_MESSAGING_KAFKA_DRIVER", word)
        if folder is not None:
            monkeypatch.setenv("PYTHONPATH", str(folder))
    return set_


def driver_of(tmp_path, scheme, source=LOAD):
    return programs.run(tmp_path, source, scheme).split("driver ")[1].strip()


@pytest.fixture(scope="session", params=STEVEDORES)
def stevedore(request):
    """A folder with that version, which comes before the environment's own."""
    cache = pathlib.Path(
        os.environ.get("OSLOMSG_CACHE") or pathlib.Path.home() / ".cache/oslo-messaging-rs")
    folder = cache / "stevedore" / request.param
    if not (folder / "stevedore").is_dir():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "--no-deps", "--target", folder, f"stevedore=={request.param}"], check=True, timeout=120)
    return folder


@pytest.mark.parametrize("scheme", ["kafka", "kafka+ssl"])
def test_rust_serves_kafka_with_each_stevedore(scheme, stevedore, environment, tmp_path):
    environment("rust", stevedore)
    told = LOAD + "import stevedore; print(stevedore.__file__)"
    out = programs.run(tmp_path, told, scheme)
    assert out.split("driver ")[1].split() == [
        "oslo_messaging_rs.driver", str(stevedore / "stevedore/__init__.py")]


@pytest.mark.parametrize("word", ["", "python"])
def test_python_serves_kafka_otherwise(word, environment, tmp_path):
    environment(word)
    assert driver_of(tmp_path, "kafka") == "oslo_messaging._drivers.impl_kafka"


@pytest.mark.parametrize("scheme,module", [
    ("rkafka", "oslo_messaging_rs.driver"), ("rabbit", "oslo_messaging._drivers.impl_rabbit"),
    ("fake", "oslo_messaging._drivers.impl_fake")])
def test_other_schemes_are_left_alone(scheme, module, environment, tmp_path):
    environment("rust")
    assert driver_of(tmp_path, scheme) == module


def test_an_unknown_word_is_told_and_nothing_changes(environment, tmp_path):
    environment("rost")
    out = programs.run(tmp_path, LOAD, "kafka")
    assert "OSLO_MESSAGING_KAFKA_DRIVER='rost': expected python or rust" in out
    assert "driver oslo_messaging._drivers.impl_kafka" in out


def test_confluent_kafka_is_not_needed(environment, tmp_path):
    environment("rust")
    # A module that is None in sys.modules is not found by an import.
    without = "sys.modules['confluent_kafka'] = None\n" + LOAD
    assert driver_of(tmp_path, "kafka", without) == "oslo_messaging_rs.driver"


def test_the_driver_may_have_been_imported_first(environment, tmp_path):
    environment("rust")
    early = "import oslo_messaging_rs.driver\n" + LOAD
    assert driver_of(tmp_path, "kafka", early) == "oslo_messaging_rs.driver"
    late = "import oslo_messaging._drivers.impl_kafka\n" + LOAD
    assert driver_of(tmp_path, "kafka", late) == "oslo_messaging_rs.driver"


def test_nothing_is_imported_at_the_start_of_python(environment, tmp_path):
    environment("rust")
    out = programs.run(tmp_path, """
        print(sorted(name for name in sys.modules if name.split(".")[0] in (
            "oslo_messaging", "oslo_messaging_rs", "stevedore", "eventlet", "oslo_config")))
        """)
    assert "['oslo_messaging_rs', 'oslo_messaging_rs.takeover']" in out


def test_a_notification_goes_by_kafka(environment, kafka, topic, opened, tmp_path):
    environment("rust")
    out = programs.run(tmp_path, """
        import bus
        url, topic = sys.argv[1:]
        transport = bus.transport(url)
        bus.notifier(transport, topic).info({}, "event", {"n": 1})
        print(transport._driver.stats()["delivered"], "delivered")
        """, f"kafka://{kafka.bootstrap}/", topic)
    assert "1 delivered" in out
