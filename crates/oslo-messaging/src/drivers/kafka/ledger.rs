//! The core of commit and dispatch: which records may be handed to endpoints, and when.
//!
//! A state machine without I/O. The consumer thread tells it what happened ([`Input`]) and does
//! what it says ([`Output`]); it never sees a broker, a clock or a lock, so that every order of
//! events can be tried in a unit test. Each record moves one way:
//!
//! ```text
//!            Polled            Commit            CommitResult ok          Dispatched     Finished
//!   broker ─────────▶ taken ───────────▶ slice ─────────────────▶ waiting ─────────▶ running ─────▶ gone
//!                       ▲                  │ CommitResult err
//!                       └──────────────────┘
//! ```
//!
//! Loss and repetition are kept out by five rules; each stands in one place below:
//!
//! 1. A record is dispatched only when a commit that covers it succeeded, in the ownership period
//!    in which it was taken (`commit_result`).
//! 2. A record whose commit failed goes back to `taken`, before its successors: it is committed
//!    again, or dropped at the revocation and read by the next owner (`commit_result`).
//! 3. What is committed is dispatched, whatever happens to the partition: nobody else will get it
//!    (`lost`, `revoked`, `shutdown` drop only what is not committed).
//! 4. A revocation is answered when what is committed was handled, or at the drain deadline
//!    (`release_if_quiet`), so that the next owner starts behind it.
//! 5. An offset is taken once in an ownership period (`polled`).
//!
//! Records of a partition that goes under an unanswered commit are not dropped at once: `doubt.rs`
//! finds out whose they are.
//!
//! With [`Mode::AfterDispatch`] the order of the middle is another, and a record may come twice but
//! is never lost:
//!
//! ```text
//!            Polled            Dispatch           Dispatched     Finished             Commit
//!   broker ─────────▶ taken ────────────▶ waiting ─────────▶ running ─────▶ finished ────────▶ gone
//! ```
//!
//! 6. The committed offset never passes a record that was not finished (`finished`).
//! 7. What nobody began when its partition leaves is withdrawn: the next owner reads it (`leave`);
//!    a revocation waits for what runs, and for the commit of what finished (`quiet`).

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

mod doubt;
mod events;
mod partition;

use doubt::Doubt;
pub(super) use events::{
    CommitFailure, CommitId, Committed, Input, Limits, Mode, Output, Period, Slot, Window,
};
use partition::{Flow, Partition, Slice};

/// How long the ledger stays full before partitions are paused: a pause throws away what the
/// client library has fetched ahead, so a short jam must not cause one.
const FULL_BEFORE_PAUSE: Duration = Duration::from_secs(1);
/// With [`Mode::AfterDispatch`]: time between a partition's commits, so that one covers many
/// records.
const COMMIT_PAUSE: Duration = Duration::from_millis(50);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(2);
const DENIED_BACKOFF: Duration = Duration::from_secs(10);

/// See the module's head.
#[derive(Debug)]
pub(super) struct Ledger<R> {
    limits: Limits,
    partitions: BTreeMap<Slot, Partition<R>>,
    /// Partitions that went while committed records were still on their way to an endpoint.
    departed: Vec<(Slot, Partition<R>)>,
    /// Slots in doubt that were asked for, and the period in which this member owned them then.
    asked: BTreeMap<Slot, Option<Period>>,
    next_commit: CommitId,
    next_period: Period,
    /// Records in `taken`, in slices and waiting.
    held: usize,
    full_since: Option<Instant>,
    drain_deadline: Option<Instant>,
    shutdown: bool,
    outputs: VecDeque<Output<R>>,
}

impl<R> Ledger<R> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            partitions: BTreeMap::new(),
            departed: Vec::new(),
            asked: BTreeMap::new(),
            next_commit: 0,
            next_period: 0,
            held: 0,
            full_since: None,
            drain_deadline: None,
            shutdown: false,
            outputs: VecDeque::new(),
        }
    }

    /// Whether the client library may be asked for records.
    ///
    /// When full it may be asked only once everything is paused: then it serves the group's
    /// events and has no records to give.
    pub(super) fn wants_poll(&self) -> bool {
        self.held < self.limits.max_records
            || self.partitions.values().all(|p| p.paused || p.leaving)
    }

    /// When the next [`Input::Tick`] is due at the latest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let holds = self.partitions.values().filter_map(|p| p.hold);
        let full = self.full_since.map(|since| since + FULL_BEFORE_PAUSE);
        let all = self.partitions.values().chain(self.departed.iter().map(|(_, p)| p));
        // A question under way is answered, and that wakes.
        let doubts = all.filter(|_| self.asked.is_empty()).filter_map(|p| p.doubt.as_ref());
        let doubts = doubts.map(Doubt::next_deadline);
        holds.chain(full).chain(doubts).chain(self.drain_deadline).min()
    }

    /// Ownership periods that have not begun to end.
    pub(super) fn periods(&self) -> impl Iterator<Item = Period> {
        self.partitions.values().filter(|p| !p.leaving && !p.stopped).map(|p| p.period)
    }

    /// The ownership period of a slot, until it is released or lost.
    pub(super) fn period(&self, slot: Slot) -> Option<Period> {
        self.partitions.get(&slot).map(|p| p.period)
    }

    /// Slots that this member owns and may still take records of.
    pub(super) fn owned(&self) -> impl Iterator<Item = Slot> {
        self.partitions.iter().filter(|(_, p)| !p.leaving).map(|(slot, _)| *slot)
    }

    /// Records that no endpoint has begun or finished yet and that are committed, or may be.
    pub(super) fn unfinished(&self) -> usize {
        self.undecided() + self.all().map(|p| p.waiting + p.running).sum::<usize>()
    }

    /// Those of them whose commit has no answer.
    pub(super) fn undecided(&self) -> usize {
        let asked = |p: &Partition<R>| {
            p.slice.as_ref().map_or(0, |slice| slice.records.len())
                + p.doubt.as_ref().map_or(0, Doubt::len)
        };
        self.all().map(asked).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Partition<R>> {
        self.partitions.values().chain(self.departed.iter().map(|(_, p)| p))
    }

    /// Whether each finished record counts: a revocation or the shutdown waits for it, or its
    /// commit does.
    pub(super) fn is_watching(&self) -> bool {
        self.shutdown || self.drain_deadline.is_some() || self.limits.mode == Mode::AfterDispatch
    }

    pub(super) fn next_output(&mut self) -> Option<Output<R>> {
        self.outputs.pop_front()
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<R>) {
        match input {
            Input::Assigned { slot, pin } => self.assigned(now, slot, pin),
            Input::BegunAnew { slot } => {
                // A partition that leaves has nothing more to take, and must be released.
                if let Some(part) = self.partitions.get(&slot).filter(|p| !p.leaving && !p.stopped)
                {
                    let was_paused = part.paused;
                    self.assigned(now, slot, None);
                    if was_paused {
                        self.outputs.push_back(Output::Resume { slot });
                    }
                }
            }
            Input::Polled { slot, offset, record } => self.polled(slot, offset, record),
            Input::CommitResult { id, slot, result } => self.commit_result(now, id, slot, result),
            Input::Committed { slot, found } => self.committed(now, slot, found),
            Input::Dispatched { slot, period } => {
                let part = find(&mut self.partitions, &mut self.departed, slot, period);
                if let Some(part) = part.filter(|p| p.waiting > 0) {
                    part.waiting -= 1;
                    part.running += 1;
                    self.held -= 1;
                }
            }
            Input::Finished { slot, period, offset, done, took } => {
                let owned = self.partitions.get(&slot).is_some_and(|p| p.period == period);
                if let Some(part) = find(&mut self.partitions, &mut self.departed, slot, period) {
                    part.running = part.running.saturating_sub(1);
                    part.mean = Some(part.mean.map_or(took, |mean| (mean * 7 + took) / 8));
                    if done && owned && self.limits.mode == Mode::AfterDispatch {
                        part.flow.finished(offset);
                    }
                }
            }
            Input::Withdrawn { slot, period, count } => {
                if let Some(part) = find(&mut self.partitions, &mut self.departed, slot, period) {
                    part.waiting -= count;
                    self.held -= count;
                    self.outputs.push_back(Output::Drop { slot, count });
                }
            }
            Input::Stopped { slot, period } => self.stopped(now, slot, period),
            Input::Revoked { slots } => self.revoked(now, slots),
            Input::Lost { slots } => self.lost(now, slots),
            Input::Shutdown => self.shutdown(now),
            Input::Tick => {}
        }
    }

    /// Draws the conclusions of what was handled: call it after each round of inputs.
    pub(super) fn settle(&mut self, now: Instant) {
        self.release_if_quiet(now);
        self.ask(now);
        self.departed.retain(|(_, part)| !part.quiet());
        self.pause_or_resume(now);
        if self.limits.mode == Mode::AfterDispatch {
            self.hand_out();
        }
        self.commit(now);
        let done = |p: &Partition<R>| p.quiet() && p.taken.is_empty();
        if self.shutdown && self.departed.is_empty() && self.partitions.values().all(done) {
            self.outputs.push_back(Output::Quiet);
        }
    }

    fn assigned(&mut self, now: Instant, slot: Slot, pin: Option<i64>) {
        // An assignment on top of an old ownership means that its end was never told.
        self.lost(now, vec![slot]);
        self.next_period += 1;
        let part = Partition {
            period: self.next_period,
            next: i64::MIN,
            pin,
            taken: VecDeque::new(),
            slice: None,
            unsure: i64::MIN,
            doubt: None,
            flow: Flow::default(),
            waiting: 0,
            running: 0,
            mean: None,
            hold: None,
            backoff: FIRST_BACKOFF,
            paused: false,
            leaving: self.shutdown,
            revoked: false,
            stopped: false,
        };
        self.partitions.insert(slot, part);
    }

    fn polled(&mut self, slot: Slot, offset: i64, record: R) {
        let Some(part) = self.partitions.get_mut(&slot) else { return };
        // Rule 5; and what arrives for a leaving partition is the next owner's.
        if part.leaving || part.stopped || offset < part.next {
            return;
        }
        part.next = offset + 1;
        part.taken.push_back((offset, record));
        self.held += 1;
    }

    /// Sends one commit for all partitions that may have one. A partition has one request at a
    /// time, whoever owned it at the first: a later one can then never be overtaken by an earlier
    /// one. Partitions do not wait for each other.
    fn commit(&mut self, now: Instant) {
        let id = self.next_commit;
        let (share, mode) = (self.share(), self.limits.mode);
        let mut offsets = Vec::new();
        for (slot, part) in &mut self.partitions {
            let under_way =
                part.is_asking() || self.departed.iter().any(|(s, p)| s == slot && p.is_asking());
            if under_way || part.hold.is_some_and(|until| now < until) {
                continue;
            }
            let (upto, records) = match mode {
                Mode::BeforeDispatch(_) if part.leaving || part.blocked() => continue,
                Mode::BeforeDispatch(window) => {
                    let size = match window {
                        Window::Fixed(size) => size,
                        Window::Adaptive(span) => adaptive(span, part.mean).min(share),
                    };
                    let size = size.min(part.taken.len());
                    let records: VecDeque<_> = part.taken.drain(..size).collect();
                    (records.back().map(|(offset, _)| offset + 1), records)
                }
                Mode::AfterDispatch => {
                    (part.flow.done.filter(|_| !part.flow.is_committed()), VecDeque::new())
                }
            };
            part.hold = None;
            let Some(upto) = upto.or(part.pin.filter(|_| !part.leaving)) else { continue };
            part.slice = Some(Slice { commit: id, upto, records });
            offsets.push((*slot, upto));
        }
        if !offsets.is_empty() {
            self.next_commit += 1;
            self.outputs.push_back(Output::Commit { id, offsets });
        }
    }

    /// Hands out what was taken, as long as a partition has not more than its share waiting.
    fn hand_out(&mut self) {
        let share = self.share();
        for (slot, part) in &mut self.partitions {
            let count = part.taken.len().min(share.saturating_sub(part.waiting));
            if count == 0 {
                continue;
            }
            let records: Vec<_> = part.taken.drain(..count).collect();
            part.flow.records.extend(records.iter().map(|(offset, _)| (*offset, false)));
            part.waiting += count;
            self.outputs.push_back(Output::Dispatch { slot: *slot, period: part.period, records });
        }
    }

    /// A partition's part of what may be held.
    fn share(&self) -> usize {
        let owned = self.partitions.values().filter(|p| !p.leaving).count().max(1);
        (self.limits.max_records / owned).max(1)
    }

    fn commit_result(
        &mut self,
        now: Instant,
        id: CommitId,
        slot: Slot,
        result: Result<(), CommitFailure>,
    ) {
        let departed = self.departed.iter_mut().filter(|(s, _)| *s == slot).map(|(_, p)| p);
        let parts = self.partitions.get_mut(&slot).into_iter().chain(departed);
        // Rule 1: the slice is found in the ownership period that sent it, or not at all.
        let part = parts.into_iter().find(|p| p.slice.as_ref().is_some_and(|s| s.commit == id));
        let Some((part, slice)) = part.and_then(|p| p.slice.take().map(|slice| (p, slice))) else {
            return;
        };
        match result {
            Ok(()) => {
                part.pin = None;
                part.unsure = i64::MIN;
                part.backoff = FIRST_BACKOFF;
                if self.limits.mode == Mode::AfterDispatch {
                    part.flow.committed = part.flow.done.map(|_| slice.upto);
                    part.hold = (!part.leaving).then(|| now + COMMIT_PAUSE);
                }
                part.waiting += slice.records.len();
                let (period, records) = (part.period, Vec::from(slice.records));
                if !records.is_empty() {
                    self.outputs.push_back(Output::Dispatch { slot, period, records });
                }
            }
            Err(failure) if part.leaving => {
                part.flow.give_up();
                if failure == CommitFailure::Unanswered {
                    part.unsure = part.unsure.max(slice.upto);
                }
                let count = part.let_go(now, slice.records);
                self.drop_records(slot, count);
            }
            Err(failure) => {
                if failure == CommitFailure::Unanswered && !slice.records.is_empty() {
                    part.unsure = part.unsure.max(slice.upto);
                }
                // Rule 2.
                let wait = match failure {
                    CommitFailure::Denied => DENIED_BACKOFF,
                    _ => part.backoff,
                };
                part.hold = Some(now + wait);
                part.backoff = (part.backoff * 2).min(LAST_BACKOFF);
                if part.stopped {
                    let count = part.let_go(now, slice.records);
                    self.drop_records(slot, count);
                } else {
                    for entry in slice.records.into_iter().rev() {
                        part.taken.push_front(entry);
                    }
                }
            }
        }
    }

    fn revoked(&mut self, now: Instant, slots: Vec<Slot>) {
        self.drain_deadline = Some(now + self.limits.drain);
        for slot in slots {
            self.leave(now, slot);
            if let Some(part) = self.partitions.get_mut(&slot) {
                part.revoked = true;
            }
        }
    }

    /// Rule 4.
    fn release_if_quiet(&mut self, now: Instant) {
        let Some(deadline) = self.drain_deadline else { return };
        let leaving: Vec<Slot> =
            self.partitions.iter().filter(|(_, p)| p.revoked).map(|(slot, _)| *slot).collect();
        let quiet = leaving.iter().all(|slot| self.partitions[slot].quiet());
        if quiet || now >= deadline {
            self.drain_deadline = None;
            for slot in &leaving {
                self.depart(*slot);
            }
            self.outputs.push_back(Output::Release { slots: leaving });
        }
    }

    fn lost(&mut self, now: Instant, slots: Vec<Slot>) {
        for slot in slots {
            self.leave(now, slot);
            self.depart(slot);
        }
    }

    fn shutdown(&mut self, now: Instant) {
        self.shutdown = true;
        let slots: Vec<Slot> = self.partitions.keys().copied().collect();
        for slot in slots {
            self.leave(now, slot);
        }
    }

    fn stopped(&mut self, now: Instant, slot: Slot, period: Period) {
        let Some(part) = self.partitions.get_mut(&slot).filter(|p| p.period == period) else {
            return;
        };
        if part.stopped || part.leaving {
            return;
        }
        part.stopped = true;
        if !part.paused {
            part.paused = true;
            self.outputs.push_back(Output::Pause { slot });
        }
        self.drop_untold(now, slot);
    }

    /// Rules 3 and 7: drops what is not committed, and only that.
    fn leave(&mut self, now: Instant, slot: Slot) {
        let Some(part) = self.partitions.get_mut(&slot) else { return };
        part.leaving = true;
        part.hold = None;
        self.drop_untold(now, slot);
    }

    fn drop_untold(&mut self, now: Instant, slot: Slot) {
        let Some(part) = self.partitions.get_mut(&slot) else { return };
        let taken = std::mem::take(&mut part.taken);
        let count = part.let_go(now, taken);
        let (waiting, period) = (part.waiting, part.period);
        self.drop_records(slot, count);
        if self.limits.mode == Mode::AfterDispatch && waiting > 0 {
            self.outputs.push_back(Output::Withdraw { slot, period });
        }
    }

    fn drop_records(&mut self, slot: Slot, count: usize) {
        self.held -= count;
        if count > 0 {
            self.outputs.push_back(Output::Drop { slot, count });
        }
    }

    fn depart(&mut self, slot: Slot) {
        let Some(mut part) = self.partitions.remove(&slot) else { return };
        // Rule 6 holds for this member no more: what finishes from now on is not its to commit.
        part.flow = Flow::default();
        if !part.quiet() {
            self.departed.push((slot, part));
        }
    }

    fn pause_or_resume(&mut self, now: Instant) {
        if self.held >= self.limits.max_records {
            let since = *self.full_since.get_or_insert(now);
            if now.duration_since(since) < FULL_BEFORE_PAUSE {
                return;
            }
            for (slot, part) in &mut self.partitions {
                if part.paused || part.leaving {
                    continue;
                }
                part.paused = true;
                self.outputs.push_back(Output::Pause { slot: *slot });
                // Only a jammed partition gives up what it holds; the others still have use for it.
                if let Some((offset, _)) = part.taken.front().filter(|_| part.blocked()) {
                    let (offset, count) = (*offset, part.taken.len());
                    part.taken.clear();
                    part.next = offset;
                    self.held -= count;
                    self.outputs.push_back(Output::Seek { slot: *slot, offset });
                }
            }
        } else {
            self.full_since = None;
        }
        if self.held < self.limits.max_records {
            for (slot, part) in &mut self.partitions {
                if part.paused
                    && !part.leaving
                    && !part.stopped
                    && !part.blocked()
                    && part.taken.is_empty()
                {
                    part.paused = false;
                    self.outputs.push_back(Output::Resume { slot: *slot });
                }
            }
        }
    }
}

/// Records that an endpoint with this mean time does in `span`; one while nothing is known.
fn adaptive(span: Duration, mean: Option<Duration>) -> usize {
    let Some(mean) = mean else { return 1 };
    let count = span.as_nanos() / mean.as_nanos().max(1);
    usize::try_from(count).unwrap_or(usize::MAX).max(1)
}

fn find<'a, R>(
    partitions: &'a mut BTreeMap<Slot, Partition<R>>,
    departed: &'a mut [(Slot, Partition<R>)],
    slot: Slot,
    period: Period,
) -> Option<&'a mut Partition<R>> {
    let departed = departed.iter_mut().filter(|(s, _)| *s == slot).map(|(_, p)| p);
    partitions.get_mut(&slot).into_iter().chain(departed).find(|p| p.period == period)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "fuzzing"))]
mod world;

/// Runs the ledger through a history of events, as its tests do.
///
/// # Errors
///
/// What was wrong.
#[cfg(feature = "fuzzing")]
pub fn fuzz(after_dispatch: bool, events: &[(u8, u8)]) -> Result<(), String> {
    let mode = if after_dispatch { Mode::AfterDispatch } else { world::BEFORE };
    world::history(mode, world::Mutant::None, events).map(drop)
}
