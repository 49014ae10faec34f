//! A real RabbitMQ for tests: started on free ports, and gone when the test process is, however that ends.
//!
//! ```no_run
//! let rabbit = rabbitmq_testkit::Rabbit::start();
//! println!("{}", rabbit.url("/"));
//! rabbit.kill9();
//! rabbit.start_again();
//!
//! let cluster = rabbitmq_testkit::Cluster::start(3);
//! cluster.node(2).pause();
//! println!("{}", cluster.url("osl"));
//! ```
//!
//! | user | password | may |
//! |---|---|---|
//! | `guest` | `guest` | do everything on the virtual hosts `/` and `osl` |
//! | `alice` | `alice-secret` | do everything on `osl`, nothing on `/` |
//! | `bob` | `bob-secret` | log in to `/` and do nothing there |
//! | `client-alice` | none | do everything on `osl`, by the certificate `client.crt` |
//!
//! The nodes are no children of the test: `kit/rabbit.sh` is, their *guardian*, see the crate `testkit`. They are
//! ordinary processes of the test's user, with an epmd, a cookie and a folder of their own, and listen on loopback.
//!
//! Needs Linux and Debian's package `rabbitmq-server`, whose service need not run. What is missing is an error, never a
//! skipped test. This is a test's tool: everything panics on failure.

mod ask;
mod builder;
mod node;
mod rabbit;

pub use ask::{Binding, Connection, Exchange, Queue};
pub use builder::RabbitBuilder;
pub use node::Node;
pub use rabbit::{Cluster, Rabbit, shared};
pub use testkit::{Direction, Faults, Flips, Proxy, ProxyPorts, unique};
