//! Notifications of OpenStack over Apache Kafka, wire-compatible with Python's oslo.messaging.
//!
//! OpenStack services tell each other what happened by *notifications*: "instance created",
//! "volume deleted". Billing, audit and telemetry live on them. This library sends them so that
//! the sender knows whether the broker has them, and delivers them so that none is lost or
//! repeated in an orderly life.
//!
//! ```
//! use oslo_messaging::{
//!     Context, Listener, Notifier, Payload, Priority, Target, Transport, endpoint_fn,
//! };
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), oslo_messaging::Error> {
//! // `kafka://host1:9092,host2:9092/` in earnest.
//! let transport = Transport::for_notifications("fake:")?;
//!
//! let listener = Listener::builder(&transport)
//!     .target(Target::new("notifications"))
//!     .pool("billing")
//!     .endpoint(endpoint_fn([Priority::Info], |notification| {
//!         println!("{} by {}", notification.event_type, notification.publisher_id);
//!         Ok(())
//!     }))
//!     .start()?;
//! listener.ready(Duration::from_secs(10))?;
//!
//! let notifier = Notifier::builder(&transport)
//!     .publisher_id("compute.host1")
//!     .driver("messagingv2")
//!     .build()?;
//! let payload = Payload::from(serde_json::json!({"instance_id": "42"}));
//! notifier
//!     .info(&Context::empty(), "compute.instance.create.end", payload)
//!     .wait(Duration::from_secs(30))?;
//!
//! listener.close(Duration::from_secs(10))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | open a broker | [`Transport`], [`TransportUrl`], [`config`] |
//! | send | [`Notifier`], [`Receipt`], [`Serializer`] |
//! | listen | [`Listener`], [`Endpoint`], [`BatchEndpoint`], [`NotificationFilter`] |
//! | call methods of other services | [`rpc`] |
//! | bind another language | [`EncodedNotification`], [`PollListener`] |
//! | read what came | [`Notification`], [`Payload`], [`Context`], [`wire`] |
//! | write a driver | [`driver`] |
//! | know what happened | [`Error`], [`Stats`] |
//!
//! # Features
//!
//! | feature | is |
//! |---|---|
//! | `kafka` (default) | the driver of `kafka://`, on librdkafka; notifications only; no async runtime |
//! | `ssl`, `zstd` (default) | TLS and SASL/SCRAM, and zstd compression, of librdkafka |
//! | `oidc` (default) | tokens of an OpenID Connect server, for `sasl_mechanism = OAUTHBEARER` |
//! | `ssl-vendored` | OpenSSL built from source and linked in |
//! | `rabbit` | the driver of `rabbit://`: RPC and notifications over RabbitMQ, by lapin on tokio |
//! | `fake` (default) | the driver of `fake:`, in memory |
//! | `log-handler` | `NotificationLayer`: log events of `tracing` become notifications |
//! | `conformance` | `conformance`: every case that a driver must pass, for its author |
//! | `fuzzing` | nothing for programs: what this repository's fuzz targets call |

pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod driver;
mod drivers;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod key;
#[cfg(any(feature = "fake", feature = "kafka", feature = "rabbit", feature = "fuzzing"))]
mod lanes;
mod message;
mod notify;
mod receipt;
mod reload;
pub mod rpc;
mod secret;
#[cfg(feature = "kafka")]
mod spool;
mod stats;
mod target;
mod threads;
mod transport;
mod url;
pub mod wire;

#[cfg(feature = "kafka")]
pub mod kafka {
    //! What only Kafka has.
    pub use crate::drivers::kafka::{
        ClusterView, EmbeddedBroker, Probe, Read, ReadFrom, Reader, Record, Refusal, Stage,
        TopicView,
    };
}

pub use error::{Cause, Error, Outcome, Undelivered};
pub use message::{Context, Notification, Payload, Priority};
#[cfg(feature = "log-handler")]
pub use notify::NotificationLayer;
pub use notify::{
    BatchEndpoint, Endpoint, EndpointError, IncomingMessage, Listener, ListenerBuilder,
    NoOpSerializer, NotificationFilter, NotificationFilterBuilder, Notifier, NotifierBuilder,
    PollListener, PollListenerBuilder, Serializer, SerializerError, endpoint_fn,
    recorded_notifications,
};
pub use receipt::{FinalOutcome, Receipt, Sent};
pub use reload::{Change, Reloaded};
pub use secret::Secret;
pub use stats::{Counter, Gauge, Stats};
pub use target::Target;
pub use transport::{EncodedNotification, Transport, TransportBuilder};
pub use url::{Host, TransportUrl};
