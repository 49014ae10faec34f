//! One seeded defect for each counter: it fires, and nothing else does.

use super::{Dispatches, Logged, Mode, Sends, check_group, check_sends};
use crate::journal::{Event, MemberLine, SendLine, Step};

fn line(step: Step, seq: u64) -> SendLine {
    let at = i64::try_from(seq).unwrap() * 1_000 + if step == Step::Intent { 0 } else { 3_000 };
    SendLine { publisher: 1, seq, step, at }
}

fn logged(offset: i64, seq: u64) -> Logged {
    Logged { partition: 0, offset, publisher: 1, seq }
}

/// Three sends, all delivered and in the log.
fn good_sends() -> (Vec<SendLine>, Vec<Logged>) {
    let lines = (1..=3).flat_map(|seq| [line(Step::Intent, seq), line(Step::Delivered, seq)]);
    (lines.collect(), vec![logged(0, 1), logged(1, 2), logged(2, 3)])
}

fn sends(change: impl FnOnce(&mut Vec<SendLine>, &mut Vec<Logged>)) -> Sends {
    let (mut lines, mut log) = good_sends();
    change(&mut lines, &mut log);
    check_sends(&lines, &log, |publisher| publisher == 1, true)
}

fn faultless() -> Sends {
    Sends { sent: 3, delivered: 3, in_log: 3, stall_millis: 3, ..Sends::default() }
}

#[test]
fn sends_that_all_arrived_count_nothing() {
    assert_eq!(sends(|_, _| {}), faultless());
}

#[test]
fn a_record_reported_delivered_and_not_in_the_log_is_a_lost_ack() {
    let counts = sends(|_, log| {
        log.pop();
    });
    assert_eq!(counts, Sends { in_log: 2, lost_ack: 1, ..faultless() });
}

#[test]
fn a_record_in_the_log_twice_is_a_dup_log() {
    let counts = sends(|_, log| log.push(logged(3, 1)));
    assert_eq!(counts, Sends { in_log: 4, dup_log: 1, ..faultless() });
}

#[test]
fn a_record_reported_not_delivered_and_in_the_log_is_a_ghost() {
    let counts = sends(|lines, _| lines[5].step = Step::NotDelivered);
    assert_eq!(counts, Sends { delivered: 2, not_delivered: 1, ghost: 1, ..faultless() });
}

#[test]
fn a_record_behind_its_successor_is_a_reorder_log() {
    let counts = sends(|_, log| log.swap(0, 1));
    assert_eq!(counts, Sends { reorder_log: 1, ..faultless() });
}

#[test]
fn a_send_without_exactly_one_report_is_counted() {
    let none = sends(|lines, _| {
        lines.pop();
    });
    assert_eq!(none, Sends { delivered: 2, reports: 1, ..faultless() });
    let two = sends(|lines, _| lines.push(line(Step::Delivered, 3)));
    assert_eq!(two, Sends { delivered: 4, reports: 1, ..faultless() });
}

#[test]
fn an_unknown_send_may_be_in_the_log_or_not() {
    let counts = sends(|lines, log| {
        lines[1].step = Step::Unknown;
        lines[5].step = Step::Unknown;
        log.pop();
    });
    assert_eq!(counts, Sends { delivered: 1, unknown: 2, in_log: 2, ..faultless() });
}

#[test]
fn other_publishers_are_not_looked_at() {
    let counts = sends(|lines, log| {
        lines.push(SendLine { publisher: 2, ..line(Step::Delivered, 9) });
        log.push(Logged { publisher: 2, ..logged(3, 8) });
    });
    assert_eq!(counts, faultless());
}

const TAKEN: Event = Event::Assigned { partition: 0, period: 1, start: 0 };

fn commit(id: u64, offset: i64) -> Event {
    Event::Commit { id, partition: 0, offset, position: 3, period: 1 }
}

fn begun(offset: i64) -> Event {
    Event::Begun { partition: 0, offset, period: 1 }
}

fn ended(offset: i64) -> Event {
    Event::Ended { partition: 0, offset, period: 1 }
}

const fn committed(id: u64) -> Event {
    Event::Committed { id, partition: 0 }
}

/// One member that handles three records.
fn good_member(mode: Mode) -> Vec<Event> {
    let handled = (0..3).flat_map(|offset| [begun(offset), ended(offset)]);
    match mode {
        Mode::Amo => [TAKEN, commit(1, 3), committed(1)].into_iter().chain(handled).collect(),
        Mode::Alo => [TAKEN].into_iter().chain(handled).chain([commit(1, 3)]).collect(),
    }
}

fn group(mode: Mode, members: &[Vec<Event>]) -> Dispatches {
    let (_, log) = good_sends();
    let lines = |events: &Vec<Event>| {
        events.iter().map(|what| MemberLine { what: what.clone(), at: 0 }).collect()
    };
    let members: Vec<Vec<MemberLine>> = members.iter().map(lines).collect();
    check_group(mode, &members, &log)
}

fn changed(mode: Mode, change: impl FnOnce(&mut Vec<Event>)) -> Dispatches {
    let mut events = good_member(mode);
    change(&mut events);
    group(mode, &[events])
}

fn calm() -> Dispatches {
    Dispatches { dispatched: 3, ..Dispatches::default() }
}

#[test]
fn records_that_were_all_dispatched_count_nothing() {
    assert_eq!(changed(Mode::Amo, |_| {}), calm());
    assert_eq!(changed(Mode::Alo, |_| {}), calm());
}

#[test]
fn a_record_that_nobody_began_is_a_lost_disp() {
    let counts = changed(Mode::Amo, |events| {
        events.truncate(7);
    });
    assert_eq!(counts, Dispatches { dispatched: 2, lost_disp: 1, ..calm() });
}

#[test]
fn at_least_once_a_record_that_was_begun_and_not_handled_is_a_lost_disp() {
    let counts = changed(Mode::Alo, |events| events.truncate(6));
    assert_eq!(counts, Dispatches { lost_disp: 1, ..calm() });
    let at_most_once = changed(Mode::Amo, |events| events.truncate(8));
    assert_eq!(at_most_once, calm());
}

#[test]
fn a_record_dispatched_by_two_members_is_a_dup_disp() {
    let other = vec![
        Event::Assigned { partition: 0, period: 1, start: 2 },
        commit(1, 3),
        committed(1),
        begun(2),
        ended(2),
    ];
    let counts = group(Mode::Amo, &[good_member(Mode::Amo), other]);
    assert_eq!(counts, Dispatches { dispatched: 4, dup_disp: 1, ..calm() });
}

#[test]
fn a_record_dispatched_before_its_predecessor_is_a_reorder_disp() {
    let counts = changed(Mode::Amo, |events| events.swap(3, 5));
    assert_eq!(counts, Dispatches { reorder_disp: 1, ..calm() });
}

#[test]
fn a_commit_of_a_partition_that_was_lost_is_a_bad_commit() {
    for end in [Event::Lost { partition: 0 }, Event::Released { partition: 0 }] {
        let counts = changed(Mode::Alo, |events| events.insert(7, end));
        assert_eq!(counts, Dispatches { bad_commit: 1, ..calm() });
    }
    let revoked = changed(Mode::Alo, |events| events.insert(7, Event::Revoked { partition: 0 }));
    assert_eq!(revoked, calm());
}

#[test]
fn a_commit_above_the_position_is_a_bad_commit() {
    let counts = changed(Mode::Amo, |events| events[1] = commit(1, 4));
    assert_eq!(counts, Dispatches { bad_commit: 1, ..calm() });
}

#[test]
fn a_commit_above_a_record_that_is_not_handled_is_a_bad_commit() {
    let counts = changed(Mode::Alo, |events| events.swap(6, 7));
    assert_eq!(counts, Dispatches { bad_commit: 1, ..calm() });
}

#[test]
fn a_dispatch_without_a_successful_commit_is_uncovered() {
    let refused = changed(Mode::Amo, |events| {
        events[2] = Event::NotCommitted { id: 1, partition: 0 };
    });
    assert_eq!(refused, Dispatches { uncovered: 3, ..calm() });
    // Unless it is found to have reached the broker.
    let found = changed(Mode::Amo, |events| {
        events[2] = Event::NotCommitted { id: 1, partition: 0 };
        events.insert(3, Event::Found { partition: 0, offset: 3 });
    });
    assert_eq!(found, calm());
    // A commit of an earlier ownership covers nothing.
    let earlier = changed(Mode::Amo, |events| {
        events.insert(3, Event::Assigned { partition: 0, period: 2, start: 0 });
        events[4] = Event::Begun { partition: 0, offset: 0, period: 2 };
    });
    assert_eq!(earlier, Dispatches { uncovered: 1, ..calm() });
}

#[test]
fn the_librarys_own_count_is_added_up() {
    let stat = Event::Stat { name: "unknown_commit".to_owned(), value: 2 };
    let counts = changed(Mode::Amo, |events| events.push(stat));
    assert_eq!(counts, Dispatches { unknown_commit: 2, ..calm() });
}
