//! Whether a test passed: what always holds, what its bounds add, and whether its control showed that
//! it can fail.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    checker::{Dispatches, Mode, Sends},
    scene::{Evidence, Kind},
};

/// What a test allows and asks beyond what always holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// Longest time from a send to its delivery.
    pub(crate) stall_seconds: Option<u64>,
    /// Sends may fail, as not delivered or unknown.
    pub(crate) may_fail: bool,
    /// Most records that at most once may lose, beyond the library's own `unknown_commit`.
    pub(crate) amo_lost: u64,
    /// Most records that at least once may repeat.
    pub(crate) alo_dup: Option<u64>,
}

/// The line of one mode, or of a control.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) sends: Option<Sends>,
    pub(crate) dispatches: Option<Dispatches>,
    pub(crate) hung: u64,
}

/// What came of one test.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Verdict {
    pub(crate) rows: Vec<Row>,
    /// What else was measured.
    pub(crate) notes: Vec<String>,
    pub(crate) failures: Vec<String>,
    #[serde(skip)]
    pub(crate) folders: Vec<PathBuf>,
}

impl Verdict {
    pub(crate) fn of(evidence: &Evidence, bounds: &Bounds) -> Self {
        let mut verdict = Self::default();
        verdict.add(evidence, bounds);
        verdict
    }

    /// Judges one more scene of the same test.
    pub(crate) fn add(&mut self, evidence: &Evidence, bounds: &Bounds) {
        self.folders.push(evidence.folder.clone());
        self.judge_sends(&evidence.sends, bounds);
        self.must(evidence.hung == 0, || format!("HANG {}", evidence.hung));
        let mut sends = Some(evidence.sends.clone());
        for (kind, counts) in &evidence.groups {
            let name = match kind {
                Kind::Judged(mode) => {
                    self.judge_group(*mode, counts, bounds);
                    format!("{mode:?}").to_uppercase()
                }
                Kind::Known(name, _) => (*name).to_owned(),
                Kind::Naive => "control: bare".to_owned(),
                Kind::Seeded => {
                    self.judge_seeded_group(counts);
                    "control: seeded".to_owned()
                }
            };
            // The log is the same for both modes: it is shown once.
            let sends = if matches!(kind, Kind::Judged(_)) { sends.take() } else { None };
            let hung = evidence.hung;
            self.rows.push(Row { name, sends, dispatches: Some(counts.clone()), hung });
        }
        if let Some(sends) = sends {
            let (name, hung) = ("sends".to_owned(), evidence.hung);
            self.rows.push(Row { name, sends: Some(sends), dispatches: None, hung });
        }
        if let Some(control) = &evidence.control_sends {
            self.judge_seeded_sends(control);
            let (name, sends) = ("control: seeded".to_owned(), Some(control.clone()));
            self.rows.push(Row { name, sends, dispatches: None, hung: 0 });
        }
    }

    pub(crate) fn must(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(why());
        }
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn judge_sends(&mut self, sends: &Sends, bounds: &Bounds) {
        for (name, count) in [
            ("LOST_ACK", sends.lost_ack),
            ("DUP_LOG", sends.dup_log),
            ("GHOST", sends.ghost),
            ("REORDER_LOG", sends.reorder_log),
            ("REPORTS", sends.reports),
        ] {
            self.must(count == 0, || format!("{name} {count}"));
        }
        self.must(sends.delivered > 0, || "nothing was delivered".to_owned());
        let failed = sends.not_delivered + sends.unknown;
        self.must(bounds.may_fail || failed == 0, || format!("{failed} sends failed"));
        if let Some(limit) = bounds.stall_seconds {
            let stall = sends.stall_millis;
            self.must(stall <= limit * 1_000, || format!("stall {stall} ms, limit {limit} s"));
        }
    }

    fn judge_group(&mut self, mode: Mode, counts: &Dispatches, bounds: &Bounds) {
        let name = format!("{mode:?}").to_uppercase();
        for (counter, count) in [
            ("REORDER_DISP", counts.reorder_disp),
            ("BAD_COMMIT", counts.bad_commit),
            ("UNCOVERED", counts.uncovered),
        ] {
            self.must(count == 0, || format!("{name} {counter} {count}"));
        }
        let (lost_limit, dup_limit) = match mode {
            Mode::Amo => (counts.unknown_commit + bounds.amo_lost, Some(0)),
            Mode::Alo => (0, bounds.alo_dup),
        };
        let (lost, dup) = (counts.lost_disp, counts.dup_disp);
        self.must(lost <= lost_limit, || format!("{name} LOST_DISP {lost}, limit {lost_limit}"));
        self.must(dup_limit.is_none_or(|limit| dup <= limit), || {
            format!("{name} DUP_DISP {dup}, limit {dup_limit:?}")
        });
    }

    fn judge_seeded_sends(&mut self, sends: &Sends) {
        for (name, count) in [
            ("LOST_ACK", sends.lost_ack),
            ("DUP_LOG", sends.dup_log),
            ("GHOST", sends.ghost),
            ("REORDER_LOG", sends.reorder_log),
            ("REPORTS", sends.reports),
        ] {
            self.must(count > 0, || format!("the control's {name} is 0: it cannot fail"));
        }
    }

    fn judge_seeded_group(&mut self, counts: &Dispatches) {
        for (name, count) in [
            ("LOST_DISP", counts.lost_disp),
            ("DUP_DISP", counts.dup_disp),
            ("REORDER_DISP", counts.reorder_disp),
            ("BAD_COMMIT", counts.bad_commit),
            ("UNCOVERED", counts.uncovered),
        ] {
            self.must(count > 0, || format!("the control's {name} is 0: it cannot fail"));
        }
    }
}
