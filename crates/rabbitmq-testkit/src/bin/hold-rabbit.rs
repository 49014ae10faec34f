//! Holds a RabbitMQ until it is killed or its standard input ends: the process that `tests/testkit.rs` kills.
//!
//! Prints the guardian's and the node's process ids, then the data folder, each on a line.

use std::io::{Read, stdin};

fn main() {
    let rabbit = rabbitmq_testkit::shared();
    println!("{}\n{}\n{}", rabbit.guardian_pid(), rabbit.pid(), rabbit.folder().display());
    let _ = stdin().read(&mut [0]);
}
