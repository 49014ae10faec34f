//! A call under way: what the driver tells of it, and who waits for it.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
    time::{Duration, Instant},
};

use super::{RemoteError, RpcError, timer};
use crate::message::Payload;

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// Until the answer, from the call on.
    pub(super) timeout: Duration,
    /// Between signs of life. `None`: the server gives none.
    pub(super) monitor: Option<Duration>,
}

/// What waits and what reports have in common.
#[derive(Debug)]
pub(super) struct Call {
    method: String,
    to: String,
    allowed: Arc<[String]>,
    deadlines: Deadlines,
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<Payload, RpcError>>,
    /// The outcome was taken, or nobody waits for it any more.
    is_over: bool,
    /// The last sign of life.
    alive: Option<Instant>,
    detail: Option<String>,
    waker: Option<Waker>,
    when_over: Option<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Call {
    pub(super) fn new(
        method: String,
        to: String,
        allowed: Arc<[String]>,
        deadlines: Deadlines,
    ) -> Arc<Self> {
        Arc::new(Self {
            method,
            to,
            allowed,
            deadlines,
            begun: Instant::now(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    pub(super) fn end(&self, outcome: Result<Payload, RpcError>) {
        let mut state = self.lock();
        if state.is_over || state.outcome.is_some() {
            return;
        }
        // Late is late, whether or not somebody waited meanwhile.
        let is_late = outcome.is_ok() && Instant::now() >= self.deadline_of(&state);
        state.outcome = Some(if is_late { Err(self.timed_out(&state)) } else { outcome });
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// When it is over unless something comes.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline_of(&self.lock())
    }

    fn deadline_of(&self, state: &State) -> Instant {
        let last = self.begun + self.deadlines.timeout;
        match self.deadlines.monitor {
            Some(monitor) => last.min(state.alive.unwrap_or(self.begun) + monitor),
            None => last,
        }
    }

    /// Ends it when its time has passed; else says when that will be. `None`: it is over.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let state = self.lock();
        if state.is_over || state.outcome.is_some() {
            return None;
        }
        let deadline = self.deadline_of(&state);
        if now < deadline {
            return Some(deadline);
        }
        let error = self.timed_out(&state);
        drop(state);
        self.end(Err(error));
        None
    }

    fn timed_out(&self, state: &State) -> RpcError {
        let silent = self.deadline_of(state) < self.begun + self.deadlines.timeout;
        RpcError::Timeout {
            method: self.method.clone(),
            to: self.to.clone(),
            after: match self.deadlines.monitor {
                Some(monitor) if silent => monitor,
                _ => self.deadlines.timeout,
            },
            silent,
            detail: state.detail.clone(),
        }
    }

    fn wait(&self) -> Result<Payload, RpcError> {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                state.is_over = true;
                return outcome;
            }
            let left = self.deadline_of(&state).saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.is_over = true;
                return Err(self.timed_out(&state));
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    fn poll(self: &Arc<Self>, context: &TaskContext<'_>) -> Poll<Result<Payload, RpcError>> {
        let mut state = self.lock();
        if let Some(outcome) = state.outcome.take() {
            state.is_over = true;
            return Poll::Ready(outcome);
        }
        let is_first = state.waker.replace(context.waker().clone()).is_none();
        drop(state);
        if is_first {
            timer::watch(self);
        }
        Poll::Pending
    }

    /// Nobody waits any more.
    fn leave(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let when_over = state.when_over.take();
        drop(state);
        if let Some(forget) = when_over {
            forget();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call whose answer may come. It is waited for in a thread or in any async runtime; dropped, its
/// answer is not wanted any more, and the request is sent all the same.
///
/// ```no_run
/// # use oslo_messaging::{Context, Payload, rpc::RpcClient};
/// # async fn example(client: RpcClient) -> Result<(), oslo_messaging::rpc::RpcError> {
/// let args = Payload::from(serde_json::json!({"a": 1, "b": 2}));
/// let sum: i64 = client.call(&Context::empty(), "add", args.clone()).wait()?.deserialize()?;
/// let same: i64 = client.call(&Context::empty(), "add", args).await?.deserialize()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "the answer is only known to who waits for it"]
#[derive(Debug)]
pub struct PendingCall {
    call: Arc<Call>,
}

impl PendingCall {
    pub(super) fn new(call: Arc<Call>) -> Self {
        Self { call }
    }

    /// Blocks until the answer is there, at most as long as the call's timeout.
    ///
    /// # Errors
    ///
    /// Any [`RpcError`].
    pub fn wait(self) -> Result<Payload, RpcError> {
        self.call.wait()
    }
}

impl Future for PendingCall {
    type Output = Result<Payload, RpcError>;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.call.poll(context)
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.call.leave();
    }
}

/// A cast under way: it ends when the broker has it. Dropped, it is sent all the same, and what it
/// fails with is in the log.
#[derive(Debug)]
pub struct PendingCast {
    call: Arc<Call>,
}

impl PendingCast {
    pub(super) fn new(call: Arc<Call>) -> Self {
        Self { call }
    }

    /// Blocks until the broker has it, at most as long as the client's timeout.
    ///
    /// # Errors
    ///
    /// [`RpcError::Timeout`] when nobody confirmed it in time; it may still be sent.
    /// [`RpcError::NotSent`], [`RpcError::Undeliverable`], [`RpcError::VersionCap`],
    /// [`RpcError::Invalid`] and [`RpcError::Transport`].
    pub fn wait(self) -> Result<(), RpcError> {
        self.call.wait().map(|_| ())
    }
}

impl Future for PendingCast {
    type Output = Result<(), RpcError>;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.call.poll(context).map_ok(|_| ())
    }
}

/// How a driver tells what became of a request. The first end counts.
#[derive(Clone, Debug)]
pub struct CallReport {
    call: Arc<Call>,
}

impl CallReport {
    pub(super) fn new(call: Arc<Call>) -> Self {
        Self { call }
    }

    /// The broker has a cast.
    pub fn sent(&self) {
        self.call.end(Ok(Payload::null()));
    }

    /// The server gave a sign of life.
    pub fn alive(&self) {
        self.call.lock().alive = Some(Instant::now());
    }

    /// What is known of why nothing comes yet, for the error when nothing comes at all.
    pub fn detail(&self, detail: impl Into<String>) {
        self.call.lock().detail = Some(detail.into());
    }

    /// The answer came: a result, or the JSON text of a failure.
    pub fn answered(&self, answer: Result<Payload, &str>) {
        self.call.end(answer.map_err(|failure| {
            let error = RemoteError::from_json(failure).judged_by(&self.call.allowed);
            match (&*error.module, &*error.class) {
                (DISPATCHER, "UnsupportedVersion") => {
                    RpcError::UnsupportedVersion { message: error.message.into() }
                }
                (DISPATCHER, "NoSuchMethod") => {
                    RpcError::NoSuchMethod { message: error.message.into() }
                }
                _ => RpcError::Remote(Box::new(error)),
            }
        }));
    }

    /// The broker has no queue for it.
    pub fn undeliverable(&self, exchange: &str, routing_key: &str) {
        self.call.end(Err(RpcError::Undeliverable {
            method: self.call.method.clone(),
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
        }));
    }

    /// It could not be handed over, or nobody knows whether it was.
    pub fn not_sent(&self, is_unknown: bool, detail: impl Into<String>) {
        let method = self.call.method.clone();
        self.call.end(Err(RpcError::NotSent { method, is_unknown, detail: detail.into() }));
    }

    /// Whether it has ended, or nobody waits for it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.call.lock();
        state.is_over || state.outcome.is_some()
    }

    /// When the call times out unless something comes.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.call.deadline()
    }

    /// Calls `forget` when nobody waits for the call any more, however it ended.
    pub fn when_over(&self, forget: impl FnOnce() + Send + 'static) {
        let mut state = self.call.lock();
        if state.is_over {
            drop(state);
            forget();
        } else {
            state.when_over = Some(Box::new(forget));
        }
    }
}

/// The module of the errors that a dispatcher makes itself.
pub(super) const DISPATCHER: &str = "oslo_messaging.rpc.dispatcher";
