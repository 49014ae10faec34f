//! What every Rust program of the bench does: the corpus, its own clock, its own memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use oslo_messaging::{Context, Notification, Payload, Priority};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::measure::Measured;

/// Nothing here takes longer, unless it hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// Send as fast as confirmations allow.
    Pipelined,
    /// Send, wait for the confirmation, send the next one.
    OneByOne,
    /// The same on so many threads, or with so many under way.
    Threads { number: usize },
    /// Read a backlog, committing before each dispatch.
    Listen,
    /// Send at a steady rate and receive, in one process.
    EndToEnd { per_second: u32 },
    /// Call a method that echoes, on RabbitMQ, from so many callers at once.
    Calls { callers: usize },
}

impl What {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pipelined => "pipelined",
            Self::OneByOne => "one-by-one",
            Self::Threads { .. } => "threads",
            Self::Listen => "listen",
            Self::EndToEnd { .. } => "end-to-end",
            Self::Calls { .. } => "calls",
        }
    }
}

/// What a program is told to do. For calls the addresses are those of RabbitMQ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) url: String,
    pub(crate) bootstrap: String,
    pub(crate) what: What,
    pub(crate) count: usize,
    pub(crate) topic: String,
    pub(crate) group: String,
}

impl Job {
    /// The whole topic name, as all three programs use it.
    pub(crate) fn topic_name(&self) -> String {
        format!("{}.info", self.topic)
    }
}

/// A stopwatch for time, CPU and memory of this process.
pub(crate) struct Watch {
    begun: Instant,
    cpu: Duration,
    memory: u64,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now(), cpu: cpu(), memory: memory_kib("VmRSS") }
    }

    /// Time and CPU count from here on; memory goes on from the start of the program.
    pub(crate) fn first_record(&mut self) {
        self.begun = Instant::now();
        self.cpu = cpu();
    }

    pub(crate) fn stop(self, count: usize, latencies: Vec<Duration>) -> Measured {
        let seconds = self.begun.elapsed().as_secs_f64();
        let cpu = (cpu() - self.cpu).as_secs_f64();
        let memory = memory_kib("VmHWM").saturating_sub(self.memory);
        let micros = latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        Measured::new(count, seconds, cpu, memory, micros)
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

fn memory_kib(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[derive(Deserialize)]
struct Line<'a> {
    publisher_id: String,
    event_type: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    context: &'a RawValue,
}

/// The project's own notifications, about 2.2 kB each on the wire, all at priority info.
pub(crate) fn corpus() -> Vec<Notification> {
    let text = include_str!("../../../examples/notifications.jsonl");
    let read = |line: &str| {
        let line: Line<'_> = serde_json::from_str(line).expect("the corpus is JSON");
        Notification::new(
            line.publisher_id,
            line.event_type,
            Priority::Info,
            Payload::from_json(line.payload.get()).expect("a payload of the corpus is JSON"),
            Context::from_json(line.context.get()).expect("a context of the corpus is JSON"),
        )
    };
    text.lines().map(read).collect()
}

/// Waits until the tick is due. Ticks that are late are not made up for.
pub(crate) fn wait_for_tick(begun: Instant, tick: usize, per_second: u32) {
    let due = begun + Duration::from_secs(1) * u32::try_from(tick).unwrap_or(u32::MAX) / per_second;
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}
