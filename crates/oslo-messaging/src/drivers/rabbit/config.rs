//! The options of `[oslo_messaging_rabbit]`, and what the transport URL says.

use std::{path::PathBuf, time::Duration};

use crate::{
    Error, Secret,
    config::{Config, Options, RABBIT},
    url::TransportUrl,
};

/// The port of hosts that name none, with TLS too.
const PORT: u16 = 5672;
/// Who logs in where the URL names nobody.
const GUEST: &str = "guest";

/// One host of the transport URL.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) username: String,
    pub(super) password: Secret,
}

/// How to speak TLS. A path that is not set is `None`.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    /// Such as `TLSv1_2`; empty for whatever both sides can.
    pub(super) version: String,
}

/// How bodies are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Bzip2,
}

/// See the module's head. Names are those of the options without their prefixes.
#[derive(Clone, Debug)]
pub(super) struct RabbitOptions {
    pub(super) brokers: Vec<Broker>,
    pub(super) virtual_host: String,
    pub(super) control_exchange: String,
    pub(super) login_method: String,
    pub(super) tls: Option<Tls>,
    pub(super) retry_interval: Duration,
    pub(super) retry_backoff: Duration,
    pub(super) interval_max: Duration,
    pub(super) reconnect_delay: Duration,
    pub(super) reconnect_splay: Duration,
    pub(super) shuffle_again: bool,
    /// How long a reply is offered to a queue that is not there.
    pub(super) missing_consumer_timeout: Duration,
    /// Zero turns heartbeats off.
    pub(super) heartbeat: Duration,
    pub(super) durable_queues: bool,
    pub(super) auto_delete: bool,
    pub(super) ha_queues: bool,
    pub(super) quorum_queue: bool,
    pub(super) transient_quorum_queue: bool,
    pub(super) quorum_delivery_limit: i64,
    pub(super) quorum_max_memory_length: i64,
    pub(super) quorum_max_memory_bytes: i64,
    /// Zero means that they never expire.
    pub(super) transient_queues_ttl: Duration,
    pub(super) stream_fanout: bool,
    /// 0: the driver's own bound.
    pub(super) prefetch: u16,
    pub(super) cancel_on_failover: bool,
    /// Host and process name of queues that are found again by their names.
    pub(super) queue_names: Option<(String, String)>,
    pub(super) compression: Option<Compression>,
    pub(super) mandatory_replies: bool,
}

impl RabbitOptions {
    pub(super) fn resolve(url: &TransportUrl, config: &Config) -> Result<Self, Error> {
        let shared = Options::resolve("DEFAULT", config, &[])?;
        let options = Options::resolve(RABBIT, config, url.query())?;
        let seconds = |name| Duration::from_secs(options.int(name).unsigned_abs());
        let parts = |name| options.seconds(name);
        let text = |name| Some(options.str(name)).filter(|text| !text.is_empty());
        let path = |name| text(name).map(PathBuf::from);
        let tls = options.boolean("ssl").then(|| Tls {
            ca_file: path("ssl_ca_file"),
            cert_file: path("ssl_cert_file"),
            key_file: path("ssl_key_file"),
            version: options.str("ssl_version").to_owned(),
        });
        let this = Self {
            brokers: brokers(url),
            virtual_host: match url.virtual_host() {
                None | Some("") => "/".to_owned(),
                Some(host) => host.to_owned(),
            },
            control_exchange: shared.str("control_exchange").to_owned(),
            login_method: options.str("rabbit_login_method").to_owned(),
            tls,
            retry_interval: seconds("rabbit_retry_interval"),
            retry_backoff: seconds("rabbit_retry_backoff"),
            interval_max: seconds("rabbit_interval_max"),
            reconnect_delay: parts("kombu_reconnect_delay"),
            reconnect_splay: parts("kombu_reconnect_splay"),
            shuffle_again: options.str("kombu_failover_strategy") == "shuffle",
            missing_consumer_timeout: seconds("kombu_missing_consumer_retry_timeout"),
            heartbeat: seconds("heartbeat_timeout_threshold"),
            durable_queues: options.boolean("amqp_durable_queues"),
            auto_delete: options.boolean("amqp_auto_delete"),
            ha_queues: options.boolean("rabbit_ha_queues"),
            quorum_queue: options.boolean("rabbit_quorum_queue"),
            transient_quorum_queue: options.boolean("rabbit_transient_quorum_queue"),
            quorum_delivery_limit: options.int("rabbit_quorum_delivery_limit"),
            quorum_max_memory_length: options.int("rabbit_quorum_max_memory_length"),
            quorum_max_memory_bytes: options.int("rabbit_quorum_max_memory_bytes"),
            transient_queues_ttl: seconds("rabbit_transient_queues_ttl"),
            stream_fanout: options.boolean("rabbit_stream_fanout"),
            prefetch: u16::try_from(options.int("rabbit_qos_prefetch_count")).unwrap_or(u16::MAX),
            cancel_on_failover: options.boolean("enable_cancel_on_failover"),
            queue_names: options
                .boolean("use_queue_manager")
                .then(|| (host_name(options.str("hostname")), process_name(&options))),
            compression: match options.str("kombu_compression") {
                "gzip" => Some(Compression::Gzip),
                "bz2" => Some(Compression::Bzip2),
                _ => None,
            },
            mandatory_replies: options.boolean("direct_mandatory_flag"),
        };
        this.check()?;
        Ok(this)
    }

    /// Whether queues and exchanges outlive the broker.
    pub(super) fn is_durable(&self) -> bool {
        self.durable_queues || self.quorum_queue
    }

    /// What no broker takes.
    fn check(&self) -> Result<(), Error> {
        let contradictions = [
            (
                self.quorum_queue && self.auto_delete,
                "rabbit_quorum_queue",
                "quorum queues cannot be deleted by themselves; unset amqp_auto_delete",
            ),
            (
                self.quorum_queue && self.ha_queues,
                "rabbit_quorum_queue",
                "a queue is either mirrored or a quorum queue; unset rabbit_ha_queues",
            ),
            (
                self.stream_fanout && !(self.transient_quorum_queue && self.prefetch > 0),
                "rabbit_stream_fanout",
                "streams need rabbit_transient_quorum_queue = true and a rabbit_qos_prefetch_count \
                 above 0",
            ),
        ];
        match contradictions.into_iter().find(|(is_there, ..)| *is_there) {
            Some((_, name, reason)) => {
                Err(Error::InvalidSetting { name, reason: reason.to_owned() })
            }
            None => Ok(()),
        }
    }
}

fn brokers(url: &TransportUrl) -> Vec<Broker> {
    let guest = || (GUEST.to_owned(), Secret::new(GUEST));
    if url.hosts().is_empty() {
        let (username, password) = guest();
        return vec![Broker { host: "localhost".to_owned(), port: PORT, username, password }];
    }
    let broker = |host: &crate::url::Host| {
        let (username, password) = match (&host.username, &host.password) {
            (None, None) => guest(),
            (name, password) => (
                name.clone().unwrap_or_default(),
                password.clone().unwrap_or_else(|| Secret::new("")),
            ),
        };
        let port = host.port.unwrap_or(PORT);
        Broker { host: host.hostname.clone(), port, username, password }
    };
    url.hosts().iter().map(broker).collect()
}

fn host_name(option: &str) -> String {
    if !option.is_empty() {
        return option.to_owned();
    }
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn process_name(options: &Options) -> String {
    match options.str("processname") {
        "" => program_name(),
        name => name.to_owned(),
    }
}

/// The file name of the program that runs.
pub(super) fn program_name() -> String {
    std::env::args_os()
        .next()
        .map(PathBuf::from)
        .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "oslo-messaging".to_owned())
}
