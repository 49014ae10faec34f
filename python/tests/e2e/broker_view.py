"""What a broker itself says of topics and groups. It goes by confluent-kafka: neither driver is asked.

The client lives in a process of its own, for it can wait without end when it is closed after its broker has gone.
"""

import json
import multiprocessing
import time

import confluent_kafka
from confluent_kafka import admin

#: Longest wait for one answer, for one where the question is put again, and for the reading of all, in seconds.
_ANSWER = 15
_LOOK = 3
_READ = 60
_TOPICS = "notifications."
#: The default of [oslo_messaging_kafka] consumer_group.
GROUP = "oslo_messaging_consumer"


class BrokerView:
    """The notifications' topics of one broker, and the group that reads them. To be used in a ``with`` block."""

    def __init__(self, address):
        self._process = multiprocessing.get_context("spawn").Pool(1, _connect, (address,))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.terminate()
        self._process.join()

    def make_topics(self, names):
        """Makes those that are not there yet."""
        self._ask(_make_topics, tuple(names))

    def await_readers(self, topic, limit, is_alive):
        """Waits until the group reads every partition there is, ``topic`` among them. Returns whether it does."""
        deadline = time.monotonic() + limit
        while is_alive() and time.monotonic() < deadline:
            if self._ask(_are_all_read, topic):
                return True
            time.sleep(0.2)
        return False

    def message_ids(self):
        """The ids of all notifications on the topics, from their beginnings to their ends."""
        return self._ask(_message_ids)

    def left_over(self):
        """How many records the group would read again, or for the first time, after a restart."""
        return self._ask(_left_over)

    def _ask(self, question, *arguments):
        return self._process.apply_async(_answer, (question, arguments)).get(2 * _READ)


# ---- in the other process ----

_settings = {}
_client = None


def _connect(address):
    global _client
    _settings.update({"bootstrap.servers": address, "log_level": 2})
    _client = admin.AdminClient(_settings)


def _answer(question, arguments):
    try:
        return question(*arguments)
    except confluent_kafka.KafkaException as error:
        # The exception itself cannot be handed to another process.
        raise RuntimeError(f"{question.__name__}: {error}") from None


def _topics():
    """All of them, by name."""
    return _client.list_topics(timeout=_ANSWER).topics


def _partitions():
    """All partitions of the notifications' topics, as pairs of topic and number."""
    topics = _topics()
    return {(name, number) for name in topics if name.startswith(_TOPICS) for number in topics[name].partitions}


def _ends():
    partitions = [confluent_kafka.TopicPartition(*place) for place in _partitions()]
    if not partitions:
        return {}
    answers = _client.list_offsets({place: admin.OffsetSpec.latest() for place in partitions})
    return {(place.topic, place.partition): end.result(_ANSWER).offset for place, end in answers.items()}


def _make_topics(names):
    there = _topics()
    new = [admin.NewTopic(name, num_partitions=4) for name in names if name not in there]
    for made in (_client.create_topics(new, operation_timeout=_ANSWER) if new else {}).values():
        made.result(_ANSWER)


def _are_all_read(topic):
    there = _partitions()
    # A broker that has had no group yet has no place for one, and a question about it would wait long.
    return any(name == topic for name, _ in there) and "__consumer_offsets" in _topics() and _assigned() == there


def _assigned():
    try:
        group = _client.describe_consumer_groups([GROUP], request_timeout=_LOOK)[GROUP].result(_ANSWER)
    except confluent_kafka.KafkaException:
        return None
    if group.state != confluent_kafka.ConsumerGroupState.STABLE:
        return None
    return {(place.topic, place.partition) for member in group.members for place in member.assignment.topic_partitions}


def _left_over():
    answer = _client.list_consumer_group_offsets([confluent_kafka.ConsumerGroupTopicPartitions(GROUP)])
    places = answer[GROUP].result(_ANSWER).topic_partitions
    done = {(place.topic, place.partition): max(0, place.offset) for place in places}
    return sum(end - done.get(place, 0) for place, end in _ends().items())


def _message_ids():
    wanted = {place for place, end in _ends().items() if end > 0}
    reader = confluent_kafka.Consumer({
        **_settings, "group.id": "e2e-reader", "enable.auto.commit": False, "enable.partition.eof": True})
    ids = []
    deadline = time.monotonic() + _READ
    try:
        reader.assign([confluent_kafka.TopicPartition(*place, 0) for place in wanted])
        while wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not read to their ends within {_READ} s: {sorted(wanted)}")
            record = reader.poll(1.0)
            if record is None:
                continue
            if record.error() is None:
                ids.append(json.loads(json.loads(record.value())["oslo.message"])["message_id"])
            elif record.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                wanted.discard((record.topic(), record.partition()))
            else:
                raise confluent_kafka.KafkaException(record.error())
    finally:
        reader.close()
    return ids
