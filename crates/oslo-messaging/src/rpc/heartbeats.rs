//! Signs of life of methods that run long, for callers that asked for them.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::driver::ReplyTo;

/// Shorter is no interval: as in the reference.
const SHORTEST: Duration = Duration::from_secs(1);

/// The running methods of a server whose callers want signs of life. The thread is started with the
/// first of them.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    running: Mutex<Running>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Running {
    methods: Vec<Method>,
    has_thread: bool,
}

#[derive(Debug)]
struct Method {
    reply_to: Weak<dyn ReplyTo>,
    every: Duration,
    next: Instant,
}

impl Heartbeats {
    /// Gives signs of life for a request, twice in each `monitor`, until its reply is dropped.
    pub(super) fn watch(&self, reply_to: &Arc<dyn ReplyTo>, monitor: Duration) {
        let every = Duration::from_secs(monitor.as_secs()) / 2;
        if every < SHORTEST {
            return;
        }
        let mut running = self.state.lock();
        let reply_to = Arc::downgrade(reply_to);
        running.methods.push(Method { reply_to, every, next: Instant::now() + every });
        if !running.has_thread {
            running.has_thread = true;
            let state = Arc::clone(&self.state);
            let run = move || state.run();
            if let Err(error) = thread::Builder::new().name("rpc-heartbeats".to_owned()).spawn(run)
            {
                running.has_thread = false;
                tracing::error!("callers get no signs of life: {error}");
            }
        }
        self.state.changed.notify_one();
    }
}

impl State {
    /// Ends when nothing is watched any more.
    fn run(&self) {
        let mut running = self.lock();
        loop {
            let now = Instant::now();
            let mut due = Vec::new();
            running.methods.retain_mut(|method| {
                let Some(reply_to) = method.reply_to.upgrade() else { return false };
                if method.next <= now {
                    method.next = now + method.every;
                    due.push(reply_to);
                }
                true
            });
            let Some(next) = running.methods.iter().map(|method| method.next).min() else {
                running.has_thread = false;
                return;
            };
            if !due.is_empty() {
                drop(running);
                due.iter().for_each(|reply_to| reply_to.heartbeat());
                running = self.lock();
                continue;
            }
            running = self
                .changed
                .wait_timeout(running, next.saturating_duration_since(now))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(running, _)| running);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
