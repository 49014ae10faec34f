//! Batches: their size, their time, their order.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Case,
    stage::{Outcome, Seen, Stage, ensure, equal, listener},
};
use crate::{
    message::{Notification, Priority},
    notify::{BatchEndpoint, EndpointError},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Nothing, a_full_batch_does_not_wait),
        case!(Nothing, a_batch_waits_no_longer_than_its_timeout),
        case!(Nothing, under_load_batches_are_full_and_never_larger),
        case!(Nothing, batches_keep_the_order),
    ]
}

/// Collects batches and their sizes.
#[derive(Clone, Default)]
struct Batches {
    seen: Arc<Seen>,
    sizes: Arc<Mutex<Vec<usize>>>,
}

impl Batches {
    fn sizes(&self) -> Vec<usize> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl BatchEndpoint for Batches {
    fn priorities(&self) -> &[Priority] {
        &[Priority::Info]
    }

    fn handle(&self, batch: &[Notification]) -> Result<(), EndpointError> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).push(batch.len());
        batch.iter().for_each(|notification| self.seen.add(notification));
        Ok(())
    }
}

fn a_full_batch_does_not_wait(stage: &Stage) -> Outcome {
    const SIZE: usize = 10;
    let (transport, topic, batches) =
        (stage.transport(), stage.unique("topic"), Batches::default());
    let builder = listener(transport, &topic, &topic).batch_endpoint(batches.clone());
    let builder = builder.batch_size(SIZE).batch_timeout(stage.limit()).max_workers(1);
    let listener = stage.ready(builder)?;
    let begun = Instant::now();
    let sent = stage.send_burst(&stage.notifier(transport, &topic)?, SIZE)?;
    batches.seen.wait_for(SIZE, stage.limit())?;
    ensure(begun.elapsed() < stage.limit() / 2, || format!("it took {:?}", begun.elapsed()))?;
    listener.close(stage.limit())?;
    equal("sizes of batches", batches.sizes(), vec![SIZE])?;
    batches.seen.is_exactly(&sent)
}

fn a_batch_waits_no_longer_than_its_timeout(stage: &Stage) -> Outcome {
    let (transport, topic, batches) =
        (stage.transport(), stage.unique("topic"), Batches::default());
    let builder = listener(transport, &topic, &topic).batch_endpoint(batches.clone());
    let builder = builder.batch_size(100).batch_timeout(Duration::from_millis(200));
    let listener = stage.ready(builder)?;
    let sent = stage.send(&stage.notifier(transport, &topic)?, 3)?;
    let begun = Instant::now();
    batches.seen.wait_for(sent.len(), stage.limit())?;
    // Three batches one after the other are the most that three records can make.
    ensure(begun.elapsed() < Duration::from_secs(5), || format!("it took {:?}", begun.elapsed()))?;
    listener.close(stage.limit())?;
    batches.seen.is_exactly(&sent)
}

fn under_load_batches_are_full_and_never_larger(stage: &Stage) -> Outcome {
    const SIZE: usize = 20;
    let (transport, topic, batches) =
        (stage.transport(), stage.unique("topic"), Batches::default());
    let builder = listener(transport, &topic, &topic).batch_endpoint(batches.clone());
    let builder = builder.batch_size(SIZE).batch_timeout(Duration::from_millis(300));
    let listener = stage.ready(builder.max_workers(1))?;
    let sent = stage.send_burst(&stage.notifier(transport, &topic)?, 400)?;
    batches.seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    let sizes = batches.sizes();
    ensure(sizes.iter().all(|size| *size <= SIZE), || format!("sizes {sizes:?}"))?;
    ensure(sizes.contains(&SIZE), || format!("none is full: {sizes:?}"))?;
    batches.seen.is_exactly(&sent)
}

fn batches_keep_the_order(stage: &Stage) -> Outcome {
    const COUNT: u64 = 100;
    const KEYS: [&str; 2] = ["instance-1", "instance-2"];
    let (transport, topic, batches) =
        (stage.transport(), stage.unique("topic"), Batches::default());
    let builder = listener(transport, &topic, &topic).batch_endpoint(batches.clone());
    let builder = builder.batch_size(7).batch_timeout(Duration::from_millis(50)).max_workers(4);
    let listener = stage.ready(builder)?;
    stage.send_keyed(&topic, &KEYS, COUNT)?;
    batches.seen.wait_for(KEYS.len() * COUNT as usize, stage.limit())?;
    listener.close(stage.limit())?;
    batches.seen.is_in_order(&KEYS, COUNT)
}
