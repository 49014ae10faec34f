//! What one program measured, and what is made of several.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    goals::{Against, Better, Figure, Goal},
    work::What,
};

/// Programs, in the order of their turns.
pub(crate) const PROGRAMS: [&str; 6] = [RAW, RAW_DECODING, OURS, REFERENCE, DRIVER, STUB];
pub(crate) const RAW: &str = "raw";
pub(crate) const RAW_DECODING: &str = "raw+decode";
pub(crate) const OURS: &str = "ours";
pub(crate) const REFERENCE: &str = "reference";
pub(crate) const DRIVER: &str = "driver";
pub(crate) const STUB: &str = "stub";

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

    /// With the CPU of another process that took part.
    pub(crate) fn with_cpu_of(mut self, seconds: f64) -> Self {
        self.cpu_seconds += seconds;
        self
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        self.cpu_seconds
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
            let _ = writeln!(text, "{a:<42} {b:>11} {c:>11} {d:>8} {e:>7} {f:>10}  {g}");
        };
        line(["", "own", "other", "ratio", "goal", "other is", ""]);
        let mut failed = false;
        for goal in goals {
            let Some(judged) = self.0.get(&(goal.what, goal.program)) else { continue };
            let own = median(judged.iter().map(|m| m.figure(goal.figure)));
            let (against, other, value) = match goal.against {
                Against::Limit => ("limit", None, own),
                Against::Ratio(program) | Against::Beyond(program) => {
                    let Some(others) = self.0.get(&(goal.other, program)) else { continue };
                    let figures = judged.iter().zip(others).map(|(own, other)| {
                        let (own, other) = (own.figure(goal.figure), other.figure(goal.figure));
                        let is_ratio = matches!(goal.against, Against::Ratio(_));
                        if is_ratio { own / other } else { own - other }
                    });
                    let other = median(others.iter().map(|m| m.figure(goal.figure)));
                    (program, Some(other), median(figures))
                }
            };
            let (met, bad, sign) = match goal.better {
                Better::More => (value >= goal.limit, value < goal.limit / tolerance, "≥"),
                Better::Less => (value <= goal.limit, value > goal.limit * tolerance, "≤"),
            };
            failed |= bad && (goal.steady || tolerance <= 1.0);
            let verdict = if met { "met" } else { "NOT MET" };
            line([
                goal.name,
                &short(own),
                &other.map(short).unwrap_or_default(),
                &format!("{value:.3}"),
                &format!("{sign}{}", goal.limit),
                against,
                verdict,
            ]);
            kept.push(json!({
                "goal": goal.name, "program": goal.program, "against": against, "own": own,
                "other": other, "value": value, "limit": goal.limit, "met": met,
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
