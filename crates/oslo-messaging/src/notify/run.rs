//! Records that are handled one after the other, and how far that has come.

use std::time::{Duration, Instant};

use crate::driver::{Incoming, Settled, Subscription, Token};

/// Most records that are taken at once to handle one after the other.
pub(super) const LONGEST_RUN: usize = 64;
/// How late the subscription learns of what was done meanwhile.
const TELL_AFTER: Duration = Duration::from_millis(1);

/// How far a run of records is. The subscription is told before the last one, which lets it bring
/// more, and meanwhile whenever something took long.
pub(super) struct Progress {
    tokens: Vec<Token>,
    settled: Vec<Settled>,
    begun: usize,
    told: usize,
    told_at: Instant,
    /// When the record that is being handled began.
    since: Instant,
}

impl Progress {
    pub(super) fn new(records: &[Incoming]) -> Self {
        let now = Instant::now();
        Self {
            tokens: records.iter().map(|record| record.token).collect(),
            settled: Vec::with_capacity(records.len()),
            begun: 0,
            told: 0,
            told_at: now,
            since: now,
        }
    }

    /// The next record begins.
    pub(super) fn begin(&mut self, subscription: &dyn Subscription) {
        self.begun += 1;
        let is_last = self.begun == self.tokens.len();
        if is_last || self.since.duration_since(self.told_at) > TELL_AFTER {
            subscription.advance(&self.tokens[self.told..self.begun], &self.settled);
            self.settled.clear();
            (self.told, self.told_at) = (self.begun, self.since);
        }
    }

    /// The record that began last is done with; `done`: it was handled.
    pub(super) fn settle(&mut self, done: bool) {
        let begun = std::mem::replace(&mut self.since, Instant::now());
        let took = self.since.duration_since(begun);
        self.settled.push(Settled { token: self.tokens[self.begun - 1], done, took });
    }

    /// All of them are.
    pub(super) fn end(self, subscription: &dyn Subscription) {
        subscription.advance(&[], &self.settled);
    }
}
