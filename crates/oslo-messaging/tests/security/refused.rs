//! What is refused, what both sides are told of it, and when.

use std::time::{Duration, Instant};

use kafka_testkit::{Listener, Operation, Resource, unique};
use oslo_messaging::{Error, Outcome, Transport};

use crate::support::{
    LIMIT, TOLD_WITHIN, cert, each, failure, kafka, listen, logged, note_errors, notifier, row,
    sasl, send, url,
};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) topic: String,
    /// What the error says: the reason and what to do, each in one of the ways given.
    pub(crate) says: &'static [&'static str],
}

fn case(name: &'static str, url: String, says: &'static [&'static str]) -> Case {
    Case { name, url, topic: unique("open"), says }
}

/// Whether a text has all of these words.
fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}

/// What the sender's receipt says, and after which time.
fn sender(case: &Case) -> (String, Duration) {
    let transport = Transport::for_notifications(&case.url).unwrap();
    let begun = Instant::now();
    match send(&notifier(&transport, &case.topic), "never.arrives") {
        Err(Error::Broker { .. }) | Ok(()) => panic!("{}: not refused", case.name),
        failed => {
            let failed = failure(failed);
            assert_eq!(failed.outcome, Outcome::NotDelivered, "{}: {failed}", case.name);
            (failed.detail, begun.elapsed())
        }
    }
}

/// What the listener's log and `ready` say, and after which time.
fn listener(case: &Case) -> (String, Duration) {
    let transport = Transport::for_notifications(&case.url).unwrap();
    let (begun, group) = (Instant::now(), unique("open"));
    let listener = match listen(&transport, &case.topic, &group) {
        Ok((listener, _)) => listener,
        // Its configuration cannot work: told at once.
        Err(error) => return (chain(&error), begun.elapsed()),
    };
    let error = logged(&[&group, "no partitions"], LIMIT).unwrap_or_default();
    let told = begun.elapsed();
    let Err(Error::NotReady { cause }) = listener.ready(Duration::ZERO) else {
        panic!("{}: not refused", case.name)
    };
    assert!(says(&error, case.says), "{}: the log says {error}", case.name);
    // Nothing was taken; the goodbye may have nobody to hear it.
    let _ = listener.close(Duration::from_secs(3));
    (cause, told)
}

/// An error with its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn line(case: &Case, side: &str, (text, told): (String, Duration)) -> String {
    assert!(says(&text, case.says), "{}, {side}: {text}", case.name);
    assert!(told < TOLD_WITHIN, "{}, {side}: told after {told:?}", case.name);
    row(case.name, &case.url, side, told, &text)
}

/// Both sides of each case, all at the same time.
pub(crate) fn both_are_told(cases: &[Case]) {
    note_errors();
    let sides: Vec<(&Case, bool)> = cases.iter().flat_map(|c| [(c, true), (c, false)]).collect();
    each(&sides, |(case, sends)| match sends {
        true => line(case, "notifier", sender(case)),
        false => line(case, "listener", listener(case)),
    });
}

/// A broker that allows no look at a topic does not say whether it exists.
const HIDDEN: &[&str] = &["ACL operation Describe", "ACL operation Create"];
const PASSWORD: &[&str] = &["user or password", "transport URL"];

#[test]
fn credentials_that_are_wrong_are_told_on_both_sides_within_fifteen_seconds() {
    let mut cases = Vec::new();
    for (mechanism, wrong, unknown) in [
        ("PLAIN", "wrong password, PLAIN", "unknown user, PLAIN"),
        ("SCRAM-SHA-256", "wrong password, SCRAM-SHA-256", "unknown user, SCRAM-SHA-256"),
        ("SCRAM-SHA-512", "wrong password, SCRAM-SHA-512", "unknown user, SCRAM-SHA-512"),
    ] {
        let at = |user| url(user, Listener::Sasl, &sasl(mechanism));
        cases.push(case(wrong, at("alice:wrong"), PASSWORD));
        cases.push(case(unknown, at("mallory:alice-secret"), PASSWORD));
    }
    cases.push(case(
        "mechanism that the broker lacks",
        url("alice:alice-secret", Listener::Token, &sasl("PLAIN")),
        &["sasl_mechanism", "oauthbearer"],
    ));
    both_are_told(&cases);
}

#[test]
fn certificates_that_are_wrong_are_told_on_both_sides_within_fifteen_seconds() {
    let (ca, other) = (cert("ca.pem"), cert("other-ca.pem"));
    let tls = |listener, query: &str| url("", listener, &format!("security_protocol=SSL&{query}"));
    let mine = |query: &str| tls(Listener::Mtls, &format!("ssl_cafile={ca}&{query}"));
    let client = |name: &str, more: &str| {
        let (certificate, key) = (cert(&format!("{name}.crt")), cert(&format!("{name}.key")));
        mine(&format!("ssl_client_cert_file={certificate}&ssl_client_key_file={key}{more}"))
    };
    let trusted = format!("ssl_cafile={ca}");
    both_are_told(&[
        case(
            "wrong CA",
            tls(Listener::Tls, &format!("ssl_cafile={other}")),
            &["CN=localhost", "CN=ca", "other-ca.pem", "ssl_cafile"],
        ),
        case(
            "wrong host name",
            tls(Listener::WrongHost, &trusted),
            &["wrong.example", "127.0.0.1", "advertised.listeners"],
        ),
        case(
            "expired certificate",
            tls(Listener::Expired, &trusted),
            &["CN=localhost", "expired", "2020"],
        ),
        case("no client certificate", mine(""), &["ssl_client_cert_file"]),
        case("client certificate of another CA", client("stranger", ""), &["ssl_client_cert_file"]),
        case("expired client certificate", client("client-expired", ""), &["ssl_client_cert_file"]),
        case("TLS to a plain listener", tls(Listener::Internal, &trusted), &["security_protocol"]),
        case("no TLS to a TLS listener", url("", Listener::Tls, ""), &["security_protocol"]),
    ]);
}

#[test]
fn files_that_cannot_be_used_are_told_at_once() {
    let (ca, certificate, key) = (cert("ca.pem"), cert("client.crt"), cert("client-enc.key"));
    let tls = |query: &str| url("", Listener::Mtls, &format!("security_protocol=SSL&{query}"));
    let with_key = |password: &str| {
        tls(&format!(
            "ssl_cafile={ca}&ssl_client_cert_file={certificate}&ssl_client_key_file={key}\
             &ssl_client_key_password={password}"
        ))
    };
    both_are_told(&[
        case(
            "no such CA file",
            tls("ssl_cafile=/nowhere/ca.pem"),
            &["ssl_cafile", "/nowhere/ca.pem"],
        ),
        case("wrong key password", with_key("wrong"), &["ssl_client_key_password"]),
        case("encrypted key, no password", with_key(""), &["ssl_client_key_password"]),
    ]);
}

#[test]
fn rights_that_are_missing_are_told_on_both_sides_within_fifteen_seconds() {
    note_errors();
    let kafka = kafka();
    // A user of his own, for what he lacks.
    let user = unique("bob");
    kafka.set_password(&user, "bob-secret");
    let at = url(&format!("{user}:bob-secret"), Listener::Sasl, &sasl("SCRAM-SHA-256"));
    let case = |name, topic: &str, says| Case { name, url: at.clone(), topic: topic.into(), says };
    let read = unique("read");
    kafka.create_topic(&format!("{read}.info"), 1);
    kafka.allow(&user, Resource::Topic(&format!("{read}.info")), Operation::Read);
    kafka.allow(&user, Resource::Groups("open"), Operation::Read);
    let absent = unique("absent");
    kafka.allow(&user, Resource::Topic(&format!("{absent}.info")), Operation::Describe);
    let sides: Vec<(Case, bool)> = vec![
        (case("no right to write", &read, &["may not write", "ACL operation Write"]), true),
        (case("no right to see the topic", &unique("hidden"), HIDDEN), true),
        (case("no right to see the topic", &unique("hidden"), HIDDEN), false),
        (case("no right to create the topic", &absent, HIDDEN), true),
        (case("no right to create the topic", &absent, HIDDEN), false),
    ];
    each(&sides, |(case, sends)| match sends {
        true => line(case, "notifier", sender(case)),
        false => line(case, "listener", listener(case)),
    });
}

/// The group deals the partitions out all the same: the member has them and cannot read.
#[test]
fn a_topic_that_may_not_be_read_is_told_within_fifteen_seconds() {
    note_errors();
    let (user, topic, group) = (unique("dave"), unique("seen"), unique("open"));
    kafka().set_password(&user, "dave-secret");
    kafka().create_topic(&format!("{topic}.info"), 1);
    kafka().allow(&user, Resource::Topic(&format!("{topic}.info")), Operation::Describe);
    kafka().allow(&user, Resource::Groups("open"), Operation::Read);
    let at = url(&format!("{user}:dave-secret"), Listener::Sasl, &sasl("SCRAM-SHA-256"));
    let transport = Transport::for_notifications(&at).unwrap();
    let begun = Instant::now();
    let (listener, _told) = listen(&transport, &topic, &group).unwrap();
    let error = logged(&[&group, &topic, "may not read the topic"], LIMIT).unwrap_or_default();
    let case = Case {
        name: "no right to read",
        url: at,
        topic,
        says: &["ACL operation Read on the topic"],
    };
    println!("{}", line(&case, "listener", (error, begun.elapsed())));
    let _ = listener.close(Duration::from_secs(3));
}

#[test]
fn a_group_that_may_not_be_joined_is_told_within_fifteen_seconds() {
    note_errors();
    let (user, topic) = (unique("carol"), unique("topic"));
    kafka().set_password(&user, "carol-secret");
    kafka().create_topic(&format!("{topic}.info"), 1);
    kafka().allow(&user, Resource::Topic(&format!("{topic}.info")), Operation::All);
    let at = url(&format!("{user}:carol-secret"), Listener::Sasl, &sasl("SCRAM-SHA-256"));
    let case = Case {
        name: "no right to join the group",
        url: at,
        topic,
        says: &["as this group", "ACL operation Read"],
    };
    println!("{}", line(&case, "listener", listener(&case)));
}
