//! The way of a call's record: to the spool, to librdkafka, or behind those that wait.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::Producer,
};

use super::{Fate, Generation, Inner, refused};
use crate::{
    driver::Outgoing,
    drivers::kafka::{
        config::{Delivery, Overflow},
        drain,
        error::failure,
        hand_over::{Held, InFlight, Record, owned_headers},
        supervisor,
    },
    error::Cause,
    notify::masked_line,
    receipt::{Failure, Report},
    spool::{Spool, SpoolError},
};

/// How often it is looked whether a full queue has room.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(2);

impl Inner {
    /// Writes the record to disk, which accepts it.
    pub(super) fn append(
        &self,
        spool: &Spool,
        topic: &str,
        outgoing: &Outgoing,
        mut report: Report,
    ) {
        let key_bytes = outgoing.key.as_ref().map_or(0, bytes::Bytes::len);
        let size = outgoing.body.len() + key_bytes;
        if size > self.options.max_record_bytes {
            let error = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
            let code = error.rdkafka_error_code();
            return report.failed(self.send_failure(&error, code, size));
        }
        match spool.append(&drain::entry(topic, outgoing, &report)) {
            Ok(()) => {
                if let Some(acceptance) = report.detach() {
                    acceptance.accepted();
                }
                report.forget();
            }
            Err(error @ SpoolError::Full { .. }) => {
                self.stats.overflowed.add(1);
                report.failed(refused(Cause::QueueFull, &error.to_string()));
            }
            Err(error @ SpoolError::Io { .. }) => {
                report.failed(refused(Cause::Other, &error.to_string()));
            }
        }
    }

    /// Hands a call's record over, or queues it up behind those that wait.
    pub(super) fn first_hand_over(
        self: &Arc<Self>,
        topic: &str,
        outgoing: &Outgoing,
        mut in_flight: Box<InFlight>,
    ) -> Result<(), (Box<InFlight>, Failure)> {
        loop {
            if self.waiting.is_holding() {
                let held = Held::outgoing(topic, outgoing, in_flight);
                match self.waiting.queue_up(held, self.options.queue_max_messages) {
                    Ok(()) => return Ok(()),
                    Err(held) => in_flight = held.in_flight,
                }
            }
            let Some(current) = self.current() else {
                return Err((in_flight, refused(Cause::Closed, "the transport is closed")));
            };
            self.late.watch(&mut in_flight, Instant::now(), self.options.record_timeout);
            let mut record = Record::with_opaque_to(topic, in_flight).payload(&outgoing.body[..]);
            record.key = outgoing.key.as_deref();
            record.headers = owned_headers(&outgoing.headers);
            let Err((error, back)) = current.client.send(record) else { return Ok(()) };
            in_flight = back.delivery_opaque;
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) => {
                    if let Err(failure) = self.wait_for_room(&current, outgoing, &mut in_flight) {
                        return Err((in_flight, failure));
                    }
                }
                Some(Code::Fatal) if !self.is_closed() => {
                    // Nothing was handed over yet: the next producer gets it.
                    current.fate.note_fatal();
                    self.waiting.hold_again(Held::outgoing(topic, outgoing, in_flight));
                    return Ok(());
                }
                Some(Code::UnknownTopic | Code::UnknownTopicOrPartition)
                    if self.options.create_topics && !in_flight.topic_was_created =>
                {
                    in_flight.topic_was_created = true;
                    supervisor::create_topic(self, Held::outgoing(topic, outgoing, in_flight));
                    return Ok(());
                }
                code => {
                    let size = outgoing.body.len();
                    return Err((in_flight, self.send_failure(&error, code, size)));
                }
            }
        }
    }

    /// Waits until the full queue has room, as far as the mode, `retry` and the deadline allow.
    fn wait_for_room(
        &self,
        current: &Generation,
        outgoing: &Outgoing,
        in_flight: &mut InFlight,
    ) -> Result<(), Failure> {
        let queued = self.options.delivery == Delivery::Queued;
        let overflow = if queued { self.options.queue_overflow } else { Overflow::Block };
        let full = || {
            self.stats.overflowed.add(1);
            failure(Code::QueueFull, false, None)
        };
        match overflow {
            Overflow::Drop => return Err(full()),
            Overflow::Log => {
                tracing::warn!(
                    target: "oslo.messaging.notification",
                    "{}", masked_line(&outgoing.body)
                );
                let mut failure = full();
                failure.detail.push_str("; the notification is in the log");
                return Err(failure);
            }
            // A queued record is not handed over before there is room: `retry` is for later.
            Overflow::Block if !queued && !in_flight.use_hand_over() => return Err(full()),
            Overflow::Block => {}
        }
        let limit = in_flight.begun + self.options.delivery_timeout;
        let before = current.client.in_flight_count();
        loop {
            thread::sleep(FULL_QUEUE_PAUSE);
            let now = Instant::now();
            if self.is_closed() {
                return Err(refused(Cause::Closed, "the transport was closed first"));
            }
            if now >= limit {
                return Err(full());
            }
            if !queued && let Err((lack, words)) = self.breaker.still_admits() {
                return Err(self.refused_by_breaker(lack, &words));
            }
            if current.client.in_flight_count() < before || current.fate.get() != Fate::Alive {
                if !queued {
                    self.stats.handed_over_again.add(1);
                }
                return Ok(());
            }
        }
    }
}
