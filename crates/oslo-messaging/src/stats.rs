//! The one set of counters: tests, metrics and the command line all read it.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::receipt::FinalOutcome;

/// A count that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The count now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A value that goes up and down.
#[derive(Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(feature = "kafka")]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Whoever wants to know what finally became of each record.
pub(crate) type Observer = Arc<dyn Fn(&FinalOutcome) + Send + Sync>;

/// Set once, before the first record.
#[derive(Default)]
struct ObserverSlot(OnceLock<Observer>);

impl fmt::Debug for ObserverSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "set" } else { "none" })
    }
}

/// What a transport has done since it was opened. Each field is read on its own.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Records handed to a driver or refused before that.
    pub sent: Counter,
    /// Records that the broker has accepted.
    pub delivered: Counter,
    /// Records that are not on the broker.
    pub not_delivered: Counter,
    /// Records that were sent and not answered.
    pub unknown: Counter,
    /// Records whose sender was told that they are queued or spooled.
    pub accepted: Counter,
    /// Records that were refused because a queue was full (`queue_overflow = drop` or `log`, or
    /// `block` at the end of its time).
    pub overflowed: Counter,
    /// Further hand-overs to the client library, of records that were surely not stored.
    pub handed_over_again: Counter,
    /// Records that the breaker refused at once.
    pub breaker_refused: Counter,
    /// Times that the breaker opened.
    pub breaker_opened: Counter,
    /// 1 while the breaker is open, else 0.
    pub breaker_open: Gauge,
    /// Times that the client library's producer was given up and made anew.
    pub producer_rebuilt: Counter,
    /// Bytes of this process's folder of the spool.
    pub spool_bytes: Gauge,
    /// Folders that dead processes left in the spool and that this one took over. Their records
    /// count as delivered, but not as sent, here.
    pub spool_adopted: Counter,
    /// Stretches of bytes in the spool that were no records and were set aside.
    pub spool_damaged: Counter,
    /// Records taken from the client library.
    pub received: Counter,
    /// Records handed to endpoints' workers.
    pub dispatched: Counter,
    /// Records that no filter or priority of any endpoint wanted.
    pub filtered: Counter,
    /// Records that are no notification, or that a serializer refused: logged and skipped.
    pub undecodable: Counter,
    /// Records whose endpoint returned an error or panicked.
    pub endpoint_failures: Counter,
    /// Records offered to endpoints once more, each time (`commit = after_dispatch`).
    pub redelivered: Counter,
    /// Records whose last redelivery failed.
    pub given_up: Counter,
    /// Records stored on the dead-letter topic.
    pub dead_letters: Counter,
    /// Attempts to store a record there that failed.
    pub dead_letter_failures: Counter,
    /// Commit requests that were answered without an error, by partition.
    pub commits: Counter,
    /// Commit requests that were refused or not answered, by partition.
    pub commit_failures: Counter,
    /// Records dropped under a commit that was never answered: they may be lost.
    pub unknown_commit: Counter,
    /// Records let go without a commit: their next owner reads them.
    pub returned: Counter,
    /// Records that the broker had deleted before the group read them.
    pub deleted_unread: Counter,
    /// Times that the client library refused a record batch: its checksum is wrong, or it cannot
    /// be unpacked within bounds. One that is so on the broker is counted again and again, while
    /// its partition stands still.
    pub unreadable_batches: Counter,
    /// Times that the group assigned partitions.
    pub rebalances: Counter,
    observer: ObserverSlot,
}

impl Stats {
    /// Sets whom [`observe`](Self::observe) tells; the first one stays.
    pub(crate) fn set_observer(&self, observer: Observer) {
        // Only called where a transport is opened, once.
        let _ = self.observer.0.set(observer);
    }

    /// Tells the observer, if there is one. Its panic stays here: the threads that call this have
    /// more to do.
    pub(crate) fn observe(&self, outcome: impl FnOnce() -> FinalOutcome) {
        let Some(observer) = self.observer.0.get() else { return };
        let outcome = outcome();
        if catch_unwind(AssertUnwindSafe(|| observer(&outcome))).is_err() {
            tracing::error!(message_id = %outcome.message_id, "the observer of outcomes panicked");
        }
    }
}
