//! The ledger as its rules have it, case by case.

use super::{
    COMMIT_PAUSE, CommitFailure, Committed, FIRST_BACKOFF, FULL_BEFORE_PAUSE, Input, Ledger,
    Limits, Mode, Output, Slot, Window,
};
use std::time::{Duration, Instant};

/// A ledger whose records are their offsets, and a clock.
struct Bench {
    ledger: Ledger<i64>,
    now: Instant,
}

impl Bench {
    fn new(window: Window) -> Self {
        Self::with(Mode::BeforeDispatch(window))
    }

    fn with(mode: Mode) -> Self {
        let limits = Limits { max_records: 10, mode, drain: Duration::from_secs(5) };
        let mut bench = Self { ledger: Ledger::new(limits), now: Instant::now() };
        bench.tell(Input::Assigned { slot: 0, pin: None });
        assert_eq!(bench.outputs(), []);
        bench
    }

    fn tell(&mut self, input: Input<i64>) {
        self.ledger.handle(self.now, input);
    }

    fn poll(&mut self, slot: Slot, offsets: std::ops::Range<i64>) {
        for offset in offsets {
            self.tell(Input::Polled { slot, offset, record: offset });
        }
    }

    fn outputs(&mut self) -> Vec<Output<i64>> {
        self.ledger.settle(self.now);
        std::iter::from_fn(|| self.ledger.next_output()).collect()
    }

    fn answer(&mut self, id: u64, slot: Slot, result: Result<(), CommitFailure>) {
        self.tell(Input::CommitResult { id, slot, result });
    }

    fn dispatched(&mut self, slot: Slot, period: u32, count: usize) {
        for _ in 0..count {
            self.tell(Input::Dispatched { slot, period });
        }
    }

    fn finished(&mut self, slot: Slot, period: u32, count: usize) {
        for _ in 0..count {
            self.finished_at(slot, period, 0, true);
        }
    }

    fn finished_at(&mut self, slot: Slot, period: u32, offset: i64, done: bool) {
        let took = Duration::from_millis(1);
        self.tell(Input::Finished { slot, period, offset, done, took });
    }

    fn after(&mut self, wait: Duration) {
        self.now += wait;
        self.tell(Input::Tick);
    }
}

fn commit(id: u64, slot: Slot, offset: i64) -> Output<i64> {
    Output::Commit { id, offsets: vec![(slot, offset)] }
}

fn dispatch(slot: Slot, period: u32, offsets: std::ops::Range<i64>) -> Output<i64> {
    Output::Dispatch { slot, period, records: offsets.map(|o| (o, o)).collect() }
}

#[test]
fn records_are_dispatched_only_after_their_commit_succeeded() {
    let mut bench = Bench::new(Window::Fixed(3));
    bench.poll(0, 5..10);
    assert_eq!(bench.outputs(), [commit(0, 0, 8)]);
    assert_eq!(bench.outputs(), []);
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [dispatch(0, 1, 5..8)]);
}

#[test]
fn the_next_commit_waits_until_the_last_record_is_with_an_endpoint() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..4);
    bench.outputs();
    bench.answer(0, 0, Ok(()));
    bench.dispatched(0, 1, 1);
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
    bench.dispatched(0, 1, 1);
    assert_eq!(bench.outputs(), [commit(1, 0, 4)]);
}

#[test]
fn a_failed_commit_puts_its_records_back_in_order() {
    for failure in [CommitFailure::Refused, CommitFailure::Unanswered] {
        let mut bench = Bench::new(Window::Fixed(2));
        bench.poll(0, 0..3);
        bench.outputs();
        bench.answer(0, 0, Err(failure));
        assert_eq!(bench.outputs(), [], "a pause before the next try");
        bench.after(FIRST_BACKOFF);
        assert_eq!(bench.outputs(), [commit(1, 0, 2)]);
        bench.answer(1, 0, Ok(()));
        assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
    }
}

#[test]
fn one_refused_partition_does_not_hold_up_the_others() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.tell(Input::Assigned { slot: 1, pin: None });
    bench.poll(0, 0..2);
    bench.poll(1, 7..9);
    assert_eq!(bench.outputs(), [Output::Commit { id: 0, offsets: vec![(0, 2), (1, 9)] }]);
    bench.answer(0, 0, Err(CommitFailure::Refused));
    bench.answer(0, 1, Ok(()));
    assert_eq!(bench.outputs(), [dispatch(1, 2, 7..9)]);
}

#[test]
fn a_revocation_waits_for_what_is_committed_and_drops_the_rest() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..5);
    bench.outputs();
    bench.tell(Input::Revoked { slots: vec![0] });
    assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 3 }]);
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
    bench.dispatched(0, 1, 2);
    bench.finished(0, 1, 1);
    assert_eq!(bench.outputs(), [], "one record still runs");
    bench.finished(0, 1, 1);
    assert_eq!(bench.outputs(), [Output::Release { slots: vec![0] }]);
    assert_eq!(bench.ledger.owned().count(), 0);
}

#[test]
fn a_revocation_is_answered_at_the_drain_deadline_and_what_is_committed_still_runs() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..2);
    bench.outputs();
    bench.tell(Input::Revoked { slots: vec![0] });
    assert_eq!(bench.outputs(), []);
    bench.after(Duration::from_secs(5));
    assert_eq!(bench.outputs(), [Output::Release { slots: vec![0] }]);
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
}

#[test]
fn a_commit_refused_while_the_partition_leaves_drops_its_records() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..2);
    bench.outputs();
    bench.tell(Input::Revoked { slots: vec![0] });
    bench.answer(0, 0, Err(CommitFailure::Refused));
    let drop = Output::Drop { slot: 0, count: 2 };
    assert_eq!(bench.outputs(), [drop, Output::Release { slots: vec![0] }]);
}

/// A partition with two records that was lost under a commit that nobody answered.
fn lost_in_doubt() -> Bench {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..2);
    bench.outputs();
    bench.tell(Input::Lost { slots: vec![0] });
    assert_eq!(bench.outputs(), []);
    bench.answer(0, 0, Err(CommitFailure::Unanswered));
    assert_eq!(bench.outputs(), [Output::AskCommitted { slots: vec![0] }]);
    bench
}

#[test]
fn an_unanswered_commit_that_is_read_back_counts_as_a_success() {
    let mut bench = lost_in_doubt();
    bench.tell(Input::Committed { slot: 0, found: Some(Committed { offset: 2, own: true }) });
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
}

#[test]
fn what_another_member_committed_past_an_unanswered_commit_is_counted() {
    for offset in [2, 9] {
        let mut bench = lost_in_doubt();
        bench.tell(Input::Committed { slot: 0, found: Some(Committed { offset, own: false }) });
        assert_eq!(bench.outputs(), [Output::UnknownCommit { slot: 0, count: 2 }]);
    }
}

#[test]
fn an_unanswered_commit_that_may_still_arrive_is_counted() {
    let mut bench = lost_in_doubt();
    bench.tell(Input::Committed { slot: 0, found: Some(Committed { offset: 0, own: true }) });
    assert_eq!(bench.outputs(), [Output::UnknownCommit { slot: 0, count: 2 }]);
}

#[test]
fn what_comes_back_is_not_committed_while_it_is_in_doubt_and_then_read_again() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..2);
    bench.outputs();
    bench.tell(Input::Lost { slots: vec![0] });
    bench.tell(Input::Assigned { slot: 0, pin: None });
    bench.answer(0, 0, Err(CommitFailure::Unanswered));
    assert_eq!(bench.outputs(), [Output::AskCommitted { slots: vec![0] }]);
    bench.poll(0, 0..2);
    assert_eq!(bench.outputs(), [], "it would write over what is asked for");
    bench.tell(Input::Committed { slot: 0, found: None });
    bench.after(Duration::from_millis(250));
    assert_eq!(bench.outputs(), [Output::AskCommitted { slots: vec![0] }], "asked again");
    bench.tell(Input::Committed { slot: 0, found: Some(Committed { offset: 0, own: true }) });
    let again = Output::Commit { id: 1, offsets: vec![(0, 2)] };
    assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 2 }, again]);
}

#[test]
fn doubt_that_nobody_can_end_is_given_up_and_does_not_hold_up_the_stop() {
    let mut bench = lost_in_doubt();
    bench.tell(Input::Shutdown);
    bench.tell(Input::Committed { slot: 0, found: None });
    assert_eq!(bench.ledger.unfinished(), 2);
    bench.after(Duration::from_secs(30));
    let outputs = bench.outputs();
    assert!(outputs.starts_with(&[Output::UnknownCommit { slot: 0, count: 2 }]), "{outputs:?}");
    assert_eq!(outputs.last(), Some(&Output::Quiet));
}

#[test]
fn an_answer_never_reaches_the_next_ownership_period() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..2);
    bench.outputs();
    bench.tell(Input::Lost { slots: vec![0] });
    bench.tell(Input::Assigned { slot: 0, pin: None });
    bench.poll(0, 0..2);
    assert_eq!(bench.outputs(), [], "the old request is still on its way");
    bench.answer(0, 0, Err(CommitFailure::Refused));
    let again = Output::Commit { id: 1, offsets: vec![(0, 2)] };
    assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 2 }, again]);
    bench.answer(1, 0, Ok(()));
    assert_eq!(bench.outputs(), [dispatch(0, 2, 0..2)]);
}

#[test]
fn a_partition_that_begins_anew_is_taken_again_and_what_was_committed_is_handled() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 7..10);
    let id = 0;
    assert_eq!(bench.outputs(), [Output::Commit { id, offsets: vec![(0, 9)] }]);
    // Its topic was deleted and made anew.
    bench.tell(Input::BegunAnew { slot: 0 });
    bench.poll(0, 0..1);
    // The old commit is not overtaken.
    assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 1 }]);
    bench.answer(id, 0, Ok(()));
    let records = vec![(7, 7), (8, 8)];
    assert_eq!(
        bench.outputs(),
        [
            Output::Dispatch { slot: 0, period: 1, records },
            Output::Commit { id: 1, offsets: vec![(0, 1)] },
        ]
    );
    bench.answer(1, 0, Ok(()));
    let records = vec![(0, 0)];
    assert_eq!(bench.outputs(), [Output::Dispatch { slot: 0, period: 2, records }]);
}

#[test]
fn an_offset_is_taken_once_in_a_period() {
    let mut bench = Bench::new(Window::Fixed(9));
    bench.poll(0, 0..2);
    bench.poll(0, 0..3);
    assert_eq!(bench.outputs(), [commit(0, 0, 3)]);
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..3)]);
}

#[test]
fn a_shutdown_dispatches_what_is_committed_and_nothing_else() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.poll(0, 0..5);
    bench.outputs();
    bench.tell(Input::Shutdown);
    assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 3 }]);
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
    bench.dispatched(0, 1, 2);
    assert_eq!(bench.outputs(), []);
    bench.finished(0, 1, 2);
    assert_eq!(bench.outputs(), [Output::Quiet]);
}

#[test]
fn a_pinned_start_is_committed_without_a_record() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.tell(Input::Assigned { slot: 3, pin: Some(40) });
    assert_eq!(bench.outputs(), [commit(0, 3, 40)]);
    bench.answer(0, 3, Err(CommitFailure::Refused));
    assert_eq!(bench.outputs(), []);
    bench.after(FIRST_BACKOFF);
    assert_eq!(bench.outputs(), [commit(1, 3, 40)]);
    bench.answer(1, 3, Ok(()));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn the_adaptive_window_is_what_the_endpoint_does_in_its_span() {
    let mut bench = Bench::new(Window::Adaptive(Duration::from_millis(4)));
    bench.poll(0, 0..8);
    assert_eq!(bench.outputs(), [commit(0, 0, 1)], "one while nothing is known");
    bench.answer(0, 0, Ok(()));
    bench.dispatched(0, 1, 1);
    bench.finished(0, 1, 1);
    let outputs = bench.outputs();
    assert_eq!(outputs, [dispatch(0, 1, 0..1), commit(1, 0, 5)], "1 ms each: four");
}

#[test]
fn a_full_ledger_is_not_polled_and_gives_way_after_a_second() {
    let mut bench = Bench::new(Window::Fixed(2));
    bench.tell(Input::Assigned { slot: 1, pin: None });
    bench.poll(0, 0..10);
    bench.outputs();
    bench.answer(0, 0, Ok(()));
    bench.dispatched(0, 1, 1);
    bench.poll(0, 10..11);
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..2)]);
    assert!(!bench.ledger.wants_poll());
    bench.after(FULL_BEFORE_PAUSE);
    let pauses =
        [Output::Pause { slot: 0 }, Output::Seek { slot: 0, offset: 2 }, Output::Pause { slot: 1 }];
    let mut outputs = bench.outputs();
    let resumed = outputs.pop();
    assert_eq!(outputs, pauses);
    assert_eq!(resumed, Some(Output::Resume { slot: 1 }), "its endpoint is not behind");
    assert!(bench.ledger.wants_poll());
    bench.dispatched(0, 1, 1);
    assert_eq!(bench.outputs(), [Output::Resume { slot: 0 }]);
    bench.poll(0, 2..4);
    assert_eq!(bench.outputs(), [commit(1, 0, 4)], "read again from where it was dropped");
}

#[test]
fn after_dispatch_records_go_out_at_once_and_are_committed_when_they_finished() {
    let mut bench = Bench::with(Mode::AfterDispatch);
    bench.poll(0, 5..8);
    assert_eq!(bench.outputs(), [dispatch(0, 1, 5..8)]);
    bench.dispatched(0, 1, 2);
    assert_eq!(bench.outputs(), []);
    bench.finished_at(0, 1, 5, true);
    assert_eq!(bench.outputs(), [commit(0, 0, 6)]);
    bench.finished_at(0, 1, 6, true);
    assert_eq!(bench.outputs(), [], "one request at a time");
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [], "and a pause between two");
    bench.after(COMMIT_PAUSE);
    assert_eq!(bench.outputs(), [commit(1, 0, 7)]);
    bench.answer(1, 0, Ok(()));
    bench.after(COMMIT_PAUSE);
    assert_eq!(bench.outputs(), []);
}

#[test]
fn after_dispatch_no_commit_passes_a_record_that_is_not_finished() {
    let mut bench = Bench::with(Mode::AfterDispatch);
    bench.poll(0, 0..4);
    bench.outputs();
    bench.dispatched(0, 1, 4);
    bench.finished_at(0, 1, 1, true);
    bench.finished_at(0, 1, 2, true);
    bench.finished_at(0, 1, 3, false);
    assert_eq!(bench.outputs(), []);
    bench.finished_at(0, 1, 0, true);
    assert_eq!(bench.outputs(), [commit(0, 0, 3)]);
}

#[test]
fn after_dispatch_a_revocation_withdraws_what_nobody_began_and_commits_what_finished() {
    let mut bench = Bench::with(Mode::AfterDispatch);
    bench.poll(0, 0..5);
    bench.outputs();
    bench.dispatched(0, 1, 2);
    bench.tell(Input::Revoked { slots: vec![0] });
    assert_eq!(bench.outputs(), [Output::Withdraw { slot: 0, period: 1 }]);
    bench.tell(Input::Withdrawn { slot: 0, period: 1, count: 3 });
    bench.finished_at(0, 1, 0, true);
    assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 3 }, commit(0, 0, 1)]);
    bench.finished_at(0, 1, 1, true);
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [commit(1, 0, 2)], "no pause before the last one");
    bench.answer(1, 0, Ok(()));
    assert_eq!(bench.outputs(), [Output::Release { slots: vec![0] }]);
}

#[test]
fn after_dispatch_a_failed_last_commit_does_not_hold_up_the_revocation() {
    let mut bench = Bench::with(Mode::AfterDispatch);
    bench.poll(0, 0..1);
    bench.outputs();
    bench.dispatched(0, 1, 1);
    bench.tell(Input::Revoked { slots: vec![0] });
    bench.finished_at(0, 1, 0, true);
    assert_eq!(bench.outputs(), [commit(0, 0, 1)]);
    bench.answer(0, 0, Err(CommitFailure::Unanswered));
    assert_eq!(bench.outputs(), [Output::Release { slots: vec![0] }]);
}

#[test]
fn after_dispatch_a_lost_partition_is_never_committed_again() {
    let mut bench = Bench::with(Mode::AfterDispatch);
    bench.poll(0, 0..2);
    bench.outputs();
    bench.dispatched(0, 1, 1);
    bench.finished_at(0, 1, 0, true);
    assert_eq!(bench.outputs(), [commit(0, 0, 1)]);
    bench.dispatched(0, 1, 1);
    bench.tell(Input::Lost { slots: vec![0] });
    bench.answer(0, 0, Ok(()));
    bench.finished_at(0, 1, 1, true);
    assert_eq!(bench.outputs(), []);
    bench.tell(Input::Shutdown);
    assert_eq!(bench.outputs(), [Output::Quiet], "nothing is left of it");
}

#[test]
fn after_dispatch_a_shutdown_ends_with_the_commit_of_what_finished() {
    let mut bench = Bench::with(Mode::AfterDispatch);
    bench.poll(0, 0..3);
    bench.outputs();
    bench.dispatched(0, 1, 1);
    bench.tell(Input::Shutdown);
    assert_eq!(bench.outputs(), [Output::Withdraw { slot: 0, period: 1 }]);
    bench.tell(Input::Withdrawn { slot: 0, period: 1, count: 2 });
    bench.finished_at(0, 1, 0, true);
    assert_eq!(bench.outputs(), [Output::Drop { slot: 0, count: 2 }, commit(0, 0, 1)]);
    bench.answer(0, 0, Ok(()));
    assert_eq!(bench.outputs(), [Output::Quiet]);
}

#[test]
fn after_dispatch_a_slow_partition_leaves_room_for_the_others() {
    let mut bench = Bench::with(Mode::AfterDispatch);
    bench.tell(Input::Assigned { slot: 1, pin: None });
    bench.poll(0, 0..9);
    assert_eq!(bench.outputs(), [dispatch(0, 1, 0..5)], "half of ten");
    bench.poll(1, 0..1);
    assert_eq!(bench.outputs(), [dispatch(1, 2, 0..1)]);
}
