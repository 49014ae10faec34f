//! Hands records to workers: in order within a lane, lanes in parallel.
//!
//! A driver pushes records into lanes (a partition, a message key, or one lane for each record);
//! workers take them. A lane whose record is being handled is busy and gives out nothing more
//! until that record is settled. Used by the drivers; knows nothing of brokers or notifications.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::driver::{Settled, Want};

/// Names a lane. Records of one lane are handled one after the other.
pub(crate) type LaneId = u64;

#[derive(Debug)]
struct Lane<T> {
    queue: VecDeque<T>,
    /// Records taken and not settled.
    running: usize,
}

#[derive(Debug)]
struct State<T> {
    lanes: HashMap<LaneId, Lane<T>>,
    /// Lanes with records and nothing running, oldest first.
    ready: VecDeque<LaneId>,
    queued: usize,
    /// Workers that wait for records to fill a batch that they have begun.
    gathering: usize,
    /// Workers that wait for their first record, and how many of them were woken already: waking
    /// costs a system call, even where nobody waits.
    idle: usize,
    woken: usize,
    /// Workers that have taken records and will take again.
    away: usize,
    closed: bool,
}

/// See the module's head. Shared between one driver thread and many workers.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// A record that knows its lane.
pub(crate) trait InLane {
    fn lane(&self) -> LaneId;
}

impl<T: InLane> Lanes<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            queued: 0,
            gathering: 0,
            idle: 0,
            woken: 0,
            away: 0,
            closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds records to the ends of their lanes.
    pub(crate) fn push(&self, records: impl IntoIterator<Item = T>) {
        let mut state = self.lock();
        for record in records {
            let lane = record.lane();
            let entry = state
                .lanes
                .entry(lane)
                .or_insert_with(|| Lane { queue: VecDeque::new(), running: 0 });
            let becomes_ready = entry.queue.is_empty() && entry.running == 0;
            entry.queue.push_back(record);
            state.queued += 1;
            if becomes_ready {
                state.ready.push_back(lane);
            }
        }
        let ready = state.ready.len();
        self.wake(&mut state, ready);
    }

    /// Wakes as many workers as there are lanes for them.
    fn wake(&self, state: &mut State<T>, ready: usize) {
        if state.gathering > 0 {
            state.woken = state.idle;
            return self.changed.notify_all();
        }
        while state.woken < ready.min(state.idle) {
            state.woken += 1;
            self.changed.notify_one();
        }
    }

    /// Appends records to `batch` and returns whether there were any; blocks until there are.
    ///
    /// `false` means closed and empty: no record will come. Give the lane of each record to
    /// [`settle`](Self::settle) when it was handled.
    pub(crate) fn take(&self, batch: &mut Vec<T>, want: Want) -> bool {
        let mut state = self.lock();
        state.away = state.away.saturating_sub(1);
        let mut deadline = None;
        loop {
            state.fill(batch, want);
            if batch.len() >= want.max || (want.in_order && !batch.is_empty()) {
                break;
            }
            if state.closed && (state.queued == 0 || !batch.is_empty()) {
                break;
            }
            if batch.is_empty() {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                state.woken = state.woken.saturating_sub(1);
                continue;
            }
            let left = deadline
                .get_or_insert_with(|| Instant::now() + want.gather)
                .saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.gathering += 1;
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.gathering -= 1;
        }
        if state.closed {
            self.changed.notify_all();
        }
        state.away += usize::from(!batch.is_empty());
        !batch.is_empty()
    }

    /// Says that records were handled: the next ones of their lanes may be taken.
    ///
    /// A worker that has taken records comes back for one lane by itself: only for the others one is
    /// woken.
    pub(crate) fn settle(&self, settled: &[Settled]) {
        let mut state = self.lock();
        for run in settled.chunk_by(|one, next| one.token.lane == next.token.lane) {
            state.settle(run[0].token.lane, run.len());
        }
        let others = state.ready.len().saturating_sub(state.away.min(1));
        if others > 0 || state.gathering > 0 {
            self.wake(&mut state, others);
        }
        if state.closed {
            self.changed.notify_all();
        }
    }

    /// Takes back what no worker has taken and `leaves` holds true for; how many those were.
    #[cfg(any(feature = "kafka", feature = "rabbit"))]
    pub(crate) fn withdraw(&self, leaves: impl Fn(&T) -> bool) -> usize {
        let mut state = self.lock();
        let State { lanes, ready, queued, .. } = &mut *state;
        let before = *queued;
        lanes.retain(|_, lane| {
            let waiting = lane.queue.len();
            lane.queue.retain(|record| !leaves(record));
            *queued -= waiting - lane.queue.len();
            !lane.queue.is_empty() || lane.running > 0
        });
        ready.retain(|lane| lanes.get(lane).is_some_and(|lane| !lane.queue.is_empty()));
        before - *queued
    }

    /// Whether no record of one of the lanes waits for a worker.
    #[cfg(feature = "kafka")]
    pub(crate) fn any_is_idle(&self, lanes: impl IntoIterator<Item = LaneId>) -> bool {
        let state = self.lock();
        lanes.into_iter().any(|lane| state.lanes.get(&lane).is_none_or(|l| l.queue.is_empty()))
    }

    /// Waits until every record was taken and settled, at most `timeout`; the number that was not.
    #[cfg(any(test, feature = "fake", feature = "rabbit"))]
    pub(crate) fn wait_empty(&self, timeout: std::time::Duration) -> usize {
        let unsettled = |state: &State<T>| {
            state.queued + state.lanes.values().map(|lane| lane.running).sum::<usize>()
        };
        let busy = |state: &mut State<T>| unsettled(state) > 0;
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, busy);
        unsettled(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Lets workers go once the lanes are empty. Records pushed before are still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is consistent between any two statements here: a panic elsewhere is no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: InLane> State<T> {
    fn fill(&mut self, batch: &mut Vec<T>, want: Want) {
        // A batch may go on with the lanes that it holds already.
        let mut held: Vec<LaneId> = Vec::new();
        if !want.in_order {
            for lane in batch.iter().map(InLane::lane) {
                if !held.contains(&lane) {
                    held.push(lane);
                }
            }
        }
        for lane in held {
            self.drain(lane, batch, want.max);
        }
        while batch.len() < want.max {
            let Some(lane) = self.ready.pop_front() else { return };
            self.drain(lane, batch, want.max);
            if want.in_order {
                return;
            }
        }
    }

    fn drain(&mut self, lane: LaneId, batch: &mut Vec<T>, max: usize) {
        let Some(entry) = self.lanes.get_mut(&lane) else { return };
        while batch.len() < max {
            let Some(record) = entry.queue.pop_front() else { return };
            entry.running += 1;
            self.queued -= 1;
            batch.push(record);
        }
    }

    fn settle(&mut self, lane: LaneId, count: usize) {
        let Some(entry) = self.lanes.get_mut(&lane) else { return };
        entry.running = entry.running.saturating_sub(count);
        if entry.running > 0 {
            return;
        }
        if entry.queue.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.ready.push_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InLane, LaneId, Lanes};
    use crate::driver::{Settled, Token, Want};
    use std::{sync::Arc, thread, time::Duration};

    const ONE: Want = Want::run(1);

    /// Lane and number.
    type Record = (LaneId, u32);

    impl InLane for Record {
        fn lane(&self) -> LaneId {
            self.0
        }
    }

    fn settle(lanes: &Lanes<Record>, lane: LaneId) {
        let token = Token { lane, slot: 0, period: 0, offset: 0 };
        lanes.settle(&[Settled { token, done: true, took: Duration::ZERO }]);
    }

    fn take(lanes: &Lanes<Record>, want: Want) -> Vec<Record> {
        let mut batch = Vec::new();
        lanes.take(&mut batch, want);
        batch
    }

    fn lanes(records: &[Record]) -> Lanes<Record> {
        let lanes = Lanes::new();
        lanes.push(records.iter().copied());
        lanes
    }

    #[test]
    fn a_busy_lane_gives_out_nothing_until_it_is_settled() {
        let lanes = lanes(&[(1, 10), (1, 11), (2, 20)]);
        assert_eq!(take(&lanes, ONE), [(1, 10)]);
        assert_eq!(take(&lanes, ONE), [(2, 20)]);
        settle(&lanes, 1);
        assert_eq!(take(&lanes, ONE), [(1, 11)]);
    }

    #[test]
    fn a_batch_goes_on_with_the_lanes_it_holds() {
        let lanes = Arc::new(lanes(&[(1, 10)]));
        let feeder = {
            let lanes = Arc::clone(&lanes);
            thread::spawn(move || [11, 12].map(|number| lanes.push([(1, number)])))
        };
        let batch = take(&lanes, Want::batch(3, Duration::from_secs(10)));
        feeder.join().unwrap();
        assert_eq!(batch, [(1, 10), (1, 11), (1, 12)]);
    }

    #[test]
    fn a_run_keeps_to_one_lane() {
        let lanes = lanes(&[(1, 10), (2, 20), (1, 11), (1, 12)]);
        assert_eq!(take(&lanes, Want::run(2)), [(1, 10), (1, 11)]);
        assert_eq!(take(&lanes, Want::run(2)), [(2, 20)]);
        settle(&lanes, 1);
        settle(&lanes, 1);
        assert_eq!(take(&lanes, Want::run(2)), [(1, 12)]);
    }

    #[test]
    fn a_batch_ends_at_its_time() {
        let lanes = lanes(&[(1, 10)]);
        let batch = take(&lanes, Want::batch(3, Duration::from_millis(20)));
        assert_eq!(batch, [(1, 10)]);
    }

    #[test]
    fn closed_lanes_are_emptied_first() {
        let lanes = lanes(&[(1, 10), (1, 11)]);
        lanes.close();
        assert_eq!(take(&lanes, ONE), [(1, 10)]);
        settle(&lanes, 1);
        assert_eq!(take(&lanes, ONE), [(1, 11)]);
        assert_eq!(lanes.wait_empty(Duration::ZERO), 1);
        settle(&lanes, 1);
        assert_eq!(lanes.wait_empty(Duration::ZERO), 0);
        assert_eq!(take(&lanes, ONE), []);
    }

    #[test]
    fn who_only_takes_is_woken_by_who_only_settles() {
        let lanes = Arc::new(lanes(&[(1, 10), (1, 11), (2, 20), (2, 21)]));
        let (sender, taken) = std::sync::mpsc::channel();
        let taker = {
            let lanes = Arc::clone(&lanes);
            thread::spawn(move || {
                let mut batch = Vec::new();
                while lanes.take(&mut batch, ONE) {
                    batch.drain(..).for_each(|record| sender.send(record).unwrap());
                }
            })
        };
        for _ in 0..4 {
            let (lane, _) = taken.recv_timeout(Duration::from_secs(10)).unwrap();
            // It waits for more meanwhile.
            thread::sleep(Duration::from_millis(20));
            settle(&lanes, lane);
        }
        lanes.close();
        taker.join().unwrap();
    }

    #[test]
    fn closing_wakes_every_worker() {
        let lanes = Arc::new(lanes(&[]));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let lanes = Arc::clone(&lanes);
                thread::spawn(move || take(&lanes, ONE).len())
            })
            .collect();
        lanes.close();
        for worker in workers {
            assert_eq!(worker.join().unwrap(), 0);
        }
    }

    #[test]
    fn workers_keep_the_order_of_each_lane() {
        let lanes = Arc::new(lanes(&[]));
        let seen = Arc::new(std::sync::Mutex::new(vec![Vec::new(); 4]));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (lanes, seen) = (Arc::clone(&lanes), Arc::clone(&seen));
                thread::spawn(move || {
                    let mut batch = Vec::new();
                    while lanes.take(&mut batch, ONE) {
                        for (lane, number) in batch.drain(..) {
                            seen.lock().unwrap()[lane as usize].push(number);
                            settle(&lanes, lane);
                        }
                    }
                })
            })
            .collect();
        for number in 0..4_000 {
            lanes.push([(u64::from(number % 4), number)]);
        }
        lanes.close();
        for worker in workers {
            worker.join().unwrap();
        }
        for (lane, numbers) in seen.lock().unwrap().iter().enumerate() {
            let expected: Vec<u32> = (0..1_000).map(|n| n * 4 + lane as u32).collect();
            assert_eq!(*numbers, expected);
        }
    }
}
