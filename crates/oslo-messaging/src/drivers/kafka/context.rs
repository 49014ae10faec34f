//! What librdkafka calls back into: its log, its errors, delivery reports and rebalances.
//!
//! Callbacks only note what happened, or resolve a report; they never call back into a client,
//! apart from answering the group while the consumer is leaving it.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, Ordering},
};

#[cfg(feature = "oidc")]
use rdkafka::client::OAuthToken;
use rdkafka::{
    ClientConfig, Message, TopicPartitionList,
    client::ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, NoCustomPartitioner, ProducerContext},
    types::RDKafkaRespErr,
};

use super::{
    config::KafkaOptions,
    error::right_to_listen,
    hand_over::InFlight,
    health::Health,
    producer::{Contacts, Fate, FateCell, Inner},
};

/// Callbacks of a client that only asks.
#[derive(Debug, Default)]
pub(super) struct AdminContext {
    pub(super) health: Health,
}

impl ClientContext for AdminContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, words: &str) {
        self.health.log(level, facility, words);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.health.error(&error, reason);
    }
}

/// Callbacks of the producer.
#[derive(Debug)]
pub(super) struct ReportContext {
    pub(super) health: Arc<Health>,
    /// Whether this librdkafka producer was given up, and why.
    pub(super) fate: Arc<FateCell>,
    pub(super) inner: Weak<Inner>,
    /// None where librdkafka infers nothing from other records' answers.
    pub(super) contacts: Option<Contacts>,
}

impl ClientContext for ReportContext {
    #[cfg(feature = "oidc")]
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    #[cfg(feature = "oidc")]
    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.health.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, words: &str) {
        self.health.log(level, facility, words);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.health.error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if self.fate.get() == Fate::Alive
            && let Some(inner) = self.inner.upgrade()
        {
            inner.note_statistics(statistics);
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for ReportContext {
    type DeliveryOpaque = Box<InFlight>;

    fn delivery(&self, result: &DeliveryResult<'_>, in_flight: Box<InFlight>) {
        let Some(inner) = self.inner.upgrade() else {
            // The report says "unknown" when it is dropped: the producer is gone.
            return;
        };
        match result {
            Ok(message) => {
                let is_sure = self.contacts.as_ref().is_none_or(|contacts| {
                    contacts.take(message.topic(), message.partition(), message.offset())
                });
                if is_sure {
                    inner.delivered(*in_flight);
                } else {
                    Inner::passed_over(&inner, message, self.fate.get(), in_flight);
                }
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                Inner::settle(&inner, code, message, self.fate.get(), in_flight);
            }
        }
    }
}

/// What the group told the consumer.
#[derive(Debug)]
pub(super) enum GroupEvent {
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
    Lost(Vec<(String, i32)>),
}

/// Callbacks of the consumer: noted here, acted on by the consumer thread after its poll.
#[derive(Debug, Default)]
pub(super) struct GroupContext {
    pub(super) health: Health,
    events: Mutex<Vec<GroupEvent>>,
    /// A callback ran: the queue may hold more although the poll gave nothing.
    served: AtomicBool,
    closing: AtomicBool,
}

impl GroupContext {
    /// For a consumer of these properties.
    pub(super) fn of(options: &KafkaOptions, config: &ClientConfig) -> Self {
        Self { health: Health::of(options, config), ..Self::default() }
    }

    pub(super) fn take_events(&self) -> Vec<GroupEvent> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a callback ran since the last call.
    pub(super) fn take_served(&self) -> bool {
        self.served.swap(false, Ordering::Relaxed)
    }

    /// From now on the group is answered at once, and nothing that it assigns is read.
    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Does what the group says. A consumer that is being closed takes each answer for a return of
    /// all it has.
    pub(super) fn answer(
        &self,
        consumer: &BaseConsumer<Self>,
        assigned: bool,
        list: &TopicPartitionList,
    ) {
        let step = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let answered = match (assigned, step) {
            (true, true) => consumer.incremental_assign(list),
            (true, false) => consumer.assign(list),
            (false, true) => consumer.incremental_unassign(list),
            (false, false) => consumer.unassign(),
        };
        match answered {
            Ok(()) if assigned => self.pause(consumer, list),
            Ok(()) => {}
            Err(error) => tracing::debug!("the answer to a group that is being left: {error}"),
        }
    }

    /// Stops the fetching of partitions that nobody here reads any more.
    pub(super) fn pause(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        if let Err(error) = consumer.pause(list) {
            tracing::debug!("pause in a group that is being left: {error}");
        }
    }
}

impl ClientContext for GroupContext {
    #[cfg(feature = "oidc")]
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    #[cfg(feature = "oidc")]
    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.health.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, words: &str) {
        self.served.store(true, Ordering::Relaxed);
        self.health.log(level, facility, words);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.served.store(true, Ordering::Relaxed);
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        match right_to_listen(code, reason) {
            Some(right) => self.health.error(&error, &format!("{reason}: {right}")),
            None => self.health.error(&error, reason),
        }
    }

    fn stats_raw(&self, _: &[u8]) {
        self.served.store(true, Ordering::Relaxed);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.served.store(true, Ordering::Relaxed);
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            self.answer(consumer, assigned, list);
            return;
        }
        let partitions =
            list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        let event = if assigned {
            GroupEvent::Assigned(partitions)
        } else if consumer.assignment_lost() {
            GroupEvent::Lost(partitions)
        } else {
            GroupEvent::Revoked(partitions)
        };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn commit_callback(&self, _: rdkafka::error::KafkaResult<()>, _: &TopicPartitionList) {
        self.served.store(true, Ordering::Relaxed);
    }
}
