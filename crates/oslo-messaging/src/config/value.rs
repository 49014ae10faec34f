//! Texts into typed values, by the rules of `oslo_config/types.py`.
//!
//! Pure. Two rules differ on purpose: an empty number is refused (oslo.config gives `None`, on
//! which its users fall over later), and so is a number that is not finite. Called by `schema`,
//! `substitution` and the pages that are made of a table.

use std::fmt;

use super::{
    host,
    ini::is_blank,
    opt::{Kind, Opt},
};
use crate::secret::{MASK, names_secret};

/// A typed value of an option. `Display` is the text that a file would have, but for the escape of
/// a `$`; secrets are in it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of a string, a choice or a host.
    Text(String),
    /// Of an integer or a port.
    Integer(i64),
    /// Of a number or a time.
    Float(f64),
    /// Of a boolean.
    Boolean(bool),
    /// Of a list or a multi-string.
    List(Vec<String>),
    /// Of a dictionary, in the order of the text.
    Dict(Vec<(String, String)>),
}

impl Value {
    /// Reads the texts of an option: the last one, or all of a multi-string.
    ///
    /// # Errors
    ///
    /// What would be valid.
    pub(super) fn read(kind: &Kind, texts: &[String]) -> Result<Self, String> {
        if let Kind::MultiString = kind {
            return Ok(Self::List(texts.to_vec()));
        }
        let text = texts.last().map_or("", String::as_str);
        let read = match *kind {
            Kind::String | Kind::MultiString => Some(Self::Text(text.to_owned())),
            Kind::Choice(choices) => choices.contains(&text).then(|| Self::Text(text.to_owned())),
            Kind::ChoiceOrPrefix { choices, prefix } => (choices.contains(&text)
                || text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
            .then(|| Self::Text(text.to_owned())),
            Kind::Integer { min, max } => {
                integer(text).filter(|value| (min..=max).contains(value)).map(Self::Integer)
            }
            Kind::IntegerOrMinusOne { min, max } => integer(text)
                .filter(|value| *value == -1 || (min..=max).contains(value))
                .map(Self::Integer),
            Kind::Float { min, max } | Kind::Seconds { min, max } => {
                float(text).filter(|value| (min..=max).contains(value)).map(Self::Float)
            }
            Kind::Boolean => boolean(text).map(Self::Boolean),
            Kind::Port => {
                integer(text).filter(|value| (0..=65_535).contains(value)).map(Self::Integer)
            }
            Kind::Host => host::read(text).map(Self::Text),
            Kind::List => Some(Self::List(list(text))),
            Kind::Dict => {
                return dict(text)
                    .map(Self::Dict)
                    .map_err(|fault| format!("{}, but {fault}", expected(kind)));
            }
        };
        read.ok_or_else(|| expected(kind))
    }

    /// The value as Python's `str` writes it where another value refers to it. Of lists and
    /// dictionaries that would be their `repr`, with brackets and quotes, which nobody can want: they
    /// give their own text.
    pub(super) fn substitute(&self) -> String {
        match self {
            Self::Boolean(value) => if *value { "True" } else { "False" }.to_owned(),
            value => value.to_string(),
        }
    }

    /// The value as a log may show it.
    pub(super) fn shown(&self, opt: &Opt) -> String {
        if opt.secret {
            return MASK.to_owned();
        }
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::List(items) => format!("{items:?}"),
            Self::Dict(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(name, value)| {
                        (name.as_str(), if names_secret(name) { MASK } else { value.as_str() })
                    })
                    .collect();
                format!("{pairs:?}")
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => f.write_str(&float_text(*value)),
            Self::Boolean(value) => value.fmt(f),
            Self::List(items) => f.write_str(&items.join(",")),
            Self::Dict(pairs) => {
                let pairs = pairs.iter().map(|(name, value)| format!("{name}:{value}"));
                f.write_str(&pairs.collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// Shows the type only: the value may be a password.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Integer(_) => "Integer",
            Self::Float(_) => "Float",
            Self::Boolean(_) => "Boolean",
            Self::List(_) => "List",
            Self::Dict(_) => "Dict",
        })
    }
}

/// Python's `repr` of a float: the shortest digits that give it back, with a point or an exponent.
pub(super) fn float_text(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value:?}")
}

/// A text that was not valid, as an error may show it.
pub(super) fn shown_text(opt: &Opt, text: &str) -> String {
    if opt.secret || (matches!(opt.kind, Kind::Dict) && names_secret(text)) {
        MASK.to_owned()
    } else {
        text.to_owned()
    }
}

/// What would be valid, in words, such as `an integer from 1 to 65535`.
pub(super) fn expected(kind: &Kind) -> String {
    match kind {
        Kind::String => "a text".to_owned(),
        Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
        Kind::ChoiceOrPrefix { choices, prefix } => {
            format!("one of {}, or {prefix} and a text", choices.join(", "))
        }
        Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
        Kind::IntegerOrMinusOne { min, max } => format!("-1 or an integer from {min} to {max}"),
        Kind::Float { min, max } => format!("a number from {min} to {max}"),
        Kind::Seconds { min, max } => format!("a number of seconds from {min} to {max}"),
        Kind::Boolean => "true, 1, on, yes or false, 0, off, no".to_owned(),
        Kind::Port => "a port from 0 to 65535".to_owned(),
        Kind::Host => "the name or the address of a host".to_owned(),
        Kind::List => "texts separated by commas".to_owned(),
        Kind::MultiString => "a text, the option given once for each".to_owned(),
        Kind::Dict => "name:value pairs separated by commas".to_owned(),
    }
}

/// Python's `int(text)`: blanks around it, a sign, single underscores between digits.
fn integer(text: &str) -> Option<i64> {
    without_underscores(text)?.parse().ok()
}

/// Python's `float(text)`, but finite.
fn float(text: &str) -> Option<f64> {
    without_underscores(text)?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The number without the underscores that Python allows between two digits.
fn without_underscores(text: &str) -> Option<String> {
    let text = text.trim_matches(is_blank);
    let digit = |at: Option<usize>| {
        at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit)
    };
    text.match_indices('_')
        .all(|(at, _)| digit(at.checked_sub(1)) && digit(Some(at + 1)))
        .then(|| text.replace('_', ""))
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Commas at the end are dropped, empty items elsewhere stay, quotes mean nothing.
fn list(text: &str) -> Vec<String> {
    let text = text.trim_matches(is_blank).trim_end_matches(',');
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| item.trim_matches(is_blank).to_owned()).collect()
}

/// An item without a colon is the start of the next item's name, as oslo.config has it.
fn dict(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let text = text.trim_matches(is_blank);
    if text.is_empty() {
        return Ok(pairs);
    }
    let mut pending = String::new();
    for item in text.split(',') {
        pending += item;
        let Some((name, value)) = pending.split_once(':') else {
            pending.push(',');
            continue;
        };
        let (name, value) = (name.trim_matches(is_blank), value.trim_matches(is_blank));
        if name.is_empty() {
            return Err("a name is empty".to_owned());
        }
        if pairs.iter().any(|(known, _)| known == name) {
            return Err(format!("\"{name}\" is given twice"));
        }
        pairs.push((name.to_owned(), value.to_owned()));
        pending.clear();
    }
    if pending.is_empty() { Ok(pairs) } else { Err("the last item has no \":\"".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Value, dict, float_text, list};

    fn read(kind: &Kind, text: &str) -> Option<Value> {
        Value::read(kind, &[text.to_owned()]).ok()
    }

    #[test]
    fn integers_are_read_as_python_reads_them() {
        let kind = Kind::Integer { min: -1, max: 1000 };
        for (text, expected) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("+7", Some(7)),
            (" 7\t", Some(7)),
            ("007", Some(7)),
            ("1_000", Some(1000)),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("1001", None),
            ("-2", None),
            ("5.0", None),
            ("0x10", None),
            ("", None),
            (" ", None),
            ("99999999999999999999", None),
        ] {
            assert!(read(&kind, text) == expected.map(Value::Integer), "{text:?}");
        }
        let kind = Kind::IntegerOrMinusOne { min: 1, max: 9 };
        for (text, expected) in [("-1", true), ("0", false), ("1", true), ("-2", false)] {
            assert_eq!(read(&kind, text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn seconds_are_finite_and_in_range() {
        let kind = Kind::Seconds { min: 0.0, max: 3600.0 };
        for (text, expected) in [
            ("0", Some(0.0)),
            ("2.5", Some(2.5)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1_0.5", Some(10.5)),
            ("-0.1", None),
            ("3601", None),
            ("nan", None),
            ("inf", None),
            ("1e400", None),
            ("5s", None),
            ("", None),
        ] {
            assert!(read(&kind, text) == expected.map(Value::Float), "{text:?}");
        }
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (30.0, "30.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.000_015, "-1.5e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (123_456.789, "123456.789"),
        ] {
            assert_eq!(float_text(value), expected);
        }
    }

    #[test]
    fn ports_are_numbers_of_two_bytes() {
        for (text, expected) in [("0", true), ("65535", true), ("65536", false), ("-1", false)] {
            assert_eq!(read(&Kind::Port, text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn booleans_have_eight_words_in_any_case() {
        for (text, expected) in [
            ("true", Some(true)),
            ("TRUE", Some(true)),
            ("1", Some(true)),
            ("On", Some(true)),
            ("yes", Some(true)),
            ("false", Some(false)),
            ("0", Some(false)),
            ("OFF", Some(false)),
            ("no", Some(false)),
            ("y", None),
            (" yes", None),
            ("", None),
        ] {
            assert!(read(&Kind::Boolean, text) == expected.map(Value::Boolean), "{text:?}");
        }
    }

    #[test]
    fn choices_regard_case() {
        let kind = Kind::Choice(&["none", "gzip"]);
        for (text, expected) in [("gzip", true), ("GZIP", false), ("", false), (" gzip", false)] {
            assert_eq!(read(&kind, text).is_some(), expected, "{text:?}");
        }
        let kind = Kind::ChoiceOrPrefix { choices: &["none"], prefix: "payload:" };
        for (text, expected) in
            [("none", true), ("payload:instance_id", true), ("payload:", false), ("payload", false)]
        {
            assert_eq!(read(&kind, text).is_some(), expected, "{text:?}");
        }
    }

    #[test]
    fn lists_split_at_each_comma() {
        for (text, expected) in [
            ("", &[][..]),
            (" , ,", &["", ""]),
            (",", &[]),
            ("a", &["a"]),
            (" a , b ", &["a", "b"]),
            ("a,,b", &["a", "", "b"]),
            ("a,b,,", &["a", "b"]),
            (",a", &["", "a"]),
            ("\"a,b\"", &["\"a", "b\""]),
        ] {
            assert_eq!(list(text), expected, "{text:?}");
        }
    }

    #[test]
    fn dicts_are_pairs_with_names_given_once() {
        let pairs = |text| {
            dict(text).map(|pairs| {
                pairs.iter().map(|(n, v)| format!("{n}|{v}")).collect::<Vec<_>>().join(" ")
            })
        };
        for (text, expected) in [
            ("", Ok("")),
            ("a:b", Ok("a|b")),
            (" a : b , c : d:e ", Ok("a|b c|d:e")),
            ("a:", Ok("a|")),
            ("a,b:c", Ok("a,b|c")),
            ("a:b,", Err("the last item has no \":\"")),
            ("a:b,c", Err("the last item has no \":\"")),
            (":c", Err("a name is empty")),
            ("a:b,a:c", Err("\"a\" is given twice")),
        ] {
            assert_eq!(pairs(text), expected.map(str::to_owned).map_err(str::to_owned), "{text:?}");
        }
    }
}
