//! What the ledger is told, what it says, and the bounds that it keeps.

use std::time::Duration;

/// A topic partition, numbered by the consumer thread.
pub(in crate::drivers::kafka) type Slot = u32;
/// One ownership of one partition, from its assignment to its revocation or loss.
pub(in crate::drivers::kafka) type Period = u32;
/// The number of a commit request.
pub(in crate::drivers::kafka) type CommitId = u64;

/// What happened.
#[derive(Debug)]
pub(in crate::drivers::kafka) enum Input<R> {
    /// The group gave the partition to this member. `pin` is a start offset to commit, where the
    /// group has none.
    Assigned { slot: Slot, pin: Option<i64> },
    /// The partition's records are others from now on: its topic was made anew. What was taken and is
    /// not committed is gone; what is committed is still handled.
    BegunAnew { slot: Slot },
    /// The client library handed over a record.
    Polled { slot: Slot, offset: i64, record: R },
    /// A commit was answered for one partition.
    CommitResult { id: CommitId, slot: Slot, result: Result<(), CommitFailure> },
    /// What the group has committed of a partition, as [`Output::AskCommitted`] asks; `None` when
    /// that could not be found out. For each slot that was asked for.
    Committed { slot: Slot, found: Option<Committed> },
    /// An endpoint began with a record.
    Dispatched { slot: Slot, period: Period },
    /// A worker is done with a record, after `took`. `done`: it was handled, and is not left to
    /// the partition's next owner.
    Finished { slot: Slot, period: Period, offset: i64, done: bool, took: Duration },
    /// So many waiting records were taken back from the workers, as [`Output::Withdraw`] says.
    Withdrawn { slot: Slot, period: Period, count: usize },
    /// Nothing more of the partition may be handled, though it stays with this member.
    Stopped { slot: Slot, period: Period },
    /// The group asks for partitions back; it waits for [`Output::Release`].
    Revoked { slots: Vec<Slot> },
    /// The group took partitions away without asking.
    Lost { slots: Vec<Slot> },
    /// Begin the orderly stop; [`Output::Quiet`] ends it.
    Shutdown,
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::drivers::kafka) enum Output<R> {
    /// Commit these next offsets in one request.
    Commit { id: CommitId, offsets: Vec<(Slot, i64)> },
    /// Hand these records to the endpoints, in order.
    Dispatch { slot: Slot, period: Period, records: Vec<(i64, R)> },
    /// Take back what no worker has begun; [`Input::Withdrawn`] says how much that was.
    Withdraw { slot: Slot, period: Period },
    /// Stop fetching a partition.
    Pause { slot: Slot },
    /// Fetch a partition again.
    Resume { slot: Slot },
    /// Read a partition again from an offset: what was taken from there on is dropped.
    Seek { slot: Slot, offset: i64 },
    /// Records were let go without a commit: the next owner reads them.
    Drop { slot: Slot, count: usize },
    /// Find out what the group has committed; [`Input::Committed`] says it.
    AskCommitted { slots: Vec<Slot> },
    /// Records were dropped under a commit that was never answered: they may be lost.
    UnknownCommit { slot: Slot, count: usize },
    /// The revocation may be answered.
    Release { slots: Vec<Slot> },
    /// After a shutdown: nothing committed is left to dispatch.
    Quiet,
}

/// A committed offset on the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::drivers::kafka) struct Committed {
    /// Below zero where there is none.
    pub(in crate::drivers::kafka) offset: i64,
    /// It was this member that committed it.
    pub(in crate::drivers::kafka) own: bool,
}

/// Why a commit failed, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::drivers::kafka) enum CommitFailure {
    /// The broker refused it: the offset did not move.
    Refused,
    /// The broker refused it for want of a right: an operator must act.
    Denied,
    /// Nobody answered: the offset may have moved.
    Unanswered,
}

/// How many records of a partition one commit may cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::drivers::kafka) enum Window {
    /// What the partition's endpoint does in this time, by its mean time per record.
    Adaptive(Duration),
    /// This many.
    Fixed(usize),
}

/// When a record's offset is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::drivers::kafka) enum Mode {
    /// Before it is dispatched: at most once. So many at a time.
    BeforeDispatch(Window),
    /// When it was handled: at least once.
    AfterDispatch,
}

/// The bounds of a ledger.
#[derive(Clone, Copy, Debug)]
pub(in crate::drivers::kafka) struct Limits {
    /// Records taken and not yet dispatched, over all partitions (`max_poll_records`).
    pub(in crate::drivers::kafka) max_records: usize,
    pub(in crate::drivers::kafka) mode: Mode,
    /// Longest wait for running endpoints when partitions are revoked (`revoke_drain_timeout`).
    pub(in crate::drivers::kafka) drain: Duration,
}
