//! A role's process as the harness holds it: started, followed, hit and ended.

use std::{
    collections::HashSet,
    env,
    fs::{self, File},
    path::Path,
    process::{self, Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    job::Job,
    journal::{Tail, now},
};

const LOOK: Duration = Duration::from_millis(20);

/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Role {
    child: Child,
    pid: Pid,
    tail: Tail,
    /// What the journal has shown so far.
    pub(crate) begun: u64,
    pub(crate) assigned: u64,
    pub(crate) owned: HashSet<i32>,
    pub(crate) sends: u64,
    pub(crate) delivered: u64,
    /// Exit code; -1 for a signal.
    pub(crate) ended: Option<i32>,
}

impl Role {
    /// Starts this program again; its standard error goes to `journal`.err.
    pub(crate) fn start(job: &Job, journal: &Path) -> Self {
        let log = File::create(journal.with_extension("err")).expect("the folder is there");
        let child = Command::new(env::current_exe().expect("this program has a path"))
            .args(["role", &process::id().to_string()])
            .arg(serde_json::to_string(job).expect("a job has a JSON form"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a role starts");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Self {
            child,
            pid: pid.expect("the kernel's process ids are positive"),
            tail: Tail::new(journal.to_owned()),
            begun: 0,
            assigned: 0,
            owned: HashSet::new(),
            sends: 0,
            delivered: 0,
            ended: None,
        }
    }

    /// Most memory that it had so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Reads on in its journal.
    pub(crate) fn look(&mut self) {
        for line in self.tail.lines() {
            let mut words = line.split(' ');
            let kind = words.next();
            let mut partition = || words.next().and_then(|word| word.parse().ok()).unwrap_or(-1);
            match kind {
                Some("begun") => self.begun += 1,
                Some("assigned") => {
                    self.assigned += 1;
                    self.owned.insert(partition());
                }
                Some("lost" | "released") => {
                    self.owned.remove(&partition());
                }
                Some("intent") => self.sends += 1,
                Some("delivered") => self.delivered += 1,
                _ => {}
            }
        }
    }

    /// Reads on until `reached`; `false` when `limit` passes first.
    pub(crate) fn wait_for(&mut self, limit: Duration, reached: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + limit;
        loop {
            self.look();
            if reached(self) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(LOOK);
        }
    }

    /// SIGKILL; returns when it was. The time of it.
    pub(crate) fn kill(&mut self) -> i64 {
        let at = now();
        self.signal(Signal::KILL);
        self.end(Duration::from_secs(10));
        at
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM: the orderly end begins.
    pub(crate) fn tell_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end; kills it after `limit`. `false`: it had to be killed.
    pub(crate) fn end(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            if let Some(code) = self.exited() {
                self.ended = Some(code);
                return true;
            }
            if Instant::now() >= until {
                self.signal(Signal::KILL);
                let status = self.child.wait().expect("the child is ours");
                self.ended = Some(status.code().unwrap_or(-1));
                return false;
            }
            thread::sleep(LOOK);
        }
    }

    pub(crate) fn exited(&mut self) -> Option<i32> {
        if self.ended.is_none() {
            let status = self.child.try_wait().expect("the child is ours");
            self.ended = status.map(|status| status.code().unwrap_or(-1));
        }
        self.ended
    }

    fn signal(&self, signal: Signal) {
        // The process is not collected yet: the number is still its own.
        if self.ended.is_none() {
            kill_process(self.pid, signal).expect("the process is ours");
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if self.exited().is_none() {
            self.kill();
        }
    }
}
