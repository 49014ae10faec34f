//! Listeners that are closed while their broker is well, dead or frozen: brokers of their own.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kafka_testkit::Kafka;
use oslo_messaging::{Error, Listener, Transport};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::{LIMIT, Load, Seen, listen, notifier, topic};

/// How long a close may take beyond its deadline, on a busy machine.
const SLACK: Duration = Duration::from_secs(2);
/// After its coordinator is back, a group that was left has so long to know.
const SOON: Duration = Duration::from_secs(10);

fn to(kafka: &Kafka, query: &str) -> Transport {
    Transport::for_notifications(&format!("{}{query}", kafka.transport_url())).unwrap()
}

/// Closes within the deadline, and says how long it took.
fn close_in_time(listener: &Listener, deadline: Duration) -> (Result<(), Error>, Duration) {
    let begun = Instant::now();
    let closed = listener.close(deadline);
    let took = begun.elapsed();
    assert!(took < deadline + SLACK, "close took {took:?} of {deadline:?}: {closed:?}");
    (closed, took)
}

/// Waits until the group has so many members; how long that took.
fn wait_for_members(kafka: &Kafka, group: &str, count: usize, limit: Duration) -> Duration {
    let begun = Instant::now();
    let client: BaseConsumer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    loop {
        let groups = client.fetch_group_list(Some(group), Duration::from_secs(5));
        let members =
            groups.map(|all| all.groups().iter().map(|g| g.members().len()).sum::<usize>());
        match members {
            Ok(members) if members == count => return begun.elapsed(),
            other => assert!(begun.elapsed() < limit, "{other:?} members, not {count}"),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// A new member gets its partitions at once, as nobody else is in the group.
fn joins_within(limit: Duration, kafka: &Kafka, topic: &str, seen: &Arc<Seen>) -> Duration {
    let transport = to(kafka, "");
    let begun = Instant::now();
    let listener = listen(&transport, topic, topic, seen);
    let took = begun.elapsed();
    assert!(took < limit, "a new member waited {took:?} for its partitions");
    listener.close(LIMIT).unwrap();
    took
}

#[test]
fn a_listener_closes_in_time_whatever_its_broker_does_and_its_group_hears_of_it_later() {
    let kafka = Kafka::single();
    let deadline = Duration::from_secs(4);
    type Step = fn(&Kafka);
    let cases: [(&str, Step, Step); 3] = [
        ("up", |_| {}, |_| {}),
        ("frozen", |kafka| kafka.pause(1), |kafka| kafka.resume(1)),
        ("dead", |kafka| kafka.kill(1), |kafka| kafka.start(1)),
    ];
    for (name, hurt, heal) in cases {
        let (topic, seen) = (topic(), Seen::new());
        // Whoever is not told of the member's leave knows of it after a minute.
        let transport = to(&kafka, "?session_timeout=60");
        let listener = listen(&transport, &topic, &topic, &seen);
        wait_for_members(&kafka, &topic, 1, LIMIT);
        hurt(&kafka);
        let (closed, took) = close_in_time(&listener, deadline);
        closed.unwrap();
        drop(listener);
        // Longer than librdkafka would hang on.
        thread::sleep(if name == "up" { Duration::ZERO } else { Duration::from_secs(3) });
        heal(&kafka);
        let left = wait_for_members(&kafka, &topic, 0, SOON);
        let joined = joins_within(SOON, &kafka, &topic, &seen);
        println!(
            "broker {name}: closed in {took:?}, group left after {left:?}, joined in {joined:?}"
        );
    }
}

#[test]
fn a_broker_that_dies_or_freezes_during_the_close_does_not_hold_it_up() {
    let kafka = Kafka::single();
    let deadline = Duration::from_secs(4);
    for (freezes, after) in [(true, 0), (true, 5), (false, 1)] {
        let (topic, seen) = (topic(), Seen::new());
        let transport = to(&kafka, "?session_timeout=6");
        let listener = listen(&transport, &topic, &topic, &seen);
        let took = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(after));
                if freezes { kafka.pause(1) } else { kafka.kill(1) }
            });
            close_in_time(&listener, deadline).1
        });
        if freezes {
            kafka.resume(1)
        } else {
            kafka.start(1)
        }
        // What the broker had not heard before its end it learns by the session's.
        let left = wait_for_members(&kafka, &topic, 0, LIMIT);
        println!("freezes: {freezes}, {after} ms: closed in {took:?}, left after {left:?}");
    }
}

/// A commit is under way when the broker goes: it is the worst moment for librdkafka.
#[test]
fn a_close_with_a_commit_under_way_is_in_time_and_what_it_lost_is_counted() {
    let kafka = Kafka::single();
    for freezes in [true, false] {
        let (topic, seen) = (topic(), Seen::new());
        let (sending, listening) = (
            to(&kafka, "?connect_timeout=60&delivery_timeout=60"),
            to(&kafka, "?session_timeout=6"),
        );
        let listener = listen(&listening, &topic, &topic, &seen);
        let load = Load::start(notifier(&sending, &topic), 300);
        seen.wait_for(200, LIMIT);
        if freezes {
            kafka.pause(1)
        } else {
            kafka.kill(1)
        }
        thread::sleep(Duration::from_millis(200));
        let (closed, took) = close_in_time(&listener, Duration::from_secs(3));
        thread::sleep(Duration::from_secs(1));
        if freezes {
            kafka.resume(1)
        } else {
            kafka.start(1)
        }
        wait_for_members(&kafka, &topic, 0, LIMIT);
        let sent = load.stop();
        let next = to(&kafka, "");
        let last = listen(&next, &topic, &topic, &seen);
        let unknown = usize::try_from(listening.stats().unknown_commit.get()).unwrap();
        seen.wait_for(sent.len() - unknown, LIMIT);
        last.close(LIMIT).unwrap();
        let (lost, twice) = (seen.lost(&sent), seen.twice());
        println!(
            "freezes: {freezes}: {closed:?} after {took:?}; {} sent, {lost} lost, {twice} twice, \
             {unknown} under an unknown commit",
            sent.len()
        );
        assert!(lost <= unknown && twice == 0);
    }
}

#[test]
fn a_group_whose_coordinator_alone_is_gone_is_left_when_another_node_takes_over() {
    let kafka = Kafka::cluster();
    let transport = to(&kafka, "?session_timeout=60");
    let (topic, seen) = (topic(), Seen::new());
    let listener = listen(&transport, &topic, &topic, &seen);
    let state = kafka.tool("groups", &["--describe", "--state", "--group", &topic]);
    // "127.0.0.1:12345 (2)" is the coordinator.
    let node = state.split('(').filter_map(|rest| rest.split(')').next()?.parse().ok()).next();
    let node: u32 = node.unwrap_or_else(|| panic!("no coordinator in {state}"));
    kafka.pause(node);
    let (closed, took) = close_in_time(&listener, Duration::from_secs(4));
    closed.unwrap();
    // The cluster needs a while to see that it is gone, and less than the member's session.
    let joined = joins_within(LIMIT, &kafka, &topic, &seen);
    println!("coordinator {node} frozen: closed in {took:?}, joined in {joined:?}");
    kafka.resume(node);
}
