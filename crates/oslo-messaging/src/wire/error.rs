//! Why bytes are not a notification.

use std::fmt;

/// Why a record's bytes are not an oslo notification.
///
/// Offsets are zero-based bytes of the text that `text` names: `record` for the bytes themselves,
/// `oslo.message` for the text inside the envelope, after its escapes were decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes: a null value (on Kafka a tombstone) or an empty one.
    Empty,
    /// The bytes are not UTF-8. UTF-16 and UTF-32 are refused too, as by the reference.
    NotUtf8 {
        /// The first byte that is none.
        at: usize,
    },
    /// The text is not JSON, not even in Python's dialect.
    NotJson {
        /// `record` or `oslo.message`.
        text: &'static str,
        /// Where reading stopped.
        at: usize,
        /// What is wrong there and what would be valid.
        reason: String,
    },
    /// The text is JSON, but no object.
    NotAnObject {
        /// `record` or `oslo.message`.
        text: &'static str,
        /// What it is, such as `list`.
        found: &'static str,
    },
    /// A field that a notification needs is missing.
    Missing {
        /// The field: `_context` or `priority`.
        field: &'static str,
    },
    /// A field has a value of a type that it cannot have.
    WrongType {
        /// The field, such as `publisher_id`.
        field: &'static str,
        /// What it is, such as `number`.
        found: &'static str,
        /// What it may be, such as `string or null`.
        expected: &'static str,
    },
    /// The envelope's version is not one that the reference takes: 2.0.
    UnknownVersion {
        /// The version as given, such as `3.0`.
        version: String,
    },
    /// The priority is none of the seven.
    UnknownPriority {
        /// The priority as given, such as `NOTICE`.
        given: String,
    },
    /// Objects and lists nest deeper than any notification of the reference.
    TooDeep {
        /// The deepest nesting that is read: [`Payload::MAX_DEPTH`](crate::message::Payload::MAX_DEPTH).
        limit: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the record has no value; expected a JSON object"),
            Self::NotUtf8 { at } => write!(f, "byte {at} is not UTF-8; expected JSON in UTF-8"),
            Self::NotJson { text, at, reason } => {
                write!(f, "{text} is not JSON: byte {at}: {reason}")
            }
            Self::NotAnObject { text, found } => {
                write!(f, "{text} is a JSON {found}; expected an object")
            }
            Self::Missing { field } => write!(
                f,
                "{field} is missing; a notification has _context (or keys that start with \
                 _context_) and priority"
            ),
            Self::WrongType { field, found, expected } => {
                write!(f, "{field} is a JSON {found}; expected {expected}")
            }
            Self::UnknownVersion { version } => {
                write!(f, "oslo.version is {}; expected \"2.0\"", Quoted(version))
            }
            Self::UnknownPriority { given } => write!(
                f,
                "priority is {}; expected debug, info, warn, error, critical, audit or sample",
                Quoted(given)
            ),
            Self::TooDeep { limit } => {
                write!(f, "objects and lists nest deeper than {limit} levels; expected fewer")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// What a record said, fit for a line of a log: quoted, escaped, and not too long.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{:?}...", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}
