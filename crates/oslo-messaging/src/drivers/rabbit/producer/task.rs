//! The task that keeps the connection for sending, and what waits for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use lapin::Event;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    super::{
        config::RabbitOptions,
        connection::{Connection, Hosts},
        declared::Declared,
        error::Refused,
    },
    End, Publish,
    unconfirmed::{Answer, Unconfirmed},
};
use crate::{driver::Retry, error::Cause};

/// Most publishes under way at once.
const MOST_UNCONFIRMED: usize = 2_000;
/// How often those that wait are looked through for ones that nobody wants any more.
const LOOK_THROUGH: Duration = Duration::from_millis(500);
/// A confirmation that takes longer means that the broker is frozen.
const CONFIRM: Duration = Duration::from_secs(30);

/// What the task is told.
pub(super) enum Work {
    Publish(Box<Publish>),
    /// End everything, and tell whom.
    GiveUp(std::sync::mpsc::Sender<Vec<(String, bool)>>),
}

/// Keeps the connection, and sends what it is given over it.
pub(super) struct Task {
    options: Arc<RabbitOptions>,
    hosts: Hosts,
    receiver: UnboundedReceiver<Work>,
    waiting: Arc<AtomicUsize>,
    /// What is to be sent, in its order.
    queue: VecDeque<Queued>,
    is_closing: bool,
}

/// A message that has not ended.
pub(super) struct Queued {
    pub(super) publish: Publish,
    /// How often it failed.
    tries: u32,
    /// Whether it was sent before, and not confirmed.
    pub(super) may_be_there: bool,
}

/// Why a session ended.
enum Lost {
    /// There will be nothing more to send.
    Closed,
    /// The connection or its channel went.
    Connection(String),
}

impl Task {
    pub(super) fn new(
        options: Arc<RabbitOptions>,
        hosts: Hosts,
        receiver: UnboundedReceiver<Work>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self { options, hosts, receiver, waiting, queue: VecDeque::new(), is_closing: false }
    }

    pub(super) async fn run(mut self) {
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
        unwanted.into_iter().for_each(|queued| self.end_unwanted(queued));
    }

    fn end_unwanted(&self, queued: Queued) {
        let words = "nobody waits for it any more".to_owned();
        let is_unknown = queued.may_be_there;
        self.end(queued, End::Failed { cause: Cause::TimedOut, is_unknown, words });
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
        let mut unconfirmed = match connection.confirming_channel().await {
            Ok(channel) => Unconfirmed::new(channel),
            Err(error) => return Lost::Connection(error.to_string()),
        };
        let mut is_blocked = false;
        let lost = loop {
            while unconfirmed.len() < MOST_UNCONFIRMED
                && let Some(queued) = self.queue.pop_front()
            {
                match declared.ensure(&self.options, &queued.publish).await {
                    Ok(()) => self.publish(&mut unconfirmed, queued),
                    Err(error) if error.is_amqp_soft_error() => {
                        self.end(queued, End::refused(&error));
                    }
                    Err(error) => {
                        self.queue.push_front(queued);
                        return self.lose(unconfirmed, error.to_string());
                    }
                }
            }
            if self.is_closing && unconfirmed.is_empty() && self.queue.is_empty() {
                return Lost::Closed;
            }
            tokio::select! {
                biased;
                answers = unconfirmed.answers() => {
                    let Some(error) = self.settle(&mut unconfirmed, answers) else { continue };
                    if !error.is_amqp_soft_error() {
                        break error.to_string();
                    }
                    // The channel is gone, the connection is not.
                    self.take_back(unconfirmed);
                    unconfirmed = match connection.confirming_channel().await {
                        Ok(channel) => Unconfirmed::new(channel),
                        Err(error) => return Lost::Connection(error.to_string()),
                    };
                    declared.forget();
                }
                received = self.receiver.recv(), if !self.is_closing => match received {
                    Some(work) => {
                        if let Work::GiveUp(_) = work {
                            let fresh = unconfirmed.renewed();
                            self.take_back(std::mem::replace(&mut unconfirmed, fresh));
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
                        unconfirmed.wait_anew();
                    }
                    Some(Event::Error(error)) => break error.to_string(),
                    Some(_) => {}
                    None => break "the connection ended".to_owned(),
                },
                () = tokio::time::sleep(LOOK_THROUGH) => {
                    if is_blocked {
                        let why = "the broker takes no messages now: low on memory or disk space";
                        let waiting = self.queue.iter_mut().chain(unconfirmed.iter_mut());
                        waiting.for_each(|queued| queued.publish.done.waits(why));
                    } else if unconfirmed.waits_longer_than(CONFIRM) {
                        break "no confirmation within 30 s".to_owned();
                    }
                    self.forget_unwanted();
                }
            }
        };
        self.lose(unconfirmed, lost)
    }

    fn publish(&self, unconfirmed: &mut Unconfirmed, queued: Queued) {
        if queued.publish.done.is_wanted() {
            unconfirmed.publish(queued, self.options.compression);
        } else {
            self.end_unwanted(queued);
        }
    }

    /// Ends what was confirmed, returned or refused by itself. The error is that of the channel.
    fn settle(&self, unconfirmed: &mut Unconfirmed, answers: Vec<Answer>) -> Option<lapin::Error> {
        let (ended, error) = unconfirmed.settle(answers, self.options.compression.is_some());
        ended.into_iter().for_each(|(queued, end)| self.end(queued, end));
        error
    }

    /// What is under way is sent again, before what came later.
    fn take_back(&mut self, unconfirmed: Unconfirmed) {
        for queued in unconfirmed.into_queued().rev() {
            self.queue.push_front(queued);
        }
    }

    fn lose(&mut self, mut unconfirmed: Unconfirmed, words: String) -> Lost {
        let answers = unconfirmed.answers_now();
        self.settle(&mut unconfirmed, answers);
        self.take_back(unconfirmed);
        Lost::Connection(words)
    }
}
