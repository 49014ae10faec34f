//! Holds a single Kafka until it is killed: the process that `tests/guardian.rs` kills.
//!
//! Prints the guardian's and the node's process ids, then the data folder, each on a line.

fn main() {
    let kafka = kafka_testkit::shared();
    println!("{}\n{}\n{}", kafka.guardian_pid(), kafka.pid(1), kafka.folder().display());
    loop {
        std::thread::park();
    }
}
