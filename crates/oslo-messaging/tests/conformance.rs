//! Every driver on every broker: the whole conformance suite each time.
//!
//! Needs the feature `conformance`: `cargo test -p oslo-messaging --features conformance --test
//! conformance`. The tests run one after the other, since each has clients for several cases.

use std::sync::Mutex;

use kafka_testkit::Kafka;
use oslo_messaging::{
    conformance::{Subject, run},
    kafka::EmbeddedBroker,
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn conforms(name: &str, subject: impl FnOnce() -> Subject) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let report = run(&subject());
    println!("=== {name}\n{report}");
    report.assert_passed();
}

fn on_kafka(url: String) -> Subject {
    Subject::new(url)
        .with_size_limit(1_048_576)
        .with_unknown_topics("create_topics=false&delivery_timeout=6")
}

#[test]
fn the_fake_driver_conforms() {
    conforms("fake", || Subject::new("fake:///"));
}

#[test]
fn the_kafka_driver_conforms_on_the_embedded_broker() {
    let broker = EmbeddedBroker::start(3).expect("the embedded broker starts");
    // It waits for absent members until a second before the end of their session.
    let url = format!("{}?session_timeout=3", broker.transport_url());
    conforms("kafka on the embedded broker", || on_kafka(url));
}

#[test]
fn the_kafka_driver_conforms_on_one_node() {
    let kafka = std::cell::OnceCell::new();
    conforms("kafka on one node", || on_kafka(kafka.get_or_init(Kafka::single).transport_url()));
}

#[test]
fn the_kafka_driver_conforms_on_three_nodes() {
    let kafka = std::cell::OnceCell::new();
    conforms("kafka on three nodes", || {
        on_kafka(kafka.get_or_init(Kafka::cluster).transport_url())
    });
}
