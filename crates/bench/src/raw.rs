//! A program on librdkafka alone, with ready-made bytes: the yardstick.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::wire::{ContextStyle, decode, encode};
use rdkafka::{
    ClientConfig, Message,
    bindings::{
        rd_kafka_event_destroy, rd_kafka_event_message_count, rd_kafka_queue_destroy,
        rd_kafka_queue_get_main, rd_kafka_queue_poll,
    },
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::RDKafkaErrorCode,
    producer::{
        BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
    },
};

use crate::{
    calls,
    measure::{Measured, RAW},
    work::{Job, LIMIT, Watch, What, corpus, wait_for_tick},
};

/// Records for each commit, as the reference has it.
const COMMIT_EVERY: usize = 500;

pub(crate) fn run(job: &Job) -> Measured {
    match job.what {
        What::Pipelined => pipelined(job),
        What::OneByOne => one_by_one(job),
        What::Threads { number } => under_way(job, number),
        What::Listen => listen(job, |record| record.len()),
        What::EndToEnd { per_second } => end_to_end(job, per_second),
        What::Calls { callers } => calls::run(RAW, job, callers),
    }
}

/// Reads a backlog and decodes it, all on one thread: what a dispatcher that costs nothing would
/// come to on that thread.
pub(crate) fn run_decoding(job: &Job) -> Measured {
    assert_eq!(job.what, What::Listen, "only a listener decodes");
    listen(job, |record| decode(record).expect("the corpus is well-formed").event_type.len())
}

fn bodies() -> Vec<Vec<u8>> {
    corpus()
        .iter()
        .map(|notification| encode(notification, ContextStyle::Nested).to_vec())
        .collect()
}

fn producer_config(job: &Job) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &job.bootstrap)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("batch.num.messages", "16384");
    config
}

fn consumer(job: &Job) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &job.bootstrap)
        .set("group.id", &job.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("the consumer's properties are right");
    consumer.subscribe(&[&job.topic_name()]).expect("the topic has a valid name");
    consumer
}

#[derive(Default)]
struct Confirmed(Arc<AtomicUsize>);

impl rdkafka::ClientContext for Confirmed {}

impl ProducerContext for Confirmed {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "every record of the bench is confirmed");
        self.0.fetch_add(1, Ordering::Release);
    }
}

fn threaded(job: &Job) -> (ThreadedProducer<Confirmed>, Arc<AtomicUsize>) {
    let confirmed = Arc::new(AtomicUsize::new(0));
    let context = Confirmed(Arc::clone(&confirmed));
    let producer = ThreadedProducer::from_config_and_context(&producer_config(job), context);
    (producer.expect("the producer's properties are right"), confirmed)
}

fn send(producer: &ThreadedProducer<Confirmed>, topic: &str, key: &[u8], body: &[u8]) {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(body);
    if !key.is_empty() {
        record = record.key(key);
    }
    while let Err((error, back)) = producer.send(record) {
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
        thread::sleep(Duration::from_millis(1));
        record = back;
    }
}

fn wait_for(confirmed: &AtomicUsize, count: usize) {
    let begun = Instant::now();
    while confirmed.load(Ordering::Acquire) < count {
        assert!(begun.elapsed() < LIMIT, "confirmations are missing");
        thread::sleep(Duration::from_micros(200));
    }
}

fn pipelined(job: &Job) -> Measured {
    let (bodies, topic) = (bodies(), job.topic_name());
    let (producer, confirmed) = threaded(job);
    send(&producer, &topic, b"", &bodies[0]);
    wait_for(&confirmed, 1);
    let watch = Watch::start();
    // One less: the backlog of a listener has exactly `count` records.
    for body in bodies.iter().cycle().take(job.count - 1) {
        send(&producer, &topic, b"", body);
    }
    wait_for(&confirmed, job.count);
    watch.stop(job.count - 1, Vec::new())
}

fn one_by_one(job: &Job) -> Measured {
    let (bodies, topic) = (bodies(), job.topic_name());
    let producer: BaseProducer =
        producer_config(job).create().expect("the producer's properties are right");
    let send = |body: &[u8]| {
        producer
            .send(BaseRecord::<(), [u8]>::to(&topic).payload(body))
            .map_err(|e| e.0)
            .expect("the queue has room");
        wait_for_report(&producer);
    };
    send(&bodies[0]);
    let watch = Watch::start();
    let mut latencies = Vec::with_capacity(job.count);
    for body in bodies.iter().cycle().take(job.count) {
        let begun = Instant::now();
        send(body);
        latencies.push(begun.elapsed());
    }
    watch.stop(job.count, latencies)
}

/// Hands a record over whenever one was confirmed, so that `number` are always on their way.
fn under_way(job: &Job, number: usize) -> Measured {
    let (bodies, topic) = (bodies(), job.topic_name());
    let producer: BaseProducer =
        producer_config(job).create().expect("the producer's properties are right");
    let send = |body: &[u8]| {
        let sent = producer.send(BaseRecord::<(), [u8]>::to(&topic).payload(body));
        sent.map_err(|e| e.0).expect("the queue has room");
    };
    send(&bodies[0]);
    wait_for_report(&producer);
    let watch = Watch::start();
    let (mut waiting, mut confirmed) = (bodies.iter().cycle().take(job.count), 0);
    waiting.by_ref().take(number).for_each(|body| send(body));
    while confirmed < job.count {
        let reports = wait_for_report(&producer);
        confirmed += reports;
        waiting.by_ref().take(reports).for_each(|body| send(body));
    }
    watch.stop(job.count, Vec::new())
}

/// Waits for delivery reports, at least one, on this thread, as a program in C would. The wrapper's `poll`
/// always waits for its whole timeout.
#[expect(unsafe_code, reason = "the wrapper has no poll that ends with the first event")]
fn wait_for_report(producer: &BaseProducer) -> usize {
    let mut reports = 0;
    // SAFETY: the client is alive; queue and events are each destroyed once, after their last use.
    unsafe {
        let queue = rd_kafka_queue_get_main(producer.client().native_ptr());
        while reports == 0 {
            let event = rd_kafka_queue_poll(queue, 10_000);
            assert!(!event.is_null(), "a confirmation is missing");
            reports += rd_kafka_event_message_count(event);
            rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
    }
    reports
}

fn listen(job: &Job, each: impl Fn(&[u8]) -> usize) -> Measured {
    let mut watch = Watch::start();
    let consumer = consumer(job);
    let begun = Instant::now();
    let (mut seen, mut uncommitted, mut bytes) = (0, 0, 0);
    while seen < job.count {
        assert!(begun.elapsed() < LIMIT, "{seen} of {} records came", job.count);
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("the broker is well");
        bytes += message.payload().map_or(0, &each);
        seen += 1;
        uncommitted += 1;
        if seen == 1 {
            watch.first_record();
        }
        if uncommitted == COMMIT_EVERY || seen == job.count {
            // By default the wrapper stores the offset of what it hands out.
            consumer.commit_consumer_state(CommitMode::Sync).expect("the group is well");
            uncommitted = 0;
        }
    }
    assert!(bytes > 0);
    watch.stop(job.count, Vec::new())
}

fn end_to_end(job: &Job, per_second: u32) -> Measured {
    let (bodies, topic) = (bodies(), job.topic_name());
    let (producer, confirmed) = threaded(job);
    send(&producer, &topic, &[0; 8], &bodies[0]);
    wait_for(&confirmed, 1);
    let consumer = consumer(job);
    let clock = Instant::now();
    let mut latencies = Vec::with_capacity(job.count);
    let mut watch = Watch::start();
    thread::scope(|scope| {
        let mut sender = None;
        let mut seen = 0;
        while seen < job.count {
            assert!(clock.elapsed() < LIMIT, "{seen} of {} records came", job.count);
            let mut batch = Vec::new();
            let mut next = consumer.poll(Duration::from_millis(100));
            while let Some(message) = next {
                batch.push(message.expect("the broker is well").detach());
                next = consumer.poll(Duration::ZERO);
            }
            if batch.is_empty() {
                continue;
            }
            consumer.commit_consumer_state(CommitMode::Sync).expect("the group is well");
            for message in batch {
                let key = message.key().and_then(|key| key.try_into().ok());
                let sent = u64::from_le_bytes(key.expect("every record has a time"));
                if sent > 0 {
                    latencies.push(clock.elapsed() - Duration::from_nanos(sent));
                    seen += 1;
                }
            }
            // The first record says that the group has its partitions.
            if sender.is_none() {
                watch.first_record();
                let (producer, bodies, topic, clock) = (&producer, &bodies, &topic, &clock);
                sender = Some(scope.spawn(move || {
                    let begun = Instant::now();
                    for (tick, body) in bodies.iter().cycle().take(job.count).enumerate() {
                        wait_for_tick(begun, tick, per_second);
                        let now = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
                        send(producer, topic, &now.to_le_bytes(), body);
                    }
                }));
            }
        }
    });
    watch.stop(job.count, latencies)
}
