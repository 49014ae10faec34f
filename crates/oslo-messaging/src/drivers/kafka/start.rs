//! Where a partition is read from, when the group has not said so yet.
//!
//! A group that reads from the end (`auto_offset_reset = latest`) pins its starts: the end
//! offsets, read before the join, are committed at the first assignment, so that nothing sent
//! after the start is lost to the join's delay or to a restart. Each commit carries on how many
//! partitions the topic had at that pin: what came later is read from its beginning.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
};

use super::{config::KafkaOptions, context::GroupContext, metadata::Metadata, native, topics};

/// How long a new topic is left to become known before it is asked for again.
const NEW_TOPIC_PAUSE: Duration = Duration::from_millis(40);

/// A partition of a topic.
pub(super) type TopicPartition = (String, i32);

/// What is known of the subscribed topics from before the join.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// End offsets of the partitions that were there.
    ends: HashMap<TopicPartition, i64>,
    /// Partitions of each topic that were there; 0 for a topic that was missing.
    counts: HashMap<String, i32>,
    /// Partition count at the group's first pin, by topic.
    pins: HashMap<String, i32>,
}

/// What a look at a topic found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    There,
    /// It was missing and has just been made: it will be read from its beginning.
    Made,
    /// It is missing, for this reason, and will be read from its beginning when it appears.
    Missing(String),
}

/// The start of one assigned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) offset: Offset,
    /// To be committed, so that a restart finds it.
    pub(super) pin: Option<i64>,
}

impl Starts {
    /// Looks at one topic before the join: how many partitions it has, and where they end.
    ///
    /// Makes the topic if it is missing and the options allow it.
    pub(super) fn look_at(
        &mut self,
        consumer: &BaseConsumer<GroupContext>,
        options: &KafkaOptions,
        topic: &str,
        timeout: Duration,
    ) -> KafkaResult<Found> {
        let count = partition_count(consumer, topic, timeout)?;
        self.counts.insert(topic.to_owned(), count);
        if count == 0 {
            return Ok(create_missing(consumer, options, topic, timeout));
        }
        if options.read_from_end {
            let mut list = TopicPartitionList::new();
            for partition in 0..count {
                list.add_partition_offset(topic, partition, Offset::End)?;
            }
            let ends = consumer.offsets_for_times(list, timeout)?;
            for end in ends.elements() {
                end.error()?;
                if let Offset::Offset(offset) = end.offset() {
                    self.ends.insert((topic.to_owned(), end.partition()), offset);
                }
            }
        }
        Ok(Found::There)
    }

    /// Finds the start of each assigned partition: the group's own offset, or by the rules above.
    pub(super) fn resolve(
        &mut self,
        consumer: &BaseConsumer<GroupContext>,
        options: &KafkaOptions,
        assigned: &[TopicPartition],
        timeout: Duration,
    ) -> KafkaResult<HashMap<TopicPartition, Start>> {
        let topics: BTreeSet<&str> = assigned.iter().map(|(topic, _)| topic.as_str()).collect();
        let mut list = TopicPartitionList::new();
        for topic in &topics {
            let known = partition_count(consumer, topic, timeout)?;
            let assigned = assigned.iter().filter(|(name, _)| name == topic).map(|(_, p)| p + 1);
            for partition in 0..assigned.max().unwrap_or(0).max(known) {
                list.add_partition(topic, partition);
            }
        }
        let committed = consumer.committed_offsets(list, timeout)?;
        let metadata = native::offset_metadata(&committed);
        let mut offsets = HashMap::new();
        for (entry, metadata) in committed.elements().iter().zip(metadata) {
            entry.error()?;
            if let Offset::Offset(offset) = entry.offset() {
                offsets.insert((entry.topic().to_owned(), entry.partition()), offset);
            }
            if let Some(count) = Metadata::read(&metadata).pin {
                let pin = self.pins.entry(entry.topic().to_owned()).or_insert(count);
                *pin = count.min(*pin);
            }
        }
        let mut starts = HashMap::new();
        for partition in assigned {
            let start = match offsets.get(partition) {
                Some(offset) => Start { offset: Offset::Offset(*offset), pin: None },
                None if !options.read_from_end => Start { offset: Offset::Beginning, pin: None },
                None => self.first_start(consumer, partition, timeout)?,
            };
            starts.insert(partition.clone(), start);
        }
        Ok(starts)
    }

    /// How many partitions a topic had at the group's first pin, as each commit carries on.
    pub(super) fn pin(&self, topic: &str) -> Option<i32> {
        self.pins.get(topic).copied()
    }

    fn first_start(
        &mut self,
        consumer: &BaseConsumer<GroupContext>,
        partition: &TopicPartition,
        timeout: Duration,
    ) -> KafkaResult<Start> {
        let (topic, number) = partition;
        let known = self.counts.get(topic).copied().unwrap_or(0);
        let pinned = *self.pins.entry(topic.clone()).or_insert(known);
        let end = self.ends.get(partition).copied();
        let offset = match end {
            Some(end) if *number < pinned => end,
            _ => consumer.fetch_watermarks(topic, *number, timeout)?.0,
        };
        Ok(Start { offset: Offset::Offset(offset), pin: Some(offset) })
    }
}

/// How many partitions a topic has; 0 when it does not exist.
pub(super) fn partition_count(
    consumer: &BaseConsumer<GroupContext>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map_or(0, |found| i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)))
}

/// Makes a missing topic, if the options allow it.
fn create_missing(
    consumer: &BaseConsumer<GroupContext>,
    options: &KafkaOptions,
    topic: &str,
    timeout: Duration,
) -> Found {
    if !options.create_topics {
        return Found::Missing("it does not exist, and create_topics is off".to_owned());
    }
    // Where the brokers make topics by themselves, the question before was enough.
    let at_once = Duration::from_millis(200);
    if options.creates_by_metadata() && is_known_within(consumer, topic, at_once) {
        return Found::Made;
    }
    if let Err(reason) = topics::create(options, &[topic], timeout) {
        return Found::Missing(reason);
    }
    if !is_known_within(consumer, topic, timeout) {
        tracing::warn!(%topic, "the topic was created, and the brokers do not know it yet");
    }
    Found::Made
}

fn is_known_within(consumer: &BaseConsumer<GroupContext>, topic: &str, timeout: Duration) -> bool {
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if partition_count(consumer, topic, left).is_ok_and(|count| count > 0) {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(NEW_TOPIC_PAUSE.min(left));
    }
}
