//! Reads topics without joining a group and without committing: for tools that look on.

use std::{
    collections::HashMap,
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
    error::{broker_error, client_error},
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

/// After so long without a record the end is taken as reached: the last offsets of a partition may
/// be marks of transactions, which no reader sees.
const IDLE_END: Duration = Duration::from_secs(3);

/// Reads topics from a place on, without leaving a trace on the broker.
pub struct Reader {
    consumer: BaseConsumer<GroupContext>,
    /// Ends of partitions, as of the opening, that were not reached yet.
    left: HashMap<TopicPartition, i64>,
    last_record: Instant,
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
        let client = options.reader();
        let consumer =
            BaseConsumer::from_config_and_context(&client, GroupContext::of(&options, &client))
                .map_err(|error| client_error("create the consumer", error, &client))?;
        #[cfg(feature = "oidc")]
        super::tokens::give(
            options.tokens.as_ref(),
            rdkafka::consumer::Consumer::client(&consumer),
        );
        let mut reader = Self {
            consumer,
            left: HashMap::new(),
            last_record: Instant::now(),
            end_said: false,
            missing: Vec::new(),
        };
        let list = reader
            .find_starts(topics, from, Instant::now() + timeout)
            .map_err(|error| reader.failed("look up the topics", error))?;
        let assigned = reader.consumer.assign(&list);
        assigned.map_err(|error| broker_error("assign the partitions", error))?;
        reader.last_record = Instant::now();
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
            if !self.end_said && (self.left.is_empty() || self.nothing_left_to_see()?) {
                self.end_said = true;
                return Ok(Read::End);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.consumer.poll(left.min(IDLE_END)) {
                None if Instant::now() >= deadline => return Ok(Read::Nothing),
                None => continue,
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(self.failed("read", error)),
            };
            self.last_record = Instant::now();
            let topic = rdkafka::Message::topic(&message);
            let incoming = incoming(&message, topic.into(), Bytes::copy_from_slice);
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

    /// Whether the brokers answer and had nothing for a while: what is left are no records.
    fn nothing_left_to_see(&mut self) -> Result<bool, Error> {
        let Some((topic, partition)) = self.left.keys().next() else { return Ok(true) };
        if self.last_record.elapsed() < IDLE_END {
            return Ok(false);
        }
        let asked = self.consumer.fetch_watermarks(topic, *partition, IDLE_END);
        asked.map_err(|error| self.failed("read", error))?;
        Ok(true)
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
        // The log and the errors of the connections are served by polls.
        let context = self.consumer.context();
        while self.consumer.poll(Duration::ZERO).is_some() || context.take_served() {}
        let last = context.health.last_error();
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
