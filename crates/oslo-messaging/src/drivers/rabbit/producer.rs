//! Sending: one connection for all that a transport sends, and a task that keeps it.
//!
//! Publishes are pipelined: many are under way, each waits for the broker's confirmation. What was
//! under way when a connection was lost is sent again with the same ids, by which the receiver
//! knows it again.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation, Event, message::BasicReturnMessage, options::BasicPublishOptions,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, error::SendError, unbounded_channel};

use super::{
    config::RabbitOptions,
    connection::{Connection, Hosts},
    declared::Declared,
    error::{Refused, cause},
    message::packed,
    topology::{Exchange, Queue},
};
use crate::{driver::Retry, error::Cause};

/// Most messages that wait for a connection or a confirmation.
const MOST_WAITING: usize = 100_000;
/// Most publishes under way at once.
const MOST_UNCONFIRMED: usize = 2_000;
/// How often those that wait are looked through for ones that nobody wants any more.
const LOOK_THROUGH: Duration = Duration::from_millis(500);
/// A confirmation that takes longer means that the broker is frozen.
const CONFIRM: Duration = Duration::from_secs(30);
/// What giving up may take by itself.
const GIVE_UP: Duration = Duration::from_secs(2);

/// One message on its way out.
#[derive(Debug)]
pub(super) struct Publish {
    /// Declared first; `None` for the default exchange.
    pub(super) exchange: Option<Exchange>,
    /// Declared first, so that it is there before anybody listens.
    pub(super) queue: Option<Queue>,
    pub(super) routing_key: String,
    /// Whether to be told that no queue takes it.
    pub(super) mandatory: bool,
    /// When the broker may throw it away.
    pub(super) expires: Option<Duration>,
    pub(super) body: Bytes,
    pub(super) retry: Retry,
    pub(super) done: Box<dyn Done>,
}

/// Who wants to know what became of a message.
pub(super) trait Done: std::fmt::Debug + Send + Sync {
    /// Whether anybody still wants it sent.
    fn is_wanted(&self) -> bool;

    /// Why it is not sent yet.
    fn waits(&mut self, why: &str) {
        let _ = why;
    }

    /// The id of a notification.
    fn message_id(&self) -> Option<&str> {
        None
    }

    /// What became of it.
    fn ended(self: Box<Self>, end: End);
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum End {
    Confirmed,
    /// No queue took it.
    Returned {
        exchange: String,
        routing_key: String,
    },
    Failed {
        cause: Cause,
        is_unknown: bool,
        words: String,
    },
}

/// The way into the task. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    sender: UnboundedSender<Work>,
    waiting: Arc<AtomicUsize>,
}

impl Producer {
    /// Starts the task; it connects when there is something to send.
    pub(super) fn start(options: &Arc<RabbitOptions>, hosts: Hosts) -> Self {
        let (sender, receiver) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let task = Task {
            options: Arc::clone(options),
            hosts,
            receiver,
            waiting: Arc::clone(&waiting),
            queue: VecDeque::new(),
            is_closing: false,
        };
        tokio::spawn(task.run());
        Self { sender, waiting }
    }

    pub(super) fn send(&self, publish: Publish) {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            let words = format!("{MOST_WAITING} messages wait to be sent already");
            let failed = End::Failed { cause: Cause::QueueFull, is_unknown: false, words };
            return publish.done.ended(failed);
        }
        if let Err(SendError(Work::Publish(publish))) =
            self.sender.send(Work::Publish(Box::new(publish)))
        {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            publish.done.ended(closed());
        }
    }

    /// Ends what has not ended, at the latest a little after then: the notifications among it, and
    /// whether they may have been stored. `Err`: the task is busy with a broker that does not
    /// answer, and so many are left.
    pub(super) fn give_up(&self, until: Instant) -> Result<Vec<(String, bool)>, usize> {
        let (sender, receiver) = std::sync::mpsc::channel();
        if self.waiting() == 0 || self.sender.send(Work::GiveUp(sender)).is_err() {
            return Ok(Vec::new());
        }
        let left = until.saturating_duration_since(Instant::now()) + GIVE_UP;
        receiver.recv_timeout(left).map_err(|_| self.waiting())
    }

    /// How many have not ended.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

/// What the task is told.
enum Work {
    Publish(Box<Publish>),
    /// End everything, and tell whom.
    GiveUp(std::sync::mpsc::Sender<Vec<(String, bool)>>),
}

fn closed() -> End {
    End::Failed {
        cause: Cause::Closed,
        is_unknown: false,
        words: "the transport is closed".to_owned(),
    }
}

struct Task {
    options: Arc<RabbitOptions>,
    hosts: Hosts,
    receiver: UnboundedReceiver<Work>,
    waiting: Arc<AtomicUsize>,
    /// What is to be sent, in its order.
    queue: VecDeque<Queued>,
    is_closing: bool,
}

struct Queued {
    publish: Publish,
    /// How often it failed.
    tries: u32,
    /// Whether it was sent before, and not confirmed.
    may_be_there: bool,
}

/// A publish under way, by its number.
type Flight = Pin<Box<dyn Future<Output = (u64, lapin::Result<Confirmation>)> + Send>>;

/// Why a session ended.
enum Lost {
    /// There will be nothing more to send.
    Closed,
    /// The connection or its channel went.
    Connection(String),
}

impl Task {
    async fn run(mut self) {
        while self.has_work().await {
            let Some(connection) = self.connect().await else { continue };
            let lost = self.session(&connection).await;
            match lost {
                Lost::Closed => {
                    connection.close().await;
                    return;
                }
                Lost::Connection(words) => {
                    tracing::warn!("connection for sending lost: {words}");
                    drop(connection);
                    let pause = self.hosts.lost();
                    self.failed_once(&words);
                    self.pause(pause, &words).await;
                }
            }
        }
    }

    /// Waits until there is something to send; `false`: there never will be.
    async fn has_work(&mut self) -> bool {
        while self.queue.is_empty() {
            match self.receiver.recv().await {
                Some(work) => self.take(work),
                None => return false,
            }
        }
        true
    }

    fn take(&mut self, work: Work) {
        match work {
            Work::Publish(publish) => {
                self.queue.push_back(Queued { publish: *publish, tries: 0, may_be_there: false });
            }
            Work::GiveUp(tell) => {
                let mut lost = Vec::new();
                for queued in std::mem::take(&mut self.queue) {
                    let is_unknown = queued.may_be_there;
                    let id = queued.publish.done.message_id().map(str::to_owned);
                    lost.extend(id.map(|id| (id, is_unknown)));
                    let words = "the transport was closed first".to_owned();
                    self.end(queued, End::Failed { cause: Cause::Closed, is_unknown, words });
                }
                // Who asked may have stopped waiting.
                let _ = tell.send(lost);
            }
        }
    }

    async fn connect(&mut self) -> Option<Connection> {
        let refused = match self.hosts.connect("producer").await {
            Ok(connection) => return Some(connection),
            Err(refused) => refused,
        };
        tracing::warn!("no connection for sending: {}", refused.words);
        if refused.is_final() && self.hosts.pause() > Duration::ZERO {
            self.fail_all(&refused);
        } else {
            self.failed_once(&refused.words);
        }
        let pause = self.hosts.pause();
        self.pause(pause, &refused.words).await;
        None
    }

    /// Waits, and meanwhile takes what comes and lets go what nobody wants any more.
    async fn pause(&mut self, pause: Duration, why: &str) {
        let until = Instant::now() + pause;
        loop {
            self.queue.iter_mut().for_each(|queued| queued.publish.done.waits(why));
            self.forget_unwanted();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.queue.is_empty() {
                return;
            }
            tokio::select! {
                received = self.receiver.recv(), if !self.is_closing => match received {
                    Some(work) => {
                        self.take(work);
                        // One attempt was just made.
                        if let Some(last) = self.queue.pop_back() {
                            if last.publish.retry == Retry::AtMost(0) {
                                let (cause, words) = (Cause::Unreachable, why.to_owned());
                                self.end(last, End::Failed { cause, is_unknown: false, words });
                            } else {
                                self.queue.push_back(last);
                            }
                        }
                    }
                    None => self.is_closing = true,
                },
                () = tokio::time::sleep(left.min(LOOK_THROUGH)) => {}
            }
        }
    }

    fn forget_unwanted(&mut self) {
        let (wanted, unwanted) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|queued| queued.publish.done.is_wanted());
        self.queue = wanted;
        for queued in unwanted {
            let words = "nobody waits for it any more".to_owned();
            let is_unknown = queued.may_be_there;
            self.end(queued, End::Failed { cause: Cause::TimedOut, is_unknown, words });
        }
    }

    /// An attempt failed for all that wait: those with no further one end.
    fn failed_once(&mut self, words: &str) {
        let waiting = std::mem::take(&mut self.queue);
        for mut queued in waiting {
            queued.tries += 1;
            match queued.publish.retry {
                Retry::AtMost(most) if queued.tries > most => {
                    let is_unknown = queued.may_be_there;
                    let words = words.to_owned();
                    self.end(queued, End::Failed { cause: Cause::Unreachable, is_unknown, words });
                }
                _ => self.queue.push_back(queued),
            }
        }
    }

    fn fail_all(&mut self, refused: &Refused) {
        for queued in std::mem::take(&mut self.queue) {
            let Refused { cause, words } = refused.clone();
            let is_unknown = queued.may_be_there;
            self.end(queued, End::Failed { cause, is_unknown, words });
        }
    }

    fn end(&self, queued: Queued, end: End) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        queued.publish.done.ended(end);
    }

    /// Sends over a connection until it is lost.
    async fn session(&mut self, connection: &Connection) -> Lost {
        let mut events = connection.events();
        let mut declared = Declared::new(connection);
        let mut air = match connection.confirming_channel().await {
            Ok(channel) => Air::new(channel),
            Err(error) => return Lost::Connection(error.to_string()),
        };
        let mut is_blocked = false;
        let lost = loop {
            while air.under_way.len() < MOST_UNCONFIRMED
                && let Some(queued) = self.queue.pop_front()
            {
                match declared.ensure(&self.options, &queued.publish).await {
                    Ok(()) => self.launch(&mut air, queued),
                    Err(error) if error.is_amqp_soft_error() => self.refused(queued, &error),
                    Err(error) => {
                        self.queue.push_front(queued);
                        return self.lose(air, error.to_string());
                    }
                }
            }
            if self.is_closing && air.under_way.is_empty() && self.queue.is_empty() {
                return Lost::Closed;
            }
            tokio::select! {
                biased;
                Some(first) = air.flights.next(), if !air.flights.is_empty() => {
                    let mut ended = vec![first];
                    while let Some(Some(next)) = air.flights.next().now_or_never() {
                        ended.push(next);
                    }
                    let Some(error) = self.settle(&mut air, ended) else { continue };
                    if !error.is_amqp_soft_error() {
                        break error.to_string();
                    }
                    // The channel is gone, the connection is not.
                    self.take_back(air);
                    air = match connection.confirming_channel().await {
                        Ok(channel) => Air::new(channel),
                        Err(error) => return Lost::Connection(error.to_string()),
                    };
                    declared.forget();
                }
                received = self.receiver.recv(), if !self.is_closing => match received {
                    Some(work) => {
                        if let Work::GiveUp(_) = work {
                            let fresh = Air::new(air.channel.clone());
                            self.take_back(std::mem::replace(&mut air, fresh));
                        }
                        self.take(work);
                        // What came with it goes with it.
                        while self.queue.len() < MOST_UNCONFIRMED
                            && let Ok(work) = self.receiver.try_recv()
                        {
                            self.take(work);
                        }
                    }
                    None => self.is_closing = true,
                },
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!("the broker takes no messages: {reason}");
                        is_blocked = true;
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!("the broker takes messages again");
                        is_blocked = false;
                        air.answered = Instant::now();
                    }
                    Some(Event::Error(error)) => break error.to_string(),
                    Some(_) => {}
                    None => break "the connection ended".to_owned(),
                },
                () = tokio::time::sleep(LOOK_THROUGH) => {
                    if is_blocked {
                        let why = "the broker takes no messages now: low on memory or disk space";
                        let waiting = self.queue.iter_mut().chain(air.under_way.values_mut());
                        waiting.for_each(|queued| queued.publish.done.waits(why));
                    } else if !air.under_way.is_empty() && air.answered.elapsed() > CONFIRM {
                        break "no confirmation within 30 s".to_owned();
                    }
                    self.forget_unwanted();
                }
            }
        };
        self.lose(air, lost)
    }

    /// Sends one message. The order of the calls is that on the wire: each is polled once here.
    fn launch(&self, air: &mut Air, mut queued: Queued) {
        if !queued.publish.done.is_wanted() {
            let words = "nobody waits for it any more".to_owned();
            let is_unknown = queued.may_be_there;
            return self.end(queued, End::Failed { cause: Cause::TimedOut, is_unknown, words });
        }
        queued.may_be_there = true;
        if air.under_way.is_empty() {
            air.answered = Instant::now();
        }
        let publish = &queued.publish;
        let (properties, body) =
            packed(publish.body.clone(), self.options.compression, publish.expires);
        let exchange = publish.exchange.as_ref().map_or("", |exchange| &*exchange.name).to_owned();
        let key = publish.routing_key.clone();
        let options = BasicPublishOptions { mandatory: publish.mandatory, ..Default::default() };
        let (number, channel) = (air.next, air.channel.clone());
        air.next += 1;
        air.under_way.insert(number, queued);
        let mut flight: Flight = Box::pin(async move {
            let sent = channel.basic_publish(
                exchange.as_str().into(),
                key.as_str().into(),
                options,
                &body,
                properties,
            );
            let confirmed = match sent.await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (number, confirmed)
        });
        air.flights.push(match flight.as_mut().now_or_never() {
            // Refused before it was sent: it is settled with the others.
            Some(ended) => Box::pin(std::future::ready(ended)),
            None => flight,
        });
    }

    /// Ends what was confirmed, returned or refused by itself. What failed with its channel stays
    /// under way, and the error is given.
    fn settle(
        &self,
        air: &mut Air,
        ended: Vec<(u64, lapin::Result<Confirmation>)>,
    ) -> Option<lapin::Error> {
        air.answered = Instant::now();
        let mut error = None;
        let mut returned: Vec<BasicReturnMessage> = Vec::new();
        let mut confirmed = Vec::new();
        for (number, result) in ended {
            match result {
                Ok(Confirmation::Nack(message)) => {
                    returned.extend(message);
                    let words = "the broker could not store it".to_owned();
                    if let Some(queued) = air.under_way.remove(&number) {
                        let cause = Cause::Refused;
                        self.end(queued, End::Failed { cause, is_unknown: false, words });
                    }
                }
                Ok(confirmation) => {
                    returned.extend(confirmation.take_message());
                    confirmed.extend(air.under_way.remove(&number));
                }
                Err(why) => error = Some(why),
            }
        }
        for message in returned {
            // The confirmation that brings it may be that of another one.
            let is_it = |queued: &Queued| {
                queued.publish.routing_key == message.routing_key.as_str()
                    && (self.options.compression.is_some()
                        || queued.publish.body[..] == message.delivery.data[..])
            };
            if let Some(found) = confirmed.iter().position(is_it) {
                let queued = confirmed.remove(found);
                let exchange = message.exchange.to_string();
                let routing_key = message.routing_key.to_string();
                self.end(queued, End::Returned { exchange, routing_key });
            }
        }
        for queued in confirmed {
            self.end(queued, End::Confirmed);
        }
        if let Some(why) = error.as_ref().filter(|why| why.is_amqp_soft_error()) {
            // The channel closes because of one of them, which the words name.
            let words = why.to_string();
            let is_size = cause(why) == Cause::TooLarge;
            let is_it = |queued: &Queued| {
                let publish = &queued.publish;
                let exchange = publish.exchange.as_ref().map_or("", |exchange| &exchange.name);
                let named = format!("'{exchange}'");
                if is_size {
                    words.contains(&publish.body.len().to_string())
                } else {
                    words.contains(&named)
                }
            };
            // Somebody must go, or it would go on like this.
            let found = air.under_way.iter().find(|(_, queued)| is_it(queued));
            let found = found.or_else(|| air.under_way.first_key_value());
            if let Some(number) = found.map(|(number, _)| *number)
                && let Some(queued) = air.under_way.remove(&number)
            {
                self.refused(queued, why);
            }
        }
        error
    }

    fn refused(&self, queued: Queued, error: &lapin::Error) {
        let (cause, words) = (cause(error), error.to_string());
        self.end(queued, End::Failed { cause, is_unknown: false, words });
    }

    /// What is under way is sent again, before what came later.
    fn take_back(&mut self, air: Air) {
        for (_, queued) in air.under_way.into_iter().rev() {
            self.queue.push_front(queued);
        }
    }

    fn lose(&mut self, mut air: Air, words: String) -> Lost {
        let mut ended = Vec::new();
        while let Some(Some(next)) = air.flights.next().now_or_never() {
            ended.push(next);
        }
        self.settle(&mut air, ended);
        self.take_back(air);
        Lost::Connection(words)
    }
}

/// What was sent over a channel and not confirmed.
struct Air {
    channel: Channel,
    next: u64,
    under_way: BTreeMap<u64, Queued>,
    flights: FuturesUnordered<Flight>,
    /// When something was confirmed last, or the first was sent.
    answered: Instant,
}

impl Air {
    fn new(channel: Channel) -> Self {
        Self {
            channel,
            next: 0,
            under_way: BTreeMap::new(),
            flights: FuturesUnordered::new(),
            answered: Instant::now(),
        }
    }
}
