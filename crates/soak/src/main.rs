//! `make soak`: a notifier and two listeners on one real broker that restarts now and then, for
//! hours. What grows is a leak, what is missing is lost.
//!
//! | file | has |
//! |---|---|
//! | `main` | the words of the command line |
//! | `run` | starts broker and roles, restarts the broker, samples, prints |
//! | `roles` | what the notifier's and the listeners' processes do |
//! | `process` | a role as its parent holds it |
//! | `samples` | memory, descriptors and threads of a process, and how they grow; pure but for reading |
//! | `tally` | which notification was sent, dispatched, lost, twice; pure |
//! | `judge` | what of it is wrong; pure |
//! | `fault` | faults of the roles on purpose: the proof that a soak can fail |
//!
//! Each role is a process of its own, so that what it takes is its own.

mod fault;
mod judge;
mod process;
mod roles;
mod run;
mod samples;
mod tally;

use std::{env, process::ExitCode, time::Duration};

use fault::Fault;

const USAGE: &str = "usage: soak MINUTES|SECONDSs [fault]\nfaults, to see a soak fail: ";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["role", "notifier", url, topic] => roles::notifier(url, topic),
        ["role", "listener", url, topic, group, fault] => {
            roles::listener(url, topic, group, Fault::named(fault))
        }
        [time, ref fault @ ..] if duration(time).is_some() => {
            let fault = match fault {
                [] => None,
                [name] if Fault::named(name).is_some() => Fault::named(name),
                _ => return usage(),
            };
            run::soak(duration(time).unwrap_or_default(), fault)
        }
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("soak: {why}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}{}", Fault::NAMES.join(", "));
    ExitCode::from(2)
}

/// `60` is minutes, `40s` is seconds.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.strip_suffix('s').map_or((text, 60), |number| (number, 1));
    number.parse().ok().filter(|&n: &u64| n > 0).map(|n| Duration::from_secs(n * unit))
}
