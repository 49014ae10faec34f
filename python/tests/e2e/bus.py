"""What a broker itself says of topics and groups. It goes by confluent-kafka: neither driver is asked."""

import json
import time

import confluent_kafka
from confluent_kafka import admin

#: Longest wait for one answer, in seconds.
_ANSWER = 15
_TOPICS = "notifications."
#: The default of [oslo_messaging_kafka] consumer_group.
GROUP = "oslo_messaging_consumer"


class Bus:
    """The notifications' topics of one broker."""

    def __init__(self, address):
        self._settings = {"bootstrap.servers": address, "log_level": 2}
        self._admin = admin.AdminClient(self._settings)

    def make_topics(self, names):
        new = [admin.NewTopic(name, num_partitions=1) for name in names]
        for made in self._admin.create_topics(new, operation_timeout=_ANSWER).values():
            made.result(_ANSWER)

    def partitions(self):
        """All partitions of the topics, as pairs of topic and number."""
        topics = self._admin.list_topics(timeout=_ANSWER).topics
        return {(name, number) for name in topics if name.startswith(_TOPICS) for number in topics[name].partitions}

    def await_readers(self, topic, limit, is_alive):
        """Waits until the group reads every partition there is, ``topic`` among them. Returns whether it does."""
        deadline = time.monotonic() + limit
        while is_alive() and time.monotonic() < deadline:
            there = self.partitions()
            if any(name == topic for name, _ in there) and self._assigned() == there:
                return True
            time.sleep(0.2)
        return False

    def message_ids(self):
        """The ids of all notifications on the topics, from their beginnings to their ends."""
        ends = self._ends()
        wanted = {place for place, end in ends.items() if end > 0}
        reader = confluent_kafka.Consumer({
            **self._settings, "group.id": "e2e-reader", "enable.auto.commit": False, "enable.partition.eof": True})
        ids = []
        deadline = time.monotonic() + 60
        try:
            reader.assign([confluent_kafka.TopicPartition(*place, 0) for place in wanted])
            while wanted:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not read to their ends within 60 s: {sorted(wanted)}")
                record = reader.poll(1.0)
                if record is None:
                    continue
                if record.error() is None:
                    ids.append(_message_id(record.value()))
                elif record.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    wanted.discard((record.topic(), record.partition()))
                else:
                    raise confluent_kafka.KafkaException(record.error())
        finally:
            reader.close()
        return ids

    def left_over(self):
        """How many records the group would read again, or for the first time, after a restart."""
        request = [confluent_kafka.ConsumerGroupTopicPartitions(GROUP)]
        answer = self._admin.list_consumer_group_offsets(request)[GROUP].result(_ANSWER)
        done = {(place.topic, place.partition): max(0, place.offset) for place in answer.topic_partitions}
        return sum(end - done.get(place, 0) for place, end in self._ends().items())

    def _ends(self):
        partitions = [confluent_kafka.TopicPartition(*place) for place in self.partitions()]
        if not partitions:
            return {}
        answers = self._admin.list_offsets({place: admin.OffsetSpec.latest() for place in partitions})
        return {(place.topic, place.partition): end.result(_ANSWER).offset for place, end in answers.items()}

    def _assigned(self):
        try:
            group = self._admin.describe_consumer_groups([GROUP])[GROUP].result(_ANSWER)
        except confluent_kafka.KafkaException:
            # The first question makes the broker set up its groups.
            return None
        if group.state != confluent_kafka.ConsumerGroupState.STABLE:
            return None
        return {
            (place.topic, place.partition)
            for member in group.members
            for place in member.assignment.topic_partitions
        }


def _message_id(value):
    return json.loads(json.loads(value)["oslo.message"])["message_id"]
