//! The real oslo.messaging as a process at the other end.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{LIMIT, url};

const INTEROP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop");

/// Longest life of a Python process.
const LONGEST_LIFE: Duration = Duration::from_secs(180);

/// A Python process that does not outlive its test, nor its time.
pub(crate) struct Python(Arc<Mutex<Child>>);

impl Python {
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        static PYTHON: OnceLock<String> = OnceLock::new();
        let python = PYTHON.get_or_init(|| {
            let made = Command::new(Path::new(INTEROP).join("venv.sh"))
                .stderr(Stdio::inherit())
                .output()
                .unwrap();
            assert!(made.status.success(), "the reference could not be installed");
            String::from_utf8(made.stdout).unwrap().trim().to_owned()
        });
        let child = Command::new(python)
            .arg(Path::new(INTEROP).join(script))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let child = Arc::new(Mutex::new(child));
        let watched = Arc::downgrade(&child);
        std::thread::spawn(move || {
            std::thread::sleep(LONGEST_LIFE);
            if let Some(child) = watched.upgrade() {
                let _ = child.lock().unwrap().kill();
            }
        });
        Self(child)
    }

    /// Waits for a line of standard error, then leaves the rest to a thread.
    fn wait_for_line(&self, expected: &str) {
        let mut lines = BufReader::new(self.0.lock().unwrap().stderr.take().unwrap()).lines();
        let mut before = Vec::new();
        loop {
            match lines.next() {
                Some(line) if line.as_deref().unwrap() == expected => break,
                Some(line) => before.push(line.unwrap()),
                None => panic!("{}", before.join("\n")),
            }
        }
        std::thread::spawn(move || {
            lines.for_each(|line| eprintln!("reference: {}", line.unwrap()))
        });
    }

    pub(crate) fn output(self) -> String {
        let mut text = String::new();
        let mut stdout = self.0.lock().unwrap().stdout.take().unwrap();
        stdout.read_to_string(&mut text).unwrap();
        assert!(self.0.lock().unwrap().wait().unwrap().success(), "{text}");
        text
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let mut child = self.0.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A Python listener, and what it has printed.
pub(crate) struct PythonListener {
    // Ended first, so that the reading thread ends.
    process: Python,
    lines: mpsc::Receiver<Value>,
}

impl PythonListener {
    /// Starts a listener of all priorities that ends after `count` notifications; returns when it
    /// would get what is sent from then on.
    pub(crate) fn start(topic: &str, pool: &str, count: usize) -> Self {
        let count = count.to_string();
        let arguments = ["--url", &url(), "--topic", topic, "--pool", pool, "--count", &count];
        let timeout = LONGEST_LIFE.as_secs().to_string();
        let arguments = [&arguments[..], &["--timeout", &timeout]].concat();
        let process = Python::start("reference_listen.py", &arguments);
        process.wait_for_line("ready");
        let stdout = process.0.lock().unwrap().stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, lines }
    }

    /// The next notifications, in the order in which they came.
    pub(crate) fn take(&self, count: usize) -> Vec<Value> {
        let until = Instant::now() + LIMIT;
        let next = |n| {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            line.unwrap_or_else(|_| panic!("Python got {n} of {count} within {LIMIT:?}"))
        };
        (0..count).map(next).collect()
    }

    /// What has come and was not taken yet.
    pub(crate) fn take_what_came(&self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    /// Waits for its orderly end; what it had printed and nobody has taken.
    pub(crate) fn finish(self) -> Vec<Value> {
        let rest = self.lines.iter().collect();
        // Only now: the lock must be free for who ends it after its longest life.
        let status = self.process.0.lock().unwrap().wait().unwrap();
        assert!(status.success(), "the Python listener failed: {status}");
        rest
    }

    /// Kills it; what it had printed and nobody has taken.
    pub(crate) fn kill(self) -> Vec<Value> {
        drop(self.process);
        self.lines.iter().collect()
    }
}
