//! A role as its parent holds it: a process of this program, its lines, its samples.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use crate::samples::Sample;

/// Longest wait for a process that was told to end: it may flush, or leave a group, meanwhile.
const END: Duration = Duration::from_secs(150);

/// What a role told its parent.
#[derive(Debug)]
pub(crate) enum Told {
    Line(String),
    /// Its output has ended, and so has it.
    End,
}

/// A process that runs; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
    /// What it told last.
    pub(crate) heap_kib: f64,
    child: Child,
    /// `None` once it was told to end.
    input: Option<ChildStdin>,
}

impl Process {
    /// Starts a role; what it tells comes with `index`.
    pub(crate) fn start(
        name: &'static str,
        words: &[&str],
        index: usize,
        events: Sender<(usize, Told)>,
    ) -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| format!("no path to itself: {error}"))?;
        let mut child = Command::new(program)
            .arg("role")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the {name} does not start: {error}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("standard output is piped")?;
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The parent is about to end when it no longer listens.
                let _ = events.send((index, Told::Line(line)));
            }
            let _ = events.send((index, Told::End));
        });
        Ok(Self { name, samples: Vec::new(), heap_kib: 0.0, child, input })
    }

    pub(crate) fn sample(&mut self, seconds: f64) -> Result<(), String> {
        let sample = Sample::take(seconds, self.child.id(), self.heap_kib);
        self.samples.push(sample.map_err(|error| format!("the {}: {error}", self.name))?);
        Ok(())
    }

    /// Tells it to end in order.
    pub(crate) fn close(&mut self) {
        self.input = None;
    }

    /// Waits until it has ended in order.
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        self.close();
        let deadline = Instant::now() + END;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the {} ended: {status}", self.name)),
                Ok(None) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(None) => return Err(format!("the {} does not end within {END:?}", self.name)),
                Err(error) => return Err(format!("the {}: {error}", self.name)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
