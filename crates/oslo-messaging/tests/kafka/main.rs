//! The Kafka driver on a real Apache Kafka, and beside the real Python library.
//!
//! One broker is started for the whole binary and dies with it; every test has topics and groups
//! of its own.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod closing;
mod group;
mod interop;
mod listen;
#[path = "../log/mod.rs"]
mod log;
mod lost_way;
mod obstacles;
mod options;
mod outage;
mod poll;
mod python;
mod redelivery;
mod send;
mod support;
