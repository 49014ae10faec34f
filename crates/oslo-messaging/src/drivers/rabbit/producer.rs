//! Sending: one connection for all that a transport sends, and a task that keeps it.
//!
//! Publishes are pipelined: many are under way, each waits for the broker's confirmation. What was
//! under way when a connection was lost is sent again with the same ids, by which the receiver
//! knows it again.

mod task;
mod unconfirmed;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedSender, error::SendError, unbounded_channel};

use super::{
    config::RabbitOptions,
    connection::Hosts,
    topology::{Exchange, Queue},
};
use crate::{driver::Retry, error::Cause};
use task::{Task, Work};

/// Most messages that wait for a connection or a confirmation.
const MOST_WAITING: usize = 100_000;
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
        let task = Task::new(Arc::clone(options), hosts, receiver, Arc::clone(&waiting));
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

fn closed() -> End {
    End::Failed {
        cause: Cause::Closed,
        is_unknown: false,
        words: "the transport is closed".to_owned(),
    }
}
