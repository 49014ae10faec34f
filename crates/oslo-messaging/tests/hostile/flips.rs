//! A broker whose answers are damaged on the way: no crash, no hang, and no endpoint sees a
//! record that is not what was sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use oslo_messaging::{Context, Notifier, Payload, Transport, kafka::EmbeddedBroker};
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{
    LIMIT, Seen, alone, listen,
    proxy::{Numbers, Proxy},
};

/// How many times a cluster is damaged, by `OSLOMSG_FLIP_ROUNDS`.
fn rounds() -> u64 {
    let given = std::env::var("OSLOMSG_FLIP_ROUNDS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(2)
}

/// The first seed, by `OSLOMSG_FLIP_SEED`: a round that went wrong is run alone with it.
fn first_seed() -> u64 {
    let given = std::env::var("OSLOMSG_FLIP_SEED").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(1)
}

/// A sum that a single flipped bit changes.
fn sum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A text that says itself what it should be.
fn checked_text(numbers: &mut Numbers) -> String {
    let text: String = (0..200).map(|_| char::from(b'a' + numbers.below(26) as u8)).collect();
    format!("{text}:{}", sum(&text))
}

fn is_whole(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(text, said)| said == sum(text).to_string())
}

#[test]
fn a_sum_notices_a_flipped_bit() {
    let text = checked_text(&mut Numbers::new(1));
    assert!(is_whole(&text));
    for at in 0..text.len() {
        let mut damaged = text.clone().into_bytes();
        damaged[at] ^= 1;
        assert!(!is_whole(&String::from_utf8(damaged).unwrap()), "{at}");
    }
}

#[test]
fn damaged_answers_crash_nothing_hang_nothing_and_dispatch_nothing_damaged() {
    let _alone = alone();
    for seed in first_seed()..first_seed() + rounds() {
        round(seed);
    }
}

fn round(seed: u64) {
    let broker = EmbeddedBroker::start(1).unwrap();
    let topic = format!("damaged-{seed}");
    broker.create_topic(&format!("{topic}.info"), 2).unwrap();
    let proxy = Proxy::start(broker.bootstrap(), seed);
    let url = format!(
        "kafka://{}/?auto_offset_reset=earliest&delivery_timeout=10&session_timeout=6\
         &librdkafka_properties=socket.timeout.ms:3000",
        proxy.bootstrap()
    );
    let (seen, wrong) = (Arc::<Seen>::default(), Arc::<AtomicUsize>::default());
    let transport = Transport::for_notifications(&url).unwrap();
    let counted = Arc::clone(&wrong);
    let listener = listen(&transport, &topic, &seen, move |notification| {
        if !notification.payload.string_at("text").is_some_and(|text| is_whole(&text)) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let notifier = |transport| {
        let made = Notifier::builder(transport).publisher_id("flips").driver("messagingv2");
        made.topic(&topic).build().unwrap()
    };
    let mut numbers = Numbers::new(seed);
    let mut payload = || Payload::from(serde_json::json!({"text": checked_text(&mut numbers)}));
    // Half of the rounds from the first connection on, the others when it is at work.
    let one_in = [4, 12, 40, 100][(seed % 4) as usize];
    if seed.is_multiple_of(2) {
        listener.ready(LIMIT).unwrap();
    }
    proxy.mood.one_in.store(one_in, Ordering::Relaxed);
    let sender = notifier(&transport);
    let begun = Instant::now();
    let mut receipts = Vec::new();
    while begun.elapsed() < Duration::from_secs(3) {
        receipts.push(sender.info(&Context::empty(), "damaged", payload()));
        std::thread::sleep(Duration::from_millis(5));
    }
    proxy.mood.one_in.store(0, Ordering::Relaxed);
    // Every send has an end, whatever the answers said.
    let sent = receipts.len();
    let delivered = receipts.into_iter().filter(|r| r.wait(LIMIT).is_ok()).count();
    // The same listener and the same notifier work when the damage is over.
    let last =
        (0..50).any(|_| sender.info(&Context::empty(), "last", payload()).wait(LIMIT).is_ok());
    assert!(last, "seed {seed}: nothing can be sent any more");
    assert!(seen.wait_for("last"), "seed {seed}: the listener hangs");
    let (damaged, answers) = (&proxy.mood.damaged, &proxy.mood.answers);
    println!(
        "seed {seed}: {} of {} answers damaged; {sent} sent, {delivered} delivered, {} dispatched, \
         {} undecodable, in {:?}",
        damaged.load(Ordering::Relaxed),
        answers.load(Ordering::Relaxed),
        seen.all().len(),
        transport.stats().undecodable.get(),
        begun.elapsed(),
    );
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "seed {seed}: damaged records were dispatched");
    assert!(damaged.load(Ordering::Relaxed) > 0, "seed {seed}");
    let _ = listener.close(LIMIT);
    let _ = transport.close(LIMIT);
}

/// The control of the test above: without `check.crcs` damaged records come through.
#[test]
fn without_the_check_of_sums_damaged_records_would_be_seen() {
    let _alone = alone();
    let (checked, plain) = (damaged_bodies("true"), damaged_bodies("false"));
    println!("damaged records: {checked} with check.crcs, {plain} without");
    assert_eq!(checked, 0);
    assert!(plain > 0);
}

/// Reads a topic through damage of its records; how many bodies are not what was sent.
fn damaged_bodies(check_crcs: &str) -> usize {
    let broker = EmbeddedBroker::start(1).unwrap();
    broker.create_topic("plain", 1).unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("batch.num.messages", "10")
        .create()
        .unwrap();
    let mut numbers = Numbers::new(9);
    for _ in 0..200 {
        let body = checked_text(&mut numbers);
        producer.send(BaseRecord::<(), _>::to("plain").payload(&body)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let proxy = Proxy::start(broker.bootstrap(), 9);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", proxy.bootstrap())
        .set("group.id", "plain")
        .set("check.crcs", check_crcs)
        .set("message.max.bytes", "8000")
        .set("fetch.max.bytes", "8000")
        .set("max.partition.fetch.bytes", "8000")
        .set("log_level", "0")
        .create()
        .unwrap();
    proxy.mood.longer_than.store(2000, Ordering::Relaxed);
    proxy.mood.in_records.store(true, Ordering::Relaxed);
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset("plain", 0, rdkafka::Offset::Beginning).unwrap();
    let mut damaged = 0;
    // Read again and again, until damage was seen or surely would have been.
    for _ in 0..20 {
        consumer.assign(&list).unwrap();
        proxy.mood.one_in.store(2, Ordering::Relaxed);
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) else { continue };
            let body = message.payload().unwrap_or_default();
            damaged += usize::from(!std::str::from_utf8(body).is_ok_and(is_whole));
        }
        if damaged > 0 || proxy.mood.damaged.load(Ordering::Relaxed) > 20 {
            break;
        }
    }
    assert!(proxy.mood.damaged.load(Ordering::Relaxed) > 0);
    damaged
}
