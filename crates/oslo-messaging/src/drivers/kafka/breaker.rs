//! Whether confirmed sends are worth handing over: a dead bus must not stop the service.
//!
//! A state machine without I/O or clock: the producer tells it what happened and when. It opens
//! when no connection to any broker has been up for `connect_timeout`, and when a send timed out and
//! none that was handed over since has been confirmed. It closes when a connection comes up (if
//! that was what it lacked; librdkafka itself tries to have one at all times, whether anything is
//! sent or not) and with any confirmation. While it is open for lack of answers, the producer asks
//! the brokers in the background; once they answer, a single send is let through on trial.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::stats::Stats;

/// First wait before the brokers are asked whether they answer again.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Longest wait between two questions.
const SLOWEST_PROBE: Duration = Duration::from_secs(30);
/// How much later than its deadline a send may be reported.
const TRIAL_SLACK: Duration = Duration::from_secs(5);

/// Why the breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// No connection to any broker.
    Connection,
    /// Connections, and no confirmations.
    Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        lack: Lack,
        probe_at: Instant,
    },
    /// The brokers answered: the next send is handed over.
    MayTry,
    /// One send is on its way; the others are still refused.
    Trying {
        since: Instant,
    },
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Since when no connection is up; `None` while one is.
    down_since: Option<Instant>,
    /// The latest time of hand-over among the confirmed sends.
    confirmed: Option<Instant>,
    /// The wait before the next probe; grows until something is confirmed.
    pause: Duration,
    /// What the last opening was about, in the client library's words.
    words: String,
}

/// The breaker of one producer.
#[derive(Debug)]
pub(super) struct Breaker {
    connect_timeout: Duration,
    /// Longest time that a trial can take: then its end was missed.
    longest_trial: Duration,
    stats: Arc<Stats>,
    /// Whether the state is any but closed, for the way of each send.
    open: AtomicBool,
    inner: Mutex<Inner>,
}

impl Breaker {
    pub(super) fn new(
        connect_timeout: Duration,
        delivery_timeout: Duration,
        stats: Arc<Stats>,
    ) -> Self {
        let inner = Inner {
            state: State::Closed,
            down_since: None,
            confirmed: None,
            pause: FIRST_PROBE,
            words: String::new(),
        };
        let longest_trial = delivery_timeout + TRIAL_SLACK;
        let (open, inner) = (AtomicBool::new(false), Mutex::new(inner));
        Self { connect_timeout, longest_trial, stats, open, inner }
    }

    /// Whether a send may be handed over; else why not, and what to say of it.
    pub(super) fn admit(&self, now: Instant) -> Result<(), (Lack, String)> {
        if !self.open.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut inner = self.lock();
        let lack = match inner.state {
            State::Closed => return Ok(()),
            State::MayTry => {
                inner.state = State::Trying { since: now };
                return Ok(());
            }
            State::Open { lack, .. } => lack,
            State::Trying { .. } => Lack::Answers,
        };
        self.stats.breaker_refused.add(1);
        Err((lack, inner.words.clone()))
    }

    /// As [`admit`](Self::admit), for a send that was admitted before and still waits for room.
    pub(super) fn still_admits(&self) -> Result<(), (Lack, String)> {
        if !self.open.load(Ordering::Relaxed) {
            return Ok(());
        }
        let inner = self.lock();
        match inner.state {
            State::Open { lack, .. } => Err((lack, inner.words.clone())),
            State::Closed | State::MayTry | State::Trying { .. } => Ok(()),
        }
    }

    /// A look at the connections, from the making of the producer on.
    ///
    /// Gives `true` once no connection has been up for `connect_timeout`: what is held must fail.
    /// `words` are the client library's about its last failure.
    pub(super) fn connections(
        &self,
        now: Instant,
        any_up: bool,
        words: impl FnOnce() -> String,
    ) -> bool {
        let mut inner = self.lock();
        let open = matches!(inner.state, State::Open { lack: Lack::Connection, .. });
        if any_up {
            inner.down_since = None;
            if open {
                self.close(&mut inner, "a broker is connected");
            }
            return false;
        }
        let since = *inner.down_since.get_or_insert(now);
        if now.saturating_duration_since(since) < self.connect_timeout {
            return false;
        }
        if !open {
            let words = words();
            self.open_for(&mut inner, Lack::Connection, now, words);
        }
        true
    }

    /// A send that was handed over at `handed_over` is confirmed.
    pub(super) fn confirmed(&self, handed_over: Instant) {
        let mut inner = self.lock();
        inner.confirmed = inner.confirmed.max(Some(handed_over));
        inner.down_since = None;
        inner.pause = FIRST_PROBE;
        if inner.state != State::Closed {
            self.close(&mut inner, "a notification was confirmed");
        }
    }

    /// A send that was handed over at `handed_over` got no answer in its time.
    ///
    /// `elsewhere` says that this is known to be the affair of one topic or partition: another
    /// one may well work.
    pub(super) fn timed_out(
        &self,
        now: Instant,
        handed_over: Instant,
        elsewhere: bool,
        words: impl FnOnce() -> String,
    ) {
        let mut inner = self.lock();
        match inner.state {
            State::Open { .. } | State::MayTry => return,
            // Those that were on their way before it are no trial.
            State::Trying { since } if handed_over < since => return,
            State::Trying { .. } | State::Closed => {}
        }
        if inner.state == State::Closed
            && (elsewhere || inner.confirmed.is_some_and(|last| last >= handed_over))
        {
            return;
        }
        let words = words();
        self.open_for(&mut inner, Lack::Answers, now, words);
    }

    /// The send on trial ended without telling whether the bus works: another one may try.
    pub(super) fn undecided(&self, handed_over: Instant) {
        let mut inner = self.lock();
        if matches!(inner.state, State::Trying { since } if handed_over >= since) {
            inner.state = State::MayTry;
        }
    }

    /// Whether it is time to ask the brokers if they answer again. `true` once for each question.
    pub(super) fn wants_probe(&self, now: Instant) -> bool {
        if !self.open.load(Ordering::Relaxed) {
            return false;
        }
        let mut inner = self.lock();
        match inner.state {
            State::Open { lack: Lack::Answers, probe_at } if now >= probe_at => {
                let probe_at = now + inner.pause;
                inner.pause = (inner.pause * 2).min(SLOWEST_PROBE);
                inner.state = State::Open { lack: Lack::Answers, probe_at };
                true
            }
            State::Trying { since }
                if now.saturating_duration_since(since) > self.longest_trial =>
            {
                inner.state = State::MayTry;
                false
            }
            _ => false,
        }
    }

    /// The brokers answered the question: the next send may try.
    pub(super) fn probe_answered(&self) {
        let mut inner = self.lock();
        if let State::Open { lack: Lack::Answers, .. } = inner.state {
            inner.state = State::MayTry;
        }
    }

    fn open_for(&self, inner: &mut Inner, lack: Lack, now: Instant, words: String) {
        if inner.state == State::Closed {
            self.stats.breaker_opened.add(1);
            self.stats.breaker_open.set(1);
            let what = lack.words(self.connect_timeout);
            tracing::error!("{what}: further sends fail at once, until it is back; {words}");
        }
        inner.words = words;
        inner.state = State::Open { lack, probe_at: now + inner.pause };
        inner.pause = (inner.pause * 2).min(SLOWEST_PROBE);
        self.open.store(true, Ordering::Relaxed);
    }

    fn close(&self, inner: &mut Inner, why: &str) {
        inner.state = State::Closed;
        inner.down_since = None;
        self.open.store(false, Ordering::Relaxed);
        self.stats.breaker_open.set(0);
        tracing::info!("the bus is back, {why}: sends are handed over again");
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lack {
    /// What the breaker is open for, such as `no connection to any broker for 10s`.
    pub(super) fn words(self, connect_timeout: Duration) -> String {
        match self {
            Self::Connection => format!("no connection to any broker for {connect_timeout:?}"),
            Self::Answers => {
                "a notification was not confirmed in its time, and none since".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, FIRST_PROBE, Lack};
    use crate::stats::Stats;
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(10 * SECOND, 30 * SECOND, Arc::new(Stats::default())), Instant::now())
    }

    fn lack(breaker: &Breaker, now: Instant) -> Option<Lack> {
        breaker.admit(now).err().map(|(lack, _)| lack)
    }

    fn words() -> String {
        "words".to_owned()
    }

    #[test]
    fn no_connection_for_its_time_opens_it_and_a_connection_closes_it() {
        let (breaker, start) = breaker();
        for second in 0..10 {
            assert!(!breaker.connections(start + second * SECOND, false, words));
            assert_eq!(lack(&breaker, start), None, "after {second} s");
        }
        assert!(breaker.connections(start + 10 * SECOND, false, words));
        assert_eq!(breaker.admit(start), Err((Lack::Connection, "words".to_owned())));
        assert!(breaker.connections(start + 11 * SECOND, false, words));
        assert_eq!(lack(&breaker, start), Some(Lack::Connection), "still without a connection");
        breaker.connections(start + 12 * SECOND, true, words);
        assert_eq!(lack(&breaker, start), None);
        assert!(!breaker.connections(start + 13 * SECOND, false, words), "its time begins anew");
        assert_eq!(breaker.stats.breaker_opened.get(), 1);
        assert_eq!(breaker.stats.breaker_refused.get(), 2);
        assert_eq!(breaker.stats.breaker_open.get(), 0);
    }

    #[test]
    fn a_timeout_opens_it_only_when_nothing_was_confirmed_since() {
        let (breaker, start) = breaker();
        breaker.confirmed(start + SECOND);
        breaker.timed_out(start + 30 * SECOND, start, false, words);
        assert_eq!(lack(&breaker, start), None, "a later send was confirmed");
        breaker.timed_out(start + 31 * SECOND, start + SECOND, true, words);
        assert_eq!(lack(&breaker, start), None, "the affair of one partition");
        breaker.timed_out(start + 32 * SECOND, start + 2 * SECOND, false, words);
        assert_eq!(lack(&breaker, start), Some(Lack::Answers));
        breaker.confirmed(start);
        assert_eq!(lack(&breaker, start), None, "any confirmation closes it");
    }

    #[test]
    fn after_an_answer_one_send_tries_while_the_others_are_refused() {
        let (breaker, start) = breaker();
        breaker.timed_out(start, start, false, words);
        let later = start + FIRST_PROBE;
        assert!(!breaker.wants_probe(start));
        assert!(breaker.wants_probe(later));
        assert!(!breaker.wants_probe(later), "one question at a time");
        assert_eq!(lack(&breaker, later), Some(Lack::Answers), "a question is no answer");
        breaker.probe_answered();
        assert_eq!(lack(&breaker, later), None, "the trial");
        assert_eq!(lack(&breaker, later), Some(Lack::Answers));
        breaker.timed_out(later, start, false, words);
        assert_eq!(lack(&breaker, later), Some(Lack::Answers), "one from before is no trial");
        breaker.undecided(later);
        assert_eq!(lack(&breaker, later), None, "another trial");
        breaker.timed_out(later + 30 * SECOND, later, false, words);
        assert_eq!(lack(&breaker, later), Some(Lack::Answers));
        assert_eq!(breaker.stats.breaker_opened.get(), 1, "it was open all the time");
        assert!(!breaker.wants_probe(later + 30 * SECOND), "the pause grows");
        assert!(breaker.wants_probe(later + 60 * SECOND));
        breaker.probe_answered();
        assert_eq!(lack(&breaker, later), None);
        breaker.confirmed(later);
        assert_eq!(lack(&breaker, later), None);
    }

    #[test]
    fn a_trial_whose_end_is_missed_does_not_keep_it_open() {
        let (breaker, start) = breaker();
        breaker.timed_out(start, start, false, words);
        assert!(breaker.wants_probe(start + SECOND));
        breaker.probe_answered();
        assert_eq!(lack(&breaker, start), None, "the trial");
        assert!(breaker.still_admits().is_ok());
        breaker.wants_probe(start + 30 * SECOND);
        assert_eq!(lack(&breaker, start), Some(Lack::Answers));
        breaker.wants_probe(start + 36 * SECOND);
        assert_eq!(lack(&breaker, start), None);
    }
}
