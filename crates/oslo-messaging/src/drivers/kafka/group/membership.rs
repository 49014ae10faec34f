//! The group thread's way into its group, through rebalances, and out again.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, RebalanceProtocol},
};

use super::{
    super::{
        context::GroupEvent,
        ledger::{CommitFailure, Input, Slot},
        reaper::Leaving,
        start::TopicPartition,
    },
    ASK_TIMEOUT, GroupThread,
    place::Place,
};

const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Between two looks whether partitions without a leader have one; such a question may block.
const ASK_LEADERS: Duration = Duration::from_secs(2);
/// After topics were made: time for all brokers to hear of them before the group is dealt out.
const NEW_TOPICS_SPREAD: Duration = Duration::from_millis(300);

impl GroupThread {
    /// Reads where the topics end, and makes those that are missing. `false`: stopped meanwhile.
    pub(super) fn look_before_joining(&mut self) -> bool {
        // A login with a token begins with a callback.
        self.serve_client();
        let shared = Arc::clone(&self.shared);
        while let Err(error) =
            self.starts.look_at(&self.consumer, &self.options, &self.topics, ASK_TIMEOUT, || {
                !shared.start_has_returned()
            })
        {
            self.serve_client();
            self.note_obstacle(&error);
            self.complain_if_due();
            self.shared.wake.wait_until(Instant::now() + ASK_AGAIN);
            if self.stopping() {
                return false;
            }
        }
        let (made, failed) = self.starts.make_missing(&self.consumer, &self.options, ASK_TIMEOUT);
        for (topic, reason) in failed {
            tracing::warn!(%topic, "topic is missing: {reason}");
            self.shared.obstacle(format!("topic {topic} is missing: {reason}"));
        }
        self.shared.looked();
        let join_after = Instant::now() + if made { NEW_TOPICS_SPREAD } else { Duration::ZERO };
        while Instant::now() < join_after && !self.stopping() {
            self.shared.wake.wait_until(join_after);
        }
        !self.stopping()
    }

    pub(super) fn subscribe(&self) -> bool {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let subscribed = self.consumer.subscribe(&topics);
        if let Err(error) = &subscribed {
            tracing::error!(group = %self.group, "subscribe: {error}");
        }
        subscribed.is_ok()
    }

    pub(super) fn take_group_events(&mut self, now: Instant) {
        for event in self.consumer.context().take_events() {
            match event {
                GroupEvent::Assigned(partitions) => {
                    tracing::info!(group = %self.group, ?partitions, "partitions assigned");
                    self.shared.stats.rebalances.add(1);
                    self.coverage.rebalanced(now);
                    // Eager protocols revoke everything first, cooperative ones give in addition.
                    self.unresolved.extend(partitions);
                    self.ask_after = now;
                    if self.unresolved.is_empty() {
                        self.assign(&TopicPartitionList::new());
                    }
                }
                GroupEvent::Revoked(partitions) => {
                    tracing::info!(group = %self.group, ?partitions, "partitions revoked");
                    self.coverage.left(now);
                    // The ledger does not know of them and will not release them.
                    let unstarted = self.leaderless.iter().filter(|p| partitions.contains(p));
                    let unstarted: Vec<TopicPartition> = unstarted.cloned().collect();
                    let slots = self.forget(&partitions);
                    self.revoked.extend(unstarted.iter().map(|(t, p)| self.slots.number(t, *p)));
                    slots.iter().for_each(|slot| self.trace("revoked", *slot, -1));
                    self.ledger.handle(now, Input::Revoked { slots });
                }
                GroupEvent::Lost(partitions) => {
                    tracing::warn!(group = %self.group, ?partitions, "partitions lost");
                    self.coverage.left(now);
                    let slots = self.forget(&partitions);
                    self.revoked.retain(|revoked| !slots.contains(revoked));
                    slots.iter().for_each(|slot| self.trace("lost", *slot, -1));
                    self.ledger.handle(now, Input::Lost { slots: slots.clone() });
                    self.unassign(&slots);
                }
            }
        }
    }

    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) -> Vec<Slot> {
        self.unresolved.retain(|unresolved| !partitions.contains(unresolved));
        self.leaderless.retain(|leaderless| !partitions.contains(leaderless));
        partitions.iter().map(|(topic, number)| self.slots.number(topic, *number)).collect()
    }

    /// Finds where new partitions begin, then takes them on.
    pub(super) fn resolve_starts(&mut self, now: Instant) {
        if self.unresolved.is_empty() || now < self.ask_after {
            return;
        }
        let assigned = std::mem::take(&mut self.unresolved);
        let starts =
            match self.starts.resolve(&self.consumer, &self.options, &assigned, ASK_TIMEOUT) {
                Ok(starts) => starts,
                Err(error) => {
                    self.note_obstacle(&error);
                    self.unresolved = assigned;
                    self.ask_after = Instant::now() + ASK_AGAIN;
                    return;
                }
            };
        let mut list = TopicPartitionList::new();
        for (topic, partition) in assigned.iter().filter(|p| !starts.contains_key(p)) {
            tracing::warn!(
                group = %self.group, %topic, partition,
                "the partition has no leader; it is read as soon as it has one"
            );
            // Nothing can be there but what comes then, and that is sought.
            if let Err(error) = list.add_partition_offset(topic, *partition, Offset::End) {
                tracing::error!(topic, partition, "start offset: {error}");
            }
            self.leaderless.push((topic.clone(), *partition));
            self.ask_leaders_after = now + ASK_LEADERS;
        }
        for ((topic, partition), start) in starts {
            let slot = self.slots.number(&topic, partition);
            self.ledger.handle(now, Input::Assigned { slot, pin: start.pin });
            self.trace("assigned", slot, start.offset.to_raw().unwrap_or(-1));
            let place = match start.offset {
                Offset::Offset(offset) => Place::at(offset),
                _ => Place::default(),
            };
            self.places.insert(slot, place);
            if let Err(error) = list.add_partition_offset(&topic, partition, start.offset) {
                tracing::error!(topic, partition, "start offset: {error}");
            }
        }
        self.assign(&list);
    }

    /// Begins to read partitions that had no leader when they were assigned.
    pub(super) fn start_leaderless(&mut self, now: Instant) {
        if self.leaderless.is_empty() || now < self.ask_leaders_after || self.stopping() {
            return;
        }
        let found =
            self.starts.resolve(&self.consumer, &self.options, &self.leaderless, ASK_TIMEOUT);
        let found = found.unwrap_or_else(|error| {
            tracing::debug!(group = %self.group, "partitions without a leader: {error}");
            HashMap::new()
        });
        for ((topic, partition), start) in found {
            // What was fetched before belongs to no ownership period: the ledger leaves it.
            let sought = self.consumer.seek(&topic, partition, start.offset, ASK_TIMEOUT);
            if let Err(error) = sought {
                tracing::debug!(%topic, partition, "not started yet: {error}");
                continue;
            }
            self.leaderless.retain(|(t, p)| (t, *p) != (&topic, partition));
            let slot = self.slots.number(&topic, partition);
            tracing::info!(group = %self.group, %topic, partition, "the partition has a leader");
            self.ledger.handle(now, Input::Assigned { slot, pin: start.pin });
            self.trace("assigned", slot, start.offset.to_raw().unwrap_or(-1));
            if let Offset::Offset(offset) = start.offset {
                self.places.insert(slot, Place::at(offset));
            }
        }
        self.ask_leaders_after = Instant::now() + ASK_LEADERS;
    }

    pub(super) fn assign(&self, list: &TopicPartitionList) {
        // librdkafka's pause outlives the assignment in which it was made. Nothing is fetched yet:
        // to resume what is not paused changes nothing here.
        if let Err(error) = self.consumer.resume(list) {
            tracing::error!(group = %self.group, "resume: {error}");
        }
        let assigned = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(list),
            _ => self.consumer.assign(list),
        };
        match assigned {
            Ok(()) => {
                self.consumer.context().health.recovered();
                self.shared.assigned(true);
            }
            Err(error) => tracing::error!(group = %self.group, "assign: {error}"),
        }
    }

    pub(super) fn unassign(&self, slots: &[Slot]) {
        let result = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                self.consumer.incremental_unassign(&self.list(slots.iter().map(|s| (*s, None))))
            }
            _ => self.consumer.unassign(),
        };
        if let Err(error) = result {
            tracing::error!(group = %self.group, "unassign: {error}");
        }
        self.shared.assigned(self.ledger.owned().next().is_some());
    }

    /// Joins with a new client: the one there was knows no way to the group any more.
    pub(super) fn renew(&mut self, now: Instant) {
        let made = Self::client(&self.options, &self.group, &self.shared);
        let (consumer, replies) = match made {
            Ok(made) => made,
            Err(error) => return tracing::error!(group = %self.group, "{error}; tried again"),
        };
        tracing::error!(
            group = %self.group,
            "the group is at rest and its coordinator answers, but not to this listener's client: it \
             joins with a new one"
        );
        self.shared.stats.consumer_rebuilt.add(1);
        let slots: Vec<Slot> = self.ledger.owned().collect();
        self.ledger.handle(now, Input::Lost { slots });
        // The old client's answers are not waited for.
        for (id, (_, slots)) in std::mem::take(&mut self.sent) {
            for slot in slots {
                let result = Err(CommitFailure::Unanswered);
                self.ledger.handle(now, Input::CommitResult { id, slot, result });
            }
        }
        self.unresolved.clear();
        self.leaderless.clear();
        self.places.clear();
        // The queue goes before the client that it belongs to.
        drop(std::mem::replace(&mut self.replies, replies));
        let old = std::mem::replace(&mut self.consumer, consumer);
        old.context().begin_closing();
        old.unsubscribe();
        if let Some(topic) = self.topics.first() {
            let leaving = Leaving {
                consumer: old,
                shared: None,
                group: self.group.clone(),
                partition: (topic.clone(), 0),
                leaves_by_word: self.options.leaves_by_word(),
            };
            leaving.hand_over();
        }
        self.subscribe();
        self.coverage.left(now);
    }

    /// Leaves the group, if it was ever joined.
    pub(super) fn leave(self, joined: bool) {
        let leaves_by_word = self.options.leaves_by_word();
        let Self { replies, consumer, shared, group, topics, unresolved, .. } = self;
        drop(replies);
        consumer.context().begin_closing();
        if !unresolved.is_empty() {
            // librdkafka waits for the answer to an assignment before it does anything else.
            let mut list = TopicPartitionList::new();
            for (topic, partition) in &unresolved {
                list.add_partition(topic, *partition);
            }
            consumer.context().answer(&consumer, true, &list);
        }
        match topics.into_iter().next() {
            Some(topic) if joined => {
                let partition = (topic, 0);
                let shared = Some(shared);
                Leaving { consumer, shared, group, partition, leaves_by_word }.leave();
            }
            _ => {
                drop(consumer);
                shared.ended();
            }
        }
    }
}
