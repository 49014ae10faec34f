//! Listening without endpoints: notifications are polled and answered one by one.
//!
//! For programs that have an executor and a dispatcher of their own, as bindings for other
//! languages do. A [`Listener`](super::Listener) has both.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    Error,
    driver::{Incoming, Settled, Subscribe, Subscription, Token, Want},
    message::{Notification, Priority},
    notify::{
        dispatcher::decode,
        keeper::{Keeper, trace_dispatch},
        listener::{BATCH_TIMEOUT, check},
        run::{LONGEST_RUN, Progress},
    },
    stats::Stats,
    target::Target,
    transport::Transport,
};

const NOT_REDELIVERED: &str =
    "requeue was asked for, and nothing is redelivered (commit = before_dispatch)";

/// Receives notifications for a program that handles them by itself, until it is closed.
///
/// ```
/// use oslo_messaging::{Context, Notifier, Payload, PollListener, Priority, Target, Transport};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), oslo_messaging::Error> {
/// let transport = Transport::for_notifications("fake:")?;
/// let listener = PollListener::builder(&transport)
///     .target(Target::new("notifications"), Priority::Info)
///     .start()?;
/// listener.ready(Duration::from_secs(10))?;
/// let notifier = Notifier::builder(&transport).driver("messagingv2").build()?;
/// notifier
///     .info(&Context::empty(), "instance.create.end", Payload::null())
///     .wait(Duration::from_secs(10))?;
///
/// let mut polled = listener.poll(Duration::from_secs(10)).expect("one was sent");
/// let message = polled.remove(0);
/// assert_eq!(message.notification().event_type, "instance.create.end");
/// assert!(message.acknowledge().is_none(), "no other one is waiting");
/// listener.close(Duration::from_secs(10))?;
/// # Ok(())
/// # }
/// ```
///
/// Mirrors `PollStyleListener` of `oslo_messaging/_drivers/base.py`. Differs on purpose: a message
/// that must be handled in order comes only when the one before it was answered, so that any number
/// of messages that were polled may be handled at once.
pub struct PollListener {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A notification that was polled, and must be answered: [`acknowledge`](Self::acknowledge) or
/// [`requeue`](Self::requeue).
///
/// One that is dropped instead was not handled: with `commit = after_dispatch` it is left to the
/// next owner of its partition, else it is lost, and an ERROR says so.
///
/// Mirrors `RpcIncomingMessage` of `oslo_messaging/_drivers/base.py`.
pub struct IncomingMessage {
    notification: Notification,
    of: Option<Of>,
}

/// What a message came with.
enum Of {
    Run(Box<Run>),
    Batch(Arc<Batch>, usize),
}

struct Shared {
    subscription: Arc<dyn Subscription>,
    keeper: Keeper,
    stats: Arc<Stats>,
    queue: Mutex<Queue>,
    changed: Condvar,
    waker: Option<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Vec<IncomingMessage>>,
    /// Runs and batches that are not done with.
    open: usize,
    /// The subscription brings no more.
    over: bool,
    /// Stopped, and what is not polled is redelivered elsewhere.
    releasing: bool,
}

impl PollListener {
    /// Begins a listener on a transport.
    pub fn builder(transport: &Transport) -> PollListenerBuilder {
        PollListenerBuilder {
            transport: transport.clone(),
            targets: Vec::new(),
            pool: None,
            batch_size: 1,
            batch_timeout: BATCH_TIMEOUT,
            waker: None,
        }
    }

    /// Blocks until notifications can arrive. See [`Listener::ready`](super::Listener::ready).
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when `timeout` passes first, with what stands in the way.
    pub fn ready(&self, timeout: Duration) -> Result<(), Error> {
        self.shared.subscription.ready(timeout)
    }

    /// The next messages: a batch of at most `batch_size`, else a single one. Blocks until they are
    /// there, at most `timeout`; `None` when it has passed, or when none will come
    /// ([`has_ended`](Self::has_ended)). May be called by any number of threads.
    #[must_use]
    pub fn poll(&self, timeout: Duration) -> Option<Vec<IncomingMessage>> {
        let queue = self.shared.lock();
        let idle = |queue: &mut Queue| queue.ready.is_empty() && !queue.has_ended();
        let mut queue = if timeout.is_zero() {
            queue
        } else {
            let waited = self.shared.changed.wait_timeout_while(queue, timeout, idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        queue.ready.pop_front()
    }

    /// Whether the listener was stopped and everything that it had was answered.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.lock().has_ended()
    }

    /// Begins the orderly stop and returns at once: what the broker believes to be handled is
    /// still polled, everything else is left to others.
    pub fn stop(&self) {
        self.shared.subscription.stop();
        if self.shared.subscription.redelivery().is_some() {
            let unpolled = {
                let mut queue = self.shared.lock();
                queue.releasing = true;
                std::mem::take(&mut queue.ready)
            };
            unpolled.into_iter().flatten().for_each(IncomingMessage::release);
        }
    }

    /// Stops, waits until what was polled is answered, and leaves the group, at most `deadline`.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] with the number of notifications that were committed and are not
    /// answered yet.
    pub fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.stop();
        self.shared.subscription.close(deadline)?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.is_finished() && thread.join().is_err()) {
            tracing::error!("a listener's thread panicked");
        }
        Ok(())
    }
}

impl Drop for PollListener {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for PollListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollListener")
            .field("subscription", &self.shared.subscription)
            .finish_non_exhaustive()
    }
}

/// Collects what a [`PollListener`] is started with.
#[must_use]
pub struct PollListenerBuilder {
    transport: Transport,
    targets: Vec<(Target, Priority)>,
    pool: Option<String>,
    batch_size: usize,
    batch_timeout: Duration,
    waker: Option<Box<dyn Fn() + Send + Sync>>,
}

impl PollListenerBuilder {
    /// Adds a target at one priority.
    pub fn target(mut self, target: Target, priority: Priority) -> Self {
        self.targets.push((target, priority));
        self
    }

    /// The pool, such as `billing`. Default: the option `consumer_group`.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Most messages that [`PollListener::poll`] gives at once. Default 1; at most
    /// `max_poll_records`.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Longest wait for more messages after the first one of a batch. Default 1 s.
    pub fn batch_timeout(mut self, batch_timeout: Duration) -> Self {
        self.batch_timeout = batch_timeout;
        self
    }

    /// Calls `waker`, from any thread, when [`PollListener::poll`] has something to say: for event
    /// loops that cannot block in it. Default: nobody.
    pub fn waker(mut self, waker: impl Fn() + Send + Sync + 'static) -> Self {
        self.waker = Some(Box::new(waker));
        self
    }

    /// Starts to listen. Returns within about a second, whether or not a broker answers.
    ///
    /// # Errors
    ///
    /// As [`ListenerBuilder::start`](super::ListenerBuilder::start).
    pub fn start(self) -> Result<PollListener, Error> {
        check(self.targets.len(), self.batch_size)?;
        let subscription = self.transport.driver().subscribe(Subscribe {
            targets: self.targets,
            pool: self.pool,
            batch_size: self.batch_size,
        })?;
        let stats = Arc::clone(self.transport.shared_stats());
        let shared = Arc::new(Shared {
            keeper: Keeper::new(Arc::clone(&subscription), Arc::clone(&stats)),
            subscription,
            stats,
            queue: Mutex::default(),
            changed: Condvar::new(),
            waker: self.waker,
        });
        let want = match self.batch_size {
            1 => Want::run(LONGEST_RUN),
            size => Want::batch(size, self.batch_timeout),
        };
        let pumped = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("listener".to_owned())
            .spawn(move || pumped.pump(want))
            .map_err(|source| Error::Broker {
                driver: "listener",
                operation: "start its thread".to_owned(),
                source: Box::new(source),
            })?;
        Ok(PollListener { shared, thread: Mutex::new(Some(thread)) })
    }
}

impl fmt::Debug for PollListenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollListenerBuilder")
            .field("targets", &self.targets)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

impl IncomingMessage {
    /// What came.
    #[must_use]
    pub fn notification(&self) -> &Notification {
        &self.notification
    }

    /// The notification was handled. Gives the message that had to wait for it, if that is there
    /// already: whoever gets it handles it as one that was polled.
    #[must_use = "the next message must be handled"]
    pub fn acknowledge(mut self) -> Option<Self> {
        match self.of.take()? {
            Of::Run(run) => run.answered(true),
            Of::Batch(batch, index) => {
                batch.answered(index, true, None);
                None
            }
        }
    }

    /// The notification is to be handled again. With `commit = after_dispatch` it is polled once
    /// more after `redelivery_backoff`, at most `max_redeliveries` times, and then put on the
    /// dead-letter topic or given up with an ERROR. Else it is not redelivered: an ERROR names it,
    /// and it goes to the dead-letter topic where there is one.
    pub fn requeue(mut self) {
        let Some(of) = self.of.take() else { return };
        let notification = self.notification.clone();
        match of {
            Of::Run(run) => elsewhere(move || run.requeued(notification)),
            Of::Batch(batch, index) => batch.answered(index, true, Some(notification)),
        }
    }
}

impl Drop for IncomingMessage {
    fn drop(&mut self) {
        if self.of.is_none() {
            return;
        }
        tracing::error!(
            message_id = %self.notification.message_id,
            event_type = %self.notification.event_type,
            "a notification was let go unanswered"
        );
        self.let_go();
    }
}

impl IncomingMessage {
    /// Nobody has it yet: the next owner of its partition gets it.
    fn release(mut self) {
        self.let_go();
    }

    fn let_go(&mut self) {
        let Some(of) = self.of.take() else { return };
        match of {
            Of::Run(run) => {
                let shared = Arc::clone(&run.shared);
                shared.push(run.answered(false));
            }
            Of::Batch(batch, index) => batch.answered(index, false, None),
        }
    }
}

impl fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingMessage")
            .field("notification", &self.notification)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Brings what the subscription has until its end.
    fn pump(self: Arc<Self>, want: Want) {
        let mut records = Vec::new();
        while self.subscription.recv(&mut records, want) {
            self.lock().open += 1;
            let taken = std::mem::take(&mut records);
            if want.in_order {
                let run = Run::new(Arc::clone(&self), taken);
                self.push(run.next());
            } else {
                Batch::begin(Arc::clone(&self), taken);
            }
        }
        self.lock().over = true;
        self.tell();
    }

    fn push(&self, messages: impl IntoIterator<Item = IncomingMessage>) {
        let messages: Vec<_> = messages.into_iter().collect();
        if messages.is_empty() {
            return;
        }
        let mut queue = self.lock();
        if queue.releasing {
            drop(queue);
            return messages.into_iter().for_each(IncomingMessage::release);
        }
        queue.ready.push_back(messages);
        drop(queue);
        self.tell();
    }

    fn close_one(&self) {
        let has_ended = {
            let mut queue = self.lock();
            queue.open -= 1;
            queue.has_ended()
        };
        if has_ended {
            self.tell();
        }
    }

    fn tell(&self) {
        self.changed.notify_all();
        if let Some(waker) = &self.waker {
            waker();
        }
    }

    fn holds(&self, record: &Incoming) -> bool {
        self.subscription.holds(record.token, Duration::ZERO)
    }

    /// A record that says nothing. `true`: it is done with.
    fn undecodable(&self, record: &Incoming, reason: &str) -> bool {
        self.keeper.undecodable(record, reason);
        match self.subscription.redelivery() {
            None => {
                self.keeper.keep(record, reason, 0);
                true
            }
            Some(_) => self.keeper.keep_surely(record, reason, 0),
        }
    }

    /// A message that is to be handled again after `attempts`. `None`: it is.
    fn not_again(
        &self,
        record: &Incoming,
        notification: &Notification,
        attempts: u32,
    ) -> Option<bool> {
        let Some(redelivery) = self.subscription.redelivery() else {
            self.stats.endpoint_failures.add(1);
            tracing::error!(
                message_id = %notification.message_id,
                event_type = %notification.event_type,
                record = %record.origin,
                "{NOT_REDELIVERED}"
            );
            self.keeper.keep(record, NOT_REDELIVERED, attempts);
            return Some(true);
        };
        if attempts > redelivery.max {
            let reason = "requeue was asked for each time";
            return Some(self.keeper.give_up(record, notification, reason, attempts));
        }
        self.stats.redelivered.add(1);
        None
    }

    fn back_off(&self, record: &Incoming) {
        if let Some(redelivery) = self.subscription.redelivery() {
            self.subscription.holds(record.token, redelivery.backoff);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn has_ended(&self) -> bool {
        self.over && self.open == 0 && self.ready.is_empty()
    }
}

/// Records to be handled one after the other. It goes from message to message.
struct Run {
    shared: Arc<Shared>,
    /// The first one is being handled, or comes next.
    records: VecDeque<(Incoming, Option<Result<Notification, String>>)>,
    progress: Progress,
    attempts: u32,
}

impl Run {
    fn new(shared: Arc<Shared>, records: Vec<Incoming>) -> Box<Self> {
        let progress = Progress::new(&records);
        let decoded = |record: Incoming| {
            let notification = decode(&record);
            (record, Some(notification))
        };
        let records = records.into_iter().map(decoded).collect();
        Box::new(Self { shared, records, progress, attempts: 0 })
    }

    /// The next message; `None` when there is no other one, or when it takes time: then it is
    /// pushed.
    fn next(mut self: Box<Self>) -> Option<IncomingMessage> {
        loop {
            let Some((record, decoded)) = self.records.front_mut() else {
                let Self { shared, progress, .. } = *self;
                progress.end(&*shared.subscription);
                shared.close_one();
                return None;
            };
            self.progress.begin(&*self.shared.subscription);
            if self.shared.subscription.redelivery().is_some() && !self.shared.holds(record) {
                self.settle(false);
                continue;
            }
            match decoded.take() {
                Some(Ok(notification)) => {
                    trace_dispatch(record);
                    return Some(IncomingMessage { notification, of: Some(Of::Run(self)) });
                }
                Some(Err(reason)) => {
                    elsewhere(move || {
                        let (record, _) = &self.records[0];
                        let done = self.shared.undecodable(record, &reason);
                        self.settle(done);
                        self.go_on();
                    });
                    return None;
                }
                None => self.settle(false),
            }
        }
    }

    fn settle(&mut self, done: bool) {
        self.progress.settle(done);
        self.records.pop_front();
        self.attempts = 0;
    }

    fn answered(mut self: Box<Self>, done: bool) -> Option<IncomingMessage> {
        self.settle(done);
        self.next()
    }

    fn go_on(self: Box<Self>) {
        let shared = Arc::clone(&self.shared);
        shared.push(self.next());
    }

    fn requeued(mut self: Box<Self>, notification: Notification) {
        self.attempts += 1;
        let (record, _) = &self.records[0];
        let mut end = self.shared.not_again(record, &notification, self.attempts);
        if end.is_none() {
            self.shared.back_off(record);
            if !self.shared.holds(record) {
                end = Some(false);
            }
        }
        if let Some(done) = end {
            self.settle(done);
            return self.go_on();
        }
        trace_dispatch(record);
        let shared = Arc::clone(&self.shared);
        shared.push([IncomingMessage { notification, of: Some(Of::Run(self)) }]);
    }
}

/// Records that are handled at once.
struct Batch {
    shared: Arc<Shared>,
    records: Vec<Incoming>,
    state: Mutex<BatchState>,
}

struct BatchState {
    /// When the round began that is under way.
    since: Instant,
    attempts: u32,
    /// Messages that have no answer in this round.
    unanswered: usize,
    requeued: Vec<(usize, Notification)>,
    settled: Vec<Settled>,
}

impl Batch {
    fn begin(shared: Arc<Shared>, records: Vec<Incoming>) {
        let tokens: Vec<Token> = records.iter().map(|record| record.token).collect();
        shared.subscription.advance(&tokens, &[]);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            match decode(record) {
                Ok(notification) => good.push((index, notification)),
                Err(reason) => bad.push((index, reason)),
            }
        }
        let state = BatchState {
            since: Instant::now(),
            attempts: 0,
            unanswered: 0,
            requeued: Vec::new(),
            settled: Vec::with_capacity(records.len()),
        };
        let batch = Arc::new(Self { shared, records, state: Mutex::new(state) });
        if bad.is_empty() {
            return batch.offer(good);
        }
        elsewhere(move || {
            for (index, reason) in bad {
                let done = batch.shared.undecodable(&batch.records[index], &reason);
                batch.lock().settle(batch.records[index].token, done);
            }
            batch.offer(good);
        });
    }

    fn offer(self: &Arc<Self>, notifications: Vec<(usize, Notification)>) {
        let redelivers = self.shared.subscription.redelivery().is_some();
        let mut messages = Vec::with_capacity(notifications.len());
        {
            let mut state = self.lock();
            for (index, notification) in notifications {
                let record = &self.records[index];
                if redelivers && !self.shared.holds(record) {
                    state.settle(record.token, false);
                    continue;
                }
                trace_dispatch(record);
                let of = Some(Of::Batch(Arc::clone(self), index));
                messages.push(IncomingMessage { notification, of });
            }
            state.unanswered = messages.len();
            state.since = Instant::now();
        }
        if messages.is_empty() { self.end() } else { self.shared.push(messages) }
    }

    /// Takes the answer to one message. The last one ends the round.
    fn answered(self: &Arc<Self>, index: usize, done: bool, again: Option<Notification>) {
        let mut state = self.lock();
        match again {
            Some(notification) => state.requeued.push((index, notification)),
            None => state.settle(self.records[index].token, done),
        }
        state.unanswered -= 1;
        if state.unanswered > 0 {
            return;
        }
        let requeued = std::mem::take(&mut state.requeued);
        state.attempts += 1;
        let attempts = state.attempts;
        drop(state);
        if requeued.is_empty() {
            return self.end();
        }
        let batch = Arc::clone(self);
        elsewhere(move || {
            let mut again = Vec::new();
            for (index, notification) in requeued {
                let record = &batch.records[index];
                match batch.shared.not_again(record, &notification, attempts) {
                    Some(done) => batch.lock().settle(record.token, done),
                    None => again.push((index, notification)),
                }
            }
            if let Some((index, _)) = again.first() {
                batch.shared.back_off(&batch.records[*index]);
            }
            batch.offer(again);
        });
    }

    fn end(&self) {
        let settled = std::mem::take(&mut self.lock().settled);
        self.shared.subscription.advance(&[], &settled);
        self.shared.close_one();
    }

    fn lock(&self) -> MutexGuard<'_, BatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BatchState {
    fn settle(&mut self, token: Token, done: bool) {
        self.settled.push(Settled { token, done, took: self.since.elapsed() });
    }
}

/// What may take long, such as a back-off or a dead letter, holds nobody up.
fn elsewhere(work: impl FnOnce() + Send + 'static) {
    let work = Arc::new(Mutex::new(Some(work)));
    let mine = Arc::clone(&work);
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let spawned = thread::Builder::new().name("listener-again".to_owned()).spawn(move || {
        if let Some(work) = take(&mine) {
            work();
        }
    });
    if let Err(error) = spawned {
        tracing::warn!("no thread for a redelivery, it is done on this one: {error}");
        if let Some(work) = work.lock().unwrap_or_else(PoisonError::into_inner).take() {
            work();
        }
    }
}
