//! What the group thread asks about its group: whether all of its partitions are read, and what is
//! committed after a commit that was not answered.

use std::{collections::HashMap, ffi::CString, sync::Arc, time::Instant};

use rdkafka::{
    consumer::{Consumer, RebalanceProtocol},
    error::RDKafkaErrorCode,
};

use super::{
    super::{
        coverage::{Seen, missing},
        group_view::{self, CommittedOffset, GroupView, Looked},
        ledger::{Committed, Input, Slot},
        metadata::Metadata,
    },
    ASK_TIMEOUT, GroupThread,
};
use crate::driver::RECORDS;

impl GroupThread {
    /// Asks who reads what, when it is time for that: the topics first, then the group.
    pub(super) fn look_at_group(&mut self, now: Instant) {
        if !self.coverage.is_due(now) || self.stopping() {
            return;
        }
        if self.shared.is_assigned() {
            let topics: Vec<CString> =
                self.topics.iter().filter_map(|topic| CString::new(topic.as_str()).ok()).collect();
            self.replies.look_at_topics(self.consumer.client(), &topics, ASK_TIMEOUT);
        } else {
            // Not by this client, which may have lost its way.
            group_view::group(&self.options, &self.group, ASK_TIMEOUT, self.look());
        }
    }

    pub(super) fn take_counts(
        &mut self,
        now: Instant,
        counts: Result<HashMap<String, i32>, RDKafkaErrorCode>,
    ) {
        match counts {
            Ok(counts) => {
                self.counts = counts;
                group_view::group(&self.options, &self.group, ASK_TIMEOUT, self.look());
            }
            Err(code) => self.coverage_unknown(now, code),
        }
    }

    pub(super) fn take_group_view(
        &mut self,
        now: Instant,
        view: Result<GroupView, RDKafkaErrorCode>,
    ) {
        let missing = match view {
            Ok(view) if !self.shared.is_assigned() => {
                if self.coverage.saw_from_apart(now, Some(view.at_rest)) && !self.stopping() {
                    self.renew(now);
                }
                return;
            }
            Ok(view) if view.stable => missing(&self.counts, &view.assigned),
            Ok(_) => {
                self.coverage.saw(now, Seen::Unclear);
                return;
            }
            Err(code) => return self.coverage_unknown(now, code),
        };
        let seen = if missing.is_empty() { Seen::Complete } else { Seen::Gap };
        if !self.coverage.saw(now, seen) || self.stopping() {
            return;
        }
        tracing::warn!(
            group = %self.group, ?missing,
            "the group's leader did not know these partitions yet; the group joins again"
        );
        if matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
            // To subscribe to the same topics once more would change nothing.
            self.consumer.unsubscribe();
        }
        self.subscribe();
    }

    pub(super) fn coverage_unknown(&mut self, now: Instant, code: RDKafkaErrorCode) {
        tracing::debug!(group = %self.group, "the group cannot be looked at: {code}");
        let seen = match code {
            RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedFeature
            | RDKafkaErrorCode::UnsupportedVersion => Seen::Refused,
            _ if !self.shared.is_assigned() => {
                self.coverage.saw_from_apart(now, None);
                return;
            }
            _ => Seen::Unclear,
        };
        self.coverage.saw(now, seen);
    }

    pub(super) fn ask_committed(&mut self, slots: Vec<Slot>) {
        let list = self.list(slots.iter().map(|slot| (*slot, None)));
        self.asked = slots;
        group_view::offsets(&self.options, &self.group, list, ASK_TIMEOUT, self.look());
    }

    pub(super) fn take_offsets(&mut self, now: Instant, found: &[CommittedOffset]) {
        for slot in std::mem::take(&mut self.asked) {
            let (topic, partition) = self.slots.name(slot);
            let of_slot = found.iter().find(|found| {
                (found.topic.as_str(), found.partition) == (topic.as_ref(), partition)
            });
            let found = of_slot.map(|found| {
                let member = Metadata::read(&found.metadata).member;
                Committed { offset: found.offset, own: member.as_ref() == Some(&self.member) }
            });
            tracing::info!(
                group = %self.group, %topic, partition, ?found,
                "looked at what is committed, after a commit that was not answered"
            );
            if let Some(found) = found.filter(|found| found.own) {
                let offset = found.offset;
                tracing::trace!(target: RECORDS, %topic, partition, offset, "found");
            }
            self.ledger.handle(now, Input::Committed { slot, found });
        }
    }

    /// Takes the answer to one question, from any thread.
    pub(super) fn look(&self) -> impl FnOnce(Looked) + Send + 'static {
        let (looks, shared) = (self.looks.0.clone(), Arc::clone(&self.shared));
        move |looked| {
            // A group thread that has ended has no use for it.
            let _ = looks.send(looked);
            shared.wake.call();
        }
    }
}
