//! The group thread: the one thread that talks to a librdkafka consumer.
//!
//! It turns what happens (records, commit answers, group events, workers' progress) into the
//! ledger's inputs and does what the ledger says. It decides nothing about commit and dispatch
//! itself, and it blocks only where it waits for something to happen; librdkafka's queues and the
//! workers wake it.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::CString,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer, RebalanceProtocol},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    config::KafkaOptions,
    consumer::{Progress, Shared},
    context::{GroupContext, GroupEvent},
    coverage::{Coverage, Seen, missing},
    error::{broker_error, words},
    group_view::{self, CommittedOffset, GroupView, Looked},
    ledger::{CommitFailure, CommitId, Committed, Input, Ledger, Limits, Output, Period, Slot},
    metadata::{self, Metadata},
    native::{CommitReply, Reply, ReplyQueue},
    reaper::Leaving,
    record::{Bodies, incoming},
    slots::Slots,
    start::{Found, Starts, TopicPartition},
};
use crate::{
    Error,
    driver::{Incoming, RECORDS, Token},
};

/// Longest sleep: what librdkafka tells without waking anybody is seen this late at most.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// One question to the brokers, asked between two looks at everything else.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// After topics were made: time for all brokers to hear of them before the group is dealt out.
const NEW_TOPICS_SPREAD: Duration = Duration::from_millis(300);
/// A listener that gets no partitions says so after this time, and then each minute.
const FIRST_COMPLAINT: Duration = Duration::from_secs(10);
const NEXT_COMPLAINT: Duration = Duration::from_secs(60);

pub(super) struct GroupThread {
    // The queue goes before the client that it belongs to.
    replies: ReplyQueue,
    consumer: BaseConsumer<GroupContext>,
    options: Arc<KafkaOptions>,
    group: String,
    topics: BTreeSet<String>,
    shared: Arc<Shared>,
    ledger: Ledger<Incoming>,
    slots: Slots,
    bodies: Bodies,
    starts: Starts,
    /// Assigned partitions whose starts are not known yet.
    unresolved: Vec<TopicPartition>,
    /// By what its commits are known, beside the offsets on the broker.
    member: String,
    /// Whose committed offsets were asked for.
    asked: Vec<Slot>,
    /// By slot, the offset that comes next if none is missing.
    expected: HashMap<Slot, i64>,
    ask_after: Instant,
    coverage: Coverage,
    /// Answers to looks at the group.
    looks: (Sender<Looked>, Receiver<Looked>),
    /// Partitions of the topics, as the last look showed.
    counts: HashMap<String, i32>,
    complain_at: Instant,
    progress: Vec<Progress>,
}

impl GroupThread {
    /// Makes the consumer; no broker is asked yet.
    pub(super) fn new(
        options: &Arc<KafkaOptions>,
        group: &str,
        topics: BTreeSet<String>,
        limits: Limits,
        shared: &Arc<Shared>,
    ) -> Result<Self, Error> {
        let config = options.consumer(group);
        let mut consumer = BaseConsumer::from_config_and_context(&config, GroupContext::default())
            .map_err(|error| broker_error("create the consumer", error))?;
        let waker = Arc::clone(shared);
        consumer.set_nonempty_callback(move || waker.wake.call());
        let waker = Arc::clone(shared);
        let replies = ReplyQueue::new(consumer.client(), Box::new(move || waker.wake.call()));
        let now = Instant::now();
        Ok(Self {
            replies,
            consumer,
            options: Arc::clone(options),
            group: group.to_owned(),
            topics,
            shared: Arc::clone(shared),
            ledger: Ledger::new(limits),
            slots: Slots::default(),
            bodies: Bodies::default(),
            starts: Starts::default(),
            unresolved: Vec::new(),
            member: metadata::new_member(),
            asked: Vec::new(),
            expected: HashMap::new(),
            ask_after: now,
            coverage: Coverage::default(),
            looks: mpsc::channel(),
            counts: HashMap::new(),
            complain_at: now + FIRST_COMPLAINT,
            progress: Vec::new(),
        })
    }

    pub(super) fn run(mut self) {
        let joined = self.look_before_joining() && self.subscribe();
        if joined {
            self.serve();
        }
        self.shared.drained();
        self.leave(joined);
    }

    /// Reads where the topics end, and makes those that are missing. `false`: stopped meanwhile.
    fn look_before_joining(&mut self) -> bool {
        let mut left: Vec<String> = self.topics.iter().cloned().collect();
        let mut join_after = Instant::now();
        while let Some(topic) = left.last() {
            if self.stopping() {
                return false;
            }
            match self.starts.look_at(&self.consumer, &self.options, topic, ASK_TIMEOUT) {
                Ok(found) => {
                    match found {
                        Found::There => {}
                        Found::Made => join_after = Instant::now() + NEW_TOPICS_SPREAD,
                        Found::Missing(reason) => {
                            tracing::warn!(%topic, "topic is missing: {reason}");
                            self.shared.obstacle(format!("topic {topic} is missing: {reason}"));
                        }
                    }
                    left.pop();
                }
                Err(error) => {
                    self.serve_client();
                    self.note_obstacle(&error);
                    self.complain_if_due();
                    self.shared.wake.wait_until(Instant::now() + ASK_AGAIN);
                }
            }
        }
        self.shared.looked();
        while Instant::now() < join_after && !self.stopping() {
            self.shared.wake.wait_until(join_after);
        }
        !self.stopping()
    }

    fn serve(&mut self) {
        let mut told_to_stop = false;
        loop {
            let now = Instant::now();
            if self.stopping() && !told_to_stop {
                told_to_stop = true;
                self.ledger.handle(now, Input::Shutdown);
            }
            self.take_progress(now);
            self.take_replies(now);
            self.poll(now);
            self.take_group_events(now);
            self.resolve_starts(now);
            self.look_at_group(now);
            self.ledger.handle(now, Input::Tick);
            self.ledger.settle(now);
            self.shared.set_periods(self.ledger.periods());
            let quiet = self.act(now);
            self.complain_if_due();
            if quiet {
                return;
            }
            self.sleep();
        }
    }

    fn sleep(&mut self) {
        let now = Instant::now();
        let mut until = now + LONGEST_SLEEP;
        if let Some(deadline) = self.ledger.next_deadline() {
            until = until.min(deadline);
        }
        if !self.unresolved.is_empty() {
            until = until.min(self.ask_after);
        }
        if let Some(look) = self.coverage.next_look() {
            until = until.min(look);
        }
        self.shared.wake.wait_until(until);
    }

    fn take_progress(&mut self, now: Instant) {
        let mut progress = std::mem::take(&mut self.progress);
        self.shared.take_progress(&mut progress);
        for step in progress.drain(..) {
            self.ledger.handle(
                now,
                match step {
                    Progress::Dispatched { slot, period } => Input::Dispatched { slot, period },
                    Progress::Finished { slot, period, offset, done, took } => {
                        Input::Finished { slot, period, offset, done, took }
                    }
                    Progress::TooManyDeadLetters { slot, period } => {
                        Input::Stopped { slot, period }
                    }
                },
            );
        }
        self.progress = progress;
    }

    fn take_replies(&mut self, now: Instant) {
        while let Some(reply) = self.replies.poll() {
            match reply {
                Reply::Commit(reply) => self.take_commit_reply(now, reply),
                Reply::Topics(counts) => self.take_counts(now, counts),
            }
        }
        while let Ok(looked) = self.looks.1.try_recv() {
            match looked {
                Looked::Group(view) => self.take_group_view(now, view),
                Looked::Offsets(found) => self.take_offsets(now, &found),
            }
        }
    }

    fn take_commit_reply(&mut self, now: Instant, CommitReply { id, partitions }: CommitReply) {
        for reply in partitions {
            let slot = self.slots.number(&reply.topic, reply.partition);
            let (topic, partition) = (&reply.topic, reply.partition);
            let result = match reply.result {
                Ok(()) => {
                    tracing::trace!(target: RECORDS, commit = id, %topic, partition, "committed");
                    self.shared.stats.commits.add(1);
                    Ok(())
                }
                Err(code) => {
                    tracing::trace!(
                        target: RECORDS, commit = id, %topic, partition, %code, "not committed"
                    );
                    self.shared.stats.commit_failures.add(1);
                    Err(self.commit_failure(code, &reply.topic, reply.partition))
                }
            };
            self.ledger.handle(now, Input::CommitResult { id, slot, result });
        }
    }

    fn ask_committed(&mut self, slots: Vec<Slot>) {
        let list = self.list(slots.iter().map(|slot| (*slot, None)));
        self.asked = slots;
        group_view::offsets(&self.options, &self.group, list, ASK_TIMEOUT, self.look());
    }

    /// Takes the answer to one question, from any thread.
    fn look(&self) -> impl FnOnce(Looked) + Send + 'static {
        let (looks, shared) = (self.looks.0.clone(), Arc::clone(&self.shared));
        move |looked| {
            // A group thread that has ended has no use for it.
            let _ = looks.send(looked);
            shared.wake.call();
        }
    }

    fn take_offsets(&mut self, now: Instant, found: &[CommittedOffset]) {
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
            self.ledger.handle(now, Input::Committed { slot, found });
        }
    }

    fn commit_failure(&self, code: RDKafkaErrorCode, topic: &str, partition: i32) -> CommitFailure {
        let failure = match code {
            RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::OffsetMetadataTooLarge
            | RDKafkaErrorCode::InvalidCommitOffsetSize => CommitFailure::Denied,
            RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::FencedMemberEpoch
            | RDKafkaErrorCode::StaleMemberEpoch => CommitFailure::Refused,
            _ => CommitFailure::Unanswered,
        };
        let (group, health) = (&self.group, &self.consumer.context().health);
        if failure == CommitFailure::Denied || health.may_say(format!("commit {code}")) {
            tracing::error!(%group, topic, partition, "commit failed, to be tried again: {code}");
        }
        failure
    }

    /// Takes what librdkafka has, as far as the ledger has room.
    fn poll(&mut self, now: Instant) {
        while self.ledger.wants_poll() {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let slot = self.slots.number(message.topic(), message.partition());
                    let offset = message.offset();
                    let topic = Arc::clone(self.slots.name(slot).0);
                    let record = incoming(&message, topic, |body| self.bodies.copy(body));
                    drop(message);
                    self.shared.stats.received.add(1);
                    self.trace("received", slot, offset);
                    match self.expected.insert(slot, offset + 1) {
                        Some(expected) if expected < offset => {
                            self.look_at_gap(slot, expected, offset);
                        }
                        Some(expected) if expected > offset => {
                            self.begin_anew(now, slot, expected, offset);
                        }
                        _ => {}
                    }
                    self.ledger.handle(now, Input::Polled { slot, offset, record });
                }
                Some(Err(error)) => self.consumer_error(&error),
                None if self.consumer.context().take_served() => {}
                None => return,
            }
        }
    }

    /// A record from before the place that was read: the topic was deleted and made anew, or its
    /// log was cut. What comes from now on are other records.
    fn begin_anew(&mut self, now: Instant, slot: Slot, expected: i64, offset: i64) {
        let (topic, partition) = self.slots.name(slot);
        tracing::error!(
            group = %self.group, %topic, partition,
            "the partition ends before offset {expected}, which comes next: its topic was made \
             anew, or its log was cut; going on at offset {offset}"
        );
        self.ledger.handle(now, Input::BegunAnew { slot });
        self.trace("assigned", slot, offset);
    }

    /// Offsets are missing before a record: marks of transactions and compacted records, or
    /// records that the broker deleted before they were read.
    fn look_at_gap(&self, slot: Slot, expected: i64, offset: i64) {
        let (topic, partition) = self.slots.name(slot);
        let oldest = match self.consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT) {
            Ok((oldest, _)) => oldest.min(offset),
            Err(error) => {
                tracing::warn!(%topic, partition, expected, offset, "a gap in offsets: {error}");
                return;
            }
        };
        if oldest <= expected {
            return;
        }
        let deleted = oldest - expected;
        self.shared.stats.deleted_unread.add(usize::try_from(deleted).unwrap_or(usize::MAX));
        tracing::error!(
            group = %self.group, %topic, partition, deleted,
            "records from offset {expected} to {} were deleted on the broker before this group \
             read them; going on with the oldest, {oldest}", oldest - 1
        );
    }

    fn consumer_error(&self, error: &KafkaError) {
        let context = self.consumer.context();
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let words = match code {
            RDKafkaErrorCode::InconsistentGroupProtocol => format!(
                "{}: the group's other members use another partition_assignment_strategy; set the \
                 same (range,roundrobin for members of the Python library)",
                words(code)
            ),
            RDKafkaErrorCode::GroupAuthorizationFailed => {
                format!("{}: the user may not read as this group (ACL operation Read)", words(code))
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                format!("{}: the user may not read the topic (ACL operation Read)", words(code))
            }
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::BadCompression => {
                self.shared.stats.unreadable_batches.add(1);
                format!(
                    "{}: the batch is read again. If it is damaged on the broker, or unpacks to more \
                     than receive.message.max.bytes, its partition stands still until the group's \
                     offset there is moved past it",
                    words(code)
                )
            }
            code => words(code),
        };
        // What `context.error` has said in librdkafka's words just before is not said twice.
        if context.health.may_say(format!("consumer {code}")) {
            tracing::error!(group = %self.group, "{words}");
        }
        self.shared.obstacle(words);
    }

    fn take_group_events(&mut self, now: Instant) {
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
                    self.coverage.left();
                    let slots = self.forget(&partitions);
                    slots.iter().for_each(|slot| self.trace("revoked", *slot, -1));
                    self.ledger.handle(now, Input::Revoked { slots });
                }
                GroupEvent::Lost(partitions) => {
                    tracing::warn!(group = %self.group, ?partitions, "partitions lost");
                    self.coverage.left();
                    let slots = self.forget(&partitions);
                    slots.iter().for_each(|slot| self.trace("lost", *slot, -1));
                    self.ledger.handle(now, Input::Lost { slots: slots.clone() });
                    self.unassign(&slots);
                }
            }
        }
    }

    /// Asks who reads what, when it is time for that: the topics first, then the group.
    fn look_at_group(&mut self, now: Instant) {
        if self.coverage.is_due(now) && !self.stopping() {
            let topics: Vec<CString> =
                self.topics.iter().filter_map(|topic| CString::new(topic.as_str()).ok()).collect();
            self.replies.look_at_topics(self.consumer.client(), &topics, ASK_TIMEOUT);
        }
    }

    fn take_counts(
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

    fn take_group_view(&mut self, now: Instant, view: Result<GroupView, RDKafkaErrorCode>) {
        let missing = match view {
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

    fn coverage_unknown(&mut self, now: Instant, code: RDKafkaErrorCode) {
        tracing::debug!(group = %self.group, "the group cannot be looked at: {code}");
        let seen = match code {
            RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedFeature
            | RDKafkaErrorCode::UnsupportedVersion => Seen::Refused,
            _ => Seen::Unclear,
        };
        self.coverage.saw(now, seen);
    }

    fn subscribe(&self) -> bool {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let subscribed = self.consumer.subscribe(&topics);
        if let Err(error) = &subscribed {
            tracing::error!(group = %self.group, "subscribe: {error}");
        }
        subscribed.is_ok()
    }

    fn forget(&mut self, partitions: &[TopicPartition]) -> Vec<Slot> {
        self.unresolved.retain(|unresolved| !partitions.contains(unresolved));
        partitions.iter().map(|(topic, number)| self.slots.number(topic, *number)).collect()
    }

    /// Finds where new partitions begin, then takes them on.
    fn resolve_starts(&mut self, now: Instant) {
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
        for ((topic, partition), start) in starts {
            let slot = self.slots.number(&topic, partition);
            self.ledger.handle(now, Input::Assigned { slot, pin: start.pin });
            self.trace("assigned", slot, start.offset.to_raw().unwrap_or(-1));
            match start.offset {
                Offset::Offset(offset) => self.expected.insert(slot, offset),
                _ => self.expected.remove(&slot),
            };
            if let Err(error) = list.add_partition_offset(&topic, partition, start.offset) {
                tracing::error!(topic, partition, "start offset: {error}");
            }
        }
        self.assign(&list);
    }

    fn assign(&self, list: &TopicPartitionList) {
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

    fn unassign(&self, slots: &[Slot]) {
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

    /// Does what the ledger says. `true`: it is quiet after a shutdown.
    fn act(&mut self, now: Instant) -> bool {
        let mut quiet = false;
        while let Some(output) = self.ledger.next_output() {
            match output {
                Output::Commit { id, offsets } => self.commit(now, id, &offsets),
                Output::Dispatch { slot, period, records } => self.dispatch(slot, period, records),
                Output::Withdraw { slot, period } => {
                    let leaves = |record: &Incoming| {
                        (record.token.slot, record.token.period) == (slot, period)
                    };
                    let count = self.shared.lanes.withdraw(leaves);
                    self.ledger.handle(now, Input::Withdrawn { slot, period, count });
                    self.ledger.settle(now);
                }
                Output::Pause { slot } => self.pause(slot),
                Output::Resume { slot } => {
                    if let Err(error) = self.consumer.resume(&self.list([(slot, None)])) {
                        tracing::error!(group = %self.group, "resume: {error}");
                    }
                }
                Output::Seek { slot, offset } => {
                    self.expected.insert(slot, offset);
                    let (topic, partition) = self.slots.name(slot);
                    let to = Offset::Offset(offset);
                    if let Err(error) = self.consumer.seek(topic, partition, to, Duration::ZERO) {
                        tracing::error!(group = %self.group, %topic, partition, "seek: {error}");
                    }
                }
                Output::Drop { slot, count } => {
                    self.shared.stats.returned.add(count);
                    let (topic, partition) = self.slots.name(slot);
                    tracing::debug!(%topic, partition, count, "left to the next owner");
                }
                Output::UnknownCommit { slot, count } => {
                    self.shared.stats.unknown_commit.add(count);
                    let (topic, partition) = self.slots.name(slot);
                    tracing::error!(
                        group = %self.group, %topic, partition, count,
                        "records may be lost: their commit was never answered"
                    );
                }
                Output::AskCommitted { slots } => self.ask_committed(slots),
                Output::Release { slots } => {
                    slots.iter().for_each(|slot| self.trace("released", *slot, -1));
                    self.unassign(&slots);
                }
                Output::Quiet => quiet = true,
            }
        }
        let unfinished = self.ledger.unfinished();
        self.shared.unfinished.store(unfinished as u64, Ordering::Relaxed);
        self.shared.watched.store(self.ledger.is_watching(), Ordering::Relaxed);
        quiet
    }

    fn commit(&mut self, now: Instant, id: CommitId, offsets: &[(Slot, i64)]) {
        let list = self.list(offsets.iter().map(|(slot, offset)| (*slot, Some(*offset))));
        for (slot, offset) in offsets {
            let ((topic, partition), period) = (self.slots.name(*slot), self.ledger.period(*slot));
            tracing::trace!(
                target: RECORDS, commit = id, %topic, partition, offset, period, "commit"
            );
        }
        if let Err(code) = self.replies.commit(self.consumer.client(), &list, id) {
            tracing::error!(group = %self.group, "commit: {code}");
            for (slot, _) in offsets {
                let result = Err(CommitFailure::Refused);
                self.ledger.handle(now, Input::CommitResult { id, slot: *slot, result });
            }
        }
    }

    fn dispatch(&self, slot: Slot, period: Period, records: Vec<(i64, Incoming)>) {
        self.shared.lanes.push(records.into_iter().map(|(offset, mut record)| {
            let lane = self.shared.lane(slot, offset, record.key.as_deref());
            record.token = Token { lane, slot, period, offset };
            record
        }));
    }

    fn pause(&self, slot: Slot) {
        let (topic, partition) = self.slots.name(slot);
        tracing::debug!(%topic, partition, "paused: the endpoints are behind");
        if let Err(error) = self.consumer.pause(&self.list([(slot, None)])) {
            tracing::error!(group = %self.group, "pause: {error}");
        }
    }

    fn list(&self, slots: impl IntoIterator<Item = (Slot, Option<i64>)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (slot, offset) in slots {
            let (topic, partition) = self.slots.name(slot);
            let mut entry = list.add_partition(topic, partition);
            if let Some(offset) = offset {
                if let Err(error) = entry.set_offset(Offset::Offset(offset)) {
                    tracing::error!(%topic, partition, offset, "offset: {error}");
                }
                let (pin, member) = (self.starts.pin(topic), Some(self.member.clone()));
                entry.set_metadata(Metadata { pin, member }.write());
            }
        }
        list
    }

    /// Serves librdkafka's log and errors while there is no assignment to poll for.
    fn serve_client(&self) {
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(error)) => self.consumer_error(&error),
                None if self.consumer.context().take_served() => {}
                _ => return,
            }
        }
    }

    /// Keeps the cause of a failed question: what the connections say, or the question's own.
    fn note_obstacle(&self, error: &KafkaError) {
        let last = self.consumer.context().health.last_error();
        self.shared.obstacle(last.map_or_else(|| error.to_string(), |last| last.reason));
    }

    /// A listener without partitions must not look like one without work.
    fn complain_if_due(&mut self) {
        let now = Instant::now();
        if self.shared.is_assigned() || self.stopping() {
            self.complain_at = now + FIRST_COMPLAINT;
        } else if now >= self.complain_at {
            self.complain_at = now + NEXT_COMPLAINT;
            let last = self.consumer.context().health.last_error().map(|last| last.reason);
            let cause = last.or_else(|| self.shared.current_obstacle());
            let cause = cause.unwrap_or_else(|| "the group assigns nothing".to_owned());
            tracing::error!(
                group = %self.group, topics = ?self.topics,
                "the listener still has no partitions: {cause}"
            );
        }
    }

    /// Tells whoever follows the records; nobody else pays for it.
    fn trace(&self, what: &str, slot: Slot, offset: i64) {
        if tracing::enabled!(target: RECORDS, tracing::Level::TRACE) {
            let ((topic, partition), period) = (self.slots.name(slot), self.ledger.period(slot));
            tracing::trace!(target: RECORDS, %topic, partition, offset, period, "{what}");
        }
    }

    fn stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }

    /// Leaves the group, if it was ever joined.
    fn leave(self, joined: bool) {
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
                Leaving { consumer, shared, group, partition, leaves_by_word }.leave();
            }
            _ => {
                drop(consumer);
                shared.ended();
            }
        }
    }
}
