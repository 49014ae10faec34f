//! `make faults`: senders and listeners on a real cluster while brokers, members and networks fail.
//!
//! | file | has |
//! |---|---|
//! | `main` | chooses tests, runs them one after the other, prints the table |
//! | `tests/` | what is hit, and when |
//! | `scene` | one run: topic, publishers, groups, and the evidence in the end |
//! | `cluster` | the brokers: hitting them, healing them, asking them without this library |
//! | `role`, `job` | a role's process from outside, and from inside |
//! | `publisher`, `listener`, `naive` | the roles |
//! | `journal` | what roles write down, line by line |
//! | `checker` | journals and log to counters |
//! | `verdict`, `table` | counters to a verdict, and to paper |

mod checker;
mod cluster;
mod job;
mod journal;
mod listener;
mod naive;
mod publisher;
mod role;
mod scene;
mod table;
mod tests;
mod verdict;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use cluster::Cluster;
use tests::{ALL, Form, Test};
use verdict::Verdict;

const USAGE: &str = "usage: faults full|short [NUMBER...]";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["role", parent, json] => job::run(parent.parse().unwrap_or(-1), json),
        ["full", ref only @ ..] => run(Form::Full, only),
        ["short", ref only @ ..] => run(Form::Short, only),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Runs all tests of a form, or those that are named by number.
fn run(form: Form, only: &[&str]) -> ExitCode {
    let mut wanted = Vec::new();
    for word in only {
        match word.parse().ok().filter(|n| ALL.iter().any(|test| test.number == *n)) {
            Some(number) => wanted.push(number),
            None => {
                let known: Vec<String> = ALL.iter().map(|test| test.number.to_string()).collect();
                eprintln!("{USAGE}\nno test {word}: tests are {}", known.join(" "));
                return ExitCode::from(2);
            }
        }
    }
    let is_wanted = |test: &&Test| match wanted.is_empty() {
        true => form == Form::Full || test.short,
        false => wanted.contains(&test.number),
    };
    let begun = Instant::now();
    let (mut cluster, mut kept) = (None, Vec::new());
    let (mut passed, mut failed) = (0, 0);
    for test in ALL.iter().filter(is_wanted) {
        let since = Instant::now();
        let verdict = one(test, form, &mut cluster);
        let took = since.elapsed();
        table::print(test.number, test.name, &verdict, took);
        kept.push(table::json(test.number, test.name, &verdict, took));
        if verdict.failures.is_empty() { passed += 1 } else { failed += 1 }
    }
    drop(cluster);
    if let Some(path) = env::var_os("FAULTS_JSON") {
        let all = serde_json::Value::from(kept).to_string();
        fs::write(&path, all).expect("FAULTS_JSON names a file that can be written");
    }
    let took = Duration::from_secs(begun.elapsed().as_secs());
    println!("\n{took:?} in all");
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one test on the cluster of the one before, or on a new one if that was left broken.
fn one(test: &Test, form: Form, cluster: &mut Option<Cluster>) -> Verdict {
    eprintln!("test {}: {}", test.number, test.name);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let cluster = cluster.get_or_insert_with(Cluster::start);
        let verdict = (test.run)(cluster, form);
        (verdict, cluster.is_whole())
    }));
    let (verdict, whole) = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        (Verdict { failures: vec![format!("panic: {text}")], ..Verdict::default() }, false)
    });
    if !whole {
        *cluster = None;
    }
    if verdict.failures.is_empty() {
        for folder in &verdict.folders {
            if let Err(error) = fs::remove_dir_all(folder) {
                eprintln!("{}: {error}", folder.display());
            }
        }
    }
    verdict
}
