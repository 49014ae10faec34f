//! Whether the group reads all partitions of its topics.
//!
//! The group's leader deals out what the coordinator's metadata shows at that moment. On a cluster
//! that broker may not have heard of a new topic yet, and librdkafka, whose own metadata shows the
//! topic already, sees no change later that would make it join again: the topic would stay unread,
//! with nothing said, until the group's next rebalance. So each member looks at the group after a
//! rebalance, and joins again where a partition is missing.
//!
//! A member without a part in the group looks, too. Librdkafka (2.12.1) can lose its way: after a
//! restart of the only broker it may know no broker at all any more, and a coordinator that moves to
//! another address under its old node id is not found again. Where another client sees the group at
//! rest without this member, it joins with a new client.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// After a rebalance: time for the brokers to hear of what is new.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// A gap must be seen twice, since topics can grow between the questions.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// When all was there: the broker that was asked may itself have been behind.
const LAST_LOOK: Duration = Duration::from_secs(30);
/// The group was changing, or did not answer. Longer each time, up to the longest pause: a broker
/// that is away can keep the group from being seen whole.
const NEXT_TRY: Duration = Duration::from_secs(5);
/// Joins in a row that did not help make the next one wait longer, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Without a part in the group: longer than a rebalance takes, or a session.
const APART: Duration = Duration::from_secs(20);
/// The group must be seen at rest twice: the member may be on its way in.
const APART_AGAIN: Duration = Duration::from_secs(5);

/// When to look at the group, and what to do then.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    look_at: Option<Instant>,
    last_look: bool,
    gaps: u32,
    rejoins: u32,
    unclear: u32,
    /// Looks that found the group at rest without this member.
    apart: u32,
}

/// What one look at the group showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Complete,
    Gap,
    /// The group is being rebalanced, or the question was not answered.
    Unclear,
    /// It will not be answered: the user may not ask, or the broker cannot answer.
    Refused,
}

impl Coverage {
    /// The group dealt out its partitions.
    pub(super) fn rebalanced(&mut self, now: Instant) {
        let pause = FIRST_LOOK.saturating_mul(1 << self.rejoins.min(6)).min(LONGEST_PAUSE);
        (self.look_at, self.last_look, self.gaps) = (Some(now + pause), false, 0);
        (self.unclear, self.apart) = (0, 0);
    }

    /// This member has no part in the group at the moment.
    pub(super) fn left(&mut self, now: Instant) {
        (self.look_at, self.apart) = (Some(now + APART), 0);
    }

    /// Takes what a member without a part saw: whether the group is at rest, or nothing. `true`: its
    /// client has lost its way.
    pub(super) fn saw_from_apart(&mut self, now: Instant, at_rest: Option<bool>) -> bool {
        match at_rest {
            Some(true) => self.apart += 1,
            Some(false) => self.apart = 0,
            None => {}
        }
        if at_rest != Some(true) {
            self.look_at = Some(now + APART_AGAIN);
            return false;
        }
        let is_sure = self.apart > 1;
        let pause = if is_sure { LONGEST_PAUSE } else { APART_AGAIN };
        self.look_at = Some(now + pause);
        is_sure
    }

    /// When to look next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.look_at
    }

    /// `true`, once: now is the time to ask.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.look_at.is_some_and(|at| at <= now);
        if due {
            self.look_at = None;
        }
        due
    }

    /// Takes what a look showed. `true`: join again.
    pub(super) fn saw(&mut self, now: Instant, seen: Seen) -> bool {
        match seen {
            Seen::Complete => {
                (self.gaps, self.rejoins) = (0, 0);
                self.look_at = (!self.last_look).then_some(now + LAST_LOOK);
                self.last_look = true;
            }
            Seen::Gap if self.gaps == 0 => {
                self.gaps = 1;
                self.look_at = Some(now + SECOND_LOOK);
            }
            Seen::Gap => {
                self.gaps = 0;
                self.rejoins += 1;
                // Where joining leads to no rebalance, the next look is this one's.
                self.look_at = Some(now + LONGEST_PAUSE);
                return true;
            }
            Seen::Unclear => {
                let pause = NEXT_TRY.saturating_mul(1 << self.unclear.min(6)).min(LONGEST_PAUSE);
                self.look_at = Some(now + pause);
                self.unclear += 1;
            }
            Seen::Refused => {}
        }
        false
    }
}

/// The partitions that no member reads, as the numbers of partitions by topic tell.
pub(super) fn missing(
    counts: &HashMap<String, i32>,
    assigned: &[(String, i32)],
) -> Vec<(String, i32)> {
    let assigned: BTreeSet<(&str, i32)> =
        assigned.iter().map(|(topic, number)| (topic.as_str(), *number)).collect();
    let mut missing: Vec<(String, i32)> = counts
        .iter()
        .flat_map(|(topic, count)| (0..*count).map(move |number| (topic, number)))
        .filter(|(topic, number)| !assigned.contains(&(topic.as_str(), *number)))
        .map(|(topic, number)| (topic.clone(), number))
        .collect();
    missing.sort();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_that_stays_makes_the_member_join_again() {
        let (mut coverage, now) = (Coverage::default(), Instant::now());
        assert!(!coverage.is_due(now));
        coverage.rebalanced(now);
        assert!(!coverage.is_due(now));
        assert!(coverage.is_due(now + FIRST_LOOK));
        assert!(!coverage.is_due(now + FIRST_LOOK), "asked once");
        assert!(!coverage.saw(now, Seen::Gap), "it may have grown between the questions");
        assert!(coverage.is_due(now + SECOND_LOOK));
        assert!(coverage.saw(now, Seen::Gap));
        // A join that does not help is not repeated at the same pace.
        coverage.rebalanced(now);
        assert_eq!(coverage.next_look(), Some(now + FIRST_LOOK * 2));
    }

    #[test]
    fn a_complete_group_is_looked_at_once_more_and_then_left_alone() {
        let (mut coverage, now) = (Coverage::default(), Instant::now());
        coverage.rebalanced(now);
        assert!(!coverage.saw(now, Seen::Complete));
        assert!(coverage.is_due(now + LAST_LOOK));
        assert!(!coverage.saw(now, Seen::Complete));
        assert_eq!(coverage.next_look(), None);
    }

    #[test]
    fn a_group_in_motion_is_asked_again_and_a_refusal_ends_it() {
        let (mut coverage, now) = (Coverage::default(), Instant::now());
        coverage.rebalanced(now);
        assert!(!coverage.saw(now, Seen::Unclear));
        assert!(coverage.is_due(now + NEXT_TRY));
        assert!(!coverage.saw(now, Seen::Unclear));
        assert!(!coverage.is_due(now + NEXT_TRY), "not at the same pace");
        assert!(coverage.is_due(now + NEXT_TRY * 2));
        for _ in 0..70 {
            assert!(!coverage.saw(now, Seen::Unclear));
        }
        assert!(coverage.is_due(now + LONGEST_PAUSE));
        assert!(!coverage.saw(now, Seen::Refused));
        assert_eq!(coverage.next_look(), None);
    }

    #[test]
    fn a_member_that_a_group_at_rest_has_not_is_lost_when_that_is_seen_twice() {
        let (mut coverage, now) = (Coverage::default(), Instant::now());
        coverage.left(now);
        assert!(coverage.is_due(now + APART));
        assert!(!coverage.saw_from_apart(now, Some(true)), "it may be on its way in");
        assert!(coverage.is_due(now + APART_AGAIN));
        assert!(!coverage.saw_from_apart(now, Some(false)), "a rebalance is under way");
        assert!(!coverage.saw_from_apart(now, Some(true)));
        assert!(!coverage.saw_from_apart(now, None), "the brokers are away");
        assert!(coverage.is_due(now + APART_AGAIN));
        assert!(coverage.saw_from_apart(now, Some(true)));
        assert_eq!(coverage.next_look(), Some(now + LONGEST_PAUSE));
        coverage.rebalanced(now);
        coverage.left(now);
        assert!(!coverage.saw_from_apart(now, Some(true)), "another time");
    }

    #[test]
    fn what_nobody_reads_is_missing() {
        let counts = HashMap::from([("a".to_owned(), 2), ("b".to_owned(), 1), ("c".to_owned(), 0)]);
        let assigned = [("a".to_owned(), 1), ("other".to_owned(), 0)];
        let expected = vec![("a".to_owned(), 0), ("b".to_owned(), 0)];
        assert_eq!(missing(&counts, &assigned), expected);
    }
}
