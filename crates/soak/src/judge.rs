//! What is wrong after a soak. Pure.

use std::time::Duration;

use crate::{
    run::LISTENERS,
    samples::{Sample, after_warm_up, growth, slopes},
    tally::Counts,
};

/// A slope of the heap says something from here on. The resident memory is shown and not judged: restarts
/// of the broker make peaks, whose memory glibc keeps.
const WHOLE: Duration = Duration::from_secs(3_600);
/// MB/h.
const MAX_SLOPE: f64 = 1.0;
/// More descriptors or threads that a shorter soak may end with: a restart of the broker can give
/// librdkafka one more connection, and a thread for it, once. In a whole soak that is warm-up.
const ONCE: f64 = 2.0;
/// Most records that a listener may dispatch again after it lost its partitions, with
/// `commit = after_dispatch`: what it holds at most (`max_poll_records`).
const HELD: usize = 500;

/// `last_words` are those of the listeners.
pub(crate) fn notifications(counts: &Counts, last_words: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must_be = |what: &str, is: usize, most: usize| {
        if is > most {
            wrong.push(format!("{what} {is}, at most {most}"));
        }
    };
    must_be("unanswered", counts.unanswered, 0);
    for ((name, seen), words) in LISTENERS.iter().zip(counts.listeners).zip(last_words) {
        // Promised: what a commit without an answer may have lost is counted, and only a group
        // that was lost repeats, and only where the commit comes after the dispatch.
        let lost = if *name == "before" { word(words, "unknown_commit") } else { 0 };
        let again = if *name == "after" { word(words, "rebalances").saturating_sub(1) } else { 0 };
        must_be(&format!("{name}: lost"), seen.missing, lost);
        must_be(&format!("{name}: twice"), seen.twice, HELD * again);
        must_be(&format!("{name}: dispatched, though refused"), seen.ghosts, 0);
    }
    if counts.delivered == 0 {
        wrong.push("nothing was delivered".into());
    }
    wrong
}

pub(crate) fn process(name: &str, samples: &[Sample], time: Duration) -> Vec<String> {
    let samples = after_warm_up(samples);
    let mut wrong = Vec::new();
    let slope = slopes(samples).heap;
    if time >= WHOLE && slope >= MAX_SLOPE {
        wrong.push(format!("{name}: the heap grows by {slope:.2} MB/h"));
    }
    let most = if time >= WHOLE { 0.0 } else { ONCE };
    for (what, growth) in [
        ("descriptors", growth(samples, |sample| sample.descriptors)),
        ("threads", growth(samples, |sample| sample.threads)),
    ] {
        if growth > most {
            wrong.push(format!("{name}: {growth} more {what}"));
        }
    }
    wrong
}

/// The value of `name=value` among a role's last words.
fn word(words: &str, name: &str) -> usize {
    let value = words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Seen;

    fn counts(before: Seen, after: Seen) -> Counts {
        Counts { sent: 9, delivered: 9, listeners: [before, after], ..Counts::default() }
    }

    fn words(unknown_commit: usize, rebalances: usize) -> [String; 2] {
        let words = format!("rebalances={rebalances} unknown_commit={unknown_commit}");
        [words.clone(), words]
    }

    #[test]
    fn lost_and_twice_are_wrong_beyond_what_is_promised() {
        let well = Seen::default();
        let lost = Seen { missing: 2, ..well };
        let twice = Seen { twice: 2, ..well };
        let wrong = |before, after, words: [String; 2]| {
            notifications(&counts(before, after), &words).join("; ")
        };
        assert_eq!(wrong(well, well, words(0, 1)), "");
        assert_eq!(wrong(lost, well, words(0, 1)), "before: lost 2, at most 0");
        assert_eq!(wrong(lost, well, words(2, 1)), "");
        assert_eq!(wrong(well, lost, words(2, 1)), "after: lost 2, at most 0");
        assert_eq!(wrong(twice, well, words(0, 2)), "before: twice 2, at most 0");
        assert_eq!(wrong(well, twice, words(0, 1)), "after: twice 2, at most 0");
        assert_eq!(wrong(well, twice, words(0, 2)), "");
        let ghost = Seen { ghosts: 1, ..well };
        assert_eq!(
            wrong(ghost, well, words(0, 1)),
            "before: dispatched, though refused 1, at most 0"
        );
        let silent = Counts { unanswered: 1, ..Counts::default() };
        let wrong = notifications(&silent, &words(0, 1)).join("; ");
        assert_eq!(wrong, "unanswered 1, at most 0; nothing was delivered");
    }

    fn samples(heap_kib: impl Fn(f64) -> f64, threads: impl Fn(f64) -> f64) -> Vec<Sample> {
        let sample = |second| {
            let seconds = f64::from(second);
            let (heap_kib, threads) = (heap_kib(seconds), threads(seconds));
            Sample { seconds, resident_kib: 20_000.0, heap_kib, descriptors: 12.0, threads }
        };
        (0..3_600).map(sample).collect()
    }

    #[test]
    fn a_slope_of_the_heap_is_wrong_in_a_whole_soak() {
        let (one_mb_per_hour, most) = (1e6 / 1024.0 / 3_600.0, |_| 9.0);
        let leak = samples(|seconds| 20_000.0 + seconds * one_mb_per_hour * 1.01, most);
        assert_eq!(process("after", &leak, WHOLE), ["after: the heap grows by 1.01 MB/h"]);
        assert_eq!(process("after", &leak, WHOLE / 2), [""; 0]);
        let steady = samples(|seconds| 20_000.0 + seconds * one_mb_per_hour * 0.99, most);
        assert_eq!(process("after", &steady, WHOLE), [""; 0]);
    }

    #[test]
    fn a_thread_for_each_restart_is_wrong_and_one_for_the_first_is_not_in_a_short_soak() {
        let each = samples(|_| 1.0, |seconds| (seconds / 600.0).floor());
        assert_eq!(process("after", &each, WHOLE), ["after: 3 more threads"]);
        let first = samples(|_| 1.0, |seconds| if seconds < 1_800.0 { 9.0 } else { 10.0 });
        assert_eq!(process("after", &first, WHOLE), ["after: 1 more threads"]);
        assert_eq!(process("after", &first, WHOLE / 2), [""; 0]);
    }
}
