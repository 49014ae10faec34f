//! `bench count WHAT PASSES`: what the library does to each notification, without a broker, so many
//! times over the corpus; and what `serde_json` does to come to the same.
//!
//! `counts.rs` runs this under callgrind.

use std::{hint::black_box, sync::mpsc};

use oslo_messaging::{
    Context, Listener, Notification, NotificationFilter, Notifier, Payload, Priority, Target,
    Transport, endpoint_fn,
    wire::{self, ContextStyle},
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::work::{LIMIT, corpus};

/// What is counted, in the order of the table: its name, and what it is.
pub(crate) const KINDS: [(&str, &str); 8] = [
    ("encode", "wire::encode; payload and context are text"),
    ("encode-value", "a serde_json::Value made a payload, and wire::encode"),
    ("decode", "wire::decode"),
    ("filter", "a filter with rules for publisher, event type, context and payload"),
    ("dispatch", "sent and dispatched on fake:, with encoding and decoding"),
    ("json-encode", "serde_json: inner object (payload as RawValue), then envelope"),
    ("json-encode-value", "serde_json: inner object (payload as Value), then envelope"),
    ("json-decode", "serde_json: envelope to Value, then inner object to Value"),
];

/// The inner object as a program without this library would write it.
#[derive(Serialize)]
struct Inner<'a, P> {
    message_id: &'a str,
    publisher_id: &'a str,
    event_type: &'a str,
    priority: &'a str,
    payload: &'a P,
    timestamp: &'a str,
    #[serde(rename = "_context")]
    context: &'a P,
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(rename = "oslo.version")]
    version: &'a str,
    #[serde(rename = "oslo.message")]
    message: &'a str,
}

/// Does one of [`KINDS`] `passes` times to the whole corpus. `false`: there is no such kind.
pub(crate) fn run(kind: &str, passes: usize) -> bool {
    let corpus = corpus();
    // Everything is made before, whatever is counted: it falls out of the difference.
    let bodies: Vec<_> = corpus.iter().map(|n| wire::encode(n, ContextStyle::Nested)).collect();
    let values: Vec<(Value, Value)> = corpus.iter().map(values).collect();
    let raws: Vec<(Box<RawValue>, Box<RawValue>)> = corpus.iter().map(raws).collect();
    let filter = filter();
    let each = corpus.iter().zip(&bodies).zip(values.iter().zip(&raws));
    if kind == "dispatch" {
        dispatch(&corpus, passes);
        return true;
    }
    for _ in 0..passes {
        for ((notification, body), (value, raw)) in each.clone() {
            match kind {
                "encode" => drop(black_box(wire::encode(notification, ContextStyle::Nested))),
                "encode-value" => encode_value(notification, value),
                "decode" => drop(black_box(wire::decode(body).expect("the corpus is well-formed"))),
                "filter" => {
                    black_box(filter.matches(notification));
                }
                "json-encode" => json_encode(notification, &*raw.0, &*raw.1),
                "json-encode-value" => json_encode(notification, &value.0, &value.1),
                "json-decode" => json_decode(body),
                _ => return false,
            }
        }
    }
    true
}

fn values(notification: &Notification) -> (Value, Value) {
    let payload = notification.payload.value().expect("the corpus has no NaN");
    (payload, notification.context.value().expect("the corpus has no NaN"))
}

fn raws(notification: &Notification) -> (Box<RawValue>, Box<RawValue>) {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("the corpus is JSON");
    (raw(notification.payload.as_json()), raw(notification.context.as_json()))
}

fn filter() -> NotificationFilter {
    NotificationFilter::builder()
        .publisher_id("^compute.*")
        .event_type(r"^compute\.instance\..*\.(start|end)$")
        .context("project_id", "^[0-9a-f]+$")
        .payload("state", "^(active|building)$")
        .build()
        .expect("the expressions are valid")
}

/// As a service does that has a tree, not a text.
fn encode_value(notification: &Notification, (payload, context): &(Value, Value)) {
    let mut made = notification.clone();
    made.payload = Payload::serialize(payload).expect("a tree has a JSON form");
    made.context = Context::serialize(context).expect("a context is an object");
    drop(black_box(wire::encode(&made, ContextStyle::Nested)));
}

fn json_encode<P: Serialize + ?Sized>(notification: &Notification, payload: &P, context: &P) {
    let inner = Inner {
        message_id: &notification.message_id,
        publisher_id: &notification.publisher_id,
        event_type: &notification.event_type,
        priority: notification.priority.as_upper_str(),
        payload: &payload,
        timestamp: &notification.timestamp,
        context: &context,
    };
    let message = serde_json::to_string(&inner).expect("it has a JSON form");
    let envelope = Envelope { version: "2.0", message: &message };
    drop(black_box(serde_json::to_vec(&envelope).expect("it has a JSON form")));
}

fn json_decode(body: &[u8]) {
    let envelope: Value = serde_json::from_slice(body).expect("the corpus is JSON");
    let inner = envelope["oslo.message"].as_str().expect("it is enveloped");
    let inner: Value = serde_json::from_str(inner).expect("the corpus is JSON");
    drop(black_box((envelope, inner)));
}

fn dispatch(corpus: &[Notification], passes: usize) {
    let transport = Transport::for_notifications("fake:").expect("the URL is right");
    let notifier = Notifier::builder(&transport)
        .publisher_id("compute.bench")
        .driver("messagingv2")
        .topic("counted")
        .build()
        .expect("the notifier's settings are right");
    let (seen, arrivals) = mpsc::channel();
    let endpoint = endpoint_fn([Priority::Info], move |notification: &Notification| {
        seen.send(notification.event_type.len()).map_err(Into::into)
    });
    let listener = Listener::builder(&transport)
        .target(Target::new("counted"))
        .endpoint(endpoint)
        .start()
        .expect("the listener's settings are right");
    for _ in 0..passes {
        for n in corpus {
            drop(notifier.info(&n.context, &n.event_type, n.payload.clone()));
        }
        for _ in corpus {
            arrivals.recv_timeout(LIMIT).expect("every notification comes");
        }
    }
    listener.close(LIMIT).expect("an idle listener ends");
}
