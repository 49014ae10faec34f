//! Lanes: in order within one, in parallel across them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{
    Case,
    stage::{Collect, Fault, Gate, Outcome, Seen, Stage, ensure, equal, listener},
};
use crate::{
    driver::{Settled, Subscribe, Subscription, Target, Want},
    message::{Context, Payload, Priority},
    notify::endpoint_fn,
};

const KEYS: [&str; 3] = ["instance-1", "instance-2", "instance-3"];

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Nothing, records_with_one_key_are_handled_in_order),
        case!(Nothing, a_lane_hands_out_the_next_record_only_after_the_former_was_settled),
        case!(Nothing, a_stuck_endpoint_does_not_hold_up_other_channels),
    ]
}

fn records_with_one_key_are_handled_in_order(stage: &Stage) -> Outcome {
    const COUNT: u64 = 150;
    let (topic, seen) = (stage.unique("topic"), Seen::new());
    let builder = listener(stage.transport(), &topic, &topic).max_workers(4);
    let listener = stage.ready(builder.endpoint(Collect(Arc::clone(&seen))))?;
    stage.send_keyed(&topic, &KEYS, COUNT)?;
    seen.wait_for(KEYS.len() * COUNT as usize, stage.limit())?;
    listener.close(stage.limit())?;
    equal("how many came", seen.all().len(), KEYS.len() * COUNT as usize)?;
    seen.is_in_order(&KEYS, COUNT)
}

/// The contract of [`Subscription::recv`], with several workers.
fn a_lane_hands_out_the_next_record_only_after_the_former_was_settled(stage: &Stage) -> Outcome {
    const COUNT: u64 = 100;
    const WORKERS: usize = 4;
    let (transport, topic) = (stage.transport(), stage.unique("topic"));
    let subscription = transport.driver().subscribe(Subscribe {
        targets: vec![(Target::new(&topic), Priority::Info)],
        pool: transport.driver().capabilities().pools.then(|| topic.clone()),
        batch_size: 1,
        requeue: false,
        raw: false,
    })?;
    subscription.ready(stage.limit())?;
    let log = Arc::new(Log::default());
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (log, subscription) = (Arc::clone(&log), Arc::clone(&subscription));
            thread::spawn(move || work(&log, &*subscription))
        })
        .collect();
    stage.send_keyed(&topic, &KEYS, COUNT)?;
    let all = KEYS.len() * COUNT as usize;
    let few = |state: &mut State| state.handled < all;
    let waited = log.changed.wait_timeout_while(log.lock(), stage.limit(), few);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
    subscription.close(stage.limit())?;
    for worker in workers {
        worker.join().map_err(|_| Fault::from("a worker panicked"))?;
    }
    let state = log.lock();
    ensure(state.faults.is_empty(), || state.faults.join("; "))?;
    equal("records handled", state.handled, all)
}

/// What the workers saw: by lane the last offset, and whether a record is being handled.
#[derive(Default)]
struct State {
    lanes: HashMap<u64, (Option<i64>, bool)>,
    handled: usize,
    faults: Vec<String>,
}

#[derive(Default)]
struct Log {
    state: Mutex<State>,
    changed: std::sync::Condvar,
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(log: &Log, subscription: &dyn Subscription) {
    let mut batch = Vec::new();
    while subscription.recv(&mut batch, Want::run(1)) {
        for record in batch.drain(..) {
            let (lane, offset) = (record.token.lane, record.origin.offset);
            {
                let mut state = log.lock();
                let (last, busy) = *state.lanes.get(&lane).unwrap_or(&(None, false));
                if busy {
                    state.faults.push(format!("{} came during its lane's last", record.origin));
                }
                if last.is_some_and(|last| last >= offset) {
                    state.faults.push(format!("{} came after offset {last:?}", record.origin));
                }
                state.lanes.insert(lane, (Some(offset), true));
            }
            // Others get their chance to do wrong.
            thread::yield_now();
            {
                let mut state = log.lock();
                state.lanes.insert(lane, (Some(offset), false));
                state.handled += 1;
                log.changed.notify_all();
            }
            let settled = Settled { token: record.token, done: true, took: Duration::ZERO };
            subscription.advance(&[record.token], &[settled]);
        }
    }
}

fn a_stuck_endpoint_does_not_hold_up_other_channels(stage: &Stage) -> Outcome {
    let (transport, topic) = (stage.transport(), stage.unique("topic"));
    let (seen, gate) = (Seen::new(), Gate::closed());
    let endpoint = {
        let (seen, gate, limit) = (Arc::clone(&seen), Arc::clone(&gate), stage.limit());
        endpoint_fn(Priority::ALL, move |notification| {
            if notification.priority == Priority::Error {
                gate.pass(limit)?;
            }
            seen.add(notification);
            Ok(())
        })
    };
    let builder = listener(transport, &topic, &topic).endpoint(endpoint).max_workers(4);
    let listener = stage.ready(builder)?;
    let notifier = stage.notifier(transport, &topic)?;
    let stuck = notifier.error(&Context::empty(), "case.stuck", Payload::null());
    let mut sent = vec![stage.id_of(&stuck)?];
    gate.wait_entered(1, stage.limit())?;
    sent.extend(stage.send(&notifier, 20)?);
    seen.wait_for(20, stage.limit())?;
    gate.open();
    seen.wait_for(21, stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)
}
