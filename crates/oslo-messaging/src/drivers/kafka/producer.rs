//! Sends records and resolves their reports: one librdkafka producer for a driver, made at the
//! first send.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message,
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{BaseRecord, NoCustomPartitioner, Producer, PurgeConfig, ThreadedProducer},
};

use super::{
    config::KafkaOptions,
    context::{Health, ReportContext},
    error::{broker_error, failure},
    topics,
    zstd::FIRST_WORD,
};
use crate::{
    Error,
    driver::{Outgoing, Retry},
    error::{Cause, Outcome},
    receipt::{Failure, Report},
};

/// How long a full queue is left to drain before it is tried again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(2);

/// How long a new topic is left to become known before it is asked for again.
const NEW_TOPIC_PAUSE: Duration = Duration::from_millis(50);

/// How long the reports of a purge may take: they need no broker.
const PURGE_REPORTS: Duration = Duration::from_secs(1);

type Record<'a> = BaseRecord<'a, [u8], [u8], Box<InFlight>>;
type Client = ThreadedProducer<ReportContext, NoCustomPartitioner>;

/// What travels with a record through librdkafka and comes back with its delivery report.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) report: Report,
    deadline: Instant,
    hand_overs_left: Option<u32>,
    topic_was_created: bool,
}

/// The producer of one driver.
#[derive(Debug)]
pub(super) struct KafkaProducer {
    inner: Arc<Inner>,
}

/// What the callbacks reach too.
pub(super) struct Inner {
    options: Arc<KafkaOptions>,
    client: OnceLock<Client>,
    /// Held while the client is made, so that it is made once.
    making: Mutex<()>,
    closed: Mutex<bool>,
    health: Arc<Health>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("started", &self.client.get().is_some())
            .finish_non_exhaustive()
    }
}

impl KafkaProducer {
    pub(super) fn new(options: Arc<KafkaOptions>) -> Self {
        let inner = Inner {
            options,
            client: OnceLock::new(),
            making: Mutex::new(()),
            closed: Mutex::new(false),
            health: Arc::new(Health::default()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Hands a record over. Blocks only while librdkafka's queue is full, at most until the
    /// delivery timeout, and not at all when the caller wants a single hand-over. With zstd the
    /// first call also waits, at most a second, for what a broker says of it.
    pub(super) fn send(&self, topic: &str, outgoing: &Outgoing, report: Report) {
        if *self.inner.closed.lock().unwrap_or_else(PoisonError::into_inner) {
            return report.failed(refused(Cause::Closed, "the transport is closed"));
        }
        let client = match Inner::client(&self.inner) {
            Ok(client) => client,
            Err(error) => {
                let words = std::error::Error::source(&error).map(ToString::to_string);
                let words = words.unwrap_or_else(|| error.to_string());
                return report.failed(refused(Cause::Other, &words));
            }
        };
        if self.inner.options.sends_zstd
            && let Some(failure) = self.inner.health.zstd.refusal(FIRST_WORD)
        {
            return report.failed(failure);
        }
        let in_flight = Box::new(InFlight {
            report,
            deadline: Instant::now() + self.inner.options.delivery_timeout,
            hand_overs_left: match outgoing.retry {
                Retry::UntilTimeout => None,
                Retry::AtMost(count) => Some(count),
            },
            topic_was_created: false,
        });
        let mut record = Record::with_opaque_to(topic, in_flight).payload(&outgoing.body);
        if let Some(key) = &outgoing.key {
            record = record.key(key);
        }
        if !outgoing.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(outgoing.headers.len());
            record =
                record.headers(outgoing.headers.iter().fold(headers, |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(&value[..]) })
                }));
        }
        self.inner.hand_over(client, record);
    }

    /// Waits for every delivery report, at most `deadline`; takes nothing more. What is still
    /// unanswered then is given up and reported so.
    pub(super) fn close(&self, deadline: Duration) -> Result<(), Error> {
        *self.inner.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        let Some(client) = self.inner.client.get() else { return Ok(()) };
        if client.flush(deadline).is_ok() {
            return Ok(());
        }
        let left = usize::try_from(client.in_flight_count()).unwrap_or(0);
        client.purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = client.flush(PURGE_REPORTS) {
            tracing::error!("reports of what was given up are missing: {error}");
        }
        if left == 0 { Ok(()) } else { Err(Error::Unfinished { what: "kafka producer", left }) }
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        // Dropping librdkafka's producer purges its queue: what was accepted gets this long.
        if let Err(error) = self.close(self.inner.options.exit_flush_timeout) {
            tracing::error!("{error}");
        }
    }
}

impl Inner {
    fn client(this: &Arc<Self>) -> Result<&Client, Error> {
        if let Some(client) = this.client.get() {
            return Ok(client);
        }
        let _making = this.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = this.client.get() {
            return Ok(client);
        }
        let config: ClientConfig = this.options.producer();
        let context = ReportContext {
            health: Arc::clone(&this.health),
            options: Arc::clone(&this.options),
            inner: Arc::downgrade(this),
        };
        let client = Client::from_config_and_context(&config, context)
            .map_err(|error| broker_error("create the producer", error))?;
        Ok(this.client.get_or_init(|| client))
    }

    fn hand_over(&self, client: &Client, mut record: Record<'_>) {
        loop {
            let Err((error, back)) = client.send(record) else { return };
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            let full = code == RDKafkaErrorCode::QueueFull;
            let in_flight = &back.delivery_opaque;
            if full && in_flight.hand_overs_left != Some(0) && Instant::now() < in_flight.deadline {
                thread::sleep(FULL_QUEUE_PAUSE);
                record = back;
                continue;
            }
            let size = back.payload.map_or(0, <[u8]>::len);
            let mut failure = match error {
                KafkaError::Nul(_) => refused(Cause::InvalidTopic, "the topic contains a NUL"),
                _ => failure(code, false, self.health.last_error().as_ref()),
            };
            if code == RDKafkaErrorCode::MessageSizeTooLarge {
                failure.detail = format!("{size} bytes, {}", failure.detail);
            }
            return back.delivery_opaque.report.failed(failure);
        }
    }

    /// The producer remembers that the topic did not exist until it asks again.
    fn wait_for_topic(&self, topic: &str, deadline: Instant) {
        let Some(client) = self.client.get() else { return };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let found = client.client().fetch_metadata(Some(topic), left);
            let partitions = found.iter().flat_map(|found| found.topics());
            if left.is_zero() || partitions.map(|topic| topic.partitions().len()).sum::<usize>() > 0
            {
                return;
            }
            thread::sleep(NEW_TOPIC_PAUSE);
        }
    }

    fn send_owned(&self, message: &OwnedMessage, in_flight: Box<InFlight>) {
        let Some(client) = self.client.get() else { return };
        let mut record = Record::with_opaque_to(message.topic(), in_flight);
        record.payload = message.payload();
        record.key = message.key();
        record.headers = message.headers().map(|headers| {
            headers.iter().fold(OwnedHeaders::new(), |owned, header| owned.insert(header))
        });
        self.hand_over(client, record);
    }
}

/// Hands a refused record over once more where that cannot make a duplicate and may help.
///
/// Called from a delivery report, whose thread must neither wait nor drop the producer: the work
/// is done on a thread of its own. Gives the record back when its failure is final.
pub(super) fn hand_over_again(
    inner: Weak<Inner>,
    options: &Arc<KafkaOptions>,
    code: RDKafkaErrorCode,
    may_be_persisted: bool,
    record: impl FnOnce() -> OwnedMessage,
    mut in_flight: Box<InFlight>,
) -> Result<(), Box<InFlight>> {
    let create_topic = match code {
        _ if Instant::now() >= in_flight.deadline => return Err(in_flight),
        RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition
            if options.create_topics && !in_flight.topic_was_created =>
        {
            in_flight.topic_was_created = true;
            true
        }
        RDKafkaErrorCode::InvalidProducerEpoch
            if !may_be_persisted && in_flight.hand_overs_left != Some(0) =>
        {
            in_flight.hand_overs_left = in_flight.hand_overs_left.map(|left| left - 1);
            false
        }
        _ => return Err(in_flight),
    };
    let (options, record) = (Arc::clone(options), record());
    let work = move || {
        if create_topic {
            let timeout = in_flight.deadline.saturating_duration_since(Instant::now());
            if let Err(reason) = topics::create(&options, &[record.topic()], timeout) {
                let detail = format!("the topic does not exist and was not created: {reason}");
                return in_flight.report.failed(refused(Cause::UnknownTopic, &detail));
            }
        }
        match inner.upgrade() {
            Some(inner) => {
                if create_topic {
                    inner.wait_for_topic(record.topic(), in_flight.deadline);
                }
                inner.send_owned(&record, in_flight);
            }
            None => in_flight.report.failed(refused(Cause::Closed, "the transport is closed")),
        }
    };
    // Without a thread the report is dropped with its closure and says "unknown".
    if let Err(error) = thread::Builder::new().name("kafka-hand-over".into()).spawn(work) {
        tracing::error!("could not start a thread: {error}");
    }
    Ok(())
}

fn refused(cause: Cause, detail: &str) -> Failure {
    Failure { outcome: Outcome::NotDelivered, cause, detail: detail.to_owned() }
}
