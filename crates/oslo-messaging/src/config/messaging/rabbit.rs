//! The RabbitMQ driver's options, all of which the reference has, too.
//!
//! Data only. Names, types and defaults are the reference's (`_drivers/impl_rabbit.py`, `_drivers/amqp.py`), and so
//! are bounds where it has some; further ones are those of AMQP.

use super::{BIGGEST, RABBIT, TEXT};
use crate::config::opt::{DefaultValue, Kind, Opt};

/// Of an option without effect: what a file has is left alone.
const ANY: Kind = Kind::Integer { min: -BIGGEST, max: BIGGEST };
const NOT_NEGATIVE: Kind = Kind::Integer { min: 0, max: BIGGEST };
const POSITIVE: Kind = Kind::Integer { min: 1, max: BIGGEST };

/// How the broker is reached.
pub(super) const CONNECTION: &[Opt] = &[
    Opt::new(
        RABBIT,
        "ssl",
        Kind::Boolean,
        "false",
        "Whether brokers are spoken to by TLS. The port stays that of the URL, 5672 where it names none.",
    ),
    Opt::new(
        RABBIT,
        "ssl_version",
        TEXT,
        "",
        "Version of TLS: TLSv1, TLSv1_1, TLSv1_2, or SSLv23 for the newest that both sides have. Empty means the \
         newest, too.",
    ),
    Opt::new(
        RABBIT,
        "ssl_key_file",
        TEXT,
        "",
        "File with the private key (PEM) of the client's certificate, not encrypted. Empty means none.",
    ),
    Opt::new(
        RABBIT,
        "ssl_cert_file",
        TEXT,
        "",
        "File with the client's certificate (PEM). Empty means none.",
    ),
    Opt::new(
        RABBIT,
        "ssl_ca_file",
        TEXT,
        "",
        "File of certificates (PEM) that the broker's certificate and host name are checked against. Empty means the \
         system's certificates; the name is checked then, too, which the reference does not do.",
    ),
    Opt::new(
        RABBIT,
        "ssl_enforce_hostname_verification",
        Kind::Boolean,
        "true",
        "Accepted without effect: the host name is always checked.",
    )
    .without_effect(),
    Opt::new(
        RABBIT,
        "ssl_enforce_fips_mode",
        Kind::Boolean,
        "false",
        "Accepted without effect: OpenSSL 3 takes its FIPS mode from its own configuration.",
    )
    .without_effect(),
    Opt::new(
        RABBIT,
        "rabbit_login_method",
        Kind::Choice(&["PLAIN", "AMQPLAIN", "EXTERNAL", "RABBIT-CR-DEMO"]),
        "AMQPLAIN",
        "How the client logs in. EXTERNAL is by its certificate.",
    ),
    Opt::new(
        RABBIT,
        "heartbeat_timeout_threshold",
        Kind::Integer { min: 0, max: 65_535 },
        "60",
        "Seconds without a sign of the broker after which it counts as lost. The smaller one of this and what the \
         broker asks for counts; 0 is no heartbeat.",
    ),
    Opt::new(
        RABBIT,
        "heartbeat_rate",
        ANY,
        "3",
        "Accepted without effect: heartbeats are sent and looked for by a timer, twice within the time that is agreed on.",
    )
    .without_effect(),
    Opt::new(
        RABBIT,
        "rabbit_retry_interval",
        POSITIVE,
        "1",
        "Seconds before the second attempt to connect.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_retry_backoff",
        NOT_NEGATIVE,
        "2",
        "Seconds by which that grows with each further attempt.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_interval_max",
        POSITIVE,
        "30",
        "Most seconds between two attempts to connect.",
    ),
    Opt::new(
        RABBIT,
        "kombu_reconnect_delay",
        Kind::Seconds { min: 0.0, max: 4.5 },
        "1.0",
        "Seconds before the first attempt after a connection was lost.",
    ),
    Opt::new(
        RABBIT,
        "kombu_reconnect_splay",
        Kind::Seconds { min: 0.0, max: 3600.0 },
        "0.0",
        "Up to so many seconds more than kombu_reconnect_delay, by chance: not all services come back at once.",
    ),
    Opt::new(
        RABBIT,
        "kombu_failover_strategy",
        Kind::Choice(&["round-robin", "shuffle"]),
        "round-robin",
        "Which host of the URL comes next when one is lost: the one after it, or any.",
    ),
    Opt::new(
        RABBIT,
        "rpc_conn_pool_size",
        POSITIVE,
        "30",
        "Accepted without effect: one connection sends for all threads.",
    )
    .without_effect(),
    Opt::new(
        RABBIT,
        "conn_pool_min_size",
        ANY,
        "2",
        "Accepted without effect: one connection sends for all threads.",
    )
    .without_effect(),
    Opt::new(
        RABBIT,
        "conn_pool_ttl",
        ANY,
        "1200",
        "Accepted without effect: the one connection that sends is kept.",
    )
    .without_effect(),
];

/// What queues are, and what they are called.
pub(super) const QUEUES: &[Opt] = &[
    Opt::new(
        RABBIT,
        "amqp_durable_queues",
        Kind::Boolean,
        "false",
        "Whether exchanges and queues outlive the broker. Without effect with rabbit_quorum_queue, whose queues do.",
    ),
    Opt::new(
        RABBIT,
        "amqp_auto_delete",
        Kind::Boolean,
        "false",
        "Whether exchanges and queues go with their last binding and consumer. Quorum queues refuse it.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_ha_queues",
        Kind::Boolean,
        "false",
        "Whether queues are declared with x-ha-policy: all. Brokers since 3.0 mirror by a policy of their own and \
         ignore it; whoever changes it must delete the queues.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_quorum_queue",
        Kind::Boolean,
        "false",
        "Whether queues of topics, servers and notifications are quorum queues: durable and replicated. Cannot be \
         meant together with rabbit_ha_queues.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_transient_quorum_queue",
        Kind::Boolean,
        "false",
        "Whether queues of replies and fanouts are quorum queues, too.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_quorum_delivery_limit",
        NOT_NEGATIVE,
        "0",
        "How often a quorum queue delivers a message again before it drops it. 0 leaves \
         the number to the consumer, so that what waits stays at the broker: twice executor_thread_pool_size for an RPC \
         server, 500 of each queue for a listener. The reference sets no limit then.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_quorum_max_memory_length",
        NOT_NEGATIVE,
        "0",
        "Most messages of a quorum queue that the broker holds in memory. 0 leaves \
         the number to the consumer, so that what waits stays at the broker: twice executor_thread_pool_size for an RPC \
         server, 500 of each queue for a listener. The reference sets no limit then.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_quorum_max_memory_bytes",
        NOT_NEGATIVE,
        "0",
        "Most bytes of a quorum queue that the broker holds in memory. 0 leaves \
         the number to the consumer, so that what waits stays at the broker: twice executor_thread_pool_size for an RPC \
         server, 500 of each queue for a listener. The reference sets no limit then.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_transient_queues_ttl",
        NOT_NEGATIVE,
        "1800",
        "Seconds after which the broker deletes a queue of replies or fanouts that nobody uses (x-expires); with \
         rabbit_stream_fanout, the age at which it drops messages (x-max-age). 0 is never.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_stream_fanout",
        Kind::Boolean,
        "false",
        "Whether all servers of a topic read its fanouts from one stream. Needs rabbit_transient_quorum_queue and \
         rabbit_qos_prefetch_count.",
    ),
    Opt::new(
        RABBIT,
        "rabbit_qos_prefetch_count",
        Kind::Integer { min: 0, max: 65_535 },
        "0",
        "Most messages that a consumer holds and has not acknowledged. 0 leaves \
         the number to the consumer, so that what waits stays at the broker: twice executor_thread_pool_size for an RPC \
         server, 500 of each queue for a listener. The reference sets no limit then.",
    ),
    Opt::new(
        RABBIT,
        "enable_cancel_on_failover",
        Kind::Boolean,
        "false",
        "Whether the broker tells consumers when their mirrored queue moves to another node \
         (x-cancel-on-ha-failover).",
    ),
    Opt::new(
        RABBIT,
        "use_queue_manager",
        Kind::Boolean,
        "false",
        "Whether queues of replies and fanouts are named by host, program and a number, and not by chance: the same \
         ones after a restart. Needs [oslo_concurrency] lock_path.",
    ),
    Opt::new(
        RABBIT,
        "hostname",
        TEXT,
        "",
        "The host in the names that use_queue_manager makes.",
    )
    .default(DefaultValue::HostName),
    Opt::new(
        RABBIT,
        "processname",
        TEXT,
        "",
        "The program in the names that use_queue_manager makes. Two services of one host must differ in it, or they \
         take each other's replies.",
    )
    .default(DefaultValue::ProgramName),
];

/// What is sent.
pub(super) const SENDING: &[Opt] = &[
    Opt::new(
        RABBIT,
        "kombu_compression",
        TEXT,
        "",
        "Compression of messages: gzip or bz2. What comes is read in any of them. Not set means none.",
    )
    .default(DefaultValue::Unset),
    Opt::new(
        RABBIT,
        "kombu_missing_consumer_retry_timeout",
        NOT_NEGATIVE,
        "60",
        "Seconds that a server tries to send a reply to a queue that is not there. More than rpc_response_timeout \
         is of no use.",
    )
    .deprecated(&[(RABBIT, "kombu_reconnect_timeout")]),
    Opt::new(
        RABBIT,
        "direct_mandatory_flag",
        Kind::Boolean,
        "true",
        "Whether the broker tells when the queue of a reply is not there, and the server then tries again.",
    ),
];
