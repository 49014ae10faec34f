//! Sends records and resolves their reports: one librdkafka producer at a time for a driver, made
//! at the first send.
//!
//! Here is the way of a call: [`KafkaProducer::send`], [`KafkaProducer::close`], and what a delivery
//! report means ([`Inner::settle`]). What must not wait for the next call is in `supervisor`.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    Message,
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::BorrowedMessage,
    producer::{BaseProducer, NoCustomPartitioner, Producer, PurgeConfig},
};

use super::{
    breaker::{Breaker, Lack},
    brokers::{self, Connections},
    config::{Delivery, KafkaOptions, Overflow},
    context::{Health, ReportContext},
    drain::{self, Blocked},
    error::{self, broker_error, failure, is_authentication},
    hand_over::{Held, InFlight, Late, Record, Waiting, owned_headers},
    native, supervisor,
    zstd::FIRST_WORD,
};
use crate::{
    Error,
    driver::{Outgoing, Retry},
    error::{Cause, Outcome},
    notify::masked_line,
    receipt::{Failure, Report},
    spool::{Spool, SpoolError},
    stats::Stats,
};

/// How often it is looked whether a full queue has room.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(2);
/// How often closing looks whether all is answered.
const CLOSING_PAUSE: Duration = Duration::from_millis(20);
/// How long the reports of a purge may take: they need no broker.
pub(super) const PURGE_REPORTS: Duration = Duration::from_secs(1);
/// Most message ids that closing names.
const MOST_NAMED: usize = 100;

const DRAIN_THREAD: &str = "kafka-spool";

pub(super) type Client = BaseProducer<ReportContext, NoCustomPartitioner>;

/// Why a librdkafka producer is given up, or that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fate {
    Alive = 0,
    /// An idempotence error: it takes nothing more.
    Fatal = 1,
    /// No connection for `connect_timeout`: what it holds fails.
    NoConnection = 2,
    /// The transport is closed.
    Closing = 3,
}

/// The fate of one librdkafka producer, shared with its callbacks.
#[derive(Debug, Default)]
pub(super) struct FateCell(AtomicU8);

impl FateCell {
    pub(super) fn get(&self) -> Fate {
        match self.0.load(Ordering::Acquire) {
            0 => Fate::Alive,
            1 => Fate::Fatal,
            2 => Fate::NoConnection,
            _ => Fate::Closing,
        }
    }

    pub(super) fn set(&self, fate: Fate) {
        self.0.store(fate as u8, Ordering::Release);
    }
}

/// One librdkafka producer.
pub(super) struct Generation {
    pub(super) client: Client,
    pub(super) fate: Arc<FateCell>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        // Dropping the client purges it: what that reports is final.
        if self.fate.get() == Fate::Alive {
            self.fate.set(Fate::Closing);
        }
    }
}

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
        };
        let client = Client::from_config_and_context(&this.options.producer(), context)
            .map_err(|error| broker_error("create the producer", error))?;
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

    /// Writes the record to disk, which accepts it.
    fn append(&self, spool: &Spool, topic: &str, outgoing: &Outgoing, mut report: Report) {
        let key_bytes = outgoing.key.as_ref().map_or(0, bytes::Bytes::len);
        let size = outgoing.body.len() + key_bytes;
        if size > self.options.max_record_bytes {
            let error = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
            let code = error.rdkafka_error_code();
            return report.failed(self.send_failure(&error, code, size));
        }
        match spool.append(&drain::entry(topic, outgoing, &report)) {
            Ok(()) => {
                if let Some(acceptance) = report.detach() {
                    acceptance.accepted();
                }
                report.forget();
            }
            Err(error @ SpoolError::Full { .. }) => {
                self.stats.overflowed.add(1);
                report.failed(refused(Cause::QueueFull, &error.to_string()));
            }
            Err(error @ SpoolError::Io { .. }) => {
                report.failed(refused(Cause::Other, &error.to_string()));
            }
        }
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

    /// Hands a call's record over, or queues it up behind those that wait.
    fn first_hand_over(
        &self,
        topic: &str,
        outgoing: &Outgoing,
        mut in_flight: Box<InFlight>,
    ) -> Result<(), (Box<InFlight>, Failure)> {
        loop {
            if self.waiting.is_holding() {
                let held = Held::outgoing(topic, outgoing, in_flight);
                match self.waiting.queue_up(held, self.options.queue_max_messages) {
                    Ok(()) => return Ok(()),
                    Err(held) => in_flight = held.in_flight,
                }
            }
            let Some(current) = self.current() else {
                return Err((in_flight, refused(Cause::Closed, "the transport is closed")));
            };
            self.late.watch(&mut in_flight, Instant::now(), self.options.record_timeout);
            let mut record = Record::with_opaque_to(topic, in_flight).payload(&outgoing.body[..]);
            record.key = outgoing.key.as_deref();
            record.headers = owned_headers(&outgoing.headers);
            let Err((error, back)) = current.client.send(record) else { return Ok(()) };
            in_flight = back.delivery_opaque;
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) => {
                    if let Err(failure) = self.wait_for_room(&current, outgoing, &mut in_flight) {
                        return Err((in_flight, failure));
                    }
                }
                Some(Code::Fatal) if !self.is_closed() => {
                    // Nothing was handed over yet: the next producer gets it.
                    current.fate.set(Fate::Fatal);
                    self.waiting.hold_again(Held::outgoing(topic, outgoing, in_flight));
                    return Ok(());
                }
                code => {
                    let size = outgoing.body.len();
                    return Err((in_flight, self.send_failure(&error, code, size)));
                }
            }
        }
    }

    /// Waits until the full queue has room, as far as the mode, `retry` and the deadline allow.
    fn wait_for_room(
        &self,
        current: &Generation,
        outgoing: &Outgoing,
        in_flight: &mut InFlight,
    ) -> Result<(), Failure> {
        let queued = self.options.delivery == Delivery::Queued;
        let overflow = if queued { self.options.queue_overflow } else { Overflow::Block };
        let full = || {
            self.stats.overflowed.add(1);
            failure(Code::QueueFull, false, None)
        };
        match overflow {
            Overflow::Drop => return Err(full()),
            Overflow::Log => {
                tracing::warn!(
                    target: "oslo.messaging.notification",
                    "{}", masked_line(&outgoing.body)
                );
                let mut failure = full();
                failure.detail.push_str("; the notification is in the log");
                return Err(failure);
            }
            // A queued record is not handed over before there is room: `retry` is for later.
            Overflow::Block if !queued && !in_flight.use_hand_over() => return Err(full()),
            Overflow::Block => {}
        }
        let limit = in_flight.begun + self.options.delivery_timeout;
        let before = current.client.in_flight_count();
        loop {
            thread::sleep(FULL_QUEUE_PAUSE);
            let now = Instant::now();
            if self.is_closed() {
                return Err(refused(Cause::Closed, "the transport was closed first"));
            }
            if now >= limit {
                return Err(full());
            }
            if !queued && let Err((lack, words)) = self.breaker.still_admits() {
                return Err(self.refused_by_breaker(lack, &words));
            }
            if current.client.in_flight_count() < before || current.fate.get() != Fate::Alive {
                if !queued {
                    self.stats.handed_over_again.add(1);
                }
                return Ok(());
            }
        }
    }

    /// The broker has the record.
    pub(super) fn delivered(&self, mut in_flight: InFlight) {
        if let Some(spooled) = in_flight.spooled.take() {
            return drain::delivered(self, in_flight, &spooled);
        }
        if self.options.delivery == Delivery::Confirmed {
            self.breaker.confirmed(in_flight.begun);
        }
        if let Some(report) = in_flight.into_report() {
            report.delivered();
        }
    }

    /// What a delivery report means, by its class, for the record that it is about.
    pub(super) fn settle(
        this: &Arc<Self>,
        code: Code,
        message: &BorrowedMessage<'_>,
        fate: Fate,
        mut in_flight: Box<InFlight>,
    ) {
        let may_be_persisted = native::may_be_persisted(message);
        let now = Instant::now();
        let open = fate != Fate::NoConnection && fate != Fate::Closing;
        if open && !in_flight.is_expired(now) {
            match code {
                Code::UnknownTopic | Code::UnknownTopicOrPartition
                    if this.options.create_topics && !in_flight.topic_was_created =>
                {
                    in_flight.topic_was_created = true;
                    let held = Held::reported(message, in_flight);
                    return supervisor::create_topic(this, held);
                }
                // Not stored, and not for what it is: the next hand-over may succeed. A purge
                // that is not ours comes from a fatal error.
                Code::InvalidProducerEpoch
                | Code::PurgeQueue
                | Code::PurgeInflight
                | Code::OutOfOrderSequenceNumber
                | Code::UnknownProducerId
                | Code::Fatal
                    if !may_be_persisted && in_flight.use_hand_over() =>
                {
                    this.stats.handed_over_again.add(1);
                    return this.waiting.hold_again(Held::reported(message, in_flight));
                }
                _ => {}
            }
        }
        let failure = match fate {
            Fate::NoConnection => this.no_connection(may_be_persisted),
            _ => {
                let last = this.health.last_error();
                let mut failure = failure(code, may_be_persisted, last.as_ref());
                if code == Code::MessageSizeTooLarge {
                    failure.detail = format!("{} bytes, {}", message.payload_len(), failure.detail);
                }
                failure
            }
        };
        if code == Code::MessageTimedOut && this.options.delivery == Delivery::Confirmed {
            let elsewhere = {
                let statistics = this.statistics.lock().unwrap_or_else(PoisonError::into_inner);
                let (topic, partition) = (message.topic(), message.partition());
                brokers::is_partition_dead(&statistics.0, topic, partition)
            };
            message
                .topic()
                .clone_into(&mut this.suspect.lock().unwrap_or_else(PoisonError::into_inner));
            let words = || failure.detail.clone();
            this.breaker.timed_out(now, in_flight.begun, elsewhere, words);
        } else {
            this.breaker.undecided(in_flight.begun);
        }
        this.fail_in_flight(*in_flight, failure);
    }

    /// Reports a record as failed, unless its deadline came first.
    pub(super) fn fail_in_flight(&self, mut in_flight: InFlight, failure: Failure) {
        if in_flight.spooled.is_some() && self.has_given_up() {
            return drain::leave(in_flight);
        }
        if let Some(spooled) = in_flight.spooled.take() {
            return drain::failed(self, in_flight, &spooled, failure);
        }
        if let Some(report) = in_flight.into_report() {
            self.fail(report, failure);
        }
    }

    pub(super) fn fail(&self, report: Report, failure: Failure) {
        if self.is_closed() {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            match failure.outcome {
                Outcome::NotDelivered => lost.not_delivered += 1,
                Outcome::Unknown => lost.unknown += 1,
            }
            if lost.message_ids.len() < MOST_NAMED {
                lost.message_ids.push(report.message_id().to_owned());
            }
        }
        report.failed(failure);
    }

    /// Notes librdkafka's statistics.
    pub(super) fn note_statistics(&self, statistics: &[u8]) {
        let connections = brokers::connections(statistics);
        if connections.any_up && connections.none_lost {
            self.health.recovered();
        }
        let mut noted = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        noted.0.clear();
        noted.0.extend_from_slice(statistics);
        noted.1 = connections;
    }

    pub(super) fn any_connection(&self) -> bool {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner).1.any_up
    }

    /// Forgets the statistics: another librdkafka producer has other connections.
    pub(super) fn forget_statistics(&self) {
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }

    /// What is held when no connection has been up for `connect_timeout`.
    pub(super) fn no_connection(&self, may_be_persisted: bool) -> Failure {
        let words = Lack::Connection.words(self.options.connect_timeout);
        let mut failure = self.unreachable(words);
        if may_be_persisted {
            failure.outcome = Outcome::Unknown;
        }
        failure
    }

    fn refused_by_breaker(&self, lack: Lack, words: &str) -> Failure {
        let what = lack.words(self.options.connect_timeout);
        match lack {
            Lack::Connection => self.unreachable(format!("not tried: {what}")),
            Lack::Answers => refused(Cause::TimedOut, &format!("not tried: {what}; {words}")),
        }
    }

    /// The words of the connections' last error, and the cause that they speak of.
    fn unreachable(&self, what: String) -> Failure {
        match self.health.last_error() {
            Some(last) => {
                let cause = match is_authentication(last.code) {
                    true => Cause::Authentication,
                    false => Cause::Unreachable,
                };
                refused(cause, &format!("{what}; last word of the client: {}", last.reason))
            }
            None => refused(Cause::Unreachable, &what),
        }
    }

    /// What a hand-over that librdkafka refused means.
    pub(super) fn send_failure(
        &self,
        error: &KafkaError,
        code: Option<Code>,
        size: usize,
    ) -> Failure {
        if let KafkaError::Nul(_) = error {
            return refused(Cause::InvalidTopic, "the topic contains a NUL");
        }
        let code = code.unwrap_or(Code::Unknown);
        let mut failure = error::failure(code, false, self.health.last_error().as_ref());
        if code == Code::MessageSizeTooLarge {
            failure.detail = format!("{size} bytes, {}", failure.detail);
        }
        failure
    }
}

pub(super) fn refused(cause: Cause, detail: &str) -> Failure {
    Failure { outcome: Outcome::NotDelivered, cause, detail: detail.to_owned() }
}

pub(super) fn unknown(detail: &str) -> Failure {
    Failure { outcome: Outcome::Unknown, cause: Cause::TimedOut, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests;
