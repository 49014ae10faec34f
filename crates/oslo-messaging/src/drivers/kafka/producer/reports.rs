//! What became of a record: what each delivery report means, and the words about failures.

use std::{
    sync::{Arc, PoisonError},
    time::Instant,
};

use rdkafka::{
    Message,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::BorrowedMessage,
};

use super::{Fate, Inner, MOST_NAMED};
use crate::{
    drivers::kafka::{
        breaker::Lack,
        brokers,
        config::Delivery,
        drain,
        error::{HIDDEN_TOPIC, failure, is_authentication},
        hand_over::{Held, InFlight},
        native, supervisor,
    },
    error::{Cause, Outcome},
    receipt::{Failure, Report},
};

impl Inner {
    /// The broker has the record.
    pub(in crate::drivers::kafka) fn delivered(&self, mut in_flight: InFlight) {
        if let Some(spooled) = in_flight.spooled.take() {
            return drain::delivered(self, in_flight, &spooled);
        }
        if self.options.delivery == Delivery::Confirmed {
            self.breaker.confirmed(in_flight.begun);
        }
        if let Some(report) = in_flight.into_report() {
            report.delivered();
        }
    }

    /// The broker has confirmed a later record of the partition, and none of its answers was for this
    /// one (`contacts.rs`).
    pub(in crate::drivers::kafka) fn passed_over(
        this: &Arc<Self>,
        message: &BorrowedMessage<'_>,
        fate: Fate,
        mut in_flight: Box<InFlight>,
    ) {
        // An earlier try may have been stored whose answer was lost.
        let may_be_there = this.health.had_trouble_since(in_flight.begun);
        let open = !matches!(fate, Fate::NoConnection | Fate::Closing | Fate::Refused);
        let may_go_on = open && !may_be_there && !in_flight.is_expired(Instant::now());
        if may_go_on && in_flight.use_hand_over() {
            this.stats.handed_over_again.add(1);
            return this.waiting.hold_again(Held::reported(message, in_flight));
        }
        let words = "the broker has confirmed a later record of the partition, and not this one";
        let mut failure = refused(Cause::Other, words);
        if may_be_there {
            failure.outcome = Outcome::Unknown;
        }
        this.breaker.undecided(in_flight.begun);
        this.fail_in_flight(*in_flight, failure);
    }

    /// What a delivery report means, by its class, for the record that it is about.
    pub(in crate::drivers::kafka) fn settle(
        this: &Arc<Self>,
        code: Code,
        message: &BorrowedMessage<'_>,
        fate: Fate,
        mut in_flight: Box<InFlight>,
    ) {
        let may_be_persisted = native::may_be_persisted(message);
        let now = Instant::now();
        let open = !matches!(fate, Fate::NoConnection | Fate::Closing | Fate::Refused);
        if open && !in_flight.is_expired(now) {
            match code {
                Code::UnknownTopic | Code::UnknownTopicOrPartition
                    if this.options.create_topics && !in_flight.topic_was_created =>
                {
                    in_flight.topic_was_created = true;
                    let held = Held::reported(message, in_flight);
                    return supervisor::create_topic(this, held);
                }
                // Not stored, and not for what it is: the next hand-over may succeed. A purge
                // that is not ours comes from a fatal error.
                Code::InvalidProducerEpoch
                | Code::PurgeQueue
                | Code::PurgeInflight
                | Code::OutOfOrderSequenceNumber
                | Code::UnknownProducerId
                | Code::Fatal
                    if !may_be_persisted && in_flight.use_hand_over() =>
                {
                    this.stats.handed_over_again.add(1);
                    return this.waiting.hold_again(Held::reported(message, in_flight));
                }
                _ => {}
            }
        }
        let failure = match fate {
            Fate::NoConnection => this.no_connection(may_be_persisted),
            Fate::Refused if !may_be_persisted => {
                failure(Code::ClusterAuthorizationFailed, false, None)
            }
            _ => {
                let last = this.health.last_error();
                let mut failure = failure(code, may_be_persisted, last.as_ref());
                if code == Code::TopicAuthorizationFailed && message.partition() < 0 {
                    // It was never sent: the broker does not show the topic.
                    HIDDEN_TOPIC.clone_into(&mut failure.detail);
                }
                if code == Code::MessageSizeTooLarge {
                    failure.detail = format!("{} bytes, {}", message.payload_len(), failure.detail);
                }
                failure
            }
        };
        if code == Code::MessageTimedOut && this.options.delivery == Delivery::Confirmed {
            let elsewhere = {
                let statistics = this.statistics.lock().unwrap_or_else(PoisonError::into_inner);
                let (topic, partition) = (message.topic(), message.partition());
                brokers::is_partition_dead(&statistics.0, topic, partition)
            };
            message
                .topic()
                .clone_into(&mut this.suspect.lock().unwrap_or_else(PoisonError::into_inner));
            let words = || failure.detail.clone();
            this.breaker.timed_out(now, in_flight.begun, elsewhere, words);
        } else {
            this.breaker.undecided(in_flight.begun);
        }
        this.fail_in_flight(*in_flight, failure);
    }

    /// Reports a record as failed, unless its deadline came first.
    pub(in crate::drivers::kafka) fn fail_in_flight(
        &self,
        mut in_flight: InFlight,
        failure: Failure,
    ) {
        if in_flight.spooled.is_some() && self.has_given_up() {
            return drain::leave(in_flight);
        }
        if let Some(spooled) = in_flight.spooled.take() {
            return drain::failed(self, in_flight, &spooled, failure);
        }
        if let Some(report) = in_flight.into_report() {
            self.fail(report, failure);
        }
    }

    pub(in crate::drivers::kafka) fn fail(&self, report: Report, failure: Failure) {
        if self.is_closed() {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            match failure.outcome {
                Outcome::NotDelivered => lost.not_delivered += 1,
                Outcome::Unknown => lost.unknown += 1,
            }
            if lost.message_ids.len() < MOST_NAMED {
                lost.message_ids.push(report.message_id().to_owned());
            }
        }
        report.failed(failure);
    }

    /// Notes librdkafka's statistics.
    pub(in crate::drivers::kafka) fn note_statistics(&self, statistics: &[u8]) {
        let connections = brokers::connections(statistics);
        if connections.any_up && connections.none_lost {
            self.health.recovered();
        }
        let mut noted = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        noted.0.clear();
        noted.0.extend_from_slice(statistics);
        noted.1 = connections;
    }

    pub(in crate::drivers::kafka) fn any_connection(&self) -> bool {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner).1.any_up
    }

    /// Whether some connection is lost or being tried.
    pub(in crate::drivers::kafka) fn is_connection_lost(&self) -> bool {
        let noted = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        !noted.0.is_empty() && !noted.1.none_lost
    }

    /// Forgets the statistics: another librdkafka producer has other connections.
    pub(in crate::drivers::kafka) fn forget_statistics(&self) {
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }

    /// What is held when no connection has been up for `connect_timeout`.
    pub(in crate::drivers::kafka) fn no_connection(&self, may_be_persisted: bool) -> Failure {
        let words = Lack::Connection.words(self.options.connect_timeout);
        let mut failure = self.unreachable(words);
        if may_be_persisted {
            failure.outcome = Outcome::Unknown;
        }
        failure
    }

    pub(super) fn refused_by_breaker(&self, lack: Lack, words: &str) -> Failure {
        let what = lack.words(self.options.connect_timeout);
        match lack {
            Lack::Connection => self.unreachable(format!("not tried: {what}")),
            Lack::Answers => refused(Cause::TimedOut, &format!("not tried: {what}; {words}")),
        }
    }

    /// The words of the connections' last error, and the cause that they speak of.
    fn unreachable(&self, what: String) -> Failure {
        match self.health.last_error() {
            Some(last) => {
                let cause = match is_authentication(last.code) {
                    true => Cause::Authentication,
                    false => Cause::Unreachable,
                };
                refused(cause, &format!("{what}; last word of the client: {}", last.reason))
            }
            None => refused(Cause::Unreachable, &what),
        }
    }

    /// What a hand-over that librdkafka refused means.
    pub(in crate::drivers::kafka) fn send_failure(
        &self,
        error: &KafkaError,
        code: Option<Code>,
        size: usize,
    ) -> Failure {
        if let KafkaError::Nul(_) = error {
            return refused(Cause::InvalidTopic, "the topic contains a NUL");
        }
        let code = code.unwrap_or(Code::Unknown);
        let mut failure = failure(code, false, self.health.last_error().as_ref());
        if code == Code::TopicAuthorizationFailed {
            // The client knows it from its last question for the topic.
            HIDDEN_TOPIC.clone_into(&mut failure.detail);
        }
        if code == Code::MessageSizeTooLarge {
            failure.detail = format!("{size} bytes, {}", failure.detail);
        }
        failure
    }
}

pub(in crate::drivers::kafka) fn refused(cause: Cause, detail: &str) -> Failure {
    Failure { outcome: Outcome::NotDelivered, cause, detail: detail.to_owned() }
}

pub(in crate::drivers::kafka) fn unknown(detail: &str) -> Failure {
    Failure { outcome: Outcome::Unknown, cause: Cause::TimedOut, detail: detail.to_owned() }
}
