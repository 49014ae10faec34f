"""The same on Python's oslo.messaging, as a service would use it. Prints what it measured as its last line.

    python.py reference|driver|stub JOB
    python.py serve JOB

`reference` is the library's own driver of Kafka. It confirms nothing that it sends: `pipelined` ends with the flush of
its producer. Its listeners begin at the end of a topic, so `listen` first gives the group its place at the beginning.
`driver` is this project's (`rkafka://`). `stub` only listens: it hands over objects that are ready, without a broker,
so that what it costs is the library's executor and dispatcher. `serve` is the other side of remote calls.
"""

import json
import logging
import os
import resource
import subprocess
import sys
import threading
import time
import warnings

# Of eventlet, which is imported and not used.
warnings.simplefilter('ignore')

import confluent_kafka
import oslo_messaging
from oslo_config import cfg
from oslo_messaging._drivers import base

CORPUS = os.path.join(os.path.dirname(__file__), '../../../examples/notifications.jsonl')
LIMIT = 120


class Context(dict):
    """What travels of a context: objects that say what of them may."""

    def redacted_copy(self):
        return self

    def to_dict(self):
        return dict(self)


def memory_kib(field):
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


class Watch:
    def __init__(self):
        self.memory = memory_kib('VmRSS')
        self.first_record()

    def first_record(self):
        self.begun = time.monotonic()
        self.cpu = time.process_time()

    def stop(self, count, latencies=()):
        seconds, cpu = time.monotonic() - self.begun, time.process_time() - self.cpu
        micros = sorted(latency * 1e6 for latency in latencies)

        def quantile(q):
            return micros[round((len(micros) - 1) * q)] if micros else 0.0
        return {
            'count': count, 'seconds': seconds, 'cpu_seconds': cpu,
            'peak_kib': max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.memory),
            'p50_micros': quantile(0.5), 'p99_micros': quantile(0.99),
        }


class StubMessage(base.RpcIncomingMessage):
    def acknowledge(self):
        pass

    def requeue(self):
        pass

    def heartbeat(self):
        pass

    def reply(self, reply=None, failure=None):
        pass


class StubListener(base.Listener):
    def __init__(self, count):
        super().__init__(1, None)
        self.items = [
            (context, {
                'message_id': '', 'publisher_id': 'compute.bench', 'event_type': event_type, 'priority': 'INFO',
                'payload': payload, 'timestamp': '',
            }) for context, event_type, payload in corpus()]
        self.count = count

    def start(self, on_incoming_callback):
        super().start(on_incoming_callback)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        for context, message in cycle(self.items, self.count):
            self.on_incoming_callback([StubMessage(context, message, '')])

    def stop(self):
        pass

    def cleanup(self):
        pass


class StubDriver(base.BaseDriver):
    count = 0

    def send(self, *arguments, **options):
        raise NotImplementedError

    listen = send_notification = send

    def cleanup(self):
        pass

    def listen_for_notifications(self, targets_and_priorities, pool, batch_size, batch_timeout):
        return StubListener(self.count)


class Endpoint:
    def __init__(self, each):
        self.each = each

    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        self.each(event_type)


def corpus():
    with open(CORPUS) as lines:
        return [(Context(n['context']), n['event_type'], n['payload']) for n in map(json.loads, lines)]


def cycle(items, count):
    for index in range(count):
        yield items[index % len(items)]


def notifier(transport, job):
    return oslo_messaging.Notifier(
        transport, publisher_id='compute.bench', driver='messagingv2', topics=[job['topic']])


def create(job):
    """The topic, as the first message of a publisher would make it."""
    producer = confluent_kafka.Producer({'bootstrap.servers': job['bootstrap']})
    topic = job['topic'] + '.info'
    while producer.list_topics(topic, timeout=10).topics[topic].error:
        time.sleep(0.05)
    return topic


def place(job, topic):
    """Commits the beginning of each partition for the group."""
    consumer = confluent_kafka.Consumer({'bootstrap.servers': job['bootstrap'], 'group.id': job['group']})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.commit(
        offsets=[confluent_kafka.TopicPartition(topic, p, 0) for p in partitions], asynchronous=False)
    consumer.close()


def listener(transport, job, each):
    server = oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic=job['topic'])], [Endpoint(each)],
        executor='threading', pool=job['group'])
    server.start()
    return server


def pipelined(transport, job):
    send, items = notifier(transport, job), corpus()
    create(job)
    watch = Watch()
    for context, event_type, payload in cycle(items, job['count']):
        send.info(context, event_type, payload)
    transport.cleanup()
    return watch.stop(job['count'])


def threads(transport, job, number):
    """Each thread waits for the confirmation of its notification before it sends the next one."""
    send, items = notifier(transport, job), corpus()
    create(job)
    send.info(Context(), 'warm.up', None)
    each, latencies, start = job['count'] // number, [[] for _ in range(number)], threading.Event()

    def run(own):
        start.wait()
        for context, event_type, payload in cycle(items, each):
            begun = time.monotonic()
            send.info(context, event_type, payload)
            own.append(time.monotonic() - begun)
    started = [threading.Thread(target=run, args=(own,)) for own in latencies]
    for thread in started:
        thread.start()
    watch = Watch()
    start.set()
    for thread in started:
        thread.join()
    measured = watch.stop(each * number, [latency for own in latencies for latency in own])
    if transport._driver.stats()['delivered'] != each * number + 1:
        sys.exit(f'not everything was delivered: {transport._driver.stats()}')
    return measured


def listen(transport, job, program):
    watch, enough, seen, lock = Watch(), threading.Event(), [0], threading.Lock()
    count = job['count']
    if program == 'reference':
        place(job, job['topic'] + '.info')
        # It throws away what it polls while it starts.
        count -= 500
    result = []

    def each(_):
        with lock:
            seen[0] += 1
            if seen[0] == 1:
                watch.first_record()
            if seen[0] == count:
                result.append(watch.stop(seen[0]))
                enough.set()
    listener(transport, job, each)
    if not enough.wait(LIMIT):
        sys.exit(f'{seen[0]} of {job["count"]}')
    return result[0]


def end_to_end(transport, job, per_second):
    send, items, latencies, first = notifier(transport, job), corpus(), [], threading.Event()
    create(job)
    enough = threading.Event()

    def each(event_type):
        sent = float(event_type)
        if not sent:
            first.set()
            return
        latencies.append(time.monotonic() - sent)
        if len(latencies) == job['count']:
            enough.set()
    listener(transport, job, each)
    for _ in range(LIMIT):
        send.info(Context(), '0', None)
        if first.wait(1):
            break
    time.sleep(2)
    watch = Watch()
    for tick, (context, _, payload) in enumerate(cycle(items, job['count'])):
        time.sleep(max(0, watch.begun + tick / per_second - time.monotonic()))
        send.info(context, repr(time.monotonic()), payload)
    if not enough.wait(LIMIT):
        sys.exit(f'{len(latencies)} of {job["count"]}')
    return watch.stop(job['count'], latencies)


class Echo:
    def echo(self, ctxt, **arguments):
        return arguments


def rpc_transport(job):
    # It registers some of its options on the global object alone.
    cfg.CONF([])
    return oslo_messaging.get_rpc_transport(cfg.CONF, url=job['url'])


def serve(job):
    target = oslo_messaging.Target(topic=job['topic'], server='bench')
    server = oslo_messaging.get_rpc_server(rpc_transport(job), target, [Echo()], executor='threading')
    server.start()
    before = time.process_time()
    print('ready', flush=True)
    sys.stdin.read()
    print(time.process_time() - before, flush=True)


def calls(job, callers):
    server = subprocess.Popen(
        [sys.executable, __file__, 'serve', json.dumps(job)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline().strip() == 'ready'
    client = oslo_messaging.get_rpc_client(rpc_transport(job), oslo_messaging.Target(topic=job['topic']))
    context = {'user_id': 'u-1', 'project_id': 'p-1', 'request_id': 'req-1', 'roles': ['admin', 'member']}

    def call(number):
        answer = client.call(
            context, 'echo', reboot_type='HARD', block_device_info=[1, 2, 3], number=number,
            instance={'uuid': '0d2a7b9e-6f0c-4b7c-9a53-0e1b5a8c3f11', 'host': 'compute1', 'vcpus': 4})
        assert answer['number'] == number
    each, latencies, start = job['count'] // callers, [[] for _ in range(callers)], threading.Event()

    def run(own):
        start.wait()
        for number in range(each):
            begun = time.monotonic()
            call(number)
            own.append(time.monotonic() - begun)
    for number in range(50):
        call(number)
    started = [threading.Thread(target=run, args=(own,)) for own in latencies]
    for thread in started:
        thread.start()
    watch = Watch()
    start.set()
    for thread in started:
        thread.join()
    measured = watch.stop(each * callers, [latency for own in latencies for latency in own])
    server.stdin.close()
    measured['cpu_seconds'] += float(server.stdout.readline())
    return measured


def open_transport(program, job):
    conf = cfg.ConfigOpts()
    conf([])
    url = job['url']
    if program == 'driver':
        query = 'delivery=queued' if job['what'] == 'pipelined' else 'auto_offset_reset=earliest'
        url = f'r{url}?{query}'
    elif program == 'stub':
        StubDriver.count = job['count']
        url = oslo_messaging.TransportURL.parse(conf, url)
        return oslo_messaging.transport.NotificationTransport(StubDriver(conf, url))
    return oslo_messaging.get_notification_transport(conf, url=url)


def main():
    logging.basicConfig(level=logging.ERROR)
    program, job = sys.argv[1], json.loads(sys.argv[2])
    if program == 'serve':
        serve(job)
        os._exit(0)
    what = job['what']
    transport = None if 'calls' in what else open_transport(program, job)
    if 'calls' in what:
        measured = calls(job, what['calls']['callers'])
    elif what == 'pipelined':
        measured = pipelined(transport, job)
    elif what == 'listen':
        measured = listen(transport, job, program)
    elif 'threads' in what:
        measured = threads(transport, job, what['threads']['number'])
    else:
        measured = end_to_end(transport, job, what['end_to_end']['per_second'])
    print(json.dumps(measured), flush=True)
    # The reference's threads have nothing more to do, and stopping them takes seconds.
    os._exit(0)


main()
