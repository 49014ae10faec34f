//! What the ledger knows of one ownership of one partition.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{CommitId, Period, doubt::Doubt};

#[derive(Debug)]
pub(super) struct Slice<R> {
    pub(super) commit: CommitId,
    /// The committed offset.
    pub(super) upto: i64,
    /// What may be dispatched once the commit succeeded.
    pub(super) records: VecDeque<(i64, R)>,
}

/// What was dispatched and is not committed, with [`Mode::AfterDispatch`].
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Offsets in order, and whether they were handled.
    pub(super) records: VecDeque<(i64, bool)>,
    /// Behind the last record before which all were handled.
    pub(super) done: Option<i64>,
    pub(super) committed: Option<i64>,
}

impl Flow {
    /// Rule 6.
    pub(super) fn finished(&mut self, offset: i64) {
        if let Ok(index) = self.records.binary_search_by_key(&offset, |(offset, _)| *offset) {
            self.records[index].1 = true;
        }
        while let Some((offset, true)) = self.records.front() {
            self.done = Some(offset + 1);
            self.records.pop_front();
        }
    }

    pub(super) fn is_committed(&self) -> bool {
        self.done == self.committed
    }

    /// Nothing more can be committed.
    pub(super) fn give_up(&mut self) {
        self.committed = self.done;
    }
}

#[derive(Debug)]
pub(super) struct Partition<R> {
    pub(super) period: Period,
    /// Lowest offset that was not yet taken in this period.
    pub(super) next: i64,
    pub(super) pin: Option<i64>,
    pub(super) taken: VecDeque<(i64, R)>,
    pub(super) slice: Option<Slice<R>>,
    /// Up to here a commit was sent and never answered: it may have moved the offset.
    pub(super) unsure: i64,
    pub(super) doubt: Option<Doubt<R>>,
    pub(super) flow: Flow,
    pub(super) waiting: usize,
    pub(super) running: usize,
    pub(super) mean: Option<Duration>,
    /// No commit before this time, and the step to the next one.
    pub(super) hold: Option<Instant>,
    pub(super) backoff: Duration,
    pub(super) paused: bool,
    /// Revoked or lost: nothing more is taken or committed.
    pub(super) leaving: bool,
    /// Revoked: the group waits for its release.
    pub(super) revoked: bool,
    /// Had too many dead letters: nothing more is taken or dispatched.
    pub(super) stopped: bool,
}

impl<R> Partition<R> {
    pub(super) fn quiet(&self) -> bool {
        !self.is_asking() && self.waiting == 0 && self.running == 0 && self.flow.is_committed()
    }

    /// Whether it is open what the broker has committed: another commit would blur that.
    pub(super) fn is_asking(&self) -> bool {
        self.slice.is_some() || self.doubt.is_some()
    }

    /// Whether a committed record waits behind an endpoint.
    pub(super) fn blocked(&self) -> bool {
        self.waiting > 0
    }
}
