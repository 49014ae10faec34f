//! What becomes of records that cannot be decoded or handled: logged, counted, and put on the
//! dead-letter topic where there is one.

use std::{sync::Arc, time::Duration};

use crate::{
    driver::{DeadLetter, Incoming, Origin, RECORDS, Subscription},
    message::Notification,
    stats::Stats,
};

/// A dead letter that was not stored is tried again after this time.
const DEAD_LETTER_PAUSE: Duration = Duration::from_secs(1);

/// See the module's head.
#[derive(Clone)]
pub(super) struct Keeper {
    subscription: Arc<dyn Subscription>,
    stats: Arc<Stats>,
}

impl Keeper {
    pub(super) fn new(subscription: Arc<dyn Subscription>, stats: Arc<Stats>) -> Self {
        Self { subscription, stats }
    }

    /// A record that says nothing.
    pub(super) fn undecodable(&self, record: &Incoming, reason: &str) {
        self.stats.undecodable.add(1);
        tracing::error!(
            topic = %record.origin.topic,
            partition = record.origin.partition,
            offset = record.origin.offset,
            "skipped a record {reason}"
        );
    }

    /// Every attempt failed. `false`: the record is left to the next owner of its partition.
    pub(super) fn give_up(
        &self,
        record: &Incoming,
        notification: &Notification,
        reason: &str,
        attempts: u32,
    ) -> bool {
        self.stats.given_up.add(1);
        tracing::error!(
            message_id = %notification.message_id,
            event_type = %notification.event_type,
            record = %record.origin,
            attempts,
            "given up after its last redelivery: {reason}"
        );
        self.keep_surely(record, reason, attempts)
    }

    /// Puts a record on the dead-letter topic, if there is one. A failure is logged and counted.
    pub(super) fn keep(&self, record: &Incoming, reason: &str, attempts: u32) -> bool {
        let letter = DeadLetter { record, reason, attempts };
        match self.subscription.dead_letter(letter) {
            Ok(true) => self.stats.dead_letters.add(1),
            Ok(false) => {}
            Err(error) => {
                self.stats.dead_letter_failures.add(1);
                tracing::error!(record = %record.origin, "dead letter was not stored: {error}");
                return false;
            }
        }
        true
    }

    /// As [`keep`](Self::keep), until it is stored or the record is no longer ours: then `false`.
    pub(super) fn keep_surely(&self, record: &Incoming, reason: &str, attempts: u32) -> bool {
        while !self.keep(record, reason, attempts) {
            if !self.subscription.holds(record.token, DEAD_LETTER_PAUSE) {
                return false;
            }
        }
        true
    }
}

/// On the thread that calls the endpoints next.
pub(super) fn trace_dispatch(record: &Incoming) {
    let Origin { topic, partition, offset, .. } = &record.origin;
    let period = record.token.period;
    tracing::trace!(target: RECORDS, %topic, partition, offset, period, "dispatched");
}
