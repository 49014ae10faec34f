//! The group thread: the one thread that talks to a librdkafka consumer.
//!
//! It turns what happens (records, commit answers, group events, workers' progress) into the
//! ledger's inputs and does what the ledger says. It decides nothing about commit and dispatch
//! itself, and it blocks only where it waits for something to happen; librdkafka's queues and the
//! workers wake it.

mod looks;
mod membership;
mod place;
mod trouble;

use std::{
    collections::{BTreeSet, HashMap},
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
    consumer::{BaseConsumer, Consumer},
};

use super::{
    config::KafkaOptions,
    consumer::{Progress, Shared},
    context::GroupContext,
    coverage::Coverage,
    error::client_error,
    group_view::Looked,
    ledger::{CommitFailure, CommitId, Input, Ledger, Limits, Output, Period, Slot},
    metadata::{self, Metadata},
    native::{CommitReply, Reply, ReplyQueue},
    record::{Bodies, incoming},
    slots::Slots,
    start::{Starts, TopicPartition},
};
use crate::{
    Error,
    driver::{Incoming, RECORDS, Token},
};
use place::{Place, Step};
use trouble::FIRST_COMPLAINT;

/// Longest sleep: what librdkafka tells without waking anybody is seen this late at most.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// One question to the brokers, asked between two looks at everything else.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// librdkafka's `retry.backoff.ms`, which varies by a fifth: an earlier answer is that of the first try.
const FIRST_RETRY: Duration = Duration::from_millis(80);

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
    /// Assigned partitions that have no start, since they have no leader.
    leaderless: Vec<TopicPartition>,
    /// Such ones that the group takes away.
    revoked: Vec<Slot>,
    ask_leaders_after: Instant,
    /// By what its commits are known, beside the offsets on the broker.
    member: String,
    /// Whose committed offsets were asked for.
    asked: Vec<Slot>,
    /// Commits that have no answer yet: when they were sent, and of what.
    sent: HashMap<CommitId, (Instant, Vec<Slot>)>,
    /// How far each partition was read.
    places: HashMap<Slot, Place>,
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
        let (consumer, replies) = Self::client(options, group, shared)?;
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
            starts: Starts::new(),
            unresolved: Vec::new(),
            leaderless: Vec::new(),
            revoked: Vec::new(),
            ask_leaders_after: now,
            member: metadata::new_member(),
            asked: Vec::new(),
            sent: HashMap::new(),
            places: HashMap::new(),
            ask_after: now,
            coverage: Coverage::default(),
            looks: mpsc::channel(),
            counts: HashMap::new(),
            complain_at: now + FIRST_COMPLAINT,
            progress: Vec::new(),
        })
    }

    fn client(
        options: &KafkaOptions,
        group: &str,
        shared: &Arc<Shared>,
    ) -> Result<(BaseConsumer<GroupContext>, ReplyQueue), Error> {
        let config = options.consumer(group);
        let mut consumer =
            BaseConsumer::from_config_and_context(&config, GroupContext::of(options, &config))
                .map_err(|error| client_error("create the consumer", error, &config))?;
        let waker = Arc::clone(shared);
        consumer.set_nonempty_callback(move || waker.wake.call());
        let waker = Arc::clone(shared);
        let replies = ReplyQueue::new(consumer.client(), Box::new(move || waker.wake.call()));
        Ok((consumer, replies))
    }

    pub(super) fn run(mut self) {
        let joined = self.look_before_joining() && self.subscribe();
        self.coverage.left(Instant::now());
        if joined {
            self.serve();
        }
        self.shared.drained();
        self.leave(joined);
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
            self.log_in();
            self.poll(now);
            self.take_group_events(now);
            self.resolve_starts(now);
            self.start_leaderless(now);
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
        if !self.leaderless.is_empty() {
            until = until.min(self.ask_leaders_after);
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
        // librdkafka sends a commit again whose answer was lost: a refusal of that says nothing of the
        // first try.
        let sent = self.sent.remove(&id);
        let retried = sent.is_none_or(|(at, _)| now.duration_since(at) >= FIRST_RETRY);
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
                    Err(match self.commit_failure(code, &reply.topic, reply.partition) {
                        CommitFailure::Refused if retried => CommitFailure::Unanswered,
                        failure => failure,
                    })
                }
            };
            self.ledger.handle(now, Input::CommitResult { id, slot, result });
        }
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
                    match self.places.entry(slot).or_default().take(now, offset) {
                        Step::Known => {}
                        Step::Gap(expected) => self.look_at_gap(slot, expected, offset),
                        Step::Return(expected) => {
                            self.look_at_return(now, slot, expected, offset);
                        }
                    }
                    self.ledger.handle(now, Input::Polled { slot, offset, record });
                }
                Some(Err(error)) => self.consumer_error(&error),
                None if self.consumer.context().take_served() => {}
                None => return,
            }
        }
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
                    self.places.insert(slot, Place::at(offset));
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
                Output::Release { mut slots } => {
                    slots.append(&mut self.revoked);
                    slots.iter().for_each(|slot| self.trace("released", *slot, -1));
                    self.unassign(&slots);
                }
                Output::Quiet => quiet = true,
            }
        }
        let unfinished = self.ledger.unfinished();
        self.shared.unfinished.store(unfinished as u64, Ordering::Relaxed);
        self.shared.undecided.store(self.ledger.undecided() as u64, Ordering::Relaxed);
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
        self.sent.insert(id, (now, offsets.iter().map(|(slot, _)| *slot).collect()));
        if let Err(code) = self.replies.commit(self.consumer.client(), &list, id) {
            self.sent.remove(&id);
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
}
