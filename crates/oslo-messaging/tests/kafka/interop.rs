//! The same broker, the real oslo.messaging at the other end: every field arrives equal.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use oslo_messaging::Notification;
use serde_json::{Value, json};

use crate::support::{CORPUS, LIMIT, Seen, corpus, listen, notifier, topic, transport, url};

const INTEROP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop");

/// Longest life of a Python process.
const LONGEST_LIFE: Duration = Duration::from_secs(90);

/// A Python process that does not outlive its test, nor its time.
struct Python(Arc<Mutex<Child>>);

impl Python {
    fn start(script: &str, arguments: &[&str]) -> Self {
        static PYTHON: OnceLock<String> = OnceLock::new();
        let python = PYTHON.get_or_init(|| {
            let made = Command::new(Path::new(INTEROP).join("venv.sh"))
                .stderr(Stdio::inherit())
                .output()
                .unwrap();
            assert!(made.status.success(), "the reference could not be installed");
            String::from_utf8(made.stdout).unwrap().trim().to_owned()
        });
        let child = Command::new(python)
            .arg(Path::new(INTEROP).join(script))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let child = Arc::new(Mutex::new(child));
        let watched = Arc::downgrade(&child);
        std::thread::spawn(move || {
            std::thread::sleep(LONGEST_LIFE);
            if let Some(child) = watched.upgrade() {
                let _ = child.lock().unwrap().kill();
            }
        });
        Self(child)
    }

    /// Waits for a line of standard error, then leaves the rest to a thread.
    fn wait_for_line(&self, expected: &str) {
        let mut lines = BufReader::new(self.0.lock().unwrap().stderr.take().unwrap()).lines();
        let mut before = Vec::new();
        loop {
            match lines.next() {
                Some(line) if line.as_deref().unwrap() == expected => break,
                Some(line) => before.push(line.unwrap()),
                None => panic!("{}", before.join("\n")),
            }
        }
        std::thread::spawn(move || {
            lines.for_each(|line| eprintln!("reference: {}", line.unwrap()))
        });
    }

    fn output(self) -> String {
        let mut text = String::new();
        let mut stdout = self.0.lock().unwrap().stdout.take().unwrap();
        stdout.read_to_string(&mut text).unwrap();
        assert!(self.0.lock().unwrap().wait().unwrap().success(), "{text}");
        text
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let mut child = self.0.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// What must be equal at both ends, as one text that can be sorted.
fn fields(notification: &Notification, with_ids: bool) -> String {
    let mut fields = json!({
        "priority": notification.priority.as_str(),
        "publisher_id": notification.publisher_id,
        "event_type": notification.event_type,
        "payload": notification.payload.value().unwrap(),
        "context": notification.context.value().unwrap(),
    });
    if with_ids {
        fields["message_id"] = json!(notification.message_id);
        fields["timestamp"] = json!(notification.timestamp);
    }
    fields.to_string()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[test]
fn the_reference_reads_what_this_library_sent() {
    let (topic, sent) = (topic(), corpus());
    let count = sent.len().to_string();
    let arguments = ["--url", &url(), "--topic", &topic, "--pool", &topic, "--count", &count];
    let listener =
        Python::start("reference_listen.py", &[&arguments[..], &["--timeout", "60"]].concat());
    listener.wait_for_line("ready");
    let transport = transport("");
    let sender = notifier(&transport, &topic);
    let receipts: Vec<_> = sent.iter().map(|notification| sender.send(notification)).collect();
    receipts.into_iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
    let came: Vec<String> = listener
        .output()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap().to_string())
        .collect();
    let expected = sent.iter().map(|notification| fields(notification, true)).collect();
    assert_eq!(sorted(came), sorted(expected));
    println!("rust to python: {count} notifications, every field equal");
}

#[test]
fn this_library_reads_what_the_reference_sent() {
    for driver in ["messaging", "messagingv2"] {
        let (topic, expected, seen) = (topic(), corpus(), Seen::new());
        let transport = transport("");
        let listener = listen(&transport, &topic, &topic, &seen);
        let arguments = ["--url", &url(), "--topic", &topic, "--driver", driver];
        Python::start("reference_send.py", &[&arguments[..], &["--input", CORPUS]].concat())
            .output();
        seen.wait_for(expected.len(), LIMIT);
        listener.close(LIMIT).unwrap();
        let came = seen.all().iter().map(|notification| fields(notification, false)).collect();
        let expected: Vec<String> = expected.iter().map(|sent| fields(sent, false)).collect();
        let count = expected.len();
        assert_eq!(sorted(came), sorted(expected), "{driver}");
        println!("python ({driver}) to rust: {count} notifications, every field equal");
    }
}
