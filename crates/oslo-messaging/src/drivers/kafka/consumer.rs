//! The listening side as the library sees it: a [`Subscription`] in front of the group thread.
//!
//! Workers take records from the lanes and settle them; the group thread (`group.rs`) owns the
//! librdkafka consumer and the ledger, and fills the lanes. Both meet in [`Shared`].

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    config::{DispatchOrder, KafkaOptions},
    dead_letters::DeadLetters,
    group::GroupThread,
    ledger::{Limits, Mode, Period, Slot, Window},
    topics,
};
use crate::{
    Error,
    driver::{DeadLetter, Incoming, Redelivery, Settled, Subscribe, Subscription, Token, Want},
    lanes::Lanes,
    stats::Stats,
};

/// How long `subscribe` waits for the look at the brokers before the join.
const LONGEST_START: Duration = Duration::from_millis(900);
/// The time for which one commit lets an endpoint work ahead.
const WINDOW_SPAN: Duration = Duration::from_millis(100);

/// One member of a group.
#[derive(Debug)]
pub(super) struct KafkaSubscription {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the workers and the group thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) lanes: Lanes<Incoming>,
    pub(super) wake: Wake,
    pub(super) stats: Arc<Stats>,
    progress: Mutex<Vec<Progress>>,
    /// Ownership periods whose records may be handled, with `commit = after_dispatch`.
    periods: Mutex<Periods>,
    periods_changed: Condvar,
    redelivery: Option<Redelivery>,
    dead_letters: Option<DeadLetters>,
    /// The group thread waits for running endpoints: wake it for each.
    pub(super) watched: AtomicBool,
    pub(super) stopping: AtomicBool,
    pub(super) unfinished: AtomicU64,
    /// Those of them whose commit has no answer.
    pub(super) undecided: AtomicU64,
    status: Mutex<Status>,
    status_changed: Condvar,
    order: DispatchOrder,
    hasher: std::hash::RandomState,
}

#[derive(Debug, Default)]
struct Periods {
    current: BTreeSet<Period>,
    /// Those that had too many dead letters.
    stopped: BTreeSet<Period>,
}

impl Periods {
    fn hold(&self, period: Period) -> bool {
        self.current.contains(&period) && !self.stopped.contains(&period)
    }
}

/// What a worker did with a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress {
    Dispatched { slot: Slot, period: Period },
    Finished { slot: Slot, period: Period, offset: i64, done: bool, took: Duration },
    TooManyDeadLetters { slot: Slot, period: Period },
}

#[derive(Debug, Default)]
struct Status {
    /// The look at the brokers before the join is done.
    looked: bool,
    /// `subscribe` waits no longer.
    returned: bool,
    assigned: bool,
    drained: bool,
    ended: bool,
    obstacle: Option<String>,
}

/// Lets other threads wake the group thread.
#[derive(Debug, Default)]
pub(super) struct Wake {
    called: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    pub(super) fn call(&self) {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if !*called {
            *called = true;
            self.changed.notify_one();
        }
    }

    /// Waits for a call, at most until `deadline`. A call before is not missed.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        while !*called {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.changed.wait_timeout(called, left);
            called = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        *called = false;
    }
}

impl KafkaSubscription {
    /// Starts a member of the group of `request`.
    pub(super) fn start(
        options: &Arc<KafkaOptions>,
        request: &Subscribe,
        stats: &Arc<Stats>,
    ) -> Result<Arc<Self>, Error> {
        if request.batch_size > options.max_poll_records {
            let (size, max) = (request.batch_size, options.max_poll_records);
            return Err(Error::InvalidSetting {
                name: "batch_size",
                reason: format!("{size} is larger than max_poll_records ({max})"),
            });
        }
        // Targets that differ only in their exchange have the same topic.
        let topics = request
            .targets
            .iter()
            .map(|(target, priority)| {
                topics::name(target, *priority, options.virtual_host.as_deref())
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        let limits = Limits {
            max_records: options.max_poll_records,
            mode: match (options.redelivery, request.batch_size, options.commit_window) {
                (Some(_), _, _) => Mode::AfterDispatch,
                (_, 2.., _) => Mode::BeforeDispatch(Window::Fixed(request.batch_size)),
                (_, _, 0) => Mode::BeforeDispatch(Window::Adaptive(WINDOW_SPAN)),
                (_, _, fixed) => Mode::BeforeDispatch(Window::Fixed(fixed)),
            },
            drain: options.revoke_drain_timeout,
        };
        let shared = Arc::new(Shared {
            lanes: Lanes::new(),
            wake: Wake::default(),
            stats: Arc::clone(stats),
            progress: Mutex::new(Vec::new()),
            periods: Mutex::default(),
            periods_changed: Condvar::new(),
            redelivery: options.redelivery,
            dead_letters: DeadLetters::new(options),
            watched: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            unfinished: AtomicU64::new(0),
            undecided: AtomicU64::new(0),
            status: Mutex::new(Status::default()),
            status_changed: Condvar::new(),
            order: options.dispatch_order,
            hasher: std::hash::RandomState::new(),
        });
        let group = request.pool.as_deref().unwrap_or(&options.default_group);
        let member = GroupThread::new(options, group, topics, limits, &shared)?;
        let thread = thread::Builder::new()
            .name("kafka-group".to_owned())
            .spawn(move || member.run())
            .map_err(|source| Error::Broker {
                driver: "kafka",
                operation: "start the group thread".to_owned(),
                source: Box::new(source),
            })?;
        // Nothing that is sent from now on may be missed, so the ends of the topics are read
        // before this returns; where no broker answers, the thread goes on trying, and looks for
        // what was sent since.
        shared.wait_status(LONGEST_START, |status| status.looked || status.ended);
        shared.change_status(|status| status.returned = true);
        Ok(Arc::new(Self { shared, thread: Mutex::new(Some(thread)) }))
    }
}

impl Subscription for KafkaSubscription {
    fn recv(&self, batch: &mut Vec<Incoming>, want: Want) -> bool {
        self.shared.lanes.take(batch, want)
    }

    fn advance(&self, begun: &[Token], settled: &[Settled]) {
        let mut progress = self.shared.progress();
        for Token { slot, period, .. } in begun.iter().copied() {
            progress.push(Progress::Dispatched { slot, period });
        }
        for Settled { token, done, took } in settled.iter().copied() {
            let Token { slot, period, offset, .. } = token;
            progress.push(Progress::Finished { slot, period, offset, done, took });
            if let Some(letters) = self.shared.dead_letters.as_ref().filter(|_| done) {
                letters.note(token, false);
            }
        }
        drop(progress);
        self.shared.stats.dispatched.add(begun.len());
        if !settled.is_empty() {
            self.shared.lanes.settle(settled);
        }
        // The last of what was committed in a lane is on its way: time for its next commit.
        let runs = begun.chunk_by(|one, next| one.lane == next.lane);
        if self.shared.watched.load(Ordering::Relaxed)
            || !begun.is_empty() && self.shared.lanes.any_is_idle(runs.map(|run| run[0].lane))
        {
            self.shared.wake.call();
        }
    }

    fn redelivery(&self) -> Option<Redelivery> {
        self.shared.redelivery
    }

    fn holds(&self, token: Token, wait: Duration) -> bool {
        if self.shared.redelivery.is_none() {
            return true;
        }
        let held = |periods: &mut Periods| periods.hold(token.period);
        let mut periods = self.shared.periods();
        if wait.is_zero() {
            return held(&mut periods);
        }
        let waited = self.shared.periods_changed.wait_timeout_while(periods, wait, held);
        held(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Result<bool, Error> {
        let Some(letters) = &self.shared.dead_letters else { return Ok(false) };
        letters.keep(letter)?;
        let Token { slot, period, .. } = letter.record.token;
        if let Some(reason) = letters.note(letter.record.token, true) {
            let origin = &letter.record.origin;
            tracing::error!(
                topic = %origin.topic, partition = origin.partition,
                "the partition stops until the next start: {reason}"
            );
            // At once for the workers, and for the group thread when it comes by.
            self.shared.periods().stopped.insert(period);
            self.shared.progress().push(Progress::TooManyDeadLetters { slot, period });
            self.shared.wake.call();
        }
        Ok(true)
    }

    fn ready(&self, timeout: Duration) -> Result<(), Error> {
        if self.shared.wait_status(timeout, |status| status.assigned || status.ended) {
            return Ok(());
        }
        let obstacle = self.shared.status().obstacle.clone();
        let cause = obstacle.unwrap_or_else(|| "the group has assigned no partitions yet".into());
        Err(Error::NotReady { cause })
    }

    fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.wake.call();
    }

    fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.stop();
        let until = Instant::now() + deadline;
        if !self.shared.wait_status(deadline, |status| status.drained) {
            let left = self.shared.unfinished.load(Ordering::Relaxed);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            if left > 0 {
                self.count_undecided();
                return Err(Error::Unfinished { what: "kafka listener", left });
            }
        }
        // Everything committed was handled. The group is told within what is left of the time;
        // past that the thread goes on telling it.
        let left = until.saturating_duration_since(Instant::now());
        if self.shared.wait_status(left, |status| status.ended) {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the group thread panicked");
            }
        } else {
            tracing::warn!("the group could not be left in time; its coordinator does not answer");
        }
        Ok(())
    }
}

impl KafkaSubscription {
    /// Whoever ends the process now may lose what was committed without an answer.
    fn count_undecided(&self) {
        let undecided = self.shared.undecided.load(Ordering::Relaxed);
        if undecided > 0 {
            let undecided = usize::try_from(undecided).unwrap_or(usize::MAX);
            self.shared.stats.unknown_commit.add(undecided);
            tracing::error!(
                count = undecided,
                "records may be lost: their commit was not answered before the listener's deadline"
            );
        }
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        // Without this the thread would go on for ever; it ends by itself.
        self.stop();
    }
}

impl Shared {
    /// The lane in which a record is handled.
    pub(super) fn lane(&self, slot: Slot, offset: i64, key: Option<&[u8]>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        match (self.order, key) {
            (DispatchOrder::Partition, _) | (DispatchOrder::Key, None) => return u64::from(slot),
            (DispatchOrder::Key, Some(key)) => hasher.write(key),
            (DispatchOrder::None, _) => hasher.write_i64(offset),
        }
        hasher.write_u32(slot);
        hasher.finish()
    }

    pub(super) fn take_progress(&self, into: &mut Vec<Progress>) {
        std::mem::swap(&mut *self.progress(), into);
    }

    /// Says which ownership periods go on.
    pub(super) fn set_periods(&self, now: impl Iterator<Item = Period>) {
        if self.redelivery.is_none() && self.dead_letters.is_none() {
            return;
        }
        let now: BTreeSet<Period> = now.collect();
        let mut periods = self.periods();
        if periods.current == now {
            return;
        }
        if let Some(letters) = &self.dead_letters {
            letters.retain(|period| now.contains(&period));
        }
        periods.stopped.retain(|period| now.contains(period));
        periods.current = now;
        self.periods_changed.notify_all();
    }

    fn periods(&self) -> MutexGuard<'_, Periods> {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn looked(&self) {
        self.change_status(|status| status.looked = true);
    }

    /// Whether records may have been sent that the listener must not miss.
    pub(super) fn start_has_returned(&self) -> bool {
        self.status().returned
    }

    pub(super) fn assigned(&self, assigned: bool) {
        self.change_status(|status| {
            status.assigned = assigned;
            if assigned {
                status.obstacle = None;
            }
        });
    }

    pub(super) fn is_assigned(&self) -> bool {
        self.status().assigned
    }

    /// Notes what stands in the way of an assignment.
    pub(super) fn obstacle(&self, words: String) {
        self.change_status(|status| status.obstacle = Some(words));
    }

    pub(super) fn current_obstacle(&self) -> Option<String> {
        self.status().obstacle.clone()
    }

    /// Nothing committed is left; workers may go.
    pub(super) fn drained(&self) {
        self.lanes.close();
        self.change_status(|status| status.drained = true);
    }

    pub(super) fn ended(&self) {
        self.lanes.close();
        self.change_status(|status| {
            status.assigned = false;
            status.ended = true;
        });
    }

    fn progress(&self) -> MutexGuard<'_, Vec<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status());
        self.status_changed.notify_all();
    }

    fn wait_status(&self, timeout: Duration, reached: impl Fn(&Status) -> bool) -> bool {
        let waited =
            self.status_changed.wait_timeout_while(self.status(), timeout, |s| !reached(s));
        reached(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}
