//! The part of the seam that carries remote calls.
//!
//! # Contract
//!
//! - [`RpcDriver::call`] and [`RpcDriver::cast`] return at once. Each [`CallReport`] is ended once; a
//!   call that nobody waits for any more is forgotten ([`CallReport::when_over`]).
//! - A request is acknowledged to the broker before [`RpcSubscription::recv`] hands it out, and is
//!   handed out once.
//! - After [`RpcSubscription::stop`], `recv` hands out what was acknowledged, then says that nothing
//!   will come; replies go on working until [`RpcSubscription::close`].

use std::{fmt, sync::Arc, time::Duration};

use super::{Retry, Target};
use crate::{
    Error,
    message::Payload,
    rpc::{CallReport, RemoteError, RpcRequest},
};

/// Carries requests and answers.
pub trait RpcDriver: fmt::Debug + Send + Sync {
    /// Sends a request whose answer `report` waits for.
    fn call(&self, outgoing: RpcOutgoing, report: CallReport);

    /// Sends a request without an answer. `report` hears when the broker has it.
    fn cast(&self, outgoing: RpcOutgoing, report: CallReport);

    /// Begins to serve. Returns within about a second, whether or not a broker answers.
    ///
    /// # Errors
    ///
    /// What no broker could make right: [`Error::InvalidTopic`], [`Error::InvalidOption`],
    /// [`Error::Unsupported`].
    fn serve(&self, serve: Serve) -> Result<Arc<dyn RpcSubscription>, Error>;
}

/// Requests that arrive for one server.
pub trait RpcSubscription: fmt::Debug + Send + Sync {
    /// Blocks until there is a request; `None` when none will come. Called by many workers at once.
    fn recv(&self) -> Option<RpcIncoming>;

    /// Blocks until requests can arrive.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] with the cause, when `timeout` passes first.
    fn ready(&self, timeout: Duration) -> Result<(), Error>;

    /// Begins the orderly stop and returns at once.
    fn stop(&self);

    /// Ends it once replies have been handed over, at most `deadline`.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] with the number of replies that the broker did not confirm.
    fn close(&self, deadline: Duration) -> Result<(), Error>;
}

/// Where the answer to a request goes. Dropped without an answer, none is given.
pub trait ReplyTo: fmt::Debug + Send + Sync {
    /// Gives the answer, once. Returns at once; what it fails with is in the log.
    fn answer(&self, answer: Result<&Payload, &RemoteError>);

    /// Says that the method still runs.
    fn heartbeat(&self);
}

/// Which servers of a topic get a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// One of them.
    Topic,
    /// The one of this name.
    Server(String),
    /// All of them.
    Fanout,
}

impl Destination {
    /// Such as `topic compute, server host1`.
    pub(crate) fn describe(&self, target: &Target) -> String {
        match self {
            Self::Topic => format!("topic {}", target.topic()),
            Self::Server(server) => format!("topic {}, server {server}", target.topic()),
            Self::Fanout => format!("all of topic {}", target.topic()),
        }
    }
}

/// One request on its way out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RpcOutgoing {
    /// Exchange and topic.
    pub target: Arc<Target>,
    /// Which of its servers.
    pub destination: Destination,
    /// Method, arguments and context.
    pub request: RpcRequest,
    /// When the caller stops waiting, from now on.
    pub timeout: Duration,
    /// How often the server shall give a sign of life at the least. `None`: never.
    pub monitor: Option<Duration>,
    /// How often it may be handed over again after it was surely not stored.
    pub retry: Retry,
    /// Whether the caller wants to know that no queue takes it.
    pub at_least_once: bool,
}

/// What a server serves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Serve {
    /// Exchange and topic.
    pub target: Target,
    /// The server's name.
    pub server: String,
    /// How many requests run at once at the most: more need not be taken from the broker.
    pub max_running: usize,
}

/// One request that arrived.
#[derive(Debug)]
#[non_exhaustive]
pub struct RpcIncoming {
    /// Method, arguments and context.
    pub request: RpcRequest,
    /// Where the answer goes. `None`: nobody waits for one.
    pub reply_to: Option<Arc<dyn ReplyTo>>,
    /// How often the caller wants a sign of life. `None`: never.
    pub monitor: Option<Duration>,
}
