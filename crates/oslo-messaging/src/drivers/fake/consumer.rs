//! One listener of the fake driver.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{DEFAULT_POOL, broker::Broker};
use crate::{
    Error,
    driver::{Incoming, Settled, Subscribe, Subscription, Token, Want},
    lanes::Lanes,
    stats::Stats,
};

pub(super) struct FakeSubscription {
    broker: Weak<Broker>,
    lanes: Lanes<Incoming>,
    stats: Arc<Stats>,
}

impl FakeSubscription {
    pub(super) fn start(
        broker: &Arc<Broker>,
        request: &Subscribe,
        stats: &Arc<Stats>,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            broker: Arc::downgrade(broker),
            lanes: Lanes::new(),
            stats: Arc::clone(stats),
        });
        let topics = request.targets.iter().map(|(target, p)| broker.topic(target, *p)).collect();
        let pool = request.pool.as_deref().unwrap_or(DEFAULT_POOL);
        broker.join(pool, topics, Arc::clone(&this));
        this
    }

    pub(super) fn take(&self, incoming: Incoming) {
        self.stats.received.add(1);
        self.lanes.push([incoming]);
    }
}

impl Subscription for FakeSubscription {
    fn recv(&self, batch: &mut Vec<Incoming>, want: Want) -> bool {
        let before = batch.len();
        let received = self.lanes.take(batch, want);
        self.stats.dispatched.add(batch.len() - before);
        received
    }

    fn advance(&self, _: &[Token], settled: &[Settled]) {
        self.lanes.settle(settled);
    }

    fn ready(&self, _: Duration) -> Result<(), Error> {
        Ok(())
    }

    fn stop(&self) {
        if let Some(broker) = self.broker.upgrade() {
            broker.leave(self);
        }
        self.lanes.close();
    }

    fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.stop();
        match self.lanes.wait_empty(deadline) {
            0 => Ok(()),
            left => Err(Error::Unfinished { what: "fake listener", left }),
        }
    }
}

impl fmt::Debug for FakeSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSubscription").finish_non_exhaustive()
    }
}
