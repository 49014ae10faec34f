//! What was handed over and not answered yet, and the count of what became of it.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Error, FinalOutcome, Notification, Notifier, Outcome, Receipt, Sent, Transport,
};

use crate::{
    exit::{Exit, Failure},
    interrupt::Interrupt,
    output::{self, Progress},
};

/// Most notifications that wait for their answer at once.
const MOST_PENDING: usize = 10_000;
/// The library answers within the timeout; this is for its last word to arrive.
const GRACE: Duration = Duration::from_secs(2);
/// What is handed over gets this long when the user interrupts.
const FLUSH: Duration = Duration::from_secs(5);
/// How long an interrupt goes unnoticed.
const TICK: Duration = Duration::from_millis(50);
/// Failures that are told one by one; the rest is counted.
const MOST_TOLD: u64 = 20;

/// What finally became of notifications whose receipts said only that they were accepted.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends(Arc<Mutex<HashMap<String, Vec<FinalOutcome>>>>);

impl Ends {
    /// Notes each outcome.
    pub(super) fn observer(&self) -> impl Fn(&FinalOutcome) + Send + Sync + 'static {
        let Self(ends) = self.clone();
        move |end| {
            let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.entry(end.message_id.clone()).or_default().push(end.clone());
        }
    }

    fn take(&self, message_id: &str) -> Vec<FinalOutcome> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.remove(message_id).unwrap_or_default()
    }
}

/// Sends without waiting for each answer, and collects the answers.
pub(super) struct Outbox {
    notifier: Option<Notifier>,
    patience: Duration,
    interrupt: Interrupt,
    ends: Ends,
    pending: VecDeque<Pending>,
    /// Label and message id of those that were only accepted.
    accepted: Vec<(Option<String>, String)>,
    tally: Tally,
    progress: Progress,
    /// How much of the source was read.
    read: u64,
}

struct Pending {
    /// Where the notification came from, such as `events.jsonl:12`.
    label: Option<String>,
    receipt: Receipt,
    deadline: Instant,
}

/// What became of all notifications. `Display` is the summary.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sent: u64,
    confirmed: u64,
    /// Queued or spooled, and not confirmed by the end of the command.
    accepted: u64,
    not_delivered: u64,
    unknown: u64,
    bad: u64,
    first_failure: Option<Exit>,
    /// Some topic has a notification that others do not have.
    partly: bool,
    /// The message id of the last one that was confirmed.
    pub(super) last_confirmed: Option<String>,
}

impl Outbox {
    pub(super) fn new(
        notifier: Notifier,
        patience: Duration,
        interrupt: Interrupt,
        ends: Ends,
        progress: Progress,
    ) -> Self {
        Self {
            notifier: Some(notifier),
            patience,
            interrupt,
            ends,
            pending: VecDeque::new(),
            accepted: Vec::new(),
            tally: Tally::default(),
            progress,
            read: 0,
        }
    }

    /// How much of the source was read, for the progress bar.
    pub(super) fn has_read(&mut self, read: u64) {
        self.read = read;
    }

    /// Counts and reports what cannot be sent.
    pub(super) fn refuse(&mut self, label: &str, reason: &str) {
        self.tally.bad += 1;
        output::error(format_args!("{label}: {reason}"));
    }

    /// Hands a notification over, waiting for others only when too many are pending.
    pub(super) fn send(&mut self, label: Option<String>, notification: &Notification) {
        let Some(notifier) = &self.notifier else { return };
        let deadline = Instant::now() + self.patience + GRACE;
        let receipt = notifier.send(notification);
        self.tally.sent += 1;
        self.pending.push_back(Pending { label, receipt, deadline });
        self.settle_resolved();
        while self.pending.len() >= MOST_PENDING && !self.interrupt.came() {
            self.settle_first();
        }
    }

    /// Counts the answers that are there, in the order of sending.
    pub(super) fn settle_resolved(&mut self) {
        while self.pending.front().is_some_and(|first| first.receipt.is_resolved()) {
            self.settle_first();
        }
        self.progress.at(self.read, self.tally.sent, self.tally.confirmed);
    }

    /// Waits for all answers; after an interrupt only for a short flush.
    pub(super) fn finish(mut self, transport: Transport) -> Tally {
        while !self.pending.is_empty() && !self.interrupt.came() {
            self.settle_first();
        }
        let flushed = self.pending.is_empty() || transport.close(FLUSH).is_ok();
        self.settle_accepted(&transport);
        self.tally.partly = transport.stats().delivered.get() > 0;
        if !flushed {
            // Without its producer every receipt says whether its notification was ever sent.
            self.notifier = None;
            drop(transport);
        }
        for first in &mut self.pending {
            first.deadline = Instant::now();
        }
        while !self.pending.is_empty() {
            self.settle_first();
        }
        let failed = self.tally.not_delivered + self.tally.unknown;
        if failed > MOST_TOLD {
            output::error(format_args!("... and {} more", failed - MOST_TOLD));
        }
        self.tally
    }

    /// Finds out what became of those that were only accepted.
    fn settle_accepted(&mut self, transport: &Transport) {
        if self.accepted.is_empty() {
            return;
        }
        let patience = if self.interrupt.came() { FLUSH } else { self.patience };
        // Each one that is lost is told below.
        let _ = transport.close(patience);
        for (label, message_id) in std::mem::take(&mut self.accepted) {
            let ends = self.ends.take(&message_id);
            let failed: Vec<_> = ends.iter().filter_map(|end| end.result.clone().err()).collect();
            if !failed.is_empty() {
                self.fail(label.as_deref(), Error::Undelivered(failed));
            } else if ends.is_empty() {
                self.tally.accepted += 1;
            } else {
                self.tally.confirmed += 1;
                self.tally.last_confirmed = Some(message_id);
            }
        }
    }

    /// Waits for the first answer, until it is there, its deadline passes or an interrupt comes.
    fn settle_first(&mut self) {
        let Some(first) = self.pending.front() else { return };
        while !first.receipt.is_resolved() {
            self.progress.at(self.read, self.tally.sent, self.tally.confirmed);
            let left = first.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if self.interrupt.came() {
                return;
            }
            // Only the answer counts, which is asked for below.
            let _ = first.receipt.wait(left.min(TICK));
        }
        let Some(first) = self.pending.pop_front() else { return };
        let answered = first.receipt.is_resolved();
        match first.receipt.wait(Duration::ZERO) {
            Ok(()) => {
                let id = first.receipt.message_id().to_owned();
                if first.receipt.sent() == Some(Sent::Accepted) {
                    self.accepted.push((first.label, id));
                    return;
                }
                drop(self.ends.take(&id));
                self.tally.confirmed += 1;
                self.tally.last_confirmed = Some(id);
            }
            Err(error) if answered => self.fail(first.label.as_deref(), error),
            Err(_) => {
                let id = first.receipt.message_id();
                let text = format!("notification {id}: no answer within {:?}", self.patience);
                self.tally.unknown += 1;
                self.tell(first.label.as_deref(), Failure::new(Exit::TimedOut, text));
            }
        }
    }

    fn fail(&mut self, label: Option<&str>, error: Error) {
        let unknown = match &error {
            Error::Undelivered(failures) => {
                failures.iter().any(|failure| failure.outcome == Outcome::Unknown)
            }
            _ => false,
        };
        match unknown {
            true => self.tally.unknown += 1,
            false => self.tally.not_delivered += 1,
        }
        self.tell(label, error.into());
    }

    fn tell(&mut self, label: Option<&str>, failure: Failure) {
        let Failure::Told { exit, mut text, hint } = failure else { return };
        let is_first = self.tally.first_failure.is_none();
        self.tally.first_failure.get_or_insert(exit);
        if self.tally.not_delivered + self.tally.unknown > MOST_TOLD {
            return;
        }
        if let Some(label) = label {
            text = format!("{label}: {text}");
        }
        let hint = hint.filter(|_| is_first);
        output::report(Failure::Told { exit, text, hint });
    }
}

impl Tally {
    /// The exit code: 0 only when all were confirmed.
    pub(super) fn exit(&self, interrupted: bool) -> Exit {
        let some = self.confirmed > 0 || self.partly;
        match (self.first_failure, self.bad) {
            _ if interrupted => Exit::Interrupted,
            (None, 0) => Exit::Ok,
            _ if some => Exit::Partial,
            (Some(exit), _) => exit,
            (None, _) => Exit::Data,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, confirmed, accepted, not_delivered, unknown, bad, .. } = self;
        write!(f, "sent {sent}, confirmed {confirmed}, ")?;
        if *accepted > 0 {
            write!(f, "accepted {accepted}, ")?;
        }
        write!(f, "not delivered {not_delivered}, unknown {unknown}")?;
        if *bad > 0 {
            write!(f, ", bad lines {bad}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::exit::Exit;

    #[test]
    fn the_code_is_ok_only_when_all_were_confirmed() {
        let tally = |confirmed, bad, first_failure, partly| Tally {
            confirmed,
            bad,
            first_failure,
            partly,
            ..Tally::default()
        };
        let unreachable = Some(Exit::Unreachable);
        for (tally, interrupted, expected) in [
            (tally(0, 0, None, false), false, Exit::Ok),
            (tally(5, 0, None, true), false, Exit::Ok),
            (tally(5, 0, None, true), true, Exit::Interrupted),
            (tally(5, 1, None, true), false, Exit::Partial),
            (tally(0, 1, None, false), false, Exit::Data),
            (tally(0, 0, unreachable, false), false, Exit::Unreachable),
            (tally(0, 1, unreachable, false), false, Exit::Unreachable),
            (tally(1, 0, unreachable, true), false, Exit::Partial),
            (tally(0, 0, unreachable, true), false, Exit::Partial),
        ] {
            assert_eq!(tally.exit(interrupted), expected, "{tally:?}");
        }
    }
}
