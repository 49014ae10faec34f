//! The Kafka driver's options that the reference has, too.
//!
//! Data only. Names, types and defaults are the reference's (`_drivers/kafka_driver/kafka_options.py`);
//! bounds are those of librdkafka where an option becomes one of its settings.

use super::{KAFKA, TEXT};
use crate::config::opt::{Kind, Opt};

/// What a mechanism of SASL logs in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// The user and the password of the transport URL.
    Password,
    /// A token that is asked for at `sasl_oauth_url`.
    Token,
    /// A ticket of Kerberos.
    Ticket,
}

/// The mechanisms that `sasl_mechanism` may name.
pub(crate) const MECHANISMS: &[(&str, Mechanism)] = &[
    ("PLAIN", Mechanism::Password),
    ("SCRAM-SHA-256", Mechanism::Password),
    ("SCRAM-SHA-512", Mechanism::Password),
    ("OAUTHBEARER", Mechanism::Token),
    ("GSSAPI", Mechanism::Ticket),
];

/// What a mechanism logs in with; `None` for one that there is not.
pub(crate) fn mechanism(name: &str) -> Option<Mechanism> {
    MECHANISMS.iter().find(|(of, _)| *of == name).map(|(_, mechanism)| *mechanism)
}

/// Their names, for whoever wrote another one.
pub(crate) fn mechanisms() -> String {
    MECHANISMS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// What `partition_assignment_strategy` may have.
pub(crate) const STRATEGIES: &[&str] = &["range", "roundrobin", "cooperative-sticky"];

pub(super) const OPTIONS: &[Opt] = &[
    Opt::new(
        KAFKA,
        "kafka_max_fetch_bytes",
        Kind::Integer { min: 1, max: 1_000_000_000 },
        "1048576",
        "Most bytes that one fetch takes from one partition. A larger record is still fetched.",
    ),
    Opt::new(
        KAFKA,
        "kafka_consumer_timeout",
        Kind::Seconds { min: 0.0, max: 3600.0 },
        "1.0",
        "Longest wait of one poll of an idle consumer, in seconds. Records that are there are \
         not held back for it.",
    ),
    Opt::new(
        KAFKA,
        "consumer_group",
        TEXT,
        "oslo_messaging_consumer",
        "Consumer group of listeners without a pool. Members of one group share the \
         notifications; each group gets all of them.",
    ),
    Opt::new(
        KAFKA,
        "producer_batch_timeout",
        Kind::Seconds { min: 0.0, max: 900.0 },
        "0.0",
        "Longest wait for more messages before a batch is sent, in seconds. 0 sends at once; \
         0.005 saves a third of the processor time and delays each message by as much.",
    ),
    Opt::new(
        KAFKA,
        "producer_batch_size",
        Kind::Integer { min: 1, max: 1_000_000 },
        "16384",
        "Most messages in one batch: a number of messages, not of bytes.",
    ),
    Opt::new(
        KAFKA,
        "compression_codec",
        Kind::Choice(&["none", "gzip", "snappy", "lz4", "zstd"]),
        "none",
        "Compression of batches. zstd needs Kafka 2.1 or newer: sending to an older broker is refused.",
    ),
    Opt::new(
        KAFKA,
        "enable_auto_commit",
        Kind::Boolean,
        "false",
        "true means commit = after_dispatch without waiting for each commit. Without effect \
         where commit is set.",
    ),
    Opt::new(
        KAFKA,
        "max_poll_records",
        Kind::Integer { min: 1, max: 1_000_000 },
        "500",
        "Most records that a consumer holds which were fetched and not yet dispatched.",
    ),
    Opt::new(
        KAFKA,
        "security_protocol",
        Kind::Choice(&["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"]),
        "PLAINTEXT",
        "How brokers are spoken to. Credentials of the transport URL are used with the two SASL \
         protocols only.",
    ),
    Opt::new(
        KAFKA,
        "sasl_mechanism",
        TEXT,
        "PLAIN",
        "How the SASL protocols log in: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, or \
         GSSAPI in builds with the feature gssapi.",
    ),
    Opt::new(
        KAFKA,
        "ssl_cafile",
        TEXT,
        "",
        "File of certificates (PEM) that the broker's certificate is checked against. Empty \
         means the system's.",
    ),
    Opt::new(
        KAFKA,
        "ssl_client_cert_file",
        TEXT,
        "",
        "File with the client's certificate (PEM). Empty means none.",
    ),
    Opt::new(
        KAFKA,
        "ssl_client_key_file",
        TEXT,
        "",
        "File with the private key (PEM) of the client's certificate. Empty means none.",
    ),
    Opt::new(
        KAFKA,
        "ssl_client_key_password",
        TEXT,
        "",
        "The password of the private key itself, not a file with it. Empty means that the key \
         is not encrypted.",
    )
    .secret(),
];
