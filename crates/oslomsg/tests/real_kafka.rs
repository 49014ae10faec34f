//! `send` and `tail` on a real Apache Kafka, and `send` when it dies.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::process::{Command, Output};

use kafka_testkit::{Kafka, unique};
use serde_json::Value;

/// Runs the real binary; `--timeout` bounds each call.
fn oslomsg(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oslomsg"))
        .args(["--transport-url", url, "--timeout", "20"])
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_send_was_given_tail_gives_back_and_a_dead_broker_is_never_a_success() {
    let kafka = Kafka::single();
    let (url, topic) = (kafka.transport_url(), unique("cli"));
    let payloads = [
        r#"{"answer": 42, "deep": [{"a": [null, true, 1.5e-7]}], "text": "čeština 🦀 \"quoted\""}"#,
        r#""only a string""#,
        r#"[123456789012345678901234567890, -0.0]"#,
    ];
    for payload in payloads {
        let sent = oslomsg(&url, &["send", "--topic", &topic, "--", payload]);
        assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    }
    let tail = ["tail", &topic, "-o", "beginning", "-e", "--output", "jsonl"];
    let read = oslomsg(&url, &tail);
    assert_eq!(read.status.code(), Some(0), "{}", text(&read.stderr));
    let mut came: Vec<Value> = text(&read.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"].clone())
        .collect();
    let mut expected: Vec<Value> =
        payloads.iter().map(|payload| serde_json::from_str(payload).unwrap()).collect();
    came.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(came, expected);

    kafka.kill(1);
    let begun = std::time::Instant::now();
    let failed = Command::new(env!("CARGO_BIN_EXE_oslomsg"))
        .args(["--transport-url", &url, "--timeout", "4", "send", "--topic", &topic, "1"])
        .output()
        .unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(matches!(failed.status.code(), Some(69 | 75)), "{failed:?}");
    assert!(text(&failed.stderr).contains("not delivered"), "{}", text(&failed.stderr));
    assert_eq!(text(&failed.stdout), "", "no id of what was not delivered");
}

#[test]
fn doctor_goes_from_the_configuration_to_the_topic_and_says_where_it_fails() {
    let kafka = Kafka::single();
    let (url, topic) = (kafka.transport_url(), unique("doctor"));
    let doctor = ["doctor", "--topic", &topic];
    let new = oslomsg(&url, &doctor);
    assert_eq!(new.status.code(), Some(0), "{}", text(&new.stdout));
    assert!(text(&new.stdout).contains("the first use makes them"), "{}", text(&new.stdout));

    let sent = oslomsg(&url, &["doctor", "--topic", &topic, "--send"]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stdout));
    assert!(text(&sent.stdout).contains("one notification was confirmed"));

    let after = text(&oslomsg(&url, &doctor).stdout);
    for words in [
        &format!("ok    topic          {topic}.info: 4 partitions, 1 copies, may write, may read"),
        "ok    group          oslo_messaging_consumer: may read and commit",
        "ok    clock          no record is from the future",
        "all is well",
    ] {
        assert!(after.contains(words), "{words}\n{after}");
    }

    // Another service on the port, another protocol, and nothing at all.
    let tls = oslomsg(&format!("{url}?security_protocol=SSL"), &doctor);
    assert_eq!(tls.status.code(), Some(69), "{}", text(&tls.stdout));
    assert!(text(&tls.stdout).contains("FAIL  TLS"), "{}", text(&tls.stdout));
    let name = oslomsg("kafka://no-such-host.invalid/", &doctor);
    assert_eq!(name.status.code(), Some(69));
    assert!(text(&name.stdout).contains("FAIL  name lookup"), "{}", text(&name.stdout));
    let port = oslomsg("kafka://127.0.0.1:1/", &doctor);
    assert_eq!(port.status.code(), Some(69));
    assert!(text(&port.stdout).contains("FAIL  TCP"), "{}", text(&port.stdout));
    let option = oslomsg(&format!("{url}?acks=some"), &doctor);
    assert_eq!(option.status.code(), Some(78), "{}", text(&option.stdout));
    assert!(text(&option.stdout).contains("FAIL  transport URL"), "{}", text(&option.stdout));
}
