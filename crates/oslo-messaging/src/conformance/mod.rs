//! Every case that a driver must pass, written once. A driver exists when it passes.
//!
//! The cases speak to a broker through the public API, and through [`driver`](crate::driver)
//! where only bytes will do. What a driver does not claim in its
//! [`Capabilities`], and what its [`Subject`] does not promise, is
//! skipped by name. An author of a driver needs one line:
//!
//! ```
//! use oslo_messaging::conformance::{Subject, run};
//! run(&Subject::new("fake:///")).assert_passed();
//! ```
//!
//! | file | has the cases about |
//! |---|---|
//! | `send` | what a sender is told, and what arrives |
//! | `place` | where a listener begins, and where it goes on |
//! | `pools` | each pool everything, its members a share |
//! | `order` | lanes: in order within, in parallel across |
//! | `batch` | batches: their size, their time, their order |
//! | `faults` | records that are no notifications, endpoints that fail |
//! | `names` | exchanges and virtual hosts |
//! | `close` | orderly ends |
//! | `rpc` | remote calls |
//! | `stage` | nothing: what the cases use |

/// A row of a file's table: what the case needs, and the function that it is named after.
macro_rules! case {
    ($needs:ident, $run:ident) => {
        crate::conformance::Case {
            name: concat!(module_path!(), "::", stringify!($run)),
            needs: crate::conformance::Needs::$needs,
            run: $run,
        }
    };
}

mod batch;
mod close;
mod faults;
mod names;
mod order;
mod place;
mod pools;
mod report;
mod rpc;
mod send;
mod stage;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

pub use report::{Report, Verdict};
use stage::{Outcome, Stage};

use crate::{Error, driver::Capabilities, transport::Transport};

/// Shows secrets where they are masked, from now on in this process: the control run of a search for
/// secrets must find them.
#[doc(hidden)]
pub fn show_secrets() {
    crate::secret::unmasked::turn_on();
}

/// A broker to try a driver on.
///
/// ```
/// use oslo_messaging::conformance::Subject;
/// let subject = Subject::new("kafka://127.0.0.1:9092/").with_size_limit(1_048_576);
/// ```
#[derive(Clone, Debug)]
pub struct Subject {
    url: String,
    limit: Duration,
    at_once: usize,
    size_limit: Option<usize>,
    unknown_topics: Option<String>,
}

impl Subject {
    /// A subject behind a transport URL without virtual host, such as `kafka://127.0.0.1:9092/`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            limit: Duration::from_secs(30),
            at_once: 4,
            size_limit: None,
            unknown_topics: None,
        }
    }

    /// Longest wait for anything that should happen. Default 30 s. A case as a whole gets four
    /// times as long.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How many cases run at the same time. Default 4.
    #[must_use]
    pub fn with_cases_at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once;
        self
    }

    /// The broker refuses bodies above this many bytes. Default: it takes any.
    #[must_use]
    pub fn with_size_limit(mut self, bytes: usize) -> Self {
        self.size_limit = Some(bytes);
        self
    }

    /// With these options in the URL, such as `create_topics=false`, a topic that nobody made is
    /// an error. Default: there is no such thing.
    #[must_use]
    pub fn with_unknown_topics(mut self, query: impl Into<String>) -> Self {
        self.unknown_topics = Some(query.into());
        self
    }

    fn open(&self, virtual_host: &str, query: &str) -> Result<Transport, Error> {
        let (base, own) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let both = if own.is_empty() || query.is_empty() { "" } else { "&" };
        let mark = if own.is_empty() && query.is_empty() { "" } else { "?" };
        Transport::for_notifications(&format!("{base}{virtual_host}{mark}{own}{both}{query}"))
    }
}

/// What a case cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Pools,
    Durable,
    Exchanges,
    NoExchanges,
    NoRpc,
    Rpc,
    Headers,
    SizeLimit,
    UnknownTopics,
}

impl Needs {
    /// The lack because of which the case is skipped.
    fn lack(self, subject: &Subject, can: Capabilities) -> Option<&'static str> {
        let (met, lack) = match self {
            Self::Nothing => (true, ""),
            Self::Pools => (can.pools, "no pools"),
            Self::Durable => (can.durable, "not durable"),
            Self::Exchanges => (can.exchanges, "no exchanges"),
            Self::NoExchanges => (!can.exchanges, "has exchanges"),
            Self::NoRpc => (!can.rpc, "can do RPC"),
            Self::Rpc => (can.rpc, "no RPC"),
            Self::Headers => (can.headers, "no keys and headers"),
            Self::SizeLimit => (subject.size_limit.is_some(), "no size limit"),
            Self::UnknownTopics => (subject.unknown_topics.is_some(), "every topic exists"),
        };
        (!met).then_some(lack)
    }
}

/// One thing that a driver must do.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    name: &'static str,
    needs: Needs,
    run: fn(&Stage) -> Outcome,
}

impl Case {
    /// Such as `pools::each_pool_gets_everything`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name.strip_prefix(concat!(module_path!(), "::")).unwrap_or(self.name)
    }

    /// Runs the case on a thread of its own: what hangs must not hang the others.
    fn judge(&self, subject: &Subject) -> Verdict {
        let can = match subject.open("", "") {
            Ok(transport) => transport.driver().capabilities(),
            Err(error) => return Verdict::Failed(error.to_string()),
        };
        if let Some(lack) = self.needs.lack(subject, can) {
            return Verdict::Skipped(lack);
        }
        let (sender, receiver) = mpsc::channel();
        let (case, owned) = (*self, subject.clone());
        let work = move || {
            let run = || {
                let stage = Stage::open(&owned)?;
                (case.run)(&stage).map_err(|fault| stage.with_counters(fault))
            };
            let verdict = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => Verdict::Passed,
                Ok(Err(fault)) => Verdict::Failed(fault.to_string()),
                Err(_) => Verdict::Failed("panicked; the panic is in the output".to_owned()),
            };
            // The runner may have stopped waiting.
            let _ = sender.send(verdict);
        };
        if let Err(error) = thread::Builder::new().name(self.name().to_owned()).spawn(work) {
            return Verdict::Failed(error.to_string());
        }
        let limit = subject.limit * 4;
        receiver
            .recv_timeout(limit)
            .unwrap_or_else(|_| Verdict::Failed(format!("did not end within {limit:?}")))
    }
}

/// All cases, in the order of the table in the [module](self)'s head.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        send::cases(),
        place::cases(),
        pools::cases(),
        order::cases(),
        batch::cases(),
        faults::cases(),
        names::cases(),
        close::cases(),
        rpc::cases(),
    ]
    .concat()
}

/// Runs every case, some at the same time, and returns when all have ended or exceeded their time.
pub fn run(subject: &Subject) -> Report {
    run_cases(subject, &cases())
}

/// Runs the given cases; see [`run`].
pub fn run_cases(subject: &Subject, cases: &[Case]) -> Report {
    let begun = Instant::now();
    let verdicts = Arc::new(Mutex::new(Vec::with_capacity(cases.len())));
    let next = Mutex::new(cases.iter().enumerate());
    thread::scope(|scope| {
        for _ in 0..subject.at_once.max(1) {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, case)) = taken else { return };
                    let begun = Instant::now();
                    let verdict = case.judge(subject);
                    let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
                    verdicts.push((place, case.name(), verdict, begun.elapsed()));
                }
            });
        }
    });
    let mut verdicts =
        std::mem::take(&mut *verdicts.lock().unwrap_or_else(PoisonError::into_inner));
    verdicts.sort_by_key(|(place, ..)| *place);
    Report::new(
        verdicts.into_iter().map(|(_, name, verdict, took)| (name, verdict, took)).collect(),
        begun.elapsed(),
    )
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use super::{Case, Needs, Subject, Verdict, cases, run_cases};

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut names: Vec<_> = cases().iter().map(Case::name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| name.split("::").count() == 2), "{names:?}");
    }

    #[test]
    fn what_fails_panics_or_is_skipped_is_named_in_the_report() {
        let cases = [
            Case { name: "fails", needs: Needs::Nothing, run: |_| Err("no".into()) },
            Case { name: "panics", needs: Needs::Nothing, run: |_| panic!("on purpose") },
            Case { name: "skipped", needs: Needs::Durable, run: |_| Ok(()) },
            Case { name: "passes", needs: Needs::Nothing, run: |_| Ok(()) },
        ];
        let report = run_cases(&Subject::new("fake:///"), &cases);
        assert_eq!((report.passed(), report.failed(), report.skipped()), (1, 2, 1));
        let verdicts: Vec<_> = report.verdicts().collect();
        assert_eq!(verdicts[0], ("fails", &Verdict::Failed("no".to_owned())));
        let text = report.to_string();
        assert!(text.contains("1 passed, 2 failed, 1 skipped"), "{text}");
        assert!(text.contains("skipped: not durable"), "{text}");
    }
}
