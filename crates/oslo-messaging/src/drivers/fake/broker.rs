//! The topics and pools of one fake transport.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::consumer::FakeSubscription;
use crate::{
    driver::{Incoming, Origin, Outgoing, Token},
    message::Priority,
    target::Target,
    wire::ContextStyle,
};

/// Exchange, topic and priority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Topic {
    exchange: String,
    topic: String,
    priority: Priority,
    virtual_host: Option<Arc<str>>,
}

impl Topic {
    /// Such as `notifications.info`.
    pub(super) fn name(&self) -> String {
        let host = self.virtual_host.as_deref().map(|host| format!(".{host}"));
        format!("{}.{}{}", self.topic, self.priority.as_str(), host.unwrap_or_default())
    }
}

#[derive(Debug, Default)]
struct Pool {
    topics: BTreeSet<Topic>,
    members: Vec<Arc<FakeSubscription>>,
    next_member: usize,
    /// What came while there was no member.
    backlog: VecDeque<Incoming>,
}

#[derive(Debug, Default)]
struct State {
    pools: BTreeMap<String, Pool>,
    /// A number for each topic: the lane of its records, and the next offset in it.
    topics: BTreeMap<Topic, (u64, i64)>,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Broker {
    control_exchange: String,
    virtual_host: Option<Arc<str>>,
    state: Mutex<State>,
}

impl Broker {
    pub(super) fn new(control_exchange: &str, virtual_host: Option<&str>) -> Self {
        Self {
            control_exchange: control_exchange.to_owned(),
            virtual_host: virtual_host.filter(|host| *host != "/").map(Arc::from),
            state: Mutex::new(State::default()),
        }
    }

    pub(super) fn topic(&self, target: &Target, priority: Priority) -> Topic {
        Topic {
            exchange: target.exchange().unwrap_or(&self.control_exchange).to_owned(),
            topic: target.topic().to_owned(),
            priority,
            virtual_host: self.virtual_host.clone(),
        }
    }

    /// Gives the record to one member of each pool that wants its topic; `false` when closed.
    pub(super) fn publish(&self, topic: &Topic, outgoing: &Outgoing) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        let next_lane = state.topics.len() as u64;
        let (lane, offset) = state.topics.entry(topic.clone()).or_insert((next_lane, 0));
        let incoming = Incoming {
            origin: Origin {
                topic: Arc::from(topic.name()),
                partition: 0,
                offset: *offset,
                timestamp_millis: None,
            },
            key: outgoing.key.clone(),
            headers: outgoing.headers.clone(),
            body: Some(outgoing.body.clone()),
            context_style: ContextStyle::Nested,
            token: Token { lane: *lane, slot: 0, period: 0, offset: 0 },
        };
        *offset += 1;
        for pool in state.pools.values_mut().filter(|pool| pool.topics.contains(topic)) {
            pool.give(incoming.clone());
        }
        true
    }

    pub(super) fn join(&self, pool: &str, topics: BTreeSet<Topic>, member: Arc<FakeSubscription>) {
        let mut state = self.lock();
        let pool = state.pools.entry(pool.to_owned()).or_default();
        pool.topics.extend(topics);
        pool.members.push(member);
        for incoming in std::mem::take(&mut pool.backlog) {
            pool.give(incoming);
        }
    }

    /// Takes the member off its pool: it gets no more records.
    pub(super) fn leave(&self, member: &FakeSubscription) {
        for pool in self.lock().pools.values_mut() {
            pool.members.retain(|other| !std::ptr::eq(Arc::as_ptr(other), member));
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn give(&mut self, incoming: Incoming) {
        if self.members.is_empty() {
            self.backlog.push_back(incoming);
            return;
        }
        self.next_member = (self.next_member + 1) % self.members.len();
        self.members[self.next_member].take(incoming);
    }
}
