//! What the sender is told.

use std::time::{Duration, Instant};

use oslo_messaging::{Cause, Context, Error, Outcome, Payload, Transport, Undelivered, wire};
use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer},
};

use crate::support::{LIMIT, Seen, corpus, listen, notifier, topic, transport, url};

pub(crate) fn failures(result: Result<(), Error>) -> Vec<Undelivered> {
    match result {
        Err(Error::Undelivered(failures)) => failures,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_corpus_is_confirmed_and_arrives_equal() {
    let (transport, topic, seen) = (transport(""), topic(), Seen::new());
    let listener = listen(&transport, &topic, &topic, &seen);
    let sender = notifier(&transport, &topic);
    let sent = corpus();
    let receipts: Vec<_> = sent.iter().map(|notification| sender.send(notification)).collect();
    for receipt in receipts {
        receipt.wait(LIMIT).unwrap();
    }
    assert_eq!(seen.wait_for(sent.len(), LIMIT), sent.len());
    for notification in &sent {
        let came = seen.get(&notification.message_id).unwrap();
        assert_eq!(came.event_type, notification.event_type);
        assert_eq!(came.publisher_id, notification.publisher_id);
        assert_eq!(came.priority, notification.priority);
        assert_eq!(came.timestamp, notification.timestamp);
        assert_eq!(came.payload.value().unwrap(), notification.payload.value().unwrap());
        assert_eq!(came.context.value().unwrap(), notification.context.value().unwrap());
    }
    listener.close(LIMIT).unwrap();
    assert_eq!(seen.twice(), 0);
    assert_eq!(transport.stats().delivered.get(), sent.len() as u64);
}

#[test]
fn a_notification_that_is_too_large_is_refused_by_size_and_the_next_one_goes_through() {
    let transport = transport("");
    let sender = notifier(&transport, &topic());
    let payload = Payload::from(serde_json::json!("x".repeat(1_100_000)));
    let failed = failures(sender.info(&Context::empty(), "big.one", payload).wait(LIMIT));
    assert_eq!(failed[0].outcome, Outcome::NotDelivered);
    assert_eq!(failed[0].cause, Cause::TooLarge);
    let text = failed[0].to_string();
    assert!(text.contains("big.one") && text.contains("message.max.bytes"), "{text}");
    assert!(failed[0].size_bytes > 1_100_000, "{text}");
    sender.info(&Context::empty(), "small.one", Payload::null()).wait(LIMIT).unwrap();
}

#[test]
fn without_a_broker_a_send_ends_with_its_delivery_timeout() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("kafka://{free}/?delivery_timeout=2");
    let transport = Transport::for_notifications(&url).unwrap();
    let begun = Instant::now();
    let receipt =
        notifier(&transport, "notifications").info(&Context::empty(), "a.b", Payload::null());
    let failed = failures(receipt.wait(LIMIT));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(failed[0].outcome, Outcome::NotDelivered);
    assert_eq!(failed[0].cause, Cause::Unreachable, "{}", failed[0]);
    assert_eq!(transport.stats().not_delivered.get(), 1);
}

#[test]
fn an_unknown_topic_is_named_where_topics_may_not_be_created() {
    let transport = transport("?create_topics=false&delivery_timeout=6");
    let topic = topic();
    let receipt = notifier(&transport, &topic).info(&Context::empty(), "a.b", Payload::null());
    let failed = failures(receipt.wait(LIMIT));
    assert_eq!(failed[0].cause, Cause::UnknownTopic, "{}", failed[0]);
    assert_eq!(failed[0].topic, format!("{topic}.info"));
}

#[test]
fn a_missing_topic_is_created_with_the_options_partitions() {
    let transport = transport("?topic_partitions=7&topic_replication_factor=1");
    let topic = topic();
    notifier(&transport, &topic)
        .info(&Context::empty(), "a.b", Payload::null())
        .wait(LIMIT)
        .unwrap();
    let probe: BaseProducer = raw_config().create().unwrap();
    let metadata = rdkafka::producer::Producer::client(&probe)
        .fetch_metadata(Some(&format!("{topic}.info")), LIMIT)
        .unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 7);
}

/// Some find it missing by a report, some at the call, some queue up while it is created.
#[test]
fn every_send_to_a_topic_that_is_being_created_arrives() {
    let transport = transport("?topic_partitions=1&topic_replication_factor=1&delivery_timeout=20");
    let sender = notifier(&transport, &topic());
    let begun = Instant::now();
    let mut receipts = Vec::new();
    while begun.elapsed() < Duration::from_secs(8) {
        receipts.push(sender.info(&Context::empty(), "a.b", Payload::null()));
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{} sent before, while and after a topic was created", receipts.len());
    for receipt in receipts {
        receipt.wait(LIMIT).unwrap();
    }
}

#[test]
fn a_topic_that_kafka_would_refuse_is_refused_at_once() {
    let transport = transport("");
    let receipt = notifier(&transport, "no blanks").info(&Context::empty(), "a.b", Payload::null());
    assert!(receipt.is_resolved());
    assert_eq!(failures(receipt.wait(LIMIT))[0].cause, Cause::InvalidTopic);
}

#[test]
fn a_closed_transport_takes_nothing_and_says_so() {
    let transport = transport("");
    let sender = notifier(&transport, &topic());
    let held = sender.info(&Context::empty(), "a.b", Payload::null());
    transport.close(LIMIT).unwrap();
    assert!(held.is_resolved(), "closing waits for what was handed over");
    held.wait(Duration::ZERO).unwrap();
    let failed = failures(sender.info(&Context::empty(), "a.b", Payload::null()).wait(LIMIT));
    assert_eq!(failed[0].cause, Cause::Closed);
}

struct Confirmed(std::sync::mpsc::Sender<bool>);

impl rdkafka::ClientContext for Confirmed {}

impl ProducerContext for Confirmed {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.send(result.is_ok()).unwrap();
    }
}

fn raw_config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka_testkit::shared().bootstrap())
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0");
    config
}

/// Rounds of raw librdkafka and of this library in turn, on one topic, each send confirmed before
/// the next one. What is compared is the rate of the same bytes.
#[test]
fn one_by_one_the_rate_is_at_least_two_fifths_of_a_bare_librdkafka_program() {
    const ROUNDS: usize = 5;
    const SENDS: usize = 200;
    let topic = topic();
    let transport = transport("");
    let sender = notifier(&transport, &topic);
    let sent = corpus();
    let (confirmed, reports) = std::sync::mpsc::channel();
    let raw: ThreadedProducer<Confirmed> =
        ThreadedProducer::from_config_and_context(&raw_config(), Confirmed(confirmed)).unwrap();
    let name = format!("{topic}.info");
    let bodies: Vec<_> = sent
        .iter()
        .map(|notification| wire::encode(notification, wire::ContextStyle::Nested))
        .collect();
    let raw_round = || {
        let begun = Instant::now();
        for body in bodies.iter().cycle().take(SENDS) {
            raw.send(BaseRecord::<(), [u8]>::to(&name).payload(body)).map_err(|e| e.0).unwrap();
            assert!(reports.recv_timeout(LIMIT).unwrap());
        }
        begun.elapsed().as_secs_f64()
    };
    let own_round = || {
        let begun = Instant::now();
        for notification in sent.iter().cycle().take(SENDS) {
            let mut notification = notification.clone();
            notification.priority = oslo_messaging::Priority::Info;
            sender.send(&notification).wait(LIMIT).unwrap();
        }
        begun.elapsed().as_secs_f64()
    };
    raw_round();
    own_round();
    let mut ratios: Vec<f64> = (0..ROUNDS).map(|_| raw_round() / own_round()).collect();
    ratios.sort_by(f64::total_cmp);
    println!("one by one, rate of this library to bare librdkafka on {}: {ratios:.2?}", url());
    assert!(ratios[ROUNDS / 2] >= 0.4, "{ratios:?}");
}

/// Bytes in the logs of the topic's partitions on the shared node.
fn bytes_on_disk(topic: &str) -> u64 {
    let data = kafka_testkit::shared().folder().join("node-1/data");
    let partitions = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let partitions = partitions.filter(|p| p.file_name().to_string_lossy().starts_with(topic));
    let files = partitions.flat_map(|partition| std::fs::read_dir(partition.path()).unwrap());
    let logs = files.map(|file| file.unwrap().path());
    let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.map(|path| path.metadata().unwrap().len()).sum()
}

/// Before Kafka 2.1 there is no zstd, and librdkafka alone would leave the compression out.
#[test]
fn every_codec_compresses_and_one_that_the_broker_lacks_is_refused_from_the_first_record() {
    let lacks_zstd = std::env::var("OSLOMSG_KAFKA_VERSION").is_ok_and(|v| v.starts_with("2.0."));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let (transport, topic) = (transport(&format!("?compression_codec={codec}")), topic());
        let payload = Payload::from(serde_json::json!("x".repeat(100_000)));
        let sender = notifier(&transport, &topic);
        if codec == "zstd" && lacks_zstd {
            for _ in 0..3 {
                let receipt = sender.info(&Context::empty(), "case.codec", payload.clone());
                let failed = failures(receipt.wait(LIMIT));
                assert_eq!(failed[0].outcome, Outcome::NotDelivered);
                assert_eq!(failed[0].cause, Cause::Unsupported);
                let words = "compression_codec = zstd needs Kafka 2.1 or later, and 127.0.0.1:";
                assert!(failed[0].detail.starts_with(words), "{}", failed[0]);
            }
            assert_eq!(bytes_on_disk(&topic), 0);
            continue;
        }
        let seen = Seen::new();
        let listener = listen(&transport, &topic, &topic, &seen);
        sender.info(&Context::empty(), "case.codec", payload.clone()).wait(LIMIT).unwrap();
        assert_eq!(seen.wait_for(1, LIMIT), 1);
        listener.close(LIMIT).unwrap();
        assert_eq!(seen.all()[0].payload.as_json(), payload.as_json());
        let bytes = bytes_on_disk(&topic);
        println!("{codec}: 100 kB of payload are {bytes} bytes on disk");
        assert_eq!(bytes < 20_000, codec != "none", "{codec}: {bytes} bytes");
    }
}
