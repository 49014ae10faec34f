//! Small batches that become large: what a listener needs for them, and that it goes on.

use std::{sync::Arc, time::Duration};

use oslo_messaging::{Listener, Transport, kafka::EmbeddedBroker};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{
    LIMIT, Seen, alone, listen,
    raw::{SNAPPY, ZSTD, batch, produce, record},
};

const MIB: usize = 1 << 20;

/// One broker, one topic, one listener.
struct Stage {
    broker: EmbeddedBroker,
    topic: String,
    transport: Transport,
    seen: Arc<Seen>,
    listener: Listener,
}

impl Stage {
    fn new(topic: &str) -> Self {
        let broker = EmbeddedBroker::start(1).unwrap();
        broker.create_topic(&format!("{topic}.info"), 2).unwrap();
        let url = format!("{}?auto_offset_reset=earliest", broker.transport_url());
        let transport = Transport::for_notifications(&url).unwrap();
        let seen = Arc::<Seen>::default();
        let listener = listen(&transport, topic, &seen, |_| {});
        listener.ready(LIMIT).unwrap();
        Self { broker, topic: topic.to_owned(), transport, seen, listener }
    }

    fn records(&self) -> String {
        format!("{}.info", self.topic)
    }

    /// Writes a body, compressed by librdkafka.
    fn write(&self, partition: i32, codec: &str, body: &[u8]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.broker.bootstrap())
            .set("compression.type", codec)
            .set("message.max.bytes", "1000000000")
            .create()
            .unwrap();
        let (topic, record) = (self.records(), body);
        let record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(record);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(LIMIT).unwrap();
    }
}

fn notification(event_type: &str, payload: &str) -> Vec<u8> {
    format!(
        r#"{{"priority": "INFO", "_context": {{}}, "event_type": "{event_type}", "payload": {payload}}}"#
    )
    .into_bytes()
}

/// `VmHWM` or `VmRSS` of this process, in MiB.
fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

/// What `work` needs at its peak beyond what is in use before it, in MiB.
fn peak(work: impl FnOnce()) -> usize {
    let before = memory("VmRSS");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    work();
    memory("VmHWM").saturating_sub(before)
}

/// The listener's peak for a record of so many MiB between two others.
fn peak_for(codec: &str, mib: usize) -> usize {
    let stage = Stage::new(&format!("bomb-{codec}-{mib}"));
    stage.listener.close(LIMIT).unwrap();
    stage.write(0, codec, &notification("first", "null"));
    let text = "a".repeat(mib * MIB);
    stage.write(0, codec, &notification("large", &format!("\"{text}\"")));
    drop(text);
    stage.write(0, codec, &notification("last", "null"));
    let listener = listen(&stage.transport, &stage.topic, &stage.seen, |_| {});
    let peak = peak(|| assert!(stage.seen.wait_for("last"), "{codec}"));
    assert_eq!(stage.seen.all(), ["first", "large", "last"], "{codec}");
    listener.close(LIMIT).unwrap();
    peak
}

#[test]
fn a_small_batch_that_becomes_a_large_record_costs_a_few_times_its_size() {
    let _alone = alone();
    const SIZE: usize = 64;
    for codec in ["snappy", "lz4", "gzip", "zstd"] {
        let peak = peak_for(codec, SIZE);
        println!("{codec}: a record of {SIZE} MiB needs {peak} MiB at the peak");
        assert!(peak < 6 * SIZE, "{codec}: {peak} MiB");
    }
}

/// A zstd frame of so many MiB of zeros, four bytes for each 128 KiB; with its size at the front,
/// or without.
fn zstd_zeros(mib: usize, says: Option<u64>) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd];
    match says {
        Some(size) => {
            frame.push(0xe0);
            frame.extend(size.to_le_bytes());
        }
        // A window of 8 MiB.
        None => frame.extend([0x00, 13 << 3]),
    }
    let blocks = mib * 8;
    for block in 1..=blocks {
        let header = u32::from(block == blocks) | 1 << 1 | (128 * 1024) << 3;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn a_batch_that_cannot_be_unpacked_needs_little_and_other_partitions_go_on() {
    let _alone = alone();
    let mut damaged = batch(0, 1, &record(0, 0, None, Some(&notification("raw", "null")), &[]));
    *damaged.last_mut().unwrap() ^= 1;
    // More than the 100 MB of `receive.message.max.bytes`, with and without saying so; no records;
    // a size that is not true; a sum that is wrong.
    for (name, bomb) in [
        ("zstd-of-1-gib", batch(ZSTD, 1, &zstd_zeros(1024, None))),
        ("zstd-says-1-gib", batch(ZSTD, 1, &zstd_zeros(1024, Some(1 << 30)))),
        ("zstd-says-4-eib", batch(ZSTD, 1, &zstd_zeros(1, Some(1 << 62)))),
        ("zstd-of-90-mib-of-nothing", batch(ZSTD, 1, &zstd_zeros(90, None))),
        ("snappy-says-4-gib", batch(SNAPPY, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0])),
        ("wrong-sum", damaged),
    ] {
        let stage = Stage::new(name);
        stage.write(0, "none", &notification("before", "null"));
        assert!(stage.seen.wait_for("before"), "{name}");
        let peak = peak(|| {
            assert_eq!(produce(stage.broker.bootstrap(), &stage.records(), &bomb), 0, "{name}");
            // Until it was tried.
            let tried = || stage.transport.stats().unreadable_batches.get() > 0;
            assert!(until(tried), "{name} is not refused");
            stage.write(1, "none", &notification("other", "null"));
            assert!(stage.seen.wait_for("other"), "{name} stops another partition");
        });
        println!("{name}: {} bytes need {peak} MiB at the peak", bomb.len());
        assert!(peak < 200, "{name}: {peak} MiB");
        assert_eq!(stage.seen.all(), ["before", "other"], "{name}");
        stage.listener.close(LIMIT).unwrap();
    }
}

/// Waits for it.
fn until(holds: impl Fn() -> bool) -> bool {
    let begun = std::time::Instant::now();
    while !holds() && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    holds()
}
