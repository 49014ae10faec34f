//! The reference as a process that answers line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value as Json;

pub(crate) const INTEROP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../interop");

/// A script of `interop/`; it ends with this.
pub(crate) struct Reference {
    child: Child,
    answers: BufReader<ChildStdout>,
}

/// Where its questions go.
pub(crate) struct Questions(ChildStdin);

/// The Python that has the reference.
pub(crate) fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = Path::new(INTEROP).join("venv.sh");
        let made = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(made.status.success(), "the reference could not be installed");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    })
}

impl Reference {
    /// Starts a script and tells it this.
    pub(crate) fn start(script: &str, first: &Json) -> Self {
        let mut child = Command::new(python())
            .args(["-X", "utf8", "-W", "ignore"])
            .arg(Path::new(INTEROP).join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{first}").unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    pub(crate) fn questions(&mut self) -> Questions {
        Questions(self.child.stdin.take().unwrap())
    }

    /// The next answer, or a panic when the script has ended.
    pub(crate) fn answer(&mut self) -> Json {
        let mut line = String::new();
        assert!(self.answers.read_line(&mut line).unwrap() > 0, "the script has ended");
        serde_json::from_str(&line).unwrap()
    }
}

impl Questions {
    pub(crate) fn ask(&mut self, question: &Json) {
        writeln!(self.0, "{question}").unwrap();
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
