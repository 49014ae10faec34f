//! SIGHUP: a real process reads its configuration again.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use kafka_testkit::{Kafka, Listener, Operation, Resource, unique};
use support::{Folder, oslomsg};

const LIMIT: Duration = Duration::from_secs(30);

/// The process, with the lines of its standard error as they come.
struct Sender {
    child: Child,
    told: Receiver<String>,
}

impl Sender {
    fn start(args: &[&str]) -> Self {
        let mut child = oslomsg(args).stdin(Stdio::piped()).spawn().unwrap();
        let told = lines(child.stderr.take().unwrap());
        Self { child, told }
    }

    fn send(&mut self, event_type: &str) {
        let line = format!(
            r#"{{"event_type": "{event_type}", "priority": "info", "payload": {{"a": 1}}}}"#
        );
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn hang_up(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// All lines until one has these words, with it.
    #[track_caller]
    fn until(&self, words: &str) -> String {
        let mut all = String::new();
        loop {
            let line =
                self.told.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no {words}: {all}"));
            all += &format!("{line}\n");
            if line.contains(words) {
                return all;
            }
        }
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(20));
        };
        // One line was none.
        assert_eq!(status.code(), Some(3));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    told
}

#[test]
fn send_takes_other_rules_and_names_what_needs_a_restart_without_secrets() {
    let folder = Folder::new("reload");
    let rules = folder.file("rules.yaml", "a: {noop: {}}\n");
    let write = |more: &str| {
        let text = format!(
            "[oslo_messaging_notifications]\ntransport_url = kafka://127.0.0.1:1/\n\
             routing_config = {rules}\n{more}"
        );
        folder.file("service.conf", &text)
    };
    let conf =
        write("[oslo_messaging_kafka]\nclient_id = one\nssl_client_key_password = hunter2\n");
    let args = ["--verbose", "--config-file", &conf, "send", "--input", "-", "--driver", "routing"];
    let mut sender = Sender::start(&args);
    sender.send("before.the.signal");
    // What is no notification is told, and what came before it was sent then.
    sender.line("nonsense");
    sender.until("stdin:2");
    std::fs::write(&rules, "a: {log: {}}\n").unwrap();
    write(
        "retry = 7\n[oslo_messaging_kafka]\nclient_id = two\nssl_client_key_password = hunter3\n",
    );
    sender.hang_up();
    let told = sender.until("changes that count now");
    assert!(!told.contains("before.the.signal"), "{told}");
    assert!(told.contains("[oslo_messaging_notifications] retry = -1 -> 7"), "{told}");
    assert!(told.contains("client_id = one -> two needs a restart"), "{told}");
    assert!(told.contains("ssl_client_key_password needs a restart"), "{told}");
    assert!(!told.contains("hunter"), "{told}");
    sender.send("after.the.signal");
    sender.until("after.the.signal");

    write("retry = soon\n");
    sender.hang_up();
    let told = sender.until("the old one counts");
    assert!(told.contains("retry") && told.contains("soon"), "{told}");
    sender.send("once.more");
    sender.until("once.more");
    sender.end();
}

#[test]
fn a_group_takes_another_password_from_its_file() {
    let kafka = Kafka::secure();
    let (user, topic, group) = (unique("tess"), unique("open"), unique("open"));
    kafka.set_password(&user, "right");
    kafka.allow(&user, Resource::Topics("open"), Operation::All);
    kafka.allow(&user, Resource::Groups("open"), Operation::All);
    let folder = Folder::new("password");
    let write = |password: &str| {
        let at = kafka.listener(Listener::Sasl);
        let text = format!(
            "[oslo_messaging_notifications]\ntransport_url = kafka://{user}:{password}@{at}/\n\
             [oslo_messaging_kafka]\nsecurity_protocol = SASL_PLAINTEXT\n\
             sasl_mechanism = SCRAM-SHA-256\n"
        );
        folder.file("service.conf", &text)
    };
    let conf = write("wrong");
    let args = [
        "--verbose",
        "--config-file",
        &conf,
        "tail",
        "--group",
        &group,
        &topic,
        "--priority",
        "info",
    ];
    let tail = Sender::start(&args);
    tail.until("user or password");
    write("right");
    tail.hang_up();
    let told = tail.until("changes that count now: 1");
    assert!(!told.contains("wrong") && !told.contains("right"), "{told}");
    tail.until("joined the group");
}
