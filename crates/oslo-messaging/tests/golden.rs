//! Both directions of the wire format against what the reference wrote.
//!
//! `data/golden.jsonl` was recorded by `data/golden.py`, whose header has the command.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use oslo_messaging::{
    Context, Notification, Payload,
    wire::{self, ContextStyle},
};
use serde_json::Value;

const GOLDEN: &str = include_str!("data/golden.jsonl");

/// One line of the file.
struct Golden(Value);

impl Golden {
    fn all() -> Vec<Self> {
        GOLDEN.lines().map(|line| Self(serde_json::from_str(line).unwrap())).collect()
    }

    fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    fn record(&self) -> &str {
        self.0["record"].as_str().unwrap()
    }

    /// What a reader should find; empty where the sender had none.
    fn field(&self, name: &str) -> &str {
        match &self.0["notification"][name] {
            Value::Null => "",
            value => value.as_str().unwrap(),
        }
    }

    fn payload(&self) -> Payload {
        Payload::from_json(self.field("payload")).unwrap()
    }

    fn sent(&self, payload: Payload) -> Notification {
        let mut sent = Notification::new(
            self.field("publisher_id"),
            self.field("event_type"),
            self.field("priority").parse().unwrap(),
            payload,
            Context::from_json(self.field("context")).unwrap(),
        );
        sent.message_id = self.field("message_id").to_owned();
        sent.timestamp = self.field("timestamp").to_owned();
        sent
    }

    /// The record as we write it: the reference's bytes, but for names that the sender left out.
    fn expected(&self) -> String {
        let mut expected = self.record().to_owned();
        for name in ["publisher_id", "event_type"] {
            if self.0["notification"][name].is_null() {
                let null = format!(r#"\"{name}\": null"#);
                assert!(expected.contains(&null), "{}", self.name());
                expected = expected.replace(&null, &format!(r#"\"{name}\": \"\""#));
            }
        }
        expected
    }
}

#[test]
fn what_the_reference_wrote_is_read() {
    let golden = Golden::all();
    assert!(golden.len() >= 60);
    for golden in golden {
        let read = wire::decode(golden.record().as_bytes()).unwrap();
        assert_eq!(read, golden.sent(golden.payload()), "{}", golden.name());
        assert_eq!(read.payload.as_json(), golden.field("payload"), "{}", golden.name());
        assert_eq!(read.context.as_json(), golden.field("context"), "{}", golden.name());
    }
}

#[test]
fn what_is_written_is_what_the_reference_wrote() {
    for golden in Golden::all() {
        let written = wire::encode(&golden.sent(golden.payload()), ContextStyle::Nested);
        assert_eq!(written, golden.expected(), "{}", golden.name());
    }
}

#[test]
fn payloads_with_unescaped_characters_are_written_as_the_reference_writes_them() {
    let mut seen = 0;
    for golden in Golden::all() {
        let Some(characters) = golden.0["payload_utf8"].as_str() else { continue };
        seen += usize::from(!characters.is_ascii());
        let payload = Payload::from_json(characters).unwrap();
        let written = wire::encode(&golden.sent(payload), ContextStyle::Nested);
        assert_eq!(written, golden.expected(), "{}", golden.name());
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn other_forms_of_what_the_reference_wrote_are_read() {
    for golden in Golden::all() {
        let sent = golden.sent(golden.payload());
        for style in [ContextStyle::Nested, ContextStyle::Flattened] {
            for bytes in [wire::encode(&sent, style), wire::encode_bare(&sent, style)] {
                let read = wire::decode_flattened(&bytes).unwrap();
                assert_eq!(read, sent, "{} {style:?}", golden.name());
            }
        }
    }
}

#[test]
fn every_payload_is_read_as_a_value_or_refused_with_its_place() {
    let refused: Vec<_> = Golden::all()
        .into_iter()
        .filter(|golden| golden.payload().value().is_err())
        .map(|golden| golden.name().to_owned())
        .collect();
    assert_eq!(
        refused,
        [
            "payload: NaN alone",
            "payload: NaN in an object",
            "payload: Infinity",
            "payload: -Infinity",
            "payload: integer of 400 digits",
            "payload: object 500 deep",
            "payload: NaN by messaging",
            "all at once",
        ]
    );
}
