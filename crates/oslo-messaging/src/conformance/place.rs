//! Where a listener begins, and where it goes on after a stop.

use std::{sync::Arc, thread};

use super::{
    Case,
    stage::{Collect, Fault, Gate, Outcome, Seen, Stage, ensure, listener},
};
use crate::{message::Priority, notify::endpoint_fn};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Nothing, nothing_that_is_sent_after_start_is_lost),
        case!(Pools, a_new_pool_gets_nothing_older),
        case!(Pools, a_pool_that_never_got_anything_keeps_its_place),
        case!(Pools, stopping_and_starting_under_load_loses_and_repeats_nothing),
        case!(Pools, what_a_dropped_listener_had_not_handled_waits_for_the_next),
        case!(Durable, a_slow_endpoint_takes_no_more_than_a_bound),
    ]
}

fn nothing_that_is_sent_after_start_is_lost(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let notifier = stage.notifier(transport, &topic)?;
    // The topic exists and has records that a new pool must not get.
    stage.send(&notifier, 20)?;
    let listener = listener(transport, &topic, &topic).endpoint(Collect(Arc::clone(&seen)));
    let listener = listener.start()?;
    let sent = stage.send(&notifier, 100)?;
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)
}

fn a_new_pool_gets_nothing_older(stage: &Stage) -> Outcome {
    let (transport, topic) = (stage.transport(), stage.unique("topic"));
    let (old, new) = (Seen::new(), Seen::new());
    let notifier = stage.notifier(transport, &topic)?;
    let first = stage.listen(transport, &topic, &stage.unique("old"), &old)?;
    let mut sent = stage.send(&notifier, 20)?;
    let second = stage.listen(&stage.another_client()?, &topic, &stage.unique("new"), &new)?;
    let later = stage.send(&notifier, 20)?;
    sent.extend_from_slice(&later);
    old.wait_for(sent.len(), stage.limit())?;
    new.wait_for(later.len(), stage.limit())?;
    first.close(stage.limit())?;
    second.close(stage.limit())?;
    old.is_exactly(&sent)?;
    new.is_exactly(&later)
}

fn a_pool_that_never_got_anything_keeps_its_place(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let notifier = stage.notifier(transport, &topic)?;
    stage.send(&notifier, 1)?;
    stage.listen(transport, &topic, &topic, &seen)?.close(stage.limit())?;
    let sent = stage.send(&notifier, 10)?;
    let listener = stage.listen(&stage.another_client()?, &topic, &topic, &seen)?;
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)
}

fn stopping_and_starting_under_load_loses_and_repeats_nothing(stage: &Stage) -> Outcome {
    const ROUNDS: usize = 3;
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let notifier = stage.notifier(transport, &topic)?;
    stage.listen(transport, &topic, &topic, &seen)?.close(stage.limit())?;
    let mut sent = Vec::new();
    for _ in 0..ROUNDS {
        let before = seen.count();
        thread::scope(|scope| -> Outcome {
            let sender = scope.spawn(|| stage.send(&notifier, 300));
            let listener = stage.listen(&stage.another_client()?, &topic, &topic, &seen)?;
            seen.wait_for(before + 50, stage.limit())?;
            listener.close(stage.limit())?;
            sent.extend(sender.join().map_err(|_| Fault::from("the sender panicked"))??);
            Ok(())
        })?;
    }
    let last = stage.listen(&stage.another_client()?, &topic, &topic, &seen)?;
    seen.wait_for(sent.len(), stage.limit())?;
    last.close(stage.limit())?;
    seen.is_exactly(&sent)
}

fn what_a_dropped_listener_had_not_handled_waits_for_the_next(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let notifier = stage.notifier(transport, &topic)?;
    let dropped = stage.listen(transport, &topic, &topic, &seen)?;
    let mut sent = stage.send(&notifier, 50)?;
    drop(dropped);
    sent.extend(stage.send(&notifier, 50)?);
    let listener = stage.listen(&stage.another_client()?, &topic, &topic, &seen)?;
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)
}

/// With an endpoint that stands still, an orderly stop hands on what the broker believes to be
/// handled. That is few: everything else is there for the next listener.
fn a_slow_endpoint_takes_no_more_than_a_bound(stage: &Stage) -> Outcome {
    const SENT: usize = 1_500;
    const BOUND: usize = 500;
    let (topic, seen, gate) = (stage.unique("topic"), Seen::new(), Gate::closed());
    let slow = {
        let (seen, gate, limit) = (Arc::clone(&seen), Arc::clone(&gate), stage.limit());
        endpoint_fn([Priority::Info], move |notification| {
            gate.pass(limit)?;
            seen.add(notification);
            Ok(())
        })
    };
    let transport = stage.another_client()?;
    let builder = listener(&transport, &topic, &topic).endpoint(slow).max_workers(1);
    let listener = stage.ready(builder)?;
    let sent = stage.send_burst(&stage.notifier(stage.transport(), &topic)?, SENT)?;
    gate.wait_entered(1, stage.limit())?;
    let stats = transport.stats();
    let held = stats.received.get().saturating_sub(stats.dispatched.get());
    ensure(held <= BOUND as u64, || format!("{held} records are held in memory"))?;
    listener.stop();
    gate.open();
    listener.close(stage.limit())?;
    let handled = seen.count();
    ensure(handled <= BOUND, || format!("{handled} records were taken ahead"))?;
    let next = stage.listen(stage.transport(), &topic, &topic, &seen)?;
    seen.wait_for(sent.len(), stage.limit())?;
    next.close(stage.limit())?;
    seen.is_exactly(&sent)
}
