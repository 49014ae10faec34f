//! Holds a single Kafka until it is killed or its standard input ends: the process that `tests/kafka.rs` kills.
//!
//! Prints the guardian's and the node's process ids, then the data folder, each on a line.

use std::io::{Read, stdin};

fn main() {
    let kafka = kafka_testkit::shared();
    println!("{}\n{}\n{}", kafka.guardian_pid(), kafka.pid(1), kafka.folder().display());
    let _ = stdin().read(&mut [0]);
}
