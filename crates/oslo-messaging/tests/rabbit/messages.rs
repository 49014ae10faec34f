//! Messages that no peer of good will sends, or that come twice.

use std::time::Duration;

use oslo_messaging::Transport;
use rabbitmq_testkit::shared;
use serde_json::json;

use crate::support::{LIMIT, call, client, publish, server, topic, until};

fn envelope(inner: &str) -> Vec<u8> {
    let inner = serde_json::to_string(inner).unwrap();
    format!(r#"{{"oslo.version": "2.0", "oslo.message": {inner}}}"#).into_bytes()
}

fn undecodable(transport: &Transport) -> u64 {
    transport.stats().undecodable.get()
}

#[test]
fn what_is_no_request_is_counted_acknowledged_and_gone() {
    let (rabbit, topic) = (shared(), topic());
    let url = rabbit.url("/");
    let (server, served, transport) = server(&url, &topic, "s");
    let third = envelope(r#"{"args": {}}"#);
    let fourth = envelope(r#"{"method": "echo", "args": [1]}"#);
    let fifth = envelope(r#"{"method": 7, "args": {}}"#);
    let bodies: [&[u8]; 8] = [
        b"",
        b"\xff\xfe",
        b"not json",
        b"[1, 2]",
        br#"{"oslo.version": "9.0", "oslo.message": "{}"}"#,
        &third,
        &fourth,
        &fifth,
    ];
    publish(rabbit.address(), "openstack", &topic, &bodies);
    until("all are counted", || undecodable(&transport) == bodies.len() as u64);
    assert_eq!(call(&client(&url, &topic), "echo", json!({"n": 1})), Ok(json!({"n": 1})));
    server.close(LIMIT).unwrap();
    assert_eq!(served.totals(), (1, 0));
    let queue = rabbit.queue("/", &topic).unwrap();
    assert_eq!(queue.messages, 0, "{queue:?}");
}

#[test]
fn a_request_that_comes_twice_is_served_once() {
    let (rabbit, topic) = (shared(), topic());
    let (server, served, _transport) = server(&rabbit.url("/"), &topic, "s");
    let body = envelope(r#"{"method": "echo", "args": {"n": 3}, "_unique_id": "u-1"}"#);
    let other = envelope(r#"{"method": "echo", "args": {"n": 4}, "_unique_id": "u-2"}"#);
    publish(rabbit.address(), "openstack", &topic, &[&body, &body, &other, &body]);
    until("both", || served.totals().0 == 2);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(served.totals(), (2, 0));
    server.close(LIMIT).unwrap();
}

#[test]
fn an_answer_to_a_queue_that_is_gone_is_given_up_and_the_server_goes_on() {
    let (rabbit, topic) = (shared(), topic());
    let url = format!("{}?kombu_missing_consumer_retry_timeout=1", rabbit.url("/"));
    let (server, served, _transport) = server(&url, &topic, "s");
    let body = envelope(
        r#"{"method": "echo", "args": {"n": 1}, "_msg_id": "m", "_reply_q": "reply_of_nobody", "_unique_id": "u-3"}"#,
    );
    publish(rabbit.address(), "openstack", &topic, &[&body]);
    until("it is served", || served.totals().0 == 1);
    let client = client(&url, &topic);
    for number in 2..50 {
        assert_eq!(call(&client, "echo", json!({"n": number})), Ok(json!({"n": number})));
    }
    let begun = std::time::Instant::now();
    server.close(LIMIT).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn packed_bodies_travel_both_ways() {
    let (rabbit, topic) = (shared(), topic());
    let (server, ..) = server(&rabbit.url("/"), &topic, "s");
    for packing in ["gzip", "bz2"] {
        let client = client(&format!("{}?kombu_compression={packing}", rabbit.url("/")), &topic);
        let args = json!({"text": "č".repeat(10_000)});
        assert_eq!(call(&client, "echo", args.clone()), Ok(args), "{packing}");
    }
    server.close(LIMIT).unwrap();
}
