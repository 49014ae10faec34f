//! The process of `kit/kafka.sh run`: starting it, asking it, ending it. It knows the lines, not their meaning.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::certs;

/// Longest wait for brokers to come up; the script gives up a little earlier and then says why.
const START: Duration = Duration::from_secs(60);
/// Longest wait for the jars, for a slow network.
const FETCH: Duration = Duration::from_secs(900);
/// Longest wait for the end of the guardian after its input has ended; usually 0.1 s.
const END: Duration = Duration::from_secs(20);

/// A running guardian; dropping it ends its brokers and waits until they are gone.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: Child,
    /// `None` once it was closed.
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Guardian {
    /// Starts `kafka.sh run KIND PROPERTIES...` and returns it with what follows `ready ` in its first answer.
    ///
    /// # Panics
    ///
    /// With the script's reason when it does not come up within 60 s, or its jars not within 15 minutes.
    pub(crate) fn start(kind: &str, properties: &[&str]) -> (Self, String) {
        let mut child = Command::new(script())
            .arg("run")
            .arg(kind)
            .args(properties)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not run: {error}", script().display()));
        let commands = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut guardian = Self { child, commands, answers };
        let mut answer = guardian.answer("run", START);
        if answer.starts_with("fetching ") {
            eprintln!("kafka-testkit: {answer}, once; this takes some seconds");
            answer = guardian.answer("fetch", FETCH);
        }
        if let Some(folder) = answer.strip_prefix("certificates ") {
            certs::write(Path::new(folder));
            let input = guardian.commands.as_mut().expect("commands are open until drop");
            writeln!(input).expect("the guardian waits for this");
            answer = guardian.answer("certificates", START);
        }
        match answer.strip_prefix("ready ") {
            Some(ready) => (guardian, ready.to_owned()),
            None => panic!("Kafka ({kind}) does not start: {answer}"),
        }
    }

    /// Sends one command and returns what follows `ok ` in its answer.
    ///
    /// # Panics
    ///
    /// When the answer is an error, or none comes within 60 s.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        let input = self.commands.as_mut().expect("commands are open until drop");
        writeln!(input, "{command}")
            .unwrap_or_else(|error| panic!("Kafka's guardian is gone: {error}"));
        let answer = self.answer(command, START);
        match answer.strip_prefix("ok ").filter(|rest| rest.starts_with(command)) {
            Some(rest) => rest.to_owned(),
            None => panic!("Kafka: {command}: {answer}"),
        }
    }

    fn answer(&self, command: &str, limit: Duration) -> String {
        self.answers.recv_timeout(limit).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => panic!("Kafka: no answer to `{command}` within {limit:?}"),
            RecvTimeoutError::Disconnected => panic!("Kafka's guardian ended during `{command}`"),
        })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.commands = None;
        // The end of its output is the end of the guardian, and that comes after the end of the brokers.
        loop {
            match self.answers.recv_timeout(END) {
                Ok(_) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("kafka-testkit: the guardian did not end within {END:?}: killing it");
                    let _ = self.child.kill();
                    break;
                }
            }
        }
        let _ = self.child.wait();
    }
}

/// Runs `kafka.sh tool NAME ARGS...` and returns its standard output.
///
/// # Panics
///
/// With the tool's output when it fails or takes longer than 60 s.
pub(crate) fn tool(name: &str, args: &[&str]) -> String {
    let mut command = Command::new(script());
    command.arg("tool").arg(name).args(args).stdin(Stdio::null());
    let (sender, output) = channel();
    // The thread that starts the tool must outlive it: the kernel kills the tool with that thread.
    thread::spawn(move || sender.send(command.output()));
    let output = output
        .recv_timeout(START)
        .unwrap_or_else(|_| panic!("Kafka: {name} {args:?} takes longer than {START:?}"))
        .unwrap_or_else(|error| panic!("{} does not run: {error}", script().display()));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("Kafka: {name} {args:?}: {}\n{stdout}{stderr}", output.status);
    }
    stdout
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kit/kafka.sh")
}
