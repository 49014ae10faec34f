//! What one program measured, and what is made of several.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    goals::{Better, Figure, Goal},
    work::What,
};

/// What one program measured in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    count: usize,
    seconds: f64,
    cpu_seconds: f64,
    peak_kib: u64,
    p50_micros: f64,
    p99_micros: f64,
}

impl Measured {
    pub(crate) fn new(
        count: usize,
        seconds: f64,
        cpu_seconds: f64,
        peak_kib: u64,
        mut micros: Vec<f64>,
    ) -> Self {
        micros.sort_by(f64::total_cmp);
        let quantile = |q: f64| -> f64 {
            let index = ((micros.len() as f64 - 1.0) * q).round().max(0.0) as usize;
            micros.get(index).copied().unwrap_or(0.0)
        };
        let (p50_micros, p99_micros) = (quantile(0.5), quantile(0.99));
        Self { count, seconds, cpu_seconds, peak_kib, p50_micros, p99_micros }
    }

    fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::PerSecond => self.count as f64 / self.seconds,
            Figure::CpuMicros => self.cpu_seconds * 1e6 / self.count as f64,
            Figure::P50Micros => self.p50_micros,
            Figure::P99Micros => self.p99_micros,
            Figure::PeakMib => self.peak_kib as f64 / 1024.0,
        }
    }
}

/// Everything measured, by measurement and program, in the order of the rounds.
#[derive(Default)]
pub(crate) struct Rounds(BTreeMap<(What, &'static str), Vec<Measured>>);

/// The result, to be read and to be kept.
pub(crate) struct Table {
    pub(crate) text: String,
    pub(crate) json: String,
    pub(crate) failed: bool,
}

impl Rounds {
    pub(crate) fn add(&mut self, what: What, program: &'static str, measured: Measured) {
        self.0.entry((what, program)).or_default().push(measured);
    }

    /// Medians of each figure, and of the ratios round by round against each goal. A goal fails
    /// when its ratio is worse by more than `tolerance`, or with a tolerance only if it is steady.
    pub(crate) fn table(&self, goals: &[Goal], tolerance: f64) -> Table {
        let mut text = String::new();
        let mut kept = Vec::new();
        let mut line = |cells: [&str; 7]| {
            let [a, b, c, d, e, f, g] = cells;
            // Writing to a string does not fail.
            let _ = writeln!(text, "{a:<42} {b:>11} {c:>11} {d:>8} {e:>7} {f:>8}  {g}");
        };
        line(["", "ours", "other", "ratio", "goal", "other is", ""]);
        let mut failed = false;
        for goal in goals {
            let Some(ours) = self.0.get(&(goal.what, "ours")) else { continue };
            let median_of = |all: &[Measured]| median(all.iter().map(|m| m.figure(goal.figure)));
            let own = median_of(ours);
            let (other, ratio) = match goal.against {
                None => (String::new(), own),
                Some(program) => {
                    let Some(others) = self.0.get(&(goal.what, program)) else { continue };
                    let pairs = ours.iter().zip(others);
                    let ratios = pairs.map(|(a, b)| a.figure(goal.figure) / b.figure(goal.figure));
                    (short(median_of(others)), median(ratios))
                }
            };
            let (met, bad, sign) = match goal.better {
                Better::More => (ratio >= goal.limit, ratio < goal.limit / tolerance, "≥"),
                Better::Less => (ratio <= goal.limit, ratio > goal.limit * tolerance, "≤"),
            };
            failed |= bad && (goal.steady || tolerance <= 1.0);
            let verdict = if met { "met" } else { "NOT MET" };
            line([
                goal.name,
                &short(own),
                &other,
                &format!("{ratio:.3}"),
                &format!("{sign}{}", goal.limit),
                goal.against.unwrap_or("limit"),
                verdict,
            ]);
            kept.push(json!({
                "goal": goal.name, "against": goal.against, "ours": own, "ratio": ratio,
                "limit": goal.limit, "met": met,
            }));
        }
        let rounds: Vec<_> = self
            .0
            .iter()
            .map(|((what, program), all)| json!({"what": what, "program": program, "rounds": all}))
            .collect();
        let json = json!({"goals": kept, "measured": rounds}).to_string();
        Table { text, json, failed }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
