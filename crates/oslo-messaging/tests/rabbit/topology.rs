//! Exchanges and queues are those that the reference makes, with its arguments.

use oslo_messaging::{Context, Payload};
use rabbitmq_testkit::{Rabbit, shared};
use serde_json::json;

use crate::support::{LIMIT, call, client, server, topic, until};

#[test]
fn queues_and_exchanges_are_the_references() {
    let (rabbit, topic) = (shared(), topic());
    let (server, _, _transport) = server(&rabbit.url("/"), &topic, "s");
    let client = client(&rabbit.url("/"), &topic);
    call(&client, "echo", json!({})).unwrap();
    let queues = rabbit.list_queues("/");
    let find = |name: &str| {
        queues.iter().find(|queue| queue.name.starts_with(name)).unwrap_or_else(|| panic!("{name}"))
    };
    for name in [topic.clone(), format!("{topic}.s")] {
        let queue = queues.iter().find(|queue| queue.name == name).unwrap();
        assert!(!queue.durable && !queue.auto_delete, "{queue:?}");
        assert!(queue.arguments.is_empty(), "{queue:?}");
    }
    for name in [format!("{topic}_fanout_"), "reply_".to_owned()] {
        let queue = find(&name);
        assert!(!queue.durable && !queue.auto_delete, "{queue:?}");
        assert_eq!(queue.arguments["x-expires"], 1_800_000, "{queue:?}");
    }
    let exchanges = rabbit.list_exchanges("/");
    let fanout = exchanges.iter().find(|one| one.name == format!("{topic}_fanout")).unwrap();
    assert!(fanout.auto_delete && !fanout.durable, "{fanout:?}");
    server.close(LIMIT).unwrap();
    let gone = |queue: &str| !rabbit.list_queues("/").iter().any(|one| one.name.starts_with(queue));
    assert!(gone(&format!("{topic}_fanout_")), "the fanout queue goes with its server");
}

#[test]
fn fanouts_by_stream_reach_every_server() {
    let rabbit = Rabbit::start();
    let query = "?rabbit_quorum_queue=true&rabbit_transient_quorum_queue=true\
                 &rabbit_stream_fanout=true&rabbit_qos_prefetch_count=10";
    let (url, topic) = (format!("{}{query}", rabbit.url("/")), topic());
    let (one, first, _transport) = server(&url, &topic, "one");
    let (two, second, _other) = server(&url, &topic, "two");
    let everybody = client(&url, &topic).with_fanout();
    for number in 0..10 {
        let args = Payload::from(json!({"n": number}));
        everybody.cast(&Context::empty(), "echo", args).wait().unwrap();
    }
    until("both have all", || first.totals().0 == 10 && second.totals().0 == 10);
    // What is sent while they are away is there when they come back.
    rabbit.close_connections();
    let other = client(&url, &topic).with_fanout();
    for number in 10..20 {
        let args = Payload::from(json!({"n": number}));
        other.cast(&Context::empty(), "echo", args).wait().unwrap();
    }
    until("both have the rest", || first.totals().0 == 20 && second.totals().0 == 20);
    assert_eq!((first.totals().1, second.totals().1), (0, 0));
    one.close(LIMIT).unwrap();
    two.close(LIMIT).unwrap();
}

#[test]
fn queues_that_somebody_made_otherwise_durable_are_used_as_they_are() {
    let (rabbit, topic) = (shared(), topic());
    let durable = format!("{}?amqp_durable_queues=true", rabbit.url("osl"));
    let plain = rabbit.url("osl");
    let (first, _, _transport) = server(&durable, &topic, "s");
    let client = client(&plain, &topic);
    assert_eq!(call(&client, "echo", json!({})), Ok(json!({})));
    first.close(LIMIT).unwrap();
    let (second, _, _other) = server(&plain, &topic, "s");
    assert_eq!(call(&client, "echo", json!({})), Ok(json!({})));
    second.close(LIMIT).unwrap();
}
