//! What waits between the threads that log and the one that sends.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::Inside;
use crate::{
    Error,
    message::{Context, Payload, Priority},
    notify::Notifier,
};

/// Most events that wait: with usual messages about a mebibyte.
pub(super) const MAX_WAITING: usize = 1000;

/// One event that is to be sent.
pub(super) struct Waiting {
    pub(super) priority: Priority,
    pub(super) event_type: &'static str,
    pub(super) payload: Payload,
}

/// The end of a layer and its clones. The worker holds only what it shares with them, so it ends
/// with the last of them.
pub(super) struct Queue {
    shared: Arc<Shared>,
    notifier: Notifier,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    dropped: usize,
    has_worker: bool,
    /// The worker is handing one over.
    sending: bool,
    closed: bool,
}

impl State {
    fn left(&self) -> usize {
        self.waiting.len() + usize::from(self.sending)
    }
}

impl Queue {
    pub(super) fn new(notifier: Notifier) -> Arc<Self> {
        Arc::new(Self { shared: Arc::default(), notifier })
    }

    /// Appends an event; `None` is one that could not be written down.
    pub(super) fn push(&self, event: Option<Waiting>) {
        let mut state = self.shared.lock();
        let has_room = !state.closed && state.waiting.len() < MAX_WAITING;
        let Some(event) = event.filter(|_| has_room && self.has_worker(&mut state)) else {
            state.dropped += 1;
            return;
        };
        state.waiting.push_back(event);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Starts the worker unless it runs; `false` when the system has no thread for it now.
    fn has_worker(&self, state: &mut State) -> bool {
        if !state.has_worker {
            let (shared, notifier) = (Arc::clone(&self.shared), self.notifier.clone());
            let worker = thread::Builder::new().name("log-handler".to_owned());
            state.has_worker = worker.spawn(move || shared.work(&notifier)).is_ok();
        }
        state.has_worker
    }

    pub(super) fn dropped(&self) -> usize {
        self.shared.lock().dropped
    }

    pub(super) fn close(&self, deadline: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.changed.notify_all();
        while state.left() > 0 {
            let rest = deadline.saturating_sub(begun.elapsed());
            if rest.is_zero() {
                return Err(Error::Unfinished { what: "log handler", left: state.left() });
            }
            let woken = self.shared.changed.wait_timeout(state, rest);
            (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends until the queue is closed and empty.
    fn work(&self, notifier: &Notifier) {
        let _inside = Inside::enter();
        while let Some(event) = self.next() {
            // A serializer of the program may panic; the next event may fare better.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let Waiting { priority, event_type, payload } = event;
                // A failure is counted and logged without the receipt.
                drop(notifier.notify(priority, &Context::empty(), event_type, payload));
            }));
        }
    }

    /// The next event to send, after the one before is done; `None` when no more can come.
    fn next(&self) -> Option<Waiting> {
        let mut state = self.lock();
        state.sending = false;
        self.changed.notify_all();
        loop {
            if let Some(event) = state.waiting.pop_front() {
                state.sending = true;
                return Some(event);
            }
            if state.closed {
                state.has_worker = false;
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
