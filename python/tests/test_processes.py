"""Processes: short lives, forks, spawns, signals, and ends with a listener at work."""

import collections
import os
import pickle
import signal
import time

import bus
import programs
import pytest

NOTIFY = """
import bus
url, topic, payload = sys.argv[1:4]
transport = bus.transport(url)
bus.notifier(transport, topic).info({}, "event", payload)
"""


def payloads(opened, topic, count, limit=30):
    """What is in a topic, read from its beginning by a group of its own."""
    endpoint = bus.Endpoint()
    with bus.listening(opened(auto_offset_reset="earliest"), topic, [endpoint], pool=f"{topic}-look"):
        endpoint.wait(count, limit)
        time.sleep(0.5)
    return collections.Counter(
        payload if isinstance(payload, str) else str(payload) for payload in endpoint.payloads)


def test_twenty_programs_that_notify_once_and_end_deliver_twenty(opened, topic, kafka, tmp_path):
    url = f"rkafka://{kafka.bootstrap}/"
    for number in range(20):
        programs.run(tmp_path, NOTIFY, url, topic, f"p{number}")
    assert payloads(opened, topic, 20) == collections.Counter(f"p{n}" for n in range(20))


def test_twenty_forked_children_deliver_twenty_and_end_by_themselves(opened, topic, kafka, tmp_path):
    out = programs.run(tmp_path, """
        import bus
        url, topic = sys.argv[1:]
        transport = bus.transport(url)
        notifier = bus.notifier(transport, topic)
        notifier.info({}, "event", "parent before")
        for number in range(20):
            begun = time.monotonic()
            child = os.fork()
            if not child:
                notifier.info({}, "event", f"child {number}")
                # As servers end their children: nothing else runs.
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert status == 0
            assert time.monotonic() - begun < 5, time.monotonic() - begun
        notifier.info({}, "event", "parent after")
        begun = time.monotonic()
        import atexit
        atexit.register(lambda: print("ended after", time.monotonic() - begun))
        """, f"rkafka://{kafka.bootstrap}/", topic)
    assert float(out.split("ended after")[1]) < 2
    expected = [f"child {n}" for n in range(20)] + ["parent before", "parent after"]
    assert payloads(opened, topic, 22) == collections.Counter(expected)


def test_a_child_that_ends_in_order_ends_within_two_seconds(opened, topic, kafka, tmp_path):
    out = programs.run(tmp_path, """
        import bus
        url, topic = sys.argv[1:]
        transport = bus.transport(url)
        notifier = bus.notifier(transport, topic)
        endpoint = bus.Endpoint()
        with bus.listening(transport, topic, [endpoint]):
            notifier.info({}, "event", "parent")
            child = os.fork()
            if not child:
                notifier.info({}, "event", "child")
                transport.cleanup()
                print("child", flush=True)
                sys.exit(0)
            begun = time.monotonic()
            _, status = os.waitpid(child, 0)
            print("status", status, flush=True)
            assert time.monotonic() - begun < 2, time.monotonic() - begun
            assert len(endpoint.wait(2)) == 2
        """, f"rkafka://{kafka.bootstrap}/", topic)
    assert "status 0" in out, out
    assert payloads(opened, topic, 2) == {"parent": 1, "child": 1}


def test_what_a_parent_has_queued_is_the_parents(opened, topic, kafka, tmp_path):
    programs.run(tmp_path, """
        import bus
        url, topic = sys.argv[1:]
        transport = bus.transport(url, delivery="queued", producer_batch_timeout=0.5)
        notifier = bus.notifier(transport, topic)
        for number in range(50):
            notifier.info({}, "event", f"parent {number}")
        child = os.fork()
        if not child:
            notifier.info({}, "event", "child")
            transport.cleanup()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """, f"rkafka://{kafka.bootstrap}/", topic)
    expected = collections.Counter([f"parent {n}" for n in range(50)] + ["child"])
    assert payloads(opened, topic, 51) == expected


def test_a_queue_is_flushed_at_the_exit(opened, topic, kafka, tmp_path):
    programs.run(tmp_path, """
        import bus
        url, topic = sys.argv[1:]
        notifier = bus.notifier(bus.transport(url, delivery="queued"), topic)
        for number in range(100):
            notifier.info({}, "event", str(number))
        """, f"rkafka://{kafka.bootstrap}/", topic)
    assert payloads(opened, topic, 100) == collections.Counter(map(str, range(100)))


def test_a_pre_forking_server_delivers_from_each_of_its_workers(opened, topic, kafka, tmp_path):
    programs.run(tmp_path, """
        import bus, cotyledon, signal
        url, topic = sys.argv[1:]
        transport = bus.transport(url)
        # As oslo.service's threading backend: made, and used, in the parent.
        notifier = bus.notifier(transport, topic)
        notifier.info({}, "event", "manager")

        class Worker(cotyledon.Service):
            def run(self):
                notifier.info({}, "event", f"worker {self.worker_id}")
                os.kill(os.getppid(), signal.SIGTERM) if self.worker_id == 1 else None

        manager = cotyledon.ServiceManager()
        manager.add(Worker, workers=2)
        threading.Timer(20, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        try:
            manager.run()
        except SystemExit:
            os._exit(0)
        """, f"rkafka://{kafka.bootstrap}/", topic)
    seen = payloads(opened, topic, 3)
    assert seen["manager"] == 1 and seen["worker 1"] == 1 and max(seen.values()) == 1


def test_a_driver_can_be_pickled_for_a_spawned_process(opened, topic):
    transport = opened()
    copy = pickle.loads(pickle.dumps(transport._driver))
    transport._driver, kept = copy, transport._driver
    bus.notifier(transport, topic).info({}, "event", "of the copy")
    kept.cleanup()
    assert payloads(opened, topic, 1) == {"of the copy": 1}


def test_control_c_answers_while_a_sending_waits(topic, own_kafka, tmp_path):
    own_kafka.tell("pause")
    program = programs.Program(tmp_path, """
        import bus, oslo_messaging
        url, topic = sys.argv[1:]
        transport = bus.transport(url)
        try:
            print("waits", flush=True)
            transport._send_notification(
                oslo_messaging.Target(topic=topic), {}, {"message_id": "m"}, version="2.0")
        except KeyboardInterrupt:
            print("answered", time.time(), flush=True)
            os._exit(0)
        """, f"rkafka://{own_kafka.bootstrap}/", f"{topic}.info")
    assert program.process.stdout.readline() == "waits\n"
    time.sleep(1)
    sent = time.time()
    program.process.send_signal(signal.SIGINT)
    out, code = program.end(10)
    assert code == 0, out
    assert float(out.split("answered")[1]) - sent < 0.2


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise ValueError('x')"])
def test_an_interpreter_ends_with_a_listener_at_work(opened, topic, kafka, tmp_path, end):
    begun = time.monotonic()
    out, code = programs.Program(tmp_path, f"""
        import bus, oslo_messaging
        url, topic = sys.argv[1:]
        transport = bus.transport(url)
        endpoint = bus.Endpoint(lambda payload: time.sleep(0.01))
        server = oslo_messaging.get_notification_listener(
            transport, [oslo_messaging.Target(topic=topic)], [endpoint], executor="threading")
        server.start()
        server.listener.ready(30)
        notifier = bus.notifier(transport, topic)
        for number in range(20):
            notifier.info({{}}, "event", str(number))
        endpoint.wait(5)
        print("ends", flush=True)
        {end}
        """, f"rkafka://{kafka.bootstrap}/", topic).end(30)
    assert code == {"": 0, "raise SystemExit(3)": 3}.get(end, 1), out
    assert "Fatal" not in out and "panicked" not in out, out
    assert time.monotonic() - begun < 25


def test_nothing_runs_before_the_first_use(tmp_path):
    out = programs.run(tmp_path, """
        import bus
        transport = bus.transport("rkafka://127.0.0.1:9/")
        print("threads", len(os.listdir("/proc/self/task")))
        """)
    assert "threads 1" in out
