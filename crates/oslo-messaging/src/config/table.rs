//! The one table of options: parsing, documentation, samples and other option objects follow it.
//!
//! Data only. Names, types and defaults of the reference's options are the reference's
//! (`_drivers/kafka_driver/kafka_options.py`, `notify/notifier.py`, `transport.py`, `server.py`);
//! bounds are those of librdkafka where an option becomes one of its settings. Read through
//! [`table`](super::table); a new option is one entry here and nothing elsewhere.

use super::opt::{DEFAULT, DefaultValue, KAFKA, Kind, NOTIFICATIONS, Opt};

/// Largest time of librdkafka's millisecond settings, in whole seconds (about 24 days).
const LONGEST: f64 = 2_147_483.0;
/// A time that may not be 0: at least a millisecond.
const POSITIVE: Kind = Kind::Seconds { min: 0.001, max: LONGEST };
/// A time that may be 0.
const TIME: Kind = Kind::Seconds { min: 0.0, max: LONGEST };
const TEXT: Kind = Kind::String;
const BIGGEST: i64 = 2_147_483_647;

pub(super) const TABLE: &[Opt] = &[
    // The transport and its servers.
    Opt::new(
        DEFAULT,
        "transport_url",
        TEXT,
        "rabbit://",
        "Where the service's messages go: driver, hosts, credentials, virtual host and options. \
         Notifications use it when [oslo_messaging_notifications] transport_url is not set.",
    )
    .secret(),
    Opt::new(
        DEFAULT,
        "control_exchange",
        TEXT,
        "openstack",
        "Exchange of targets that name none. Kafka has no exchanges and ignores it.",
    ),
    Opt::new(
        DEFAULT,
        "executor_thread_pool_size",
        Kind::Integer { min: 1, max: 100_000 },
        "64",
        "Number of threads that run endpoints.",
    )
    .deprecated(&[(DEFAULT, "rpc_thread_pool_size")]),
    // The notifier.
    Opt::new(
        NOTIFICATIONS,
        "driver",
        Kind::MultiString,
        "",
        "What a notifier writes to: messaging, messagingv2, log, noop, test or routing. Given \
         once for each; none at all means that nothing is sent.",
    )
    .default(DefaultValue::Unset),
    Opt::new(
        NOTIFICATIONS,
        "transport_url",
        TEXT,
        "",
        "Where notifications go, such as kafka://user:pass@host1:9092,user:pass@host2:9092/. Not \
         set means [DEFAULT] transport_url.",
    )
    .default(DefaultValue::Unset)
    .secret(),
    Opt::new(
        NOTIFICATIONS,
        "topics",
        Kind::List,
        "notifications",
        "Topics that every notification is sent to. The priority, and the virtual host if there \
         is one, are appended to each: notifications.info.",
    ),
    Opt::new(
        NOTIFICATIONS,
        "retry",
        Kind::Integer { min: -1, max: BIGGEST },
        "-1",
        "Further attempts for a notification that the broker certainly does not have. 0 is one \
         attempt, -1 is as many as the delivery timeout leaves room for.",
    ),
    Opt::new(
        NOTIFICATIONS,
        "routing_config",
        TEXT,
        "",
        "YAML file of the driver routing: which of the other drivers a notification goes to, by \
         event type and priority. Read once, when the notifier is made. Empty means none.",
    ),
    // The Kafka driver: the reference's options.
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
         GSSAPI in builds that have it.",
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
    // The Kafka driver: sending.
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
    // The Kafka driver: listening.
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
    // The Kafka driver: both.
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

#[cfg(test)]
mod tests {
    use super::{DefaultValue, KAFKA, Opt, TABLE};

    fn names(ours: bool) -> Vec<&'static str> {
        TABLE.iter().filter(|o| o.group == KAFKA && o.ours == ours).map(|o| o.name).collect()
    }

    #[test]
    fn the_kafka_group_has_the_references_options_and_ours() {
        assert_eq!(
            names(false),
            [
                "kafka_max_fetch_bytes",
                "kafka_consumer_timeout",
                "consumer_group",
                "producer_batch_timeout",
                "producer_batch_size",
                "compression_codec",
                "enable_auto_commit",
                "max_poll_records",
                "security_protocol",
                "sasl_mechanism",
                "ssl_cafile",
                "ssl_client_cert_file",
                "ssl_client_key_file",
                "ssl_client_key_password",
            ]
        );
        assert_eq!(
            names(true),
            [
                "sasl_oauth_url",
                "sasl_oauth_scope",
                "delivery",
                "delivery_timeout",
                "connect_timeout",
                "queue_max_messages",
                "queue_max_kbytes",
                "queue_overflow",
                "exit_flush_timeout",
                "spool_dir",
                "spool_fsync",
                "spool_max_kbytes",
                "enable_idempotence",
                "message_key",
                "commit",
                "commit_window",
                "dispatch_order",
                "auto_offset_reset",
                "max_redeliveries",
                "redelivery_backoff",
                "dead_letter_topic",
                "dead_letter_max_ratio",
                "dead_letter_max_consecutive",
                "create_topics",
                "topic_partitions",
                "topic_replication_factor",
                "partition_assignment_strategy",
                "group_protocol",
                "group_instance_id",
                "session_timeout",
                "heartbeat_interval",
                "revoke_drain_timeout",
                "client_id",
                "librdkafka_properties",
            ]
        );
    }

    #[test]
    fn every_name_is_there_once() {
        for (index, opt) in TABLE.iter().enumerate() {
            let same = |other: &&Opt| other.group == opt.group && other.name == opt.name;
            assert_eq!(TABLE.iter().position(|other| same(&other)), Some(index), "{}", opt.name);
        }
    }

    #[test]
    fn every_help_is_a_sentence_and_every_default_has_a_meaning() {
        for opt in TABLE {
            let help = opt.help;
            assert!(help.ends_with('.') && !help.contains("  "), "{}: {help}", opt.name);
            if opt.default == DefaultValue::Text("-1") {
                assert!(help.contains("-1"), "{}: {help}", opt.name);
            }
            if opt.default == DefaultValue::Text("") && opt.name != "librdkafka_properties" {
                assert!(help.contains("Empty means"), "{}: {help}", opt.name);
            }
        }
    }
}
