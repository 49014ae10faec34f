//! A real Apache Kafka for tests: started on free ports, and gone when the test process is, however that ends.
//!
//! ```no_run
//! let kafka = kafka_testkit::shared();
//! let topic = kafka_testkit::unique("notifications");
//! println!("{} {topic}", kafka.transport_url());
//!
//! let cluster = kafka_testkit::Kafka::cluster();
//! cluster.kill(2);
//! cluster.start(2);
//! ```
//!
//! Between clients and nodes a [`Proxy`] can make the network as bad as a test needs it.
//!
//! The brokers are no children of the test: `kit/kafka.sh` is, their *guardian*, see the crate `testkit`.
//!
//! Needs Linux, Java 17 or later, and Maven for the first run, which fetches Kafka's jars into the user's cache
//! folder. What is missing is an error, never a skipped test. This is a test's tool: everything panics on failure.

mod admin;
mod kafka;

pub use admin::{Operation, Resource};
pub use kafka::{Kafka, Layout, Listener, shared};
pub use testkit::{
    Direction, Faults, Flips, Proxy, ProxyPorts, certs::KEY_PASSWORD, traces, unique,
};
