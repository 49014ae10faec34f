//! What the library says, kept until a Python thread takes it: logging is Python, and Python is not
//! called from the library's threads.

use std::{
    fmt::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use crossbeam_queue::ArrayQueue;
use oslo_messaging::FinalOutcome;
use pyo3::{PyResult, pyfunction};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::wake::WakeFd;

/// More than this is not kept: a log is read, or its reader is in trouble.
const LONGEST: usize = 1000;
/// Python's numbers.
const ERROR: u8 = 40;
/// What a sending thread says itself, from the error that it gets.
const RECEIPTS: &str = "oslo_messaging::receipt";

/// Level as of Python's logging, where it was said, and what.
type Line = (u8, String, String);

/// Without locks: a child that is forked meanwhile finds it usable.
struct Log {
    lines: ArrayQueue<Line>,
    dropped: AtomicUsize,
    level: AtomicU8,
    wake: OnceLock<std::sync::Arc<WakeFd>>,
}

static LOG: OnceLock<Log> = OnceLock::new();

fn log() -> &'static Log {
    LOG.get_or_init(|| Log {
        lines: ArrayQueue::new(LONGEST),
        dropped: AtomicUsize::new(0),
        level: AtomicU8::new(ERROR),
        wake: OnceLock::new(),
    })
}

/// Begins to keep what the library says.
#[pyfunction]
pub(crate) fn start_log() -> PyResult<()> {
    if log().wake.get().is_none() {
        let _ = log().wake.set(WakeFd::new()?);
        // Another module of the process may have one; then that one is told.
        let _ = tracing::subscriber::set_global_default(Kept);
    }
    Ok(())
}

/// A descriptor that becomes readable when there is something to take; -1 before `start_log`.
#[pyfunction]
pub(crate) fn log_fileno() -> i32 {
    log().wake.get().map_or(-1, |wake| wake.fileno())
}

/// Keeps only what is at least this important, as Python counts.
#[pyfunction]
pub(crate) fn set_log_level(level: u8) {
    if log().level.swap(level, Ordering::Relaxed) != level {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Takes what was said: `(level, place, words)`.
#[pyfunction]
pub(crate) fn take_log() -> Vec<Line> {
    let log = log();
    if let Some(wake) = log.wake.get() {
        wake.clear();
    }
    let mut lines: Vec<Line> = std::iter::from_fn(|| log.lines.pop()).collect();
    let dropped = log.dropped.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        lines.push((ERROR, String::new(), format!("{dropped} lines of the log were dropped")));
    }
    lines
}

/// What finally became of a notification that was accepted, when that is no success.
pub(crate) fn outcome(outcome: &FinalOutcome) {
    if let (Err(undelivered), true) = (&outcome.result, outcome.was_accepted) {
        keep(ERROR, "", undelivered.to_string());
    }
}

fn keep(level: u8, target: &str, words: String) {
    let log = log();
    if log.lines.push((level, target.to_owned(), words)).is_err() {
        log.dropped.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(wake) = log.wake.get() {
        wake.set();
    }
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => ERROR,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

struct Kept;

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("oslo")
            && metadata.target() != RECEIPTS
            && number(*metadata.level()) >= log().level.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match log().level.load(Ordering::Relaxed) {
            0..=5 => LevelFilter::TRACE,
            6..=10 => LevelFilter::DEBUG,
            11..=20 => LevelFilter::INFO,
            21..=30 => LevelFilter::WARN,
            _ => LevelFilter::ERROR,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let metadata = event.metadata();
        words.message.push_str(&words.fields);
        keep(number(*metadata.level()), metadata.target(), words.message);
    }

    // There are no spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message, and the fields after it.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
