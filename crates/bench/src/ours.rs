//! The same on this library, as a service would use it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Listener, Notification, Notifier, Payload, Priority, Receipt, Target, Transport,
    endpoint_fn,
};

use crate::{
    calls,
    measure::{Measured, OURS},
    work::{Job, LIMIT, Watch, What, corpus, wait_for_tick},
};

/// Receipts that are not looked at yet: more than librdkafka keeps on the wire.
const WINDOW: usize = 10_000;

pub(crate) fn run(job: &Job) -> Measured {
    match job.what {
        What::Pipelined => pipelined(job),
        What::OneByOne => one_by_one(job),
        What::Threads { .. } => {
            unreachable!("receipts need no threads: the measurement is Python's")
        }
        What::Listen => listen(job),
        What::EndToEnd { per_second } => end_to_end(job, per_second),
        What::Calls { callers } => calls::run(OURS, job, callers),
    }
}

fn notifier(job: &Job, transport: &Transport) -> Notifier {
    Notifier::builder(transport)
        .publisher_id("compute.bench")
        .driver("messagingv2")
        .topic(&job.topic)
        .build()
        .expect("the notifier's settings are right")
}

fn open(job: &Job) -> Transport {
    let url = format!("{}?auto_offset_reset=earliest", job.url);
    Transport::for_notifications(&url).expect("the URL is right")
}

fn pipelined(job: &Job) -> Measured {
    let transport = open(job);
    let (sender, corpus) = (notifier(job, &transport), corpus());
    sender.info(&Context::empty(), "warm.up", Payload::null()).wait(LIMIT).expect("confirmed");
    let watch = Watch::start();
    let mut receipts = VecDeque::with_capacity(WINDOW);
    for n in corpus.iter().cycle().take(job.count) {
        if receipts.len() == WINDOW {
            let oldest: Option<Receipt> = receipts.pop_front();
            oldest.into_iter().for_each(|receipt| receipt.wait(LIMIT).expect("confirmed"));
        }
        receipts.push_back(sender.info(&n.context, &n.event_type, n.payload.clone()));
    }
    for receipt in receipts {
        receipt.wait(LIMIT).expect("confirmed");
    }
    watch.stop(job.count, Vec::new())
}

fn one_by_one(job: &Job) -> Measured {
    let transport = open(job);
    let (sender, corpus) = (notifier(job, &transport), corpus());
    sender.info(&Context::empty(), "warm.up", Payload::null()).wait(LIMIT).expect("confirmed");
    let watch = Watch::start();
    let mut latencies = Vec::with_capacity(job.count);
    for n in corpus.iter().cycle().take(job.count) {
        let begun = Instant::now();
        sender.info(&n.context, &n.event_type, n.payload.clone()).wait(LIMIT).expect("confirmed");
        latencies.push(begun.elapsed());
    }
    watch.stop(job.count, latencies)
}

fn start(
    job: &Job,
    transport: &Transport,
    each: impl Fn(&Notification) + Send + Sync + 'static,
) -> Listener {
    Listener::builder(transport)
        .target(Target::new(&job.topic))
        .pool(&job.group)
        .endpoint(endpoint_fn([Priority::Info], move |notification| {
            each(notification);
            Ok(())
        }))
        .start()
        .expect("the listener's settings are right")
}

fn listen(job: &Job) -> Measured {
    let watch = Arc::new(Mutex::new((Some(Watch::start()), 0)));
    let transport = open(job);
    let (done, ended) = mpsc::channel();
    let (count, progress) = (job.count, Arc::clone(&watch));
    let listener = start(job, &transport, move |notification| {
        assert!(!notification.event_type.is_empty());
        let mut progress = progress.lock().expect("no endpoint panics");
        progress.1 += 1;
        if progress.1 == 1
            && let Some(watch) = &mut progress.0
        {
            watch.first_record();
        }
        if progress.1 == count {
            let watch = progress.0.take().expect("taken once");
            // Nobody waits any more once the limit has passed.
            let _ = done.send(watch.stop(count, Vec::new()));
        }
    });
    let measured = ended.recv_timeout(LIMIT).expect("every record comes");
    listener.close(LIMIT).expect("an idle listener ends");
    measured
}

fn end_to_end(job: &Job, per_second: u32) -> Measured {
    let transport = open(job);
    let (sender, corpus) = (notifier(job, &transport), corpus());
    sender.info(&Context::empty(), "0", Payload::null()).wait(LIMIT).expect("confirmed");
    let clock = Instant::now();
    let (seen, arrivals) = mpsc::channel();
    let listener = start(job, &transport, move |notification| {
        let sent: u64 = notification.event_type.parse().expect("every event type is a time");
        // Nobody waits any more once the limit has passed.
        let _ = seen.send((sent, clock.elapsed()));
    });
    let mut watch = Watch::start();
    arrivals.recv_timeout(LIMIT).expect("the first record says that the group is ready");
    watch.first_record();
    let begun = Instant::now();
    for (tick, n) in corpus.iter().cycle().take(job.count).enumerate() {
        wait_for_tick(begun, tick, per_second);
        let now = clock.elapsed().as_nanos().to_string();
        drop(sender.info(&n.context, &now, n.payload.clone()));
    }
    let latencies = (0..job.count)
        .map(|_| {
            let (sent, came) = arrivals.recv_timeout(LIMIT).expect("every record comes");
            came - Duration::from_nanos(sent)
        })
        .collect();
    let measured = watch.stop(job.count, latencies);
    listener.close(LIMIT).expect("an idle listener ends");
    measured
}
