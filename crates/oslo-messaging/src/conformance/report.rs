//! What came out of a run.

use std::{fmt, time::Duration};

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The driver does it.
    Passed,
    /// It does not; the reason.
    Failed(String),
    /// It does not claim to; what it lacks.
    Skipped(&'static str),
}

/// What came out of a run, case by case. Its `Display` is a table with the counts at its end.
#[derive(Clone, Debug)]
#[must_use = "a report says whether the driver passed"]
pub struct Report {
    rows: Vec<(&'static str, Verdict, Duration)>,
    took: Duration,
}

impl Report {
    pub(super) fn new(rows: Vec<(&'static str, Verdict, Duration)>, took: Duration) -> Self {
        Self { rows, took }
    }

    /// Every case's name and verdict.
    pub fn verdicts(&self) -> impl Iterator<Item = (&'static str, &Verdict)> {
        self.rows.iter().map(|(name, verdict, _)| (*name, verdict))
    }

    /// How many cases the driver passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.count(|verdict| *verdict == Verdict::Passed)
    }

    /// How many cases it failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    /// How many cases it does not claim to pass.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Skipped(_)))
    }

    /// Returns if no case failed and some passed.
    ///
    /// # Panics
    ///
    /// Else, with what failed and why.
    pub fn assert_passed(&self) {
        let failures: Vec<String> = self
            .verdicts()
            .filter_map(|(name, verdict)| match verdict {
                Verdict::Failed(reason) => Some(format!("{name}: {reason}")),
                _ => None,
            })
            .collect();
        assert!(failures.is_empty(), "the driver does not conform:\n{}", failures.join("\n"));
        assert!(self.passed() > 0, "no case ran");
    }

    fn count(&self, of: impl Fn(&Verdict) -> bool) -> usize {
        self.rows.iter().filter(|(_, verdict, _)| of(verdict)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict, took) in &self.rows {
            let took = took.as_secs_f64();
            match verdict {
                Verdict::Passed => writeln!(f, "{took:7.2} s  {name}")?,
                Verdict::Failed(reason) => writeln!(f, "{took:7.2} s  {name}: FAILED: {reason}")?,
                Verdict::Skipped(lack) => writeln!(f, "           {name}: skipped: {lack}")?,
            }
        }
        let (passed, failed, skipped) = (self.passed(), self.failed(), self.skipped());
        let took = self.took.as_secs_f64();
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped in {took:.1} s")
    }
}
