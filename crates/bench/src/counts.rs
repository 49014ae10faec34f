//! `bench counts FILE`: instructions for each notification, by callgrind, beside those in a file.
//!
//! Unlike times they are the same on a busy machine, so a small loss shows. Each is the difference
//! of two runs with different numbers of passes over the corpus: what happens once falls out.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use crate::{count::KINDS, work::corpus};

/// A count may grow by this factor.
const TOLERANCE: f64 = 1.05;
const PASSES: [usize; 2] = [1, 3];

/// Ratios of the counts that have a goal.
const GOALS: [(&str, &str, f64); 3] = [
    ("encode", "json-encode", 0.6),
    ("encode-value", "json-encode-value", 1.0),
    ("decode", "json-decode", 0.35),
];

/// Counts, and compares with `file` or, where `renew`, writes it.
pub(crate) fn run(file: &Path, renew: bool) -> ExitCode {
    let now: BTreeMap<&str, f64> = KINDS.iter().map(|(kind, _)| (*kind, each(kind))).collect();
    let compiler = first_line(Command::new("rustc").arg("--version"));
    let valgrind = first_line(Command::new("valgrind").arg("--version"));
    let made_by = format!("# made by: {compiler}; {valgrind}");
    let ratios: Vec<(String, f64, f64)> = GOALS
        .iter()
        .map(|(ours, other, limit)| (format!("{ours} / {other}"), now[ours] / now[other], *limit))
        .collect();
    let mut failed = false;
    for (name, ratio, limit) in &ratios {
        let met = ratio <= limit;
        failed |= !met;
        println!("{name:<36} {ratio:>7.3} ≤ {limit:<5} {}", if met { "met" } else { "NOT MET" });
    }
    if renew {
        fs::write(file, text(&made_by, &now, &ratios)).expect("the table can be written");
        println!("written: {}", file.display());
        return ExitCode::from(u8::from(failed));
    }
    let kept = fs::read_to_string(file).expect("the table can be read");
    let same_compiler = kept.lines().any(|line| line == made_by);
    println!("\n{:<20} {:>9} {:>9} {:>7}", "", "now", "kept", "");
    for (kind, meaning) in KINDS {
        let line = kept.lines().find(|line| line.split_whitespace().next() == Some(kind));
        let before = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        let Some(before) = before else {
            println!("{kind:<20} {:>9.0} {:>9} missing; make counts-renew", now[kind], "");
            failed = true;
            continue;
        };
        let change = now[kind] / before;
        // What the other library costs is no matter of ours.
        let more = change > TOLERANCE && !kind.starts_with("json");
        failed |= more && same_compiler;
        let verdict = if more { "MORE" } else { meaning };
        println!(
            "{kind:<20} {:>9.0} {before:>9.0} {:>+6.1}%  {verdict}",
            now[kind],
            percent(change)
        );
    }
    if !same_compiler {
        println!("warning: the table has another {}; nothing fails by it", &made_by[2..]);
    }
    if failed {
        println!("too many instructions; where that is meant: make counts-renew");
    }
    ExitCode::from(u8::from(failed))
}

fn percent(factor: f64) -> f64 {
    (factor - 1.0) * 100.0
}

/// The table as it is kept.
fn text(made_by: &str, now: &BTreeMap<&str, f64>, ratios: &[(String, f64, f64)]) -> String {
    let mut text = format!(
        "# Instructions for each notification of examples/notifications.jsonl, by callgrind.\n\
         # `make counts` compares with these, `make counts-renew` writes them anew.\n{made_by}\n"
    );
    for (kind, meaning) in KINDS {
        text += &format!("{kind:<20} {:>8.0}  {meaning}\n", now[kind]);
    }
    for (name, ratio, limit) in ratios {
        text += &format!("# {name}: {ratio:.3}, goal {limit}\n");
    }
    text
}

/// Instructions of one kind for each notification.
fn each(kind: &str) -> f64 {
    let [few, many] = PASSES.map(|passes| instructions(kind, passes));
    (many as f64 - few as f64) / ((PASSES[1] - PASSES[0]) * corpus().len()) as f64
}

/// All instructions of a run of this program.
fn instructions(kind: &str, passes: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().expect("this program has a path"))
        .args(["count", kind, &passes.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("valgrind is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if output.status.success() => count,
        _ => panic!("counting {kind}: {}: {said}", output.status),
    }
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().expect("the program is installed");
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}
