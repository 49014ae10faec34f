//! The Python library as processes at the other end, driven line by line.

use std::{
    cell::Cell,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

use rabbitmq_testkit::{shared, unique};
use serde_json::{Value, json};

const INTEROP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop");
/// Longest wait for a line.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A script of `interop/`. It ends when its input does, and with this at the latest.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
}

/// An RPC server of the Python library.
pub(crate) struct Server(Peer);

/// An RPC client of the Python library.
pub(crate) struct Client {
    peer: Peer,
    next: Cell<u64>,
}

/// Where servers of a test are, and by which options they and their clients speak.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) exchange: String,
    pub(crate) topic: String,
}

impl Place {
    /// A new one on the shared broker; `query` are options of the driver.
    pub(crate) fn new(query: &str) -> Self {
        let url = format!("{}?{query}", shared().url("osl"));
        Self { url, exchange: unique("exchange"), topic: unique("topic") }
    }
}

impl Peer {
    /// Starts a script; returns when it is ready.
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
        let mut child = Command::new(python)
            .args(["-X", "utf8", "-W", "ignore"])
            .arg(Path::new(INTEROP).join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The test may have ended.
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let peer = Self { child, input, lines };
        assert_eq!(peer.line(), json!({"event": "ready"}));
        peer
    }

    pub(crate) fn tell(&mut self, line: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line.
    pub(crate) fn line(&self) -> Value {
        self.lines
            .recv_timeout(LIMIT)
            .unwrap_or_else(|_| panic!("Python says nothing for {LIMIT:?}"))
    }

    /// Ends its input, waits for its end, and returns what it had said and nobody has read.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        self.input = None;
        let mut rest = Vec::new();
        loop {
            match self.line() {
                line if line == json!({"event": "stopped"}) => break,
                line => rest.push(line),
            }
        }
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(place: &Place, name: &str) -> Self {
        let Place { url, exchange, topic } = place;
        let arguments = ["--url", url, "--exchange", exchange, "--topic", topic, "--server", name];
        Self(Peer::start("reference_rpc_server.py", &arguments))
    }

    /// The next method that runs, and its context.
    pub(crate) fn called(&self) -> (String, Value) {
        let line = self.0.line();
        assert_eq!(line["event"], "called", "{line}");
        (line["method"].as_str().unwrap().to_owned(), text(&line["context"]))
    }

    /// Waits for its orderly end; the methods that ran and nobody has asked for.
    pub(crate) fn stop(self) -> Vec<String> {
        let rest = self.0.stop();
        rest.iter().map(|line| line["method"].as_str().unwrap().to_owned()).collect()
    }
}

impl Client {
    pub(crate) fn start(place: &Place) -> Self {
        let Place { url, exchange, topic } = place;
        let arguments = ["--url", url, "--exchange", exchange, "--topic", topic];
        Self { peer: Peer::start("reference_rpc_client.py", &arguments), next: Cell::new(0) }
    }

    /// Sends requests at once; their answers in the same order, without ids, and how long each took.
    pub(crate) fn ask(&mut self, requests: &[Value]) -> Vec<(Value, Duration)> {
        let first = self.next.get();
        self.next.set(first + requests.len() as u64);
        for (request, id) in requests.iter().zip(first..) {
            let mut request = request.clone();
            request["id"] = id.into();
            self.peer.tell(&request);
        }
        let deadline = Instant::now() + LIMIT;
        let mut answers = vec![None; requests.len()];
        while answers.iter().any(Option::is_none) {
            assert!(Instant::now() < deadline, "not every request is answered: {answers:?}");
            let mut answer = self.peer.line();
            let fields = answer.as_object_mut().unwrap();
            let id = fields.remove("id").unwrap().as_u64().unwrap();
            let seconds = fields.remove("seconds").unwrap().as_f64().unwrap();
            answers[(id - first) as usize] = Some((answer, Duration::from_secs_f64(seconds)));
        }
        answers.into_iter().flatten().collect()
    }

    pub(crate) fn stop(self) {
        assert_eq!(self.peer.stop(), [Value::Null; 0]);
    }
}

/// The value of a JSON text within a line.
pub(crate) fn text(text: &Value) -> Value {
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}
