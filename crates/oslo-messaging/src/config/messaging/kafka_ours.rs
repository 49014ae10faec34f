//! The Kafka driver's options that the reference does not have, in the same group.
//!
//! Data only; bounds are those of librdkafka where an option becomes one of its settings.

use super::{BIGGEST, KAFKA, TEXT};
use crate::config::opt::{DefaultValue, Kind, Opt};

/// Largest time of librdkafka's millisecond settings, in whole seconds (about 24 days).
const LONGEST: f64 = 2_147_483.0;
/// A time that may not be 0: at least a millisecond.
const POSITIVE: Kind = Kind::Seconds { min: 0.001, max: LONGEST };
/// A time that may be 0.
const TIME: Kind = Kind::Seconds { min: 0.0, max: LONGEST };

pub(super) const SECURITY: &[Opt] = &[
    Opt::new(
        KAFKA,
        "sasl_oauth_url",
        TEXT,
        "",
        "Where OAUTHBEARER gets its tokens: the token endpoint of an OpenID Connect server, asked with \
         the user and the password of the transport URL as client id and secret. Empty means none.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "sasl_oauth_scope",
        TEXT,
        "",
        "The scope that is asked for at sasl_oauth_url. Empty means none.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "sasl_kerberos_service_name",
        TEXT,
        "kafka",
        "With GSSAPI: the first part of the brokers' principals, such as kafka of \
         kafka/kafka1.example@EXAMPLE.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "sasl_kerberos_keytab",
        TEXT,
        "",
        "With GSSAPI: file with the key that tickets are asked for by, which kinit does once a minute. \
         Empty means that somebody else keeps a ticket in the cache of this process (KRB5CCNAME).",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "sasl_kerberos_principal",
        TEXT,
        "",
        "With GSSAPI: whose key of sasl_kerberos_keytab it is, such as nova@EXAMPLE. Empty means \
         whoever the ticket is of; a keytab needs one.",
    )
    .ours(),
];

pub(super) const SENDING: &[Opt] = &[
    Opt::new(
        KAFKA,
        "delivery",
        Kind::Choice(&["confirmed", "queued", "spooled"]),
        "confirmed",
        "When a send is done: confirmed = the broker has the message; queued = it is in the \
         memory of this process; spooled = it is in a file of spool_dir.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "delivery_timeout",
        POSITIVE,
        "30",
        "Bound of a whole send, in seconds, with all its attempts. In queued mode it is the time \
         that a message has to arrive, 120 unless this option is set.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "connect_timeout",
        POSITIVE,
        "10",
        "Seconds without a connection to any broker after which what is held fails, and further \
         sends fail at once.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "queue_max_messages",
        Kind::Integer { min: 1, max: 10_000_000 },
        "100000",
        "Most messages that wait in the producer.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "queue_max_kbytes",
        Kind::Integer { min: 1, max: BIGGEST },
        "65536",
        "Most kibibytes of messages that wait in the producer.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "queue_overflow",
        Kind::Choice(&["block", "drop", "log"]),
        "block",
        "What queued mode does with a message for which there is no room: block = wait, for at \
         most delivery_timeout; drop = count it; log = write it to the log.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "exit_flush_timeout",
        TIME,
        "5",
        "Longest wait for what is still queued when a notifier is dropped or the process ends, \
         in seconds. 0 does not wait.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "spool_dir",
        TEXT,
        "",
        "Folder of spooled mode, on a local file system. Empty means none; spooled mode needs \
         one.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "spool_fsync",
        Kind::Boolean,
        "false",
        "Whether a spooled message is on the disk before the send returns. false survives the \
         death of the process, true also that of the machine.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "spool_max_kbytes",
        Kind::Integer { min: 1, max: BIGGEST },
        "1048576",
        "Most kibibytes that one process keeps in its folder of the spool. What would exceed it is \
         refused.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "enable_idempotence",
        Kind::Boolean,
        "true",
        "Whether the producer's own retries can make no duplicates. Brokers before 2.8 with \
         ACLs need IdempotentWrite on the cluster for it.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "message_key",
        Kind::ChoiceOrPrefix {
            choices: &["none", "publisher_id", "event_type", "project_id"],
            prefix: "payload:",
        },
        "none",
        "Which part of a notification is the message's key. Notifications of one key stay in \
         order. payload:PATH is a value of the payload, such as payload:instance_id.",
    )
    .ours(),
];

pub(super) const LISTENING: &[Opt] = &[
    Opt::new(
        KAFKA,
        "commit",
        Kind::Choice(&["before_dispatch", "after_dispatch"]),
        "before_dispatch",
        "When offsets are committed: before_dispatch = at most once, without duplicates; \
         after_dispatch = at least once.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "commit_window",
        Kind::Integer { min: 0, max: 1_000_000 },
        "0",
        "Most records of a partition that are committed and not yet dispatched, which a crash \
         would lose. 0 adapts it to the endpoint: what it does in 100 ms.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "dispatch_order",
        Kind::Choice(&["partition", "key", "none"]),
        "partition",
        "What stays in order: the records of a partition, only those of a key, or nothing.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "auto_offset_reset",
        Kind::Choice(&["latest", "earliest"]),
        "latest",
        "Where a group starts that has no offset yet: at the end of the topic or at its oldest \
         record.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "max_redeliveries",
        Kind::Integer { min: 0, max: BIGGEST },
        "5",
        "How often a requeued record is dispatched again with commit = after_dispatch, before \
         it goes to the dead-letter topic. 0 means never.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "redelivery_backoff",
        TIME,
        "1",
        "Seconds before a requeued record is dispatched again. 0 means at once.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "dead_letter_topic",
        TEXT,
        "",
        "Topic for records that cannot be decoded or handled. Empty means none: they are logged, \
         counted and skipped.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "dead_letter_max_ratio",
        Kind::Float { min: 0.0, max: 1.0 },
        "0.1",
        "Share of dead letters in the last 1,000 records of a partition at which it stops. 0 \
         means no limit.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "dead_letter_max_consecutive",
        Kind::Integer { min: 0, max: BIGGEST },
        "100",
        "Number of dead letters in a row at which a partition stops. 0 means no limit.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "create_topics",
        Kind::Boolean,
        "true",
        "Whether topics that do not exist are created.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "topic_partitions",
        Kind::IntegerOrMinusOne { min: 1, max: 100_000 },
        "-1",
        "Partitions of topics that are created. -1 means the broker's default.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "topic_replication_factor",
        Kind::IntegerOrMinusOne { min: 1, max: 32_767 },
        "-1",
        "Replicas of topics that are created. -1 means the broker's default.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "partition_assignment_strategy",
        Kind::List,
        "range,roundrobin",
        "How a group shares partitions: range, roundrobin or cooperative-sticky. All members of \
         a group need one in common.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "group_protocol",
        Kind::Choice(&["classic", "consumer"]),
        "classic",
        "consumer is the protocol of KIP-848: Kafka 4.0 or newer, session timeout and assignment \
         are then the broker's.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "group_instance_id",
        TEXT,
        "",
        "Name by which a restarted member gets its partitions back without a rebalance. Empty \
         means none; else it must differ for each member of a group.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "session_timeout",
        Kind::Seconds { min: 0.001, max: 3600.0 },
        "15",
        "Seconds without a heartbeat after which a member's partitions go to others. The broker \
         has bounds of its own, 6 and 1800 by default.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "heartbeat_interval",
        Kind::Seconds { min: 0.001, max: 3600.0 },
        "1",
        "Seconds between two heartbeats; at most a third of session_timeout is sensible.",
    )
    .ours(),
    Opt::new(
        KAFKA,
        "revoke_drain_timeout",
        TIME,
        "5",
        "Longest time that a rebalance waits for committed records of a revoked partition to be \
         dispatched, in seconds. 0 does not wait.",
    )
    .ours(),
];

pub(super) const BOTH: &[Opt] = &[
    Opt::new(
        KAFKA,
        "client_id",
        TEXT,
        "",
        "Name of this client in the broker's logs, quotas and tools. Empty means the program's \
         name.",
    )
    .default(DefaultValue::ProgramName)
    .ours(),
    Opt::new(
        KAFKA,
        "librdkafka_properties",
        Kind::Dict,
        "",
        "Further settings of the client library, such as socket.nagle.disable:true. Names \
         are the library's; those that a promise of this driver rests on are refused.",
    )
    .ours(),
];
