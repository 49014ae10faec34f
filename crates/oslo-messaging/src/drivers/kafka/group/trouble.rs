//! What stands in the group thread's way, in words for the log and for whoever waits.

use std::time::{Duration, Instant};

use rdkafka::{
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    super::{
        error::{right_to_listen, words},
        ledger::{CommitFailure, Input, Slot},
    },
    ASK_TIMEOUT, GroupThread,
    place::Place,
};

/// A listener that gets no partitions says so after this time, and then each minute.
pub(super) const FIRST_COMPLAINT: Duration = Duration::from_secs(10);
const NEXT_COMPLAINT: Duration = Duration::from_secs(60);

impl GroupThread {
    pub(super) fn consumer_error(&self, error: &KafkaError) {
        let context = self.consumer.context();
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let words = match code {
            RDKafkaErrorCode::InconsistentGroupProtocol => format!(
                "{}: the group's other members use another partition_assignment_strategy; set the \
                 same (range,roundrobin for members of the Python library)",
                words(code)
            ),
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::BadCompression => {
                self.shared.stats.unreadable_batches.add(1);
                format!(
                    "{}: the batch is read again. If it is damaged on the broker, or unpacks to more \
                     than receive.message.max.bytes, its partition stands still until the group's \
                     offset there is moved past it",
                    words(code)
                )
            }
            code => match (context.health.last_error(), right_to_listen(code, "")) {
                // Said just before, with more words.
                (Some(last), Some(_)) if last.code == code => last.reason,
                (_, Some(right)) => format!("{}: {right}", words(code)),
                (_, None) => words(code),
            },
        };
        // What `context.error` has said in librdkafka's words just before is not said twice.
        if context.health.may_say(format!("consumer {code}")) {
            tracing::error!(group = %self.group, topics = ?self.topics, "{words}");
        }
        self.shared.obstacle(words);
    }

    pub(super) fn commit_failure(
        &self,
        code: RDKafkaErrorCode,
        topic: &str,
        partition: i32,
    ) -> CommitFailure {
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

    /// Offsets are missing before a record: marks of transactions and compacted records, or
    /// records that the broker deleted before they were read.
    pub(super) fn look_at_gap(&self, slot: Slot, expected: i64, offset: i64) {
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

    /// A record from before the place that was read. Where the partition ends before that place, its
    /// topic was deleted and made anew, or its log was cut: what comes from now on are other records.
    pub(super) fn look_at_return(&mut self, now: Instant, slot: Slot, expected: i64, offset: i64) {
        let (topic, partition) = self.slots.name(slot);
        match self.consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT) {
            Ok((_, end)) if end < expected => {}
            // It came before, or stands in a batch whose offsets are out of order.
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%topic, partition, expected, offset, "a record comes again: {error}");
                self.places.entry(slot).or_default().ask_again();
                return;
            }
        }
        tracing::error!(
            group = %self.group, %topic, partition,
            "the partition ends before offset {expected}, which comes next: its topic was made \
             anew, or its log was cut; going on at offset {offset}"
        );
        self.places.insert(slot, Place::at(offset + 1));
        self.ledger.handle(now, Input::BegunAnew { slot });
        self.trace("assigned", slot, offset);
    }

    /// Keeps the cause of a failed question: what the connections say, or the question's own.
    pub(super) fn note_obstacle(&self, error: &KafkaError) {
        let last = self.consumer.context().health.last_error();
        self.shared.obstacle(last.map_or_else(|| error.to_string(), |last| last.reason));
    }

    /// A listener without partitions must not look like one without work.
    pub(super) fn complain_if_due(&mut self) {
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

    /// Takes on the user and the password that have come meanwhile.
    pub(super) fn log_in(&self) {
        self.consumer.context().health.log_in(self.consumer.client());
    }

    /// Serves librdkafka's log and errors while there is no assignment to poll for.
    pub(super) fn serve_client(&self) {
        self.log_in();
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(error)) => self.consumer_error(&error),
                None if self.consumer.context().take_served() => {}
                _ => return,
            }
        }
    }
}
