//! Signals to the real program while a real Kafka is up, frozen and dead.

mod support;

use std::time::{Duration, Instant};

use kafka_testkit::{Kafka, unique};
use support::{Ended, Folder, Running, start};

/// The flush of `send`, the close of `tail`, and what a busy machine adds.
const DEADLINE: Duration = Duration::from_secs(15);

/// Sends the signal; the program's end, which must be in time.
fn end_by(running: Running, signal: &str) -> Ended {
    let begun = Instant::now();
    running.signal(signal);
    let ended = running.end();
    assert!(begun.elapsed() < DEADLINE, "{:?}: {ended:#?}", begun.elapsed());
    println!("{signal}: exit {} after {:?}", ended.code, begun.elapsed());
    ended
}

/// Starts `tail` on a topic with one notification, and waits until that was shown.
fn tail(url: &str, topic: &str, more: &[&str]) -> Running {
    let args = ["--transport-url", url, "tail", topic, "--output", "jsonl"];
    let running = start(&[&args, more].concat());
    let line = running.line();
    assert!(line.contains("\"event_type\""), "{line}");
    running
}

/// A reader ends well, or says how much it had committed, or may have, and not shown.
fn end_of_reader(reader: Running) {
    let ended = end_by(reader, "TERM");
    let said = ended.err.contains("error: kafka listener: ");
    assert!(ended.code == 0 || (ended.code == 75 && said), "{ended:#?}");
}

#[test]
fn every_command_ends_in_time_and_says_what_was_not_delivered() {
    let kafka = Kafka::single();
    let (url, folder, topic) = (kafka.transport_url(), Folder::new("shutdown"), unique("cli"));
    let groups = format!("{url}?auto_offset_reset=earliest");
    let lines: String = (0..200).map(|n| format!("{{\"payload\": {n}}}\n")).collect();
    let input = folder.file("input.jsonl", &lines);
    let sends = |more: &[&str]| {
        let args = ["--transport-url", &url, "send", "--topic", &topic, "--event-type", "a.b"];
        start(&[&args, more].concat())
    };
    sends(&["1"]).end().with(0);

    // Up: nothing is lost by a signal.
    let watcher = tail(&url, &topic, &["-o", "beginning"]);
    let sending = sends(&["--input", &input, "--rate", "5"]);
    watcher.line();
    let ended = end_by(sending, "TERM").with(130);
    assert!(ended.err.contains("not delivered 0, unknown 0"), "{ended:#?}");
    end_by(watcher, "INT").with(0);
    end_by(tail(&groups, &topic, &["--group", &unique("up")]), "TERM").with(0);

    // Frozen: what is under way is named, and a second signal ends at once.
    let readers = [
        tail(&url, &topic, &["-o", "beginning"]),
        tail(&groups, &topic, &["--group", &unique("frozen")]),
    ];
    kafka.pause(1);
    let [first, second] = [(); 2].map(|()| sends(&["--input", &input, "--rate", "100"]));
    std::thread::sleep(Duration::from_secs(2));
    let ended = end_by(first, "TERM").with(130);
    let named =
        ended.err.matches("notification ").count() + ended.err.matches("message id").count();
    assert!(named > 0 && ended.err.contains("sent "), "{ended:#?}");
    second.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    end_by(second, "INT").with(130);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    readers.into_iter().for_each(end_of_reader);
    kafka.resume(1);
    // A node that was away for so long is itself again when it takes a notification.
    sends(&["2"]).end().with(0);

    // Dead.
    let readers = [
        tail(&url, &topic, &["-o", "beginning"]),
        tail(&groups, &topic, &["--group", &unique("dead")]),
    ];
    kafka.kill(1);
    let sending = sends(&["--input", &input, "--rate", "100"]);
    std::thread::sleep(Duration::from_secs(1));
    let ended = end_by(sending, "TERM").with(130);
    assert!(
        ended.err.contains("not delivered") && !ended.err.contains("not delivered 0, unknown 0"),
        "{ended:#?}"
    );
    readers.into_iter().for_each(end_of_reader);
}
