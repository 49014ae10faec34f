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

/// Makes the struct, and what goes over its fields.
macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// What a transport has done since it was opened. Each field is read on its own.
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: $kind,)*
            observer: ObserverSlot,
        }

        impl Stats {
            /// All of them by name, such as `("delivered", 12)`.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name.get())),*].into_iter()
            }
        }
    };
}

stats! {
    /// Records handed to a driver or refused before that.
    sent: Counter,
    /// Records that the broker has accepted.
    delivered: Counter,
    /// Records that are not on the broker.
    not_delivered: Counter,
    /// Records that were sent and not answered.
    unknown: Counter,
    /// Records whose sender was told that they are queued or spooled.
    accepted: Counter,
    /// Records that were refused because a queue was full (`queue_overflow = drop` or `log`, or
    /// `block` at the end of its time).
    overflowed: Counter,
    /// Further hand-overs to the client library, of records that were surely not stored.
    handed_over_again: Counter,
    /// Records that the breaker refused at once.
    breaker_refused: Counter,
    /// Times that the breaker opened.
    breaker_opened: Counter,
    /// 1 while the breaker is open, else 0.
    breaker_open: Gauge,
    /// Times that the client library's producer was given up and made anew.
    producer_rebuilt: Counter,
    /// Bytes of this process's folder of the spool.
    spool_bytes: Gauge,
    /// Folders that dead processes left in the spool and that this one took over. Their records
    /// count as delivered, but not as sent, here.
    spool_adopted: Counter,
    /// Stretches of bytes in the spool that were no records and were set aside.
    spool_damaged: Counter,
    /// Records taken from the client library.
    received: Counter,
    /// Records handed to endpoints' workers.
    dispatched: Counter,
    /// Records that no filter or priority of any endpoint wanted.
    filtered: Counter,
    /// Records that are no notification, or that a serializer refused: logged and skipped.
    undecodable: Counter,
    /// Records whose endpoint returned an error or panicked.
    endpoint_failures: Counter,
    /// Records offered to endpoints once more, each time (`commit = after_dispatch`).
    redelivered: Counter,
    /// Records whose last redelivery failed.
    given_up: Counter,
    /// Records stored on the dead-letter topic.
    dead_letters: Counter,
    /// Attempts to store a record there that failed.
    dead_letter_failures: Counter,
    /// Commit requests that were answered without an error, by partition.
    commits: Counter,
    /// Commit requests that were refused or not answered, by partition.
    commit_failures: Counter,
    /// Records dropped under a commit that was never answered: they may be lost.
    unknown_commit: Counter,
    /// Records let go without a commit: their next owner reads them.
    returned: Counter,
    /// Records that the broker had deleted before the group read them.
    deleted_unread: Counter,
    /// Times that the client library refused a record batch: its checksum is wrong, or it cannot
    /// be unpacked within bounds. One that is so on the broker is counted again and again, while
    /// its partition stands still.
    unreadable_batches: Counter,
    /// Times that a listener's client was given up and made anew.
    consumer_rebuilt: Counter,
    /// Times that the group assigned partitions.
    rebalances: Counter,
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
