//! Regular expressions with the meaning of Python's `re.match`.
//!
//! Filters are written for Python. Its notation is read here, checked as CPython 3.11 checks it,
//! and written anew for the engines of Rust, which read several signs differently. Used by
//! [`super::filter`] alone; knows nothing of notifications.
//!
//! ```text
//! pattern -> tokens -> grammar (class, escape, flags, fold) -> tree -> translate -> engine
//! ```
//!
//! What differs, and is refused or logged: characters cannot be given by name (`\N{...}`); groups
//! are nested 200 deep at most; an expression whose automaton would take more than
//! [`MAX_PROGRAM_BYTES`] is refused; a match that takes more than [`MAX_BACKTRACKS`] is given up.
//!
//! What differs without notice:
//!
//! - Which characters are letters, digits and cases of each other is decided by the version of
//!   Unicode that `regex` has, not by that of some Python.
//! - `(?i)(.)\1` compares characters outside of ASCII by Unicode's simple case folding, and only
//!   if they are equally long in UTF-8; Python compares their lower case, under `(?a)` themselves.
//! - A repetition whose round took nothing may end one round earlier, which shows where a
//!   conditional in it tests a group of the same repetition: `((?(1)a|\b))+`.
//! - Where CPython 3.11 errs it is not followed: in a class under `(?i)` it misses upper-case
//!   letters beyond U+FFFF, and it forgets groups in some possessive repetitions.

mod class;
mod escape;
mod flags;
mod fold;
mod grammar;
mod tokens;
mod translate;
mod tree;

use std::fmt;

use crate::error::Error;
use translate::Needs;
use tree::Node;

/// Largest automaton of one pattern: room for `\w{1000}`, the costliest kind of repetition.
const MAX_PROGRAM_BYTES: usize = 64 << 20;

/// How often the backtracking engine may try another way for one text: some 0.1 s.
const MAX_BACKTRACKS: usize = 1_000_000;

/// A pattern of Python's `re`, compiled.
#[derive(Clone)]
pub(crate) struct Pattern {
    /// What the pattern is for, such as `payload.state`.
    field: String,
    /// The pattern as given.
    text: String,
    program: Program,
}

#[derive(Clone)]
enum Program {
    /// In time that grows with the text alone.
    Plain(regex::Regex),
    /// Plain for the texts that meet the needs, exact for the others.
    Mixed { plain: regex::Regex, needs: Needs, exact: fancy_regex::Regex },
    /// By backtracking.
    Exact(fancy_regex::Regex),
}

impl Pattern {
    /// Compiles `pattern`, which is for `field`.
    ///
    /// ```text
    /// Pattern::new("event_type", r"^compute\.instance\..*$")
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPattern`] for what Python's `re.compile` refuses, in its words and at its
    /// position, and for what this module says it differs in.
    pub(crate) fn new(field: &str, pattern: &str) -> Result<Self, Error> {
        let refuse = |at, reason| Error::InvalidPattern {
            field: field.to_owned(),
            pattern: pattern.to_owned(),
            at,
            reason,
        };
        let tree = grammar::parse(pattern).map_err(|refusal| refuse(refusal.at, refusal.reason))?;
        let program =
            compile(&tree).map_err(|reason| refuse(0, format!("cannot be compiled: {reason}")))?;
        Ok(Self { field: field.to_owned(), text: pattern.to_owned(), program })
    }

    /// Whether the pattern matches from the start of `text`, as `re.match` tells it.
    ///
    /// A match that takes more than [`MAX_BACKTRACKS`] is none, and a warning is logged.
    pub(crate) fn is_match_at_start(&self, text: &str) -> bool {
        let exact = match &self.program {
            Program::Plain(plain) => return plain.is_match(text),
            Program::Mixed { plain, needs, .. } if needs.are_met_by(text) => {
                return plain.is_match(text);
            }
            Program::Mixed { exact, .. } | Program::Exact(exact) => exact,
        };
        exact.is_match(text).unwrap_or_else(|error| {
            tracing::warn!(
                field = self.field,
                pattern = self.text,
                %error,
                "matching a filter's pattern was given up; the notification is filtered out"
            );
            false
        })
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

fn compile(tree: &Node) -> Result<Program, String> {
    let Some((plain, needs)) = translate::plain(tree) else {
        return compile_exact(tree).map(Program::Exact);
    };
    let plain = regex::RegexBuilder::new(&plain)
        .size_limit(MAX_PROGRAM_BYTES)
        .nest_limit(translate::MAX_DEPTH)
        .build()
        .map_err(|error| error.to_string())?;
    if needs == Needs::default() {
        return Ok(Program::Plain(plain));
    }
    Ok(Program::Mixed { plain, needs, exact: compile_exact(tree)? })
}

fn compile_exact(tree: &Node) -> Result<fancy_regex::Regex, String> {
    fancy_regex::RegexBuilder::new(&translate::exact(tree))
        .delegate_size_limit(MAX_PROGRAM_BYTES)
        .backtrack_limit(MAX_BACKTRACKS)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What CPython says; see `tests/data/re_match.py`.
    #[derive(serde::Deserialize)]
    struct Recorded {
        pairs: Vec<(String, String, bool)>,
        refused: Vec<(String, Option<usize>, String)>,
    }

    fn recorded() -> Recorded {
        serde_json::from_str(include_str!("../../../tests/data/re_match.json")).unwrap()
    }

    fn refusal(pattern: &str) -> (usize, String) {
        match Pattern::new("event_type", pattern) {
            Err(Error::InvalidPattern { at, reason, .. }) => (at, reason),
            other => panic!("{pattern:?}: {other:?}"),
        }
    }

    fn is_match(pattern: &str, text: &str) -> bool {
        Pattern::new("event_type", pattern).unwrap().is_match_at_start(text)
    }

    #[test]
    fn every_recorded_pair_is_judged_as_python_judges_it() {
        let recorded = recorded();
        assert!(recorded.pairs.len() >= 150);
        let differing: Vec<_> = recorded
            .pairs
            .iter()
            .filter(|(pattern, text, matches)| is_match(pattern, text) != *matches)
            .collect();
        assert!(differing.is_empty(), "{differing:#?}");
    }

    #[test]
    fn every_recorded_refusal_is_refused_in_pythons_words_at_its_position() {
        let recorded = recorded();
        assert!(recorded.refused.len() >= 40);
        for (pattern, at, reason) in recorded.refused {
            let (found_at, found_reason) = refusal(&pattern);
            if let Some(at) = at {
                assert_eq!((found_at, found_reason), (at, reason), "{pattern:?}");
            }
        }
    }

    #[test]
    fn refusals_without_a_position_in_python_have_one_here() {
        assert_eq!(refusal("ab(?<=a*)c"), (2, "look-behind requires fixed-width pattern".into()));
        assert_eq!(refusal("aa{4294967295}"), (3, "the repetition number is too large".into()));
        assert_eq!(refusal("(?t)aa*").0, 6);
    }

    #[test]
    fn the_error_names_field_pattern_position_and_reason() {
        let error = Pattern::new("payload.state", "a**").unwrap_err();
        assert_eq!(
            error.to_string(),
            "filter payload.state: pattern \"a**\": character 2: multiple repeat"
        );
    }

    #[test]
    fn positions_count_characters_not_bytes() {
        assert_eq!(refusal("\u{e9}\u{1f600}**").0, 3);
    }

    #[test]
    fn characters_by_name_are_refused_with_a_way_out() {
        let (at, reason) = refusal(r"a\N{DIGIT ONE}");
        assert_eq!(at, 1);
        assert!(reason.ends_with(r"write \uXXXX or \UXXXXXXXX"), "{reason}");
        assert_eq!(refusal(r"[\N{EM DASH}]").0, 1);
    }

    #[test]
    fn groups_nested_too_deeply_are_refused_and_the_deepest_allowed_work() {
        let nested = |depth| format!("{}a{}$", "(?:x|".repeat(depth), ")".repeat(depth));
        let (at, reason) = refusal(&nested(201));
        assert_eq!((at, reason.as_str()), (1000, "groups are nested deeper than 200"));
        assert!(is_match(&nested(200), "a\n"));
        assert!(is_match(&format!("{}(?=b)", nested(200).replace('$', "")), "ab"));
    }

    #[test]
    fn an_expression_of_excessive_size_is_refused() {
        let (_, reason) = refusal(r"\w{100000}");
        assert!(reason.starts_with("cannot be compiled: "), "{reason}");
    }

    #[test]
    fn a_match_that_takes_too_long_is_none() {
        let pattern = Pattern::new("event_type", r"(?:a|a|(b)\1)*c").unwrap();
        assert!(pattern.is_match_at_start("aac"));
        assert!(!pattern.is_match_at_start(&"a".repeat(64)));
    }

    #[test]
    fn only_what_needs_backtracking_gets_it() {
        let kind = |pattern: &str| match Pattern::new("event_type", pattern).unwrap().program {
            Program::Plain(_) => "plain",
            Program::Mixed { .. } => "mixed",
            Program::Exact(_) => "exact",
        };
        for (pattern, expected) in [
            (r"^compute.*", "plain"),
            (r"^(a|b)+\Z", "plain"),
            (r"(?a)\bx\b", "plain"),
            (r"(?m)^a$", "plain"),
            (r"^active$", "mixed"),
            (r"\bfoo", "mixed"),
            (r"(?!a)b", "exact"),
            (r"(a)\1", "exact"),
            (r"a*+", "exact"),
        ] {
            assert_eq!(kind(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn every_sign_of_ascii_is_itself_behind_a_backslash_or_in_a_class() {
        for sign in (0x20_u8..0x7f).map(char::from).filter(|sign| !sign.is_alphanumeric()) {
            let text = sign.to_string();
            assert!(is_match(&format!(r"\{sign}\Z"), &text), "{sign}");
            assert!(is_match(&format!(r"[\{sign}]\Z"), &text), "{sign}");
            assert!(!is_match(&format!(r"[^\{sign}]"), &text), "{sign}");
        }
    }
}
