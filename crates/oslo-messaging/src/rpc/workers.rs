//! The threads on which methods run.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{dispatcher::Dispatcher, heartbeats::Heartbeats};
use crate::{
    Error,
    driver::{RpcIncoming, RpcSubscription},
    stats::Stats,
};

/// See the module's head.
pub(super) struct Workers {
    pub(super) subscription: Arc<dyn RpcSubscription>,
    pub(super) dispatcher: Dispatcher,
    pub(super) max: usize,
    pub(super) stats: Arc<Stats>,
    heartbeats: Heartbeats,
    /// How many wait for requests.
    idle: AtomicUsize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(super) fn new(
        subscription: Arc<dyn RpcSubscription>,
        dispatcher: Dispatcher,
        max: usize,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        Arc::new(Self {
            subscription,
            dispatcher,
            max: max.max(1),
            stats,
            heartbeats: Heartbeats::default(),
            idle: AtomicUsize::new(0),
            threads: Mutex::default(),
        })
    }

    /// Starts one more worker unless there are enough.
    pub(super) fn add(self: &Arc<Self>) -> Result<(), Error> {
        let mut threads = self.threads();
        if threads.len() >= self.max {
            return Ok(());
        }
        let workers = Arc::clone(self);
        let thread = thread::Builder::new()
            .name(format!("rpc-server-{}", threads.len()))
            .spawn(move || workers.work())
            .map_err(|source| Error::Broker {
                driver: "rpc",
                operation: "start a worker thread".to_owned(),
                source: Box::new(source),
            })?;
        threads.push(thread);
        Ok(())
    }

    fn work(self: Arc<Self>) {
        loop {
            self.idle.fetch_add(1, Ordering::SeqCst);
            let incoming = self.subscription.recv();
            // Somebody must wait for what comes while this worker's method runs.
            let was_last = self.idle.fetch_sub(1, Ordering::SeqCst) == 1;
            let Some(incoming) = incoming else { return };
            if was_last && let Err(error) = self.add() {
                tracing::warn!("going on with fewer workers: {error}");
            }
            self.serve(incoming);
        }
    }

    fn serve(&self, incoming: RpcIncoming) {
        let RpcIncoming { request, reply_to, monitor } = incoming;
        self.stats.dispatched.add(1);
        let method = request.method.clone();
        if let (Some(reply_to), Some(monitor)) = (&reply_to, monitor) {
            self.heartbeats.watch(reply_to, monitor);
        }
        let result = self.dispatcher.dispatch(request);
        if let Err(error) = &result {
            self.stats.endpoint_failures.add(1);
            if reply_to.is_none() {
                tracing::error!(method, "a cast failed: {error}");
            } else {
                tracing::debug!(method, "a call failed: {error}");
            }
        }
        if let Some(reply_to) = reply_to {
            reply_to.answer(match &result {
                Ok(result) => Ok(result),
                Err(error) => Err(error),
            });
        }
    }

    /// Waits until the workers have ended, at most until then; how many have not.
    pub(super) fn join(&self, until: Instant) -> usize {
        let mut threads = std::mem::take(&mut *self.threads());
        loop {
            threads.retain(|thread| !thread.is_finished());
            if threads.is_empty() || Instant::now() >= until {
                return threads.len();
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
