//! The two ends of one sending: the caller's [`Receipt`] and the driver's [`Report`]s.
//!
//! A receipt is told either what finally became of a record or, where the driver only queues or
//! spools, that it was accepted. The final outcome reaches the counters, the log and the
//! transport's observer in either case.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use crate::{
    error::{Cause, Error, Outcome, Undelivered},
    message::Priority,
    stats::Stats,
};

/// What one notification was, for the texts about it.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) message_id: String,
    pub(crate) event_type: String,
    pub(crate) priority: Priority,
}

#[derive(Debug)]
struct Shared {
    subject: Subject,
    stats: Arc<Stats>,
    state: Mutex<State>,
    resolved: Condvar,
}

#[derive(Debug)]
struct State {
    pending: usize,
    failures: Vec<Undelivered>,
    /// Some record was accepted and is not confirmed yet.
    accepted: bool,
    waker: Option<Waker>,
    /// Threads that wait. Waking nobody still costs a system call.
    waiting: usize,
}

/// Resolves when every sink has said what became of a notification: the broker has accepted it,
/// or it was not delivered, or nobody knows.
///
/// Wait for it with [`wait`](Self::wait) on a thread, or `.await` it in any async runtime. A
/// receipt that is dropped changes nothing: the notification goes on its way, and a failure is
/// still logged and counted.
///
/// ```
/// # use oslo_messaging::{Context, Notifier, Payload, Transport};
/// # use std::time::Duration;
/// # fn main() -> Result<(), oslo_messaging::Error> {
/// let transport = Transport::for_notifications("fake:")?;
/// let notifier = Notifier::builder(&transport).publisher_id("compute.host1").build()?;
/// let receipt = notifier.info(&Context::empty(), "instance.create.end", Payload::null());
/// receipt.wait(Duration::from_secs(30))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a notification is confirmed only when its receipt says so"]
pub struct Receipt {
    shared: Arc<Shared>,
}

/// What a resolved [`Receipt`] promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// The broker has the notification, on every topic.
    Delivered,
    /// This process has it, in memory (`delivery = queued`) or on disk (`spooled`): it is on its
    /// way. What becomes of it is counted, logged when it fails, and told to the transport's
    /// observer ([`TransportBuilder::on_outcome`](crate::TransportBuilder::on_outcome)).
    Accepted,
}

/// The driver's end for one record: says once what became of it.
///
/// A report that is dropped unsaid counts as [`Outcome::Unknown`]: no sending is ever without an
/// answer.
#[derive(Debug)]
pub struct Report {
    shared: Option<Arc<Shared>>,
    topic: Box<str>,
    size_bytes: usize,
    /// The receipt has its answer already: only counters, log and observer are told.
    detached: bool,
}

/// The receipt's part of a report that was detached from it.
#[derive(Debug)]
pub struct Acceptance {
    shared: Arc<Shared>,
}

impl Acceptance {
    /// The record is queued or spooled: its receipt resolves with [`Sent::Accepted`].
    pub fn accepted(self) {
        self.shared.stats.accepted.add(1);
        self.shared.resolve(Answer::Accepted);
    }
}

/// What finally became of one record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FinalOutcome {
    /// The notification's message id.
    pub message_id: String,
    /// The notification's event type.
    pub event_type: String,
    /// The notification's priority.
    pub priority: Priority,
    /// The topic on the broker, such as `notifications.info`.
    pub topic: String,
    /// Its sender was told that it is queued or spooled, and hears no more of it by its receipt.
    pub was_accepted: bool,
    /// `Ok` when the broker has it; else why not, and whether it may have it all the same.
    pub result: Result<(), Undelivered>,
}

/// What one record adds to its receipt.
enum Answer {
    Delivered,
    Accepted,
    Failed(Undelivered),
}

/// Why a driver did not deliver a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the record may be on the broker all the same.
    pub outcome: Outcome,
    /// Why, by class.
    pub cause: Cause,
    /// Why, in the broker's or the client library's words, with limits and names.
    pub detail: String,
}

impl Receipt {
    /// A receipt that has no report yet.
    pub(crate) fn new(subject: Subject, stats: Arc<Stats>) -> Self {
        let state =
            State { pending: 0, failures: Vec::new(), accepted: false, waker: None, waiting: 0 };
        let shared = Shared { subject, stats, state: Mutex::new(state), resolved: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Adds one record that must be reported on before the receipt resolves.
    pub(crate) fn expect(&self, size_bytes: usize) -> Report {
        self.shared.lock().pending += 1;
        self.shared.stats.sent.add(1);
        let shared = Some(Arc::clone(&self.shared));
        Report { shared, topic: "".into(), size_bytes, detached: false }
    }

    /// The notification's message id, such as `5c0f1d7e-0a3b-4b0e-8c9a-2f6f6f3f3b11`.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.shared.subject.message_id
    }

    /// Whether the answer is there: [`wait`](Self::wait) would return at once.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.shared.lock().pending == 0
    }

    /// What a success of this receipt means; `None` until it is resolved, and when it failed.
    #[must_use]
    pub fn sent(&self) -> Option<Sent> {
        let state = self.shared.lock();
        let sent = if state.accepted { Sent::Accepted } else { Sent::Delivered };
        (state.pending == 0 && state.failures.is_empty()).then_some(sent)
    }

    /// Blocks until the broker has the notification, or until it is queued or spooled where the
    /// option `delivery` says so, at most `timeout`.
    ///
    /// `Duration::MAX` waits for the driver's own limit (`delivery_timeout`), which always ends
    /// a sending. May be called again after a timeout.
    ///
    /// # Errors
    ///
    /// [`Error::Undelivered`], with one entry for each topic that did not confirm. When `timeout`
    /// passes first the outcome is [`Outcome::Unknown`]: the sending goes on.
    pub fn wait(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.lock();
        while state.pending > 0 {
            state.waiting += 1;
            state = match deadline {
                None => self.shared.resolved.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.waiting -= 1;
                        return Err(Error::Undelivered(vec![self.shared.still_waiting(timeout)]));
                    }
                    let woken = self.shared.resolved.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.waiting -= 1;
        }
        state.outcome()
    }
}

impl Future for Receipt {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        if state.pending == 0 {
            return Poll::Ready(state.outcome());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Report {
    /// Names the broker's topic, for the texts about a failure.
    #[must_use]
    pub fn to_topic(mut self, topic: &str) -> Self {
        self.topic = topic.into();
        self
    }

    /// The notification's message id.
    #[must_use]
    pub fn message_id(&self) -> &str {
        self.shared.as_ref().map_or("", |shared| &shared.subject.message_id)
    }

    /// The report of a record that an earlier hand-over has accepted.
    #[cfg(feature = "kafka")]
    pub(crate) fn of_accepted(
        subject: Subject,
        stats: Arc<Stats>,
        topic: &str,
        size_bytes: usize,
    ) -> Self {
        let receipt = Receipt::new(subject, stats);
        let shared = Some(receipt.shared);
        Self { shared, topic: topic.into(), size_bytes, detached: true }
    }

    /// Says nothing: the record is accepted, and somebody else will report on it.
    #[cfg(feature = "kafka")]
    pub(crate) fn forget(mut self) {
        self.shared = None;
    }

    /// The broker's topic.
    #[cfg(feature = "kafka")]
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The notification's event type and priority.
    #[cfg(feature = "kafka")]
    pub(crate) fn subject(&self) -> Option<&Subject> {
        self.shared.as_ref().map(|shared| &shared.subject)
    }

    /// Moves the report out; what is left says nothing.
    #[cfg(feature = "kafka")]
    pub(crate) fn take(&mut self) -> Self {
        Self {
            shared: self.shared.take(),
            topic: std::mem::take(&mut self.topic),
            size_bytes: self.size_bytes,
            detached: self.detached,
        }
    }

    /// Takes the receipt's part off, for a driver that queues or spools: from here on the report
    /// tells counters, log and observer only.
    #[must_use]
    pub fn detach(&mut self) -> Option<Acceptance> {
        if std::mem::replace(&mut self.detached, true) {
            return None;
        }
        self.shared.as_ref().map(|shared| Acceptance { shared: Arc::clone(shared) })
    }

    /// Undoes [`detach`](Self::detach): the record was not accepted after all.
    pub fn reattach(&mut self, _: Acceptance) {
        self.detached = false;
    }

    /// The broker has taken ownership of the record.
    pub fn delivered(mut self) {
        let Some(shared) = self.shared.take() else { return };
        shared.stats.delivered.add(1);
        shared.tell(&self.topic, self.detached, || Ok(()));
        if !self.detached {
            shared.resolve(Answer::Delivered);
        }
    }

    /// The record was not confirmed.
    pub fn failed(mut self, failure: Failure) {
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        let Some(shared) = self.shared.take() else { return };
        let undelivered = Undelivered {
            outcome: failure.outcome,
            topic: self.topic.to_string(),
            event_type: shared.subject.event_type.clone(),
            message_id: shared.subject.message_id.clone(),
            priority: shared.subject.priority,
            size_bytes: self.size_bytes,
            cause: failure.cause,
            detail: failure.detail,
        };
        match undelivered.outcome {
            Outcome::NotDelivered => shared.stats.not_delivered.add(1),
            Outcome::Unknown => shared.stats.unknown.add(1),
        }
        tracing::error!(
            topic = %undelivered.topic,
            event_type = %undelivered.event_type,
            message_id = %undelivered.message_id,
            "{undelivered}"
        );
        shared.tell(&self.topic, self.detached, || Err(undelivered.clone()));
        if !self.detached {
            shared.resolve(Answer::Failed(undelivered));
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.fail(Failure {
            outcome: Outcome::Unknown,
            cause: Cause::Other,
            detail: "the driver ended without saying what became of it".to_owned(),
        });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the observer, if there is one.
    fn tell(
        &self,
        topic: &str,
        was_accepted: bool,
        result: impl FnOnce() -> Result<(), Undelivered>,
    ) {
        self.stats.observe(|| FinalOutcome {
            message_id: self.subject.message_id.clone(),
            event_type: self.subject.event_type.clone(),
            priority: self.subject.priority,
            topic: topic.to_owned(),
            was_accepted,
            result: result(),
        });
    }

    fn resolve(&self, answer: Answer) {
        let mut state = self.lock();
        match answer {
            Answer::Delivered => {}
            Answer::Accepted => state.accepted = true,
            Answer::Failed(undelivered) => state.failures.push(undelivered),
        }
        state.pending -= 1;
        if state.pending == 0 {
            let (waker, waiting) = (state.waker.take(), state.waiting > 0);
            drop(state);
            if waiting {
                self.resolved.notify_all();
            }
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn still_waiting(&self, timeout: Duration) -> Undelivered {
        Undelivered {
            outcome: Outcome::Unknown,
            topic: String::new(),
            event_type: self.subject.event_type.clone(),
            message_id: self.subject.message_id.clone(),
            priority: self.subject.priority,
            size_bytes: 0,
            cause: Cause::TimedOut,
            detail: format!("no answer within {timeout:?}; the sending goes on"),
        }
    }
}

impl State {
    fn outcome(&self) -> Result<(), Error> {
        if self.failures.is_empty() {
            Ok(())
        } else {
            Err(Error::Undelivered(self.failures.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Receipt, Sent, Subject};
    use crate::{
        error::{Cause, Error, Outcome},
        message::Priority,
        stats::Stats,
    };
    use std::{sync::Arc, thread, time::Duration};

    fn receipt() -> (Receipt, Arc<Stats>) {
        let stats = Arc::new(Stats::default());
        let subject = Subject {
            message_id: "m-1".into(),
            event_type: "a.b".into(),
            priority: Priority::Info,
        };
        (Receipt::new(subject, Arc::clone(&stats)), stats)
    }

    fn outcomes(result: Result<(), Error>) -> Vec<Outcome> {
        match result {
            Ok(()) => Vec::new(),
            Err(Error::Undelivered(failures)) => failures.iter().map(|f| f.outcome).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_receipt_resolves_when_all_of_its_records_are_reported() {
        let (receipt, stats) = receipt();
        let (first, second) =
            (receipt.expect(9).to_topic("t.info"), receipt.expect(9).to_topic("t.info"));
        first.delivered();
        assert!(!receipt.is_resolved());
        let other = thread::spawn(move || second.delivered());
        assert!(receipt.wait(Duration::from_secs(10)).is_ok());
        other.join().unwrap();
        assert_eq!((stats.sent.get(), stats.delivered.get()), (2, 2));
    }

    #[test]
    fn a_report_that_is_dropped_is_unknown() {
        let (receipt, stats) = receipt();
        drop(receipt.expect(9).to_topic("t.info"));
        assert_eq!(outcomes(receipt.wait(Duration::ZERO)), [Outcome::Unknown]);
        assert_eq!(stats.unknown.get(), 1);
    }

    #[test]
    fn a_caller_that_stops_waiting_gets_unknown_and_may_wait_again() {
        let (receipt, _) = receipt();
        let report = receipt.expect(9).to_topic("t.info");
        assert_eq!(outcomes(receipt.wait(Duration::from_millis(1))), [Outcome::Unknown]);
        report.failed(Failure {
            outcome: Outcome::NotDelivered,
            cause: Cause::TooLarge,
            detail: "9 bytes, limit 8".into(),
        });
        let error = receipt.wait(Duration::ZERO).unwrap_err();
        assert_eq!(
            error.to_string(),
            "notification m-1 (a.b, 9 bytes) for topic t.info was not delivered: 9 bytes, limit 8"
        );
    }

    #[test]
    fn an_accepted_record_resolves_its_receipt_and_its_end_is_counted_and_observed() {
        let (receipt, stats) = receipt();
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        stats.set_observer(Arc::new(move |end| {
            into.lock().unwrap().push((end.message_id.clone(), end.result.is_ok()));
            panic!("on purpose: an observer's panic stays with it");
        }));
        let mut reports = [0; 2].map(|_| receipt.expect(9).to_topic("t.info"));
        for report in &mut reports {
            report.detach().unwrap().accepted();
            assert!(report.detach().is_none());
        }
        receipt.wait(Duration::ZERO).unwrap();
        assert_eq!(receipt.sent(), Some(Sent::Accepted));
        let [first, second] = reports;
        first.delivered();
        drop(second);
        assert_eq!(receipt.sent(), Some(Sent::Accepted));
        assert_eq!((stats.accepted.get(), stats.delivered.get(), stats.unknown.get()), (2, 1, 1));
        let expected = [("m-1".to_owned(), true), ("m-1".to_owned(), false)];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[test]
    fn a_record_that_is_not_accepted_after_all_fails_its_receipt() {
        let (receipt, _) = receipt();
        let mut report = receipt.expect(9).to_topic("t.info");
        let acceptance = report.detach().unwrap();
        report.reattach(acceptance);
        assert!(!receipt.is_resolved());
        drop(report);
        assert_eq!(outcomes(receipt.wait(Duration::ZERO)), [Outcome::Unknown]);
    }

    #[test]
    fn a_receipt_is_a_future() {
        let (receipt, _) = receipt();
        let report = receipt.expect(9).to_topic("t.info");
        let mut future = Box::pin(receipt);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
        report.delivered();
        assert!(future.as_mut().poll(&mut context).is_ready());
    }
}
