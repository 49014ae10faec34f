//! Where a partition is read from, when the group has not said so yet.
//!
//! A group that reads from the end (`auto_offset_reset = latest`) pins its starts: the end
//! offsets, read before the join, are committed at the first assignment, so that nothing sent
//! after the start is lost to the join's delay or to a restart. Where the brokers answer only
//! after the start has returned, the start's time finds what was sent since. Each commit carries
//! on how many partitions the topic had at that pin: what came later is read from its beginning.
//! A partition without a leader can be asked for nothing: it waits, and the others do not.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaResult,
    topic_partition_list::TopicPartitionListElem,
};

use super::{config::KafkaOptions, context::GroupContext, metadata::Metadata, native, topics};

/// How long a new topic is left to become known before it is asked for again.
const NEW_TOPIC_PAUSE: Duration = Duration::from_millis(40);
/// How long brokers that make topics by themselves are left to do so.
const MADE_BY_A_QUESTION: Duration = Duration::from_millis(200);

/// A partition of a topic.
pub(super) type TopicPartition = (String, i32);

/// What is known of the subscribed topics from before the join.
#[derive(Debug)]
pub(super) struct Starts {
    /// When the listener was started, by the clock that records are stamped with.
    begun: SystemTime,
    /// End offsets of the partitions that were there.
    ends: HashMap<TopicPartition, i64>,
    /// Partitions of each topic that were there; 0 for a topic that was missing.
    counts: HashMap<String, i32>,
    /// Partition count at the group's first pin, by topic.
    pins: HashMap<String, i32>,
}

/// The start of one assigned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) offset: Offset,
    /// To be committed, so that a restart finds it.
    pub(super) pin: Option<i64>,
}

impl Starts {
    pub(super) fn new() -> Self {
        Self {
            begun: SystemTime::now(),
            ends: HashMap::new(),
            counts: HashMap::new(),
            pins: HashMap::new(),
        }
    }

    /// Looks at the topics before the join: how many partitions they have, and where they end. To
    /// be called again after an error, it asks for what is not known yet.
    ///
    /// `in_time`: the start has not returned yet.
    pub(super) fn look_at(
        &mut self,
        consumer: &BaseConsumer<GroupContext>,
        options: &KafkaOptions,
        topics: &BTreeSet<String>,
        timeout: Duration,
        in_time: impl FnOnce() -> bool,
    ) -> KafkaResult<()> {
        let mut unread = Vec::new();
        for topic in topics {
            let found = partitions(consumer, topic, timeout)?;
            let known = i32::try_from(found.len()).unwrap_or(i32::MAX);
            let count = *self.counts.entry(topic.clone()).or_insert(known);
            let with_leader =
                found.into_iter().filter(|(number, leader)| *leader && *number < count);
            unread.extend(with_leader.map(|(number, _)| (topic.clone(), number)));
        }
        unread.retain(|partition| !self.ends.contains_key(partition));
        if !options.read_from_end || unread.is_empty() {
            return Ok(());
        }
        self.read_ends(consumer, &unread, timeout, in_time)
    }

    /// Asks where partitions end, or where what was sent since the start begins.
    fn read_ends(
        &mut self,
        consumer: &BaseConsumer<GroupContext>,
        unread: &[TopicPartition],
        timeout: Duration,
        in_time: impl FnOnce() -> bool,
    ) -> KafkaResult<()> {
        let ends = offsets(consumer, unread, Offset::End, timeout)?;
        // The end first: what comes between both questions lies behind it.
        let since = if in_time() {
            HashMap::new()
        } else {
            let begun = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let begun = Offset::Offset(i64::try_from(begun).unwrap_or(i64::MAX));
            offsets(consumer, unread, begun, timeout)?
        };
        let mut result = Ok(());
        for partition in unread {
            let since = since.get(partition).cloned().unwrap_or(Ok(None));
            match (ends.get(partition).cloned().unwrap_or(Ok(None)), since) {
                (Ok(Some(end)), Ok(since)) => {
                    let start = since.map_or(end, |since| since.min(end));
                    self.ends.insert(partition.clone(), start);
                }
                (Ok(None), Ok(_)) => {}
                (Err(error), _) | (_, Err(error)) => result = Err(error),
            }
        }
        result
    }

    /// Makes the topics that the look found missing, if the options allow it. They are read from
    /// their beginning, whoever makes them. Whether any was made, and the reasons of the others.
    pub(super) fn make_missing(
        &self,
        consumer: &BaseConsumer<GroupContext>,
        options: &KafkaOptions,
        timeout: Duration,
    ) -> (bool, Vec<(String, String)>) {
        let missing = self.counts.iter().filter(|(_, count)| **count == 0);
        let mut missing: Vec<&str> = missing.map(|(topic, _)| topic.as_str()).collect();
        missing.sort_unstable();
        let count = missing.len();
        if !options.create_topics {
            let reason = "it does not exist, and create_topics is off";
            let missing = missing.into_iter().map(|topic| (topic.to_owned(), reason.to_owned()));
            return (false, missing.collect());
        }
        // Where the brokers make topics by themselves, the question before was enough.
        if options.creates_by_metadata() {
            let until = Instant::now() + MADE_BY_A_QUESTION;
            missing.retain(|topic| !is_known_by(consumer, topic, until));
        }
        if missing.is_empty() {
            return (count > 0, Vec::new());
        }
        let failed = topics::create(options, &missing, timeout);
        missing.retain(|topic| !failed.iter().any(|(name, _)| name == topic));
        let until = Instant::now() + timeout;
        for topic in missing {
            if !is_known_by(consumer, topic, until) {
                tracing::warn!(%topic, "the topic was created, and the brokers do not know it yet");
            }
        }
        (failed.len() < count, failed)
    }

    /// Finds the start of each assigned partition: the group's own offset, or by the rules above.
    /// Those are left out that can be asked for nothing, since they have no leader.
    pub(super) fn resolve(
        &mut self,
        consumer: &BaseConsumer<GroupContext>,
        options: &KafkaOptions,
        assigned: &[TopicPartition],
        timeout: Duration,
    ) -> KafkaResult<HashMap<TopicPartition, Start>> {
        let topics: BTreeSet<&str> = assigned.iter().map(|(topic, _)| topic.as_str()).collect();
        let mut list = TopicPartitionList::new();
        let mut leaderless = HashSet::new();
        for topic in &topics {
            let found = partitions(consumer, topic, timeout)?;
            let known = i32::try_from(found.len()).unwrap_or(i32::MAX);
            let without = found.into_iter().filter(|(_, leader)| !leader);
            leaderless.extend(without.map(|(number, _)| ((*topic).to_owned(), number)));
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
                None if leaderless.contains(partition) => continue,
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
        let is_old = *number < known.min(pinned);
        if is_old && !self.ends.contains_key(partition) {
            self.read_ends(consumer, std::slice::from_ref(partition), timeout, || false)?;
        }
        let offset = match self.ends.get(partition) {
            Some(end) if is_old => *end,
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
    let found = partitions(consumer, topic, timeout)?;
    Ok(i32::try_from(found.len()).unwrap_or(i32::MAX))
}

/// The partitions of a topic, and whether each has a leader; none when it does not exist.
fn partitions(
    consumer: &BaseConsumer<GroupContext>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Vec<(i32, bool)>> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let found = metadata.topics().iter().filter(|found| found.name() == topic);
    let partitions = found.flat_map(|found| found.partitions());
    Ok(partitions.map(|partition| (partition.id(), partition.leader() >= 0)).collect())
}

/// Asks for offsets: the ends, or those of the first records from a time on, in milliseconds since
/// the epoch. `None`: no record is that late.
fn offsets(
    consumer: &BaseConsumer<GroupContext>,
    partitions: &[TopicPartition],
    at: Offset,
    timeout: Duration,
) -> KafkaResult<HashMap<TopicPartition, KafkaResult<Option<i64>>>> {
    let mut list = TopicPartitionList::new();
    for (topic, number) in partitions {
        list.add_partition_offset(topic, *number, at)?;
    }
    let found = consumer.offsets_for_times(list, timeout)?;
    let offset = |offset| match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    let of = |found: &TopicPartitionListElem<'_>| found.error().map(|()| offset(found.offset()));
    let found = found.elements();
    Ok(found.iter().map(|f| ((f.topic().to_owned(), f.partition()), of(f))).collect())
}

fn is_known_by(consumer: &BaseConsumer<GroupContext>, topic: &str, until: Instant) -> bool {
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
