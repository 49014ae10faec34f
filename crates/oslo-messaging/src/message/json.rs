//! JSON text in Python's dialect: where its values start and end, and what its strings say.
//!
//! Here live the scanner, which checks a text and reports its parts without building a tree, and
//! the reading and writing of string literals. Nothing here knows what a notification is. Called
//! by `Payload` and `Context`, by their fallback reader, and by `crate::wire`.
//!
//! The dialect is what Python's `json.loads` takes: RFC 8259, and `NaN`, `Infinity`, `-Infinity`,
//! integers of any size, lone surrogates in `\u` escapes, and repeated keys. A byte order mark is
//! refused, as there. The scanner does not recurse, so no text can exhaust the stack.

mod entries;
mod literal;
mod scan;
mod stops;

pub(crate) use entries::Entries;
pub(crate) use literal::{Lone, read_string, string_value, unit_digits, write_string};
pub(crate) use scan::{Visit, check, skip_space};
pub(crate) use stops::{Class, Odd, Stops, ToEscape, copy_run};

/// Deepest nesting of a payload's or a context's text.
///
/// Python writes and reads up to its recursion limit: 990 levels up to 3.11, 9998 in 3.13.
pub(crate) const MAX_DEPTH: usize = 10_000;

/// Deepest nesting of what is made from a text or a text from, which recurses.
///
/// 1000 levels take 1.3 MiB of stack in a build without optimisation, 0.5 MiB with; spawned
/// threads have 2 MiB.
pub(crate) const MAX_VALUE_DEPTH: usize = 1000;

/// Why and where a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Zero-based byte of the text.
    pub(crate) at: usize,
    pub(crate) kind: FaultKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// What is wrong and what would be valid there.
    Syntax(&'static str),
    /// Nested deeper than this.
    TooDeep(usize),
}

impl Fault {
    pub(crate) fn syntax(at: usize, reason: &'static str) -> Self {
        Self { at, kind: FaultKind::Syntax(reason) }
    }

    /// The reason in words.
    pub(crate) fn reason(&self) -> String {
        match self.kind {
            FaultKind::Syntax(reason) => reason.to_owned(),
            FaultKind::TooDeep(limit) => format!("nested deeper than {limit} levels"),
        }
    }
}
