//! The producer's own thread: it serves librdkafka's callbacks, and between them does what no call
//! waits for. It looks at the connections, ends sends whose time has come, hands over again,
//! makes another librdkafka producer where the old one is of no more use, and asks the brokers
//! for a breaker that is open.

use std::{
    sync::{Arc, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{Producer, PurgeConfig},
};

use super::{
    config::Delivery,
    error::failure,
    hand_over::Held,
    native,
    producer::{Fate, Generation, Inner, PURGE_REPORTS, refused, unknown},
    topics,
};
use crate::{error::Cause, receipt::Failure};

/// Longest time between two looks.
const TICK: Duration = Duration::from_millis(100);
/// The same while records wait to be handed over again.
const SHORT_TICK: Duration = Duration::from_millis(5);
/// How long requests that are on their way get to be answered after a fatal error.
const FATAL_FLUSH: Duration = Duration::from_secs(2);
/// How long a new topic is left to become known before it is asked for again.
const NEW_TOPIC_PAUSE: Duration = Duration::from_millis(50);
/// How long brokers have to answer a probe.
const PROBE_ANSWER: Duration = Duration::from_secs(5);
/// While a connection is lost and records wait: how often the other brokers are asked for the
/// leaders. Librdkafka asks once at the loss, when the cluster may not have noticed it yet, and
/// then after `topic.metadata.refresh.interval.ms`.
const LEADERS_PAUSE: Duration = Duration::from_secs(1);

/// How long a spool waits before it asks again whether the user may produce.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// How long a refusal is the answer to further sends.
const REFUSED_ANSWER: Duration = Duration::from_secs(1);

/// Runs until the producer is dropped.
pub(super) fn run(producer: &Weak<Inner>) {
    loop {
        let Some(inner) = producer.upgrade().filter(|inner| !inner.is_stopped()) else { return };
        let Some(current) = inner.current() else {
            // The first one is being made.
            thread::sleep(SHORT_TICK);
            continue;
        };
        let tick = if inner.waiting.is_holding() { SHORT_TICK } else { TICK };
        // Whoever closes the producer must not wait for this handle.
        drop(inner);
        current.client.poll(tick);
        let Some(inner) = producer.upgrade() else { return };
        if !inner.is_stopped() {
            supervise(&inner, &current);
        }
    }
}

fn supervise(inner: &Arc<Inner>, current: &Arc<Generation>) {
    let now = Instant::now();
    inner.health.log_in(current.client.client());
    // The event of a fatal error has the code of its cause: only the client says that it is one.
    let fatal = current.client.client().fatal_error();
    if let Some((Code::ClusterAuthorizationFailed, _)) = fatal {
        if inner.options.delivery == Delivery::Confirmed {
            // A broker has answered: what lacks is no connection.
            inner.breaker.connections(now, true, String::new);
        }
        refused_by_broker(inner, current);
    } else if current.fate.get() == Fate::Fatal || fatal.is_some() {
        current.fate.set(Fate::Fatal);
        replace_fatal(inner, current);
    } else if inner.options.delivery == Delivery::Confirmed {
        let words = || inner.health.last_error().map_or_else(String::new, |last| last.reason);
        let must_fail = inner.breaker.connections(now, inner.any_connection(), words);
        if must_fail && inner.unanswered() > 0 && current.fate.get() == Fate::Alive {
            fail_held(inner, current);
        }
    }
    if inner.is_connection_lost() && inner.unanswered() > 0 {
        ask_for_leaders(inner, current, now);
    }
    end_expired(inner, now);
    if inner.waiting.is_holding() {
        hand_over_waiting(inner);
    }
    if inner.breaker.wants_probe(now) {
        probe(inner);
    }
}

/// An idempotence error: the producer takes nothing more. What surely was not stored goes to the
/// next one in the order of its calls, what may be stored is unknown.
fn replace_fatal(inner: &Arc<Inner>, current: &Arc<Generation>) {
    inner.waiting.hold();
    let words = current.client.client().fatal_error().map_or_else(String::new, |(_, words)| words);
    tracing::error!("librdkafka's producer has failed for good and is made anew: {words}");
    let new = match Inner::make(inner) {
        Ok(new) => new,
        Err(error) => return tracing::error!("{error}; tried again"),
    };
    // Requests on their way keep their answers; then the rest is reported.
    if current.client.flush(FATAL_FLUSH).is_err() {
        current.client.purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = current.client.flush(PURGE_REPORTS) {
            tracing::error!("reports of what the failed producer held are missing: {error}");
        }
    }
    put_in_place(inner, new);
}

/// The user may not even begin to produce. What is held fails at once; the next producer is made when
/// there is a send that it may be allowed, and not before.
fn refused_by_broker(inner: &Arc<Inner>, current: &Arc<Generation>) {
    if current.fate.get() == Fate::Refused {
        let left = inner.spool.get().is_some_and(|spool| !spool.is_drained());
        let mut asked = inner.asked_after_refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = asked.map_or(Duration::MAX, |asked| asked.elapsed());
        if inner.waiting.len() > 0 && quiet < REFUSED_ANSWER {
            // The last answer is good for a moment: a busy sender does not log in for each send.
            fail_waiting(inner);
        } else if inner.waiting.len() > 0 || left && quiet >= REFUSED_PAUSE {
            *asked = Some(Instant::now());
            match Inner::make(inner) {
                Ok(new) => put_in_place(inner, new),
                Err(error) => tracing::error!("{error}; tried again"),
            }
        }
        return;
    }
    current.fate.set(Fate::Refused);
    inner.waiting.hold();
    if inner.health.may_say("no producer id".to_owned()) {
        tracing::error!("the brokers let nothing be sent: {}", refusal().detail);
    }
    current.client.purge(PurgeConfig::default().queue().inflight());
    if let Err(error) = current.client.flush(PURGE_REPORTS) {
        tracing::error!("reports of what was held are missing: {error}");
    }
    fail_waiting(inner);
    inner.waiting.release();
}

fn refusal() -> Failure {
    failure(Code::ClusterAuthorizationFailed, false, None)
}

fn fail_waiting(inner: &Inner) {
    for held in inner.waiting.take_all() {
        inner.breaker.undecided(held.in_flight.begun);
        inner.fail_in_flight(*held.in_flight, refusal());
    }
}

/// No connection for `connect_timeout`: what is held fails. A purge leaves gaps in an idempotent
/// producer's numbers, so another one goes on.
fn fail_held(inner: &Arc<Inner>, current: &Arc<Generation>) {
    let new = match Inner::make(inner) {
        Ok(new) => new,
        Err(error) => return tracing::error!("{error}; tried again"),
    };
    current.fate.set(Fate::NoConnection);
    current.client.purge(PurgeConfig::default().queue().inflight());
    if let Err(error) = current.client.flush(PURGE_REPORTS) {
        tracing::error!("reports of what was held are missing: {error}");
    }
    for held in inner.waiting.take_all() {
        inner.fail_in_flight(*held.in_flight, inner.no_connection(false));
    }
    put_in_place(inner, new);
}

fn put_in_place(inner: &Arc<Inner>, new: Arc<Generation>) {
    inner.forget_statistics();
    inner.stats.producer_rebuilt.add(1);
    let old = inner.replace(new);
    // Ending it joins its threads, which may be resolving a name.
    let ended = thread::Builder::new().name("kafka-old-producer".into()).spawn(move || drop(old));
    if let Err(error) = ended {
        tracing::error!("could not start a thread: {error}");
    }
}

/// Ends the sends whose deadline has come although librdkafka would go on.
fn end_expired(inner: &Arc<Inner>, now: Instant) {
    for (begun, report) in inner.late.expired(now) {
        let words = "no answer within delivery_timeout, which began before the last hand-over";
        if inner.options.delivery == Delivery::Confirmed {
            inner.breaker.timed_out(now, begun, false, || words.to_owned());
        }
        inner.fail(report, unknown(words));
    }
    for held in inner.waiting.expired(now) {
        let last = inner.health.last_error();
        let failure = failure(Code::MessageTimedOut, false, last.as_ref());
        inner.fail_in_flight(*held.in_flight, failure);
    }
}

/// Hands over again what waits, in the order of the calls, as far as there is room.
fn hand_over_waiting(inner: &Arc<Inner>) {
    let Some(current) = inner.current().filter(|current| current.fate.get() == Fate::Alive) else {
        return;
    };
    while let Some(mut held) = inner.waiting.next() {
        let timeout = inner.options.record_timeout;
        inner.late.watch(&mut held.in_flight, Instant::now(), timeout);
        let (parts, in_flight) = held.into_parts();
        let Err((error, back)) = current.client.send(parts.record(in_flight)) else { continue };
        let in_flight = back.delivery_opaque;
        let held = parts.held(in_flight);
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => return inner.waiting.hold_again(held),
            Some(Code::Fatal) => {
                current.fate.note_fatal();
                return inner.waiting.hold_again(held);
            }
            code => client_refused(inner, held, &error, code),
        }
    }
    inner.waiting.release();
}

/// librdkafka does not take a record, and would not take it later: a topic that is missing is
/// created first, anything else is a failure.
pub(super) fn client_refused(
    inner: &Arc<Inner>,
    mut held: Held,
    error: &KafkaError,
    code: Option<Code>,
) {
    let is_missing = matches!(code, Some(Code::UnknownTopic | Code::UnknownTopicOrPartition));
    if is_missing && inner.options.create_topics && !held.in_flight.topic_was_created {
        held.in_flight.topic_was_created = true;
        return create_topic(inner, held);
    }
    let failure = inner.send_failure(error, code, held.body().len());
    inner.fail_in_flight(*held.in_flight, failure);
}

/// Asks who leads now, on a thread of its own, one question at a time.
fn ask_for_leaders(inner: &Arc<Inner>, current: &Arc<Generation>, now: Instant) {
    let mut due = inner.leaders_due.lock().unwrap_or_else(PoisonError::into_inner);
    if due.is_none_or(|due| due > now) {
        return;
    }
    let (current, producer) = (Arc::clone(current), Arc::downgrade(inner));
    let work = move || {
        if !native::refresh_leaders(current.client.client(), LEADERS_PAUSE) {
            tracing::debug!("no broker says who leads now");
        }
        let Some(inner) = producer.upgrade() else { return };
        *inner.leaders_due.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + LEADERS_PAUSE);
    };
    *due = None;
    if let Err(error) = thread::Builder::new().name("kafka-leaders".into()).spawn(work) {
        tracing::error!("could not start a thread: {error}");
        *due = Some(now + LEADERS_PAUSE);
    }
}

/// Asks the brokers whether they answer, on a thread of its own.
fn probe(inner: &Arc<Inner>) {
    let Some(current) = inner.current() else { return };
    let topic = inner.suspect.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let producer = Arc::downgrade(inner);
    let work = move || {
        let answer = current.client.client().fetch_metadata(Some(&topic), PROBE_ANSWER);
        match (answer, producer.upgrade()) {
            (Ok(_), Some(inner)) => inner.breaker.probe_answered(),
            (Ok(_), None) => {}
            (Err(error), _) => tracing::debug!("the brokers do not answer yet: {error}"),
        }
    };
    if let Err(error) = thread::Builder::new().name("kafka-probe".into()).spawn(work) {
        tracing::error!("could not start a thread: {error}");
    }
}

/// Holds a record back until its topic was created, by the first that needs it.
///
/// Called from a delivery report, whose thread must not wait: the work is done on a thread of its
/// own.
pub(super) fn create_topic(inner: &Arc<Inner>, held: Held) {
    let (topic, deadline) = (held.topic.clone(), held.in_flight.deadline);
    if !inner.waiting.hold_for_topic(held) {
        return;
    }
    let producer = Arc::downgrade(inner);
    let options = Arc::clone(&inner.options);
    let name = topic.clone();
    let work = move || {
        let left = || {
            let left = |end: Instant| end.saturating_duration_since(Instant::now());
            deadline.map_or(options.delivery_timeout, left)
        };
        let failed = topics::create(&options, &[&topic], left());
        let Some(inner) = producer.upgrade() else { return };
        match failed.first() {
            None => {
                if let Some(current) = inner.current() {
                    wait_for_topic(&current, &topic, left());
                }
                inner.waiting.topic_created(&topic);
            }
            Some((_, reason)) => topic_failed(&inner, &topic, reason),
        }
    };
    if let Err(error) = thread::Builder::new().name("kafka-create-topic".into()).spawn(work) {
        topic_failed(inner, &name, &format!("no thread for it: {error}"));
    }
}

fn topic_failed(inner: &Inner, topic: &str, reason: &str) {
    for held in inner.waiting.topic_failed(topic) {
        let detail = format!("the topic does not exist and was not created: {reason}");
        inner.fail_in_flight(*held.in_flight, refused(Cause::UnknownTopic, &detail));
    }
}

/// The producer remembers that the topic did not exist until it asks again.
fn wait_for_topic(current: &Generation, topic: &str, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let found = current.client.client().fetch_metadata(Some(topic), left);
        let partitions = found.iter().flat_map(|found| found.topics());
        if left.is_zero() || partitions.map(|topic| topic.partitions().len()).sum::<usize>() > 0 {
            return;
        }
        thread::sleep(NEW_TOPIC_PAUSE);
    }
}
