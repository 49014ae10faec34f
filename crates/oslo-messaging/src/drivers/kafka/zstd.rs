//! Which brokers are too old for zstd: before Kafka 2.1 there is none.
//!
//! librdkafka goes on without compression there, which is not what the options ask for. No call of
//! it tells what a broker can do; its log does, with `debug=feature`, once for each connection and
//! before the first record goes over it. [`Zstd::note`] reads that, and the producer asks
//! [`Zstd::refusal`] before it takes a record.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::{Cause, Outcome},
    receipt::Failure,
};

/// How long the first record of a producer waits for the word of the first connection. Brokers
/// that cannot be reached are not waited for longer: the record then goes, and fails as any other.
pub(super) const FIRST_WORD: Duration = Duration::from_secs(1);

const LACKING: &str = ": Disabling feature ZSTD";
const HAVING: &str = ": Enabling feature ZSTD";
/// What librdkafka calls a broker of the transport URL until it knows its number.
const UNNUMBERED: &str = "/bootstrap";

/// What is known of the brokers of one producer.
#[derive(Debug, Default)]
pub(super) struct Zstd {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody waits for the first word any more: it came, or was waited for.
    was_heard: bool,
    /// Addresses of brokers without zstd, and whether their numbers are known.
    lacking: BTreeMap<String, bool>,
}

impl Zstd {
    /// Notes a line of librdkafka's log, if it is about zstd.
    pub(super) fn note(&self, words: &str) {
        let (name, lacks) = if let Some(name) = words.strip_suffix(LACKING) {
            (name, true)
        } else if let Some(name) = words.strip_suffix(HAVING) {
            (name, false)
        } else {
            return;
        };
        // `[thrd:HOST:PORT/1]: HOST:PORT/1`, the first part only where threads are named.
        let name = name.rsplit("]: ").next().unwrap_or(name);
        let address = name.rsplit_once('/').map_or(name, |(address, _)| address).to_owned();
        let is_numbered = !name.ends_with(UNNUMBERED);
        let mut state = self.lock();
        state.was_heard = true;
        if lacks {
            *state.lacking.entry(address).or_default() |= is_numbered;
        } else {
            // Upgraded. A name of the transport URL may be another name of the same broker.
            state.lacking.retain(|other, is_numbered| *is_numbered && *other != address);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Why a record cannot be sent with zstd, if it cannot. Waits at most `first_word` while
    /// nothing is known of any broker, and only once.
    pub(super) fn refusal(&self, first_word: Duration) -> Option<Failure> {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, first_word, |state| !state.was_heard);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.was_heard = true;
        if state.lacking.is_empty() {
            return None;
        }
        let brokers: Vec<&str> = state.lacking.keys().map(String::as_str).collect();
        let detail = format!(
            "compression_codec = zstd needs Kafka 2.1 or later, and {} is older: set another \
             compression_codec, such as lz4",
            brokers.join(", ")
        );
        Some(Failure { outcome: Outcome::NotDelivered, cause: Cause::Unsupported, detail })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::Zstd;
    use crate::error::{Cause, Outcome};

    /// The brokers that the refusal names after these lines.
    fn after(lines: &[&str]) -> Option<String> {
        let zstd = Zstd::default();
        for line in lines {
            zstd.note(line);
        }
        let failure = zstd.refusal(Duration::ZERO)?;
        assert_eq!((failure.outcome, failure.cause), (Outcome::NotDelivered, Cause::Unsupported));
        let (_, rest) = failure.detail.split_once(", and ").unwrap();
        Some(rest.split_once(" is older").unwrap().0.to_owned())
    }

    #[test]
    fn brokers_without_zstd_are_known_by_the_words_of_librdkafka_until_they_have_it() {
        let bootstrap = "[thrd:a:1/bootstrap]: a:1/bootstrap: Disabling feature ZSTD";
        let numbered = "[thrd:b:1/2]: sasl_ssl://[::1]:1/2: Disabling feature ZSTD";
        for (lines, expected) in [
            (&[][..], None),
            (&["a:1/1: Disabling feature LZ4", "ZSTD"], None),
            (&[bootstrap], Some("a:1")),
            (&[bootstrap, numbered], Some("a:1, sasl_ssl://[::1]:1")),
            // The same connection, under its later name.
            (&[bootstrap, "a:1/1: Enabling feature ZSTD"], None),
            (&["a:1/1: Disabling feature ZSTD", "a:1/1: Enabling feature ZSTD"], None),
            // Another broker, that is the one of the URL or not.
            (&[bootstrap, "b:1/1: Enabling feature ZSTD"], None),
            (&["a:1/1: Disabling feature ZSTD", "b:1/2: Enabling feature ZSTD"], Some("a:1")),
            (&[bootstrap, "a:1/1: Disabling feature ZSTD", "b:1/2: Enabling feature ZSTD"], {
                Some("a:1")
            }),
        ] {
            assert_eq!(after(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_first_word_is_waited_for_once() {
        let zstd = Zstd::default();
        thread::scope(|scope| {
            scope.spawn(|| zstd.note("a:1/bootstrap: Disabling feature ZSTD"));
            assert!(zstd.refusal(Duration::from_secs(30)).is_some());
        });
        let silent = Zstd::default();
        assert!(silent.refusal(Duration::from_millis(1)).is_none());
        let begun = Instant::now();
        assert!(silent.refusal(Duration::from_secs(30)).is_none());
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
