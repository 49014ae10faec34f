//! Senders while their broker is killed, frozen and started again: brokers of their own.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kafka_testkit::Kafka;
use oslo_messaging::{
    Cause, Context, Listener, Outcome, Payload, Receipt, Sent, Transport,
    config::Config,
    kafka::{Read, ReadFrom, Reader},
    wire,
};

use crate::{
    send::failures,
    support::{LIMIT, Seen, listen, notifier, topic},
};

/// The message ids in a topic of one partition, in their order.
fn on_broker(url: &str, topic: &str) -> Vec<String> {
    let topics = [format!("{topic}.info")];
    let url = url.parse().unwrap();
    let mut reader =
        Reader::open(&url, &Config::new(), &topics, ReadFrom::Beginning, LIMIT).unwrap();
    let mut found = Vec::new();
    loop {
        match reader.next(LIMIT).unwrap() {
            Read::Record(record) => {
                let notification = wire::decode(&record.body.unwrap()).unwrap();
                found.push(notification.message_id);
            }
            Read::End => return found,
            other => panic!("{other:?}"),
        }
    }
}

/// Sends for twelve seconds, in a mode that accepts, while the broker is killed and started again;
/// what came out of it, and that all of it is in the topic, once and in its order.
fn send_while_the_broker_dies(query: &str) {
    let kafka = Kafka::single();
    let topic = topic();
    let one_partition = "topic_partitions=1&topic_replication_factor=1";
    let (ended, outcomes) = std::sync::mpsc::channel();
    let transport = Transport::builder()
        .url(format!("{}?{one_partition}&{query}", kafka.transport_url()))
        .on_outcome(move |end| ended.send((end.message_id.clone(), end.result.is_ok())).unwrap())
        .for_notifications()
        .unwrap();
    let sender = notifier(&transport, &topic);
    let mut sent = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(1));
            kafka.kill(1);
            thread::sleep(Duration::from_secs(2));
            kafka.start(1);
        });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(12) {
            let payload = Payload::from(serde_json::json!(sent.len()));
            let receipt = sender.info(&Context::empty(), "load.tick", payload);
            receipt.wait(Duration::ZERO).unwrap();
            assert_eq!(receipt.sent(), Some(Sent::Accepted));
            sent.push(receipt.message_id().to_owned());
            thread::sleep(Duration::from_millis(2));
        }
    });
    transport.close(Duration::from_secs(60)).unwrap();
    let stats = transport.stats();
    println!("{query}: {} sent while the broker died: {stats:?}", sent.len());
    assert_eq!(stats.delivered.get(), sent.len() as u64);
    let told: Vec<_> = outcomes.try_iter().collect();
    assert_eq!(told.len(), sent.len());
    assert!(told.iter().all(|(_, delivered)| *delivered));
    assert!(on_broker(&kafka.transport_url(), &topic) == sent, "lost, twice or out of order");
}

#[test]
fn a_broker_that_is_killed_under_queued_load_loses_nothing() {
    send_while_the_broker_dies("delivery=queued");
}

#[test]
fn a_broker_that_is_killed_under_spooled_load_loses_nothing() {
    let dir = std::env::temp_dir().join(kafka_testkit::unique("spool"));
    send_while_the_broker_dies(&format!("delivery=spooled&spool_dir={}", dir.display()));
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "something is left in the spool");
    std::fs::remove_dir(&dir).unwrap();
}

#[test]
fn a_frozen_broker_costs_one_timeout_and_is_found_again() {
    let kafka = Kafka::single();
    let topic = topic();
    let url = format!("{}?delivery_timeout=4&connect_timeout=3", kafka.transport_url());
    let transport = Transport::for_notifications(&url).unwrap();
    let sender = notifier(&transport, &topic);
    let send = || sender.info(&Context::empty(), "a.b", Payload::null());
    send().wait(LIMIT).unwrap();
    kafka.pause(1);
    let begun = Instant::now();
    let first = failures(send().wait(LIMIT));
    assert_eq!((first[0].outcome, first[0].cause), (Outcome::Unknown, Cause::TimedOut));
    for _ in 0..199 {
        let failed = failures(send().wait(LIMIT));
        assert_eq!(failed[0].outcome, Outcome::NotDelivered, "{}", failed[0]);
    }
    let took = begun.elapsed();
    println!("200 calls with a frozen broker took {took:?} with delivery_timeout 4 s");
    assert!(took < Duration::from_secs(8), "{took:?}");
    kafka.resume(1);
    let begun = Instant::now();
    while send().wait(LIMIT).is_err() {
        assert!(begun.elapsed() < LIMIT, "never found again");
        thread::sleep(Duration::from_millis(100));
    }
    println!("found again {:?} after it went on", begun.elapsed());
    assert_eq!(transport.stats().breaker_open.get(), 0);
}

#[test]
fn keys_keep_the_events_of_one_resource_on_one_partition() {
    let topic = topic();
    let query = "?message_key=payload:instance_id&topic_partitions=8&topic_replication_factor=1";
    let transport = crate::support::transport(query);
    let sender = notifier(&transport, &topic);
    let receipts: Vec<_> = (0..200)
        .map(|n| {
            let id = format!("i-{}", n % 20);
            let payload = match n % 10 {
                9 => serde_json::json!({"seq": n}),
                _ => serde_json::json!({"instance_id": id, "seq": n}),
            };
            sender.info(&Context::empty(), "a.b", Payload::from(payload))
        })
        .collect();
    for receipt in receipts {
        receipt.wait(LIMIT).unwrap();
    }
    let topics = [format!("{topic}.info")];
    let url = crate::support::url().parse().unwrap();
    let mut reader =
        Reader::open(&url, &Config::new(), &topics, ReadFrom::Beginning, LIMIT).unwrap();
    let mut of_key: HashMap<String, (i32, u64)> = HashMap::new();
    let mut without = 0;
    while let Read::Record(record) = reader.next(LIMIT).unwrap() {
        let payload = wire::decode(&record.body.unwrap()).unwrap().payload.value().unwrap();
        let Some(key) = record.key else {
            assert_eq!(payload.get("instance_id"), None);
            without += 1;
            continue;
        };
        let key = String::from_utf8(key.to_vec()).unwrap();
        assert_eq!(payload["instance_id"], key.as_str());
        let (partition, seq) = (record.origin.partition, payload["seq"].as_u64().unwrap());
        let (first, last) = of_key.entry(key).or_insert((partition, seq));
        assert_eq!(*first, partition);
        assert!(*last <= seq, "out of order");
        *last = seq;
    }
    assert_eq!((of_key.len(), without), (18, 20));
    let partitions: HashSet<_> = of_key.values().map(|(partition, _)| partition).collect();
    assert!(partitions.len() > 1, "all keys on one partition");
}

/// A topic of one replica, whose node is away when a new group and one with a place start to listen.
#[test]
fn partitions_without_a_leader_hold_up_no_others_and_are_read_from_the_start_when_they_have_one() {
    let kafka = Kafka::cluster();
    let topic = topic();
    let query = "topic_partitions=6&topic_replication_factor=1&session_timeout=6";
    let url = format!("{}?{query}", kafka.transport_url());
    let transport = Transport::for_notifications(&url).unwrap();
    let sender = notifier(&transport, &topic);
    let send = |count: usize| -> Vec<Receipt> {
        (0..count).map(|_| sender.info(&Context::empty(), "e", Payload::null())).collect()
    };
    let confirmed = |sent: Vec<Receipt>| -> Vec<String> {
        sent.iter().for_each(|receipt| receipt.wait(LIMIT * 2).map(drop).unwrap());
        sent.iter().map(|receipt| receipt.message_id().to_owned()).collect()
    };
    let pool = |name: &str, query: &str| {
        (format!("{topic}-{name}"), format!("{url}&{query}"), Seen::new())
    };
    let old = pool("old", "");
    let new = [pool("new", ""), pool("sticky", "partition_assignment_strategy=cooperative-sticky")];
    listen(&transport, &topic, &old.0, &old.2).close(LIMIT).unwrap();
    let before = confirmed(send(60));
    kafka.kill(3);
    let start = |(pool, url, seen): &(String, String, Arc<Seen>)| {
        listen(&Transport::for_notifications(url).unwrap(), &topic, pool, seen)
    };
    let mut listeners: Vec<Listener> = new.iter().chain([&old]).map(start).collect();
    // The other member gets some of them meanwhile.
    listeners.push(start(&new[1]));
    let sent = send(60);
    for (_, _, seen) in &new {
        let arrived = seen.wait_for(20, LIMIT);
        assert!((20..60).contains(&arrived), "{arrived} of partitions with a leader");
    }
    assert!(old.2.wait_for(60, LIMIT) >= 60, "what was sent before and has a leader, too");
    kafka.start(3);
    let mut sent = confirmed(sent);
    for (_, _, seen) in &new {
        assert_eq!(seen.wait_for(60, LIMIT), 60);
    }
    assert_eq!(old.2.wait_for(120, LIMIT), 120);
    sent.extend(confirmed(send(60)));
    for (_, _, seen) in &new {
        assert_eq!(seen.wait_for(120, LIMIT), 120);
    }
    for listener in listeners {
        listener.close(LIMIT).unwrap();
    }
    for (pool, _, seen) in &new {
        assert_eq!((seen.lost(&sent), seen.twice()), (0, 0), "{pool}");
        assert_eq!(seen.count(), 120, "{pool}: and nothing of what was there before");
    }
    assert_eq!((old.2.lost(&before), old.2.lost(&sent), old.2.twice()), (0, 0, 0));
}
