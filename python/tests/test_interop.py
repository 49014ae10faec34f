"""The reference driver and this one in one deployment: records, and a pool handed over while it is in use."""

import collections
import json
import pathlib
import subprocess
import sys
import threading
import time

import bus
import pytest


def _make(kafka, topic, partitions=2):
    """The reference makes no topics; this driver's listener does."""
    transport = bus.transport(f"rkafka://{kafka.bootstrap}/", topic_partitions=partitions)
    with bus.listening(transport, topic, [bus.Endpoint()], pool="maker"):
        pass
    transport.cleanup()


@pytest.mark.parametrize("emitter", ["kafka", "rkafka"])
@pytest.mark.parametrize("consumer", ["kafka", "rkafka"])
def test_emitters_and_consumers_of_both_drivers(opened, topic, kafka, emitter, consumer):
    _make(kafka, topic)
    endpoint = bus.Endpoint()
    # The reference reads from the end and says not when it has begun.
    with bus.listening(opened(scheme=consumer), topic, [endpoint], pool=topic,
                       ready=30 if consumer == "rkafka" else None):
        sender = opened(scheme=emitter)
        notifier = bus.notifier(sender, topic, publisher_id="compute.host1")
        assert bus.until(lambda: notifier.info({}, "probe", "probe") or endpoint.seen, 60)
        time.sleep(2)
        payloads = [{"n": number, "nan": None, "é": "😀"} for number in range(100)]
        for payload in payloads:
            notifier.info({}, "event", payload)
        sender.cleanup()
        assert bus.until(lambda: sum(entry[3] == "event" for entry in endpoint.seen) >= 100, 60)
        time.sleep(0.5)
    got = [entry[4] for entry in endpoint.seen if entry[3] == "event"]
    assert sorted(got, key=lambda payload: payload["n"]) == payloads


def test_a_pool_goes_from_the_reference_to_this_driver_and_back_while_it_is_in_use(
        opened, topic, kafka):
    _make(kafka, topic)
    running, sent = [True], []
    notifier = bus.notifier(opened(), topic)

    def send():
        while running[0]:
            notifier.info({}, "event", len(sent))
            sent.append(len(sent))
            time.sleep(0.01)

    endpoints = []
    sender = threading.Thread(target=send)
    for index, scheme in enumerate(("kafka", "rkafka", "kafka")):
        endpoint = bus.Endpoint()
        endpoints.append(endpoint)
        with bus.listening(opened(scheme=scheme), topic, [endpoint], pool=topic,
                           ready=30 if scheme == "rkafka" else None):
            if index == 0:
                # From here on the group has an offset.
                assert bus.until(lambda: notifier.info({}, "probe", "probe") or endpoint.seen, 60)
                time.sleep(2)
                sender.start()
            time.sleep(5)
            if index == 2:
                running[0] = False
                sender.join()
                bus.until(lambda: len(sent) - 1 in endpoint.payloads, 30)
                time.sleep(1)
    seen = [collections.Counter(entry[4] for entry in endpoint.seen if entry[3] == "event")
            for endpoint in endpoints]
    everything = sum(seen, collections.Counter())
    lost = set(sent) - set(everything)
    print("lost", sorted(lost), "by driver", [len(counter) for counter in seen])
    # Nothing twice, and what this driver had is whole: the reference's own stops lose up to a batch each.
    assert max(everything.values()) == 1
    first, last = min(seen[1]), max(seen[1])
    assert set(range(first, last)) - set(everything) == set()
    assert len(lost) <= 2 * 500


def test_confluent_kafka_lives_in_the_same_process(opened, topic, kafka):
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    endpoint = bus.Endpoint()
    with bus.listening(opened(), topic, [endpoint]):
        for number in range(20):
            bus.notifier(opened(), topic).info({}, "event", number)
            inner = {"message_id": str(number), "publisher_id": None, "event_type": "c",
                     "priority": "INFO", "payload": number, "timestamp": "", "_context": {}}
            body = {"oslo.version": "2.0", "oslo.message": json.dumps(inner)}
            producer.produce(f"{topic}.info", json.dumps(body))
        producer.flush(10)
        assert len(endpoint.wait(40)) == 40
    assert {entry[2] for entry in endpoint.seen} == {"tests", None}


def test_options_are_in_the_generators_sample_and_the_validator_takes_a_file_with_them(tmp_path):
    bin_ = pathlib.Path(sys.executable).parent
    namespaces = ["--namespace", "oslo.messaging", "--namespace", "oslo.messaging.rkafka"]
    sample = subprocess.run(
        [bin_ / "oslo-config-generator", *namespaces], capture_output=True, text=True, check=True)
    for name in ("consumer_group", "delivery_timeout", "commit", "spool_dir"):
        assert f"#{name} =" in sample.stdout, name
    config = tmp_path / "service.conf"
    config.write_text("[oslo_messaging_kafka]\ndelivery = queued\ncommit = after_dispatch\n"
                      "session_timeout = 20\nconsumer_group = g\nlibrdkafka_properties = a:b\n")
    checked = subprocess.run(
        [bin_ / "oslo-config-validator", *namespaces, "--input-file", config],
        capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    # The control: an option that nobody has.
    config.write_text("[oslo_messaging_kafka]\ndelivry = queued\n")
    checked = subprocess.run(
        [bin_ / "oslo-config-validator", *namespaces, "--input-file", config],
        capture_output=True, text=True)
    assert checked.returncode == 1 and "delivry" in checked.stderr
