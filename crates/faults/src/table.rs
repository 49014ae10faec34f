//! The table: for each test a line for each mode, its controls' lines, and the verdict.

use std::time::Duration;

use serde_json::{Value, json};

use crate::verdict::{Row, Verdict};

const HEAD: [&str; 20] = [
    "",
    "sent",
    "deliv",
    "not",
    "unkn",
    "in log",
    "LOST_ACK",
    "DUP_LOG",
    "GHOST",
    "REORD_LOG",
    "REPORTS",
    "disp",
    "LOST_DISP",
    "DUP_DISP",
    "REORD_DISP",
    "BAD_COMMIT",
    "UNCOVERED",
    "unkn_com",
    "HANG",
    "stall ms",
];

/// Prints one test's part of the table.
pub(crate) fn print(number: u32, name: &str, verdict: &Verdict, took: Duration) {
    println!("\n{number:>2} {name}");
    println!("   {}", cells(&HEAD.map(str::to_owned)));
    for row in &verdict.rows {
        println!("   {}", cells(&row_cells(row)));
    }
    for note in &verdict.notes {
        println!("      {note}");
    }
    let seconds = took.as_secs_f64();
    if verdict.failures.is_empty() {
        println!("   ok ({seconds:.0} s)");
    } else {
        println!("   FAILED ({seconds:.0} s): {}", verdict.failures.join("; "));
        for folder in &verdict.folders {
            println!("   journals: {}", folder.display());
        }
    }
}

pub(crate) fn json(number: u32, name: &str, verdict: &Verdict, took: Duration) -> Value {
    json!({
        "number": number, "name": name, "seconds": took.as_secs_f64(),
        "ok": verdict.failures.is_empty(), "result": verdict,
    })
}

fn row_cells(row: &Row) -> [String; 20] {
    let mut all = HEAD.map(|_| "-".to_owned());
    all[0].clone_from(&row.name);
    if let Some(s) = &row.sends {
        let numbers = [
            s.sent,
            s.delivered,
            s.not_delivered,
            s.unknown,
            s.in_log,
            s.lost_ack,
            s.dup_log,
            s.ghost,
            s.reorder_log,
            s.reports,
        ];
        for (cell, number) in all[1..].iter_mut().zip(numbers) {
            *cell = number.to_string();
        }
        all[19] = s.stall_millis.to_string();
    }
    if let Some(d) = &row.dispatches {
        let numbers = [
            d.dispatched,
            d.lost_disp,
            d.dup_disp,
            d.reorder_disp,
            d.bad_commit,
            d.uncovered,
            d.unknown_commit,
        ];
        for (cell, number) in all[11..].iter_mut().zip(numbers) {
            *cell = number.to_string();
        }
    }
    all[18] = row.hung.to_string();
    all
}

fn cells(cells: &[String; 20]) -> String {
    let mut line = format!("{:<19}", cells[0]);
    for (cell, head) in cells.iter().zip(HEAD).skip(1) {
        let width = head.len().max(6) + 1;
        line.push_str(&format!("{cell:>width$}"));
    }
    line
}
