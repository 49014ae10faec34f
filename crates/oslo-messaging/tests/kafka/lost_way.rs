//! A member whose librdkafka client has lost its way to the group's coordinator.

#[path = "../hostile/proxy.rs"]
mod proxy;

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::{Context, Listener, Payload, Target, Transport};

use crate::support::{Counter, LIMIT, Seen, notifier, topic, transport};

/// A look at the group after 20 s, a second one after 5 s more, and the join.
const FOUND_AGAIN: Duration = Duration::from_secs(60);

/// Librdkafka takes no second address for a coordinator with the same node id.
#[test]
fn a_member_that_a_group_at_rest_does_not_have_joins_with_a_new_client() {
    let proxy = proxy::Proxy::start(kafka_testkit::shared().bootstrap(), 1);
    let (topic, direct, seen) = (topic(), transport(""), Seen::new());
    let url = format!("kafka://{}/?auto_offset_reset=earliest", proxy.bootstrap());
    let behind = Transport::for_notifications(&url).unwrap();
    proxy.mood.misdirects.store(true, Ordering::Relaxed);
    let listener = Listener::builder(&behind)
        .target(Target::new(&topic))
        .pool(&topic)
        .endpoint(Counter(seen.clone()))
        .start()
        .unwrap();
    let until = Instant::now() + LIMIT;
    while proxy.mood.misdirected.load(Ordering::Relaxed) == 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    // Time to go by the answer.
    thread::sleep(Duration::from_secs(2));
    proxy.mood.misdirects.store(false, Ordering::Relaxed);
    let sent = notifier(&direct, &topic).info(&Context::empty(), "e", Payload::null());
    sent.wait(LIMIT).unwrap();
    listener.ready(FOUND_AGAIN).unwrap();
    assert_eq!(behind.stats().consumer_rebuilt.get(), 1);
    assert_eq!(seen.wait_for(1, FOUND_AGAIN), 1);
    listener.close(LIMIT).unwrap();
}
