//! Spooled mode: calls append to the spool, and this thread sends what is in it.
//!
//! Records are handed to librdkafka in the order of the appends, without a timeout of their own,
//! and are done when the broker has them. A topic that refuses for now waits and is tried again;
//! the others go on. Only the record itself can be at fault for good: then it is set aside.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::{
    hand_over::{Held, InFlight},
    producer::{Fate, Inner},
    supervisor,
    zstd::FIRST_WORD,
};
use crate::{
    driver::Outgoing,
    error::Cause,
    receipt::{Failure, Report, Subject},
    spool::{Entry, Next, Spool, Spooled},
};

/// Longest time in which what is done is not written down: what a killed process repeats.
const WRITE_DONE_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for something to do.
const IDLE: Duration = Duration::from_millis(50);
/// How long a full queue of librdkafka is left to drain.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);
/// First and longest wait before a topic that refused is tried again.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const SLOWEST_RETRY: Duration = Duration::from_secs(30);

/// Topics that have to wait: until when (`None` once they may be tried again), and how long the
/// last wait was.
#[derive(Debug, Default)]
pub(super) struct Blocked(Mutex<HashMap<String, (Option<Instant>, Duration)>>);

impl Blocked {
    fn is_blocked(&self, topic: &str) -> bool {
        self.lock().get(topic).is_some_and(|(until, _)| until.is_some())
    }

    fn block(&self, topic: &str, now: Instant) {
        let mut topics = self.lock();
        let pause = match topics.get(topic) {
            // Its other records come back at about the same time.
            Some((Some(_), _)) => return,
            Some((None, pause)) => (*pause * 2).min(SLOWEST_RETRY),
            None => FIRST_RETRY,
        };
        topics.insert(topic.to_owned(), (Some(now + pause), pause));
    }

    fn works(&self, topic: &str) {
        let mut topics = self.lock();
        if !topics.is_empty() {
            topics.remove(topic);
        }
    }

    /// Lets topics be tried again whose time has come. `true` when there are any, or when none has
    /// to wait.
    fn unblock(&self, now: Instant) -> bool {
        let mut topics = self.lock();
        let (mut any, mut waiting) = (false, false);
        for (until, _) in topics.values_mut() {
            if until.is_some_and(|until| now >= until) {
                (*until, any) = (None, true);
            }
            waiting |= until.is_some();
        }
        any || !waiting
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Option<Instant>, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of a call, as it goes to disk.
pub(super) fn entry(topic: &str, outgoing: &Outgoing, report: &Report) -> Entry {
    Entry {
        topic: topic.to_owned(),
        message_id: report.message_id().to_owned(),
        event_type: report.subject().map_or_else(String::new, |s| s.event_type.clone()),
        priority: outgoing.priority,
        key: outgoing.key.clone(),
        headers: outgoing.headers.clone(),
        body: outgoing.body.clone(),
    }
}

/// Sends what is in the spool until the producer is stopped.
pub(super) fn run(producer: &Weak<Inner>, spool: &Arc<Spool>) {
    let mut written = Instant::now();
    loop {
        let Some(inner) = producer.upgrade().filter(|inner| !inner.has_given_up()) else { return };
        let now = Instant::now();
        spool.adopt_orphans(now);
        if inner.blocked.unblock(now) {
            spool.folders().iter().filter(|f| f.has_skipped()).for_each(|f| f.rewind());
        }
        let folder = spool.folder_to_drain();
        let busy = match folder.next(|entry| inner.blocked.is_blocked(&entry.topic)) {
            Ok(Next::Entry(entry, position)) => {
                let spooled = Spooled { folder, position };
                hand_over(&inner, entry, spooled);
                true
            }
            Ok(Next::Damage(bytes, position, file)) => {
                let path = spool.set_aside(&folder, "damaged", &bytes);
                tracing::error!(
                    "spool {}: {} bytes are no record; they are kept in {}, the records behind \
                     them are sent",
                    file.display(),
                    bytes.len(),
                    path.display()
                );
                inner.stats.spool_damaged.add(1);
                folder.done(position);
                true
            }
            Ok(Next::Nothing) => {
                let handed_out = !folder.is_own();
                if handed_out {
                    folder.set_handed_out();
                }
                handed_out
            }
            Err(error) => {
                if inner.health.may_say(format!("spool: {error}")) {
                    tracing::error!("spool {}: {error}", folder.path().display());
                }
                false
            }
        };
        // Whoever closes the producer must not wait for this handle.
        drop(inner);
        if !busy || now.saturating_duration_since(written) >= WRITE_DONE_EVERY {
            written = now;
            remove_drained(spool);
            spool.write_done();
        }
        if !busy {
            spool.wait(IDLE);
        }
    }
}

fn remove_drained(spool: &Spool) {
    for folder in spool.adopted().iter().filter(|folder| folder.is_drained()) {
        tracing::info!("spool: all of {} is sent", folder.path().display());
        spool.remove_drained(folder);
    }
}

/// Hands a record over, waiting for room as long as it takes.
fn hand_over(inner: &Arc<Inner>, entry: Entry, spooled: Spooled) {
    let subject = Subject {
        message_id: entry.message_id,
        event_type: entry.event_type,
        priority: entry.priority,
    };
    let stats = Arc::clone(&inner.stats);
    let report = Report::of_accepted(subject, stats, &entry.topic, entry.body.len());
    let in_flight = Box::new(InFlight::of_spooled(report, inner.next_order(), spooled));
    let mut held = Held::new(entry.topic, entry.key, entry.headers, entry.body, in_flight);
    if inner.options.sends_zstd
        && let Some(failure) = inner.health.zstd.refusal(FIRST_WORD)
    {
        return inner.fail_in_flight(*held.in_flight, failure);
    }
    loop {
        if inner.has_given_up() {
            return leave(*held.in_flight);
        }
        let current = inner.current().filter(|current| current.fate.get() == Fate::Alive);
        let Some(current) = current.filter(|_| !inner.waiting.is_holding()) else {
            thread::sleep(FULL_QUEUE_PAUSE);
            continue;
        };
        let (parts, in_flight) = held.into_parts();
        let Err((error, back)) = current.client.send(parts.record(in_flight)) else { return };
        let in_flight = back.delivery_opaque;
        held = parts.held(in_flight);
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => thread::sleep(FULL_QUEUE_PAUSE),
            Some(Code::Fatal) => current.fate.note_fatal(),
            code => return supervisor::client_refused(inner, held, &error, code),
        }
    }
}

/// The broker has a record of the spool.
pub(super) fn delivered(inner: &Inner, in_flight: InFlight, spooled: &Spooled) {
    spooled.folder.done(spooled.position);
    if let Some(report) = in_flight.into_report() {
        inner.blocked.works(report.topic());
        report.delivered();
    }
}

/// A record of the spool was not taken: for good, or for now.
pub(super) fn failed(inner: &Inner, in_flight: InFlight, spooled: &Spooled, failure: Failure) {
    let Some(report) = in_flight.into_report() else { return };
    let folder = &spooled.folder;
    match failure.cause {
        Cause::TooLarge | Cause::InvalidTopic | Cause::Encoding | Cause::Refused => {
            if let (Ok(bytes), Some(spool)) = (folder.raw(spooled.position), inner.spool.get()) {
                spool.set_aside(folder, "refused", &bytes);
            }
            folder.done(spooled.position);
            report.failed(failure);
        }
        _ => {
            inner.blocked.block(report.topic(), Instant::now());
            let words = format!("spool: {} waits: {}", report.topic(), failure.detail);
            if inner.health.may_say(words.clone()) {
                tracing::error!("{words}; its notifications stay in the spool and are sent later");
            }
            report.forget();
            folder.not_done(spooled.position);
        }
    }
}

/// A record of the spool stays there, for the next process.
pub(super) fn leave(mut in_flight: InFlight) {
    let spooled = in_flight.spooled.take();
    if let Some(report) = in_flight.into_report() {
        report.forget();
    }
    if let Some(spooled) = spooled {
        spooled.folder.not_done(spooled.position);
    }
}
