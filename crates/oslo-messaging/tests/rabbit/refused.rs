//! What the broker refuses is told at once, in words that say what to mend.

use std::time::{Duration, Instant};

use oslo_messaging::{
    Context, Error, Payload, Target, Transport,
    rpc::{Methods, RpcServer},
};
use rabbitmq_testkit::{Rabbit, shared};
use serde_json::json;

use crate::support::{LIMIT, call, client, server, topic, transport};

/// A refusal is told within this time.
const SOON: Duration = Duration::from_secs(15);

/// The words that a call, and a server that is not ready, fail with.
fn refusals(url: &str) -> [String; 2] {
    let topic = topic();
    let begun = Instant::now();
    let client = client(url, &topic).with_timeout(SOON - LIMIT / 6);
    let called = call(&client, "echo", json!({})).unwrap_err();
    let took = begun.elapsed();
    assert!(took < SOON, "{called} after {took:?}");
    let transport = transport(url);
    let methods = Methods::new().method("echo", |_: &Context, (): ()| Ok(()));
    let server =
        RpcServer::builder(&transport, Target::new(&topic), "s").endpoint(methods).start().unwrap();
    let begun = Instant::now();
    let served = loop {
        match server.ready(Duration::from_secs(1)) {
            Err(Error::NotReady { cause }) if cause.contains("not answered") => {
                assert!(begun.elapsed() < SOON, "{cause}");
            }
            Err(error) => break error.to_string(),
            Ok(()) => panic!("the server is ready"),
        }
    };
    println!("{:.1} s  {called}\n       {served}", took.as_secs_f64());
    server.close(LIMIT).unwrap();
    [called, served]
}

#[test]
fn logins_rights_and_virtual_hosts_that_are_refused_are_named() {
    let rabbit = shared();
    let cases = [
        (rabbit.url_as("guest", "wrong", "/"), "refused the login of user \"guest\""),
        (rabbit.url_as("nobody", "x", "/"), "refused the login of user \"nobody\""),
        (rabbit.url_as("alice", "alice-secret", "/"), "virtual host \"/\""),
        (rabbit.url_as("bob", "bob-secret", "/"), "ACCESS_REFUSED"),
        (rabbit.url("nowhere"), "virtual host \"nowhere\""),
    ];
    for (url, expected) in cases {
        for words in refusals(&url) {
            assert!(words.contains(expected), "{words} without {expected}");
            assert!(!words.contains("alice-secret"), "{words}");
        }
    }
}

#[test]
fn certificates_are_checked_on_both_sides() {
    let rabbit = Rabbit::builder().with_mutual_tls().start();
    let topic = topic();
    let certs = rabbit.certs();
    let good = rabbit.mutual_tls_url("/");
    let (server, _, _transport) = server(&good, &topic, "s");
    assert_eq!(call(&client(&good, &topic), "echo", json!({"a": 1})), Ok(json!({"a": 1})));
    server.close(LIMIT).unwrap();

    let without = rabbit.tls_url("/");
    for words in refusals(&without) {
        assert!(words.contains("certificate") || words.contains("alert"), "{words}");
    }
    let other = without.replace("/ca.pem", "/other-ca.pem");
    assert_ne!(other, without, "{without}");
    if certs.join("other-ca.pem").exists() {
        for words in refusals(&other) {
            assert!(words.contains("certificate verify failed"), "{words}");
        }
    }
    for words in refusals(&rabbit.url("/").replace(rabbit.address(), rabbit.tls_address())) {
        assert!(words.contains("ssl=true") || words.contains("broker"), "{words}");
    }
    let missing = format!("{}?ssl=true&ssl_ca_file=/nowhere/ca.pem", rabbit.url("/"));
    let error = Transport::builder().url(missing).for_rpc().unwrap_err().to_string();
    assert!(error.contains("ssl_ca_file") && error.contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn a_broker_that_is_not_there_is_a_timeout_that_says_so() {
    let begun = Instant::now();
    let client = client("rabbit://127.0.0.1:1/", &topic()).with_timeout(Duration::from_secs(2));
    let error = call(&client, "echo", json!({})).unwrap_err();
    assert!(error.contains("127.0.0.1:1: Connection refused"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let once = client.with_retry(0);
    let error = once.cast(&Context::empty(), "echo", Payload::null()).wait().unwrap_err();
    assert!(error.to_string().contains("could not be sent"), "{error}");
}

#[test]
fn messages_above_the_brokers_limit_are_refused_alone() {
    let rabbit = Rabbit::builder().with_line("max_message_size = 65536").start();
    let (url, topic) = (rabbit.url("/"), topic());
    let (server, _, _transport) = server(&url, &topic, "s");
    let client = client(&url, &topic);
    let small = || call(&client, "echo", json!({"a": 1}));
    assert_eq!(small(), Ok(json!({"a": 1})));
    let error = call(&client, "echo", json!({"text": "x".repeat(100_000)})).unwrap_err();
    assert!(error.contains("could not be sent") && error.contains("larger than"), "{error}");
    assert_eq!(small(), Ok(json!({"a": 1})));
    let error = call(&client, "grow", json!({"bytes": 100_000})).unwrap_err();
    assert!(error.contains("RuntimeError") && error.contains("too large"), "{error}");
    assert_eq!(small(), Ok(json!({"a": 1})));
    server.close(LIMIT).unwrap();
}
