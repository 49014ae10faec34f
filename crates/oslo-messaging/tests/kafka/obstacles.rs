//! What callers and operators are told when the brokers take nothing from them: within 15 s, and why.

use std::time::{Duration, Instant};

use kafka_testkit::{Kafka, unique};
use oslo_messaging::{Context, Error, Listener, Outcome, Payload, Target, Transport};

use crate::{
    log::{logged, note_errors},
    send::failures,
    support::{Counter, LIMIT, Seen, notifier, topic},
};

/// How long anybody is left without a word, and what a busy machine adds.
const TOLD_WITHIN: Duration = Duration::from_secs(15);

/// A notifier and a listener of this URL learn within the time why nothing goes.
fn both_are_told(name: &str, url: &str, topic: &str, reasons: &[&str]) {
    note_errors();
    let has_reason = |text: &str| {
        let text = text.to_lowercase();
        reasons.iter().any(|reason| text.contains(reason))
    };
    let transport = Transport::for_notifications(url).unwrap();
    let begun = Instant::now();
    let sent = notifier(&transport, topic).info(&Context::empty(), "a.b", Payload::null());
    let group = unique("group");
    let listener = Listener::builder(&transport)
        .target(Target::new(topic))
        .pool(&group)
        .endpoint(Counter(Seen::new()))
        .start()
        .unwrap();
    let failed = failures(sent.wait(LIMIT));
    let told = begun.elapsed();
    assert_eq!(failed[0].outcome, Outcome::NotDelivered, "{}", failed[0]);
    assert!(has_reason(&failed[0].to_string()), "{name}: {}", failed[0]);
    let error = logged(&[&group, "no partitions"], LIMIT).unwrap();
    let complained = begun.elapsed();
    assert!(has_reason(&error), "{name}: {error}");
    let Err(Error::NotReady { cause }) = listener.ready(Duration::ZERO) else { panic!() };
    assert!(has_reason(&cause), "{name}: {cause}");
    println!(
        "{name}: sender told after {told:?}: {}; log after {complained:?}: {error}",
        failed[0]
    );
    assert!(told < TOLD_WITHIN && complained < TOLD_WITHIN, "{told:?} {complained:?}");
    let begun = Instant::now();
    // Nothing was taken; the goodbye may have nobody to hear it.
    let _ = listener.close(Duration::from_secs(3));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_wrong_password_and_a_missing_right_are_told_with_their_reason() {
    let kafka = Kafka::secure();
    let address = kafka.listener(kafka_testkit::Listener::Sasl);
    let sasl = "security_protocol=SASL_PLAINTEXT&sasl_mechanism=PLAIN";
    let topic = topic();
    // The user may not even make the topics.
    let wrong = format!("kafka://alice:wrong@{address}/?{sasl}");
    both_are_told("wrong password", &wrong, &topic, &["authentication"]);
    let right = format!("kafka://alice:alice-secret@{address}/?{sasl}");
    both_are_told("no right", &right, &topic, &["authoriz", "acl", "may not"]);
}

#[test]
fn a_broker_that_is_not_there_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("kafka://{free}/");
    both_are_told("no broker", &url, "notifications", &[&free.to_string()]);
}
