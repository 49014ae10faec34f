//! Listening for notifications.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use lapin::{
    Acker,
    message::Delivery,
    options::{BasicAckOptions, BasicRejectOptions},
};

use super::{
    Live,
    config::RabbitOptions,
    message::{unique_id, unpacked},
    seen::Seen,
    session::{Role, Session},
    topology::Queue,
};
use crate::{
    Error,
    driver::{Incoming, Origin, Redelivery, Settled, Subscribe, Subscription, Target, Token, Want},
    lanes::Lanes,
    stats::Stats,
    wire::ContextStyle,
};

/// Messages of each queue that are on their way here or not handled yet, where the option sets no
/// number.
const PREFETCH: u16 = 500;
/// Longest that a stopped listener waits for its endpoints before its connection ends.
const DRAIN: Duration = Duration::from_secs(300);

/// One listener's subscription.
#[derive(Debug)]
pub(super) struct RabbitListener {
    records: Arc<Records>,
    session: Session,
    live: Arc<Live>,
}

impl RabbitListener {
    pub(super) fn new(records: Arc<Records>, session: Session, live: Arc<Live>) -> Self {
        Self { records, session, live }
    }
}

impl Subscription for RabbitListener {
    fn recv(&self, batch: &mut Vec<Incoming>, want: Want) -> bool {
        let before = batch.len();
        loop {
            if !self.records.lanes.take(batch, want) {
                return false;
            }
            let known = self.records.take_known(batch, before);
            if known.is_empty() {
                break;
            }
            self.advance(&[], &known);
            if batch.len() > before {
                break;
            }
        }
        self.records.stats.dispatched.add(batch.len() - before);
        true
    }

    fn advance(&self, _: &[Token], settled: &[Settled]) {
        if settled.is_empty() {
            return;
        }
        let answers = self.records.settle(settled);
        self.records.lanes.settle(settled);
        if answers.is_empty() {
            return;
        }
        let records = Arc::clone(&self.records);
        self.live.handle().spawn(async move {
            for (acker, done) in answers {
                // A connection that is gone gives the message again.
                let _ = if done {
                    acker.ack(BasicAckOptions::default()).await
                } else {
                    acker.reject(BasicRejectOptions { requeue: true }).await
                };
                records.answered();
            }
        });
    }

    fn redelivery(&self) -> Option<Redelivery> {
        let at_broker = Redelivery { max: u32::MAX, backoff: Duration::ZERO, at_broker: true };
        self.records.requeues.then_some(at_broker)
    }

    fn ready(&self, timeout: Duration) -> Result<(), Error> {
        self.session.ready(timeout)
    }

    fn stop(&self) {
        self.records.stop();
        self.session.stop();
    }

    fn close(&self, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline;
        self.stop();
        let left = self.records.lanes.wait_empty(deadline);
        self.session.wait_ended(until);
        match left {
            0 => Ok(()),
            left => Err(Error::Unfinished { what: "rabbit listener", left }),
        }
    }
}

impl Drop for RabbitListener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What came and is not settled.
pub(super) struct Records {
    queues: Vec<Queue>,
    names: Vec<Arc<str>>,
    /// A number and a name for each routing key, as they come: what has different ones is apart in a
    /// pool, too.
    lanes_of: Mutex<HashMap<String, (u64, Arc<str>)>>,
    prefetch: u16,
    requeues: bool,
    /// Each record is a lane of its own.
    is_raw: bool,
    /// One queue has many routing keys.
    is_pool: bool,
    lanes: Lanes<Incoming>,
    state: Mutex<State>,
    next: AtomicI64,
    /// Which connection they came over.
    period: AtomicU32,
    is_stopped: AtomicBool,
    stats: Arc<Stats>,
}

#[derive(Default)]
struct State {
    held: HashMap<i64, Held>,
    /// Those whose answer is on its way.
    answering: usize,
    /// What was handled: a message may come again all the same.
    handled: Seen,
}

struct Held {
    period: u32,
    acker: Acker,
    unique_id: Option<String>,
}

impl Records {
    pub(super) fn new(
        options: &RabbitOptions,
        request: &Subscribe,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        let queues = queues(options, request);
        Arc::new(Self {
            names: queues.iter().map(|queue| Arc::from(queue.name.as_str())).collect(),
            lanes_of: Mutex::default(),
            queues,
            prefetch: if options.prefetch == 0 { PREFETCH } else { options.prefetch },
            requeues: request.requeue,
            is_raw: request.raw,
            is_pool: request.pool.is_some(),
            lanes: Lanes::new(),
            state: Mutex::default(),
            next: AtomicI64::new(0),
            period: AtomicU32::new(0),
            is_stopped: AtomicBool::new(false),
            stats,
        })
    }

    /// Number and name of a routing key.
    fn lane_of(&self, key: &str) -> (u64, Arc<str>) {
        let mut lanes = self.lanes_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lanes.get(key) {
            return known.clone();
        }
        let new = (lanes.len() as u64, Arc::from(key));
        lanes.insert(key.to_owned(), new.clone());
        new
    }

    /// Takes those off a batch that were handled before.
    fn take_known(&self, batch: &mut Vec<Incoming>, from: usize) -> Vec<Settled> {
        let state = self.lock();
        let mut known = Vec::new();
        let mut index = from;
        while index < batch.len() {
            let token = batch[index].token;
            let held = state.held.get(&token.offset);
            let id = held.and_then(|held| held.unique_id.as_deref());
            if id.is_some_and(|id| state.handled.knows(id)) {
                let queue = &batch[index].origin.topic;
                if self.is_raw {
                    tracing::debug!(%queue, "skipped a message that came before");
                } else {
                    tracing::warn!(%queue, "skipped a notification that came before");
                }
                known.push(Settled { token, done: true, took: Duration::ZERO });
                batch.remove(index);
            } else {
                index += 1;
            }
        }
        known
    }

    /// Who is to be told what.
    fn settle(&self, settled: &[Settled]) -> Vec<(Acker, bool)> {
        let period = self.period.load(Ordering::SeqCst);
        let mut state = self.lock();
        let mut answers = Vec::with_capacity(settled.len());
        for one in settled {
            let Some(held) = state.held.remove(&one.token.offset) else { continue };
            if one.done
                && let Some(id) = &held.unique_id
            {
                state.handled.is_new(id);
            }
            if held.period == period {
                answers.push((held.acker, one.done));
            }
        }
        state.answering += answers.len();
        answers
    }

    fn answered(&self) {
        self.lock().answering -= 1;
    }

    fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        self.lanes.withdraw(|_| true);
        self.lanes.close();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One queue for each topic and priority, or one for a pool.
pub(super) fn queues(options: &RabbitOptions, request: &Subscribe) -> Vec<Queue> {
    let mut queues = Vec::new();
    let mut of_exchange: Vec<(&Target, Vec<String>)> = Vec::new();
    for (target, priority) in &request.targets {
        let key = format!("{}.{}", target.topic(), priority.as_str());
        match &request.pool {
            None => queues.push(options.notification_queue(target, &key)),
            Some(_) => {
                let same = of_exchange.iter_mut().find(|(other, _)| {
                    options.exchange(other).name == options.exchange(target).name
                });
                match same {
                    Some((_, keys)) => keys.push(key),
                    None => of_exchange.push((target, vec![key])),
                }
            }
        }
    }
    if let Some(pool) = &request.pool {
        queues.extend(
            of_exchange.into_iter().map(|(target, keys)| options.pool_queue(pool, target, keys)),
        );
    }
    queues
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("queues", &self.names).finish_non_exhaustive()
    }
}

/// What a session calls.
#[derive(Debug)]
pub(super) struct ListenerRole(pub(super) Arc<Records>);

impl Role for ListenerRole {
    fn name(&self) -> &'static str {
        "listener"
    }

    fn queues(&self) -> Vec<Queue> {
        self.0.queues.clone()
    }

    fn prefetch(&self) -> u16 {
        self.0.prefetch
    }

    async fn came(&self, queue: usize, delivery: Delivery) {
        let records = &self.0;
        if records.is_stopped.load(Ordering::SeqCst) {
            return;
        }
        records.stats.received.add(1);
        let Delivery { data, properties, acker, routing_key, .. } = delivery;
        let (key_lane, key) = records.lane_of(routing_key.as_str());
        // Only a raw record's bytes are wanted as they are, and only when nothing else is there.
        let packed = if records.is_raw { data.clone() } else { Vec::new() };
        let body = match unpacked(&properties, data) {
            Ok(body) => body,
            Err(_) if records.is_raw => packed,
            Err(words) => {
                records.stats.undecodable.add(1);
                let queue = &records.names[queue];
                tracing::error!(%queue, "skipped a message {words}");
                let _ = acker.reject(BasicRejectOptions { requeue: false }).await;
                return;
            }
        };
        let offset = records.next.fetch_add(1, Ordering::SeqCst);
        let period = records.period.load(Ordering::SeqCst);
        let unique_id = unique_id(&body);
        records.lock().held.insert(offset, Held { period, acker, unique_id });
        let lane = if records.is_raw { offset.unsigned_abs() } else { key_lane };
        let name = if records.is_pool { key } else { Arc::clone(&records.names[queue]) };
        let incoming = Incoming {
            origin: Origin { topic: name, partition: 0, offset, timestamp_millis: None },
            key: None,
            headers: Vec::new(),
            body: Some(Bytes::from(body)),
            context_style: ContextStyle::Flattened,
            token: Token { lane, slot: 0, period, offset },
        };
        records.lanes.push([incoming]);
    }

    fn lost(&self) {
        let records = &self.0;
        let old = records.period.fetch_add(1, Ordering::SeqCst);
        // What nobody has begun comes again; what runs is done, and known when it comes again.
        let withdrawn = RefCell::new(Vec::new());
        records.lanes.withdraw(|record| {
            let leaves = record.token.period <= old;
            if leaves {
                withdrawn.borrow_mut().push(record.token.offset);
            }
            leaves
        });
        let mut state = records.lock();
        for offset in withdrawn.into_inner() {
            state.held.remove(&offset);
        }
    }

    async fn drained(&self) {
        let until = Instant::now() + DRAIN;
        while Instant::now() < until {
            let records = &self.0;
            // One may have come at the same time as the stop.
            records.lanes.withdraw(|_| true);
            let is_empty = {
                let state = records.lock();
                state.answering == 0 && records.lanes.wait_empty(Duration::ZERO) == 0
            };
            if is_empty {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
