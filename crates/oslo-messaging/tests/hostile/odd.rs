//! Records that no client library writes and a broker may nevertheless hand over: each is
//! dispatched or dead-lettered, and the next one comes.

use std::sync::Arc;

use oslo_messaging::{Transport, kafka::EmbeddedBroker};

use super::{
    LIMIT, Seen, alone, listen,
    raw::{batch, produce, record},
};

const GOOD: &[u8] =
    br#"{"priority": "INFO", "_context": {}, "event_type": "good", "payload": null}"#;
const LAST: &[u8] =
    br#"{"priority": "INFO", "_context": {}, "event_type": "last", "payload": null}"#;

/// Name, the records' text, how many, how many of them are notifications.
fn odd_records() -> Vec<(&'static str, Vec<u8>, i32, usize)> {
    let many: Vec<(&[u8], Option<&[u8]>)> = vec![(b"name", Some(b"\xff")); 10_000];
    let large = vec![0xff; 1 << 20];
    let one = |delta, key, value, headers: &[_]| record(0, delta, key, value, headers);
    let both = |second: Vec<u8>| [record(0, 0, None, Some(GOOD), &[]), second].concat();
    vec![
        ("a null value", one(0, None, None, &[]), 1, 0),
        ("a null value with a key", one(0, Some(b"\xff\x00"), None, &[]), 1, 0),
        ("an empty value", one(0, Some(b""), Some(b""), &[]), 1, 0),
        ("a key of a mebibyte", one(0, Some(&large), Some(GOOD), &[]), 1, 1),
        ("a value of a mebibyte", one(0, None, Some(&large), &[]), 1, 0),
        ("10,000 headers", one(0, None, Some(GOOD), &many), 1, 1),
        ("10,000 headers and no value", one(0, None, None, &many), 1, 0),
        ("header names that are not UTF-8", one(0, None, Some(GOOD), &[(b"\xff\xfe", None)]), 1, 1),
        ("a header name with a null byte", one(0, None, None, &[(b"a\0b", Some(b"c"))]), 1, 0),
        ("an empty header name", one(0, None, Some(GOOD), &[(b"", Some(b""))]), 1, 1),
        ("a timestamp of -1", one(-1_764_000_000_001, None, Some(GOOD), &[]), 1, 1),
        ("a far future", one(i64::MAX - 1_764_000_000_000, None, Some(GOOD), &[]), 1, 1),
        ("a time before all times", one(i64::MIN, None, None, &[]), 1, 0),
        ("the same offset twice", both(record(0, 0, None, Some(GOOD), &[])), 2, 1),
        ("two records", both(record(1, 0, None, None, &[])), 2, 1),
    ]
}

#[test]
fn odd_records_are_dispatched_or_dead_lettered_and_the_next_one_comes() {
    let _alone = alone();
    let broker = EmbeddedBroker::start(1).unwrap();
    // 249 bytes with the priority.
    let topic = "t".repeat(244);
    let name = format!("{topic}.info");
    broker.create_topic(&name, 1).unwrap();
    broker.create_topic("dead", 1).unwrap();
    for mode in ["before_dispatch", "after_dispatch"] {
        let url = format!(
            "{}?auto_offset_reset=latest&commit={mode}&dead_letter_topic=dead\
             &dead_letter_max_ratio=0",
            broker.transport_url()
        );
        let transport = Transport::for_notifications(&url).unwrap();
        let seen = Arc::<Seen>::default();
        let listener = listen(&transport, &topic, &seen, |_| {});
        listener.ready(LIMIT).unwrap();
        let (mut good, mut bad) = (0, 0);
        for (what, records, count, notifications) in odd_records() {
            assert_eq!(produce(broker.bootstrap(), &name, &batch(0, count, &records)), 0, "{what}");
            good += notifications;
            bad += count as usize - notifications;
        }
        let last = record(0, 0, None, Some(LAST), &[]);
        assert_eq!(produce(broker.bootstrap(), &name, &batch(0, 1, &last)), 0);
        assert!(seen.wait_for("last"), "{mode}: {:?}", transport.stats());
        listener.close(LIMIT).unwrap();
        let stats = transport.stats();
        println!("{mode}: {good} good, {bad} bad, {stats:?}");
        assert_eq!(seen.all().len(), good + 1, "{mode}");
        assert_eq!(stats.undecodable.get(), stats.dead_letters.get(), "{mode}");
        // The ledger takes an offset once: the second of the same is neither.
        assert_eq!(stats.undecodable.get() + 1, bad as u64, "{mode}");
        transport.close(LIMIT).unwrap();
    }
}
