//! Sending against the embedded broker with its faults: what the sender is told, what is on the
//! broker afterwards, and how long it took.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    producer::{Producer, PurgeConfig},
    types::{RDKafkaApiKey as Api, RDKafkaRespErr as Answer},
};

use super::{Fate, KafkaOptions, KafkaProducer};
use crate::{
    Error,
    config::Config,
    driver::{Outgoing, Retry, Target},
    drivers::kafka::{EmbeddedBroker, Read, ReadFrom, Reader, native},
    error::{Cause, Outcome, Undelivered},
    message::Priority,
    receipt::{Receipt, Sent, Subject},
    stats::Stats,
    url::TransportUrl,
};

/// Longest wait for anything that should happen.
const LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "t.info";

struct Bench {
    broker: EmbeddedBroker,
    producer: KafkaProducer,
    stats: Arc<Stats>,
}

impl Bench {
    fn new(nodes: u16, partitions: i32, query: &str) -> Self {
        let broker = EmbeddedBroker::start(nodes).unwrap();
        broker.create_topic(TOPIC, partitions).unwrap();
        Self::on(broker, query)
    }

    fn on(broker: EmbeddedBroker, query: &str) -> Self {
        let url = format!("{}?{query}", broker.transport_url());
        let options = KafkaOptions::resolve(&url.parse().unwrap(), &Config::new()).unwrap();
        let stats = Arc::new(Stats::default());
        let producer = KafkaProducer::new(Arc::new(options), Arc::clone(&stats));
        Self { broker, producer, stats }
    }

    fn send_with(&self, id: &str, key: Option<&str>, retry: i64) -> Receipt {
        self.send_to(TOPIC, id, key, retry)
    }

    fn send_to(&self, topic: &str, id: &str, key: Option<&str>, retry: i64) -> Receipt {
        let subject = Subject {
            message_id: id.to_owned(),
            event_type: "case.sent".to_owned(),
            priority: Priority::Info,
        };
        let receipt = Receipt::new(subject, Arc::clone(&self.stats));
        let outgoing = Outgoing {
            target: Arc::new(Target::new("t")),
            priority: Priority::Info,
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            headers: vec![("message_id".to_owned(), Bytes::copy_from_slice(id.as_bytes()))],
            body: Bytes::copy_from_slice(id.as_bytes()),
            retry: Retry::from(retry),
        };
        self.producer.send(topic, &outgoing, receipt.expect(id.len()).to_topic(topic));
        receipt
    }

    fn send(&self, id: &str) -> Receipt {
        self.send_with(id, None, -1)
    }

    /// What the topic has, in the order of each partition.
    fn on_broker(&self) -> Vec<String> {
        self.in_topic(TOPIC)
    }

    fn in_topic(&self, topic: &str) -> Vec<String> {
        let url: TransportUrl = self.broker.transport_url().parse().unwrap();
        let topics = [topic.to_owned()];
        let mut reader =
            Reader::open(&url, &Config::new(), &topics, ReadFrom::Beginning, LIMIT).unwrap();
        let mut found = Vec::new();
        loop {
            match reader.next(LIMIT).unwrap() {
                Read::Record(record) => {
                    let body = record.body.unwrap();
                    assert_eq!(record.headers, [("message_id".to_owned(), body.clone())]);
                    found.push(String::from_utf8(body.to_vec()).unwrap());
                }
                Read::End => return found,
                Read::Nothing => panic!("no end"),
            }
        }
    }

    fn wait_until(&self, what: &str, reached: impl Fn(&Stats) -> bool) {
        let begun = Instant::now();
        while !reached(&self.stats) {
            assert!(begun.elapsed() < LIMIT, "{what}: {:?}", self.stats);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn failure(receipt: &Receipt) -> Undelivered {
    match receipt.wait(LIMIT) {
        Err(Error::Undelivered(mut failures)) if failures.len() == 1 => failures.remove(0),
        other => panic!("{other:?}"),
    }
}

fn seconds(from: Instant) -> f64 {
    from.elapsed().as_secs_f64()
}

#[test]
fn a_record_refused_for_its_epoch_is_handed_over_again_as_often_as_retry_says() {
    let bench = Bench::new(1, 1, "");
    let refuse = |times: usize| {
        let error = Answer::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
        bench.broker.mock().request_errors(Api::Produce, &vec![error; times]);
    };
    bench.send("first").wait(LIMIT).unwrap();
    refuse(1);
    let failed = failure(&bench.send_with("never again", None, 0));
    assert_eq!(failed.outcome, Outcome::NotDelivered, "{failed}");
    refuse(2);
    bench.send_with("twice more", None, 2).wait(LIMIT).unwrap();
    refuse(3);
    let failed = failure(&bench.send_with("too few", None, 2));
    assert_eq!(failed.outcome, Outcome::NotDelivered, "{failed}");
    refuse(5);
    bench.send("until it is there").wait(LIMIT).unwrap();
    assert_eq!(bench.stats.handed_over_again.get(), 2 + 2 + 5);
    assert_eq!(bench.on_broker(), ["first", "twice more", "until it is there"]);
}

/// The broker refuses the first batch that a producer sends to a partition and takes the second one.
#[test]
fn a_first_batch_that_is_passed_over_is_not_taken_for_delivered() {
    let one_by_one = "librdkafka_properties=batch.num.messages:1";
    for retry in [-1, 0] {
        let bench = Bench::new(1, 1, one_by_one);
        let not_leader = Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
        bench.broker.mock().request_errors(Api::Produce, &[not_leader]);
        let ids: Vec<String> = (0..5).map(|n| format!("m-{n}")).collect();
        let receipts: Vec<Receipt> =
            ids.iter().map(|id| bench.send_with(id, None, retry)).collect();
        let ended: Vec<_> = receipts.iter().map(|receipt| receipt.wait(LIMIT)).collect();
        let mut there = bench.on_broker();
        there.sort();
        if retry == -1 {
            assert!(ended.iter().all(Result::is_ok), "{ended:?}");
            assert_eq!(there, ids);
            assert_eq!(bench.stats.handed_over_again.get(), 1);
        } else {
            let lost = failure(&receipts[0]);
            assert_eq!((lost.outcome, lost.cause), (Outcome::NotDelivered, Cause::Other));
            assert_eq!(there, ids[1..]);
        }
    }
}

#[test]
fn after_a_fatal_error_what_was_not_stored_goes_to_a_new_producer_in_order() {
    let bench = Bench::new(1, 1, "");
    bench.send("0").wait(LIMIT).unwrap();
    bench.broker.mock().broker_down(1).unwrap();
    let mut receipts: Vec<_> = (1..20).map(|n| bench.send(&n.to_string())).collect();
    let only_once = bench.send_with("only once", None, 0);
    native::fail_for_good(bench.producer.inner.current().unwrap().client.client());
    let failed = failure(&only_once);
    assert_eq!(failed.outcome, Outcome::NotDelivered, "{failed}");
    receipts.extend((20..40).map(|n| bench.send(&n.to_string())));
    bench.broker.mock().broker_up(1).unwrap();
    for receipt in &receipts {
        receipt.wait(LIMIT).unwrap();
        assert_eq!(receipt.sent(), Some(Sent::Delivered));
    }
    let expected: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(bench.on_broker(), expected);
    assert_eq!(bench.stats.producer_rebuilt.get(), 1);
}

#[test]
fn after_a_fatal_error_what_may_be_stored_is_unknown_and_not_sent_again() {
    let bench = Bench::new(1, 1, "");
    bench.send("0").wait(LIMIT).unwrap();
    // The request is on its way for longer than the producer waits for answers.
    bench.broker.mock().broker_round_trip_time(1, Duration::from_secs(6)).unwrap();
    let sent = bench.send("sent");
    thread::sleep(Duration::from_millis(500));
    native::fail_for_good(bench.producer.inner.current().unwrap().client.client());
    let failed = failure(&sent);
    assert_eq!(failed.outcome, Outcome::Unknown, "{failed}");
    bench.broker.mock().broker_round_trip_time(1, Duration::ZERO).unwrap();
    bench.send("next").wait(LIMIT).unwrap();
    let found = bench.on_broker();
    assert_eq!(found.iter().filter(|id| *id == "sent").count(), 1, "{found:?}");
    assert_eq!(bench.stats.handed_over_again.get(), 0);
}

#[test]
fn two_hundred_calls_without_a_broker_take_one_timeout_and_the_bus_is_found_again() {
    let bench = Bench::new(1, 1, "connect_timeout=2");
    bench.broker.mock().broker_down(1).unwrap();
    let begun = Instant::now();
    for n in 0..200 {
        let failed = failure(&bench.send(&n.to_string()));
        assert_eq!((failed.outcome, failed.cause), (Outcome::NotDelivered, Cause::Unreachable));
        let words = "no connection to any broker for 2s; last word of the client: ";
        assert!(failed.detail.contains(words), "{failed}");
        assert!(failed.detail.contains("Connect"), "{failed}");
    }
    let took = seconds(begun);
    println!("200 calls without a broker took {took:.2} s with connect_timeout 2 s");
    assert!((2.0..4.0).contains(&took), "{took}");
    assert_eq!(bench.stats.breaker_opened.get(), 1);
    assert_eq!(bench.stats.breaker_refused.get(), 199);
    assert_eq!(bench.stats.breaker_open.get(), 1);
    bench.broker.mock().broker_up(1).unwrap();
    bench.wait_until("the breaker closes", |stats| stats.breaker_open.get() == 0);
    bench.send("after").wait(LIMIT).unwrap();
    assert_eq!(bench.on_broker(), ["after"]);
}

#[test]
fn what_is_held_when_the_last_connection_is_lost_fails_with_the_cause() {
    let bench = Bench::new(1, 1, "connect_timeout=1.5");
    bench.send("before").wait(LIMIT).unwrap();
    bench.broker.mock().broker_down(1).unwrap();
    let begun = Instant::now();
    let held: Vec<_> = (0..50).map(|n| bench.send(&n.to_string())).collect();
    for receipt in &held {
        let failed = failure(receipt);
        assert_eq!(failed.cause, Cause::Unreachable, "{failed}");
        assert_eq!(failed.outcome, Outcome::NotDelivered, "{failed}");
    }
    assert!((1.0..5.0).contains(&seconds(begun)), "{}", seconds(begun));
    bench.broker.mock().broker_up(1).unwrap();
    bench.wait_until("the breaker closes", |stats| stats.breaker_open.get() == 0);
    bench.send("after").wait(LIMIT).unwrap();
    assert_eq!(bench.on_broker(), ["before", "after"]);
}

/// The partition that librdkafka's default partitioner gives a key.
fn partition_of(key: &str, partitions: u32) -> u32 {
    let crc = key.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc % partitions
}

#[test]
fn a_dead_partition_does_not_open_the_breaker() {
    let bench = Bench::new(2, 2, "connect_timeout=2&delivery_timeout=3");
    bench.broker.mock().partition_leader(TOPIC, 0, Some(1)).unwrap();
    bench.broker.mock().partition_leader(TOPIC, 1, Some(2)).unwrap();
    let key_of = |partition| {
        let keys = (0..).map(|n| format!("key-{n}"));
        keys.into_iter().find(|key| partition_of(key, 2) == partition).unwrap()
    };
    let (alive, dead) = (key_of(0), key_of(1));
    for key in [&alive, &dead] {
        bench.send_with("before", Some(key), -1).wait(LIMIT).unwrap();
    }
    bench.broker.mock().broker_down(2).unwrap();
    for round in 0..2 {
        let begun = Instant::now();
        let failed = failure(&bench.send_with("dead", Some(&dead), -1));
        assert!(seconds(begun) > 2.0, "the dead partition is tried: {failed}");
        let id = format!("alive {round}");
        bench.send_with(&id, Some(&alive), -1).wait(LIMIT).unwrap();
    }
    assert_eq!(bench.stats.breaker_opened.get(), 0);
    // Both brokers: the bus is dead, and the same timeout opens it.
    bench.broker.mock().broker_down(1).unwrap();
    failure(&bench.send_with("dead", Some(&dead), -1));
    bench.wait_until("the breaker opens", |stats| stats.breaker_opened.get() == 1);
}

#[test]
fn without_answers_the_first_timeout_opens_the_breaker_and_a_trial_closes_it() {
    let bench = Bench::new(1, 1, "delivery_timeout=1.5");
    bench.send("before").wait(LIMIT).unwrap();
    // Connected, metadata is answered, and nothing is stored.
    let error = Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    bench.broker.mock().request_errors(Api::Produce, &vec![error; 10_000]);
    let begun = Instant::now();
    for n in 0..200 {
        let failed = failure(&bench.send(&n.to_string()));
        assert_eq!(failed.cause, Cause::TimedOut, "{failed}");
    }
    let took = seconds(begun);
    assert!(took < 1.5 + 2.0, "{took}");
    assert_eq!(bench.stats.breaker_opened.get(), 1);
    bench.broker.mock().clear_request_errors(Api::Produce);
    let begun = Instant::now();
    while bench.send("trial").wait(LIMIT).is_err() {
        assert!(begun.elapsed() < LIMIT, "never closed");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(bench.stats.breaker_open.get(), 0);
    bench.send("after").wait(LIMIT).unwrap();
}

#[test]
fn a_full_queue_is_waited_for_unless_the_caller_wants_a_single_hand_over() {
    let bench = Bench::new(1, 1, "queue_max_messages=5&delivery_timeout=3&connect_timeout=20");
    bench.broker.mock().broker_down(1).unwrap();
    let held: Vec<_> = (0..5).map(|n| bench.send(&n.to_string())).collect();
    let begun = Instant::now();
    let failed = failure(&bench.send_with("once", None, 0));
    assert_eq!((failed.outcome, failed.cause), (Outcome::NotDelivered, Cause::QueueFull));
    assert!(seconds(begun) < 0.5, "at once: {}", seconds(begun));
    let failed = failure(&bench.send("too late"));
    assert!((2.0..4.5).contains(&seconds(begun)), "{}", seconds(begun));
    assert_eq!(failed.outcome, Outcome::NotDelivered, "{failed}");
    held.iter().for_each(|receipt| assert_eq!(failure(receipt).outcome, Outcome::NotDelivered));
    bench.broker.mock().broker_up(1).unwrap();
    let begun = Instant::now();
    while bench.send("room").wait(LIMIT).is_err() {
        assert!(begun.elapsed() < LIMIT, "never closed");
        thread::sleep(Duration::from_millis(50));
    }
    thread::scope(|scope| {
        let many = || (0..100).map(|n| bench.send(&format!("m-{n}"))).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(many)).collect();
        for receipt in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            receipt.wait(LIMIT).unwrap();
        }
    });
}

#[test]
fn a_send_ends_with_its_own_deadline_although_librdkafka_counts_from_the_hand_over() {
    let bench = Bench::new(1, 1, "queue_max_messages=1&delivery_timeout=4&connect_timeout=20");
    bench.broker.mock().broker_down(1).unwrap();
    let first = bench.send("first");
    // Room comes when the first one expires, half a second before the second one's own end.
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    let second = bench.send("second");
    let failed = failure(&second);
    assert!(seconds(begun) < 6.5, "{failed} after {}", seconds(begun));
    assert_eq!(failure(&first).outcome, Outcome::NotDelivered);
}

#[test]
fn closing_says_which_records_did_not_arrive() {
    let bench = Bench::new(1, 1, "connect_timeout=20");
    bench.send("arrived").wait(LIMIT).unwrap();
    bench.broker.mock().broker_down(1).unwrap();
    let held: Vec<_> = (0..150).map(|n| bench.send(&format!("m-{n}"))).collect();
    let begun = Instant::now();
    match bench.producer.close(Duration::from_secs(1)) {
        Err(Error::Lost { not_delivered: 150, unknown: 0, message_ids, .. }) => {
            let expected: Vec<_> = (0..100).map(|n| format!("m-{n}")).collect();
            assert_eq!(message_ids, expected);
        }
        other => panic!("{other:?}"),
    }
    assert!((1.0..2.5).contains(&seconds(begun)), "{}", seconds(begun));
    for receipt in &held {
        assert!(receipt.is_resolved());
        assert_eq!(failure(receipt).outcome, Outcome::NotDelivered);
    }
    assert!(bench.producer.close(Duration::from_secs(1)).is_ok(), "there is nothing left");
}

#[test]
fn queued_sends_are_accepted_at_once_and_survive_a_broker_that_is_away() {
    let bench = Bench::new(1, 1, "delivery=queued&connect_timeout=0.5");
    bench.send("before").wait(LIMIT).unwrap();
    bench.wait_until("confirmed", |stats| stats.delivered.get() == 1);
    bench.broker.mock().broker_down(1).unwrap();
    let begun = Instant::now();
    for n in 0..500 {
        let receipt = bench.send(&n.to_string());
        assert_eq!(receipt.sent(), Some(Sent::Accepted));
        receipt.wait(Duration::ZERO).unwrap();
    }
    assert!(seconds(begun) < 1.0, "{}", seconds(begun));
    thread::sleep(Duration::from_secs(3));
    bench.broker.mock().broker_up(1).unwrap();
    bench.producer.close(LIMIT).unwrap();
    assert_eq!((bench.stats.accepted.get(), bench.stats.delivered.get()), (501, 501));
    assert_eq!(bench.on_broker().len(), 501);
    assert_eq!(bench.stats.breaker_opened.get(), 0);
}

#[test]
fn a_full_queue_of_queued_sends_blocks_drops_or_logs() {
    for (policy, least, most) in [("block", 1.0, 2.5), ("drop", 0.0, 0.3), ("log", 0.0, 0.3)] {
        let query = format!(
            "delivery=queued&queue_max_messages=3&delivery_timeout=1.2&queue_overflow={policy}"
        );
        let bench = Bench::new(1, 1, &query);
        // What is held must stay longer than a blocked call waits.
        let mut options = (*bench.producer.inner.options).clone();
        options.record_timeout = Duration::from_secs(20);
        let stats = Arc::clone(&bench.stats);
        let producer = KafkaProducer::new(Arc::new(options), stats);
        let bench = Bench { producer, ..bench };
        bench.broker.mock().broker_down(1).unwrap();
        for n in 0..3 {
            assert_eq!(bench.send(&n.to_string()).sent(), Some(Sent::Accepted));
        }
        let begun = Instant::now();
        let failed = failure(&bench.send_with("too many", None, 0));
        let took = seconds(begun);
        assert!((least..most).contains(&took), "{policy}: {took}");
        assert_eq!((failed.outcome, failed.cause), (Outcome::NotDelivered, Cause::QueueFull));
        assert_eq!(failed.detail.contains("in the log"), policy == "log", "{failed}");
        assert_eq!((bench.stats.overflowed.get(), bench.stats.accepted.get()), (1, 3));
        bench.broker.mock().broker_up(1).unwrap();
        // Room again: a call gets in, whatever the policy.
        bench.wait_until("confirmed", |stats| stats.delivered.get() == 3);
        assert_eq!(bench.send("room").sent(), Some(Sent::Accepted), "{policy}");
        bench.producer.close(LIMIT).unwrap();
        assert_eq!(bench.on_broker(), ["0", "1", "2", "room"], "{policy}");
    }
}

#[test]
fn a_purge_that_is_not_ours_is_handed_over_again() {
    let bench = Bench::new(1, 1, "");
    bench.send("0").wait(LIMIT).unwrap();
    bench.broker.mock().broker_down(1).unwrap();
    let receipt = bench.send("1");
    let current = bench.producer.inner.current().unwrap();
    current.fate.set(Fate::Fatal);
    current.client.purge(PurgeConfig::default().queue());
    bench.broker.mock().broker_up(1).unwrap();
    receipt.wait(LIMIT).unwrap();
    assert_eq!(bench.on_broker(), ["0", "1"]);
}

/// A spool that goes with its test.
struct SpoolDir(std::path::PathBuf);

impl SpoolDir {
    fn new() -> Self {
        let name = format!("oslo-spool-{}", uuid::Uuid::new_v4().simple());
        Self(std::env::temp_dir().join(name))
    }

    fn query(&self, more: &str) -> String {
        format!("delivery=spooled&spool_dir={}{more}", self.0.display())
    }

    /// What is in it, apart from what was set aside.
    fn folders(&self) -> usize {
        let found = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        found.filter(|name| name != "set-aside").count()
    }
}

impl Drop for SpoolDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn spooled_sends_are_accepted_without_a_broker_and_arrive_in_order_when_it_is_back() {
    let dir = SpoolDir::new();
    let bench = Bench::new(1, 1, &dir.query("&connect_timeout=0.5&delivery_timeout=0.5"));
    bench.broker.mock().broker_down(1).unwrap();
    for n in 0..300 {
        assert_eq!(bench.send(&n.to_string()).sent(), Some(Sent::Accepted));
    }
    // Neither timeout is a spooled record's.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(bench.send("300").sent(), Some(Sent::Accepted));
    assert_eq!(bench.stats.not_delivered.get() + bench.stats.unknown.get(), 0);
    assert!(bench.stats.spool_bytes.get() > 0);
    bench.broker.mock().broker_up(1).unwrap();
    bench.wait_until("all delivered", |stats| stats.delivered.get() == 301);
    assert_eq!(bench.on_broker(), numbers(0..301));
    bench.producer.close(LIMIT).unwrap();
    assert_eq!(dir.folders(), 0, "a spool that is sent leaves nothing");
}

#[test]
fn what_a_closed_process_leaves_in_the_spool_is_sent_first_by_the_next_one() {
    let dir = SpoolDir::new();
    let bench = Bench::new(1, 1, &dir.query(""));
    bench.send("0").wait(LIMIT).unwrap();
    bench.wait_until("delivered", |stats| stats.delivered.get() == 1);
    bench.broker.mock().broker_down(1).unwrap();
    (1..50).for_each(|n| drop(bench.send(&n.to_string())));
    let begun = Instant::now();
    bench.producer.close(Duration::from_secs(1)).expect("what is spooled is not lost");
    assert!(seconds(begun) < 3.0, "{}", seconds(begun));
    assert_eq!((bench.stats.not_delivered.get(), bench.stats.unknown.get()), (0, 0));
    assert_eq!(dir.folders(), 1);
    let Bench { broker, producer, .. } = bench;
    drop(producer);
    let next = Bench::on(broker, &dir.query(""));
    (50..60).for_each(|n| drop(next.send(&n.to_string())));
    next.broker.mock().broker_up(1).unwrap();
    next.wait_until("all delivered", |stats| stats.delivered.get() == 59);
    assert_eq!(next.on_broker(), numbers(0..60));
    assert_eq!(next.stats.spool_adopted.get(), 1);
    next.producer.close(LIMIT).unwrap();
    assert_eq!(dir.folders(), 0);
}

#[test]
fn start_sends_what_an_earlier_process_left_without_a_call() {
    let dir = SpoolDir::new();
    let bench = Bench::new(1, 1, &dir.query(""));
    bench.broker.mock().broker_down(1).unwrap();
    bench.send("0").wait(LIMIT).unwrap();
    bench.producer.close(Duration::ZERO).unwrap();
    let Bench { broker, producer, .. } = bench;
    drop(producer);
    broker.mock().broker_up(1).unwrap();
    let next = Bench::on(broker, &dir.query(""));
    next.producer.start().unwrap();
    next.wait_until("delivered", |stats| stats.delivered.get() == 1);
    assert_eq!(next.on_broker(), ["0"]);
}

#[test]
fn a_topic_that_refuses_waits_in_the_spool_and_the_others_go_on() {
    let dir = SpoolDir::new();
    let bench = Bench::new(1, 1, &dir.query(""));
    let refused = "refused.info";
    bench.broker.create_topic(refused, 1).unwrap();
    let denied = Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    bench.broker.mock().topic_error(refused, denied).unwrap();
    for n in 0..10 {
        bench.send_to(refused, &format!("r-{n}"), None, -1).wait(LIMIT).unwrap();
        bench.send(&n.to_string()).wait(LIMIT).unwrap();
    }
    bench.wait_until("the others", |stats| stats.delivered.get() == 10);
    bench.broker.mock().topic_error(refused, Answer::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    bench.wait_until("all", |stats| stats.delivered.get() == 20);
    assert_eq!(bench.stats.not_delivered.get() + bench.stats.unknown.get(), 0);
    assert_eq!(bench.on_broker(), numbers(0..10));
    let expected: Vec<_> = (0..10).map(|n| format!("r-{n}")).collect();
    assert_eq!(bench.in_topic(refused), expected);
}

#[test]
fn what_is_too_large_is_refused_at_once_and_what_does_not_fit_says_so() {
    let dir = SpoolDir::new();
    let bench = Bench::new(1, 1, &dir.query("&spool_max_kbytes=1"));
    bench.broker.mock().broker_down(1).unwrap();
    let failed = failure(&bench.send(&"x".repeat(1_000_001)));
    assert_eq!(failed.cause, Cause::TooLarge, "{failed}");
    let full = (0..100).map(|n| bench.send(&n.to_string())).find(|r| r.sent().is_none()).unwrap();
    let failed = failure(&full);
    assert_eq!((failed.outcome, failed.cause), (Outcome::NotDelivered, Cause::QueueFull));
    assert!(failed.detail.contains("of 1 KiB (spool_max_kbytes)"), "{failed}");
    let accepted = bench.stats.accepted.get();
    assert!(accepted > 3, "{accepted}");
    bench.broker.mock().broker_up(1).unwrap();
    bench.wait_until("all", |stats| stats.delivered.get() == accepted);
    let begun = Instant::now();
    while bench.send("room").sent().is_none() {
        assert!(begun.elapsed() < LIMIT, "no room although all is sent");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_fatal_error_loses_nothing_that_is_spooled() {
    let dir = SpoolDir::new();
    let bench = Bench::new(1, 1, &dir.query(""));
    bench.send("0").wait(LIMIT).unwrap();
    bench.wait_until("delivered", |stats| stats.delivered.get() == 1);
    bench.broker.mock().broker_down(1).unwrap();
    (1..30).for_each(|n| drop(bench.send(&n.to_string())));
    thread::sleep(Duration::from_millis(300));
    native::fail_for_good(bench.producer.inner.current().unwrap().client.client());
    (30..60).for_each(|n| drop(bench.send(&n.to_string())));
    bench.broker.mock().broker_up(1).unwrap();
    bench.wait_until("all", |stats| stats.delivered.get() == 60);
    assert_eq!(bench.on_broker(), numbers(0..60));
    assert_eq!(bench.stats.producer_rebuilt.get(), 1);
}

#[test]
fn dead_letters_are_confirmed_whatever_a_notifier_promises() {
    let dir = SpoolDir::new();
    let url = format!("kafka://h/?{}", dir.query(""));
    let options = KafkaOptions::resolve(&url.parse().unwrap(), &Config::new()).unwrap();
    assert!(options.spool.is_some() && options.record_timeout.is_zero());
    let confirmed = options.confirmed();
    assert!(confirmed.spool.is_none());
    assert_eq!(confirmed.record_timeout, Duration::from_secs(30));
}
