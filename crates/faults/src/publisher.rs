//! The role `publisher`: sends numbered notifications and writes down what is reported of each.

use std::{
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::{Context, Notification, Notifier, Outcome, Payload, Priority, Transport};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use crate::{
    job::{BUG_EVERY, NOT_CLOSED, Publishing, Told},
    journal::Journal,
};

/// The key that a publisher's records have.
pub(crate) fn key(id: u32) -> String {
    format!("pub-{id}")
}

pub(crate) fn run(job: &Publishing, told: &Told) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        .init();
    let journal = Arc::new(Journal::create(&job.journal).expect("the folder is there"));
    let observed = Arc::clone(&journal);
    let (id, bug) = (job.id, job.bug);
    let transport = Transport::builder()
        .url(job.url.clone())
        .on_outcome(move |end| {
            // An adopted spool has records of another publisher.
            let Some((of, seq)) = end.message_id.split_once('-') else { return };
            let seeded = seq.parse::<u64>().is_ok_and(|seq| bug && seq % BUG_EVERY == 3);
            match &end.result {
                // Seeded bug: says that what was delivered is not.
                Ok(()) if seeded => {
                    observed.line(format_args!("not-delivered {of} {seq} seeded bug"));
                }
                Ok(()) => observed.line(format_args!("delivered {of} {seq}")),
                // Seeded bug: reported at the hand-over, see below.
                Err(_) if bug => {}
                Err(error) => {
                    let cause = error.cause;
                    match error.outcome {
                        Outcome::Unknown => {
                            observed.line(format_args!("unknown {of} {seq} {cause:?}"));
                        }
                        Outcome::NotDelivered => {
                            observed.line(format_args!("not-delivered {of} {seq} {cause:?}"));
                        }
                    }
                }
            }
        })
        .for_notifications()
        .expect("the harness writes its own URLs");
    let notifier = Notifier::builder(&transport)
        .publisher_id(key(id))
        .driver("messagingv2")
        .topic(&job.topic)
        .build()
        .expect("the notifier's settings are right");
    let send = |seq: u64| {
        let payload = json!({"pub": key(id), "run": job.topic, "seq": seq});
        let payload = Payload::from(payload);
        let mut notification =
            Notification::new(key(id), "faults.tick", Priority::Info, payload, Context::empty());
        notification.message_id = format!("{id}-{seq}");
        let receipt = notifier.send(&notification);
        if job.one_by_one {
            // What it says is journaled by the observer.
            let _ = receipt.wait(Duration::MAX);
        }
    };
    let begun = Instant::now();
    let mut seq = 0;
    while !told.to_stop() && (job.count == 0 || seq < job.count) {
        seq += 1;
        journal.line(format_args!("intent {id} {seq}"));
        match seq % BUG_EVERY {
            // Seeded bug: says delivered of what is never sent.
            1 if bug => journal.line(format_args!("delivered {id} {seq}")),
            // Seeded bug: one twice, as a blind retry would.
            2 if bug => [seq, seq].into_iter().for_each(&send),
            // Seeded bug: two in the wrong order.
            4 if bug => {}
            5 if bug => [seq, seq - 1].into_iter().for_each(&send),
            _ => send(seq),
        }
        if job.per_second > 0 {
            let ticks = u32::try_from(seq).unwrap_or(u32::MAX);
            let due = begun + Duration::from_secs(1) * ticks / job.per_second;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    let closed = transport.close(Duration::from_secs(job.close_seconds));
    if let Err(error) = &closed {
        tracing::error!("{error}");
    }
    tracing::info!("{:?}", transport.stats());
    ExitCode::from(if closed.is_ok() { 0 } else { NOT_CLOSED })
}
