//! The Python library with itself: what it does is what this library is held against.

use std::time::Duration;

use rabbitmq_testkit::{shared, unique};
use serde_json::{Value, json};

use crate::{
    outcomes::{CALLS, Outcome},
    peers::{Client, Peer, Place, Server, text},
};

/// The options under which everything is the same.
const MODES: [&str; 4] = [
    "",
    "rabbit_quorum_queue=true&rabbit_transient_quorum_queue=true",
    "kombu_compression=gzip",
    "amqp_auto_delete=true",
];

#[test]
fn python_with_python_has_the_recorded_outcomes_in_every_mode() {
    for query in MODES {
        let place = Place::new(query);
        let server = Server::start(&place, "one");
        let mut client = Client::start(&place);
        let requests: Vec<Value> = CALLS.iter().map(Outcome::request).collect();
        let answers = client.ask(&requests);
        let mut others = Vec::new();
        for (call, (answer, took)) in CALLS.iter().zip(&answers) {
            println!("{:.3} s  {} {answer}", took.as_secs_f64(), call.name());
            if *answer != call.expected() {
                others.push(format!("{}: {answer} and not {}", call.name(), call.expected()));
            }
        }
        assert!(others.is_empty(), "{query}: {}", others.join("\n"));
        let mut ran = server.stop();
        ran.sort();
        let mut expected: Vec<&str> = CALLS.iter().filter_map(Outcome::runs).collect();
        expected.sort_unstable();
        assert_eq!(ran, expected, "{query}");
        client.stop();
    }
}

#[test]
fn python_with_python_sends_to_one_of_a_topic_to_one_server_and_to_all() {
    let place = Place::new("");
    let servers = ["one", "two"].map(|name| Server::start(&place, name));
    let mut client = Client::start(&place);
    let context = json!({"user": "u", "roles": ["a"], "nothing": null});
    let seen = json!({"user": "u", "roles": ["a"], "nothing": null, "client_timeout": null});
    let done = json!({"result": "null"});
    let cast = |how: &str, server: Value| {
        let mut cast = json!({"how": how, "method": "add", "args": "{\"a\": 1}",
                              "context": context.to_string()});
        if !server.is_null() {
            cast["server"] = server;
        }
        cast
    };
    for server in ["one", "two", "two"] {
        let answers = client.ask(&[cast("cast", server.into())]);
        assert_eq!(answers[0].0, done);
        let called = &servers[usize::from(server == "two")];
        assert_eq!(called.called(), ("add".to_owned(), seen.clone()), "{server}");
    }
    assert_eq!(client.ask(&[cast("fanout", Value::Null)])[0].0, done);
    for server in &servers {
        assert_eq!(server.called(), ("add".to_owned(), seen.clone()));
    }
    // To the topic: each to one of both.
    let answers = client.ask(&[(); 6].map(|()| cast("cast", Value::Null)));
    assert!(answers.iter().all(|(answer, _)| *answer == done));
    let ran: Vec<usize> = servers.into_iter().map(|server| server.stop().len()).collect();
    assert_eq!((ran[0] + ran[1], ran[0] > 0, ran[1] > 0), (6, true, true), "{ran:?}");
    client.stop();
}

#[test]
fn python_with_python_waits_as_long_as_it_is_told() {
    let place = Place::new("");
    let server = Server::start(&place, "one");
    let mut client = Client::start(&place);
    let slow = |seconds: f64, more: Value| {
        let mut call = json!({"how": "call", "method": "slow",
                              "args": json!({"seconds": seconds}).to_string()});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let answers = client.ask(&[
        slow(3.0, json!({"timeout": 1})),
        slow(5.0, json!({"timeout": 20, "call_monitor_timeout": 2})),
        slow(5.0, json!({"timeout": 2, "call_monitor_timeout": 2})),
        json!({"how": "call", "method": "echo", "timeout": 1, "topic": unique("nobody")}),
        json!({"how": "call", "method": "echo", "timeout": 9, "topic": unique("nobody"), "at_least_once": true}),
    ]);
    let kinds: Vec<&Value> = answers.iter().map(|(answer, _)| &answer["error"]["kind"]).collect();
    let null = Value::Null;
    assert_eq!(
        kinds,
        [&json!("timeout"), &null, &json!("timeout"), &json!("timeout"), &json!("undeliverable")],
        "{answers:?}"
    );
    assert_eq!(answers[1].0, json!({"result": "\"slept\""}));
    for ((_, took), about) in answers.iter().zip([1.0, 5.0, 2.0, 1.0, 0.0]) {
        let about = Duration::from_secs_f64(about);
        assert!(*took >= about && *took < about + Duration::from_secs(4), "{answers:?}");
    }
    client.stop();
    assert_eq!(server.stop(), ["slow"; 3]);
}

#[test]
fn python_with_python_puts_notifications_back_and_shares_pools() {
    let topic = unique("notifications");
    let url = shared().url("osl");
    let listen = |pool: &str| {
        let pool = unique(pool);
        let arguments =
            ["--url", &url, "--topic", &topic, "--listen", "--requeue", "1", "--pool", &pool];
        Peer::start("reference_notify.py", &arguments)
    };
    let pools = [listen("a"), listen("b")];
    let mut sender = Peer::start("reference_notify.py", &["--url", &url, "--topic", &topic]);
    for (driver, priority) in
        [("messagingv2", "info"), ("messaging", "error"), ("messagingv2", "sample")]
    {
        sender.tell(&json!({
            "driver": driver, "priority": priority, "publisher_id": "compute.h", "event_type": "e.end",
            "payload": "{\"n\": 1.5, \"text\": \"\\u00fc\"}", "context": "{\"user\": \"u\"}",
        }));
        assert_eq!(sender.line(), json!({"event": "sent"}));
        for pool in &pools {
            for time in 1..=2 {
                let line = pool.line();
                assert_eq!(
                    (&line["priority"], &line["time"]),
                    (&priority.into(), &time.into()),
                    "{line}"
                );
                assert_eq!(
                    (&line["publisher_id"], &line["event_type"]),
                    (&"compute.h".into(), &"e.end".into())
                );
                assert_eq!(text(&line["payload"]), json!({"n": 1.5, "text": "\u{fc}"}));
                assert_eq!(text(&line["context"]), json!({"user": "u", "client_timeout": null}));
            }
        }
    }
    assert_eq!(sender.stop(), [Value::Null; 0]);
    for pool in pools {
        assert_eq!(pool.stop(), [Value::Null; 0]);
    }
}
