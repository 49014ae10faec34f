//! What a role is told to do, and how every role begins. The roles are this program again: `kill -9`
//! and SIGSTOP hit a process.

use std::{
    io,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use signal_hook::{consts::SIGTERM, flag};

use crate::{listener, naive, publisher};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    Publisher(Publishing),
    Listener(Listening),
    /// A bare consumer, as a control.
    Naive(Listening),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publishing {
    pub(crate) url: String,
    /// Without the priority.
    pub(crate) topic: String,
    pub(crate) journal: PathBuf,
    pub(crate) id: u32,
    /// 0 is as fast as confirmations allow.
    pub(crate) per_second: u32,
    /// 0 is until it is told to stop.
    pub(crate) count: u64,
    pub(crate) close_seconds: u64,
    /// Each waits for its report before the next one is sent.
    pub(crate) one_by_one: bool,
    pub(crate) bug: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) url: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) journal: PathBuf,
    /// What the endpoint takes for each record.
    pub(crate) work_micros: u64,
    pub(crate) close_seconds: u64,
    pub(crate) bug: bool,
}

/// How often a seeded bug strikes.
pub(crate) const BUG_EVERY: u64 = 100;
/// A role that could not close in order.
pub(crate) const NOT_CLOSED: u8 = 3;

/// Whether SIGTERM came. The second one ends the process at once.
#[derive(Clone, Debug)]
pub(crate) struct Told(Arc<AtomicBool>);

impl Told {
    pub(crate) fn to_stop(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn wait(&self) {
        while !self.to_stop() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The body of a role's process. `parent`: it dies with that process, however that ends.
pub(crate) fn run(parent: i32, json: &str) -> ExitCode {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("the kernel knows the request");
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent) {
        return ExitCode::FAILURE;
    }
    let told = listen_for_signals().expect("the signal may be handled");
    match serde_json::from_str(json).expect("the harness writes its own jobs") {
        Job::Publisher(job) => publisher::run(&job, &told),
        Job::Listener(job) => listener::run(&job, &told),
        Job::Naive(job) => naive::run(&job, &told),
    }
}

fn listen_for_signals() -> io::Result<Told> {
    let told = Arc::new(AtomicBool::new(false));
    // In this order: the first signal only sets the flag.
    flag::register_conditional_shutdown(SIGTERM, 143, Arc::clone(&told))?;
    flag::register(SIGTERM, Arc::clone(&told))?;
    Ok(Told(told))
}
