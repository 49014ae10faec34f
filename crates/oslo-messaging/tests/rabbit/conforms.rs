//! The whole conformance suite.

use oslo_messaging::conformance::{Subject, run};
use rabbitmq_testkit::shared;

#[test]
fn the_rabbit_driver_conforms() {
    let report = run(&Subject::new(shared().url("")));
    println!("{report}");
    report.assert_passed();
}
