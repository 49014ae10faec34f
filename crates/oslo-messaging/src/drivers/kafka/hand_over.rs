//! Records between this library and librdkafka: what travels with one, what is held back to be
//! handed over again, and what was handed over too late for librdkafka's own clock.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::BaseRecord,
};

use crate::{driver::Outgoing, receipt::Report, spool::Spooled};

/// What librdkafka is given.
pub(super) type Record<'a> = BaseRecord<'a, [u8], [u8], Box<InFlight>>;

/// How much longer than the send's own deadline librdkafka's clock may run unwatched: it looks at
/// its own once a second.
const SLACK: Duration = Duration::from_millis(500);

/// What travels with a record through librdkafka and comes back with its delivery report.
#[derive(Debug)]
pub(super) struct InFlight {
    report: Slot,
    /// The place in the order of the calls.
    pub(super) order: u64,
    /// When the call came.
    pub(super) begun: Instant,
    /// The end of the whole send; `None` for records that never expire.
    pub(super) deadline: Option<Instant>,
    pub(super) hand_overs_left: Option<u32>,
    pub(super) topic_was_created: bool,
    /// Where the record is on disk, in spooled mode.
    pub(super) spooled: Option<Spooled>,
}

/// Where a report waits for its end.
#[derive(Debug)]
enum Slot {
    Own(Report),
    /// Watched by [`Late`] too: whoever comes first takes it.
    Shared(Arc<Mutex<Option<Report>>>),
}

impl InFlight {
    pub(super) fn new(
        report: Report,
        order: u64,
        timeout: Option<Duration>,
        hand_overs_left: Option<u32>,
    ) -> Self {
        let begun = Instant::now();
        Self {
            report: Slot::Own(report),
            order,
            begun,
            deadline: timeout.and_then(|timeout| begun.checked_add(timeout)),
            hand_overs_left,
            topic_was_created: false,
            spooled: None,
        }
    }

    /// A record of the spool: it never expires.
    pub(super) fn of_spooled(report: Report, order: u64, spooled: Spooled) -> Self {
        Self { spooled: Some(spooled), ..Self::new(report, order, None, None) }
    }

    /// The report, unless its deadline came first.
    pub(super) fn into_report(self) -> Option<Report> {
        match self.report {
            Slot::Own(report) => Some(report),
            Slot::Shared(slot) => slot.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    /// Uses up one further hand-over; `false` when none is left.
    pub(super) fn use_hand_over(&mut self) -> bool {
        match &mut self.hand_overs_left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// Records whose send ends before librdkafka would give them up: it counts from the hand-over.
#[derive(Debug, Default)]
pub(super) struct Late {
    watched: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    begun: Instant,
    deadline: Instant,
    slot: Arc<Mutex<Option<Report>>>,
}

impl Late {
    /// Watches a record that is handed over now, if librdkafka's clock would run too long.
    pub(super) fn watch(&self, in_flight: &mut InFlight, now: Instant, timeout: Duration) {
        let Some(deadline) = in_flight.deadline else { return };
        if now + timeout <= deadline + SLACK {
            return;
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut in_flight.report {
            // Watched since an earlier hand-over.
            Slot::Shared(_) => {}
            Slot::Own(report) => {
                let slot = Arc::new(Mutex::new(Some(report.take())));
                let begun = in_flight.begun;
                watched.push(Watched { begun, deadline, slot: Arc::clone(&slot) });
                in_flight.report = Slot::Shared(slot);
            }
        }
    }

    /// The reports whose time has come, each with the time of its call.
    pub(super) fn expired(&self, now: Instant) -> Vec<(Instant, Report)> {
        let mut reports = Vec::new();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|watched| {
            let mut slot = watched.slot.lock().unwrap_or_else(PoisonError::into_inner);
            if now >= watched.deadline {
                reports.extend(slot.take().map(|report| (watched.begun, report)));
            }
            slot.is_some()
        });
        reports
    }
}

/// A record that librdkafka does not have at the moment.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) topic: String,
    key: Option<Bytes>,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
    pub(super) in_flight: Box<InFlight>,
}

impl Held {
    pub(super) fn new(
        topic: String,
        key: Option<Bytes>,
        headers: Vec<(String, Bytes)>,
        body: Bytes,
        in_flight: Box<InFlight>,
    ) -> Self {
        Self { topic, key, headers, body, in_flight }
    }

    pub(super) fn outgoing(topic: &str, outgoing: &Outgoing, in_flight: Box<InFlight>) -> Self {
        Self {
            topic: topic.to_owned(),
            key: outgoing.key.clone(),
            headers: outgoing.headers.clone(),
            body: outgoing.body.clone(),
            in_flight,
        }
    }

    /// Takes a record back from a delivery report.
    pub(super) fn reported(message: &BorrowedMessage<'_>, in_flight: Box<InFlight>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let owned = |header: Header<'_, &[u8]>| {
                let value = header.value.map_or_else(Bytes::new, Bytes::copy_from_slice);
                (header.key.to_owned(), value)
            };
            headers.iter().map(owned).collect()
        });
        Self {
            topic: message.topic().to_owned(),
            key: message.key().map(Bytes::copy_from_slice),
            headers,
            body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
            in_flight,
        }
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// As librdkafka takes it. The opaque value goes with it: [`Parts::held`] puts both together
    /// again when librdkafka refuses the record.
    pub(super) fn into_parts(self) -> (Parts, Box<InFlight>) {
        let Self { topic, key, headers, body, in_flight } = self;
        (Parts { topic, key, headers, body }, in_flight)
    }
}

/// A [`Held`] without what travels with it.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) topic: String,
    key: Option<Bytes>,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
}

impl Parts {
    pub(super) fn record(&self, in_flight: Box<InFlight>) -> Record<'_> {
        let mut record = Record::with_opaque_to(&self.topic, in_flight).payload(&self.body[..]);
        record.key = self.key.as_deref();
        record.headers = owned_headers(&self.headers);
        record
    }

    pub(super) fn held(self, in_flight: Box<InFlight>) -> Held {
        let Self { topic, key, headers, body } = self;
        Held { topic, key, headers, body, in_flight }
    }
}

/// Headers as librdkafka takes them; `None` for none at all.
pub(super) fn owned_headers(headers: &[(String, Bytes)]) -> Option<OwnedHeaders> {
    let insert = |owned: OwnedHeaders, (key, value): &(String, Bytes)| {
        owned.insert(Header { key, value: Some(&value[..]) })
    };
    (!headers.is_empty())
        .then(|| headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), insert))
}

/// Records that are handed over again, in the order of their calls. While there are any, later
/// calls queue up behind them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Whether calls must queue up: read by each of them.
    holding: AtomicBool,
    inner: Mutex<WaitingInner>,
}

#[derive(Debug, Default)]
struct WaitingInner {
    records: BTreeMap<u64, Held>,
    /// Topics that are being created: their records stay.
    creating: HashSet<String>,
}

impl Waiting {
    pub(super) fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Acquire)
    }

    /// From now on calls queue up, until [`release`](Self::release).
    pub(super) fn hold(&self) {
        let _inner = self.lock();
        self.holding.store(true, Ordering::Release);
    }

    /// Queues a new call up, if calls must; gives it back if they need not, or if there are
    /// `most` already.
    pub(super) fn queue_up(&self, held: Held, most: usize) -> Result<(), Held> {
        let mut inner = self.lock();
        if !self.is_holding() || inner.records.len() >= most {
            return Err(held);
        }
        inner.records.insert(held.in_flight.order, held);
        Ok(())
    }

    /// Holds a record to be handed over again.
    pub(super) fn hold_again(&self, held: Held) {
        let mut inner = self.lock();
        inner.records.insert(held.in_flight.order, held);
        self.holding.store(true, Ordering::Release);
    }

    /// Holds a record whose topic must be created first; `true` when nobody does that yet.
    pub(super) fn hold_for_topic(&self, held: Held) -> bool {
        let mut inner = self.lock();
        let first = inner.creating.insert(held.topic.clone());
        inner.records.insert(held.in_flight.order, held);
        self.holding.store(true, Ordering::Release);
        first
    }

    /// The topic is there: its records go on.
    pub(super) fn topic_created(&self, topic: &str) {
        self.lock().creating.remove(topic);
    }

    /// The topic could not be created: gives the records that were refused for want of it.
    pub(super) fn topic_failed(&self, topic: &str) -> Vec<Held> {
        let mut inner = self.lock();
        inner.creating.remove(topic);
        let refused = |held: &Held| held.topic == topic && held.in_flight.topic_was_created;
        let orders: Vec<u64> = inner
            .records
            .iter()
            .filter(|(_, held)| refused(held))
            .map(|(order, _)| *order)
            .collect();
        orders.iter().filter_map(|order| inner.records.remove(order)).collect()
    }

    /// The first record that may go on.
    pub(super) fn next(&self) -> Option<Held> {
        let mut inner = self.lock();
        let WaitingInner { records, creating } = &*inner;
        let free = |(_, held): &(&u64, &Held)| !creating.contains(&held.topic);
        let order = *records.iter().find(free)?.0;
        inner.records.remove(&order)
    }

    /// The records that have expired, wherever they stand.
    pub(super) fn expired(&self, now: Instant) -> Vec<Held> {
        let mut inner = self.lock();
        let expired = inner.records.iter().filter(|(_, held)| held.in_flight.is_expired(now));
        let orders: Vec<u64> = expired.map(|(order, _)| *order).collect();
        orders.iter().filter_map(|order| inner.records.remove(order)).collect()
    }

    /// Calls need not queue up any more, if nothing is held.
    pub(super) fn release(&self) {
        let inner = self.lock();
        if inner.records.is_empty() {
            self.holding.store(false, Ordering::Release);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().records.len()
    }

    pub(super) fn take_all(&self) -> Vec<Held> {
        std::mem::take(&mut self.lock().records).into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, WaitingInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Duration, Held, InFlight, Instant, Late, Waiting};
    use crate::{
        message::Priority,
        receipt::{Receipt, Subject},
        stats::Stats,
    };
    use std::sync::Arc;

    fn in_flight(order: u64, timeout: Duration) -> Box<InFlight> {
        let subject = Subject {
            message_id: format!("m-{order}"),
            event_type: "a.b".to_owned(),
            priority: Priority::Info,
        };
        let report = Receipt::new(subject, Arc::new(Stats::default())).expect(1);
        Box::new(InFlight::new(report, order, Some(timeout), None))
    }

    fn held(order: u64, topic: &str) -> Held {
        let in_flight = in_flight(order, Duration::from_secs(60));
        Held::new(topic.to_owned(), None, Vec::new(), Bytes::new(), in_flight)
    }

    fn orders(waiting: &Waiting) -> Vec<u64> {
        std::iter::from_fn(|| waiting.next()).map(|held| held.in_flight.order).collect()
    }

    #[test]
    fn calls_queue_up_behind_what_waits_in_the_order_of_all_calls() {
        let waiting = Waiting::default();
        assert!(waiting.queue_up(held(0, "t"), 9).is_err(), "nothing waits");
        waiting.hold_again(held(3, "t"));
        assert!(waiting.is_holding());
        assert!(waiting.queue_up(held(5, "t"), 9).is_ok());
        waiting.hold_again(held(2, "t"));
        assert!(waiting.queue_up(held(6, "t"), 3).is_err(), "there are as many as may be");
        waiting.release();
        assert!(waiting.is_holding(), "not before all have gone");
        assert_eq!(orders(&waiting), [2, 3, 5]);
        assert!(waiting.queue_up(held(7, "t"), 9).is_ok(), "not before the release");
        assert_eq!(orders(&waiting), [7]);
        waiting.release();
        assert!(!waiting.is_holding() && waiting.queue_up(held(8, "t"), 9).is_err());
    }

    #[test]
    fn records_of_a_topic_that_is_being_created_stay_and_others_go() {
        let waiting = Waiting::default();
        let refused = |order| {
            let mut held = held(order, "new");
            held.in_flight.topic_was_created = true;
            held
        };
        assert!(waiting.hold_for_topic(refused(0)), "the first one creates it");
        assert!(!waiting.hold_for_topic(refused(1)));
        assert!(waiting.queue_up(held(2, "new"), 9).is_ok());
        assert!(waiting.queue_up(held(3, "old"), 9).is_ok());
        assert_eq!(orders(&waiting), [3]);
        let failed = waiting.topic_failed("new");
        assert_eq!(failed.iter().map(|held| held.in_flight.order).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(orders(&waiting), [2], "it finds out for itself");
        assert!(waiting.hold_for_topic(refused(4)));
        assert!(orders(&waiting).is_empty());
        waiting.topic_created("new");
        assert_eq!(orders(&waiting), [4]);
    }

    #[test]
    fn a_record_is_watched_only_where_librdkafka_would_take_too_long() {
        let (late, second) = (Late::default(), Duration::from_secs(1));
        let mut in_time = in_flight(0, 30 * second);
        let begun = in_time.begun;
        late.watch(&mut in_time, begun, 30 * second);
        let mut too_late = in_flight(1, 30 * second);
        let begun = too_late.begun;
        late.watch(&mut too_late, begun + 20 * second, 30 * second);
        late.watch(&mut too_late, begun + 25 * second, 30 * second);
        assert!(late.expired(Instant::now()).is_empty());
        let end = Instant::now() + 31 * second;
        let expired: Vec<_> = late.expired(end).into_iter().map(|(_, report)| report).collect();
        assert_eq!(expired.len(), 1);
        assert_eq!(expired[0].message_id(), "m-1");
        assert!(too_late.into_report().is_none(), "whoever comes first takes it");
        assert!(in_time.into_report().is_some());
        let mut reported = in_flight(2, second);
        let begun = reported.begun;
        late.watch(&mut reported, begun + second, second);
        assert!(reported.into_report().is_some());
        assert!(late.expired(end).is_empty());
    }
}
