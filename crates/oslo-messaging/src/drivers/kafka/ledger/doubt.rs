//! Records whose commit was never answered and whose partition is going, or has gone.
//!
//! While a partition is this member's, an unanswered commit is simply sent again. When it goes
//! before a later commit succeeds, nobody here knows who handles those records: this member, if the
//! commit reached the broker, or else the partition's next owner. So the ledger asks what is
//! committed. With each offset on the broker stands whose commit it was:
//!
//! | what is committed | the records before it | the records behind it |
//! |---|---|---|
//! | this member's | are its own: the next owner began behind them. They are dispatched | as below |
//! | another's | may have been handled by whoever committed: `UnknownCommit` | as below |
//! | anything | | are the next owner's, unless the commit can still arrive: `UnknownCommit` |
//!
//! A commit arrives no more when the group has assigned the partition anew, since then it is of an
//! old generation. That is known here only of a partition that came back. A name for the single
//! commit is not needed: a partition has one request at a time and none while it is in doubt, so the
//! offset tells which one it was.
//!
//! With `Mode::AfterDispatch` there is no doubt: records that may have been committed were handled.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Committed, Ledger, Output, Partition, Period, Slot};

/// How long the question is repeated: until a coordinator that moves is there again.
const DOUBT_FOR: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Doubt<R> {
    records: VecDeque<(i64, R)>,
    ask_at: Instant,
    until: Instant,
}

impl<R> Doubt<R> {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn next_deadline(&self) -> Instant {
        self.ask_at.min(self.until)
    }
}

impl<R> Partition<R> {
    /// Lets records go that are not known to be committed; returns how many are surely the next
    /// owner's. The others, under an unanswered commit, are kept in doubt.
    pub(super) fn let_go(&mut self, now: Instant, records: VecDeque<(i64, R)>) -> usize {
        let all = records.len();
        let unsure = self.unsure;
        let mut kept: VecDeque<_> =
            records.into_iter().filter(|(offset, _)| *offset < unsure).collect();
        let dropped = all - kept.len();
        if !kept.is_empty() {
            // A slice goes before what was taken after it.
            kept.extend(self.doubt.take().map(|doubt| doubt.records).unwrap_or_default());
            self.doubt = Some(Doubt { records: kept, ask_at: now, until: now + DOUBT_FOR });
        }
        dropped
    }
}

impl<R> Ledger<R> {
    /// Asks about what is in doubt, one question at a time; gives up what nobody could tell.
    pub(super) fn ask(&mut self, now: Instant) {
        if !self.asked.is_empty() {
            return;
        }
        let owned = self.partitions.iter_mut().map(|(slot, part)| (*slot, part));
        let departed = self.departed.iter_mut().map(|(slot, part)| (*slot, part));
        let mut due = Vec::new();
        let mut given_up = Vec::new();
        for (slot, part) in owned.chain(departed).filter(|(_, part)| part.slice.is_none()) {
            let Some(doubt) = &part.doubt else { continue };
            if now >= doubt.until {
                given_up.push((slot, doubt.len()));
                part.doubt = None;
            } else if now >= doubt.ask_at {
                due.push(slot);
            }
        }
        for (slot, count) in given_up {
            self.held -= count;
            self.outputs.push_back(Output::UnknownCommit { slot, count });
        }
        if !due.is_empty() {
            let owner = |slot: Slot| self.partitions.get(&slot).map(|part| part.period);
            self.asked = due.iter().map(|slot| (*slot, owner(*slot))).collect();
            self.outputs.push_back(Output::AskCommitted { slots: due });
        }
    }

    /// The answer for one partition; `None` when it could not be had.
    pub(super) fn committed(&mut self, now: Instant, slot: Slot, found: Option<Committed>) {
        let Some(asked_in) = self.asked.remove(&slot) else { return };
        let departed = self.departed.iter_mut().filter(|(s, _)| *s == slot).map(|(_, p)| p);
        let mut parts = self.partitions.get_mut(&slot).into_iter().chain(departed);
        let Some(part) = parts.find(|part| part.doubt.is_some()) else { return };
        let Some(Committed { offset, own }) = found else {
            part.doubt.iter_mut().for_each(|doubt| doubt.ask_at = now + ASK_AGAIN);
            return;
        };
        let records = part.doubt.take().map(|doubt| doubt.records).unwrap_or_default();
        let (before, behind): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(record, _)| *record < offset);
        let came_back = asked_in.is_some_and(|period: Period| period != part.period);
        let (period, behind) = (part.period, behind.len());
        let mut unknown = if came_back { 0 } else { behind };
        if own {
            part.waiting += before.len();
            if !before.is_empty() {
                self.outputs.push_back(Output::Dispatch { slot, period, records: before });
            }
            self.held -= behind;
        } else {
            unknown += before.len();
            self.held -= behind + before.len();
        }
        if unknown > 0 {
            self.outputs.push_back(Output::UnknownCommit { slot, count: unknown });
        }
        if came_back && behind > 0 {
            self.outputs.push_back(Output::Drop { slot, count: behind });
        }
    }
}
