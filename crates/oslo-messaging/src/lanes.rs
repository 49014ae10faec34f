//! Hands records to workers: in order within a lane, lanes in parallel.
//!
//! A driver pushes records into lanes (a partition, a message key, or one lane for each record);
//! workers take them. A lane whose record is being handled is busy and gives out nothing more
//! until that record is settled. Used by the drivers; knows nothing of brokers or notifications.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::driver::Want;

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
    /// Workers that wait for their first record. Waking nobody still costs a system call.
    idle: usize,
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
            closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds records to the ends of their lanes.
    pub(crate) fn push(&self, records: impl IntoIterator<Item = T>) {
        let mut state = self.lock();
        let ready_before = state.ready.len();
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
        let wanted = (state.ready.len() - ready_before).min(state.idle);
        match (state.gathering, wanted) {
            (0, 0) => {}
            (0, 1) => self.changed.notify_one(),
            _ => self.changed.notify_all(),
        }
    }

    /// Appends records to `batch` and returns whether there were any; blocks until there are.
    ///
    /// `false` means closed and empty: no record will come. Give the lane of each record to
    /// [`settle`](Self::settle) when it was handled.
    pub(crate) fn take(&self, batch: &mut Vec<T>, want: Want) -> bool {
        let mut state = self.lock();
        let mut deadline = None;
        loop {
            state.fill(batch, want.max);
            if batch.len() >= want.max {
                break;
            }
            if state.closed && (state.queued == 0 || !batch.is_empty()) {
                break;
            }
            if batch.is_empty() {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
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
        !batch.is_empty()
    }

    /// Says that a record of `lane` was handled: the lane's next one may be taken.
    ///
    /// Called by the worker that took it, which then takes again: only for further lanes another
    /// worker is woken.
    pub(crate) fn settle(&self, lane: LaneId) {
        let mut state = self.lock();
        let Some(entry) = state.lanes.get_mut(&lane) else { return };
        entry.running = entry.running.saturating_sub(1);
        if entry.running > 0 {
            return;
        }
        if entry.queue.is_empty() {
            state.lanes.remove(&lane);
        } else {
            state.ready.push_back(lane);
            if state.gathering == 0 && state.idle > 0 && state.ready.len() > 1 {
                self.changed.notify_one();
            } else if state.gathering > 0 {
                self.changed.notify_all();
            }
        }
        if state.closed {
            self.changed.notify_all();
        }
    }

    /// Whether no record of the lane waits for a worker.
    #[cfg(feature = "kafka")]
    pub(crate) fn is_idle(&self, lane: LaneId) -> bool {
        self.lock().lanes.get(&lane).is_none_or(|lane| lane.queue.is_empty())
    }

    /// Waits until every record was taken and settled, at most `timeout`; the number that was not.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn wait_empty(&self, timeout: Duration) -> usize {
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
    fn fill(&mut self, batch: &mut Vec<T>, max: usize) {
        // A batch may go on with the lanes that it holds already.
        let mut held: Vec<LaneId> = Vec::new();
        if max > 1 {
            for lane in batch.iter().map(InLane::lane) {
                if !held.contains(&lane) {
                    held.push(lane);
                }
            }
        }
        for lane in held {
            self.drain(lane, batch, max);
        }
        while batch.len() < max {
            let Some(lane) = self.ready.pop_front() else { return };
            self.drain(lane, batch, max);
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
}

#[cfg(test)]
mod tests {
    use super::{InLane, LaneId, Lanes};
    use crate::driver::Want;
    use std::{sync::Arc, thread, time::Duration};

    const ONE: Want = Want { max: 1, gather: Duration::ZERO };

    /// Lane and number.
    type Record = (LaneId, u32);

    impl InLane for Record {
        fn lane(&self) -> LaneId {
            self.0
        }
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
        lanes.settle(1);
        assert_eq!(take(&lanes, ONE), [(1, 11)]);
    }

    #[test]
    fn a_batch_goes_on_with_the_lanes_it_holds() {
        let lanes = Arc::new(lanes(&[(1, 10)]));
        let feeder = {
            let lanes = Arc::clone(&lanes);
            thread::spawn(move || [11, 12].map(|number| lanes.push([(1, number)])))
        };
        let batch = take(&lanes, Want { max: 3, gather: Duration::from_secs(10) });
        feeder.join().unwrap();
        assert_eq!(batch, [(1, 10), (1, 11), (1, 12)]);
    }

    #[test]
    fn a_batch_ends_at_its_time() {
        let lanes = lanes(&[(1, 10)]);
        let batch = take(&lanes, Want { max: 3, gather: Duration::from_millis(20) });
        assert_eq!(batch, [(1, 10)]);
    }

    #[test]
    fn closed_lanes_are_emptied_first() {
        let lanes = lanes(&[(1, 10), (1, 11)]);
        lanes.close();
        assert_eq!(take(&lanes, ONE), [(1, 10)]);
        lanes.settle(1);
        assert_eq!(take(&lanes, ONE), [(1, 11)]);
        assert_eq!(lanes.wait_empty(Duration::ZERO), 1);
        lanes.settle(1);
        assert_eq!(lanes.wait_empty(Duration::ZERO), 0);
        assert_eq!(take(&lanes, ONE), []);
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
                            lanes.settle(lane);
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
