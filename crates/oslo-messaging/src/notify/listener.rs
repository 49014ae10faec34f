//! Listening: a subscription, the workers that serve it, and their endpoints.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Error,
    driver::{Subscribe, Subscription, Want},
    message::Priority,
    notify::{
        dispatcher::{Dispatcher, Endpoints},
        endpoint::{BatchEndpoint, Endpoint},
        run::LONGEST_RUN,
        serializer::Serializer,
        workers::Workers,
    },
    target::Target,
    transport::Transport,
};

/// A batch listener's defaults: full batches under load, and no notification waits longer than
/// this for company.
const BATCH_SIZE: usize = 100;
pub(super) const BATCH_TIMEOUT: Duration = Duration::from_secs(1);
/// What a listener that is dropped instead of closed gets for its orderly end.
const DROP_DEADLINE: Duration = Duration::from_secs(5);

/// Receives notifications until it is closed.
///
/// ```
/// use oslo_messaging::{Context, Listener, Notifier, Payload, Priority, Target, Transport};
/// use oslo_messaging::endpoint_fn;
/// use std::{sync::mpsc, time::Duration};
///
/// # fn main() -> Result<(), oslo_messaging::Error> {
/// let transport = Transport::for_notifications("fake:")?;
/// let (sender, receiver) = mpsc::channel();
/// let listener = Listener::builder(&transport)
///     .target(Target::new("notifications"))
///     .endpoint(endpoint_fn([Priority::Info], move |notification| {
///         Ok(sender.send(notification.event_type.clone())?)
///     }))
///     .start()?;
/// listener.ready(Duration::from_secs(10))?;
///
/// let notifier = Notifier::builder(&transport)
///     .publisher_id("compute.host1")
///     .driver("messagingv2")
///     .build()?;
/// let receipt = notifier.info(&Context::empty(), "instance.create.end", Payload::null());
/// receipt.wait(Duration::from_secs(10))?;
/// assert_eq!(receiver.recv_timeout(Duration::from_secs(10)).as_deref(), Ok("instance.create.end"));
/// listener.close(Duration::from_secs(10))?;
/// # Ok(())
/// # }
/// ```
///
/// Mirrors `oslo_messaging.get_notification_listener` and `get_batch_notification_listener`.
pub struct Listener {
    subscription: Arc<dyn Subscription>,
    workers: Arc<Workers>,
    closed: Mutex<bool>,
}

impl Listener {
    /// Begins a listener on a transport.
    pub fn builder(transport: &Transport) -> ListenerBuilder {
        ListenerBuilder {
            transport: transport.clone(),
            targets: Vec::new(),
            endpoints: Vec::new(),
            batch_endpoints: Vec::new(),
            pool: None,
            batch_size: BATCH_SIZE,
            batch_timeout: BATCH_TIMEOUT,
            max_workers: None,
            serializer: None,
            allow_requeue: false,
        }
    }

    /// Blocks until notifications can arrive: the broker has given this listener its part.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when `timeout` passes first, with what stands in the way. The listener
    /// goes on trying.
    pub fn ready(&self, timeout: Duration) -> Result<(), Error> {
        self.subscription.ready(timeout)
    }

    /// Begins the orderly stop and returns at once: what the broker believes to be handled is
    /// still dispatched, everything else is left to others.
    pub fn stop(&self) {
        self.subscription.stop();
    }

    /// Stops, waits until the endpoints are done, and leaves the group, at most `deadline`.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] with the number of notifications that were committed and are not
    /// handled yet; their endpoints go on.
    pub fn close(&self, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline;
        *self.lock_closed() = true;
        self.subscription.close(deadline)?;
        self.workers.join(until);
        Ok(())
    }

    fn lock_closed(&self) -> MutexGuard<'_, bool> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let closed = *self.lock_closed();
        if !closed && let Err(error) = self.close(DROP_DEADLINE) {
            tracing::error!("a listener was dropped and did not end in time: {error}");
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

/// Collects what a [`Listener`] is started with.
#[must_use]
pub struct ListenerBuilder {
    transport: Transport,
    targets: Vec<Target>,
    endpoints: Vec<Arc<dyn Endpoint>>,
    batch_endpoints: Vec<Arc<dyn BatchEndpoint>>,
    pool: Option<String>,
    batch_size: usize,
    batch_timeout: Duration,
    max_workers: Option<usize>,
    serializer: Option<Arc<dyn Serializer>>,
    allow_requeue: bool,
}

impl ListenerBuilder {
    /// Adds a target. Each is joined with every priority that an endpoint asks for.
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Adds an endpoint. Each notification goes to every endpoint that wants it, in this order.
    pub fn endpoint(mut self, endpoint: impl Endpoint) -> Self {
        self.endpoints.push(Arc::new(endpoint));
        self
    }

    /// Adds an endpoint that takes batches. A listener has endpoints of one kind.
    pub fn batch_endpoint(mut self, endpoint: impl BatchEndpoint) -> Self {
        self.batch_endpoints.push(Arc::new(endpoint));
        self
    }

    /// The pool, such as `billing`: its listeners share the notifications, and each pool gets all
    /// of them. On Kafka the consumer group. Default: the option `consumer_group`.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Most notifications in a batch. Default 100; at most `max_poll_records`.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Longest wait for more notifications after the first one of a batch. Default 1 s.
    pub fn batch_timeout(mut self, batch_timeout: Duration) -> Self {
        self.batch_timeout = batch_timeout;
        self
    }

    /// Most threads that call endpoints. Default: `[DEFAULT] executor_thread_pool_size`. One is
    /// started at first, more as there is work for them.
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        self.max_workers = Some(max_workers);
        self
    }

    /// What contexts and payloads go through before filters and endpoints see them. Default:
    /// nothing.
    pub fn serializer(mut self, serializer: impl Serializer) -> Self {
        self.serializer = Some(Arc::new(serializer));
        self
    }

    /// The endpoints count on redelivery: what one fails with is dispatched again. Refused where
    /// that is not so (option `commit`). oslo's `allow_requeue`.
    pub fn allow_requeue(mut self) -> Self {
        self.allow_requeue = true;
        self
    }

    /// Starts to listen. Returns within about a second, whether or not a broker answers; see
    /// [`Listener::ready`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] without a target, without an endpoint, with endpoints of both
    /// kinds, with a batch size of 0 or above `max_poll_records`, with
    /// [`allow_requeue`](Self::allow_requeue) where nothing is redelivered; [`Error::InvalidTopic`];
    /// [`Error::InvalidOption`]; [`Error::Broker`] when the client library refuses its settings.
    pub fn start(self) -> Result<Listener, Error> {
        check(self.targets.len(), self.batch_size)?;
        let (endpoints, want, batch_size) =
            match (self.endpoints.is_empty(), self.batch_endpoints.is_empty()) {
                (false, true) => (Endpoints::Single(self.endpoints), Want::run(LONGEST_RUN), 1),
                (true, false) => {
                    let want = Want::batch(self.batch_size, self.batch_timeout);
                    (Endpoints::Batch(self.batch_endpoints), want, self.batch_size)
                }
                (true, true) => return Err(invalid("endpoint", "a listener needs an endpoint")),
                (false, false) => {
                    let reason = "single and batch endpoints cannot share a listener";
                    return Err(invalid("endpoint", reason));
                }
            };
        let wanted = |priority: &Priority| match &endpoints {
            Endpoints::Single(all) => all.iter().any(|e| e.priorities().contains(priority)),
            Endpoints::Batch(all) => all.iter().any(|e| e.priorities().contains(priority)),
        };
        let priorities: Vec<Priority> = Priority::ALL.into_iter().filter(wanted).collect();
        if priorities.is_empty() {
            return Err(invalid("endpoint", "no endpoint asks for any priority"));
        }
        let pairs = |target: &Target| priorities.iter().map(|p| (target.clone(), *p)).collect();
        let targets = self.targets.iter().flat_map(|target| -> Vec<_> { pairs(target) }).collect();
        let max_workers = match self.max_workers {
            Some(max) => max,
            None => {
                let options = self.transport.options("DEFAULT")?;
                usize::try_from(options.int("executor_thread_pool_size")).unwrap_or(1)
            }
        };
        if self.allow_requeue && !self.transport.driver().redelivers() {
            let reason = "the driver redelivers nothing; set commit = after_dispatch";
            return Err(invalid("allow_requeue", reason));
        }
        let subscription = self.transport.driver().subscribe(Subscribe {
            targets,
            pool: self.pool,
            batch_size,
            requeue: self.allow_requeue,
            raw: false,
        })?;
        let stats = Arc::clone(self.transport.shared_stats());
        let dispatcher = Dispatcher::new(endpoints, self.serializer, Arc::clone(&stats));
        let workers = Workers::new(Arc::clone(&subscription), dispatcher, want, max_workers, stats);
        workers.add()?;
        Ok(Listener { subscription, workers, closed: Mutex::new(false) })
    }
}

impl fmt::Debug for ListenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerBuilder")
            .field("targets", &self.targets)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// What no listener does without.
pub(super) fn check(targets: usize, batch_size: usize) -> Result<(), Error> {
    match (targets, batch_size) {
        (0, _) => Err(invalid("target", "a listener needs at least one target")),
        (_, 0) => Err(invalid("batch_size", "0: a batch has at least one notification")),
        _ => Ok(()),
    }
}

fn invalid(name: &'static str, reason: &str) -> Error {
    Error::InvalidSetting { name, reason: reason.to_owned() }
}
