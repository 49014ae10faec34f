//! The role `listener`: a member of a group on this library. It writes down what the library tells of
//! ownership, commits and dispatches (trace target `oslo_messaging::records`), and what its endpoint
//! was called with.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use oslo_messaging::{Listener, Priority, Target, Transport, endpoint_fn};
use tracing::{
    Level, Metadata,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterFn, filter_fn},
    layer::{Context, SubscriberExt},
};

use crate::{
    job::{BUG_EVERY, Listening, NOT_CLOSED, Told},
    journal::{Event, Journal},
};

const RECORDS: &str = "oslo_messaging::records";

thread_local! {
    /// What this worker's endpoint is called with next: partition, offset, period.
    static NEXT: Cell<(i32, i64, u32)> = const { Cell::new((-1, -1, 0)) };
}

pub(crate) fn run(job: &Listening, told: &Told) -> ExitCode {
    let journal = Arc::new(Journal::create(&job.journal).expect("the folder is there"));
    watch(&journal, job.bug);
    let transport =
        Transport::for_notifications(&job.url).expect("the harness writes its own URLs");
    let (work, bug, count) = (job.work_micros, job.bug, AtomicU64::new(0));
    let endpoint_journal = Arc::clone(&journal);
    let endpoint = endpoint_fn([Priority::Info], move |_| {
        let (partition, offset, period) = NEXT.get();
        let nth = count.fetch_add(1, Ordering::Relaxed) % BUG_EVERY;
        if bug && nth == 1 {
            // Seeded bug: forgets a record.
            return Ok(());
        }
        // Seeded bug: as if it had no commit of its own ownership.
        let period = if bug && nth == 6 { period + 1_000 } else { period };
        endpoint_journal.line(format_args!("{}", Event::Begun { partition, offset, period }));
        if bug && nth == 3 {
            // Seeded bug: the one before, once more and late.
            let offset = offset - 1;
            endpoint_journal.line(format_args!("{}", Event::Begun { partition, offset, period }));
        }
        if work > 0 {
            thread::sleep(Duration::from_micros(work));
        }
        endpoint_journal.line(format_args!("{}", Event::Ended { partition, offset, period }));
        Ok(())
    });
    let listener = Listener::builder(&transport)
        .target(Target::new(&job.topic))
        .pool(&job.group)
        .endpoint(endpoint)
        .start()
        .expect("the listener's settings are right");
    told.wait();
    let closed = listener.close(Duration::from_secs(job.close_seconds));
    if let Err(error) = &closed {
        tracing::error!("{error}");
    }
    let stats = transport.stats();
    for (name, value) in [
        ("unknown_commit", stats.unknown_commit.get()),
        ("rebalances", stats.rebalances.get()),
        ("commit_failures", stats.commit_failures.get()),
        ("deleted_unread", stats.deleted_unread.get()),
    ] {
        journal.line(format_args!("{}", Event::Stat { name: name.to_owned(), value }));
    }
    // What the group thread still does, if it could not leave, ends with the process.
    std::mem::forget(listener);
    tracing::info!("{stats:?}");
    ExitCode::from(if closed.is_ok() { 0 } else { NOT_CLOSED })
}

/// Sends the library's trace events to the journal, and its log to standard error.
fn watch(journal: &Arc<Journal>, bug: bool) {
    let records: FilterFn<fn(&Metadata<'_>) -> bool> = filter_fn(|meta| meta.target() == RECORDS);
    let watch = Watch { journal: Arc::clone(journal), positions: Mutex::default(), bug };
    let log =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(
            filter_fn(|meta| *meta.level() <= Level::INFO && meta.target() != RECORDS)
                .with_max_level_hint(LevelFilter::INFO),
        );
    let subscriber = Registry::default().with(watch.with_filter(records)).with(log);
    tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
}

struct Watch {
    journal: Arc<Journal>,
    /// By partition, behind the last record that arrived.
    positions: Mutex<HashMap<i32, i64>>,
    bug: bool,
}

impl<S: tracing::Subscriber> Layer<S> for Watch {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { partition, offset, period, commit, ref message } = fields;
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match message.as_str() {
            "dispatched" => return NEXT.set((partition, offset, period)),
            "received" => {
                positions.insert(partition, offset + 1);
                return;
            }
            "assigned" => {
                // Without a number (the beginning) nothing is known before the first record.
                positions.insert(partition, offset);
                Event::Assigned { partition, period, start: offset }
            }
            "revoked" => Event::Revoked { partition },
            "lost" => Event::Lost { partition },
            "released" => Event::Released { partition },
            "commit" => {
                let position = positions.get(&partition).copied().unwrap_or(-1);
                // Seeded bug: now and then one more than was taken.
                let far = i64::from(self.bug && commit % BUG_EVERY == 5);
                let offset = if far > 0 { position + far } else { offset };
                Event::Commit { id: commit, partition, offset, position, period }
            }
            "committed" => Event::Committed { id: commit, partition },
            "not committed" => Event::NotCommitted { id: commit, partition },
            "found" => Event::Found { partition, offset },
            _ => return,
        };
        self.journal.line(format_args!("{seen}"));
    }
}

#[derive(Default)]
struct Fields {
    partition: i32,
    offset: i64,
    period: u32,
    commit: u64,
    message: String,
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        match field.name() {
            "partition" => self.partition = i32::try_from(value).unwrap_or(-1),
            "offset" => self.offset = value,
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "period" => self.period = u32::try_from(value).unwrap_or(0),
            "commit" => self.commit = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
