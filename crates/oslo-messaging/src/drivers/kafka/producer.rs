//! Sends records and resolves their reports: one librdkafka producer at a time for a driver, made
//! at the first send.
//!
//! Here is its life: the first send, closing, and what all parts share ([`Inner`]). A call's record
//! goes its way in `sending`, what became of it is in `reports`, one librdkafka producer is a
//! `generation`. What must not wait for the next call is in `supervisor`.

mod contacts;
mod generation;
mod reports;
mod sending;

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    config::FromClientConfigAndContext,
    producer::{Producer, PurgeConfig},
};

use super::{
    breaker::Breaker,
    brokers::Connections,
    config::{Delivery, KafkaOptions},
    context::ReportContext,
    drain::{self, Blocked},
    error::client_error,
    hand_over::{InFlight, Late, Waiting},
    health::Health,
    supervisor,
    zstd::FIRST_WORD,
};
use crate::{
    Error,
    driver::{Outgoing, Retry},
    error::Cause,
    receipt::Report,
    spool::Spool,
    stats::Stats,
};
pub(super) use contacts::Contacts;
pub(super) use generation::{Client, Fate, FateCell, Generation};
pub(super) use reports::{refused, unknown};

/// How often closing looks whether all is answered.
const CLOSING_PAUSE: Duration = Duration::from_millis(20);
/// How long the reports of a purge may take: they need no broker.
pub(super) const PURGE_REPORTS: Duration = Duration::from_secs(1);
/// Most message ids that closing names.
const MOST_NAMED: usize = 100;

const DRAIN_THREAD: &str = "kafka-spool";

/// The producer of one driver.
#[derive(Debug)]
pub(super) struct KafkaProducer {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the callbacks and the supervisor reach too.
pub(super) struct Inner {
    pub(super) options: Arc<KafkaOptions>,
    pub(super) stats: Arc<Stats>,
    pub(super) health: Arc<Health>,
    pub(super) breaker: Breaker,
    pub(super) waiting: Waiting,
    pub(super) late: Late,
    /// Librdkafka's newest statistics, and what they say of the connections.
    statistics: Mutex<(Vec<u8>, Connections)>,
    /// The topic of the last send that timed out: what a probe asks for.
    pub(super) suspect: Mutex<String>,
    /// When the leaders may be asked for again; none while they are.
    pub(super) leaders_due: Mutex<Option<Instant>>,
    /// When a producer was last made to see whether the user may produce by now.
    pub(super) asked_after_refusal: Mutex<Option<Instant>>,
    current: RwLock<Option<Arc<Generation>>>,
    /// Held while a client is made, so that it is made once.
    making: Mutex<()>,
    /// What `delivery = spooled` keeps on disk; made at the first send.
    pub(super) spool: OnceLock<Arc<Spool>>,
    /// Topics of the spool that have to wait.
    pub(super) blocked: Blocked,
    closed: AtomicBool,
    /// Closing has waited long enough: nothing more is handed over.
    given_up: AtomicBool,
    stopped: AtomicBool,
    order: AtomicU64,
    /// What failed since closing began.
    lost: Mutex<Lost>,
}

#[derive(Debug, Default)]
struct Lost {
    not_delivered: usize,
    unknown: usize,
    message_ids: Vec<String>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("started", &self.current().is_some())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl KafkaProducer {
    pub(super) fn new(options: Arc<KafkaOptions>, stats: Arc<Stats>) -> Self {
        let inner = Inner {
            health: Arc::new(Health::default()),
            breaker: Breaker::new(
                options.connect_timeout,
                options.delivery_timeout,
                Arc::clone(&stats),
            ),
            waiting: Waiting::default(),
            late: Late::default(),
            statistics: Mutex::default(),
            suspect: Mutex::default(),
            leaders_due: Mutex::new(Some(Instant::now())),
            asked_after_refusal: Mutex::new(None),
            current: RwLock::new(None),
            making: Mutex::new(()),
            spool: OnceLock::new(),
            blocked: Blocked::default(),
            closed: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            order: AtomicU64::new(0),
            lost: Mutex::default(),
            options,
            stats,
        };
        Self { inner: Arc::new(inner), threads: Mutex::default() }
    }

    /// Hands a record over. Blocks only while librdkafka's queue is full, at most until the
    /// delivery timeout; not at all when the caller wants a single hand-over, or in queued mode
    /// where `queue_overflow` is `drop` or `log`. With zstd the first call also waits, at most a
    /// second, for what a broker says of it.
    pub(super) fn send(&self, topic: &str, outgoing: &Outgoing, mut report: Report) {
        let inner = &self.inner;
        if inner.is_closed() {
            return report.failed(refused(Cause::Closed, "the transport is closed"));
        }
        let delivery = inner.options.delivery;
        if delivery == Delivery::Confirmed
            && let Err((lack, words)) = inner.breaker.admit(Instant::now())
        {
            return report.failed(inner.refused_by_breaker(lack, &words));
        }
        if let Err(error) = self.start() {
            let words = std::error::Error::source(&error).map(ToString::to_string);
            let words =
                words.map_or_else(|| error.to_string(), |words| format!("{error}: {words}"));
            return report.failed(refused(Cause::Other, &words));
        }
        if let Some(spool) = inner.spool.get() {
            return inner.append(spool, topic, outgoing, report);
        }
        if inner.options.sends_zstd
            && let Some(failure) = inner.health.zstd.refusal(FIRST_WORD)
        {
            return report.failed(failure);
        }
        let acceptance = if delivery == Delivery::Queued { report.detach() } else { None };
        let order = inner.next_order();
        let hand_overs_left = match outgoing.retry {
            Retry::UntilTimeout => None,
            Retry::AtMost(count) => Some(count),
        };
        let timeout = Some(inner.options.record_timeout);
        let in_flight = Box::new(InFlight::new(report, order, timeout, hand_overs_left));
        match inner.first_hand_over(topic, outgoing, in_flight) {
            Ok(()) => acceptance.into_iter().for_each(crate::receipt::Acceptance::accepted),
            Err((in_flight, failure)) => {
                inner.breaker.undecided(in_flight.begun);
                let Some(mut report) = in_flight.into_report() else { return };
                if let Some(acceptance) = acceptance {
                    report.reattach(acceptance);
                }
                inner.fail(report, failure);
            }
        }
    }

    /// Waits for every delivery report, at most `deadline`; takes nothing more. What is still
    /// unanswered then is given up and reported so.
    pub(super) fn close(&self, deadline: Duration) -> Result<(), Error> {
        let inner = &self.inner;
        inner.closed.store(true, Ordering::Release);
        if inner.current().is_none() || inner.has_given_up() {
            return Ok(());
        }
        let deadline = Instant::now().checked_add(deadline);
        // The producer's threads serve the reports, and hand over what must be.
        while !inner.is_idle() && deadline.is_none_or(|end| Instant::now() < end) {
            thread::sleep(CLOSING_PAUSE);
        }
        inner.given_up.store(true, Ordering::Release);
        self.join(|name| name == Some(DRAIN_THREAD));
        if inner.unanswered() > 0 {
            inner.give_up();
        }
        if let Some(spool) = inner.spool.get() {
            inner.release(spool);
        }
        let lost = std::mem::take(&mut *inner.lost.lock().unwrap_or_else(PoisonError::into_inner));
        if lost.not_delivered + lost.unknown == 0 {
            return Ok(());
        }
        Err(Error::Lost {
            what: "kafka producer",
            not_delivered: lost.not_delivered,
            unknown: lost.unknown,
            message_ids: lost.message_ids,
        })
    }

    /// Waits for the end of threads that were told to end.
    fn join(&self, which: impl Fn(Option<&str>) -> bool) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let ending: Vec<_> = threads.extract_if(.., |t| which(t.thread().name())).collect();
        drop(threads);
        // An observer of outcomes may hold the last handle of the transport.
        for thread in ending.into_iter().filter(|t| t.thread().id() != thread::current().id()) {
            if thread.join().is_err() {
                tracing::error!("a thread of the producer panicked");
            }
        }
    }

    /// Makes the first librdkafka producer, the producer's thread and, in spooled mode, the spool
    /// with its thread.
    pub(super) fn start(&self) -> Result<(), Error> {
        if self.inner.current().is_some() {
            return Ok(());
        }
        if self.inner.is_closed() {
            return Err(Error::Closed { what: "transport" });
        }
        let _making = self.inner.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.inner.current().is_some() {
            return Ok(());
        }
        let spool = match &self.inner.options.spool {
            None => None,
            Some(settings) => {
                let spool = Spool::open(settings.clone(), Arc::clone(&self.inner.stats))?;
                Some(Arc::new(spool))
            }
        };
        let generation = Inner::make(&self.inner)?;
        let weak = Arc::downgrade(&self.inner);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(spawn("kafka-producer", move || supervisor::run(&weak))?);
        if let Some(spool) = spool {
            let spool = Arc::clone(self.inner.spool.get_or_init(|| spool));
            let weak = Arc::downgrade(&self.inner);
            threads.push(spawn(DRAIN_THREAD, move || drain::run(&weak, &spool))?);
        }
        // Last: from here on nobody comes back to this.
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = Some(generation);
        Ok(())
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| Error::Broker {
        driver: "kafka",
        operation: format!("start the thread {name}"),
        source: Box::new(error),
    })
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        // Dropping librdkafka's producer purges its queue: what was accepted gets this long.
        if let Err(error) = self.close(self.inner.options.exit_flush_timeout) {
            tracing::error!("{error}");
        }
        self.inner.stopped.store(true, Ordering::Release);
        self.join(|_| true);
    }
}

impl Inner {
    pub(super) fn current(&self) -> Option<Arc<Generation>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire) || self.is_stopped()
    }

    pub(super) fn next_order(&self) -> u64 {
        self.order.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether closing need not wait any longer.
    fn is_idle(&self) -> bool {
        self.spool.get().is_none_or(|spool| spool.is_drained()) && self.unanswered() == 0
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn make(this: &Arc<Self>) -> Result<Arc<Generation>, Error> {
        let fate = Arc::new(FateCell::default());
        let context = ReportContext {
            health: Arc::clone(&this.health),
            fate: Arc::clone(&fate),
            inner: Arc::downgrade(this),
            contacts: this.options.is_idempotent.then(Contacts::default),
        };
        let config = this.options.producer();
        this.health.knows(&this.options, &config);
        let client = Client::from_config_and_context(&config, context)
            .map_err(|error| client_error("create the producer", error, &config))?;
        Ok(Arc::new(Generation { client, fate }))
    }

    /// Puts another librdkafka producer in the place of the current one, which it returns.
    pub(super) fn replace(&self, new: Arc<Generation>) -> Option<Arc<Generation>> {
        self.current.write().unwrap_or_else(PoisonError::into_inner).replace(new)
    }

    /// The records that librdkafka has, or that wait to be handed over again.
    pub(super) fn unanswered(&self) -> usize {
        let in_flight = self.current().map_or(0, |current| current.client.in_flight_count());
        usize::try_from(in_flight).unwrap_or(0) + self.waiting.len()
    }

    /// Leaves the spool, with what is in it, to the next process.
    fn release(&self, spool: &Spool) {
        let (own, bytes) = spool.release();
        if bytes > 0 {
            tracing::warn!(
                "{own} notifications of this process, {bytes} bytes in all, stay in the spool {} \
                 for the next process that uses it",
                spool.dir().display()
            );
        }
    }

    /// Gives up all that is unanswered, and reports it so.
    fn give_up(&self) {
        if let Some(current) = self.current() {
            current.fate.set(Fate::Closing);
            current.client.purge(PurgeConfig::default().queue().inflight());
            if let Err(error) = current.client.flush(PURGE_REPORTS) {
                tracing::error!("reports of what was given up are missing: {error}");
            }
        }
        for held in self.waiting.take_all() {
            let failure = refused(Cause::Closed, "the transport was closed first");
            self.fail_in_flight(*held.in_flight, failure);
        }
        let later = Instant::now() + self.options.record_timeout;
        for (_, report) in self.late.expired(later) {
            self.fail(report, unknown("the transport was closed first"));
        }
    }
}

#[cfg(test)]
mod tests;
