//! What became of each record: a pure function from journals and log to counters.
//!
//! | counter | counts |
//! |---|---|
//! | `LOST_ACK` | reported delivered, not in the log |
//! | `DUP_LOG` | in the log once more |
//! | `GHOST` | reported not delivered, in the log |
//! | `REORDER_LOG` | before its predecessor, within publisher and partition |
//! | `REPORTS` | sends without exactly one report, of publishers that ended in order |
//! | `LOST_DISP` | in the log, never dispatched (at least once: never handled) |
//! | `DUP_DISP` | a partition's offset dispatched once more, by whichever member |
//! | `REORDER_DISP` | before its predecessor, within one ownership period |
//! | `BAD_COMMIT` | a commit of a partition not owned, above the position, or (at least once) above a record that is not handled |
//! | `UNCOVERED` | at most once: dispatched without a successful commit above it in its own ownership period |

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;

use crate::journal::{Event, MemberLine, SendLine, Step};

/// A record as the topic has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) publisher: u32,
    pub(crate) seq: u64,
}

/// When a group commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum Mode {
    /// Before the dispatch: at most once.
    #[default]
    Amo,
    /// After it: at least once.
    Alo,
}

/// What became of sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sends {
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) not_delivered: u64,
    pub(crate) unknown: u64,
    pub(crate) in_log: u64,
    pub(crate) lost_ack: u64,
    pub(crate) dup_log: u64,
    pub(crate) ghost: u64,
    pub(crate) reorder_log: u64,
    pub(crate) reports: u64,
    /// Longest time from a send to its report of delivery.
    pub(crate) stall_millis: u64,
}

/// What became of a group's records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Dispatches {
    pub(crate) dispatched: u64,
    pub(crate) lost_disp: u64,
    pub(crate) dup_disp: u64,
    pub(crate) reorder_disp: u64,
    pub(crate) bad_commit: u64,
    pub(crate) uncovered: u64,
    /// The library's own counter, of members that ended in order.
    pub(crate) unknown_commit: u64,
}

/// Judges the sends of the publishers that `of` holds true for. `ended`: whether they all ended in
/// order.
pub(crate) fn check_sends(
    lines: &[SendLine],
    log: &[Logged],
    of: impl Fn(u32) -> bool,
    ended: bool,
) -> Sends {
    let mut counts = Sends::default();
    let mut in_log: HashSet<(u32, u64)> = HashSet::new();
    let mut last: HashMap<(u32, i32), u64> = HashMap::new();
    for record in log.iter().filter(|record| of(record.publisher)) {
        counts.in_log += 1;
        if !in_log.insert((record.publisher, record.seq)) {
            counts.dup_log += 1;
            continue;
        }
        let last = last.entry((record.publisher, record.partition)).or_default();
        counts.reorder_log += u64::from(record.seq < *last);
        *last = record.seq.max(*last);
    }
    let mut intents: HashMap<(u32, u64), (i64, u32)> = HashMap::new();
    for line in lines.iter().filter(|line| of(line.publisher)) {
        let key = (line.publisher, line.seq);
        if line.step == Step::Intent {
            counts.sent += 1;
            intents.insert(key, (line.at, 0));
            continue;
        }
        let stored = in_log.contains(&key);
        if let Some((begun, reports)) = intents.get_mut(&key) {
            *reports += 1;
            if line.step == Step::Delivered {
                let waited = u64::try_from(line.at - *begun).unwrap_or(0) / 1_000;
                counts.stall_millis = counts.stall_millis.max(waited);
            }
        }
        match line.step {
            Step::Delivered => {
                counts.delivered += 1;
                counts.lost_ack += u64::from(!stored);
            }
            Step::NotDelivered => {
                counts.not_delivered += 1;
                counts.ghost += u64::from(stored);
            }
            Step::Unknown | Step::Intent => counts.unknown += 1,
        }
    }
    let wrong = |(_, reports): &&(i64, u32)| *reports > 1 || (ended && *reports == 0);
    counts.reports = intents.values().filter(wrong).count() as u64;
    counts
}

/// Judges one group by the journals of its members, each in the order of its lines.
pub(crate) fn check_group(mode: Mode, members: &[Vec<MemberLine>], log: &[Logged]) -> Dispatches {
    let mut counts = Dispatches::default();
    let (mut begun, mut handled) = (HashMap::new(), HashSet::new());
    for lines in members {
        let mut member = Member { mode, ..Member::default() };
        for MemberLine { what, .. } in lines {
            member.take(what, &mut counts);
            match what {
                Event::Begun { partition, offset, .. } => {
                    *begun.entry((*partition, *offset)).or_insert(0_u64) += 1;
                }
                Event::Ended { partition, offset, .. } => {
                    handled.insert((*partition, *offset));
                }
                _ => {}
            }
        }
    }
    counts.dispatched = begun.values().sum();
    counts.dup_disp = begun.values().map(|times| times - 1).sum();
    let came = |record: &&Logged| {
        let place = (record.partition, record.offset);
        if mode == Mode::Amo { begun.contains_key(&place) } else { handled.contains(&place) }
    };
    counts.lost_disp = log.iter().filter(|record| !came(record)).count() as u64;
    counts
}

/// One process of a group, as far as its lines were read.
#[derive(Default)]
struct Member {
    mode: Mode,
    /// By partition, the period that has not ended.
    owned: HashMap<i32, u32>,
    periods: HashMap<u32, Period>,
    /// By commit and partition, the period and the offset.
    commits: HashMap<(u64, i32), (u32, i64)>,
}

#[derive(Default)]
struct Period {
    /// Below it everything is committed.
    committed: i64,
    last_begun: Option<i64>,
    unhandled: BTreeSet<i64>,
}

impl Member {
    fn take(&mut self, event: &Event, counts: &mut Dispatches) {
        match *event {
            Event::Assigned { partition, period, .. } => {
                self.owned.insert(partition, period);
                self.periods.insert(period, Period::default());
            }
            Event::Lost { partition } | Event::Released { partition } => {
                self.owned.remove(&partition);
            }
            Event::Commit { id, partition, offset, position, period } => {
                let owned = self.owned.get(&partition) == Some(&period);
                let state = self.periods.entry(period).or_default();
                let over_unhandled = self.mode == Mode::Alo
                    && state.unhandled.first().is_some_and(|first| *first < offset);
                counts.bad_commit += u64::from(!owned || offset > position || over_unhandled);
                self.commits.insert((id, partition), (period, offset));
            }
            Event::Committed { id, partition } => {
                if let Some((period, offset)) = self.commits.remove(&(id, partition)) {
                    let state = self.periods.entry(period).or_default();
                    state.committed = state.committed.max(offset);
                }
            }
            Event::Found { partition, offset } => {
                // Its own commits up to there have succeeded, whatever was said of them.
                let own = self.commits.iter().filter(|((_, of), _)| *of == partition);
                for (period, upto) in own.map(|(_, commit)| *commit).filter(|(_, u)| *u <= offset) {
                    let state = self.periods.entry(period).or_default();
                    state.committed = state.committed.max(upto);
                }
            }
            Event::Begun { offset, period, .. } => {
                let state = self.periods.entry(period).or_default();
                let uncovered = self.mode == Mode::Amo && offset >= state.committed;
                counts.uncovered += u64::from(uncovered);
                let reordered = state.last_begun.is_some_and(|last| offset < last);
                counts.reorder_disp += u64::from(reordered);
                state.last_begun = Some(offset);
                state.unhandled.insert(offset);
            }
            Event::Ended { offset, period, .. } => {
                self.periods.entry(period).or_default().unhandled.remove(&offset);
            }
            Event::Stat { ref name, value } if name == "unknown_commit" => {
                counts.unknown_commit += value;
            }
            Event::Stat { .. } | Event::Revoked { .. } | Event::NotCommitted { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
