//! The ledger in its small [`world`](super::world) with random events, and with mistakes.

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any},
    strategy::{Strategy, ValueTree},
    test_runner::{TestError, TestRunner},
};

use super::{
    Mode,
    world::{BEFORE, Mutant, history},
};

/// Events of one history.
const EVENTS: usize = 90;

/// Tries so many histories; the shortest that goes wrong.
fn search(mode: Mode, mutant: Mutant, cases: u32) -> Option<String> {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let events = vec((any::<u8>(), any::<u8>()), 0..EVENTS);
    let found = TestRunner::new(config).run(&events, |events| {
        let played = history(mode, mutant, &events).map(drop);
        played.map_err(proptest::test_runner::TestCaseError::fail)
    });
    match found {
        Ok(()) => None,
        Err(TestError::Fail(why, events)) => Some(format!("{why}: {events:?}")),
        Err(other) => panic!("{other}"),
    }
}

/// Half of `OSLOMSG_HISTORIES` (default 100,000) for each mode.
fn cases() -> u32 {
    let given = std::env::var("OSLOMSG_HISTORIES").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(100_000) / 2
}

#[test]
fn before_dispatch_every_history_keeps_the_rules() {
    assert_eq!(search(BEFORE, Mutant::None, cases()), None);
}

#[test]
fn after_dispatch_every_history_keeps_the_rules() {
    assert_eq!(search(Mode::AfterDispatch, Mutant::None, cases()), None);
}

#[test]
fn every_mistake_is_caught() {
    let before = [
        (Mutant::BelievesRefusals, "without a commit"),
        (Mutant::DispatchesTwice, "out of order"),
        (Mutant::ForgetsARecord, ""),
        (Mutant::Reverses, "out of order"),
        (Mutant::IgnoresRevocations, "without owning it"),
        (Mutant::CommitsTooFar, "past what was taken"),
        (Mutant::ForgetsTheWindow, "records wait"),
        (Mutant::NeverHearsOfTheEnd, "no end"),
        (Mutant::HidesUnknownCommits, "lost, 0 admitted"),
        (Mutant::BelievesForeignTokens, "dispatched"),
    ];
    let after = [
        (Mutant::CommitsTooFar, "past"),
        (Mutant::IgnoresRevocations, "without owning it"),
        (Mutant::NeverHearsOfTheEnd, "no end"),
        (Mutant::Reverses, "out of order"),
        (Mutant::TakesLeftForDone, "past"),
    ];
    let before = before.map(|(mutant, words)| (BEFORE, mutant, words));
    let after = after.map(|(mutant, words)| (Mode::AfterDispatch, mutant, words));
    for (mode, mutant, words) in before.into_iter().chain(after) {
        let found = search(mode, mutant, 20_000).unwrap_or_default();
        println!("{mode:?} {mutant:?}: {}", found.lines().next().unwrap_or("NOT CAUGHT"));
        assert!(!found.is_empty() && found.contains(words), "{mode:?} {mutant:?}: {found}");
    }
}

#[test]
fn a_commit_that_is_read_back_saves_most_of_what_would_be_lost() {
    let lost = |mutant| {
        let mut runner = TestRunner::deterministic();
        let events = vec((any::<u8>(), any::<u8>()), EVENTS);
        let one = |runner: &mut TestRunner| events.new_tree(runner).unwrap().current();
        (0..4_000).map(|_| history(BEFORE, mutant, &one(&mut runner)).unwrap()).sum::<usize>()
    };
    let (with, without) = (lost(Mutant::None), lost(Mutant::ReadsNoTokens));
    println!("lost in 4,000 histories: {with}, without tokens {without}");
    assert!(with * 2 < without, "{with} of {without}");
}
