//! Records as brokers may hand them over, through a listener, its workers and its dispatcher.
//!
//! Each is handled or dead-lettered, once, and the next one comes. The input is a text, so that
//! the corpus can be read: the first line is the mode, each further line a record.
//!
//! ```text
//! after                                  or before: see the option `commit`
//! k1048576 h10000 n3 t-1 T249|{"oslo..   key and header counts, header name, timestamp, topic
//! k0                                     no `|`: a null value
//! ```

#![no_main]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use oslo_messaging::{
    Endpoint, EndpointError, Listener, Notification, Priority, Target,
    fuzzing::{Feed, Raw},
    wire,
};

const MOST_RECORDS: usize = 32;
/// Of one record.
const MOST_HEADERS: usize = 10_000;
const LONGEST_KEY: usize = 1 << 20;

fn record(line: &[u8]) -> Raw {
    let mut parts = line.splitn(2, |byte| *byte == b'|');
    let words = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let mut raw = Raw { body: parts.next().map(<[u8]>::to_vec), ..Raw::default() };
    let (mut headers, mut name) = (0, "\u{fffd}".to_owned());
    for word in words.split(' ') {
        let Some((kind, count)) = word.split_at_checked(1) else { continue };
        let number: i64 = count.parse().unwrap_or(0);
        let size = usize::try_from(number).unwrap_or(0);
        match kind {
            "k" => raw.key = Some(vec![0xff; size.min(LONGEST_KEY)]),
            "h" => headers = size.min(MOST_HEADERS),
            "n" => name = count.to_owned(),
            "t" => raw.timestamp_millis = Some(number),
            "T" => raw.topic = "t".repeat(size.min(249)),
            _ => {}
        }
    }
    raw.headers = (0..headers).map(|_| (name.clone(), b"\xff\x00".to_vec())).collect();
    raw
}

/// Fails with what says so.
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn fails(notification: &Notification) -> bool {
        notification.event_type.starts_with("fail")
    }
}

impl Endpoint for Seen {
    fn priorities(&self) -> &[Priority] {
        &Priority::ALL
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        self.0.lock().unwrap().push(notification.message_id.clone());
        if Self::fails(notification) { Err("as it says".into()) } else { Ok(()) }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let redelivers = lines.next() == Some(b"after");
    let mut records: Vec<Raw> = lines.take(MOST_RECORDS).map(record).collect();
    // What comes last must arrive whatever was before it.
    let last = br#"{"message_id": "last", "priority": "info", "_context": {}}"#;
    records.push(Raw { body: Some(last.to_vec()), ..Raw::default() });

    let (mut handled, mut dead) = (Vec::new(), Vec::new());
    for (offset, raw) in records.iter().enumerate() {
        match wire::decode(raw.body.as_deref().unwrap_or_default()) {
            Err(_) => dead.push((offset as i64, 0)),
            Ok(notification) => {
                let fails = Seen::fails(&notification);
                let rounds = if fails && redelivers { 2 } else { 1 };
                handled.extend(vec![notification.message_id; rounds]);
                if fails {
                    dead.push((offset as i64, rounds as u32));
                }
            }
        }
    }
    let undecodable = dead.iter().filter(|(_, attempts)| *attempts == 0).count();

    let seen = Arc::new(Mutex::new(Vec::new()));
    let feed = Feed::new(records, redelivers);
    let transport = feed.transport();
    let listener = Listener::builder(&transport)
        .target(Target::new("notifications"))
        .endpoint(Seen(Arc::clone(&seen)))
        .start()
        .expect("a listener starts");
    listener.close(Duration::from_secs(10)).expect("everything is settled");
    assert_eq!(*seen.lock().unwrap(), handled);
    assert_eq!(feed.dead_letters(), dead);
    assert_eq!(transport.stats().undecodable.get(), undecodable as u64);
});
