//! Serving: a subscription, the workers that serve it, and their endpoints.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Methods, RpcEndpoint,
    dispatcher::{AccessPolicy, Dispatcher},
    endpoint::Endpoints,
    workers::Workers,
};
use crate::{
    Error, Serializer,
    driver::{RpcSubscription, Serve},
    message::Context,
    target::Target,
    transport::Transport,
};

/// What a server that is dropped instead of closed gets for its orderly end.
const DROP_DEADLINE: Duration = Duration::from_secs(5);
/// The method that `rpc_ping_enabled` adds.
const PING: &str = "oslo_rpc_server_ping";

/// Serves the methods of its endpoints until it is closed.
///
/// It is reachable in three ways: as one of the servers of its topic, by its name, and by a fanout.
/// A request is acknowledged before its method runs: a server that dies takes what it runs along.
///
/// See [`RpcClient`](super::RpcClient) for an example. Mirrors `oslo_messaging.get_rpc_server`.
pub struct RpcServer {
    subscription: Arc<dyn RpcSubscription>,
    workers: Arc<Workers>,
    is_closed: AtomicBool,
}

impl RpcServer {
    /// Begins a server of `target`'s topic. `server` is its name, such as the host's: the servers of
    /// a topic have different ones.
    pub fn builder(
        transport: &Transport,
        target: Target,
        server: impl Into<String>,
    ) -> RpcServerBuilder {
        RpcServerBuilder {
            transport: transport.clone(),
            target,
            server: server.into(),
            endpoints: Vec::new(),
            policy: Arc::new(|method| !method.starts_with('_')),
            max_workers: None,
            serializer: None,
        }
    }

    /// Blocks until requests can arrive: its queues are there and are listened to.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when `timeout` passes first, with what stands in the way. The server goes
    /// on trying.
    pub fn ready(&self, timeout: Duration) -> Result<(), Error> {
        self.subscription.ready(timeout)
    }

    /// Begins the orderly stop and returns at once: what was accepted is served, everything else is
    /// left to others.
    pub fn stop(&self) {
        self.subscription.stop();
    }

    /// Stops, and waits until the accepted requests are answered, at most `deadline`.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] with the number of methods that still run.
    pub fn close(&self, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline;
        self.is_closed.store(true, Ordering::SeqCst);
        self.subscription.stop();
        let left = self.workers.join(until);
        self.subscription.close(until.saturating_duration_since(Instant::now()))?;
        match left {
            0 => Ok(()),
            left => Err(Error::Unfinished { what: "rpc server", left }),
        }
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        if !self.is_closed.load(Ordering::SeqCst)
            && let Err(error) = self.close(DROP_DEADLINE)
        {
            tracing::error!("a server was dropped and did not end in time: {error}");
        }
    }
}

impl fmt::Debug for RpcServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcServer")
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

/// Collects what an [`RpcServer`] is started with.
#[must_use]
pub struct RpcServerBuilder {
    transport: Transport,
    target: Target,
    server: String,
    endpoints: Endpoints,
    policy: AccessPolicy,
    max_workers: Option<usize>,
    serializer: Option<Arc<dyn Serializer>>,
}

impl RpcServerBuilder {
    /// Adds an endpoint. The first one that serves a request's namespace and version and has its
    /// method runs it.
    pub fn endpoint(mut self, endpoint: impl RpcEndpoint) -> Self {
        self.endpoints.push(Arc::new(endpoint));
        self
    }

    /// Which methods may be called, of those that an endpoint has. Default: those whose names do not
    /// begin with `_`. Mirrors `RPCAccessPolicyBase`.
    pub fn access_policy(
        mut self,
        is_allowed: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.policy = Arc::new(is_allowed);
        self
    }

    /// Most methods that run at once. Default: option `executor_thread_pool_size`, 64. Threads are
    /// started as they are needed.
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        self.max_workers = Some(max_workers);
        self
    }

    /// What makes of arguments, results and contexts what travels, and back. Default: nothing does.
    pub fn serializer(mut self, serializer: impl Serializer) -> Self {
        self.serializer = Some(Arc::new(serializer));
        self
    }

    /// Starts the server. Returns within about a second, whether or not a broker answers; see
    /// [`RpcServer::ready`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] without a topic, a server name or an endpoint; [`Error::InvalidOption`];
    /// [`Error::Unsupported`] when the driver carries no RPC; [`Error::Broker`] without threads.
    pub fn start(mut self) -> Result<RpcServer, Error> {
        let options = self.transport.options("DEFAULT")?;
        let named = [("topic", self.target.topic()), ("server", &self.server)];
        if let Some((name, _)) = named.into_iter().find(|(_, value)| value.is_empty()) {
            let reason = "an RPC server needs a topic and a name".to_owned();
            return Err(Error::InvalidSetting { name, reason });
        }
        if options.boolean("rpc_ping_enabled") {
            let ping = Methods::new().method(PING, |_: &Context, (): ()| Ok("pong"));
            self.endpoints.push(Arc::new(ping));
        }
        if self.endpoints.is_empty() {
            let reason = "an RPC server needs an endpoint".to_owned();
            return Err(Error::InvalidSetting { name: "endpoints", reason });
        }
        let driver = self.transport.driver();
        let Some(rpc) = driver.rpc() else {
            return Err(Error::Unsupported {
                driver: driver.capabilities().name,
                what: "RPC, it carries notifications only".to_owned(),
                instead: "use a rabbit:// transport URL for RPC".to_owned(),
            });
        };
        let max = self.max_workers.unwrap_or_else(|| {
            usize::try_from(options.int("executor_thread_pool_size")).unwrap_or(1)
        });
        let serve = Serve { target: self.target, server: self.server, max_running: max };
        let subscription = rpc.serve(serve)?;
        let dispatcher = Dispatcher {
            endpoints: self.endpoints,
            policy: self.policy,
            serializer: self.serializer,
        };
        let stats = Arc::clone(self.transport.shared_stats());
        let workers = Workers::new(Arc::clone(&subscription), dispatcher, max, stats);
        workers.add().inspect_err(|_| subscription.stop())?;
        Ok(RpcServer { subscription, workers, is_closed: AtomicBool::new(false) })
    }
}

impl fmt::Debug for RpcServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcServerBuilder")
            .field("target", &self.target)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
