//! The table by itself, and read from files, URLs and programs.

use super::{Config, DEFAULT, KAFKA, NOTIFICATIONS, Options, RABBIT, table};
use crate::{
    config::{DefaultValue, Ini, Kind, Opt, Origin, Value},
    error::Error,
};

fn names(ours: bool) -> Vec<&'static str> {
    table().iter().filter(|o| o.group == KAFKA && o.ours == ours).map(|o| o.name).collect()
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
            "sasl_kerberos_service_name",
            "sasl_kerberos_keytab",
            "sasl_kerberos_principal",
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
    for (index, opt) in table().iter().enumerate() {
        let same = |other: &&Opt| other.group == opt.group && other.name == opt.name;
        assert_eq!(table().iter().position(|other| same(&other)), Some(index), "{}", opt.name);
    }
}

#[test]
fn every_help_is_a_sentence_and_every_default_has_a_meaning() {
    for opt in table() {
        let help = opt.help;
        assert!(help.ends_with('.') && !help.contains("  "), "{}: {help}", opt.name);
        if opt.default == DefaultValue::Text("-1") {
            assert!(help.contains("-1"), "{}: {help}", opt.name);
        }
        if opt.default == DefaultValue::Text("") && opt.name != "librdkafka_properties" {
            assert!(help.contains("Empty means"), "{}: {help}", opt.name);
        }
        let excused = help.starts_with("Accepted without effect: ");
        assert_eq!(opt.without_effect, excused, "{}: {help}", opt.name);
    }
}

fn config(text: &str) -> Config {
    let mut config = Config::new();
    config.add(Ini::parse(text, "n.conf").unwrap());
    config
}

fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
}

fn kafka(file: &str, pairs: &[(&str, &str)]) -> Result<Options, Error> {
    let file = format!("[oslo_messaging_kafka]\n{file}");
    Options::resolve(KAFKA, &config(&file), &query(pairs))
}

#[test]
fn every_option_of_the_table_can_be_asked_for_and_has_a_valid_default() {
    for group in [DEFAULT, NOTIFICATIONS, KAFKA, RABBIT] {
        let options = Options::resolve(group, &Config::new(), &[]).unwrap();
        for &Opt { name, kind, default, .. } in table().iter().filter(|o| o.group == group) {
            assert_eq!(options.origin(name), &Origin::Default, "{name}");
            assert!(!options.is_set(name), "{name}");
            match kind {
                Kind::String | Kind::Choice(_) | Kind::ChoiceOrPrefix { .. } => {
                    let named = matches!(default, DefaultValue::Text(text) if !text.is_empty());
                    let program =
                        matches!(default, DefaultValue::ProgramName | DefaultValue::HostName);
                    assert_eq!(!options.str(name).is_empty(), named || program, "{name}");
                }
                Kind::Integer { min, .. } => assert!(options.int(name) >= min, "{name}"),
                Kind::IntegerOrMinusOne { .. } => assert_eq!(options.int(name), -1, "{name}"),
                Kind::Float { max, .. } => assert!(options.float(name) <= max, "{name}"),
                Kind::Seconds { min, max } => {
                    let seconds = options.seconds(name).as_secs_f64();
                    assert!((min..=max).contains(&seconds), "{name}");
                    assert!((options.float(name) - seconds).abs() < 1e-9, "{name}");
                }
                Kind::Boolean => assert_eq!(
                    DefaultValue::Text(if options.boolean(name) { "true" } else { "false" }),
                    default,
                    "{name}"
                ),
                Kind::Port => assert!(options.int(name) >= 0, "{name}"),
                Kind::Host => assert!(!options.str(name).is_empty(), "{name}"),
                Kind::List => assert!(!options.list(name).is_empty(), "{name}"),
                Kind::MultiString => assert!(options.list(name).is_empty(), "{name}"),
                Kind::Dict => assert!(options.dict(name).is_empty(), "{name}"),
            }
        }
    }
}

#[test]
fn the_url_wins_over_the_program_and_the_program_over_files() {
    let mut config = config("[oslo_messaging_kafka]\nconsumer_group = file\n");
    let group = |config: &Config, pairs: &[(&str, &str)]| {
        let options = Options::resolve(KAFKA, config, &query(pairs)).unwrap();
        assert!(options.is_set("consumer_group"));
        format!("{} {}", options.str("consumer_group"), options.origin("consumer_group"))
    };
    assert_eq!(group(&config, &[]), "file n.conf:2");
    config.set(KAFKA, "consumer_group", "program");
    assert_eq!(group(&config, &[]), "program set by the program");
    assert_eq!(group(&config, &[("consumer_group", "url")]), "url transport URL");
}

#[test]
fn values_have_their_types() {
    let options = kafka(
        "delivery = queued\nmax_poll_records = 7\ndelivery_timeout = 2.5\n\
         create_topics = Off\npartition_assignment_strategy = range , sticky\n\
         librdkafka_properties = a.b: 1, c.d:e:f\nclient_id = $consumer_group-$delivery\n\
         topic_partitions = $topic_partitions\ntopic_partitions = -1\nunknown = left alone",
        &[("message_key", "payload:instance_id")],
    )
    .unwrap();
    assert_eq!(options.group(), KAFKA);
    assert_eq!(options.str("delivery"), "queued");
    assert_eq!(options.str("message_key"), "payload:instance_id");
    assert_eq!(options.str("client_id"), "oslo_messaging_consumer-queued");
    assert_eq!(options.int("max_poll_records"), 7);
    assert_eq!(options.seconds("delivery_timeout").as_millis(), 2500);
    assert!(!options.boolean("create_topics"));
    assert_eq!(options.list("partition_assignment_strategy"), ["range", "sticky"]);
    let pairs = options.dict("librdkafka_properties");
    assert_eq!(pairs, query(&[("a.b", "1"), ("c.d", "e:f")]));
}

#[test]
fn drivers_of_the_notifier_come_from_all_files() {
    let mut config = config("[oslo_messaging_notifications]\ndriver=messagingv2\ndriver=log");
    let more = "[oslo_messaging_notifications]\ndriver=$x\n[DEFAULT]\nx=test";
    config.add(Ini::parse(more, "m.conf").unwrap());
    let options = Options::resolve(NOTIFICATIONS, &config, &[]).unwrap();
    assert_eq!(options.list("driver"), ["messagingv2", "log", "test"]);
    assert_eq!(options.origin("driver").to_string(), "m.conf:2");
}

#[test]
fn older_names_are_still_read() {
    let config = config("[DEFAULT]\nrpc_thread_pool_size = 3");
    let options = Options::resolve(DEFAULT, &config, &[]).unwrap();
    assert_eq!(options.int("executor_thread_pool_size"), 3);
}

#[test]
fn unknown_names_are_refused_with_the_valid_ones() {
    let mut set = Config::new();
    set.set(KAFKA, "max_retry", "1");
    for (outcome, place) in [
        (kafka("", &[("max_retry", "100")]), "transport URL"),
        (Options::resolve(KAFKA, &set, &[]), "set by the program"),
    ] {
        match outcome {
            Err(Error::UnknownOption { name, origin, valid }) => {
                assert_eq!((name.as_str(), origin.as_str()), ("max_retry", place));
                assert_eq!(valid.len(), table().iter().filter(|o| o.group == KAFKA).count());
                assert!(valid.contains(&"delivery_timeout"));
            }
            other => panic!("{other:?}"),
        }
    }
    // Another group's settings are not this group's affair.
    assert!(Options::resolve(NOTIFICATIONS, &set, &[]).is_ok());
}

#[test]
fn bad_values_say_where_they_stand_and_what_would_be_valid() {
    for (line, text) in [
        (
            "compression_codec = GZIP",
            "option [oslo_messaging_kafka] compression_codec = \"GZIP\" (n.conf:2): expected \
             one of none, gzip, snappy, lz4, zstd",
        ),
        (
            "max_poll_records = 0",
            "option [oslo_messaging_kafka] max_poll_records = \"0\" (n.conf:2): expected an \
             integer from 1 to 1000000",
        ),
        (
            "topic_partitions = 0",
            "option [oslo_messaging_kafka] topic_partitions = \"0\" (n.conf:2): expected -1 \
             or an integer from 1 to 100000",
        ),
        (
            "delivery_timeout =",
            "option [oslo_messaging_kafka] delivery_timeout = \"\" (n.conf:2): expected a \
             number of seconds from 0.001 to 2147483",
        ),
        (
            "message_key = payload:",
            "option [oslo_messaging_kafka] message_key = \"payload:\" (n.conf:2): expected \
             one of none, publisher_id, event_type, project_id, or payload: and a text",
        ),
        (
            "create_topics = maybe",
            "option [oslo_messaging_kafka] create_topics = \"maybe\" (n.conf:2): expected \
             true, 1, on, yes or false, 0, off, no",
        ),
        (
            "librdkafka_properties = a:1,a:2",
            "option [oslo_messaging_kafka] librdkafka_properties = \"a:1,a:2\" (n.conf:2): \
             expected name:value pairs separated by commas, but \"a\" is given twice",
        ),
        (
            "librdkafka_properties = ssl.key.password:hunter2,x",
            "option [oslo_messaging_kafka] librdkafka_properties = \"***\" (n.conf:2): \
             expected name:value pairs separated by commas, but the last item has no \":\"",
        ),
        (
            "ssl_client_key_password = $ssl_client_key_password",
            "option [oslo_messaging_kafka] ssl_client_key_password = \"***\" (n.conf:2): \
             expected a value that does not refer to itself",
        ),
    ] {
        assert_eq!(kafka(line, &[]).unwrap_err().to_string(), text);
    }
    let error = kafka("", &[("commit", "never")]).unwrap_err().to_string();
    assert!(error.contains("(transport URL)"), "{error}");
}

#[test]
fn debug_hides_secrets() {
    let options = kafka(
        "ssl_client_key_password = hunter2\n\
         librdkafka_properties = ssl.key.password:hunter2,socket.nagle.disable:true",
        &[],
    )
    .unwrap();
    assert_eq!(options.str("ssl_client_key_password"), "hunter2");
    let shown = format!("{options:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("socket.nagle.disable"), "{shown}");
    assert!(shown.contains("*** (n.conf:2)"), "{shown}");
}

#[test]
fn an_empty_client_id_is_the_programs_name() {
    for file in ["", "client_id =", "client_id = ''"] {
        let options = kafka(file, &[]).unwrap();
        assert!(options.str("client_id").starts_with("oslo_messaging-"), "{file}");
    }
}

#[test]
#[should_panic(expected = "no option [oslo_messaging_kafka] comit in the table of options")]
fn asking_for_a_name_that_is_not_in_the_table_panics() {
    kafka("", &[]).unwrap().str("comit");
}

#[test]
#[should_panic(expected = "commit is Choice")]
fn asking_for_another_kind_panics() {
    kafka("", &[]).unwrap().int("commit");
}

#[test]
fn both_ends_of_each_range_are_valid() {
    for opt in table() {
        let ends = match opt.kind {
            Kind::Integer { min, max } => vec![min.to_string(), max.to_string()],
            Kind::IntegerOrMinusOne { min, max } => {
                vec!["-1".to_owned(), min.to_string(), max.to_string()]
            }
            Kind::Float { min, max } | Kind::Seconds { min, max } => {
                vec![min.to_string(), max.to_string()]
            }
            Kind::Choice(choices) | Kind::ChoiceOrPrefix { choices, .. } => {
                choices.iter().map(|&choice| choice.to_owned()).collect()
            }
            _ => Vec::new(),
        };
        for end in ends {
            assert!(
                Value::read(&opt.kind, std::slice::from_ref(&end)).is_ok(),
                "{} {end}",
                opt.name
            );
        }
    }
}
