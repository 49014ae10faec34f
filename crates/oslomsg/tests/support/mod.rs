//! Runs the real program: every wait has an end, and nothing is left behind.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// What a program that ended has left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The end that was expected, or a panic that shows all of it.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Standard output as JSON, line by line.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A program that runs; it is killed when this goes.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    err: Receiver<String>,
}

/// The program with arguments, apart from whatever the environment says.
pub(crate) fn oslomsg(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oslomsg"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["OSLOMSG_TRANSPORT_URL", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command
}

/// Starts the program.
pub(crate) fn start(args: &[&str]) -> Running {
    Running::of(oslomsg(args).spawn().unwrap())
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    start(args).end()
}

/// Runs the program to its end with an input.
pub(crate) fn run_with(args: &[&str], input: &str) -> Ended {
    let mut child = oslomsg(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that ends before it has read everything is judged by its end.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let ended = Running::of(child).end();
    writer.join().unwrap();
    ended
}

/// Runs the program to its end with a terminal as its standard error.
#[allow(dead_code, reason = "not every test program shows terminals")]
pub(crate) fn run_on_terminal(args: &[&str]) -> Ended {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    // With the command goes this process's own end: what is left closes with the program.
    let child = oslomsg(args).env("TERM", "xterm").stderr(terminal).spawn().unwrap();
    Running::with_stderr(child, File::from(screen)).end()
}

impl Running {
    fn of(mut child: Child) -> Self {
        let stderr = child.stderr.take().unwrap();
        Self::with_stderr(child, stderr)
    }

    fn with_stderr(mut child: Child, mut stderr: impl Read + Send + 'static) -> Self {
        let lines = read_lines(child.stdout.take().unwrap());
        let (sender, err) = channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            // A terminal ends with an error when its last user has gone.
            let _ = stderr.read_to_end(&mut text);
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
        Self { child, lines, err }
    }

    /// The next line of standard output.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("a line in time")
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits for the end, and gives what was not read before.
    pub(crate) fn end(mut self) -> Ended {
        let err = match self.err.recv_timeout(LIMIT) {
            Ok(err) => err,
            Err(_) => {
                let _ = self.child.kill();
                panic!("no end in time; stderr: {:?}", self.err.recv_timeout(LIMIT));
            }
        };
        let out = self.lines.iter().map(|line| line + "\n").collect();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Ended { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

/// An embedded broker in a process of its own.
pub(crate) struct Broker {
    running: Running,
    /// Its transport URL.
    pub(crate) url: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        // Should this process be killed, the broker ends all the same.
        let running = start(&["broker", "--timeout", "100"]);
        let url = running.line();
        Self { running, url }
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, "")
    }

    /// Runs a command against it, with an input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ended {
        run_with(&[&["--transport-url", &self.url], args].concat(), input)
    }

    /// Starts a command against it.
    pub(crate) fn start_command(&self, args: &[&str]) -> Running {
        start(&[&["--transport-url", &self.url], args].concat())
    }

    /// Writes bytes that need not be a notification; `None` is a null value.
    pub(crate) fn write(&self, topic: &str, body: Option<&[u8]>) {
        use rdkafka::{
            ClientConfig,
            producer::{BaseProducer, BaseRecord, Producer},
        };
        let bootstrap = self.url.trim_start_matches("kafka://").trim_end_matches('/');
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
        let mut record = BaseRecord::<str, [u8]>::to(topic).key("a key").partition(0);
        record.payload = body;
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(LIMIT).unwrap();
    }

    /// Ends it as a user does.
    pub(crate) fn end(self) -> Ended {
        self.running.signal("TERM");
        self.running.end()
    }
}

/// A folder that goes with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("oslomsg-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
