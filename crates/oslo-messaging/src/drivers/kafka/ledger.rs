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
//! The mode that commits after the dispatch will add an input for finished records and the same
//! outputs; nothing here assumes that a slice is committed before it runs, except rule 1.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// A topic partition, numbered by the consumer thread.
pub(super) type Slot = u32;
/// One ownership of one partition, from its assignment to its revocation or loss.
pub(super) type Period = u32;
/// The number of a commit request.
pub(super) type CommitId = u64;

/// What happened.
#[derive(Debug)]
pub(super) enum Input<R> {
    /// The group gave the partition to this member. `pin` is a start offset to commit, where the
    /// group has none.
    Assigned { slot: Slot, pin: Option<i64> },
    /// The client library handed over a record.
    Polled { slot: Slot, offset: i64, record: R },
    /// A commit was answered for one partition.
    CommitResult { id: CommitId, slot: Slot, result: Result<(), CommitFailure> },
    /// An endpoint began with a record.
    Dispatched { slot: Slot, period: Period },
    /// An endpoint is done with a record, after `took`.
    Finished { slot: Slot, period: Period, took: Duration },
    /// The group asks for partitions back; it waits for [`Output::Release`].
    Revoked { slots: Vec<Slot> },
    /// The group took partitions away without asking.
    Lost { slots: Vec<Slot> },
    /// Begin the orderly stop; [`Output::Quiet`] ends it.
    Shutdown,
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output<R> {
    /// Commit these next offsets in one request.
    Commit { id: CommitId, offsets: Vec<(Slot, i64)> },
    /// Hand these records to the endpoints, in order.
    Dispatch { slot: Slot, period: Period, records: Vec<(i64, R)> },
    /// Stop fetching a partition.
    Pause { slot: Slot },
    /// Fetch a partition again.
    Resume { slot: Slot },
    /// Read a partition again from an offset: what was taken from there on is dropped.
    Seek { slot: Slot, offset: i64 },
    /// Records were let go without a commit: the next owner reads them.
    Drop { slot: Slot, count: usize },
    /// Records were dropped under a commit that was never answered: they may be lost.
    UnknownCommit { slot: Slot, count: usize },
    /// The revocation may be answered.
    Release { slots: Vec<Slot> },
    /// After a shutdown: nothing committed is left to dispatch.
    Quiet,
}

/// Why a commit failed, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitFailure {
    /// The broker refused it: the offset did not move.
    Refused,
    /// The broker refused it for want of a right: an operator must act.
    Denied,
    /// Nobody answered: the offset may have moved.
    Unanswered,
}

/// How many records of a partition one commit may cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// What the partition's endpoint does in this time, by its mean time per record.
    Adaptive(Duration),
    /// This many.
    Fixed(usize),
}

/// The bounds of a ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Records taken and not yet dispatched, over all partitions (`max_poll_records`).
    pub(super) max_records: usize,
    pub(super) window: Window,
    /// Longest wait for running endpoints when partitions are revoked (`revoke_drain_timeout`).
    pub(super) drain: Duration,
}

/// How long the ledger stays full before partitions are paused: a pause throws away what the
/// client library has fetched ahead, so a short jam must not cause one.
const FULL_BEFORE_PAUSE: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(2);
const DENIED_BACKOFF: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Slice<R> {
    commit: CommitId,
    records: VecDeque<(i64, R)>,
}

#[derive(Debug)]
struct Partition<R> {
    period: Period,
    /// Lowest offset that was not yet taken in this period.
    next: i64,
    pin: Option<i64>,
    taken: VecDeque<(i64, R)>,
    slice: Option<Slice<R>>,
    waiting: usize,
    running: usize,
    mean: Option<Duration>,
    /// No commit before this time, and the step to the next one.
    hold: Option<Instant>,
    backoff: Duration,
    paused: bool,
    /// Revoked or lost: nothing more is taken or committed.
    leaving: bool,
}

impl<R> Partition<R> {
    fn quiet(&self) -> bool {
        self.slice.is_none() && self.waiting == 0 && self.running == 0
    }

    /// Whether a committed record waits behind an endpoint.
    fn blocked(&self) -> bool {
        self.waiting > 0
    }
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Ledger<R> {
    limits: Limits,
    partitions: BTreeMap<Slot, Partition<R>>,
    /// Partitions that went while committed records were still on their way to an endpoint.
    departed: Vec<(Slot, Partition<R>)>,
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
        holds.chain(full).chain(self.drain_deadline).min()
    }

    /// Slots that this member owns and may still take records of.
    pub(super) fn owned(&self) -> impl Iterator<Item = Slot> {
        self.partitions.iter().filter(|(_, p)| !p.leaving).map(|(slot, _)| *slot)
    }

    /// Committed records that no endpoint has begun or finished yet.
    pub(super) fn unfinished(&self) -> usize {
        let all = self.partitions.values().chain(self.departed.iter().map(|(_, p)| p));
        all.map(|p| p.waiting + p.running).sum()
    }

    /// Whether a revocation or the shutdown waits for running endpoints.
    pub(super) fn is_draining(&self) -> bool {
        self.shutdown || self.drain_deadline.is_some()
    }

    pub(super) fn next_output(&mut self) -> Option<Output<R>> {
        self.outputs.pop_front()
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<R>) {
        match input {
            Input::Assigned { slot, pin } => self.assigned(slot, pin),
            Input::Polled { slot, offset, record } => self.polled(slot, offset, record),
            Input::CommitResult { id, slot, result } => self.commit_result(now, id, slot, result),
            Input::Dispatched { slot, period } => {
                let part = find(&mut self.partitions, &mut self.departed, slot, period);
                if let Some(part) = part.filter(|p| p.waiting > 0) {
                    part.waiting -= 1;
                    part.running += 1;
                    self.held -= 1;
                }
            }
            Input::Finished { slot, period, took } => {
                if let Some(part) = find(&mut self.partitions, &mut self.departed, slot, period) {
                    part.running = part.running.saturating_sub(1);
                    part.mean = Some(part.mean.map_or(took, |mean| (mean * 7 + took) / 8));
                }
            }
            Input::Revoked { slots } => self.revoked(now, slots),
            Input::Lost { slots } => self.lost(slots),
            Input::Shutdown => self.shutdown(),
            Input::Tick => {}
        }
    }

    /// Draws the conclusions of what was handled: call it after each round of inputs.
    pub(super) fn settle(&mut self, now: Instant) {
        self.release_if_quiet(now);
        self.departed.retain(|(_, part)| !part.quiet());
        self.pause_or_resume(now);
        self.commit(now);
        let done = |p: &Partition<R>| p.quiet() && p.taken.is_empty();
        if self.shutdown && self.departed.is_empty() && self.partitions.values().all(done) {
            self.outputs.push_back(Output::Quiet);
        }
    }

    fn assigned(&mut self, slot: Slot, pin: Option<i64>) {
        // An assignment on top of an old ownership means that its end was never told.
        self.lost(vec![slot]);
        self.next_period += 1;
        let part = Partition {
            period: self.next_period,
            next: i64::MIN,
            pin,
            taken: VecDeque::new(),
            slice: None,
            waiting: 0,
            running: 0,
            mean: None,
            hold: None,
            backoff: FIRST_BACKOFF,
            paused: false,
            leaving: self.shutdown,
        };
        self.partitions.insert(slot, part);
    }

    fn polled(&mut self, slot: Slot, offset: i64, record: R) {
        let Some(part) = self.partitions.get_mut(&slot) else { return };
        // Rule 5; and what arrives for a leaving partition is the next owner's.
        if part.leaving || offset < part.next {
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
        if self.shutdown {
            return;
        }
        let id = self.next_commit;
        let owned = self.partitions.values().filter(|p| !p.leaving).count().max(1);
        let share = (self.limits.max_records / owned).max(1);
        let window = self.limits.window;
        let mut offsets = Vec::new();
        for (slot, part) in &mut self.partitions {
            let under_way = part.slice.is_some()
                || self.departed.iter().any(|(s, p)| s == slot && p.slice.is_some());
            if under_way
                || part.leaving
                || part.blocked()
                || part.hold.is_some_and(|until| now < until)
            {
                continue;
            }
            part.hold = None;
            let size = match window {
                Window::Fixed(size) => size,
                Window::Adaptive(span) => adaptive(span, part.mean).min(share),
            };
            let records: VecDeque<_> = part.taken.drain(..size.min(part.taken.len())).collect();
            let upto = records.back().map(|(offset, _)| offset + 1).or(part.pin);
            let Some(upto) = upto else { continue };
            part.slice = Some(Slice { commit: id, records });
            offsets.push((*slot, upto));
        }
        if !offsets.is_empty() {
            self.next_commit += 1;
            self.outputs.push_back(Output::Commit { id, offsets });
        }
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
                part.backoff = FIRST_BACKOFF;
                part.waiting += slice.records.len();
                let (period, records) = (part.period, Vec::from(slice.records));
                if !records.is_empty() {
                    self.outputs.push_back(Output::Dispatch { slot, period, records });
                }
            }
            Err(failure) if part.leaving => {
                let count = slice.records.len();
                self.held -= count;
                if count > 0 {
                    self.outputs.push_back(match failure {
                        CommitFailure::Unanswered => Output::UnknownCommit { slot, count },
                        _ => Output::Drop { slot, count },
                    });
                }
            }
            Err(failure) => {
                // Rule 2.
                for entry in slice.records.into_iter().rev() {
                    part.taken.push_front(entry);
                }
                let wait = match failure {
                    CommitFailure::Denied => DENIED_BACKOFF,
                    _ => part.backoff,
                };
                part.hold = Some(now + wait);
                part.backoff = (part.backoff * 2).min(LAST_BACKOFF);
            }
        }
    }

    fn revoked(&mut self, now: Instant, slots: Vec<Slot>) {
        self.drain_deadline = Some(now + self.limits.drain);
        for slot in slots {
            self.leave(slot);
        }
    }

    /// Rule 4.
    fn release_if_quiet(&mut self, now: Instant) {
        let Some(deadline) = self.drain_deadline else { return };
        let leaving: Vec<Slot> =
            self.partitions.iter().filter(|(_, p)| p.leaving).map(|(slot, _)| *slot).collect();
        let quiet = leaving.iter().all(|slot| self.partitions[slot].quiet());
        if quiet || now >= deadline {
            self.drain_deadline = None;
            for slot in &leaving {
                self.depart(*slot);
            }
            self.outputs.push_back(Output::Release { slots: leaving });
        }
    }

    fn lost(&mut self, slots: Vec<Slot>) {
        for slot in slots {
            self.leave(slot);
            self.depart(slot);
        }
    }

    fn shutdown(&mut self) {
        self.shutdown = true;
        let slots: Vec<Slot> = self.partitions.keys().copied().collect();
        for slot in slots {
            self.leave(slot);
        }
    }

    /// Rule 3: drops what is not committed, and only that.
    fn leave(&mut self, slot: Slot) {
        let Some(part) = self.partitions.get_mut(&slot) else { return };
        part.leaving = true;
        part.hold = None;
        let count = part.taken.len();
        part.taken.clear();
        self.held -= count;
        if count > 0 {
            self.outputs.push_back(Output::Drop { slot, count });
        }
    }

    fn depart(&mut self, slot: Slot) {
        if let Some(part) = self.partitions.remove(&slot).filter(|part| !part.quiet()) {
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
                if part.paused && !part.leaving && !part.blocked() && part.taken.is_empty() {
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
mod tests {
    use super::{
        CommitFailure, FIRST_BACKOFF, FULL_BEFORE_PAUSE, Input, Ledger, Limits, Output, Slot,
        Window,
    };
    use std::time::{Duration, Instant};

    /// A ledger whose records are their offsets, and a clock.
    struct Bench {
        ledger: Ledger<i64>,
        now: Instant,
    }

    impl Bench {
        fn new(window: Window) -> Self {
            let limits = Limits { max_records: 10, window, drain: Duration::from_secs(5) };
            let mut bench = Self { ledger: Ledger::new(limits), now: Instant::now() };
            bench.tell(Input::Assigned { slot: 0, pin: None });
            assert_eq!(bench.outputs(), []);
            bench
        }

        fn tell(&mut self, input: Input<i64>) {
            self.ledger.handle(self.now, input);
        }

        fn poll(&mut self, slot: Slot, offsets: std::ops::Range<i64>) {
            for offset in offsets {
                self.tell(Input::Polled { slot, offset, record: offset });
            }
        }

        fn outputs(&mut self) -> Vec<Output<i64>> {
            self.ledger.settle(self.now);
            std::iter::from_fn(|| self.ledger.next_output()).collect()
        }

        fn answer(&mut self, id: u64, slot: Slot, result: Result<(), CommitFailure>) {
            self.tell(Input::CommitResult { id, slot, result });
        }

        fn dispatched(&mut self, slot: Slot, period: u32, count: usize) {
            for _ in 0..count {
                self.tell(Input::Dispatched { slot, period });
            }
        }

        fn finished(&mut self, slot: Slot, period: u32, count: usize) {
            for _ in 0..count {
                self.tell(Input::Finished { slot, period, took: Duration::from_millis(1) });
            }
        }

        fn after(&mut self, wait: Duration) {
            self.now += wait;
            self.tell(Input::Tick);
        }
    }

    fn commit(id: u64, slot: Slot, offset: i64) -> Output<i64> {
        Output::Commit { id, offsets: vec![(slot, offset)] }
    }

    fn dispatch(slot: Slot, period: u32, offsets: std::ops::Range<i64>) -> Output<i64> {
        Output::Dispatch { slot, period, records: offsets.map(|o| (o, o)).collect() }
    }

    #[test]
    fn records_are_dispatched_only_after_their_commit_succeeded() {
        let mut bench = Bench::new(Window::Fixed(3));
        bench.poll(0, 5..10);
        assert_eq!(bench.outputs(), [commit(0, 0, 8)]);
        assert_eq!(bench.outputs(), []);
        bench.answer(0, 0, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(0, 1, 5..8)]);
    }

    #[test]
    fn the_next_commit_waits_until_the_last_record_is_with_an_endpoint() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..4);
        bench.outputs();
        bench.answer(0, 0, Ok(()));
        bench.dispatched(0, 1, 1);
        assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
        bench.dispatched(0, 1, 1);
        assert_eq!(bench.outputs(), [commit(1, 0, 4)]);
    }

    #[test]
    fn a_failed_commit_puts_its_records_back_in_order() {
        for failure in [CommitFailure::Refused, CommitFailure::Unanswered] {
            let mut bench = Bench::new(Window::Fixed(2));
            bench.poll(0, 0..3);
            bench.outputs();
            bench.answer(0, 0, Err(failure));
            assert_eq!(bench.outputs(), [], "a pause before the next try");
            bench.after(FIRST_BACKOFF);
            assert_eq!(bench.outputs(), [commit(1, 0, 2)]);
            bench.answer(1, 0, Ok(()));
            assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
        }
    }

    #[test]
    fn one_refused_partition_does_not_hold_up_the_others() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.tell(Input::Assigned { slot: 1, pin: None });
        bench.poll(0, 0..2);
        bench.poll(1, 7..9);
        assert_eq!(bench.outputs(), [Output::Commit { id: 0, offsets: vec![(0, 2), (1, 9)] }]);
        bench.answer(0, 0, Err(CommitFailure::Refused));
        bench.answer(0, 1, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(1, 2, 7..9)]);
    }

    #[test]
    fn a_revocation_waits_for_what_is_committed_and_drops_the_rest() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..5);
        bench.outputs();
        bench.tell(Input::Revoked { slots: vec![0] });
        assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 3 }]);
        bench.answer(0, 0, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
        bench.dispatched(0, 1, 2);
        bench.finished(0, 1, 1);
        assert_eq!(bench.outputs(), [], "one record still runs");
        bench.finished(0, 1, 1);
        assert_eq!(bench.outputs(), [Output::Release { slots: vec![0] }]);
        assert_eq!(bench.ledger.owned().count(), 0);
    }

    #[test]
    fn a_revocation_is_answered_at_the_drain_deadline_and_what_is_committed_still_runs() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..2);
        bench.outputs();
        bench.tell(Input::Revoked { slots: vec![0] });
        assert_eq!(bench.outputs(), []);
        bench.after(Duration::from_secs(5));
        assert_eq!(bench.outputs(), [Output::Release { slots: vec![0] }]);
        bench.answer(0, 0, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
    }

    #[test]
    fn a_commit_refused_while_the_partition_leaves_drops_its_records() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..2);
        bench.outputs();
        bench.tell(Input::Revoked { slots: vec![0] });
        bench.answer(0, 0, Err(CommitFailure::Refused));
        let drop = Output::Drop { slot: 0, count: 2 };
        assert_eq!(bench.outputs(), [drop, Output::Release { slots: vec![0] }]);
    }

    #[test]
    fn an_unanswered_commit_of_a_lost_partition_is_counted() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..2);
        bench.outputs();
        bench.tell(Input::Lost { slots: vec![0] });
        assert_eq!(bench.outputs(), []);
        bench.answer(0, 0, Err(CommitFailure::Unanswered));
        assert_eq!(bench.outputs(), [Output::UnknownCommit { slot: 0, count: 2 }]);
    }

    #[test]
    fn an_answer_never_reaches_the_next_ownership_period() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..2);
        bench.outputs();
        bench.tell(Input::Lost { slots: vec![0] });
        bench.tell(Input::Assigned { slot: 0, pin: None });
        bench.poll(0, 0..2);
        assert_eq!(bench.outputs(), [], "the old request is still on its way");
        bench.answer(0, 0, Err(CommitFailure::Refused));
        let again = Output::Commit { id: 1, offsets: vec![(0, 2)] };
        assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 2 }, again]);
        bench.answer(1, 0, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(0, 2, 0..2)]);
    }

    #[test]
    fn an_offset_is_taken_once_in_a_period() {
        let mut bench = Bench::new(Window::Fixed(9));
        bench.poll(0, 0..2);
        bench.poll(0, 0..3);
        assert_eq!(bench.outputs(), [commit(0, 0, 3)]);
        bench.answer(0, 0, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(0, 1, 0..3)]);
    }

    #[test]
    fn a_shutdown_dispatches_what_is_committed_and_nothing_else() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..5);
        bench.outputs();
        bench.tell(Input::Shutdown);
        assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 3 }]);
        bench.answer(0, 0, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
        bench.dispatched(0, 1, 2);
        assert_eq!(bench.outputs(), []);
        bench.finished(0, 1, 2);
        assert_eq!(bench.outputs(), [Output::Quiet]);
    }

    #[test]
    fn a_pinned_start_is_committed_without_a_record() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.tell(Input::Assigned { slot: 3, pin: Some(40) });
        assert_eq!(bench.outputs(), [commit(0, 3, 40)]);
        bench.answer(0, 3, Err(CommitFailure::Refused));
        assert_eq!(bench.outputs(), []);
        bench.after(FIRST_BACKOFF);
        assert_eq!(bench.outputs(), [commit(1, 3, 40)]);
        bench.answer(1, 3, Ok(()));
        assert_eq!(bench.outputs(), []);
    }

    #[test]
    fn the_adaptive_window_is_what_the_endpoint_does_in_its_span() {
        let mut bench = Bench::new(Window::Adaptive(Duration::from_millis(4)));
        bench.poll(0, 0..8);
        assert_eq!(bench.outputs(), [commit(0, 0, 1)], "one while nothing is known");
        bench.answer(0, 0, Ok(()));
        bench.dispatched(0, 1, 1);
        bench.finished(0, 1, 1);
        let outputs = bench.outputs();
        assert_eq!(outputs, [dispatch(0, 1, 0..1), commit(1, 0, 5)], "1 ms each: four");
    }

    #[test]
    fn a_full_ledger_is_not_polled_and_gives_way_after_a_second() {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.tell(Input::Assigned { slot: 1, pin: None });
        bench.poll(0, 0..10);
        bench.outputs();
        bench.answer(0, 0, Ok(()));
        bench.dispatched(0, 1, 1);
        bench.poll(0, 10..11);
        assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
        assert!(!bench.ledger.wants_poll());
        bench.after(FULL_BEFORE_PAUSE);
        let pauses = [
            Output::Pause { slot: 0 },
            Output::Seek { slot: 0, offset: 2 },
            Output::Pause { slot: 1 },
        ];
        let mut outputs = bench.outputs();
        let resumed = outputs.pop();
        assert_eq!(outputs, pauses);
        assert_eq!(resumed, Some(Output::Resume { slot: 1 }), "its endpoint is not behind");
        assert!(bench.ledger.wants_poll());
        bench.dispatched(0, 1, 1);
        assert_eq!(bench.outputs(), [Output::Resume { slot: 0 }]);
        bench.poll(0, 2..4);
        assert_eq!(bench.outputs(), [commit(1, 0, 4)], "read again from where it was dropped");
    }
}
