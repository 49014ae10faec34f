//! Reading as a member of a group that commits, by a listener.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::{Error, Listener, Notification, Target, endpoint_fn};

use super::{Ended, Mode, Plan, Stream};
use crate::{
    exit::{Exit, Failure},
    interrupt::Interrupt,
    output,
    reload::on_hangup,
    session::Session,
};

/// How long a signal or a timeout goes unnoticed.
const TICK: Duration = Duration::from_millis(100);
/// How long the group gets to take note of the end.
const CLOSE: Duration = Duration::from_secs(10);

/// Joins, shows what comes, and leaves in order.
///
/// What is committed belongs to this member and nobody else: it is shown even past the most that
/// is wanted.
pub(super) fn join(plan: &Plan, session: &Session, stream: &mut Stream) -> Result<Ended, Failure> {
    let is_bounded = plan.max.is_some();
    let again =
        on_hangup(session, &plan.transport, move |config| super::adjust(config, is_bounded));
    let interrupt = Interrupt::with_hangup(again)?;
    // An endpoint waits until its notification is taken: what is not shown is not dispatched.
    let (sender, receiver) = sync_channel(0);
    let listener = start(plan, sender)?;
    let (mut ended, mut failure) = (None, None);
    if let Err(error) = ready(&listener, plan, &interrupt) {
        failure = Some(error);
    } else {
        output::note(session.verbosity, "joined the group");
        while ended.is_none() && failure.is_none() {
            ended = show_next(plan, stream, &receiver, &interrupt).unwrap_or_else(|error| {
                failure = Some(error);
                None
            });
        }
    }
    let closed = leave(listener, &receiver, |notification| {
        if failure.is_none() {
            let shown = stream.offer(None, Ok(notification)).map_err(Failure::from);
            failure = shown.err();
        }
    });
    match (failure, ended) {
        (Some(failure), _) => Err(failure),
        (None, ended) => {
            closed?;
            Ok(ended.unwrap_or(Ended::Interrupted))
        }
    }
}

fn start(plan: &Plan, sender: SyncSender<Notification>) -> Result<Listener, Failure> {
    let Mode::Join { group, topics, priorities } = &plan.mode else {
        return Err(Failure::new(Exit::Bug, "tail joins without a group"));
    };
    let mut builder =
        Listener::builder(&plan.transport)
            .pool(group)
            .max_workers(1)
            .endpoint(endpoint_fn(priorities.clone(), move |notification| {
                Ok(sender.send(notification.clone())?)
            }));
    for topic in topics {
        builder = builder.target(Target::new(topic));
    }
    Ok(builder.start()?)
}

/// Waits for partitions, in slices so that a signal is noticed.
fn ready(listener: &Listener, plan: &Plan, interrupt: &Interrupt) -> Result<(), Failure> {
    let deadline = Instant::now() + plan.patience;
    loop {
        match listener.ready(TICK) {
            Ok(()) => return Ok(()),
            Err(Error::NotReady { .. }) if interrupt.came() => return Ok(()),
            Err(Error::NotReady { .. }) if Instant::now() < deadline => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Shows the next notification; says whether that was the last one, and why.
fn show_next(
    plan: &Plan,
    stream: &mut Stream,
    receiver: &Receiver<Notification>,
    interrupt: &Interrupt,
) -> Result<Option<Ended>, Failure> {
    if interrupt.came() {
        return Ok(Some(Ended::Interrupted));
    }
    if plan.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return Ok(Some(Ended::TimedOut));
    }
    let Ok(notification) = receiver.recv_timeout(TICK) else {
        return Ok(None);
    };
    let more = stream.offer(None, Ok(&notification))?;
    stream.writer.flush()?;
    Ok((!more).then_some(Ended::Full))
}

/// Leaves the group, taking what is committed and still comes.
fn leave(
    listener: Listener,
    receiver: &Receiver<Notification>,
    mut take: impl FnMut(&Notification),
) -> Result<(), Failure> {
    thread::scope(|scope| {
        let closing = scope.spawn(move || listener.close(CLOSE));
        while !closing.is_finished() {
            match receiver.recv_timeout(TICK) {
                Ok(notification) => take(&notification),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let closed = closing.join();
        closed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(Failure::from)
    })
}
