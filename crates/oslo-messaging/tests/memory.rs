//! Memory stays bounded: a listener far behind a topic on a real Kafka, and notifiers without a broker.
//!
//! What is measured runs in a process of its own, this program again. It takes its resident memory
//! before anything of the library and its peak at the end. `OSLOMSG_MEMORY_BACKLOG=1000000` is the
//! long form.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::{
    collections::HashMap,
    env, fs,
    net::TcpListener,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use kafka_testkit::{shared, unique};
use oslo_messaging::{
    Context, Listener, Notification, Notifier, Payload, Priority, Target, Transport, endpoint_fn,
    wire,
};
use rdkafka::{
    ClientConfig,
    producer::{BaseRecord, Producer, ThreadedProducer},
};

/// Says to this program that it is the measured one, and what it needs, in `name=value` words.
const ROLE: &str = "OSLOMSG_MEMORY_ROLE";
/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(300);
const MIB: u64 = 1024;

fn backlog() -> u64 {
    env::var("OSLOMSG_MEMORY_BACKLOG").map_or(100_000, |count| count.parse().unwrap())
}

fn kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs this test again in a process of its own and returns the numbers that it reports.
fn measured(test: &str, role: &str) -> HashMap<String, u64> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, role)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: HashMap<String, u64> = text
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect();
    println!("{test}, {role}: {numbers:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !numbers.is_empty(), "{}\n{text}\n{stderr}", output.status);
    numbers
}

fn role_word<'a>(role: &'a str, name: &str) -> &'a str {
    role.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

fn notification(size: usize) -> Notification {
    let payload = Payload::from(serde_json::json!({"text": "x".repeat(size)}));
    Notification::new("compute.host1", "memory.tick", Priority::Info, payload, Context::empty())
}

/// Puts so many records into a topic, with librdkafka alone.
fn fill(topic: &str, count: u64) {
    let body = wire::encode(&notification(30), wire::ContextStyle::Nested);
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", shared().bootstrap())
        .set("linger.ms", "20")
        .create()
        .unwrap();
    let begun = Instant::now();
    for _ in 0..count {
        let mut record = BaseRecord::<(), [u8]>::to(topic).payload(&body);
        while let Err((_, back)) = producer.send(record) {
            // Its queue is full.
            assert!(begun.elapsed() < LIMIT);
            thread::sleep(Duration::from_millis(5));
            record = back;
        }
    }
    producer.flush(LIMIT).unwrap();
}

#[test]
fn a_slow_listener_far_behind_stays_small() {
    if let Ok(role) = env::var(ROLE) {
        return listen(&role);
    }
    let (topic, count) = (unique("backlog"), backlog());
    let partitions = ["--create", "--partitions", "4", "--topic", &format!("{topic}.info")];
    shared().tool("topics", &partitions);
    fill(&format!("{topic}.info"), count);
    for commit in ["before_dispatch", "after_dispatch"] {
        let role = format!(
            "url={}?auto_offset_reset=earliest&commit={commit} topic={topic} until={}",
            shared().transport_url(),
            count / 20
        );
        let numbers = measured("a_slow_listener_far_behind_stays_small", &role);
        assert!(numbers["dispatched"] >= count / 20, "{numbers:?}");
        assert!(numbers["grown_kib"] < 40 * MIB, "{commit}: {numbers:?}");
    }
}

fn listen(role: &str) {
    let before = kib("VmRSS");
    let transport = Transport::for_notifications(role_word(role, "url")).unwrap();
    let (until, count) =
        (role_word(role, "until").parse::<u64>().unwrap(), Arc::new(AtomicU64::new(0)));
    let (done, is_done) = mpsc::channel();
    let counter = Arc::clone(&count);
    let listener = Listener::builder(&transport)
        .target(Target::new(role_word(role, "topic")))
        .pool(unique("memory"))
        .endpoint(endpoint_fn([Priority::Info], move |_| {
            thread::sleep(Duration::from_millis(2));
            if counter.fetch_add(1, Ordering::Relaxed) + 1 == until {
                // Nobody waits any more once the limit has passed.
                let _ = done.send(());
            }
            Ok(())
        }))
        .start()
        .unwrap();
    is_done.recv_timeout(LIMIT).unwrap();
    let grown = kib("VmHWM") - before;
    println!(
        "\ngrown_kib={grown} before_kib={before} dispatched={}",
        count.load(Ordering::Relaxed)
    );
    listener.close(LIMIT).unwrap();
}

#[test]
fn a_queue_limited_by_number_takes_no_more_without_a_broker() {
    if let Ok(role) = env::var(ROLE) {
        return queue(&role, 500);
    }
    let calls = backlog();
    let role = format!("query=queue_max_messages=20000 calls={calls}");
    let numbers = measured("a_queue_limited_by_number_takes_no_more_without_a_broker", &role);
    assert_eq!(numbers["accepted"], 20_000, "{numbers:?}");
    assert_eq!(numbers["overflowed"], calls - 20_000, "{numbers:?}");
    // Each with its body of 0.8 kB, its receipt's end and librdkafka's own.
    assert!(numbers["grown_kib"] < 64 * MIB, "{numbers:?}");
}

#[test]
fn a_queue_limited_by_bytes_takes_no_more_without_a_broker() {
    if let Ok(role) = env::var(ROLE) {
        return queue(&role, 8_000);
    }
    let calls = backlog();
    let role = format!("query=queue_max_kbytes=16384 calls={calls}");
    let numbers = measured("a_queue_limited_by_bytes_takes_no_more_without_a_broker", &role);
    let taken = numbers["accepted"] * numbers["size"];
    assert!(taken <= 16 * MIB * 1024, "{taken} bytes: {numbers:?}");
    assert!(taken > 15 * MIB * 1024, "{taken} bytes: {numbers:?}");
    assert_eq!(numbers["accepted"] + numbers["overflowed"], calls, "{numbers:?}");
    assert!(numbers["grown_kib"] < 48 * MIB, "{numbers:?}");
}

/// Sends in queued mode to a port where nobody listens.
fn queue(role: &str, size: usize) {
    let before = kib("VmRSS");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let query = role_word(role, "query");
    // Nothing expires meanwhile, and makes room.
    let options = format!("delivery=queued&queue_overflow=drop&delivery_timeout=3600&{query}");
    let url = format!("kafka://127.0.0.1:{port}/?{options}");
    let transport = Transport::for_notifications(&url).unwrap();
    let notifier = Notifier::builder(&transport)
        .publisher_id("compute.host1")
        .driver("messagingv2")
        .topic("memory")
        .build()
        .unwrap();
    let sample = notification(size);
    for _ in 0..role_word(role, "calls").parse::<u64>().unwrap() {
        drop(notifier.info(&sample.context, &sample.event_type, sample.payload.clone()));
    }
    let grown = kib("VmHWM") - before;
    let stats = transport.stats();
    println!(
        "\ngrown_kib={grown} before_kib={before} accepted={:?} overflowed={:?} size={}",
        stats.accepted,
        stats.overflowed,
        wire::encode(&sample, wire::ContextStyle::Nested).len()
    );
    // What is queued is lost, on purpose.
    let _ = transport.close(Duration::ZERO);
}
