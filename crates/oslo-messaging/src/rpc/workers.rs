//! The threads on which methods run.

use std::{sync::Arc, time::Instant};

use super::{dispatcher::Dispatcher, heartbeats::Heartbeats};
use crate::{
    Error,
    driver::{RpcIncoming, RpcSubscription},
    stats::Stats,
    threads::Threads,
};

/// See the module's head.
pub(super) struct Workers {
    subscription: Arc<dyn RpcSubscription>,
    dispatcher: Dispatcher,
    stats: Arc<Stats>,
    heartbeats: Heartbeats,
    threads: Threads,
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
            stats,
            heartbeats: Heartbeats::default(),
            threads: Threads::new("rpc-server", max),
        })
    }

    /// Starts one more worker unless there are enough.
    pub(super) fn add(self: &Arc<Self>) -> Result<(), Error> {
        let workers = Arc::clone(self);
        self.threads.add(move || workers.work())
    }

    fn work(self: Arc<Self>) {
        // Somebody must wait for what comes while this worker's method runs.
        while let Some(incoming) = self.threads.wait_for(|| self.subscription.recv(), || self.add())
        {
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
        self.threads.join(until)
    }
}
