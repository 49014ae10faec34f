//! Notifications and remote calls in memory, within one transport: for tests of what is built on the
//! library.
//!
//! Each pool gets every notification that is sent after its first listener started; listeners of
//! one pool share. Nothing is kept for later: what is sent while a pool has no listener waits for
//! its next one, in memory.

mod broker;
mod consumer;
mod rpc;

use std::{sync::Arc, time::Duration};

use crate::{
    Error,
    config::{Config, Options},
    driver::{Capabilities, Driver, Outgoing, RpcDriver, Subscribe, Subscription},
    error::{Cause, Outcome},
    receipt::{Failure, Report},
    stats::Stats,
    url::TransportUrl,
};
use broker::Broker;
use consumer::FakeSubscription;
use rpc::FakeRpc;

pub(crate) const SCHEME: &str = "fake";
/// The pool of listeners that name none.
const DEFAULT_POOL: &str = "";

/// The driver of `fake:`.
#[derive(Debug)]
pub(crate) struct FakeDriver {
    broker: Arc<Broker>,
    rpc: Arc<FakeRpc>,
    stats: Arc<Stats>,
}

impl FakeDriver {
    pub(crate) fn open(
        url: &TransportUrl,
        config: &Config,
        stats: Arc<Stats>,
    ) -> Result<Self, Error> {
        let options = Options::resolve("DEFAULT", config, &[])?;
        if let Some((name, _)) = url.query().first() {
            let origin = "transport URL".to_owned();
            return Err(Error::UnknownOption { name: name.clone(), origin, valid: Vec::new() });
        }
        let broker = Arc::new(Broker::new(options.str("control_exchange"), url.virtual_host()));
        let rpc = FakeRpc::new(options.str("control_exchange"), Arc::clone(&stats));
        Ok(Self { broker, rpc, stats })
    }
}

impl Driver for FakeDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities { exchanges: true, rpc: true, ..Capabilities::notifications_only(SCHEME) }
    }

    fn send(&self, outgoing: Outgoing, report: Report) {
        let topic = self.broker.topic(&outgoing.target, outgoing.priority);
        let report = report.to_topic(&topic.name());
        if self.broker.publish(&topic, &outgoing) {
            report.delivered();
        } else {
            report.failed(Failure {
                outcome: Outcome::NotDelivered,
                cause: Cause::Closed,
                detail: "the transport is closed".to_owned(),
            });
        }
    }

    fn subscribe(&self, request: Subscribe) -> Result<Arc<dyn Subscription>, Error> {
        Ok(FakeSubscription::start(&self.broker, &request, &self.stats))
    }

    fn rpc(&self) -> Option<&dyn RpcDriver> {
        Some(&self.rpc)
    }

    fn close(&self, _: Duration) -> Result<(), Error> {
        self.broker.close();
        self.rpc.close();
        Ok(())
    }
}
