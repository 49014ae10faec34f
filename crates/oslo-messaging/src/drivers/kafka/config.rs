//! The Kafka driver's settings, and the one place where librdkafka's names stand; those of security are
//! in `security`.

mod security;

use std::{sync::Arc, time::Duration};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

#[cfg(feature = "oidc")]
use super::tokens::Tokens;
use super::{dead_letters::Limits, login::Login, topics};
use crate::{
    Error,
    config::{Config, Options},
    driver::Redelivery,
    key::MessageKey,
    spool::Settings,
    url::TransportUrl,
};

/// The group of options that this driver reads.
pub(super) const GROUP: &str = "oslo_messaging_kafka";
const DEFAULT_PORT: u16 = 9092;
/// Where librdkafka's log goes.
pub(super) const LOG: &str = "oslo_messaging::librdkafka";
/// librdkafka's `message.max.bytes`.
const DEFAULT_MAX_RECORD_BYTES: usize = 1_000_000;

/// Properties on which a promise of this library rests: `librdkafka_properties` cannot set them.
const RESERVED: &[(&str, &str)] = &[
    ("acks", "a notification is confirmed only when all in-sync replicas have it"),
    ("request.required.acks", "a notification is confirmed only when all in-sync replicas have it"),
    ("enable.idempotence", "set enable_idempotence"),
    ("message.timeout.ms", "set delivery_timeout"),
    ("delivery.timeout.ms", "set delivery_timeout"),
    ("enable.auto.commit", "offsets are committed by the listener"),
    ("enable.auto.offset.store", "offsets are committed by the listener"),
    ("auto.offset.reset", "set auto_offset_reset"),
    ("group.id", "set consumer_group or a pool"),
    ("bootstrap.servers", "name the brokers in the transport URL"),
    ("metadata.broker.list", "name the brokers in the transport URL"),
    ("log.queue", "the library reads the log itself"),
    ("statistics.interval.ms", "the library reads the state of the connections from them"),
];

/// Everything that the driver's parts need, read once.
#[derive(Clone, Debug)]
pub(super) struct KafkaOptions {
    hosts: Vec<(String, u16)>,
    /// Shared with all clients.
    pub(super) login: Arc<Login>,
    options: Options,
    pub(super) virtual_host: Option<String>,
    pub(super) default_group: String,
    pub(super) delivery: Delivery,
    pub(super) delivery_timeout: Duration,
    /// How long librdkafka tries; 0 is for ever.
    pub(super) record_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) queue_max_messages: usize,
    pub(super) queue_overflow: Overflow,
    /// `None` in the other modes.
    pub(super) spool: Option<Settings>,
    /// What librdkafka itself would refuse, so that it is not spooled first.
    pub(super) max_record_bytes: usize,
    pub(super) message_key: MessageKey,
    pub(super) exit_flush_timeout: Duration,
    pub(super) sends_zstd: bool,
    pub(super) is_idempotent: bool,
    pub(super) create_topics: bool,
    pub(super) topic_partitions: i32,
    pub(super) topic_replication_factor: i32,
    pub(super) read_from_end: bool,
    pub(super) max_poll_records: usize,
    pub(super) commit_window: usize,
    pub(super) dispatch_order: DispatchOrder,
    pub(super) revoke_drain_timeout: Duration,
    /// With `commit = after_dispatch`.
    pub(super) redelivery: Option<Redelivery>,
    /// The dead-letter topic and its limits.
    pub(super) dead_letters: Option<(String, Limits)>,
    /// With `sasl_mechanism = OAUTHBEARER`.
    #[cfg(feature = "oidc")]
    pub(super) tokens: Option<Arc<Tokens>>,
}

/// When a send is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Confirmed,
    Queued,
    Spooled,
}

/// What queued mode does with a record for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overflow {
    Block,
    Drop,
    Log,
}

/// The time that a queued record has to arrive where `delivery_timeout` is not set: nobody waits
/// for it, and a broker that is started anew takes a minute.
const QUEUED_TIMEOUT: Duration = Duration::from_secs(120);

/// What stays in order when records are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DispatchOrder {
    Partition,
    Key,
    None,
}

impl KafkaOptions {
    /// Reads the options from the URL's query, the program's overrides and the files.
    pub(super) fn resolve(url: &TransportUrl, config: &Config) -> Result<Self, Error> {
        let options = Options::resolve(GROUP, config, url.query())?;
        for (name, _) in options.dict("librdkafka_properties") {
            if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                return Err(Error::InvalidOption {
                    group: GROUP,
                    name: "librdkafka_properties".to_owned(),
                    value: name.clone(),
                    origin: options.origin("librdkafka_properties").to_string(),
                    expected: format!("no {name}: {why}"),
                });
            }
        }
        security::can_be_meant(&options)?;
        let login = Arc::new(Login::new(security::credentials(url)));
        let delivery = match options.str("delivery") {
            "queued" => Delivery::Queued,
            "spooled" => Delivery::Spooled,
            _ => Delivery::Confirmed,
        };
        let delivery_timeout = options.seconds("delivery_timeout");
        let after_dispatch = match options.is_set("commit") {
            true => options.str("commit") == "after_dispatch",
            false => options.boolean("enable_auto_commit"),
        };
        let options_count = |name| usize::try_from(options.int(name)).unwrap_or(0);
        let options_i32 = |name| i32::try_from(options.int(name)).unwrap_or(-1);
        let this = Self {
            hosts: hosts(url),
            virtual_host: url.virtual_host().filter(|host| *host != "/").map(str::to_owned),
            default_group: options.str("consumer_group").to_owned(),
            delivery,
            delivery_timeout,
            record_timeout: match delivery {
                Delivery::Queued if !options.is_set("delivery_timeout") => QUEUED_TIMEOUT,
                Delivery::Queued | Delivery::Confirmed => delivery_timeout,
                Delivery::Spooled => Duration::ZERO,
            },
            connect_timeout: options.seconds("connect_timeout"),
            queue_max_messages: options_count("queue_max_messages").max(1),
            spool: spool(&options, delivery)?,
            max_record_bytes: max_record_bytes(&options),
            queue_overflow: match options.str("queue_overflow") {
                "drop" => Overflow::Drop,
                "log" => Overflow::Log,
                _ => Overflow::Block,
            },
            message_key: MessageKey::from_option(options.str("message_key")),
            exit_flush_timeout: options.seconds("exit_flush_timeout"),
            is_idempotent: options.boolean("enable_idempotence"),
            sends_zstd: codec(&options) == "zstd",
            create_topics: options.boolean("create_topics"),
            topic_partitions: options_i32("topic_partitions"),
            topic_replication_factor: options_i32("topic_replication_factor"),
            read_from_end: options.str("auto_offset_reset") == "latest",
            max_poll_records: options_count("max_poll_records").max(1),
            commit_window: options_count("commit_window"),
            dispatch_order: match options.str("dispatch_order") {
                "key" => DispatchOrder::Key,
                "none" => DispatchOrder::None,
                _ => DispatchOrder::Partition,
            },
            revoke_drain_timeout: options.seconds("revoke_drain_timeout"),
            redelivery: after_dispatch.then(|| Redelivery {
                max: u32::try_from(options.int("max_redeliveries")).unwrap_or(u32::MAX),
                backoff: options.seconds("redelivery_backoff"),
                at_broker: false,
            }),
            dead_letters: dead_letter_topic(&options)?.map(|topic| {
                let limits = Limits {
                    ratio: options.float("dead_letter_max_ratio"),
                    run: options_count("dead_letter_max_consecutive"),
                };
                (topic, limits)
            }),
            #[cfg(feature = "oidc")]
            tokens: security::tokens(&options, &login)?.map(Arc::new),
            login,
            options,
        };
        if this.login.get().is_some() && this.options.str("security_protocol") == "PLAINTEXT" {
            tracing::warn!(
                "the transport URL has credentials, but security_protocol is PLAINTEXT: they are \
                 not used; set security_protocol to SASL_PLAINTEXT or SASL_SSL"
            );
        }
        Ok(this)
    }

    /// The same with `delivery = confirmed`.
    pub(super) fn confirmed(&self) -> Self {
        let mut this = self.clone();
        (this.delivery, this.record_timeout) = (Delivery::Confirmed, this.delivery_timeout);
        this.spool = None;
        this
    }

    /// Takes another user and password, which the clients find there.
    pub(super) fn take_credentials(&self, url: &TransportUrl) {
        if let Some(credentials) = security::credentials(url) {
            self.login.set(credentials);
        }
    }

    /// Whether a missing topic can be made by asking the brokers for it.
    pub(super) fn creates_by_metadata(&self) -> bool {
        self.create_topics && self.topic_partitions < 0 && self.topic_replication_factor < 0
    }

    /// The properties of a producer.
    pub(super) fn producer(&self) -> ClientConfig {
        let o = &self.options;
        let mut config = self.client();
        let propagation = Duration::from_secs(5).min(self.delivery_timeout / 2);
        config
            .set("acks", "all")
            .set("enable.idempotence", o.boolean("enable_idempotence").to_string())
            .set("message.timeout.ms", millis(self.record_timeout))
            // Which connections are up, and where the leaders are: once a second, or as often as
            // a short connect_timeout needs it.
            .set("statistics.interval.ms", millis(self.statistics_interval()))
            .set("topic.metadata.propagation.max.ms", millis(propagation))
            .set("linger.ms", millis(o.seconds("producer_batch_timeout")))
            .set("batch.num.messages", o.int("producer_batch_size").to_string())
            .set("compression.type", o.str("compression_codec"))
            .set("queue.buffering.max.messages", o.int("queue_max_messages").to_string())
            .set("queue.buffering.max.kbytes", o.int("queue_max_kbytes").to_string())
            .set("allow.auto.create.topics", self.creates_by_metadata().to_string());
        let mut config = self.pass_through(config);
        if self.sends_zstd {
            // Nothing else says whether a broker has it: see the module `zstd`.
            let debug = config.get("debug").map_or(String::new(), |debug| format!("{debug},"));
            config.set("debug", format!("{debug}feature")).set_log_level(RDKafkaLogLevel::Debug);
        }
        config
    }

    fn statistics_interval(&self) -> Duration {
        (self.connect_timeout / 4).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }

    /// The properties of a consumer in a group.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let o = &self.options;
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Every partition is assigned with its start. What is left to this is a start that
            // the broker no longer has: go on with the oldest record.
            .set("auto.offset.reset", "earliest")
            .set("max.partition.fetch.bytes", o.int("kafka_max_fetch_bytes").to_string())
            .set("allow.auto.create.topics", self.creates_by_metadata().to_string())
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("queued.max.messages.kbytes", "8192")
            // A full queue is asked again soon: the default of 1 s would stall a fast listener.
            .set("fetch.queue.backoff.ms", "20")
            .set("check.crcs", "true");
        if o.str("group_protocol") == "consumer" {
            // The brokers set the session and deal out the partitions: librdkafka refuses the
            // settings of the classic protocol.
            config.set("group.protocol", "consumer");
        } else {
            let strategies = o.list("partition_assignment_strategy").join(",");
            config
                .set("session.timeout.ms", millis(o.seconds("session_timeout")))
                .set("heartbeat.interval.ms", millis(o.seconds("heartbeat_interval")))
                .set("partition.assignment.strategy", strategies);
        }
        if !o.str("group_instance_id").is_empty() {
            config.set("group.instance.id", o.str("group_instance_id"));
        }
        self.pass_through(config)
    }

    /// Whether a member that stops tells the group at once. A static member keeps its partitions for
    /// its next start; with KIP-848 a heartbeat says it.
    pub(super) fn leaves_by_word(&self) -> bool {
        let o = &self.options;
        o.str("group_instance_id").is_empty() && o.str("group_protocol") == "classic"
    }

    /// The properties of a consumer that reads without a group: the name is only a form.
    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.consumer("oslo-messaging-reader");
        config
            .set("allow.auto.create.topics", "false")
            .set("auto.offset.reset", "earliest")
            .remove("group.instance.id");
        config
    }

    /// The hosts with their ports.
    pub(super) fn hosts(&self) -> Vec<(String, u16)> {
        self.hosts.clone()
    }

    pub(super) fn security_protocol(&self) -> &str {
        self.options.str("security_protocol")
    }

    /// Where the protocol has one.
    pub(super) fn sasl_mechanism(&self) -> Option<&str> {
        let has_one = self.security_protocol().starts_with("SASL");
        has_one.then(|| self.options.str("sasl_mechanism"))
    }

    /// The properties of a client that only asks.
    pub(super) fn admin(&self) -> ClientConfig {
        self.pass_through(self.client())
    }

    fn client(&self) -> ClientConfig {
        let o = &self.options;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap(&self.hosts))
            .set("client.id", o.str("client_id"))
            // librdkafka's own 60 s would turn a frozen leader into a stall of minutes.
            .set("socket.timeout.ms", "8000")
            .set("socket.keepalive.enable", "true")
            // Expired records are noticed when a connection is tried: look once a second.
            .set("reconnect.backoff.max.ms", "1000");
        // The wrapper's own choice is by the levels of a log that is not used here.
        let is_debugged = tracing::enabled!(target: LOG, tracing::Level::DEBUG);
        config.set_log_level(match is_debugged {
            true => RDKafkaLogLevel::Debug,
            false => RDKafkaLogLevel::Warning,
        });
        self.security(&mut config);
        config
    }

    fn pass_through(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in self.options.dict("librdkafka_properties") {
            config.set(name, value);
        }
        config
    }
}

/// The codec of the batches, librdkafka's own names for it included.
fn codec(options: &Options) -> &str {
    let is_codec = |name: &str| matches!(name, "compression.type" | "compression.codec");
    let passed = options.dict("librdkafka_properties").iter().find(|(name, _)| is_codec(name));
    passed.map_or(options.str("compression_codec"), |(_, codec)| codec)
}

fn dead_letter_topic(options: &Options) -> Result<Option<String>, Error> {
    let topic = options.str("dead_letter_topic");
    if topic.is_empty() {
        return Ok(None);
    }
    topics::check(topic).map_err(|reason| Error::InvalidOption {
        group: GROUP,
        name: "dead_letter_topic".to_owned(),
        value: topic.to_owned(),
        origin: options.origin("dead_letter_topic").to_string(),
        expected: format!("a topic's name: {reason}"),
    })?;
    Ok(Some(topic.to_owned()))
}

/// The spool's settings, in the mode that has one.
fn spool(options: &Options, delivery: Delivery) -> Result<Option<Settings>, Error> {
    let dir = options.str("spool_dir");
    match (delivery, dir.is_empty()) {
        (Delivery::Confirmed | Delivery::Queued, _) => Ok(None),
        (Delivery::Spooled, true) => Err(Error::InvalidOption {
            group: GROUP,
            name: "spool_dir".to_owned(),
            value: String::new(),
            origin: options.origin("spool_dir").to_string(),
            expected: "a folder, for delivery = spooled".to_owned(),
        }),
        (Delivery::Spooled, false) => Ok(Some(Settings {
            dir: dir.into(),
            max_bytes: u64::try_from(options.int("spool_max_kbytes")).unwrap_or(0) * 1024,
            fsync: options.boolean("spool_fsync"),
        })),
    }
}

fn max_record_bytes(options: &Options) -> usize {
    let properties = options.dict("librdkafka_properties");
    let given = properties.iter().find(|(name, _)| name == "message.max.bytes");
    given.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(DEFAULT_MAX_RECORD_BYTES)
}

/// The hosts of the URL; without any this machine.
fn hosts(url: &TransportUrl) -> Vec<(String, u16)> {
    let named = url.hosts().iter().filter(|host| !host.hostname.is_empty());
    let hosts: Vec<_> =
        named.map(|host| (host.hostname.clone(), host.port.unwrap_or(DEFAULT_PORT))).collect();
    if hosts.is_empty() { vec![("localhost".to_owned(), DEFAULT_PORT)] } else { hosts }
}

fn bootstrap(hosts: &[(String, u16)]) -> String {
    let address = |(name, port): &(String, u16)| match name.contains(':') {
        true => format!("[{name}]:{port}"),
        false => format!("{name}:{port}"),
    };
    hosts.iter().map(address).collect::<Vec<_>>().join(",")
}

fn millis(duration: Duration) -> String {
    // librdkafka counts in i32 milliseconds, and 0 would mean "for ever" to some of its timeouts.
    let millis = i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
    if millis == 0 && !duration.is_zero() { "1".to_owned() } else { millis.to_string() }
}
