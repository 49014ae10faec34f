//! Members of a group that are leaving it, and the thread that waits for unreachable coordinators.
//!
//! librdkafka leaves a group well only while the group's coordinator answers: without it a consumer
//! hangs, crashes, or ends without a word to the group, which then waits for the session's end. One
//! that is just left alone goes on heartbeating, and keeps its partitions from everybody. So a
//! consumer whose coordinator is away goes on living as a member that does nothing, and is closed
//! when the coordinator answers. One thread does that for the whole process, started for the first
//! such consumer and gone with the last; it never holds up the end of the process. The group thread
//! (`group.rs`) brings them here.

use std::{
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{consumer::Shared, context::GroupContext, native, start::TopicPartition};

/// How long a member that leaves waits for its coordinator on its own thread, and on the reaper's.
const FIRST_ASK: Duration = Duration::from_secs(2);
const NEXT_ASK: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(250);
/// A coordinator that answers names a member that joins within this time.
const NAMED_WITHIN: Duration = Duration::from_secs(1);
/// How long leaving waits for a join that is under way.
const LONGEST_JOIN: Duration = Duration::from_secs(5);
/// How long a client in whose place another one is may take to leave.
const LONGEST_LIFE: Duration = Duration::from_secs(600);
const NAME_PAUSE: Duration = Duration::from_millis(10);

/// A member on its way out. Nothing of it may be under way: no commit, no assignment to answer.
pub(super) struct Leaving {
    pub(super) consumer: BaseConsumer<GroupContext>,
    /// To be told of the end; `None` where another client has taken this one's place.
    pub(super) shared: Option<Arc<Shared>>,
    pub(super) group: String,
    /// A partition to ask the coordinator about.
    pub(super) partition: TopicPartition,
    /// The group is told that the member leaves; a static member keeps its place.
    pub(super) leaves_by_word: bool,
}

/// The members that the thread has not taken yet.
struct Reaper {
    waiting: Vec<(Leaving, Instant)>,
    /// Whether the thread runs, and in which process: a forked child has its memory but not it.
    runs_in: Option<u32>,
}

static REAPER: Mutex<Reaper> = Mutex::new(Reaper { waiting: Vec::new(), runs_in: None });

impl Leaving {
    /// Leaves the group: at once, or by the reaper when its coordinator does not answer.
    pub(super) fn leave(self) {
        if self.coordinator_answers(FIRST_ASK) {
            return self.close();
        }
        tracing::warn!(
            group = %self.group,
            "the group's coordinator does not answer; the group is left when it does"
        );
        // As a member it still has partitions; their records are for somebody else.
        match self.consumer.assignment() {
            Ok(assigned) => self.consumer.context().pause(&self.consumer, &assigned),
            Err(error) => tracing::debug!(group = %self.group, "assignment: {error}"),
        }
        self.hand_over();
    }

    /// Leaves the rest to the reaper.
    pub(super) fn hand_over(self) {
        hand_over(self, Instant::now() + LONGEST_LIFE);
    }

    /// Closing polls until the coordinator has taken note, or a request to it has timed out.
    fn close(self) {
        // A member that is about to be named cannot say who leaves: the group would wait for it
        // until its session's end.
        let until = Instant::now() + NAMED_WITHIN;
        while !native::is_member(self.consumer.client()) && Instant::now() < until {
            self.serve();
            thread::sleep(NAME_PAUSE);
        }
        if self.leaves_by_word {
            self.say_so();
        }
        let Self { consumer, shared, .. } = self;
        drop(consumer);
        if let Some(shared) = shared {
            shared.ended();
        }
    }

    /// Tells the coordinator before the close does, which leaves that out while a join is under way
    /// (librdkafka 2.12.1): the whole group would then wait for this member until its session ends.
    /// Librdkafka puts this off, too, but only until the join is done.
    fn say_so(&self) {
        self.consumer.unsubscribe();
        let until = Instant::now() + LONGEST_JOIN;
        while native::is_member(self.consumer.client()) && Instant::now() < until {
            self.serve();
            thread::sleep(NAME_PAUSE);
        }
    }

    /// Asks by the connection that the goodbye will take.
    fn coordinator_answers(&self, timeout: Duration) -> bool {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.partition.0, self.partition.1);
        match self.consumer.committed_offsets(list, timeout) {
            Ok(list) => {
                let answers =
                    |error: Result<(), KafkaError>| error.map_or_else(|e| is_answer(&e), |()| true);
                list.elements().iter().all(|entry| answers(entry.error()))
            }
            Err(error) => is_answer(&error),
        }
    }

    /// Lets librdkafka do what a member must, and nothing else.
    fn serve(&self) {
        let served = || self.consumer.context().take_served();
        while self.consumer.poll(Duration::ZERO).is_some() || served() {}
    }
}

/// Whether an error is a coordinator's word: then it is there.
fn is_answer(error: &KafkaError) -> bool {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::RequestTimedOut,
        )
        | None => false,
        // librdkafka's own codes are below zero.
        Some(code) => code as i32 > 0,
    }
}

fn hand_over(leaving: Leaving, until: Instant) {
    let mut reaper = reaper();
    let here = process::id();
    if reaper.runs_in.is_some_and(|process| process != here) {
        // A parent's: their threads are not here, and to close them would wait for those.
        reaper.waiting.drain(..).for_each(std::mem::forget);
        reaper.runs_in = None;
    }
    reaper.waiting.push((leaving, until));
    if reaper.runs_in.is_some() {
        return;
    }
    reaper.runs_in = Some(here);
    drop(reaper);
    let thread = thread::Builder::new().name("kafka-reaper".to_owned());
    if let Err(error) = thread.spawn(reap) {
        tracing::warn!("no thread for the reaper, it works on this one: {error}");
        reap();
    }
}

fn reap() {
    let mut members = Vec::new();
    loop {
        {
            let mut reaper = reaper();
            members.append(&mut reaper.waiting);
            if members.is_empty() {
                reaper.runs_in = None;
                return;
            }
        }
        for (member, until) in std::mem::take(&mut members) {
            if Instant::now() > until && member.shared.is_none() {
                // A client that has lost its way does not find it again. It has unsubscribed.
                std::mem::forget(member);
                continue;
            }
            member.serve();
            if member.coordinator_answers(NEXT_ASK) {
                tracing::info!(group = %member.group, "the coordinator answers; leaving the group");
                member.close();
            } else {
                members.push((member, until));
            }
        }
        thread::sleep(PAUSE);
    }
}

fn reaper() -> MutexGuard<'static, Reaper> {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::is_answer;

    #[test]
    fn only_a_coordinator_that_can_take_note_counts_as_there() {
        for (code, expected) in [
            (RDKafkaErrorCode::GroupAuthorizationFailed, true),
            (RDKafkaErrorCode::UnknownMemberId, true),
            (RDKafkaErrorCode::StaleMemberEpoch, true),
            (RDKafkaErrorCode::NotCoordinator, false),
            (RDKafkaErrorCode::CoordinatorLoadInProgress, false),
            (RDKafkaErrorCode::OperationTimedOut, false),
            (RDKafkaErrorCode::WaitingForCoordinator, false),
            (RDKafkaErrorCode::BrokerTransportFailure, false),
        ] {
            assert_eq!(is_answer(&KafkaError::OffsetFetch(code)), expected, "{code:?}");
        }
        assert!(!is_answer(&KafkaError::Canceled));
    }
}
