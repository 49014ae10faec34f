//! Reads topics without joining a group and without committing: for tools that look on.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use super::{
    config::KafkaOptions,
    context::GroupContext,
    error::broker_error,
    record::incoming,
    start::{TopicPartition, partition_count},
};
use crate::{Error, config::Config, driver::Origin, url::TransportUrl};

/// Where reading begins, in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest record that is still there.
    Beginning,
    /// What comes from now on.
    End,
    /// This offset.
    Offset(i64),
    /// The last so many records of each partition.
    Last(i64),
    /// The first record of this time, in milliseconds since 1970, or later.
    Since(i64),
}

/// One record as it is on the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Topic, partition, offset and time.
    pub origin: Origin,
    /// The key.
    pub key: Option<Bytes>,
    /// Names and values beside the body.
    pub headers: Vec<(String, Bytes)>,
    /// The body, not decoded; `None` for a null value.
    pub body: Option<Bytes>,
}

/// What [`Reader::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Read {
    /// A record.
    Record(Record),
    /// Everything that was there when the reader was opened has been read. Said once.
    End,
    /// Nothing came in time.
    Nothing,
}

/// Reads topics from a place on, without leaving a trace on the broker.
pub struct Reader {
    consumer: BaseConsumer<GroupContext>,
    /// Ends of partitions, as of the opening, that were not reached yet.
    left: HashMap<TopicPartition, i64>,
    /// Topics and partitions of each partition number, for end marks that name only the number.
    ends_seen: BTreeMap<i32, usize>,
    end_said: bool,
    missing: Vec<String>,
}

impl Reader {
    /// Opens a reader on whole topic names such as `notifications.info`. Topics that do not exist
    /// are left out, see [`missing`](Self::missing); none is created.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOption`] and [`Error::InvalidOption`] for the URL's query and the
    /// configuration; [`Error::Broker`] when the brokers do not answer within `timeout`.
    pub fn open(
        url: &TransportUrl,
        config: &Config,
        topics: &[String],
        from: ReadFrom,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let options = KafkaOptions::resolve(url, config)?;
        let consumer =
            BaseConsumer::from_config_and_context(&options.reader(), GroupContext::default())
                .map_err(|error| broker_error("create the consumer", error))?;
        let mut reader = Self {
            consumer,
            left: HashMap::new(),
            ends_seen: BTreeMap::new(),
            end_said: false,
            missing: Vec::new(),
        };
        let list = reader
            .find_starts(topics, from, Instant::now() + timeout)
            .map_err(|error| reader.failed("look up the topics", error))?;
        let assigned = reader.consumer.assign(&list);
        assigned.map_err(|error| broker_error("assign the partitions", error))?;
        Ok(reader)
    }

    /// Topics that were asked for and do not exist.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// The next record, waiting at most `timeout` for it.
    ///
    /// # Errors
    ///
    /// [`Error::Broker`] when the client library reports an error, such as a refused topic. The
    /// reader may be asked again.
    pub fn next(&mut self, timeout: Duration) -> Result<Read, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.left.is_empty() && !self.end_said {
                self.end_said = true;
                return Ok(Read::End);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.consumer.poll(left) {
                None if Instant::now() >= deadline => return Ok(Read::Nothing),
                None => continue,
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    self.end_of(number);
                    continue;
                }
                Some(Err(error)) => return Err(self.failed("read", error)),
            };
            let topic = rdkafka::Message::topic(&message);
            let incoming = incoming(&message, topic.into());
            let key = (topic.to_owned(), incoming.origin.partition);
            if self.left.get(&key).is_some_and(|end| incoming.origin.offset + 1 >= *end) {
                self.left.remove(&key);
            }
            return Ok(Read::Record(Record {
                origin: incoming.origin,
                key: incoming.key,
                headers: incoming.headers,
                body: incoming.body,
            }));
        }
    }

    /// An end mark names its partition only by number. Where control records keep the last
    /// offset from being seen, as many marks as there are topics with that number will do.
    fn end_of(&mut self, number: i32) {
        let seen = self.ends_seen.entry(number).or_default();
        *seen += 1;
        let open = self.left.keys().filter(|(_, partition)| *partition == number).count();
        if *seen >= open {
            self.left.retain(|(_, partition), _| *partition != number);
        }
    }

    fn find_starts(
        &mut self,
        topics: &[String],
        from: ReadFrom,
        deadline: Instant,
    ) -> Result<TopicPartitionList, KafkaError> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut starts = TopicPartitionList::new();
        for topic in topics {
            let count = partition_count(&self.consumer, topic, left())?;
            if count == 0 {
                self.missing.push(topic.clone());
            }
            for partition in 0..count {
                let (low, high) = self.consumer.fetch_watermarks(topic, partition, left())?;
                let start = match from {
                    ReadFrom::Beginning => low,
                    ReadFrom::End => high,
                    ReadFrom::Offset(offset) => offset.clamp(low, high),
                    ReadFrom::Last(count) => (high - count).max(low),
                    ReadFrom::Since(millis) => {
                        let mut at = TopicPartitionList::new();
                        at.add_partition_offset(topic, partition, Offset::Offset(millis))?;
                        let found = self.consumer.offsets_for_times(at, left())?;
                        let first = found.elements().first().map(|found| found.offset());
                        match first {
                            Some(Offset::Offset(offset)) => offset,
                            _ => high,
                        }
                    }
                };
                starts.add_partition_offset(topic, partition, Offset::Offset(start))?;
                if start < high {
                    self.left.insert((topic.clone(), partition), high);
                }
            }
        }
        Ok(starts)
    }

    fn failed(&self, operation: &str, error: KafkaError) -> Error {
        // The log and the errors of the connections are served by a poll.
        let _ = self.consumer.poll(Duration::ZERO);
        let last = self.consumer.context().health.last_error();
        let operation = match last {
            Some(last) => format!("{operation} ({})", last.reason),
            None => operation.to_owned(),
        };
        broker_error(operation, error)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.consumer.context().begin_closing();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("missing", &self.missing).finish_non_exhaustive()
    }
}
