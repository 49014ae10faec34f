"""The same on Python's oslo.messaging, as a service would use it. Prints what it measured as its last line.

It confirms nothing that it sends: `pipelined` ends with the flush of its producer. Its listeners begin at the end of a
topic, so `listen` first gives the group its place at the beginning.
"""

import json
import logging
import os
import resource
import sys
import threading
import time

import confluent_kafka
import oslo_messaging
from oslo_config import cfg

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


def listen(transport, job):
    watch, enough, seen, lock = Watch(), threading.Event(), [0], threading.Lock()
    place(job, job['topic'] + '.info')
    result = []

    def each(_):
        with lock:
            seen[0] += 1
            if seen[0] == 1:
                watch.first_record()
            # The reference throws away what it polls while it starts.
            if seen[0] == job['count'] - 500:
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


def main():
    logging.basicConfig(level=logging.ERROR)
    job = json.loads(sys.argv[1])
    conf = cfg.ConfigOpts()
    conf([])
    transport = oslo_messaging.get_notification_transport(conf, url=job['url'])
    what = job['what']
    if what == 'pipelined':
        measured = pipelined(transport, job)
    elif what == 'listen':
        measured = listen(transport, job)
    else:
        measured = end_to_end(transport, job, what['end_to_end']['per_second'])
    print(json.dumps(measured), flush=True)
    # Its threads have nothing more to do, and stopping them takes seconds.
    os._exit(0)


main()
