//! The ledger in the world of its own tests: the order of events that breaks a rule.
//!
//! The first byte is the mode, each further pair an event.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oslo_messaging::fuzzing::ledger;

/// A history of this length has been everywhere; longer ones are only slow.
const EVENTS: usize = 300;

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let pairs = data.chunks_exact(2).take(EVENTS);
    let events: Vec<(u8, u8)> = pairs.map(|pair| (pair[0], pair[1])).collect();
    if let Err(wrong) = ledger(mode % 2 == 1, &events) {
        panic!("{wrong}: {events:?}");
    }
});
