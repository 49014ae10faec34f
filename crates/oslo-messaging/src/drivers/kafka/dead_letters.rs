//! The topic for records that cannot be decoded or handled, and when there are too many of them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{
    config::KafkaOptions,
    ledger::{Period, Slot},
    producer::KafkaProducer,
};
use crate::{
    Cause, Error,
    driver::{DeadLetter, Outgoing, Retry, Token},
    message::Priority,
    receipt::{Receipt, Subject},
    stats::Stats,
    target::Target,
};

/// The share of dead letters is that of so many records at the last, and of so many at least.
const RATIO_OF: usize = 1_000;
const RATIO_FROM: usize = 100;

/// Names of the headers that a dead letter has beside the record's own.
const TOPIC: &str = "dead_letter.topic";
const PARTITION: &str = "dead_letter.partition";
const OFFSET: &str = "dead_letter.offset";
const ERROR: &str = "dead_letter.error";
const ATTEMPTS: &str = "dead_letter.attempts";
/// Only where the record itself is not in the letter: the size of its value.
const OMITTED: &str = "dead_letter.omitted_bytes";
/// Characters; an endpoint's error may have any length.
const LONGEST_REASON: usize = 4_000;

/// See the module's head.
#[derive(Debug)]
pub(super) struct DeadLetters {
    target: Arc<Target>,
    producer: KafkaProducer,
    options: Arc<KafkaOptions>,
    /// Sending here is not the notifier's.
    stats: Arc<Stats>,
    limits: Limits,
    tallies: Mutex<HashMap<(Slot, Period), Tally>>,
}

/// How many dead letters a partition may have; 0 is any number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) ratio: f64,
    pub(super) run: usize,
}

impl DeadLetters {
    /// `None`: the options name no topic.
    pub(super) fn new(options: &KafkaOptions) -> Option<Self> {
        let (topic, limits) = options.dead_letters.as_ref()?;
        // A dead letter is stored before its record is passed, whatever a notifier promises.
        let options = Arc::new(options.confirmed());
        let stats = Arc::new(Stats::default());
        Some(Self {
            target: Arc::new(Target::new(topic)),
            producer: KafkaProducer::new(Arc::clone(&options), Arc::clone(&stats)),
            options,
            stats,
            limits: *limits,
            tallies: Mutex::default(),
        })
    }

    /// Stores a dead letter; returns when the broker has it.
    ///
    /// The topic may not take what another one took: its headers come on top, and its limits are
    /// its own. Such a record would come again for ever, so that only where it is is stored.
    pub(super) fn keep(&self, letter: DeadLetter<'_>) -> Result<(), Error> {
        let record = letter.record;
        let origin = &record.origin;
        let mut headers = record.headers.clone();
        headers.retain(|(name, _)| !name.starts_with("dead_letter."));
        let body = record.body.clone().unwrap_or_default();
        match self.store(&letter, record.key.clone(), headers, body) {
            Err(error) if is_too_large(&error) => {
                tracing::warn!(record = %origin, "a dead letter without the record: {error}");
                let size = record.body.as_ref().map_or(0, Bytes::len).to_string();
                let headers = vec![(OMITTED.to_owned(), Bytes::from(size))];
                self.store(&letter, None, headers, Bytes::new())
            }
            result => result,
        }
    }

    fn store(
        &self,
        letter: &DeadLetter<'_>,
        key: Option<Bytes>,
        mut headers: Vec<(String, Bytes)>,
        body: Bytes,
    ) -> Result<(), Error> {
        let origin = &letter.record.origin;
        let reason = match letter.reason.char_indices().nth(LONGEST_REASON) {
            Some((end, _)) => &letter.reason[..end],
            None => letter.reason,
        };
        headers.extend(
            [
                (TOPIC, origin.topic.to_string()),
                (PARTITION, origin.partition.to_string()),
                (OFFSET, origin.offset.to_string()),
                (ERROR, reason.to_owned()),
                (ATTEMPTS, letter.attempts.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), Bytes::from(value))),
        );
        let outgoing = Outgoing {
            target: Arc::clone(&self.target),
            priority: Priority::Info,
            key,
            headers,
            body,
            retry: Retry::UntilTimeout,
        };
        let subject = Subject {
            message_id: origin.to_string(),
            event_type: "dead letter".to_owned(),
            priority: Priority::Info,
        };
        let receipt = Receipt::new(subject, Arc::clone(&self.stats));
        let topic = self.target.topic();
        let report = receipt.expect(outgoing.body.len()).to_topic(topic);
        self.producer.send(topic, &outgoing, report);
        receipt.wait(self.options.delivery_timeout)
    }

    /// Takes note of a handled record. `Some`: its partition must stop, for this reason.
    pub(super) fn note(&self, token: Token, dead: bool) -> Option<String> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry((token.slot, token.period)).or_default();
        tally.note(token.offset, dead);
        tally.excess(self.limits)
    }

    /// Forgets periods that ended.
    pub(super) fn retain(&self, current: impl Fn(Period) -> bool) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.retain(|(_, period), _| current(*period));
    }
}

fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::Undelivered(all) if all.iter().any(|one| one.cause == Cause::TooLarge))
}

/// What became of one partition's records.
#[derive(Debug, Default)]
struct Tally {
    /// Whether each of the last ones was a dead letter.
    last: VecDeque<bool>,
    dead: usize,
    run: usize,
    /// Dead letters that the worker will still report as handled.
    told: HashSet<i64>,
}

impl Tally {
    fn note(&mut self, offset: i64, dead: bool) {
        if dead {
            self.told.insert(offset);
        } else if self.told.remove(&offset) {
            return;
        }
        self.run = if dead { self.run + 1 } else { 0 };
        self.dead += usize::from(dead);
        self.last.push_back(dead);
        if self.last.len() > RATIO_OF && self.last.pop_front() == Some(true) {
            self.dead -= 1;
        }
    }

    fn excess(&self, limits: Limits) -> Option<String> {
        if limits.run > 0 && self.run >= limits.run {
            return Some(format!("{} dead letters in a row", self.run));
        }
        let of = self.last.len();
        let too_many =
            limits.ratio > 0.0 && of >= RATIO_FROM && self.dead as f64 >= limits.ratio * of as f64;
        too_many.then(|| format!("{} dead letters in {of} records", self.dead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess(limits: Limits, dead: impl IntoIterator<Item = bool>) -> Option<String> {
        let mut tally = Tally::default();
        for (offset, dead) in dead.into_iter().enumerate() {
            let offset = i64::try_from(offset).unwrap();
            tally.note(offset, dead);
            if dead {
                // The worker says that it is done with this one, too.
                tally.note(offset, false);
            }
        }
        tally.excess(limits)
    }

    #[test]
    fn a_run_of_dead_letters_is_too_many() {
        let limits = Limits { ratio: 0.0, run: 3 };
        assert_eq!(excess(limits, [true, true]), None);
        assert_eq!(excess(limits, [true, true, false, true]), None);
        assert!(excess(limits, [false, true, true, true]).is_some());
        assert_eq!(excess(Limits { run: 0, ..limits }, [true; 500]), None);
    }

    #[test]
    fn a_share_of_dead_letters_counts_from_a_hundred_records_on() {
        let limits = Limits { ratio: 0.1, run: 0 };
        let tenth = |n: usize| (0..n).map(|i| i % 10 == 0);
        assert_eq!(excess(limits, tenth(91)), None);
        assert!(excess(limits, tenth(101)).is_some());
        assert_eq!(excess(limits, (0..2_000).map(|i| i < 99 && i % 2 == 0)), None, "long ago");
    }
}
