//! What was refused goes on by itself when the operator mends the broker's side.

use std::time::{Duration, Instant};

use kafka_testkit::{Kafka, Listener, Operation, Resource, unique};
use oslo_messaging::{
    Transport,
    config::{Config, NOTIFICATIONS},
};

use crate::support::{LIMIT, kafka, listen, logged, note_errors, notifier, sasl, send, url};

/// How soon both sides are back after the operator has mended what was wrong.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// How long they are refused.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// A notifier and a listener that are refused until `mend`; both are back soon after it.
fn come_back(name: &str, url: &str, topic: &str, group: &str, mend: impl FnOnce()) {
    let transport = Transport::for_notifications(&format!("{url}{IMPATIENT}")).unwrap();
    come_back_on(name, &transport, topic, group, mend);
}

/// How soon they give up.
const IMPATIENT: &str = "&delivery_timeout=8&connect_timeout=3";

fn come_back_on(name: &str, transport: &Transport, topic: &str, group: &str, mend: impl FnOnce()) {
    note_errors();
    let (listener, told) = listen(transport, topic, group).unwrap();
    let notifier = notifier(transport, topic);
    // For longer than connect_timeout, and again and again: no refusal hides the next answer.
    let refused = Instant::now();
    while refused.elapsed() < REFUSED_FOR {
        send(&notifier, "too.early").unwrap_err();
        std::thread::sleep(Duration::from_millis(100));
    }
    logged(&[group, "no partitions"], LIMIT).unwrap();
    listener.ready(Duration::ZERO).unwrap_err();
    mend();
    let mended = Instant::now();
    while let Err(error) = send(&notifier, "mended") {
        assert!(mended.elapsed() < BACK_WITHIN, "{name}: {error}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let sends_after = mended.elapsed();
    listener.ready(LIMIT).unwrap_or_else(|error| panic!("{name}: {error}"));
    let ready_after = mended.elapsed();
    // What was sent before the group's first start is not the group's: with `latest`.
    send(&notifier, "after").unwrap();
    while told.recv_timeout(LIMIT).unwrap() != "after" {}
    println!("{name:<28} sends after {sends_after:?}, listens after {ready_after:?}");
    assert!(ready_after < BACK_WITHIN, "{name}: {ready_after:?}");
    listener.close(LIMIT).unwrap();
}

#[test]
fn a_password_that_is_set_on_the_broker_lets_both_sides_in_again() {
    let user = unique("rita");
    kafka().set_password(&user, "old");
    let at = url(&format!("{user}:new"), Listener::Sasl, &sasl("SCRAM-SHA-256"));
    kafka().allow(&user, Resource::Topics("open"), Operation::All);
    kafka().allow(&user, Resource::Groups("open"), Operation::All);
    come_back("password set", &at, &unique("open"), &unique("open"), || {
        kafka().set_password(&user, "new");
    });
}

/// By a configuration that is read again.
#[test]
fn a_password_that_is_set_in_the_configuration_lets_both_sides_in_again() {
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let config = |user: &str| {
            let at = format!("{}{IMPATIENT}", url(user, Listener::Sasl, &sasl(mechanism)));
            let mut config = Config::new();
            config.set(NOTIFICATIONS, "transport_url", at);
            config
        };
        let wrong = config("mallory:wrong");
        let transport = Transport::builder().config(wrong).for_notifications().unwrap();
        let name = format!("{mechanism}, configuration read");
        come_back_on(&name, &transport, &unique("open"), &unique("open"), || {
            let reloaded = transport.reload(&config("alice:alice-secret")).unwrap();
            assert_eq!((reloaded.applied.len(), reloaded.needs_restart.len()), (1, 0));
        });
    }
}

#[test]
fn rights_that_are_given_let_both_sides_in_again() {
    let (user, topic, group) = (unique("rosa"), unique("topic"), unique("group"));
    kafka().set_password(&user, "secret");
    kafka().create_topic(&format!("{topic}.info"), 2);
    let at = url(&format!("{user}:secret"), Listener::Sasl, &sasl("SCRAM-SHA-256"));
    come_back("all rights given", &at, &topic, &group, || {
        kafka().allow(&user, Resource::Topic(&format!("{topic}.info")), Operation::All);
        kafka().allow(&user, Resource::Group(&group), Operation::All);
    });
}

#[test]
fn the_right_to_the_group_lets_its_listener_in_again() {
    let (user, topic, group) = (unique("ruth"), unique("topic"), unique("group"));
    kafka().set_password(&user, "secret");
    kafka().create_topic(&format!("{topic}.info"), 2);
    kafka().allow(&user, Resource::Topic(&format!("{topic}.info")), Operation::Describe);
    let at = url(&format!("{user}:secret"), Listener::Sasl, &sasl("SCRAM-SHA-256"));
    come_back("right to write, read, join", &at, &topic, &group, || {
        kafka().allow(&user, Resource::Topic(&format!("{topic}.info")), Operation::Write);
        kafka().allow(&user, Resource::Topic(&format!("{topic}.info")), Operation::Read);
        kafka().allow(&user, Resource::Group(&group), Operation::Read);
    });
}

/// The key store belongs to the whole broker: one of the test's own.
#[test]
fn a_certificate_that_is_renewed_lets_both_sides_in_again() {
    let kafka = Kafka::secure();
    kafka.set_key_store(Listener::Tls, "other.pem");
    let at = format!(
        "kafka://{}/?security_protocol=SSL&ssl_cafile={}",
        kafka.listener(Listener::Tls),
        kafka.certs().join("ca.pem").display()
    );
    come_back("certificate renewed", &at, &unique("open"), &unique("open"), || {
        kafka.set_key_store(Listener::Tls, "server.pem");
    });
}
