//! The tests: a table of them, and a file for each group of faults.
//!
//! How a test is added: a function `fn(&mut Cluster, Form) -> Verdict` in the file of its group, and a
//! line in [`ALL`]. It makes a [`Scene`](crate::scene::Scene), hits brokers or roles, and gives
//! `Verdict::of(&scene.finish(), &bounds)`, with what else must hold as `verdict.must(...)`.

mod brokers;
mod members;
mod network;
mod outage;
mod security;
mod shutdown;
mod topics;

use std::time::Duration;

use crate::{cluster::Cluster, verdict::Verdict};

/// How long a test takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Full,
    Short,
}

impl Form {
    const fn pick(self, full: u64, short: u64) -> u64 {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
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

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// 14 to 17 are faults of the network; 19 has a secured node of its own.
pub(crate) const ALL: &[Test] = &[
    test(1, "no fault, as fast as it goes", brokers::no_fault),
    short(test(2, "each partition's leader killed", brokers::leaders_killed)),
    test(3, "leader restarted in order, five times", brokers::leader_restarted),
    test(4, "leader frozen for 25 s", brokers::leader_frozen),
    test(5, "two of three brokers down for 60 s", brokers::two_down),
    test(6, "all brokers killed, back after 30 s", brokers::all_killed),
    test(7, "all brokers down for longer than delivery_timeout", outage::longer_than_the_timeout),
    test(8, "the group's coordinator killed every 10 s", members::coordinator_killed),
    test(9, "coordinator frozen, then the listeners stop", members::coordinator_frozen),
    short(test(10, "listeners killed (kill -9)", members::listeners_killed)),
    test(11, "a listener frozen for its session and 10 s", members::listener_frozen),
    test(12, "members come and go, four kinds of groups", members::four_storms),
    test(13, "an endpoint slower than max.poll.interval.ms", members::slow_endpoint),
    test(14, "latency, little bandwidth, tiny packets", network::slow),
    test(15, "connections cut and reset each second", network::cut),
    test(16, "answers vanish for 40 s", network::answers_lost),
    test(17, "the leader cut off from the other brokers", network::isolated),
    test(18, "partitions added, records deleted", topics::events),
    test(19, "password, rights and certificate change", security::events),
    short(test(20, "SIGTERM under load, brokers up, down and frozen", shutdown::all)),
    test(21, "all brokers frozen for 8 s, then gone for 60 s", outage::frozen_then_gone),
    test(22, "brokers killed in turn, seven times", brokers::killed_in_turn),
    test(23, "members come and go for 2 min under 300/s, three groups", members::long_storm),
    test(24, "topic deleted and made anew under a group", topics::made_anew),
];
