//! Listening without endpoints: notifications are polled and answered one by one.
//!
//! For programs that have an executor and a dispatcher of their own, as bindings for other
//! languages do. A [`Listener`](super::Listener) has both.

mod batch;
mod incoming;
mod run;
mod shared;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

pub use self::incoming::IncomingMessage;
use self::shared::{Queue, Shared, Waker};
use crate::{
    Error,
    driver::{Subscribe, Want},
    message::Priority,
    notify::{
        listener::{BATCH_TIMEOUT, check},
        run::LONGEST_RUN,
    },
    target::Target,
    transport::Transport,
};

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
    waker: Option<Waker>,
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
            requeue: false,
            raw: false,
        })?;
        let stats = Arc::clone(self.transport.shared_stats());
        let shared = Arc::new(Shared::new(subscription, stats, self.waker));
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
