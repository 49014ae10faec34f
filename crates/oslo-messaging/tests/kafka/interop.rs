//! The same broker, the real oslo.messaging at the other end: every field arrives equal.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use oslo_messaging::{Listener, Notification, Notifier, Transport};
use serde_json::{Value, json};

use crate::{
    python::{Python, PythonListener},
    support::{CORPUS, LIMIT, Seen, corpus, listen, notifier, topic, transport, url},
};

const SINKS: [&str; 2] = ["messaging", "messagingv2"];
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// What must be equal at both ends, as the Python listener prints it.
fn fields(notification: &Notification) -> Value {
    json!({
        "priority": notification.priority.as_str(),
        "publisher_id": notification.publisher_id,
        "event_type": notification.event_type,
        "payload": notification.payload.value().unwrap(),
        "context": notification.context.value().unwrap(),
        "message_id": notification.message_id,
        "timestamp": notification.timestamp,
    })
}

/// The same without what the reference makes itself.
fn without_ids(mut fields: Value) -> Value {
    fields.as_object_mut().unwrap().retain(|name, _| name != "message_id" && name != "timestamp");
    fields
}

fn sorted(values: impl IntoIterator<Item = Value>) -> Vec<String> {
    let mut texts: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    texts.sort();
    texts
}

/// The corpus with ids of its own, as if it were sent for the first time.
fn fresh_corpus() -> Vec<Notification> {
    let fresh = |n: Notification| {
        Notification::new(&*n.publisher_id, &*n.event_type, n.priority, n.payload, n.context)
    };
    corpus().into_iter().map(fresh).collect()
}

fn send_all(sender: &Notifier, sent: &[Notification]) {
    let receipts: Vec<_> = sent.iter().map(|notification| sender.send(notification)).collect();
    receipts.into_iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
}

fn ids(notifications: &[Notification]) -> BTreeSet<String> {
    notifications.iter().map(|notification| notification.message_id.clone()).collect()
}

fn id(line: &Value) -> String {
    line["message_id"].as_str().unwrap().to_owned()
}

/// Sends the corpus with the reference; `url` may have a virtual host.
fn python_sends(url: &str, topic: &str, sink: &str, codec: &str) {
    let arguments = ["--url", url, "--topic", topic, "--driver", sink, "--compression", codec];
    Python::start("reference_send.py", &[&arguments[..], &["--input", CORPUS]].concat()).output();
}

/// Rust and Python send with both sinks and every codec; Rust and Python hear all of it.
#[test]
fn both_hear_what_either_sends_with_every_sink_and_codec() {
    let (topic, transport) = (topic(), transport(""));
    let python = PythonListener::start(&topic, &format!("{topic}-python"), usize::MAX);
    let corpus = corpus();
    let count = corpus.len();
    for sender in ["rust", "python"] {
        for sink in SINKS {
            for codec in CODECS {
                let (begun, seen) = (Instant::now(), Seen::new());
                // A pool for each cell, at the end of the topics: it hears this cell only.
                let rust =
                    listen(&transport, &topic, &format!("{topic}-{sender}-{sink}-{codec}"), &seen);
                let sent = fresh_corpus();
                if sender == "rust" {
                    let query = format!("{}?compression_codec={codec}", url());
                    let sending = Transport::for_notifications(&query).unwrap();
                    let notifier = Notifier::builder(&sending).driver(sink).topic(&topic);
                    send_all(&notifier.build().unwrap(), &sent);
                } else {
                    python_sends(&url(), &topic, sink, codec);
                }
                let by_python = python.take(count);
                seen.wait_for(count, LIMIT);
                rust.close(LIMIT).unwrap();
                let by_rust: Vec<Value> = seen.all().iter().map(fields).collect();
                let cell = format!("{sender}, {sink}, {codec}");
                if sender == "rust" {
                    let sent: Vec<Value> = sent.iter().map(fields).collect();
                    assert_eq!(sorted(by_rust.clone()), sorted(sent), "{cell} to rust");
                } else {
                    let (came, sent) = (by_rust.iter().cloned(), corpus.iter().map(fields));
                    assert_eq!(
                        sorted(came.map(without_ids)),
                        sorted(sent.map(without_ids)),
                        "{cell}"
                    );
                }
                assert_eq!(sorted(by_python.clone()), sorted(by_rust.clone()), "{cell} to python");
                assert_eq!(seen.twice(), 0, "{cell}");
                println!(
                    "{cell}: {} to rust, {} to python, every field equal, {:.1} s",
                    by_rust.len(),
                    by_python.len(),
                    begun.elapsed().as_secs_f64()
                );
            }
        }
    }
    assert_eq!(python.take_what_came(), Vec::<Value>::new(), "Python got more than was sent");
}

/// The reference's consumer ignores the virtual host, its producer does not.
#[test]
fn the_virtual_host_of_the_references_producer_is_the_same() {
    let (topic, inside, outside) = (topic(), Seen::new(), Seen::new());
    let cell = format!("{}cell1", url());
    let (in_cell, without) = (Transport::for_notifications(&cell).unwrap(), transport(""));
    let listeners: [Listener; 2] =
        [listen(&in_cell, &topic, &topic, &inside), listen(&without, &topic, &topic, &outside)];
    python_sends(&cell, &topic, "messagingv2", "none");
    let expected = corpus();
    inside.wait_for(expected.len(), LIMIT);
    listeners.into_iter().for_each(|listener| listener.close(LIMIT).unwrap());
    let came = inside.all();
    let came = came.iter().map(|notification| without_ids(fields(notification)));
    let count = expected.len();
    assert_eq!(sorted(came), sorted(expected.iter().map(|sent| without_ids(fields(sent)))));
    assert_eq!((inside.twice(), outside.count()), (0, 0));
    println!("python to rust in a virtual host: {count} notifications, every field equal");
}

/// Joins once and leaves, so that each partition has a committed place: a Python member that is
/// assigned one without begins at an end that it reads too late.
fn pin(transport: &Transport, topic: &str) {
    listen(transport, topic, topic, &Seen::new()).close(LIMIT).unwrap();
}

#[test]
fn a_pool_of_python_and_rust_members_splits_with_nothing_lost_and_nothing_twice() {
    let (topic, transport, seen) = (topic(), transport(""), Seen::new());
    pin(&transport, &topic);
    let python = PythonListener::start(&topic, &topic, usize::MAX);
    let rust = listen(&transport, &topic, &topic, &seen);
    let sender = notifier(&transport, &topic);
    let mut sent = Vec::new();
    for _ in 0..4 {
        let round = fresh_corpus();
        send_all(&sender, &round);
        sent.extend(round);
    }
    let (mut by_python, begun) = (Vec::new(), Instant::now());
    while by_python.len() + seen.count() < sent.len() && begun.elapsed() < LIMIT {
        by_python.extend(python.take_what_came());
        seen.wait_for(sent.len() - by_python.len(), Duration::from_millis(50));
    }
    rust.close(LIMIT).unwrap();
    by_python.extend(python.kill());
    let (by_python, lines): (BTreeSet<String>, usize) =
        (by_python.iter().map(id).collect(), by_python.len());
    let by_rust = ids(&seen.all());
    println!("one pool: {} by python, {} by rust of {}", lines, by_rust.len(), sent.len());
    assert!(!by_python.is_empty() && !by_rust.is_empty());
    assert_eq!((by_python.len(), seen.twice()), (lines, 0), "nothing came twice to one member");
    assert!(by_python.is_disjoint(&by_rust), "nothing came to both");
    assert_eq!(&by_python | &by_rust, ids(&sent), "nothing was lost");
}

/// The sum of what the group has not committed yet, as Kafka's own tool says.
fn lag(group: &str) -> i64 {
    let text = kafka_testkit::shared().tool("groups", &["--describe", "--group", group]);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let head = lines.find(|line| line.starts_with("GROUP")).unwrap();
    let column = head.split_whitespace().position(|name| name == "LAG").unwrap();
    let lag = |line: &str| line.split_whitespace().nth(column).unwrap().parse::<i64>().unwrap();
    lines.map(lag).sum()
}

#[test]
fn a_pool_handed_from_python_to_rust_and_back_keeps_its_offsets() {
    let (topic, transport, seen) = (topic(), transport(""), Seen::new());
    pin(&transport, &topic);
    let sender = notifier(&transport, &topic);
    let python_hears = || {
        let sent = fresh_corpus();
        let python = PythonListener::start(&topic, &topic, sent.len());
        send_all(&sender, &sent);
        let heard = python.finish();
        assert_eq!(heard.len(), sent.len());
        assert_eq!(heard.iter().map(id).collect::<BTreeSet<_>>(), ids(&sent));
        sent.len()
    };
    let first = python_hears();
    // Sent while the pool has no member: who comes next begins where Python stopped.
    let sent = fresh_corpus();
    send_all(&sender, &sent);
    let rust = listen(&transport, &topic, &topic, &seen);
    seen.wait_for(sent.len(), LIMIT);
    rust.close(LIMIT).unwrap();
    assert_eq!(ids(&seen.all()), ids(&sent), "exactly what was sent since");
    assert_eq!(seen.twice(), 0);
    assert_eq!(lag(&topic), 0, "Rust has committed to the end");
    let last = python_hears();
    assert_eq!(lag(&topic), 0, "Python went on from there");
    println!("one pool: {first} to python, {} to rust, {last} to python again", sent.len());
}
