//! What librdkafka's statistics say of the brokers: which connections are up, where leaders are.
//!
//! Statistics and not error events: `ALL_BROKERS_DOWN` is raised only when every broker that was
//! ever heard of has failed, those included that nobody has connected to, and nothing at all is
//! raised when a connection comes up. The statistics have the state itself, of logged-in
//! connections, once a second.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;

#[derive(Deserialize)]
struct Brokers<'a> {
    #[serde(borrow, default)]
    brokers: HashMap<Cow<'a, str>, Broker<'a>>,
}

#[derive(Deserialize)]
struct Broker<'a> {
    nodeid: i32,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    /// Microseconds since the state changed.
    stateage: Option<i64>,
}

/// A connection counts as up from this age on: where the protocol is not the listener's, or the user
/// is refused late, a broker takes each connection and ends it after some milliseconds.
const SETTLED_MICROS: i64 = 500_000;

impl Broker<'_> {
    fn is_real(&self) -> bool {
        matches!(&*self.source, "configured" | "learned")
    }

    fn is_up(&self) -> bool {
        self.is_real()
            && self.state == "UP"
            && self.stateage.is_none_or(|age| age >= SETTLED_MICROS)
    }
}

#[derive(Deserialize)]
struct Topics<'a> {
    #[serde(borrow, default)]
    topics: HashMap<Cow<'a, str>, Topic<'a>>,
}

#[derive(Deserialize)]
struct Topic<'a> {
    #[serde(borrow, default)]
    partitions: HashMap<Cow<'a, str>, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    leader: i32,
}

/// The state of one client's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Connections {
    /// Some connection is up, logged in and all.
    pub(super) any_up: bool,
    /// No connection is lost or being tried; those that nobody needs may be absent.
    pub(super) none_lost: bool,
}

/// Reads the connections' state from statistics as librdkafka writes them.
pub(super) fn connections(statistics: &[u8]) -> Connections {
    let Ok(read) = serde_json::from_slice::<Brokers<'_>>(statistics) else {
        return Connections::default();
    };
    let real = || read.brokers.values().filter(|broker| broker.is_real());
    Connections {
        any_up: real().any(Broker::is_up),
        none_lost: real().all(|broker| matches!(&*broker.state, "UP" | "INIT")),
    }
}

/// Whether a partition has no leader, or one without a connection, while another broker has one:
/// its records fail and others do not.
pub(super) fn is_partition_dead(statistics: &[u8], topic: &str, partition: i32) -> bool {
    let (Ok(brokers), Ok(topics)) = (
        serde_json::from_slice::<Brokers<'_>>(statistics),
        serde_json::from_slice::<Topics<'_>>(statistics),
    ) else {
        return false;
    };
    let up: Vec<i32> = brokers.brokers.values().filter(|b| b.is_up()).map(|b| b.nodeid).collect();
    let partitions = topics.topics.get(topic).map(|topic| &topic.partitions);
    let found = partitions.and_then(|partitions| partitions.get(partition.to_string().as_str()));
    found.is_some_and(|found| partition >= 0 && !up.is_empty() && !up.contains(&found.leader))
}

#[cfg(test)]
mod tests {
    use super::{Connections, connections, is_partition_dead};

    /// As librdkafka writes it, without what nobody reads.
    fn statistics(first: &str, second: &str) -> Vec<u8> {
        let broker = |id: i32, source: &str, state: &str| {
            format!(
                r#""h:{id}/{id}": {{"name": "h", "nodeid": {id}, "source": "{source}",
                    "state": "{state}", "toppars": {{}}}}"#
            )
        };
        let partition =
            |id: i32, leader: i32| format!(r#""{id}": {{"partition": {id}, "leader": {leader}}}"#);
        format!(
            r#"{{"name": "r", "ts": 1, "brokers": {{{}, {}, {}}}, "topics": {{"t.info":
                {{"topic": "t.info", "partitions": {{{}, {}, {}, {}}}}}}}}}"#,
            broker(-1, "internal", "UP"),
            broker(1, "learned", first),
            broker(2, "configured", second),
            partition(0, 1),
            partition(1, 2),
            partition(2, -1),
            partition(-1, -1),
        )
        .into_bytes()
    }

    #[test]
    fn only_connections_that_are_logged_in_are_up() {
        for (first, second, any_up, none_lost) in [
            ("UP", "UP", true, true),
            ("UP", "INIT", true, true),
            ("UP", "DOWN", true, false),
            ("AUTH_HANDSHAKE", "TRY_CONNECT", false, false),
            ("APIVERSION_QUERY", "DOWN", false, false),
            ("INIT", "INIT", false, true),
        ] {
            let found = connections(&statistics(first, second));
            assert_eq!(found, Connections { any_up, none_lost }, "{first} {second}");
        }
        assert!(!connections(b"no statistics").any_up);
        let aged = |age: i64| {
            let text = String::from_utf8(statistics("UP", "DOWN")).unwrap();
            let up = r#""state": "UP","#;
            let both = format!(r#"{up} "stateage": {age},"#);
            connections(text.replace(up, &both).as_bytes()).any_up
        };
        assert!(!aged(3_000) && aged(1_000_000), "a connection that has just come up");
    }

    #[test]
    fn a_partition_is_dead_when_its_leader_is_and_another_broker_is_not() {
        let dead = |first, second, partition| {
            is_partition_dead(&statistics(first, second), "t.info", partition)
        };
        assert!(dead("DOWN", "UP", 0));
        assert!(!dead("DOWN", "UP", 1));
        assert!(dead("UP", "UP", 2), "no leader");
        assert!(!dead("DOWN", "DOWN", 0), "the bus is dead, not the partition");
        assert!(!dead("UP", "UP", -1), "not assigned to a partition");
        assert!(!dead("DOWN", "UP", 9), "an unknown partition");
        assert!(!is_partition_dead(b"{}", "t.info", 0));
    }
}
