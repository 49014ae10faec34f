//! What a sender is told, and what arrives.

use std::thread;

use bytes::Bytes;
use serde_json::json;

use super::{
    Case,
    stage::{Fault, Outcome, Seen, Stage, ensure, equal, listener},
};
use crate::{
    Error,
    driver::{Settled, Subscribe, Target, Want},
    error::{self, Cause, Undelivered},
    message::{Context, Notification, Payload, Priority},
    notify::{Notifier, endpoint_fn},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Nothing, all_seven_priorities_arrive_as_they_were_sent),
        case!(Nothing, topics_and_priorities_are_channels_of_their_own),
        case!(Nothing, a_notifier_of_two_topics_is_confirmed_by_both),
        case!(Nothing, every_receipt_resolves_once),
        case!(Headers, key_headers_and_body_travel_byte_for_byte),
        case!(Nothing, a_large_notification_arrives_whole),
        case!(SizeLimit, what_is_too_large_is_refused_and_the_next_one_goes_through),
        case!(UnknownTopics, an_unknown_topic_is_named_and_others_go_through),
    ]
}

fn all_seven_priorities_arrive_as_they_were_sent(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let listener = stage.listen(transport, &topic, &topic, &seen)?;
    let notifier = stage.notifier(transport, &topic)?;
    let mut sent = Vec::new();
    for (number, priority) in Priority::ALL.into_iter().enumerate() {
        let payload = Payload::from(json!({"n": number, "s": "\u{e9}\u{1f600}\"\\", "l": [null]}));
        let context = Context::from_json(r#"{"user": "u-1", "is_admin": false, "roles": []}"#)?;
        let event_type = format!("case.{priority}");
        let notification = Notification::new("host.1", &*event_type, priority, payload, context);
        notifier.send(&notification).wait(stage.limit())?;
        sent.push(notification);
    }
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    let came = seen.all();
    equal("how many came", came.len(), sent.len())?;
    for sent in &sent {
        let found = came.iter().find(|found| found.message_id == sent.message_id);
        let found = found.ok_or_else(|| Fault::from(format!("{} did not come", sent.priority)))?;
        equal("priority", found.priority, sent.priority)?;
        equal("publisher_id", &found.publisher_id, &sent.publisher_id)?;
        equal("event_type", &found.event_type, &sent.event_type)?;
        equal("timestamp", &found.timestamp, &sent.timestamp)?;
        equal("payload", found.payload.value()?, sent.payload.value()?)?;
        equal("context", found.context.value()?, sent.context.value()?)?;
    }
    Ok(())
}

fn topics_and_priorities_are_channels_of_their_own(stage: &Stage) -> Outcome {
    let (transport, seen) = (stage.transport(), Seen::new());
    let (first, second, third) = (stage.unique("a"), stage.unique("b"), stage.unique("c"));
    let into = std::sync::Arc::clone(&seen);
    let endpoint = endpoint_fn([Priority::Info, Priority::Audit], move |notification| {
        into.add(notification);
        Ok(())
    });
    let builder = listener(transport, &first, &first).target(Target::new(&second));
    let listener = stage.ready(builder.endpoint(endpoint))?;
    let mut wanted = Vec::new();
    for topic in [&third, &first, &second] {
        let notifier = stage.notifier(transport, topic)?;
        // What is not wanted goes first: it would be there when the last one is.
        for priority in [Priority::Error, Priority::Sample, Priority::Info, Priority::Audit] {
            let receipt = notifier.notify(priority, &Context::empty(), "case.a", Payload::null());
            let id = stage.id_of(&receipt)?;
            if topic != &third && matches!(priority, Priority::Info | Priority::Audit) {
                wanted.push(id);
            }
        }
    }
    seen.wait_for(wanted.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&wanted)
}

fn a_notifier_of_two_topics_is_confirmed_by_both(stage: &Stage) -> Outcome {
    let (transport, topics) = (stage.transport(), [stage.unique("a"), stage.unique("b")]);
    let seen = [Seen::new(), Seen::new()];
    let first = stage.listen(transport, &topics[0], &topics[0], &seen[0])?;
    let second = stage.listen(transport, &topics[1], &topics[1], &seen[1])?;
    let notifier = Notifier::builder(transport)
        .publisher_id("conformance")
        .driver("messagingv2")
        .topic(&topics[0])
        .topic(&topics[1])
        .build()?;
    let sent = stage.send(&notifier, 1)?;
    equal("records confirmed", transport.stats().delivered.get(), 2)?;
    for seen in &seen {
        seen.wait_for(1, stage.limit())?;
    }
    first.close(stage.limit())?;
    second.close(stage.limit())?;
    seen.iter().try_for_each(|seen| seen.is_exactly(&sent))
}

fn every_receipt_resolves_once(stage: &Stage) -> Outcome {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let transport = stage.client("", "")?;
    let notifier = stage.notifier(&transport, &stage.unique("topic"))?;
    thread::scope(|scope| {
        let send = || stage.send_burst(&notifier, EACH);
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(send)).collect();
        threads.into_iter().try_for_each(|thread| {
            let sent = thread.join().map_err(|_| Fault::from("a sender panicked"))??;
            equal("receipts", sent.len(), EACH)
        })
    })?;
    transport.close(stage.limit())?;
    let receipt = notifier.info(&Context::empty(), "case.late", Payload::null());
    let (first, again) =
        (failures(&receipt.wait(stage.limit())), failures(&receipt.wait(stage.limit())));
    equal("failures of what was sent after the close", first.len(), 1)?;
    equal("what a receipt says when asked again", again, first)?;
    let stats = transport.stats();
    let found = (stats.sent.get(), stats.delivered.get(), stats.not_delivered.get());
    let all = (THREADS * EACH) as u64;
    equal("sent, delivered and not delivered", found, (all + 1, all, 1))?;
    equal("unknown", stats.unknown.get(), 0)
}

fn key_headers_and_body_travel_byte_for_byte(stage: &Stage) -> Outcome {
    let (transport, topic) = (stage.transport(), stage.unique("topic"));
    let mut request = Subscribe {
        targets: vec![(Target::new(&topic), Priority::Info)],
        pool: None,
        batch_size: 1,
        requeue: false,
        raw: false,
    };
    request.pool = transport.driver().capabilities().pools.then(|| topic.clone());
    let subscription = transport.driver().subscribe(request)?;
    subscription.ready(stage.limit())?;
    let body = Bytes::from((0..=255).collect::<Vec<u8>>());
    let headers = vec![
        ("traceparent".to_owned(), Bytes::from_static(b"00-1-2-01")),
        ("empty".to_owned(), Bytes::new()),
    ];
    stage.send_bytes(&topic, Some("key-1"), headers.clone(), body.clone()).wait(stage.limit())?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let other = std::sync::Arc::clone(&subscription);
    // On a thread of its own, because a driver that loses the record would never return.
    thread::spawn(move || {
        let mut batch = Vec::new();
        let came = other.recv(&mut batch, Want::run(1));
        let _ = sender.send(came.then_some(batch));
    });
    let batch = receiver.recv_timeout(stage.limit()).map_err(|_| "no record came")?;
    let batch = batch.ok_or("recv said that nothing will come")?;
    equal("records", batch.len(), 1)?;
    let token = batch[0].token;
    subscription
        .advance(&[token], &[Settled { token, done: true, took: std::time::Duration::ZERO }]);
    subscription.close(stage.limit())?;
    equal("body", batch[0].body.as_ref(), Some(&body))?;
    equal("key", batch[0].key.as_deref(), Some(&b"key-1"[..]))?;
    for header in &headers {
        ensure(batch[0].headers.contains(header), || format!("no header {header:?}"))?;
    }
    ensure(batch[0].origin.topic.contains(&topic), || format!("origin {}", batch[0].origin))
}

fn a_large_notification_arrives_whole(stage: &Stage) -> Outcome {
    const SIZE: usize = 700_000;
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let listener = stage.listen(transport, &topic, &topic, &seen)?;
    let payload = Payload::from(json!("x".repeat(SIZE)));
    let notifier = stage.notifier(transport, &topic)?;
    notifier.info(&Context::empty(), "case.large", payload.clone()).wait(stage.limit())?;
    seen.wait_for(1, stage.limit())?;
    listener.close(stage.limit())?;
    let came = seen.all();
    ensure(came[0].payload.value()? == payload.value()?, || "the payload differs".to_owned())
}

fn what_is_too_large_is_refused_and_the_next_one_goes_through(stage: &Stage) -> Outcome {
    let transport = stage.transport();
    let notifier = stage.notifier(transport, &stage.unique("topic"))?;
    let limit_bytes = stage.subject().size_limit.unwrap_or(0);
    let payload = Payload::from(json!("x".repeat(limit_bytes + 1)));
    let receipt = notifier.info(&Context::empty(), "case.too.large", payload);
    let failed = failures(&receipt.wait(stage.limit()));
    let causes: Vec<_> = failed.iter().map(|failure| (failure.cause, failure.outcome)).collect();
    equal("failure", causes, vec![(Cause::TooLarge, error::Outcome::NotDelivered)])?;
    let (text, size) = (failed[0].to_string(), failed[0].size_bytes.to_string());
    ensure(text.contains("case.too.large") && text.contains(&size), || {
        format!("\"{text}\" does not say what and how large")
    })?;
    stage.send(&notifier, 1)?;
    Ok(())
}

fn an_unknown_topic_is_named_and_others_go_through(stage: &Stage) -> Outcome {
    let query = stage.subject().unknown_topics.clone().unwrap_or_default();
    let strict = stage.client("", &query)?;
    let (known, unknown) = (stage.unique("known"), stage.unique("unknown"));
    stage.send(&stage.notifier(stage.transport(), &known)?, 1)?;
    let receipt = stage.notifier(&strict, &unknown)?;
    let receipt = receipt.info(&Context::empty(), "case.unknown", Payload::null());
    let failed = failures(&receipt.wait(stage.limit()));
    let causes: Vec<_> = failed.iter().map(|failure| (failure.cause, failure.outcome)).collect();
    equal("failure", causes, vec![(Cause::UnknownTopic, error::Outcome::NotDelivered)])?;
    ensure(failed[0].topic.contains(&unknown), || format!("it names topic {}", failed[0].topic))?;
    stage.send(&stage.notifier(&strict, &known)?, 1)?;
    Ok(())
}

/// The failures of a receipt; none when it was confirmed.
pub(super) fn failures(result: &Result<(), Error>) -> Vec<Undelivered> {
    match result {
        Err(Error::Undelivered(failures)) => failures.clone(),
        _ => Vec::new(),
    }
}
