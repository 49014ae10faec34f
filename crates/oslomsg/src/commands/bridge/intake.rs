//! What comes from RabbitMQ, taken on a thread of its own.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Error,
    driver::{Incoming, Settled, Subscription, Want},
};

use crate::{
    exit::{Exit, Failure},
    interrupt::Interrupt,
};

/// Records that are taken at once.
const HANDFUL: usize = 256;
/// How long a signal goes unnoticed at the start.
const SLICE: Duration = Duration::from_millis(100);

/// See the module's head.
pub(super) struct Intake {
    subscription: Arc<dyn Subscription>,
    records: Receiver<Vec<Incoming>>,
    at_hand: RefCell<VecDeque<Incoming>>,
    thread: RefCell<Option<JoinHandle<()>>>,
}

impl Intake {
    /// Returns when the queues are there and records can come.
    pub(super) fn start(
        subscription: Arc<dyn Subscription>,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure> {
        let deadline = Instant::now() + patience;
        while let Err(error) = subscription.ready(SLICE) {
            let failure = Failure::from(error);
            let is_final = matches!(&failure, Failure::Told { exit: Exit::Denied, .. });
            if is_final || interrupt.came() || Instant::now() >= deadline {
                return Err(failure);
            }
        }
        let (sender, records) = sync_channel(1);
        let taken = Arc::clone(&subscription);
        let thread = thread::Builder::new()
            .name("bridge".to_owned())
            .spawn(move || pump(&*taken, &sender))
            .map_err(|error| Failure::new(Exit::Bug, format!("no thread: {error}")))?;
        let thread = RefCell::new(Some(thread));
        Ok(Self { subscription, records, at_hand: RefCell::default(), thread })
    }

    pub(super) fn subscription(&self) -> Arc<dyn Subscription> {
        Arc::clone(&self.subscription)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.subscription.ready(Duration::ZERO).is_ok()
    }

    /// The next record, if one comes within `wait`.
    pub(super) fn next(&self, wait: Duration) -> Result<Option<Incoming>, Failure> {
        let mut at_hand = self.at_hand.borrow_mut();
        if at_hand.is_empty() {
            match self.records.recv_timeout(wait) {
                Ok(records) => at_hand.extend(records),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::new(Exit::Bug, "nothing more can be taken"));
                }
            }
        }
        Ok(at_hand.pop_front())
    }

    /// Takes no more, and gives back what nobody has begun with.
    pub(super) fn stop(&self) {
        self.subscription.stop();
        let unbegun = self.at_hand.take();
        give_back(&*self.subscription, unbegun);
        // Ends with the thread.
        for records in self.records.iter() {
            give_back(&*self.subscription, records);
        }
        if let Some(thread) = self.thread.take() {
            // A panic was told by the hook.
            let _ = thread.join();
        }
    }

    /// Waits until RabbitMQ has all answers.
    pub(super) fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.subscription.close(deadline)
    }
}

fn pump(subscription: &dyn Subscription, sender: &SyncSender<Vec<Incoming>>) {
    let mut records = Vec::new();
    while subscription.recv(&mut records, Want::batch(HANDFUL, Duration::ZERO)) {
        if let Err(unsent) = sender.send(std::mem::take(&mut records)) {
            give_back(subscription, unsent.0);
        }
    }
}

fn give_back(subscription: &dyn Subscription, records: impl IntoIterator<Item = Incoming>) {
    let left =
        |record: Incoming| Settled { token: record.token, done: false, took: Duration::ZERO };
    let settled: Vec<Settled> = records.into_iter().map(left).collect();
    subscription.advance(&[], &settled);
}
