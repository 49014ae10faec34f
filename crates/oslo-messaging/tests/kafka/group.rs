//! What a group loses and repeats when its members come and go: nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kafka_testkit::Kafka;
use oslo_messaging::{Context, Payload, Priority, Transport};

use crate::support::{LIMIT, Load, Seen, listen, notifier, topic, transport};

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
