//! Polling instead of endpoints: `PollListener`, and notifications that are encoded already.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use oslo_messaging::{
    Context, EncodedNotification, IncomingMessage, Payload, PollListener, Priority, Target,
    Transport, driver::Retry, wire,
};

use crate::support::{LIMIT, notifier, topic, transport};

const ONE_PARTITION: &str = "topic_partitions=1&topic_replication_factor=1";
const AFTER: &str = "?commit=after_dispatch&redelivery_backoff=0.1&max_redeliveries=2";

fn listener(transport: &Transport, topic: &str, batch_size: usize) -> PollListener {
    let listener = PollListener::builder(transport)
        .target(Target::new(topic), Priority::Info)
        .pool(topic)
        .batch_size(batch_size)
        .batch_timeout(Duration::from_millis(300))
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    listener
}

fn send(topic: &str, count: i64) {
    let transport = transport("");
    let notifier = notifier(&transport, topic);
    let send = |n: i64| {
        notifier.info(&Context::empty(), "test.polled", Payload::from(serde_json::json!(n)))
    };
    let receipts: Vec<_> = (0..count).map(send).collect();
    for receipt in receipts {
        receipt.wait(LIMIT).unwrap();
    }
}

fn number(message: &IncomingMessage) -> i64 {
    message.notification().payload.as_json().parse().unwrap()
}

/// Polls until `count` were handled, each acknowledged; their numbers.
fn handle(listener: &PollListener, count: usize) -> Vec<i64> {
    let (mut seen, until) = (Vec::new(), Instant::now() + LIMIT);
    while seen.len() < count && Instant::now() < until {
        for message in listener.poll(Duration::from_millis(200)).unwrap_or_default() {
            let mut next = Some(message);
            while let Some(message) = next {
                seen.push(number(&message));
                next = message.acknowledge();
            }
        }
    }
    seen
}

#[test]
fn what_is_polled_comes_in_order_and_one_at_a_time() {
    let (transport, topic) = (transport(&format!("?{ONE_PARTITION}")), topic());
    let listener = listener(&transport, &topic, 1);
    send(&topic, 100);
    let first = listener.poll(LIMIT).unwrap().remove(0);
    // What comes after it waits for its answer, however often is asked.
    assert!(listener.poll(Duration::from_millis(500)).is_none());
    assert_eq!(number(&first), 0);
    let mut seen = Vec::new();
    let mut next = first.acknowledge();
    while let Some(message) = next {
        seen.push(number(&message));
        next = message.acknowledge();
    }
    seen.extend(handle(&listener, 99 - seen.len()));
    assert_eq!(seen, (1..100).collect::<Vec<_>>());
    listener.close(LIMIT).unwrap();
    assert!(listener.has_ended());
    assert!(listener.poll(LIMIT).is_none(), "at once");
}

#[test]
fn batches_are_answered_message_by_message_and_only_what_was_requeued_comes_again() {
    let (transport, topic) = (transport(&format!("{AFTER}&{ONE_PARTITION}")), topic());
    let listener = listener(&transport, &topic, 10);
    send(&topic, 10);
    let mut batch = listener.poll(LIMIT).unwrap();
    while batch.len() < 10 {
        batch.extend(listener.poll(LIMIT).unwrap());
    }
    for message in batch {
        match number(&message) {
            3 | 7 => message.requeue(),
            _ => assert!(message.acknowledge().is_none()),
        }
    }
    let mut again = handle(&listener, 2);
    again.sort_unstable();
    assert_eq!(again, [3, 7]);
    assert_eq!(transport.stats().redelivered.get(), 2);
    listener.close(LIMIT).unwrap();
}

#[test]
fn a_message_that_is_requeued_each_time_is_given_up_and_holds_up_its_lane_until_then() {
    let (transport, topic) = (transport(&format!("{AFTER}&{ONE_PARTITION}")), topic());
    let listener = listener(&transport, &topic, 1);
    send(&topic, 2);
    for _ in 0..3 {
        let message = listener.poll(LIMIT).unwrap().remove(0);
        assert_eq!(number(&message), 0);
        message.requeue();
    }
    assert_eq!(handle(&listener, 1), [1]);
    assert_eq!(transport.stats().given_up.get(), 1);
    listener.close(LIMIT).unwrap();
}

#[test]
fn what_is_dropped_unanswered_is_left_to_the_next_owner_and_holds_nobody_up() {
    let (transport, topic) = (transport(&format!("{AFTER}&{ONE_PARTITION}")), topic());
    let first = listener(&transport, &topic, 1);
    send(&topic, 3);
    drop(first.poll(LIMIT));
    first.close(LIMIT).unwrap();
    let second = listener(&transport, &topic, 1);
    assert_eq!(handle(&second, 3), [0, 1, 2]);
    second.close(LIMIT).unwrap();
}

#[test]
fn requeue_where_nothing_is_redelivered_is_counted_and_goes_on() {
    let (transport, topic) = (transport(&format!("?{ONE_PARTITION}")), topic());
    let listener = listener(&transport, &topic, 1);
    send(&topic, 2);
    listener.poll(LIMIT).unwrap().remove(0).requeue();
    assert_eq!(handle(&listener, 1), [1]);
    assert_eq!(transport.stats().endpoint_failures.get(), 1);
    listener.close(LIMIT).unwrap();
}

#[test]
fn what_is_encoded_elsewhere_is_sent_as_it_is_and_what_is_none_is_skipped() {
    let (transport, topic) = (transport(&format!("?{ONE_PARTITION}")), topic());
    let listener = listener(&transport, &topic, 1);
    let target = Arc::new(Target::new(&topic));
    let send = |body: Bytes| {
        let notification = EncodedNotification {
            message_id: "m-1".to_owned(),
            event_type: "e".to_owned(),
            priority: Priority::Info,
            body,
        };
        transport
            .send_notification(&target, notification, Retry::UntilTimeout)
            .wait(LIMIT)
            .unwrap();
    };
    send(Bytes::from_static(b"no notification"));
    let inner =
        r#"{"message_id": "m-1", "priority": "INFO", "payload": NaN, "_context": {"a": "b"}}"#;
    send(wire::envelope(inner));
    let message = listener.poll(LIMIT).unwrap().remove(0);
    assert_eq!(message.notification().message_id, "m-1");
    assert_eq!(message.notification().payload.as_json(), "NaN");
    assert!(message.acknowledge().is_none());
    assert_eq!(transport.stats().undecodable.get(), 1);
    listener.close(LIMIT).unwrap();
}
