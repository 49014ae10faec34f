//! What a group loses and repeats when its members come and go: nothing.

use std::{
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use kafka_testkit::Kafka;
use oslo_messaging::{
    Context, Endpoint, EndpointError, Listener, Notification, Payload, Priority, Target, Transport,
};

use crate::support::{Counter, LIMIT, Load, Seen, listen, notifier, topic, transport};

#[test]
fn a_listener_stopped_and_started_five_times_under_load_loses_and_repeats_nothing() {
    let (sending, topic, seen) = (transport(""), topic(), Seen::new());
    // The group's place is pinned by its first member.
    listen(&transport(""), &topic, &topic, &seen).close(LIMIT).unwrap();
    let load = Load::start(notifier(&sending, &topic), 300);
    for _ in 0..5 {
        let listener = listen(&transport(""), &topic, &topic, &seen);
        let begun = seen.count();
        seen.wait_for(begun + 300, Duration::from_secs(5));
        listener.close(LIMIT).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    let sent = load.stop();
    let last = listen(&transport(""), &topic, &topic, &seen);
    seen.wait_for(sent.len(), LIMIT);
    last.close(LIMIT).unwrap();
    println!(
        "stopped and started: {} sent, {} lost, {} twice",
        sent.len(),
        seen.lost(&sent),
        seen.twice()
    );
    assert!(sent.len() > 1_000);
    assert_eq!((seen.lost(&sent), seen.twice()), (0, 0));
}

/// Counts, but not before the gate opens.
struct Gated(Arc<Seen>, Arc<RwLock<()>>);

impl Endpoint for Gated {
    fn priorities(&self) -> &[Priority] {
        &Priority::ALL
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        drop(self.1.read().unwrap());
        Counter(Arc::clone(&self.0)).handle(notification)
    }
}

#[test]
fn a_partition_that_was_paused_and_left_is_read_when_it_comes_back() {
    let (topic, seen, gate) = (topic(), Seen::new(), Arc::new(RwLock::new(())));
    let query = "?auto_offset_reset=earliest&max_poll_records=4&revoke_drain_timeout=0.2";
    let (sending, listening) = (transport(""), transport(query));
    let sender = notifier(&sending, &topic);
    let send = |count: usize| -> Vec<String> {
        let payload = || Payload::from(serde_json::json!({}));
        let all = (0..count).map(|_| sender.info(&Context::empty(), "a.b", payload()));
        let receipts: Vec<_> = all.collect();
        receipts.iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
        receipts.iter().map(|receipt| receipt.message_id().to_owned()).collect()
    };
    let mut sent = send(40);
    let closed = gate.write().unwrap();
    let first = Listener::builder(&listening)
        .target(Target::new(&topic))
        .pool(&topic)
        .endpoint(Gated(Arc::clone(&seen), Arc::clone(&gate)))
        .start()
        .unwrap();
    first.ready(LIMIT).unwrap();
    // It is full at once and pauses everything a second later.
    std::thread::sleep(Duration::from_secs(3));
    // Another member takes a part of the partitions, and gives it back.
    listen(&transport(query), &topic, &topic, &seen).close(LIMIT).unwrap();
    drop(closed);
    sent.extend(send(40));
    seen.wait_for(sent.len(), LIMIT);
    assert_eq!((seen.lost(&sent), seen.twice()), (0, 0));
    first.close(LIMIT).unwrap();
}

/// Three members of these settings come and go under load, each so many times, and live for two
/// seconds each time. In the default mode nothing is lost or repeated.
fn storm(name: &str, settings: [&str; 3], lives: u32) {
    let (sending, topic, seen) = (transport(""), topic(), Seen::new());
    listen(&transport(settings[0]), &topic, &topic, &seen).close(LIMIT).unwrap();
    let load = Load::start(notifier(&sending, &topic), 300);
    let begun = Instant::now();
    let members: Vec<_> = (0..3)
        .map(|n| {
            let (topic, seen) = (topic.clone(), Arc::clone(&seen));
            let settings = settings[n].to_owned();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(700) * u32::try_from(n).unwrap());
                let mut longest = Duration::ZERO;
                for _ in 0..lives {
                    let begun = Instant::now();
                    let listener = listen(&transport(&settings), &topic, &topic, &seen);
                    longest = longest.max(begun.elapsed());
                    std::thread::sleep(Duration::from_secs(2));
                    listener.close(LIMIT).unwrap();
                }
                longest
            })
        })
        .collect();
    let waits = members.into_iter().map(|member| member.join().unwrap());
    let longest = waits.max().unwrap();
    let took = begun.elapsed();
    let sent = load.stop();
    let last = listen(&transport(settings[0]), &topic, &topic, &seen);
    seen.wait_for(sent.len(), LIMIT);
    last.close(LIMIT).unwrap();
    println!(
        "{name}: joining and leaving {} times in {:.0} s, at most {:.1} s until ready: {} sent, \
         {} lost, {} twice",
        3 * lives,
        took.as_secs_f64(),
        longest.as_secs_f64(),
        sent.len(),
        seen.lost(&sent),
        seen.twice()
    );
    assert!(sent.len() > 600, "{} sent", sent.len());
    // A member that left without a word would hold up the others for its session of 15 s.
    assert!(longest < Duration::from_secs(12), "{longest:?} until ready");
    assert_eq!((seen.lost(&sent), seen.twice()), (0, 0));
}

#[test]
fn three_members_joining_and_leaving_lose_and_repeat_nothing() {
    storm("range", [""; 3], 4);
}

#[test]
fn cooperative_members_joining_and_leaving_lose_and_repeat_nothing() {
    storm("cooperative-sticky", ["?partition_assignment_strategy=cooperative-sticky"; 3], 3);
}

#[test]
fn members_of_the_consumer_protocol_joining_and_leaving_lose_and_repeat_nothing() {
    storm("consumer protocol", ["?group_protocol=consumer"; 3], 3);
}

#[test]
fn static_members_joining_and_leaving_lose_and_repeat_nothing() {
    let settings = [
        "?group_instance_id=a&session_timeout=6",
        "?group_instance_id=b&session_timeout=6",
        "?group_instance_id=c&session_timeout=6",
    ];
    storm("static members", settings, 3);
}

/// A broker hears of a new topic a moment after another: a group whose coordinator is behind must
/// not leave a topic unread.
#[test]
fn topics_made_a_moment_ago_on_three_nodes_are_all_read() {
    let kafka = Kafka::cluster();
    let url = format!("{}?auto_offset_reset=earliest", kafka.transport_url());
    let one_life = || {
        let (transport, topic, seen) =
            (Transport::for_notifications(&url).unwrap(), topic(), Seen::new());
        let notifier = notifier(&transport, &topic);
        let send = |priority| {
            let payload = Payload::from(serde_json::json!({}));
            let receipt = notifier.notify(priority, &Context::empty(), "topic.made", payload);
            receipt.wait(LIMIT).unwrap();
        };
        let listener = std::thread::scope(|scope| {
            scope.spawn(|| Priority::ALL.map(send));
            listen(&transport, &topic, &topic, &seen)
        });
        assert_eq!(seen.wait_for(Priority::ALL.len(), LIMIT), Priority::ALL.len());
        listener.close(LIMIT).unwrap();
    };
    std::thread::scope(|scope| {
        let lives: Vec<_> =
            (0..6).map(|_| scope.spawn(|| (0..2).for_each(|_| one_life()))).collect();
        lives.into_iter().for_each(|life| life.join().unwrap());
    });
}
