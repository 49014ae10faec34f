//! How the program ends: its exit codes, and what it says when something failed.
//!
//! The codes are those of `sysexits.h`, with 1, 3 and 4 of its own. Every error of the library
//! becomes one here, and nowhere else.

use std::{error::Error as StdError, io, process::ExitCode};

use oslo_messaging::{Cause, Error, Outcome, Undelivered};

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    /// `--exit-code` and nothing was shown, or a demo in which something was lost.
    #[cfg(feature = "kafka")]
    Nothing = 1,
    Usage = 2,
    Partial = 3,
    /// The method that was called failed, or is not there.
    #[cfg(feature = "rabbit")]
    Remote = 4,
    Data = 65,
    NoInput = 66,
    Unreachable = 69,
    Bug = 70,
    TimedOut = 75,
    Denied = 77,
    Config = 78,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command gave up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell the user.
    Told {
        exit: Exit,
        /// What went wrong, with its causes, without `error: `.
        text: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// Whoever read standard output has gone: as ripgrep has it, no failure at all.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self::Told { exit, text: text.into(), hint: None }
    }

    /// A combination of arguments that clap lets pass.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        let hint = Some("--help lists the arguments");
        Self::Told { exit: Exit::Usage, text: text.into(), hint }
    }

    /// A file that the user named and that cannot be read.
    pub(crate) fn file(path: &std::path::Path, source: &io::Error) -> Self {
        Self::new(Exit::NoInput, format!("cannot read {}: {source}", path.display()))
    }

    /// What the words of a broker mean; `text` is told.
    #[cfg(feature = "rabbit")]
    pub(crate) fn of_words(words: &str, text: String) -> Self {
        let (exit, hint) = judge_words(words).unwrap_or((Exit::TimedOut, None));
        Self::Told { exit, text, hint }
    }

    pub(crate) fn with_hint(self, new: &'static str) -> Self {
        match self {
            Self::Told { exit, text, hint } => Self::Told { exit, text, hint: hint.or(Some(new)) },
            Self::BrokenPipe => self,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, hint) = judge(&error);
        Self::Told { exit, text: chain(&error), hint }
    }
}

/// Only writing to standard output fails so: files that are read say their names.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::new(Exit::TimedOut, format!("cannot write to standard output: {error}"))
        }
    }
}

/// An error and its sources, joined by `: `; a source that was quoted already is left out.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = error.source();
    }
    text
}

fn judge(error: &Error) -> (Exit, Option<&'static str>) {
    match error {
        Error::InvalidSetting { name: "transport_url", .. } => (
            Exit::Config,
            Some("--transport-url, OSLOMSG_TRANSPORT_URL or --config-file gives one"),
        ),
        Error::InvalidUrl { .. }
        | Error::UnknownScheme { .. }
        | Error::NotBuilt { .. }
        | Error::Unsupported { .. }
        | Error::InvalidOption { .. }
        | Error::UnknownOption { .. }
        | Error::InvalidConfig { .. }
        | Error::InvalidTopic { .. }
        | Error::InvalidSetting { .. }
        | Error::Spool { .. } => (Exit::Config, None),
        Error::File { .. } => (Exit::NoInput, None),
        Error::InvalidPattern { .. } | Error::InvalidPriority { .. } => (Exit::Usage, None),
        Error::InvalidJson { .. } | Error::Conversion { .. } | Error::Undecodable { .. } => {
            (Exit::Data, None)
        }
        Error::Undelivered(failures) => judge_failures(failures),
        Error::Broker { .. } => judge_words(&chain(error)).unwrap_or_else(unreachable),
        Error::NotReady { .. } => judge_words(&chain(error)).unwrap_or((Exit::TimedOut, None)),
        Error::Unfinished { .. } | Error::Lost { .. } => (Exit::TimedOut, None),
        _ => (Exit::Bug, None),
    }
}

/// The code for a notification that no topic has confirmed.
fn judge_failures(failures: &[Undelivered]) -> (Exit, Option<&'static str>) {
    let Some(failure) = failures.first() else { return (Exit::Bug, None) };
    match (failure.outcome, failure.cause) {
        (_, Cause::Authentication | Cause::Authorization) => denied(),
        (Outcome::Unknown, _) => (
            Exit::TimedOut,
            Some("it may be on the broker: sending it again may make a second one"),
        ),
        (_, Cause::Unreachable) => unreachable(),
        (_, Cause::TooLarge | Cause::Encoding) => (Exit::Data, None),
        (_, Cause::InvalidTopic | Cause::UnknownTopic | Cause::Unsupported) => (Exit::Config, None),
        _ => (Exit::TimedOut, Some("it is not on the broker: sending it again is safe")),
    }
}

/// What stands in the way outside of sending, which the library gives as words only.
fn judge_words(words: &str) -> Option<(Exit, Option<&'static str>)> {
    let words = words.to_ascii_lowercase();
    let says = |some: &[&str]| some.iter().any(|word| words.contains(word));
    if says(&["access_refused", "not_allowed", "login of user"]) {
        return Some((
            Exit::Denied,
            Some(
                "see the credentials and the virtual host in the URL, rabbit_login_method in \
                 [oslo_messaging_rabbit], and the user's permissions on the broker",
            ),
        ));
    }
    if says(&["authenticat", "authoriz", "sasl", "ssl handshake"]) {
        return Some(denied());
    }
    says(&["connect", "transport", "resolve", "timed out", "brokers are down", "no answer"])
        .then(unreachable)
}

fn denied() -> (Exit, Option<&'static str>) {
    (
        Exit::Denied,
        Some(
            "see security_protocol, sasl_mechanism, ssl_cafile in [oslo_messaging_kafka], the \
             credentials in the URL, and the broker's ACLs",
        ),
    )
}

fn unreachable() -> (Exit, Option<&'static str>) {
    (Exit::Unreachable, Some("is a broker listening at the transport URL's hosts and ports?"))
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure, chain};
    use oslo_messaging::Error;
    use std::io;

    fn broker_error(words: &'static str) -> Error {
        Error::Broker { driver: "kafka", operation: "read".into(), source: words.into() }
    }

    fn exit(error: Error) -> Exit {
        match Failure::from(error) {
            Failure::Told { exit, .. } => exit,
            Failure::BrokenPipe => panic!("a broken pipe"),
        }
    }

    #[test]
    fn each_kind_of_error_has_its_code() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        for (error, expected) in [
            (Error::UnknownScheme { scheme: "x".into(), built: vec![] }, Exit::Config),
            (Error::File { path: "x".into(), source: missing }, Exit::NoInput),
            (Error::InvalidJson { what: "payload", at: 0, reason: "x".into() }, Exit::Data),
            (Error::InvalidPriority { given: "x".into() }, Exit::Usage),
            (Error::Unfinished { what: "x", left: 1 }, Exit::TimedOut),
            (Error::NotReady { cause: "h:1: Connect to h failed".into() }, Exit::Unreachable),
            (Error::NotReady { cause: "no partitions yet".into() }, Exit::TimedOut),
            (broker_error("Local: Broker transport failure"), Exit::Unreachable),
            (broker_error("SASL authentication error: bad password"), Exit::Denied),
            (Error::Undelivered(vec![]), Exit::Bug),
        ] {
            let text = error.to_string();
            assert_eq!(exit(error), expected, "{text}");
        }
    }

    #[test]
    fn sources_are_joined_without_repeating() {
        assert_eq!(chain(&broker_error("it broke")), "kafka: could not read: it broke");
        assert_eq!(chain(&broker_error("read")), "kafka: could not read");
    }

    #[test]
    fn a_broken_pipe_is_no_failure_and_another_fault_of_stdout_is() {
        let failure = |kind| Failure::from(io::Error::from(kind));
        assert!(matches!(failure(io::ErrorKind::BrokenPipe), Failure::BrokenPipe));
        assert!(matches!(failure(io::ErrorKind::StorageFull), Failure::Told { .. }));
    }
}
