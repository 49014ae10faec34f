//! The process of a kit's script: starting it, asking it, ending it. It knows the lines, not their meaning.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::certs;

/// Longest wait for brokers to come up; the script gives up a little earlier and then says why.
const START: Duration = Duration::from_secs(60);
/// Longest wait for what the script must fetch, for a slow network.
const FETCH: Duration = Duration::from_secs(900);
/// Longest wait for the end of the guardian after its input has ended; usually 0.1 s.
const END: Duration = Duration::from_secs(20);

/// The script of a kit, which sources `guard.sh`.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// The broker's name, for errors.
    pub product: &'static str,
    /// Where the script is.
    pub path: &'static str,
}

/// A running guardian; dropping it ends its brokers and waits until they are gone.
#[derive(Debug)]
pub struct Guardian {
    product: &'static str,
    child: Child,
    /// `None` once it was closed.
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Guardian {
    /// Starts `SCRIPT run KIND PROPERTIES...` and returns it with what follows `ready ` in its answer.
    ///
    /// It may answer `fetching WHAT` before that, and `certificates FOLDER` when it wants them there.
    ///
    /// # Panics
    ///
    /// With the script's reason when it does not come up within 60 s, or what it fetches not within 15 minutes.
    pub fn start(script: Script, kind: &str, properties: &[&str]) -> (Self, String) {
        let product = script.product;
        let mut child = Command::new(script.path)
            .arg("run")
            .arg(kind)
            .args(properties)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not run: {error}", script.path));
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
        let mut guardian = Self { product, child, commands, answers };
        let mut answer = guardian.answer("run", START);
        if answer.starts_with("fetching ") {
            eprintln!("{product}: {answer}, once; this takes some seconds");
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
            None => panic!("{product} ({kind}) does not start: {answer}"),
        }
    }

    /// Sends one command and returns what follows `ok ` in its answer.
    ///
    /// # Panics
    ///
    /// When the answer is an error, or none comes within 60 s.
    pub fn ask(&mut self, command: &str) -> String {
        let input = self.commands.as_mut().expect("commands are open until drop");
        writeln!(input, "{command}")
            .unwrap_or_else(|error| panic!("the guardian of {} is gone: {error}", self.product));
        let answer = self.answer(command, START);
        match answer.strip_prefix("ok ").filter(|rest| rest.starts_with(command)) {
            Some(rest) => rest.to_owned(),
            None => panic!("{}: {command}: {answer}", self.product),
        }
    }

    fn answer(&self, command: &str, limit: Duration) -> String {
        self.answers.recv_timeout(limit).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => {
                panic!("{}: no answer to `{command}` within {limit:?}", self.product)
            }
            RecvTimeoutError::Disconnected => {
                panic!("the guardian of {} ended during `{command}`", self.product)
            }
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
                    eprintln!(
                        "{}: the guardian did not end within {END:?}: killing it",
                        self.product
                    );
                    let _ = self.child.kill();
                    break;
                }
            }
        }
        let _ = self.child.wait();
    }
}

impl Script {
    /// Runs `SCRIPT WHAT ARGS...` and returns its standard output.
    ///
    /// # Panics
    ///
    /// With the output of both kinds when it fails or takes longer than 60 s.
    pub fn output(self, what: &str, args: &[&str]) -> String {
        let mut command = Command::new(self.path);
        command.arg(what).args(args).stdin(Stdio::null());
        output(&format!("{}: {what} {args:?}", self.product), command)
    }
}

/// Runs a command and returns its standard output. `name` is what a failure is told of.
///
/// # Panics
///
/// With the output of both kinds when it fails or takes longer than 60 s.
pub fn output(name: &str, command: Command) -> String {
    try_output(name, command).unwrap_or_else(|failure| panic!("{failure}"))
}

/// The same, and how it failed.
///
/// # Panics
///
/// When it does not run or takes longer than 60 s.
pub fn try_output(name: &str, mut command: Command) -> Result<String, String> {
    let (sender, output) = channel();
    // The thread that starts the command must outlive it: the kernel may kill the command with that thread.
    thread::spawn(move || sender.send(command.output()));
    let output = output
        .recv_timeout(START)
        .unwrap_or_else(|_| panic!("{name} takes longer than {START:?}"))
        .unwrap_or_else(|error| panic!("{name} does not run: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name}: {}\n{stdout}{stderr}", output.status));
    }
    Ok(stdout)
}

/// The value of `name=value` in an answer of the guardian; `dir` reaches to the end.
pub fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("{name}=");
    if name == "dir" {
        return answer.split_once(&start).map(|(_, value)| value);
    }
    answer.split(' ').find_map(|part| part.strip_prefix(start.as_str()))
}

/// A process id in an answer of the guardian.
///
/// # Panics
///
/// When it is none.
pub fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("not a process id: '{text}'"))
}
