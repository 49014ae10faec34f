//! The driver `rabbit` on a real RabbitMQ: one broker for the tests that leave it alone, one of its own for each that
//! does not.

#![allow(clippy::unwrap_used, reason = "a failure of a test is a panic")]

mod conforms;
mod faults;
mod interop;
mod messages;
mod outcomes;
mod peers;
mod python_with_python;
mod refused;
mod support;
mod topology;
