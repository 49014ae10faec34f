//! What the test kits of the brokers share: the process that guards a broker, certificates, a bad network, names,
//! a search for secrets.
//!
//! The brokers are no children of the test: a shell script is, the *guardian*, in a session of its own. It
//! starts the brokers, obeys lines on its standard input, and when that ends, which the system sees to whatever
//! happens to the test, it kills them and wipes their folder. Should the guardian be killed, the kernel kills
//! the brokers, and the next run wipes the folder. `guard.sh` is what these scripts have in common.
//!
//! Needs Linux. This is a test's tool: everything panics on failure.

pub mod certs;
pub mod guardian;
mod names;
mod proxy;
mod traces;

pub use names::unique;
pub use proxy::{Direction, Faults, Flips, Proxy, ProxyPorts};
pub use traces::traces;
