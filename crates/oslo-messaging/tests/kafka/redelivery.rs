//! At least once: `commit = after_dispatch`, redelivery, and the dead-letter topic.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Endpoint, EndpointError, Listener, Notification, Payload, Priority, Target, Transport,
    TransportUrl,
    config::Config,
    kafka::{Read, ReadFrom, Reader, Record},
};

use crate::support::{LIMIT, Load, Seen, listen, notifier, topic, transport, url};

const AFTER: &str = "?commit=after_dispatch&redelivery_backoff=0.1&max_redeliveries=2";

type Verdict = dyn Fn(&str) -> Result<(), EndpointError> + Send + Sync;

/// Notes the payloads that it is given, and says what the test wants it to.
struct Judge {
    given: Arc<Mutex<Vec<String>>>,
    verdict: Box<Verdict>,
}

impl Endpoint for Judge {
    fn priorities(&self) -> &[Priority] {
        &[Priority::Info]
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        let text = notification.payload.as_json().to_owned();
        self.given.lock().unwrap().push(text.clone());
        (self.verdict)(&text)
    }
}

/// A listener of a topic with one partition, so that all is in order.
fn judge(
    query: &str,
    topic: &str,
    verdict: impl Fn(&str) -> Result<(), EndpointError> + Send + Sync + 'static,
) -> (Transport, Listener, Arc<Mutex<Vec<String>>>) {
    let query = format!("{query}&topic_partitions=1&topic_replication_factor=1");
    let (transport, given) = (transport(&query), Arc::default());
    let listener = Listener::builder(&transport)
        .target(Target::new(topic))
        .pool(topic)
        .endpoint(Judge { given: Arc::clone(&given), verdict: Box::new(verdict) })
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    (transport, listener, given)
}

fn send(topic: &str, payloads: &[&str]) {
    let transport = transport("");
    let notifier = notifier(&transport, topic);
    for payload in payloads {
        let payload = Payload::from_json(*payload).unwrap();
        notifier.info(&Context::empty(), "test.judged", payload).wait(LIMIT).unwrap();
    }
}

fn wait_for(given: &Mutex<Vec<String>>, count: usize) -> Vec<String> {
    let until = Instant::now() + LIMIT;
    while given.lock().unwrap().len() < count && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    // What comes too often shall be seen, too.
    std::thread::sleep(Duration::from_millis(300));
    given.lock().unwrap().clone()
}

fn read_all(topic: &str, count: usize) -> Vec<Record> {
    let url: TransportUrl = url().parse().unwrap();
    let until = Instant::now() + LIMIT;
    loop {
        let topics = [topic.to_owned()];
        let mut reader =
            Reader::open(&url, &Config::new(), &topics, ReadFrom::Beginning, LIMIT).unwrap();
        let mut records = Vec::new();
        if reader.missing().is_empty() {
            while let Read::Record(record) = reader.next(LIMIT).unwrap() {
                records.push(record);
            }
        }
        if records.len() >= count || Instant::now() > until {
            return records;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn headers(record: &Record) -> HashMap<&str, &str> {
    record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
        .collect()
}

#[test]
fn stopped_and_started_under_load_it_loses_nothing_and_an_orderly_stop_repeats_nothing() {
    let (sending, topic, seen) = (transport(""), topic(), Seen::new());
    listen(&transport(AFTER), &topic, &topic, &seen).close(LIMIT).unwrap();
    let load = Load::start(notifier(&sending, &topic), 300);
    for _ in 0..5 {
        let listener = listen(&transport(AFTER), &topic, &topic, &seen);
        let begun = seen.count();
        seen.wait_for(begun + 300, Duration::from_secs(5));
        listener.close(LIMIT).unwrap();
    }
    let sent = load.stop();
    let last = listen(&transport(AFTER), &topic, &topic, &seen);
    seen.wait_for(sent.len(), LIMIT);
    last.close(LIMIT).unwrap();
    println!(
        "after_dispatch, stopped and started: {} sent, {} lost, {} twice",
        sent.len(),
        seen.lost(&sent),
        seen.twice()
    );
    assert!(sent.len() > 1_000);
    assert_eq!((seen.lost(&sent), seen.twice()), (0, 0));
}

#[test]
fn what_an_endpoint_fails_with_comes_again_in_its_place() {
    let topic = topic();
    let failures = Mutex::new(2);
    let (transport, listener, given) = judge(AFTER, &topic, move |payload| {
        let mut failures = failures.lock().unwrap();
        if payload == "2" && *failures > 0 {
            *failures -= 1;
            return Err("not now".into());
        }
        Ok(())
    });
    send(&topic, &["1", "2", "3"]);
    assert_eq!(wait_for(&given, 5), ["1", "2", "2", "2", "3"]);
    assert_eq!((transport.stats().redelivered.get(), transport.stats().given_up.get()), (2, 0));
    listener.close(LIMIT).unwrap();
    // All of it was committed.
    let (_transport, listener, given) = judge(AFTER, &topic, |_| Ok(()));
    send(&topic, &["4"]);
    assert_eq!(wait_for(&given, 1), ["4"]);
    listener.close(LIMIT).unwrap();
}

#[test]
fn what_always_fails_is_put_on_the_dead_letter_topic_and_its_neighbours_go_on() {
    let (topic, dead) = (topic(), kafka_testkit::unique("dead"));
    let query = format!("{AFTER}&dead_letter_topic={dead}");
    let (transport, listener, given) = judge(&query, &topic, |payload| match payload {
        "2" => Err("never".into()),
        "3" => panic!("worse"),
        _ => Ok(()),
    });
    send(&topic, &["1", "2", "3", "4"]);
    assert_eq!(wait_for(&given, 8), ["1", "2", "2", "2", "3", "3", "3", "4"]);
    let letters = read_all(&dead, 2);
    assert_eq!(letters.len(), 2);
    let origin = format!("{topic}.info");
    for (letter, (offset, error)) in letters.iter().zip([("1", "never"), ("2", "panic: worse")]) {
        let expected = HashMap::from([
            ("dead_letter.topic", origin.as_str()),
            ("dead_letter.partition", "0"),
            ("dead_letter.offset", offset),
            ("dead_letter.error", error),
            ("dead_letter.attempts", "3"),
        ]);
        assert_eq!(headers(letter), expected);
    }
    let source = read_all(&origin, 4);
    assert_eq!(letters[0].body, source[1].body, "byte for byte");
    assert_eq!(transport.stats().dead_letters.get(), 2);
    // Its sendings are not the notifier's.
    assert_eq!(transport.stats().sent.get(), 0);
    listener.close(LIMIT).unwrap();
}

#[test]
fn without_a_dead_letter_topic_it_is_skipped_after_its_last_redelivery() {
    let topic = topic();
    let (transport, listener, given) =
        judge(AFTER, &topic, |payload| if payload == "1" { Err("no".into()) } else { Ok(()) });
    send(&topic, &["1", "2"]);
    assert_eq!(wait_for(&given, 4), ["1", "1", "1", "2"]);
    assert_eq!(transport.stats().given_up.get(), 1);
    listener.close(LIMIT).unwrap();
}

#[test]
fn before_dispatch_a_failure_is_kept_too_and_not_repeated() {
    let (topic, dead) = (topic(), kafka_testkit::unique("dead"));
    let (_transport, listener, given) =
        judge(&format!("?dead_letter_topic={dead}"), &topic, |payload| match payload {
            "1" => Err("no".into()),
            _ => Ok(()),
        });
    send(&topic, &["1", "2"]);
    assert_eq!(wait_for(&given, 2), ["1", "2"]);
    let letters = read_all(&dead, 1);
    assert_eq!(headers(&letters[0])["dead_letter.attempts"], "1");
    listener.close(LIMIT).unwrap();
}

#[test]
fn too_many_dead_letters_stop_the_partition_and_lose_nothing() {
    let (topic, dead) = (topic(), kafka_testkit::unique("dead"));
    let query = format!(
        "?commit=after_dispatch&max_redeliveries=0&dead_letter_topic={dead}&\
         dead_letter_max_consecutive=3"
    );
    let payloads: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let (_transport, listener, given) = judge(&query, &topic, |_| Err("all wrong".into()));
    send(&topic, &payloads);
    assert_eq!(wait_for(&given, 3), payloads[..3]);
    listener.close(LIMIT).unwrap();
    assert_eq!(read_all(&dead, 3).len(), 3);
    // The endpoint was mended: it goes on behind the letters.
    let (_transport, listener, given) = judge(&query, &topic, |_| Ok(()));
    assert_eq!(wait_for(&given, 17), payloads[3..]);
    listener.close(LIMIT).unwrap();
}

#[test]
fn a_slow_listener_that_stops_leaves_the_rest_to_the_next() {
    let topic = topic();
    let payloads: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    let (_transport, listener, given) = judge(AFTER, &topic, |_| {
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    });
    send(&topic, &payloads);
    let begun = Instant::now();
    listener.close(LIMIT).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "it waits for what runs, not for the rest");
    let first = given.lock().unwrap().clone();
    assert!(!first.is_empty() && first.len() < 30, "{first:?}");
    let (_transport, listener, given) = judge(AFTER, &topic, |_| Ok(()));
    let second = wait_for(&given, 30 - first.len());
    assert_eq!([first, second].concat(), payloads);
    listener.close(LIMIT).unwrap();
}

#[test]
fn a_listener_that_counts_on_redelivery_is_refused_where_there_is_none() {
    let start = |query: &str| {
        Listener::builder(&transport(query))
            .target(Target::new("notifications"))
            .pool(topic())
            .endpoint(Judge { given: Arc::default(), verdict: Box::new(|_| Ok(())) })
            .allow_requeue()
            .start()
    };
    let error = start("").unwrap_err().to_string();
    assert!(error.contains("commit = after_dispatch"), "{error}");
    for query in ["?commit=after_dispatch", "?enable_auto_commit=true"] {
        start(query).unwrap().close(LIMIT).unwrap();
    }
    assert!(start("?enable_auto_commit=true&commit=before_dispatch").is_err());
}
