//! `bridge` between a real RabbitMQ and a real Kafka.
//!
//! The whole form of the test with both brokers killed: `OSLOMSG_BRIDGE_NOTIFICATIONS=20000`.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod support;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use kafka_testkit::Kafka;
use oslo_messaging::{Context, Notification, Notifier, Payload, Priority, Target, Transport};
use rabbitmq_testkit::{Rabbit, unique};
use serde_json::{Value, json};
use support::{Folder, Running, run, start};

const VHOST: &str = "osl";
/// What the bridge has under way, at most: so many may come again when it is killed.
const WINDOW: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(120);

/// One of each for the tests that leave them alone.
fn brokers() -> &'static (Rabbit, Kafka) {
    static BROKERS: OnceLock<(Rabbit, Kafka)> = OnceLock::new();
    BROKERS.get_or_init(|| (Rabbit::start(), Kafka::single()))
}

fn url_of(rabbit: &Rabbit) -> String {
    format!("{}?amqp_durable_queues=true", rabbit.url(VHOST))
}

/// A bridge of the topic.
fn bridge(rabbit: &Rabbit, kafka: &Kafka, topic: &str, more: &[&str]) -> Running {
    let (from, to) = (url_of(rabbit), kafka.transport_url());
    start(&[&["bridge", "--from", &from, "--to", &to, "--topic", topic], more].concat())
}

/// A service that notifies on RabbitMQ.
struct Service {
    transport: Transport,
    notifier: Notifier,
}

impl Service {
    fn new(rabbit: &Rabbit, target: Target) -> Self {
        let transport = Transport::for_notifications(&url_of(rabbit)).unwrap();
        let builder = Notifier::builder(&transport).driver("messagingv2").target(target);
        Self { notifier: builder.build().unwrap(), transport }
    }

    /// Sends that many, `pause` apart, and waits until RabbitMQ has them.
    fn send(&self, numbers: std::ops::Range<usize>, pause: Duration) -> Vec<Notification> {
        let sent: Vec<_> = numbers
            .map(|number| {
                thread::sleep(pause);
                let notification = notification(number);
                (self.notifier.send(&notification), notification)
            })
            .collect();
        sent.into_iter()
            .map(|(receipt, notification)| {
                receipt.wait(LIMIT).unwrap();
                notification
            })
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.transport.close(LIMIT).unwrap();
    }
}

fn notification(number: usize) -> Notification {
    let context = json!({"request_id": format!("req-{number}"), "roles": ["admin"], "user": null});
    Notification::new(
        "compute.host1",
        "compute.instance.update",
        Priority::ALL[number % 7],
        Payload::from(json!({"number": number, "text": "čeština 🦀", "deep": [{"a": 1.5e-7}]})),
        Context::from_json(context.to_string()).unwrap(),
    )
}

/// How many each of a topic's queues has, together.
fn waiting(rabbit: &Rabbit, topic: &str) -> u64 {
    let of_topic = format!("{topic}.");
    let queues = rabbit.list_queues(VHOST);
    queues.iter().filter(|queue| queue.name.starts_with(&of_topic)).map(|q| q.messages).sum()
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "not in time: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// All that Kafka has of a topic.
fn arrived(kafka: &Kafka, topic: &str) -> Vec<Value> {
    let url = kafka.transport_url();
    let args = ["--transport-url", &url, "tail", topic, "-o", "beginning", "-e"];
    run(&[&args[..], &["--output", "jsonl"]].concat()).with(0).json()
}

/// How many are missing, and how many came once more.
fn missing_and_repeated(sent: &[Notification], arrived: &[Value]) -> (usize, usize) {
    let id = |value: &Value| value["message_id"].as_str().unwrap().to_owned();
    let ids: HashSet<String> = arrived.iter().map(id).collect();
    let missing = sent.iter().filter(|one| !ids.contains(&one.message_id)).count();
    let known: HashSet<&str> = sent.iter().map(|one| one.message_id.as_str()).collect();
    assert!(ids.iter().all(|id| known.contains(id.as_str())), "nobody sent this");
    (missing, arrived.len() - ids.len())
}

/// Everything arrived as it was sent.
#[track_caller]
fn assert_same(sent: &[Notification], arrived: &[Value]) {
    let by_id: HashMap<&str, &Value> =
        arrived.iter().map(|value| (value["message_id"].as_str().unwrap(), value)).collect();
    for one in sent {
        let came = by_id[one.message_id.as_str()];
        let expected = json!({
            "publisher_id": one.publisher_id,
            "event_type": one.event_type,
            "priority": one.priority.as_str().to_uppercase(),
            "timestamp": one.timestamp,
            "payload": one.payload.value().unwrap(),
            "context": one.context.value().unwrap(),
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&came[key], value, "{key} of {came}");
        }
        let topic = came["topic"].as_str().unwrap();
        assert!(topic.ends_with(&format!(".{}", one.priority)), "{topic} {}", one.priority);
    }
}

#[test]
fn nothing_is_lost_while_both_brokers_are_killed() {
    let count = std::env::var("OSLOMSG_BRIDGE_NOTIFICATIONS")
        .map_or(2_000, |count| count.parse::<usize>().unwrap());
    let (rabbit, kafka, topic) = (Rabbit::start(), Kafka::single(), unique("bridge"));
    let service = Service::new(&rabbit, Target::new(&topic));
    let mut sent = service.send(0..count / 2, Duration::ZERO);
    let rate = (count / 8).to_string();
    let bridge = bridge(&rabbit, &kafka, &topic, &["--rate", &rate]);
    let begun = Instant::now();
    let pause = Duration::from_secs(8) / u32::try_from(count).unwrap();
    let sending = thread::spawn(move || service.send(count / 2..count, pause));

    let half = (count / 2) as u64;
    wait_until("some are moved", || waiting(&rabbit, &topic) < half + half / 2);
    thread::sleep(Duration::from_secs(1));
    kafka.kill(1);
    thread::sleep(Duration::from_secs(2));
    kafka.start(1);
    let before = waiting(&rabbit, &topic);
    wait_until("more are moved", || waiting(&rabbit, &topic) < before.saturating_sub(half / 10));
    rabbit.kill9();
    thread::sleep(Duration::from_secs(1));
    rabbit.start_again();
    sent.extend(sending.join().unwrap());
    wait_until("all are moved", || waiting(&rabbit, &topic) == 0);
    let took = begun.elapsed();
    bridge.signal("TERM");
    let ended = bridge.end().with(0);

    let came = arrived(&kafka, &topic);
    let (missing, repeated) = missing_and_repeated(&sent, &came);
    println!(
        "bridge: {} sent, both brokers killed once, {missing} lost, {repeated} repeated, {took:?}\n{}",
        sent.len(),
        ended.err.trim()
    );
    assert_eq!(sent.len(), count);
    assert_eq!(missing, 0);
    assert!(repeated <= WINDOW, "{repeated}");
    assert_same(&sent, &came);
}

#[test]
fn killed_and_started_again_it_loses_nothing() {
    let ((rabbit, kafka), topic) = (brokers(), unique("bridge"));
    let sent = Service::new(rabbit, Target::new(&topic)).send(0..2_000, Duration::ZERO);
    let first = bridge(rabbit, kafka, &topic, &["--rate", "1000"]);
    wait_until("some are moved", || waiting(rabbit, &topic) < 1_500);
    first.signal("KILL");
    assert_eq!(first.end().code, -1);
    let left = waiting(rabbit, &topic);
    assert!(left > 0, "it was killed too late");
    let second = bridge(rabbit, kafka, &topic, &["--idle", "2"]).end().with(0);
    assert!(second.err.contains(&format!("moved {left}")), "{second:#?}");
    assert_eq!(waiting(rabbit, &topic), 0);
    let came = arrived(kafka, &topic);
    let (missing, repeated) = missing_and_repeated(&sent, &came);
    println!("killed with {left} left: {missing} lost, {repeated} repeated");
    assert_eq!(missing, 0);
    assert!(repeated <= WINDOW, "{repeated}");
}

#[test]
fn told_to_end_it_waits_for_confirmations_and_leaves_the_rest() {
    let ((rabbit, kafka), topic) = (brokers(), unique("bridge"));
    let sent = Service::new(rabbit, Target::new(&topic)).send(0..1_000, Duration::ZERO);
    let first = bridge(rabbit, kafka, &topic, &["--rate", "300"]);
    wait_until("some are moved", || waiting(rabbit, &topic) < 900);
    first.signal("TERM");
    let first = first.end().with(0);
    let left = waiting(rabbit, &topic);
    assert!(first.err.contains(&format!("moved {}", 1_000 - left)), "{left}: {first:#?}");
    let counted = bridge(rabbit, kafka, &topic, &["--count", "100"]).end().with(0);
    assert!(counted.err.contains("moved 100\n"), "{counted:#?}");
    assert_eq!(waiting(rabbit, &topic), left - 100);
    let last = bridge(rabbit, kafka, &topic, &["--idle", "2"]).end().with(0);
    assert!(last.err.contains(&format!("moved {}\n", left - 100)), "{left}: {last:#?}");
    assert_eq!(waiting(rabbit, &topic), 0);
    let came = arrived(kafka, &topic);
    assert_eq!(missing_and_repeated(&sent, &came), (0, 0));
    assert_same(&sent, &came);
}

#[test]
fn a_pool_gets_copies_of_several_exchanges_and_takes_nothing_from_others() {
    let ((rabbit, kafka), topic, pool) = (brokers(), unique("bridge"), unique("pool"));
    let more = ["--pool", &pool, "--exchange", "nova", "--exchange", "cinder", "--idle", "5"];
    let bridge = bridge(rabbit, kafka, &topic, &more);
    wait_until("it is bound", || {
        rabbit.list_bindings(VHOST).iter().filter(|binding| binding.queue == pool).count() == 14
    });
    let mut sent = Vec::new();
    for (number, exchange) in ["nova", "cinder", "glance"].into_iter().enumerate() {
        let target = Target::new(&topic).with_exchange(exchange);
        let range = number * 70..number * 70 + 70;
        let of_exchange = Service::new(rabbit, target).send(range, Duration::ZERO);
        if exchange != "glance" {
            sent.extend(of_exchange);
        }
    }
    bridge.end().with(0);
    assert_eq!(waiting(rabbit, &topic), 210, "the topic's own queues have all");
    let came = arrived(kafka, &topic);
    assert_eq!(missing_and_repeated(&sent, &came), (0, 0));
    assert_same(&sent, &came);
}

#[test]
fn a_dry_run_counts_and_takes_nothing() {
    let ((rabbit, kafka), topic) = (brokers(), unique("bridge"));
    Service::new(rabbit, Target::new(&topic)).send(0..14, Duration::ZERO);
    let look = |more: &[&str]| {
        let more = [&["--dry-run"], more].concat();
        bridge(rabbit, kafka, &topic, &more).end().with(0).out
    };
    let out = look(&[]);
    assert!(out.contains(&format!("{topic}.info: 2 waiting, 0 consumers\n")), "{out}");
    assert!(out.ends_with("14 would be moved now\n"), "{out}");
    assert!(look(&["--priority", "info,warn"]).ends_with("4 would be moved now\n"));
    let pool = unique("pool");
    assert_eq!(
        look(&["--pool", &pool]),
        format!("{pool}: no such queue, it would be made\n0 would be moved now\n")
    );
    assert!(rabbit.queue(VHOST, &pool).is_none());
    assert_eq!(waiting(rabbit, &topic), 14);
    let queues = rabbit.list_queues(VHOST);
    let ready: u64 =
        queues.iter().filter(|q| q.name.starts_with(&topic)).map(|queue| queue.ready).sum();
    assert_eq!(ready, 14);
}

/// Puts bytes into a queue that no notifier would write.
fn publish(rabbit: &Rabbit, key: &str, body: &str) {
    let said = rabbit.eval(&format!(
        "rabbit_basic:publish(rabbit_misc:r(<<\"{VHOST}\">>, exchange, <<\"openstack\">>), \
         <<\"{key}\">>, [], <<\"{body}\">>)"
    ));
    assert!(said.contains("ok"), "{said}");
}

#[test]
fn what_cannot_be_moved_stays_or_goes_to_a_file_and_stops_nothing() {
    let ((rabbit, kafka), topic) = (brokers(), unique("bridge"));
    let service = Service::new(rabbit, Target::new(&topic));
    let mut sent = service.send(0..70, Duration::ZERO);
    let info = format!("{topic}.info");
    publish(rabbit, &info, "no JSON at all");
    // More than Kafka takes.
    let mut large = notification(3);
    large.payload = Payload::from(json!("x".repeat(3_000_000)));
    service.notifier.send(&large).wait(LIMIT).unwrap();
    sent.extend(service.send(70..140, Duration::ZERO));

    let ended = bridge(rabbit, kafka, &topic, &["--idle", "2"]).end().with(3);
    assert!(ended.err.contains("moved 140, refused 2 (0 in the file, 2 left"), "{ended:#?}");
    assert!(ended.err.contains(&large.message_id), "{ended:#?}");
    wait_until("they are back", || {
        let queues = rabbit.list_queues(VHOST);
        let ready = queues.iter().filter(|q| q.name.starts_with(&topic)).map(|q| q.ready);
        ready.sum::<u64>() == 2
    });

    let folder = Folder::new("bridge");
    let file = folder.path().join("dead.jsonl");
    let more = ["--idle", "2", "--dead-letter-file", file.to_str().unwrap()];
    let ended = bridge(rabbit, kafka, &topic, &more).end().with(65);
    assert!(ended.err.contains("refused 2 (2 in the file, 0 left"), "{ended:#?}");
    assert_eq!(waiting(rabbit, &topic), 0);
    let lines: BTreeMap<String, Value> = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["topic"].as_str().unwrap().to_owned(), line))
        .collect();
    assert_eq!(lines[&info]["value_base64"], "bm8gSlNPTiBhdCBhbGw=");
    assert_eq!(lines.len(), 2);
    let came = arrived(kafka, &topic);
    assert_eq!(missing_and_repeated(&sent, &came), (0, 0));
}

#[test]
fn wrong_ends_are_told_in_time() {
    let (rabbit, kafka) = brokers();
    let (from, to) = (url_of(rabbit), kafka.transport_url());
    for (from, to, code, words) in [
        ("rabbit://127.0.0.1:1/", &*to, 69, "127.0.0.1:1"),
        (&rabbit.url_as("alice", "wrong", VHOST), &to, 77, "alice"),
        (&rabbit.url("no-such-vhost"), &to, 77, "no-such-vhost"),
        (&to, &to, 78, "from rabbit:// only"),
        (&from, &from, 78, "to kafka:// only"),
        (&from, "kafak://h/", 78, "kafak"),
    ] {
        let begun = Instant::now();
        let args = ["--timeout", "4", "bridge", "--from", from, "--to", to, "--topic", "never"];
        let ended = run(&args).with(code);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(ended.err.contains(words), "{words}: {ended:#?}");
    }
    let unset = run(&["--transport-url", &to, "bridge", "--topic", "never"]).with(78);
    assert!(unset.err.contains("--from rabbit://"), "{unset:#?}");
}
