"""Sending and listening on a real Kafka, with the wheel's driver on both sides."""

import datetime
import logging
import time
import uuid

import bus
import oslo_messaging
import pytest
from oslo_messaging_rs import driver


def test_every_priority_arrives_once_with_what_was_sent(opened, topic):
    endpoint = bus.Endpoint()
    with bus.listening(opened(), topic, [endpoint]):
        notifier = bus.notifier(opened(), topic, publisher_id="compute.host1")
        for priority in bus.PRIORITIES:
            getattr(notifier, priority)({}, f"event.{priority}", {"priority": priority, "é": [1, None]})
        seen = endpoint.wait(7)
    assert sorted(entry[0] for entry in seen) == sorted(bus.PRIORITIES)
    for priority, ctxt, publisher_id, event_type, payload, metadata in seen:
        assert (publisher_id, event_type) == ("compute.host1", f"event.{priority}")
        assert payload == {"priority": priority, "é": [1, None]}
        assert ctxt == {}
        assert set(metadata) == {"message_id", "timestamp"}


def test_what_python_can_write_arrives_as_it_was(opened, topic):
    payload = {
        "nan": float("nan"), "infinity": float("inf"), "long": 10**100, "surrogate": "\ud800x",
        "astral": "😀", "nested": [[[{"a": []}]]], "none": None, "float": 1e-7,
    }
    endpoint = bus.Endpoint()
    with bus.listening(opened(), topic, [endpoint]):
        bus.notifier(opened(), topic).info({}, "odd", payload)
        [(_, _, _, _, got, _)] = endpoint.wait(1)
    assert got.pop("nan") != got.get("nan")
    payload.pop("nan")
    assert got == payload


def test_what_is_no_json_becomes_what_the_reference_makes_of_it(opened, topic):
    payload = {"when": datetime.datetime(2026, 11, 28, 1, 2, 3), "id": uuid.UUID(int=7), "set": {1}}
    endpoint = bus.Endpoint()
    with bus.listening(opened(), topic, [endpoint]):
        bus.notifier(opened(), topic).info({}, "objects", payload)
        [entry] = endpoint.wait(1)
    assert entry[4] == {"when": "2026-11-28T01:02:03.000000", "id": str(uuid.UUID(int=7)), "set": [1]}


def test_a_virtual_host_is_a_part_of_the_topic_on_both_sides(opened, topic):
    there, elsewhere = bus.Endpoint(), bus.Endpoint()
    with bus.listening(opened(vhost="v1"), topic, [there]), bus.listening(opened(), topic, [elsewhere]):
        bus.notifier(opened(vhost="v1"), topic).info({}, "event", {})
        assert len(there.wait(1)) == 1
        assert elsewhere.wait(1, limit=1) == []


def test_pools_get_everything_and_members_share(opened, topic):
    members, other = [bus.Endpoint(), bus.Endpoint()], bus.Endpoint()
    with (
        bus.listening(opened(topic_partitions=4), topic, [members[0]], pool=f"{topic}-a"),
        bus.listening(opened(topic_partitions=4), topic, [members[1]], pool=f"{topic}-a"),
        bus.listening(opened(topic_partitions=4), topic, [other], pool=f"{topic}-b"),
    ):
        notifier = bus.notifier(opened(), topic)
        for number in range(200):
            notifier.info({}, "event", {"n": number})
        assert len(other.wait(200)) == 200
        assert bus.until(lambda: sum(len(member.seen) for member in members) >= 200)
        time.sleep(0.5)
    shared = [payload["n"] for member in members for payload in member.payloads]
    assert sorted(shared) == list(range(200))


def test_one_partition_is_handled_in_order_and_none_at_once(opened, topic):
    running, most = [0], [0]

    def handle(payload):
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.002)
        running[0] -= 1

    endpoint = bus.Endpoint(handle)
    with bus.listening(opened(topic_partitions=1), topic, [endpoint]):
        notifier = bus.notifier(opened(delivery="queued"), topic)
        for number in range(300):
            notifier.info({}, "event", {"n": number})
        endpoint.wait(300)
    assert [payload["n"] for payload in endpoint.payloads] == list(range(300))
    assert most == [1]


def test_filters_are_those_of_oslo(opened, topic):
    endpoint = bus.Endpoint()
    endpoint.filter_rule = oslo_messaging.NotificationFilter(event_type="^compute")
    with bus.listening(opened(topic_partitions=1), topic, [endpoint]):
        notifier = bus.notifier(opened(), topic)
        for event in ("volume.delete", "compute.create", "compute.delete"):
            notifier.info({}, event, {})
        assert len(endpoint.wait(2)) == 2
    assert [entry[3] for entry in endpoint.seen] == ["compute.create", "compute.delete"]


def test_a_batch_listener_gets_batches_in_order(opened, topic):
    class Batches:
        def __init__(self):
            self.batches = []

        def info(self, messages):
            self.batches.append([message["payload"]["n"] for message in messages])

    endpoint = Batches()
    with bus.listening(opened(topic_partitions=1), topic, [endpoint], batch_size=20, batch_timeout=0.5):
        notifier = bus.notifier(opened(delivery="queued"), topic)
        for number in range(110):
            notifier.info({}, "event", {"n": number})
        assert bus.until(lambda: sum(map(len, endpoint.batches)) == 110)
    assert [n for batch in endpoint.batches for n in batch] == list(range(110))
    assert max(map(len, endpoint.batches)) == 20


def test_a_batch_listener_without_sizes_delivers(opened, topic):
    class Batches:
        def __init__(self):
            self.payloads = []

        def info(self, messages):
            self.payloads += [message["payload"] for message in messages]

    endpoint = Batches()
    with bus.listening(opened(), topic, [endpoint], batch_size=None):
        bus.notifier(opened(), topic).info({}, "event", 1)
        assert bus.until(lambda: endpoint.payloads == [1], 10)


@pytest.mark.parametrize("options", [{}, {"commit": "after_dispatch", "max_redeliveries": 1,
                                          "redelivery_backoff": 0.1}])
@pytest.mark.parametrize("batch", [{}, {"batch_size": 10, "batch_timeout": 0.5}])
def test_what_python_cannot_hold_is_passed_over_and_the_others_come(
        opened, topic, caplog, options, batch):
    transport = opened(topic_partitions=1, **options)
    seen = []

    class Endpoint:
        def info(self, *arguments):
            messages = arguments[0] if batch else [{"payload": arguments[3]}]
            seen.extend(message["payload"] for message in messages)

    with bus.listening(transport, topic, [Endpoint()], **batch):
        sender = opened()._driver
        for number in range(5):
            payload = "[" * 5000 + "]" * 5000 if number == 2 else str(number)
            inner = ('{"message_id": "m%d", "publisher_id": "p", "event_type": "e", "priority": "INFO", '
                     '"payload": %s, "timestamp": "2026-11-28 00:00:00", "_context": {}}')
            sender._live().deliver(f"{topic}.info", f"m{number}", "e", inner % (number, payload), -1)
        assert bus.until(lambda: sorted(seen) == [0, 1, 3, 4], 20), seen
    assert "could not be read" in caplog.text


def test_requeue_comes_again_where_that_was_chosen(opened, topic):
    attempts = []

    def handle(payload):
        attempts.append(payload["n"])
        return oslo_messaging.NotificationResult.REQUEUE if len(attempts) <= 2 else None

    transport = opened(commit="after_dispatch", redelivery_backoff=0.1, topic_partitions=1)
    transport._require_driver_features(requeue=True)
    endpoint = bus.Endpoint(handle)
    with bus.listening(transport, topic, [endpoint], allow_requeue=True):
        notifier = bus.notifier(opened(), topic)
        for number in (1, 2):
            notifier.info({}, "event", {"n": number})
        endpoint.wait(4)
    assert attempts == [1, 1, 1, 2]


def test_requeue_is_refused_where_nothing_is_redelivered_and_a_service_that_asks_for_it_starts(
        opened, topic, caplog):
    transport = opened()
    with pytest.raises(NotImplementedError, match="after_dispatch"):
        transport._require_driver_features(requeue=True)
    endpoint = bus.Endpoint(lambda payload: oslo_messaging.NotificationResult.REQUEUE)
    with bus.listening(transport, topic, [endpoint], allow_requeue=True):
        bus.notifier(opened(), topic).info({}, "event", {})
        [entry] = endpoint.wait(1)
        message_id = entry[5]["message_id"]
        assert bus.until(lambda: message_id in caplog.text, 10)
        assert endpoint.wait(2, limit=1) == [entry]


def test_a_cleanup_ends_what_listens_and_sends_what_waits(opened, topic):
    listening, endpoint = opened(), bus.Endpoint()
    with bus.listening(listening, topic, [endpoint]) as server:
        sending = opened("?delivery=queued")
        bus.notifier(sending, topic).info({}, "event", 1)
        sending.cleanup()
        assert sending._driver.stats()["delivered"] == 1
        assert len(endpoint.wait(1)) == 1
        begun = time.monotonic()
        listening.cleanup()
        assert time.monotonic() - begun < 5
        assert server.listener._ended.is_set()


def test_a_stop_with_an_idle_endpoint_takes_less_than_a_second_and_a_start_goes_on(opened, topic):
    transport, endpoint = opened(topic_partitions=1), bus.Endpoint()
    notifier = bus.notifier(opened(), topic)
    for number in range(0, 6, 2):
        with bus.listening(transport, topic, [endpoint]) as server:
            notifier.info({}, "event", number)
            endpoint.wait(number + 1)
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < 1
        # Sent while nobody listens: the next one gets it first.
        notifier.info({}, "event", number + 1)
    with bus.listening(transport, topic, [endpoint]):
        endpoint.wait(6)
    assert endpoint.payloads == list(range(6))


def test_a_refused_notification_raises_names_itself_and_is_logged_in_the_calling_thread(
        opened, topic, caplog):
    transport = opened()
    caplog.set_level(logging.ERROR, "oslo_messaging_rs")
    target = oslo_messaging.Target(topic=f"{topic}.info")
    message = {"message_id": "m-7", "event_type": "too.large", "payload": "x" * 2_000_000}
    with pytest.raises(driver.NotDelivered) as raised:
        transport._send_notification(target, {}, message, version="2.0")
    for part in ("m-7", "too.large", topic):
        assert part in str(raised.value)
    [record] = [record for record in caplog.records if record.name == "oslo_messaging_rs"]
    assert record.threadName == "MainThread"
    # The notifier goes on working.
    transport._send_notification(target, {}, {**message, "payload": 1}, version="2.0")


def test_rpc_is_refused_and_the_words_name_who_can(opened):
    transport = opened()
    with pytest.raises(NotImplementedError, match="rabbit://"):
        transport._driver.send(None, {}, {})
    with pytest.raises(NotImplementedError, match="rabbit://"):
        transport._driver.listen(None, 1, None)


@pytest.mark.parametrize("query, words", [
    ("?delivery_timeot=3", "delivery_timeot"),
    ("?delivery_timeout=soon", "soon"),
    ("?delivery_timeout=-1", "0.001"),
    ("?commit=never", "after_dispatch.*never"),
    ("?message_key=payload", "payload"),
])
def test_bad_options_are_refused_at_once(opened, query, words):
    with pytest.raises(Exception, match=words):
        opened(query)


def test_the_messages_of_the_caller_are_not_changed(opened, topic):
    message = {"message_id": "m", "event_type": "e", "payload": {}, "priority": "INFO"}
    before = dict(message)
    opened()._send_notification(oslo_messaging.Target(topic=f"{topic}.info"), {}, message, version="2.0")
    assert message == before
