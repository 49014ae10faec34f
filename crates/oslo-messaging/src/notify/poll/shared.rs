//! What a listener, its thread and its messages share.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{batch::Batch, incoming::IncomingMessage, run::Run};
use crate::{
    driver::{Incoming, Subscription, Want},
    message::Notification,
    notify::keeper::Keeper,
    stats::Stats,
};

const NOT_REDELIVERED: &str =
    "requeue was asked for, and nothing is redelivered (commit = before_dispatch)";

pub(super) type Waker = Box<dyn Fn() + Send + Sync>;

pub(super) struct Shared {
    pub(super) subscription: Arc<dyn Subscription>,
    keeper: Keeper,
    stats: Arc<Stats>,
    pub(super) queue: Mutex<Queue>,
    pub(super) changed: Condvar,
    waker: Option<Waker>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) ready: VecDeque<Vec<IncomingMessage>>,
    /// Runs and batches that are not done with.
    open: usize,
    /// The subscription brings no more.
    over: bool,
    /// Stopped, and what is not polled is redelivered elsewhere.
    pub(super) releasing: bool,
}

impl Shared {
    pub(super) fn new(
        subscription: Arc<dyn Subscription>,
        stats: Arc<Stats>,
        waker: Option<Waker>,
    ) -> Self {
        Self {
            keeper: Keeper::new(Arc::clone(&subscription), Arc::clone(&stats)),
            subscription,
            stats,
            queue: Mutex::default(),
            changed: Condvar::new(),
            waker,
        }
    }

    /// Brings what the subscription has until its end.
    pub(super) fn pump(self: Arc<Self>, want: Want) {
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

    pub(super) fn push(&self, messages: impl IntoIterator<Item = IncomingMessage>) {
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

    pub(super) fn close_one(&self) {
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

    pub(super) fn holds(&self, record: &Incoming) -> bool {
        self.subscription.holds(record.token, Duration::ZERO)
    }

    /// A record that says nothing. `true`: it is done with.
    pub(super) fn undecodable(&self, record: &Incoming, reason: &str) -> bool {
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
    pub(super) fn not_again(
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

    pub(super) fn back_off(&self, record: &Incoming) {
        if let Some(redelivery) = self.subscription.redelivery() {
            self.subscription.holds(record.token, redelivery.backoff);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    pub(super) fn has_ended(&self) -> bool {
        self.over && self.open == 0 && self.ready.is_empty()
    }
}

/// What may take long, such as a back-off or a dead letter, holds nobody up.
pub(super) fn elsewhere(work: impl FnOnce() + Send + 'static) {
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
