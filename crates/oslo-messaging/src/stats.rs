//! The one set of counters: tests, metrics and the command line all read it.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

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
    /// Commit requests that were answered without an error, by partition.
    pub commits: Counter,
    /// Commit requests that were refused or not answered, by partition.
    pub commit_failures: Counter,
    /// Records dropped under a commit that was never answered: they may be lost.
    pub unknown_commit: Counter,
    /// Records let go without a commit: their next owner reads them.
    pub returned: Counter,
    /// Times that the group assigned partitions.
    pub rebalances: Counter,
}
