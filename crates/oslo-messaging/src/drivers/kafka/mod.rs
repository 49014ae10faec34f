//! Notifications over Apache Kafka, by librdkafka.
//!
//! | file | has |
//! |---|---|
//! | `config` | the options, and every librdkafka property that is set |
//! | `producer` | sending: the way of a call, and what each delivery report means |
//! | `hand_over` | what travels with a record, and what waits to be handed over again |
//! | `supervisor` | the producer's thread: timeouts, further hand-overs, a producer made anew |
//! | `drain` | spooled mode: from the spool to librdkafka |
//! | `breaker` | whether sending is worth a try: a state machine without I/O |
//! | `brokers` | which connections are up, by librdkafka's statistics |
//! | `consumer` | listening as the library sees it |
//! | `group` | the thread that owns the consumer and does what the ledger says |
//! | `ledger` | **which record may be dispatched when**: a state machine without I/O |
//! | `reaper` | leaving a group, and the thread that waits for an unreachable coordinator |
//! | `slots`, `record` | numbers for partitions; records that outlive librdkafka's messages |
//! | `metadata` | what goes with each committed offset |
//! | `start` | where a partition is read from when the group has not said so |
//! | `reader` | reading without a group, for tools |
//! | `probe` | what a cluster is and what it allows, for tools |
//! | `topics` | names of topics, and making missing ones |
//! | `context` | what librdkafka calls back into |
//! | `certificate` | what is wrong with a broker's certificate |
//! | `kerberos` | what is wrong with a login by GSSAPI |
//! | `login` | the user and the password, which may change |
//! | `tokens` | what OAUTHBEARER logs in with |
//! | `zstd` | which brokers are too old for it |
//! | `error` | librdkafka's codes in the library's words |
//! | `native` | the only unsafe code: what the wrapper does not offer |
//! | `broker` | an embedded broker for demos and tests |

mod breaker;
mod broker;
mod brokers;
#[cfg(feature = "ssl")]
mod certificate;
mod config;
mod consumer;
mod context;
mod coverage;
mod dead_letters;
mod drain;
mod error;
mod group;
mod group_view;
mod hand_over;
mod health;
#[cfg(feature = "gssapi")]
mod kerberos;
mod ledger;
mod login;
mod metadata;
mod native;
mod probe;
mod producer;
mod reader;
mod reaper;
mod record;
mod slots;
mod start;
mod supervisor;
#[cfg(feature = "oidc")]
mod tokens;
mod topics;
mod zstd;

use std::{sync::Arc, time::Duration};

pub use broker::EmbeddedBroker;
#[cfg(feature = "fuzzing")]
pub use ledger::fuzz as fuzz_ledger;
pub use probe::{ClusterView, Probe, Refusal, Stage, TopicView};
pub use reader::{Read, ReadFrom, Reader, Record};
#[cfg(feature = "fuzzing")]
pub use topics::fuzz_name as fuzz_topic_name;

use crate::{
    Error,
    config::Config,
    driver::{Capabilities, Driver, Outgoing, Subscribe, Subscription},
    error::{Cause, Outcome},
    key::MessageKey,
    receipt::{Failure, Report},
    stats::Stats,
    url::TransportUrl,
};
use config::KafkaOptions;
use consumer::KafkaSubscription;
use producer::KafkaProducer;

pub(crate) const SCHEME: &str = "kafka";

/// The driver of `kafka://`.
#[derive(Debug)]
pub(crate) struct KafkaDriver {
    options: Arc<KafkaOptions>,
    producer: KafkaProducer,
    stats: Arc<Stats>,
}

impl KafkaDriver {
    /// Reads the options; no broker is asked and no thread started.
    pub(crate) fn open(
        url: &TransportUrl,
        config: &Config,
        stats: Arc<Stats>,
    ) -> Result<Self, Error> {
        let options = Arc::new(KafkaOptions::resolve(url, config)?);
        let producer = KafkaProducer::new(Arc::clone(&options), Arc::clone(&stats));
        Ok(Self { producer, options, stats })
    }
}

impl Driver for KafkaDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, ..Capabilities::notifications_only(SCHEME) }
    }

    fn message_key(&self) -> &MessageKey {
        &self.options.message_key
    }

    fn start(&self) -> Result<(), Error> {
        self.producer.start()
    }

    fn send(&self, outgoing: Outgoing, report: Report) {
        let host = self.options.virtual_host.as_deref();
        match topics::name(&outgoing.target, outgoing.priority, host) {
            Ok(topic) => self.producer.send(&topic, &outgoing, report.to_topic(&topic)),
            Err(error) => report.to_topic(outgoing.target.topic()).failed(Failure {
                outcome: Outcome::NotDelivered,
                cause: Cause::InvalidTopic,
                detail: error.to_string(),
            }),
        }
    }

    fn redelivers(&self) -> bool {
        self.options.redelivery.is_some()
    }

    fn subscribe(&self, request: Subscribe) -> Result<Arc<dyn Subscription>, Error> {
        Ok(KafkaSubscription::start(&self.options, &request, &self.stats)?)
    }

    fn options_group(&self) -> Option<&'static str> {
        Some(config::GROUP)
    }

    fn take_credentials(&self, url: &TransportUrl) -> bool {
        self.options.take_credentials(url);
        true
    }

    fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.producer.close(deadline)
    }
}
