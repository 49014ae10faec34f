//! Records that are no notifications, and endpoints that fail.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Case,
    stage::{Collect, Outcome, Seen, Stage, equal, listener},
};
use crate::{
    message::{Context, Notification, Payload, Priority},
    notify::endpoint_fn,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Nothing, records_that_are_no_notifications_are_skipped),
        case!(Nothing, an_endpoint_that_fails_or_panics_does_not_stop_the_listener),
    ]
}

/// What no reader can make a notification of.
const POISON: [&[u8]; 8] = [
    b"",
    b"not json",
    b"[1, 2]",
    b"{\"oslo.version\": \"3.0\", \"oslo.message\": \"{}\"}",
    b"{\"oslo.version\": \"2.0\", \"oslo.message\": 5}",
    b"{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"payload\\\": 1}\"}",
    b"{\"oslo.version\": \"2.0\"",
    b"\xff\xfe\x00",
];

fn records_that_are_no_notifications_are_skipped(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let listener = stage.listen(transport, &topic, &topic, &seen)?;
    let notifier = stage.notifier(transport, &topic)?;
    let mut sent = Vec::new();
    for round in 0..2 {
        for body in POISON {
            let (key, body) = (format!("{round}"), Bytes::from_static(body));
            stage.send_bytes(&topic, Some(&key), Vec::new(), body).wait(stage.limit())?;
            sent.extend(stage.send(&notifier, 2)?);
        }
    }
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)?;
    equal("counted as undecodable", transport.stats().undecodable.get(), 2 * POISON.len() as u64)
}

fn an_endpoint_that_fails_or_panics_does_not_stop_the_listener(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let faulty = endpoint_fn(Priority::ALL, |notification: &Notification| {
        match notification.event_type.as_str() {
            "case.fails" => Err("on purpose".into()),
            "case.panics" => panic!("on purpose"),
            _ => Ok(()),
        }
    });
    let builder = listener(transport, &topic, &topic).endpoint(faulty);
    let listener = stage.ready(builder.endpoint(Collect(Arc::clone(&seen))))?;
    let notifier = stage.notifier(transport, &topic)?;
    let mut sent = Vec::new();
    for event_type in ["case.fails", "case.panics", "case.works", "case.fails", "case.works"] {
        let receipt = notifier.info(&Context::empty(), event_type, Payload::null());
        sent.push(stage.id_of(&receipt)?);
    }
    // The second endpoint gets each of them.
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)?;
    equal("counted as failures", transport.stats().endpoint_failures.get(), 3)
}
