//! Asks a cluster, step by step, what a service needs of it: for tools that find out what is wrong.
//!
//! Nothing is written, no group is joined and no topic is made.

use std::{
    fmt, mem, thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
};

use super::{
    config::KafkaOptions,
    context::{AdminContext, GroupContext},
    error::{broker_error, client_error, is_authentication, is_looked_at_again, words},
    native::{self, Operation},
};
use crate::{Error, config::Config, url::TransportUrl};

/// A topic that nobody has: a commit for it changes nothing, whatever the answer.
const NO_TOPIC: &str = "oslo-messaging-probe.no-such-topic";
/// A refusal shows before the whole timeout is over, so it is looked for that often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for what exactly is wrong with a certificate or a ticket.
const SECOND_LOOK: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(20);

/// Asks a cluster what it is and what it allows.
///
/// ```no_run
/// use oslo_messaging::{Transport, config::Config, kafka::Probe};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), oslo_messaging::Error> {
/// let config = Config::new();
/// let transport = Transport::for_notifications("kafka://localhost:9092/")?;
/// let probe = Probe::open(transport.url(), &config)?;
/// match probe.connect(Duration::from_secs(10)) {
///     Ok(cluster) => println!("{} brokers", cluster.brokers.len()),
///     Err(refusal) => println!("{:?}: {refusal}", refusal.stage),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Probe {
    options: KafkaOptions,
    client: BaseConsumer<GroupContext>,
}

/// How far a connection came before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// No broker was reached, or the connection broke.
    Connection,
    /// The certificates were not accepted, on one of the sides.
    Tls,
    /// The broker refused the credentials or the mechanism.
    Sasl,
    /// Connected, but the question was not answered or was refused.
    Question,
}

/// Why a cluster did not let the client in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// How far the connection came.
    pub stage: Stage,
    /// The client library's last word, or the broker's.
    pub reason: String,
}

/// What a cluster says of itself. `None`: a broker before 2.3 does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterView {
    /// Addresses, such as `kafka1:9092`, as the brokers tell them to their clients.
    pub brokers: Vec<String>,
    /// ACL operation Create on the cluster.
    pub may_create_topics: Option<bool>,
    /// ACL operation IdempotentWrite on the cluster. Brokers since 2.8 need only Write on the topic.
    pub may_write_idempotently: Option<bool>,
}

/// What a cluster says of a topic. `None`: it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicView {
    /// Whether there is one. A topic that may not even be described looks as if there were none on
    /// some brokers, and is [`refused`](Self::refused) on others.
    pub exists: bool,
    /// It may not be described.
    pub refused: bool,
    /// Partitions.
    pub partitions: usize,
    /// Partitions that nobody leads at the moment.
    pub without_leader: usize,
    /// Copies of its first partition.
    pub replicas: usize,
    /// ACL operation Write.
    pub may_write: Option<bool>,
    /// ACL operation Read.
    pub may_read: Option<bool>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: Option<usize>,
    /// `max.message.bytes`.
    pub max_message_bytes: Option<usize>,
}

impl Probe {
    /// Takes the settings of a driver. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOption`] and [`Error::InvalidOption`] for the URL's query and the
    /// configuration; [`Error::Broker`] when the client library refuses the settings, such as a
    /// certificate file that is not there.
    pub fn open(url: &TransportUrl, config: &Config) -> Result<Self, Error> {
        let options = KafkaOptions::resolve(url, config)?;
        let config = options.reader();
        let context = GroupContext::of(&options, &config);
        let client = BaseConsumer::from_config_and_context(&config, context)
            .map_err(|error| client_error("create the client", error, &config))?;
        Ok(Self { options, client })
    }

    /// The hosts of the URL with their ports.
    #[must_use]
    pub fn hosts(&self) -> Vec<(String, u16)> {
        self.options.hosts()
    }

    /// `security_protocol`, such as `SASL_SSL`.
    #[must_use]
    pub fn security_protocol(&self) -> &str {
        self.options.security_protocol()
    }

    /// `sasl_mechanism`, where the protocol has one.
    #[must_use]
    pub fn sasl_mechanism(&self) -> Option<&str> {
        self.options.sasl_mechanism()
    }

    /// Connects, logs in, and asks what the cluster is. Returns as soon as that is refused, at the
    /// latest after `timeout`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with how far it came.
    pub fn connect(&self, timeout: Duration) -> Result<ClusterView, Refusal> {
        let found = self.ask(timeout, |wait| native::describe_cluster(self.client.client(), wait));
        let (brokers, operations) = found?;
        let may = |operation| operations.as_ref().map(|allowed| allowed.contains(&operation));
        Ok(ClusterView {
            brokers,
            may_create_topics: may(Operation::Create),
            may_write_idempotently: may(Operation::IdempotentWrite),
        })
    }

    /// Asks about a topic by its whole name, such as `notifications.info`.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn topic(&self, name: &str, timeout: Duration) -> Result<TopicView, Refusal> {
        let client = self.client.client();
        let mut view = self.ask(timeout, |wait| native::describe_topic(client, name, wait))?;
        if view.exists {
            self.read_settings(name, &mut view, timeout);
        }
        Ok(view)
    }

    /// Whether the group lets this user read and commit: ACL operation Read.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn may_use_group(&self, group: &str, timeout: Duration) -> Result<bool, Refusal> {
        let asked = |error: KafkaError| Refusal {
            stage: Stage::Question,
            reason: broker_error("ask the group", error).to_string(),
        };
        let mut config = self.options.consumer(group);
        // It does not join, may not take a member's place, and makes no topic.
        config.remove("group.instance.id").set("allow.auto.create.topics", "false");
        let context = GroupContext::of(&self.options, &config);
        let consumer = BaseConsumer::from_config_and_context(&config, context).map_err(asked)?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(NO_TOPIC, 0, Offset::Offset(0)).map_err(asked)?;
        let replies = native::ReplyQueue::new(consumer.client(), Box::new(|| ()));
        let committed = replies.commit(consumer.client(), &offsets, 0);
        committed.map_err(|code| asked(KafkaError::ConsumerCommit(code)))?;
        let end = Instant::now() + timeout;
        let answer = loop {
            if let Some(native::Reply::Commit(reply)) = replies.poll() {
                let code =
                    reply.partitions.into_iter().find_map(|partition| partition.result.err());
                if !code.is_some_and(is_no_answer) {
                    break code;
                }
                // The coordinator is on its way elsewhere: asked again.
                thread::sleep(LOOK_EVERY);
                let committed = replies.commit(consumer.client(), &offsets, 0);
                committed.map_err(|code| asked(KafkaError::ConsumerCommit(code)))?;
            }
            // What is refused at the coordinator's door comes as an error of the consumer.
            if let Some(Err(error)) = consumer.poll(TICK)
                && error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed)
            {
                break Some(Code::GroupAuthorizationFailed);
            }
            if Instant::now() >= end {
                let last = consumer.context().health.last_error();
                let reason = last.map_or_else(
                    || "the group's coordinator does not answer".to_owned(),
                    |last| format!("the group's coordinator does not answer: {}", last.reason),
                );
                // Its end would wait for the commit, and there is nothing that it must do.
                consumer.context().begin_closing();
                mem::forget((replies, consumer));
                return Err(Refusal { stage: Stage::Question, reason });
            }
        };
        consumer.context().begin_closing();
        match answer {
            Some(Code::GroupAuthorizationFailed) => Ok(false),
            // The group looked at it, and there is no such topic or no such member.
            _ => Ok(true),
        }
    }

    /// The most bytes of a record that this client sends.
    #[must_use]
    pub fn max_record_bytes(&self) -> usize {
        self.options.max_record_bytes
    }

    /// Asks again and again until an answer, a refusal that no waiting mends, or the end.
    fn ask<T>(
        &self,
        timeout: Duration,
        question: impl Fn(Duration) -> Result<T, Code>,
    ) -> Result<T, Refusal> {
        let end = Instant::now() + timeout;
        let mut refused_at = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let code = match question(left.min(LOOK_EVERY)) {
                Ok(answer) => return Ok(answer),
                Err(code) => code,
            };
            // Errors of connections are told by polls.
            let context = self.client.context();
            while self.client.poll(Duration::ZERO).is_some() || context.take_served() {}
            let last = context.health.last_error();
            let refused = last.as_ref().is_some_and(|last| is_authentication(last.code));
            let is_answer = !matches!(code, Code::OperationTimedOut | Code::BrokerTransportFailure);
            // What exactly is wrong is found out on another thread.
            let is_open = last.as_ref().is_some_and(|last| is_looked_at_again(&last.reason));
            let told = refused && {
                let at = *refused_at.get_or_insert_with(Instant::now);
                !is_open || at.elapsed() >= SECOND_LOOK
            };
            if !(told || is_answer || Instant::now() >= end) {
                thread::sleep(TICK);
                continue;
            }
            return Err(match last {
                Some(last) if !is_answer || refused => {
                    let stage = match last.code {
                        Code::SSL => Stage::Tls,
                        code if is_authentication(code) => Stage::Sasl,
                        _ => Stage::Connection,
                    };
                    Refusal { stage, reason: last.reason }
                }
                _ if is_answer => Refusal { stage: Stage::Question, reason: words(code) },
                _ => Refusal { stage: Stage::Connection, reason: words(code) },
            });
        }
    }

    /// What the topic allows in size and copies, where that may be read.
    fn read_settings(&self, name: &str, view: &mut TopicView, timeout: Duration) {
        let look = || -> Result<_, KafkaError> {
            let context = AdminContext::default();
            let admin = AdminClient::from_config_and_context(&self.options.admin(), context)?;
            #[cfg(feature = "oidc")]
            super::tokens::give(self.options.tokens.as_ref(), admin.inner());
            let options = AdminOptions::new().request_timeout(Some(timeout));
            let topics = [ResourceSpecifier::Topic(name)];
            futures_executor::block_on(admin.describe_configs(&topics, &options))
        };
        let found = match look() {
            Ok(found) => found,
            Err(error) => return tracing::debug!("the settings of {name} are not told: {error}"),
        };
        for resource in found.into_iter().flatten() {
            for entry in &resource.entries {
                let number = || entry.value.as_ref().and_then(|value| value.parse().ok());
                match entry.name.as_str() {
                    "max.message.bytes" => view.max_message_bytes = number(),
                    "min.insync.replicas" => view.min_insync_replicas = number(),
                    _ => {}
                }
            }
        }
    }
}

/// Whether nobody has looked at the request.
fn is_no_answer(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::AllBrokersDown
    )
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.client.context().begin_closing();
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("hosts", &self.hosts()).finish_non_exhaustive()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}
