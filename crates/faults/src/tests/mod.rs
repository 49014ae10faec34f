//! The tests: a table of them, and a file for each group of faults.
//!
//! How a test is added: a function `fn(&mut Cluster, Form) -> Verdict` in the file of its group, and a
//! line in [`ALL`]. It makes a [`Scene`](crate::scene::Scene), hits brokers or roles, and gives
//! `Verdict::of(&scene.finish(), &bounds)`, with what else must hold as `verdict.must(...)`.

mod brokers;

use crate::{cluster::Cluster, verdict::Verdict};

/// How long a test takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Full,
    Short,
}

pub(crate) struct Test {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    /// Whether it is among the few that run on every change.
    pub(crate) short: bool,
    pub(crate) run: fn(&mut Cluster, Form) -> Verdict,
}

const fn test(number: u32, name: &'static str, run: fn(&mut Cluster, Form) -> Verdict) -> Test {
    Test { number, name, short: false, run }
}

const fn short(test: Test) -> Test {
    Test { short: true, ..test }
}

pub(crate) const ALL: &[Test] = &[
    test(1, "no fault, as fast as it goes", brokers::no_fault),
    short(test(2, "each partition's leader killed", brokers::leaders_killed)),
];
