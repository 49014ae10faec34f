"""A bus that is dead or slow, and the service that goes on."""

import logging
import os
import time

import bus
import oslo_messaging
import programs
import pytest
from oslo_messaging_rs import driver

#: How long eventlet is kept busy, in seconds.
_BUSY = int(os.environ.get("EVENTLET_SECONDS", "20"))


def send(transport, topic, message_id="m"):
    message = {"message_id": message_id, "event_type": "event", "payload": {}}
    transport._send_notification(oslo_messaging.Target(topic=f"{topic}.info"), {}, message, "2.0")


def test_two_hundred_calls_to_a_dead_bus_take_one_timeout_and_each_is_logged(opened, topic, caplog):
    caplog.set_level(logging.ERROR, "oslo_messaging_rs")
    transport = opened(bootstrap="127.0.0.1:9")
    begun = time.monotonic()
    for number in range(200):
        with pytest.raises(driver.NotDelivered):
            send(transport, topic, f"call-{number}")
    assert time.monotonic() - begun < 15
    said = [record.message for record in caplog.records if record.name == "oslo_messaging_rs"]
    for number in range(200):
        assert any(f"call-{number} " in line for line in said), number


def test_a_notifier_of_oslo_goes_on_when_the_bus_is_dead(opened, topic):
    notifier = bus.notifier(opened("?connect_timeout=1", bootstrap="127.0.0.1:9"), topic)
    for _ in range(3):
        notifier.info({}, "event", {})


def test_queued_and_spooled_return_at_once(opened, topic, tmp_path):
    for options in ({"delivery": "queued"}, {"delivery": "spooled", "spool_dir": str(tmp_path)}):
        transport = opened(bootstrap="127.0.0.1:9", exit_flush_timeout=0.1, **options)
        send(transport, topic)
        begun = time.monotonic()
        for _ in range(100):
            send(transport, topic)
        assert time.monotonic() - begun < 0.5, options
        transport._driver._closed = True


def test_a_frozen_broker_stalls_no_green_thread(topic, own_kafka, tmp_path):
    own_kafka.tell("pause")
    out = programs.run(tmp_path, """
        import bus, oslo_messaging
        from eventlet import tpool
        url, topic = sys.argv[1:]
        transport = bus.transport(url)
        results, stalls = [], []

        def send(number):
            message = {"message_id": str(number), "event_type": "e", "payload": {}}
            try:
                transport._send_notification(
                    oslo_messaging.Target(topic=topic), {}, message, "2.0")
                results.append("delivered")
            except oslo_messaging.MessageDeliveryFailure as error:
                results.append(type(error).__name__)

        def watch():
            while len(results) < 100:
                begun = time.monotonic()
                eventlet.sleep(0.005)
                stalls.append(time.monotonic() - begun - 0.005)

        watcher = eventlet.spawn(watch)
        senders = [eventlet.spawn(send, number) for number in range(100)]
        eventlet.sleep(1)
        begun = time.monotonic()
        tpool.execute(lambda: None)
        print("tpool", time.monotonic() - begun)
        for sender in senders:
            sender.wait()
        watcher.wait()
        print("results", len(results), set(results))
        print("stall", max(stalls))
        """, f"rkafka://{own_kafka.bootstrap}/?delivery_timeout=8&connect_timeout=5", f"{topic}.info",
        head=programs.EVENTLET)
    assert float(out.split("tpool")[1].split()[0]) < 0.05, out
    assert "results 100 {'NotDelivered'}" in out, out
    assert float(out.split("stall")[1].split()[0]) < 0.05, out
    own_kafka.tell("resume")


def test_heavy_logging_and_consuming_under_eventlet(topic, kafka, tmp_path):
    out = programs.run(tmp_path, """
        import bus
        url, topic, seconds = sys.argv[1:]
        logging.basicConfig(level=logging.DEBUG, filename=os.devnull)
        transport = bus.transport(url + "?librdkafka_properties=debug:all")
        endpoint = bus.Endpoint(lambda payload: logging.debug("handled %s", payload))
        end = time.monotonic() + float(seconds)
        ticks, sent = [time.monotonic()], [0]

        def send():
            notifier = bus.notifier(transport, topic)
            while time.monotonic() < end:
                notifier.info({}, "event", {"n": sent[0]})
                sent[0] += 1
                logging.debug("sent %s", sent[0])

        def tick():
            while time.monotonic() < end:
                eventlet.sleep(0.01)
                ticks.append(time.monotonic())

        with bus.listening(transport, topic, [endpoint], executor="eventlet"):
            threads = [eventlet.spawn(send), eventlet.spawn(tick)]
            for thread in threads:
                thread.wait()
            endpoint.wait(sent[0])
        print("sent", sent[0], "seen", len(endpoint.seen))
        print("longest", max(b - a for a, b in zip(ticks, ticks[1:])))
        """, f"rkafka://{kafka.bootstrap}/", topic, _BUSY, head=programs.EVENTLET, limit=_BUSY + 70)
    sent, seen = out.split("sent")[1].split()[0], out.split("seen")[1].split()[0]
    assert sent == seen and int(sent) > 100, out


def test_a_timeout_of_the_caller_ends_his_wait_under_eventlet(topic, own_kafka, tmp_path):
    ready, frozen = tmp_path / "ready", tmp_path / "frozen"
    program = programs.Program(tmp_path, """
        import bus, pathlib
        url, topic, ready, frozen = sys.argv[1:]
        transport = bus.transport(url)
        bus.notifier(transport, topic).info({}, "event", 1)
        pathlib.Path(ready).touch()
        while not os.path.exists(frozen):
            time.sleep(0.05)
        begun = time.monotonic()
        message = {"message_id": "m", "event_type": "e", "payload": 1}
        try:
            with eventlet.Timeout(1):
                transport._send_notification(
                    bus.oslo_messaging.Target(topic=topic + ".info"), {}, message, 2.0)
        except eventlet.Timeout:
            print("timed out after", time.monotonic() - begun, flush=True)
        os._exit(0)
        """, f"rkafka://{own_kafka.bootstrap}/", topic, ready, frozen, head=programs.EVENTLET)
    assert bus.until(ready.exists)
    own_kafka.tell("pause")
    frozen.touch()
    out, _ = program.end()
    own_kafka.tell("resume")
    assert 0.9 < float(out.split("after")[1]) < 3, out
