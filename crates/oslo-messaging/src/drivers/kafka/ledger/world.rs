//! A small world around the ledger: what must hold in any order of events.
//!
//! [`World`] plays broker, group, client library and workers, keeps the truth, and checks each
//! thing that the ledger says against it. The checks are checked, too: each [`Mutant`] is a ledger
//! with a mistake, made by bending what goes in or comes out, and must be caught. `properties.rs`
//! runs it with random events, a fuzz target with those that reach new code.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use super::{
    CommitFailure, CommitId, Committed, Input, Ledger, Limits, Mode, Output, Period, Slot, Window,
};

const SLOTS: Slot = 3;
const MAX_RECORDS: usize = 8;
const WINDOW: usize = 3;
pub(super) const BEFORE: Mode = Mode::BeforeDispatch(Window::Fixed(WINDOW));

/// A ledger with a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "fuzzing has no mistakes to find out"))]
pub(super) enum Mutant {
    None,
    /// Takes a refused commit for a success.
    BelievesRefusals,
    /// Hands records out twice.
    DispatchesTwice,
    /// Forgets to hand a record out.
    ForgetsARecord,
    /// Hands records out in the wrong order.
    Reverses,
    /// Does not hear of revocations.
    IgnoresRevocations,
    /// Commits one record too many.
    CommitsTooFar,
    /// Believes that what it handed out is with an endpoint.
    ForgetsTheWindow,
    /// Does not hear of finished records.
    NeverHearsOfTheEnd,
    /// Takes a record that was left for one that was handled.
    TakesLeftForDone,
    /// Does not count what it lost to an unanswered commit.
    HidesUnknownCommits,
    /// Takes another member's commit for its own.
    BelievesForeignTokens,
    /// Takes its own commit for another member's: no mistake, only a waste.
    ReadsNoTokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
}

/// A record on its way through the workers.
#[derive(Clone, Copy, Debug)]
struct Given {
    slot: Slot,
    period: Period,
    offset: i64,
    state: State,
}

#[derive(Debug, Default)]
struct Partition {
    /// What the group has committed, and in which of this member's periods; `None`: another did.
    committed: i64,
    committed_in: Option<Period>,
    /// The highest offset that a commit of this period reached the broker with.
    arrived: Option<i64>,
    /// A commit of this period that was not answered and is still on its way.
    late: Option<(Period, i64)>,
    /// Where the client library goes on.
    position: i64,
    owned: bool,
    paused: bool,
    /// This member was asked to give it back.
    revoking: bool,
    period: Period,
    /// Behind the last record that was handed to the ledger in this period, and its start.
    taken: i64,
    start: i64,
    /// Highest offset whose commit was answered well in this period.
    confirmed: Option<i64>,
    last_dispatched: Option<i64>,
    /// Offsets that were handed out, ever; and that were handled, ever.
    dispatched: BTreeSet<i64>,
    handled: BTreeSet<i64>,
    /// Handled in this period.
    handled_now: BTreeSet<i64>,
    /// Losses to unanswered commits that were admitted.
    unknown: usize,
}

struct World {
    ledger: Ledger<i64>,
    mode: Mode,
    mutant: Mutant,
    now: Instant,
    partitions: Vec<Partition>,
    commits: BTreeMap<CommitId, Vec<(Slot, Period, i64)>>,
    given: Vec<Given>,
    next_period: Period,
    quiet: bool,
    /// Questions that were not answered yet, with what was committed when they were asked.
    asks: Vec<Vec<(Slot, Committed)>>,
    withdrawn: Vec<(Slot, Period)>,
}

pub(super) type Checked = Result<(), String>;

macro_rules! must {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(format!($($words)*));
        }
    };
}

impl World {
    fn new(mode: Mode, mutant: Mutant) -> Self {
        let drain = Duration::from_secs(5);
        Self {
            ledger: Ledger::new(Limits { max_records: MAX_RECORDS, mode, drain }),
            mode,
            mutant,
            now: Instant::now(),
            partitions: (0..SLOTS).map(|_| Partition::default()).collect(),
            commits: BTreeMap::new(),
            given: Vec::new(),
            next_period: 0,
            quiet: false,
            asks: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    fn after_dispatch(&self) -> bool {
        self.mode == Mode::AfterDispatch
    }

    fn part(&mut self, slot: Slot) -> &mut Partition {
        &mut self.partitions[slot as usize]
    }

    fn tell(&mut self, input: Input<i64>) {
        self.ledger.handle(self.now, input);
    }

    /// One event of a history; what makes no sense at the moment does nothing.
    fn event(&mut self, what: u8, which: u8) -> Checked {
        let slot = Slot::from(which) % SLOTS;
        match what % 18 {
            0 => self.assign(slot),
            1..=4 => self.poll(slot),
            5..=7 => self.answer(which),
            8 | 9 => self.begin(which),
            10 | 11 => self.finish(which),
            12 if which.is_multiple_of(4) => self.lose(slot),
            13 if which.is_multiple_of(2) => self.revoke(),
            14 => self.now += Duration::from_millis(u64::from(which) * 40),
            15 => self.tell_committed(which),
            16 => self.arrive_late(slot),
            17 => self.read_by_another(slot)?,
            _ => {}
        }
        self.settle()
    }

    fn assign(&mut self, slot: Slot) {
        if self.part(slot).owned || self.quiet {
            return;
        }
        self.next_period += 1;
        let period = self.next_period;
        let part = self.part(slot);
        part.owned = true;
        part.revoking = false;
        part.paused = false;
        part.period = period;
        part.position = part.committed;
        (part.taken, part.start) = (part.committed, part.committed);
        (part.confirmed, part.last_dispatched) = (None, None);
        part.arrived = None;
        part.handled_now.clear();
        self.tell(Input::Assigned { slot, pin: None });
    }

    fn poll(&mut self, slot: Slot) {
        if !self.ledger.wants_poll() {
            return;
        }
        let part = self.part(slot);
        if !part.owned || part.paused {
            return;
        }
        let offset = part.position;
        part.position += 1;
        if !part.revoking {
            part.taken = part.taken.max(offset + 1);
        }
        self.tell(Input::Polled { slot, offset, record: offset });
    }

    /// The broker answers the oldest request, for all of its partitions.
    fn answer(&mut self, which: u8) {
        let Some((id, offsets)) = self.commits.pop_first() else { return };
        for (nth, (slot, period, offset)) in offsets.into_iter().enumerate() {
            let part = &mut self.partitions[slot as usize];
            // Only the owner's commits count on a broker.
            let current = part.owned && part.period == period;
            let (applied, result) = match which.wrapping_add(nth as u8) % 8 {
                1 if !current => (false, Err(CommitFailure::Unanswered)),
                _ if !current => (false, Err(CommitFailure::Refused)),
                0 => (false, Err(CommitFailure::Refused)),
                1 => (false, Err(CommitFailure::Unanswered)),
                2 => (true, Err(CommitFailure::Unanswered)),
                _ => (true, Ok(())),
            };
            if applied {
                (part.committed, part.committed_in) = (offset, Some(period));
                part.arrived = part.arrived.max(Some(offset));
            } else if current && result == Err(CommitFailure::Unanswered) {
                part.late = Some((period, offset));
            }
            if result.is_ok() {
                part.confirmed = part.confirmed.max(Some(offset));
            }
            let result = match self.mutant {
                Mutant::BelievesRefusals => Ok(()),
                _ => result,
            };
            self.tell(Input::CommitResult { id, slot, result });
        }
    }

    /// A commit that was not answered reaches the broker after all, unless the partition moved on.
    fn arrive_late(&mut self, slot: Slot) {
        let part = self.part(slot);
        let Some((period, offset)) = part.late.take() else { return };
        if part.owned && part.period == period && offset > part.committed {
            (part.committed, part.committed_in) = (offset, Some(period));
            part.arrived = part.arrived.max(Some(offset));
        }
    }

    /// Another member owns what this one does not: it reads on, and commits.
    fn read_by_another(&mut self, slot: Slot) -> Checked {
        let after = self.after_dispatch();
        let part = self.part(slot);
        if part.owned {
            return Ok(());
        }
        let offset = part.committed;
        must!(
            part.dispatched.insert(offset) || after,
            "dispatched {slot} {offset} twice, elsewhere"
        );
        part.handled.insert(offset);
        (part.committed, part.committed_in) = (offset + 1, None);
        Ok(())
    }

    fn committed(&self, slot: Slot) -> Committed {
        let part = &self.partitions[slot as usize];
        Committed { offset: part.committed, own: part.committed_in.is_some() }
    }

    /// The oldest question is answered: as of when it was asked, as of now, or not.
    fn tell_committed(&mut self, which: u8) {
        if self.asks.is_empty() {
            return;
        }
        for (slot, then) in self.asks.remove(0) {
            let mut found = if which.is_multiple_of(2) { then } else { self.committed(slot) };
            let part = self.part(slot);
            if found.own && part.arrived >= Some(found.offset) {
                // As good as an answer to the commit.
                part.confirmed = part.confirmed.max(Some(found.offset));
            }
            match self.mutant {
                Mutant::BelievesForeignTokens => found.own = true,
                Mutant::ReadsNoTokens => found.own = false,
                _ => {}
            }
            let found = (which % 8 > 1).then_some(found);
            self.tell(Input::Committed { slot, found });
        }
    }

    fn begin(&mut self, which: u8) {
        // The lanes: a partition's next record when its last one is done.
        let busy: BTreeSet<Slot> =
            self.given.iter().filter(|g| g.state == State::Running).map(|g| g.slot).collect();
        let mut seen = BTreeSet::new();
        let free: Vec<usize> = (0..self.given.len())
            .filter(|at| seen.insert(self.given[*at].slot) && !busy.contains(&self.given[*at].slot))
            .collect();
        if free.is_empty() {
            return;
        }
        let at = free[usize::from(which) % free.len()];
        self.given[at].state = State::Running;
        let Given { slot, period, .. } = self.given[at];
        if self.mutant != Mutant::ForgetsTheWindow {
            self.tell(Input::Dispatched { slot, period });
        }
    }

    fn finish(&mut self, which: u8) {
        let running: Vec<usize> =
            (0..self.given.len()).filter(|at| self.given[*at].state == State::Running).collect();
        if running.is_empty() {
            return;
        }
        let Given { slot, period, offset, .. } =
            self.given.remove(running[usize::from(which) % running.len()]);
        let part = self.part(slot);
        // A worker leaves a record only when its partition is no longer this member's.
        let held = part.owned && !part.revoking && part.period == period;
        let done = held || which.is_multiple_of(2);
        if done {
            part.handled.insert(offset);
            if part.period == period {
                part.handled_now.insert(offset);
            }
        }
        let took = Duration::from_millis(1);
        match self.mutant {
            Mutant::NeverHearsOfTheEnd => {}
            Mutant::TakesLeftForDone => {
                self.tell(Input::Finished { slot, period, offset, done: true, took });
            }
            _ => self.tell(Input::Finished { slot, period, offset, done, took }),
        }
    }

    fn lose(&mut self, slot: Slot) {
        let part = self.part(slot);
        if !part.owned {
            return;
        }
        (part.owned, part.revoking) = (false, false);
        self.tell(Input::Lost { slots: vec![slot] });
    }

    fn revoke(&mut self) {
        let slots: Vec<Slot> = (0..SLOTS)
            .filter(|slot| {
                let part = &self.partitions[*slot as usize];
                part.owned && !part.revoking
            })
            .collect();
        if slots.is_empty() || self.partitions.iter().any(|part| part.revoking) {
            return;
        }
        for slot in &slots {
            self.part(*slot).revoking = true;
        }
        if self.mutant == Mutant::IgnoresRevocations {
            // The group does not wait for ever.
            for slot in slots {
                let part = self.part(slot);
                (part.owned, part.revoking) = (false, false);
            }
            return;
        }
        self.tell(Input::Revoked { slots });
    }

    fn settle(&mut self) -> Checked {
        self.ledger.settle(self.now);
        while let Some(output) = self.ledger.next_output() {
            self.check(output)?;
            for (slot, period) in std::mem::take(&mut self.withdrawn) {
                let before = self.given.len();
                self.given.retain(|given| {
                    given.state == State::Running || (given.slot, given.period) != (slot, period)
                });
                let count = before - self.given.len();
                self.tell(Input::Withdrawn { slot, period, count });
                self.ledger.settle(self.now);
            }
        }
        self.check_bounds()
    }

    fn check(&mut self, output: Output<i64>) -> Checked {
        match output {
            Output::Commit { id, offsets } => self.check_commit(id, offsets),
            Output::Dispatch { slot, period, records } => {
                self.check_dispatch(slot, period, records)
            }
            Output::Withdraw { slot, period } => {
                must!(self.after_dispatch(), "withdrew what is committed");
                self.withdrawn.push((slot, period));
                Ok(())
            }
            Output::Pause { slot } => {
                self.part(slot).paused = true;
                Ok(())
            }
            Output::Resume { slot } => {
                self.part(slot).paused = false;
                Ok(())
            }
            Output::Seek { slot, offset } => {
                let part = self.part(slot);
                must!(offset <= part.position, "seeks forward");
                part.position = offset;
                Ok(())
            }
            Output::AskCommitted { slots } => {
                must!(!self.after_dispatch(), "in doubt of what was handled");
                let asked = slots.into_iter().map(|slot| (slot, self.committed(slot)));
                self.asks.push(asked.collect());
                Ok(())
            }
            Output::UnknownCommit { slot, count } => {
                if self.mutant != Mutant::HidesUnknownCommits {
                    self.part(slot).unknown += count;
                }
                Ok(())
            }
            Output::Release { slots } => {
                for slot in slots {
                    let part = self.part(slot);
                    must!(part.revoking, "released what nobody asked for");
                    (part.owned, part.revoking) = (false, false);
                }
                Ok(())
            }
            Output::Drop { .. } => Ok(()),
            Output::Quiet => {
                self.quiet = true;
                Ok(())
            }
        }
    }

    fn check_commit(&mut self, id: CommitId, offsets: Vec<(Slot, i64)>) -> Checked {
        let (after, mutant) = (self.after_dispatch(), self.mutant);
        let mut sent = Vec::new();
        for (slot, mut offset) in offsets {
            if mutant == Mutant::CommitsTooFar {
                offset += 1;
            }
            let part = &self.partitions[slot as usize];
            must!(part.owned, "committed {slot} without owning it");
            must!(offset <= part.taken, "committed {slot} past what was taken");
            must!(Some(offset) > part.confirmed, "committed {slot} backwards");
            if after {
                for handled in part.start..offset {
                    must!(part.handled_now.contains(&handled), "committed {slot} past {handled}");
                }
            } else {
                must!(!part.revoking, "committed {slot} after its revocation");
            }
            let waits = self.commits.values().flatten().any(|(s, _, _)| *s == slot);
            must!(!waits, "two commits of {slot} at a time");
            sent.push((slot, part.period, offset));
        }
        self.commits.insert(id, sent);
        Ok(())
    }

    fn check_dispatch(&mut self, slot: Slot, period: Period, records: Vec<(i64, i64)>) -> Checked {
        let mut records = records;
        match self.mutant {
            Mutant::DispatchesTwice => records.extend(records.clone()),
            Mutant::ForgetsARecord => drop(records.pop()),
            Mutant::Reverses => records.reverse(),
            _ => {}
        }
        let after = self.after_dispatch();
        for (offset, record) in records {
            must!(offset == record, "mixed up records");
            let part = &mut self.partitions[slot as usize];
            if part.period == period {
                must!(Some(offset) > part.last_dispatched, "dispatched {slot} out of order");
                part.last_dispatched = Some(offset);
                must!(
                    after || part.confirmed.is_some_and(|confirmed| offset < confirmed),
                    "dispatched {slot} {offset} without a commit in its period"
                );
            } else {
                must!(!after, "dispatched {slot} {offset} of an old period");
            }
            must!(part.dispatched.insert(offset) || after, "dispatched {slot} {offset} twice");
            self.given.push(Given { slot, period, offset, state: State::Waiting });
            if self.mutant == Mutant::ForgetsTheWindow {
                self.tell(Input::Dispatched { slot, period });
            }
        }
        Ok(())
    }

    fn check_bounds(&self) -> Checked {
        let mut waiting: HashMap<(Slot, Period), usize> = HashMap::new();
        for given in self.given.iter().filter(|given| given.state == State::Waiting) {
            *waiting.entry((given.slot, given.period)).or_default() += 1;
        }
        let most = if self.after_dispatch() { MAX_RECORDS } else { WINDOW };
        for (place, count) in &waiting {
            must!(*count <= most, "{count} records wait at {place:?}");
        }
        // What an old period left to do does not count against the new one.
        let now: usize = waiting
            .iter()
            .filter(|((slot, period), _)| self.partitions[*slot as usize].period == *period)
            .map(|(_, count)| count)
            .sum();
        must!(now <= MAX_RECORDS, "{now} records wait in all");
        Ok(())
    }

    /// The orderly stop, and the sums after it: how much was lost.
    fn end(&mut self) -> Result<usize, String> {
        self.tell(Input::Shutdown);
        self.settle()?;
        for _ in 0..300 {
            if self.quiet {
                break;
            }
            self.answer(7);
            self.tell_committed(7);
            self.begin(0);
            self.finish(0);
            self.now += Duration::from_millis(100);
            self.settle()?;
        }
        must!(self.quiet, "no end after a shutdown");
        must!(self.given.is_empty(), "quiet with records left: {:?}", self.given);
        let mut all = 0;
        for (slot, part) in self.partitions.iter().enumerate() {
            let reached = if self.after_dispatch() { &part.handled } else { &part.dispatched };
            let lost = (0..part.committed).filter(|offset| !reached.contains(offset)).count();
            must!(lost <= part.unknown, "{lost} of {slot} lost, {} admitted", part.unknown);
            all += lost;
        }
        Ok(all)
    }
}

/// Plays a history; how many records it lost, all of them admitted. Each event is a byte that says
/// what, and one that says which.
pub(super) fn history(mode: Mode, mutant: Mutant, events: &[(u8, u8)]) -> Result<usize, String> {
    let mut world = World::new(mode, mutant);
    for slot in 0..SLOTS {
        world.assign(slot);
    }
    for (what, which) in events {
        world.event(*what, *which)?;
    }
    world.end()
}
