//! The one seam between the library and its brokers.
//!
//! A driver sees targets, priorities, keys, headers and encoded bytes; it never sees a
//! notification. Joining topic, priority and virtual host to the broker's own names, and removing
//! doubles, is the driver's affair.
//!
//! # Contract
//!
//! - Construction does no I/O and starts no thread: both begin with the first `send` or
//!   `subscribe`. A driver may be forgotten instead of dropped.
//! - [`Driver::send`] returns at once or when its queue has room; each [`Report`] is resolved
//!   once: `delivered` only when the broker has taken ownership. A driver that queues or spools
//!   detaches the report from its receipt and says `accepted` first.
//! - [`Subscription::recv`] hands out records of one lane in order, the next one only after the
//!   former was settled; a record that was handed out is never handed out again by the same
//!   subscription.
//! - After [`Subscription::stop`], `recv` hands out what the broker believes to be handled
//!   already, then says that nothing will come.
//! - Every method may be called from any thread.

mod rpc;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

pub use self::rpc::{
    Destination, ReplyTo, RpcDriver, RpcIncoming, RpcOutgoing, RpcSubscription, Serve,
};
use crate::{Error, message::Priority, url::TransportUrl, wire::ContextStyle};
pub use crate::{
    key::MessageKey,
    receipt::{Acceptance, Failure, Report},
    target::Target,
};

/// A broker backend. See the [module](self) for the contract.
pub trait Driver: fmt::Debug + Send + Sync {
    /// What this driver can do. Constant for its life.
    fn capabilities(&self) -> Capabilities;

    /// Which part of a notification its record's key is. Constant for the driver's life.
    fn message_key(&self) -> &MessageKey {
        &MessageKey::None
    }

    /// Begins what otherwise the first [`send`](Self::send) begins: threads, connections, and the
    /// sending of what an earlier process has left.
    ///
    /// # Errors
    ///
    /// [`Error::Broker`] and [`Error::Spool`] when it cannot begin.
    fn start(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Hands a record over. `report` says later what became of it.
    fn send(&self, outgoing: Outgoing, report: Report);

    /// Begins to listen. Returns within about a second, whether or not a broker answers.
    ///
    /// # Errors
    ///
    /// What no broker could make right: [`Error::InvalidTopic`], [`Error::InvalidSetting`],
    /// [`Error::InvalidOption`], [`Error::Unsupported`].
    fn subscribe(&self, request: Subscribe) -> Result<Arc<dyn Subscription>, Error>;

    /// Looks how much waits in the queues of a subscription, without taking or making anything, at
    /// most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where brokers have no queues, [`Error::NotReady`] when none can be
    /// asked.
    fn waiting(&self, request: &Subscribe, timeout: Duration) -> Result<Vec<Waiting>, Error> {
        let _ = (request, timeout);
        Err(Error::Unsupported {
            driver: self.capabilities().name,
            what: "looking into queues".to_owned(),
            instead: "use a rabbit:// transport URL".to_owned(),
        })
    }

    /// What carries remote calls. `None`: this driver carries notifications only.
    fn rpc(&self) -> Option<&dyn RpcDriver> {
        None
    }

    /// Whether a listener's record comes again when an endpoint fails; see
    /// [`Subscription::redelivery`].
    fn redelivers(&self) -> bool {
        false
    }

    /// The group of options that this driver reads, such as `oslo_messaging_kafka`.
    fn options_group(&self) -> Option<&'static str> {
        None
    }

    /// Takes the users and passwords of a URL that is otherwise the driver's own, for connections
    /// that come. `false`: it cannot, and has not.
    fn take_credentials(&self, url: &TransportUrl) -> bool {
        let _ = url;
        false
    }

    /// Waits until everything handed over is answered, at most `deadline`. The driver takes
    /// nothing more.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] with the number and the ids of the records that did not arrive, or may have:
    /// they are reported so.
    fn close(&self, deadline: Duration) -> Result<(), Error>;
}

/// Records that arrive for one listener.
pub trait Subscription: fmt::Debug + Send + Sync {
    /// Appends records to `batch`, blocking until there is one; `false` when none will come.
    ///
    /// After the first record it waits at most `want.gather` for more, up to `want.max`. Called
    /// by many workers at once.
    fn recv(&self, batch: &mut Vec<Incoming>, want: Want) -> bool;

    /// Tells how far a worker is: the endpoints begin with the records of `begun`, and are done
    /// with those of `settled`.
    ///
    /// Each record is begun once and then settled once. A worker with several records may tell of
    /// them late and together, but of the last that it holds before an endpoint runs.
    fn advance(&self, begun: &[Token], settled: &[Settled]);

    /// Whether records are redelivered (option `commit = after_dispatch`), and how. `None`: a
    /// record is handed out once, and [`Settled::done`] makes no difference.
    fn redelivery(&self) -> Option<Redelivery> {
        None
    }

    /// Whether the record may still be handled, after `wait` at the most: its partition is this
    /// listener's, and no stop has begun. Returns early when that ends. Where nothing is
    /// redelivered a record that was handed out is always handled.
    fn holds(&self, token: Token, wait: Duration) -> bool {
        let _ = (token, wait);
        true
    }

    /// Puts a record that cannot be decoded or handled on the dead-letter topic, and waits until the
    /// broker has it. `Ok(false)`: there is no such topic.
    ///
    /// # Errors
    ///
    /// Why it was not stored, as of a sending.
    fn dead_letter(&self, letter: DeadLetter<'_>) -> Result<bool, Error> {
        let _ = letter;
        Ok(false)
    }

    /// Blocks until records can arrive: partitions are assigned, queues are bound.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] with the cause, when `timeout` passes first.
    fn ready(&self, timeout: Duration) -> Result<(), Error>;

    /// Begins the orderly stop and returns at once.
    fn stop(&self);

    /// Stops, and waits until what was committed is settled and the broker is told, at most
    /// `deadline`.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] with the number of records that were committed and not settled.
    fn close(&self, deadline: Duration) -> Result<(), Error>;
}

/// What a driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The driver and URL scheme, such as `kafka`.
    pub name: &'static str,
    /// How the body carries the context.
    pub context_style: ContextStyle,
    /// Calls and casts, not only notifications.
    pub rpc: bool,
    /// Named groups of listeners that each get every notification.
    pub pools: bool,
    /// Records outlive the process, and other clients see them.
    pub durable: bool,
    /// Topics of the same name in different exchanges are apart.
    pub exchanges: bool,
    /// A record's key and headers travel beside its body.
    pub headers: bool,
    /// Records are taken from queues and acknowledged one by one, in any order.
    pub queues: bool,
}

#[cfg(any(feature = "fake", feature = "kafka", feature = "fuzzing"))]
impl Capabilities {
    /// A driver that can do nothing but carry notifications.
    pub(crate) const fn notifications_only(name: &'static str) -> Self {
        Self {
            name,
            context_style: ContextStyle::Nested,
            rpc: false,
            pools: true,
            durable: false,
            exchanges: false,
            headers: true,
            queues: false,
        }
    }
}

/// One record on its way out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outgoing {
    /// Exchange and topic, without priority and virtual host.
    pub target: Arc<Target>,
    /// Which of the topic's seven channels.
    pub priority: Priority,
    /// Records with the same key stay in order. `None`: any order, any partition.
    pub key: Option<Bytes>,
    /// Names and values beside the body; readers may ignore them.
    pub headers: Vec<(String, Bytes)>,
    /// The encoded notification, in the driver's [`Capabilities::context_style`].
    pub body: Bytes,
    /// How often the record may be handed over again after it was surely not stored.
    pub retry: Retry,
}

/// How often a driver may try again. A record that may have been stored is never sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Until the delivery timeout. oslo's `retry` -1 or `None`.
    #[default]
    UntilTimeout,
    /// At most this often; 0 is a single hand-over.
    AtMost(u32),
}

impl From<i64> for Retry {
    /// Reads oslo's `retry`: negative means until the delivery timeout.
    fn from(retry: i64) -> Self {
        u32::try_from(retry).map_or(Self::UntilTimeout, Self::AtMost)
    }
}

/// What a listener subscribes to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subscribe {
    /// Targets and the priorities wanted of each.
    pub targets: Vec<(Target, Priority)>,
    /// The pool, or `None` for the option `consumer_group`.
    pub pool: Option<String>,
    /// Records that a worker takes at once: 1, or a batch listener's `batch_size`.
    pub batch_size: usize,
    /// Whether what an endpoint fails with shall come again, where that is the listener's choice.
    pub requeue: bool,
    /// Whether each record is taken for itself, where that is the listener's choice: none waits for
    /// one before it, and a body that cannot be unpacked comes as it is.
    pub raw: bool,
}

/// A queue that a subscription would take from, see [`Driver::waiting`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Its name, such as `notifications.info`.
    pub queue: String,
    /// How many messages nobody has taken. `None`: there is no such queue.
    pub messages: Option<u32>,
    /// How many take from it.
    pub consumers: u32,
}

/// How many records a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Most records at once. At least 1.
    pub max: usize,
    /// Longest wait for more after the first record.
    pub gather: Duration,
    /// Only records that must be handled in order anyway: other workers can take the rest.
    pub in_order: bool,
}

impl Want {
    /// Records to handle one after the other, at most `max`, without waiting for more than one.
    pub const fn run(max: usize) -> Self {
        Self { max, gather: Duration::ZERO, in_order: true }
    }

    /// Records to handle at once, at most `max`, and at most `gather` after the first one.
    pub const fn batch(max: usize, gather: Duration) -> Self {
        Self { max, gather, in_order: false }
    }
}

/// How a record is redelivered whose endpoint failed or asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redelivery {
    /// At most this often (option `max_redeliveries`).
    pub max: u32,
    /// After this time (option `redelivery_backoff`).
    pub backoff: Duration,
    /// Whether the broker does it: the record is left to it at once.
    pub at_broker: bool,
}

/// A record for the dead-letter topic.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The record as it came.
    pub record: &'a Incoming,
    /// Why it could not be decoded or handled.
    pub reason: &'a str,
    /// How often it was offered to endpoints.
    pub attempts: u32,
}

/// One record that endpoints are done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which one.
    pub token: Token,
    /// Whether it was handled; else it is left to the next owner of its partition.
    pub done: bool,
    /// How long they took.
    pub took: Duration,
}

/// One record that arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// Where it was, for logs.
    pub origin: Origin,
    /// The record's key.
    pub key: Option<Bytes>,
    /// Names and values beside the body.
    pub headers: Vec<(String, Bytes)>,
    /// The encoded notification; `None` for a null value.
    pub body: Option<Bytes>,
    /// How the body carries the context.
    pub context_style: ContextStyle,
    /// To be given back to [`Subscription::advance`].
    pub token: Token,
}

/// Where a record was: `notifications.info [2] at offset 71`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The broker's topic or queue; in a pool's queue the routing key, such as `notifications.info`.
    pub topic: Arc<str>,
    /// The partition, 0 for brokers without.
    pub partition: i32,
    /// The position in the partition.
    pub offset: i64,
    /// When the broker took the record, in milliseconds since 1970, where it says so.
    pub timestamp_millis: Option<i64>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] at offset {}", self.topic, self.partition, self.offset)
    }
}

/// Target of the trace events that follow each record through ownership, commit and dispatch; their
/// fields are in `docs/delivery.md`.
pub(crate) const RECORDS: &str = "oslo_messaging::records";

/// Names one handed-out record to its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub(crate) lane: u64,
    pub(crate) slot: u32,
    pub(crate) period: u32,
    pub(crate) offset: i64,
}

#[cfg(any(feature = "fake", feature = "kafka", feature = "rabbit", feature = "fuzzing"))]
impl crate::lanes::InLane for Incoming {
    fn lane(&self) -> crate::lanes::LaneId {
        self.token.lane
    }
}
