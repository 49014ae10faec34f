//! A value of JSON text: `serde_json` first, and where it refuses, a reader of Python's dialect.
//!
//! `serde_json` is fast, but refuses `NaN`, numbers beyond `f64`, lone surrogates, nesting beyond
//! 128 and repeated keys in structs. What it refuses is read again from an index of the text's
//! parts, which is also what says where a text does not fit. Called by `Payload` and `Context`.

mod deserializer;
mod index;
mod key;

use std::fmt;

use serde::de::DeserializeOwned;

use self::{deserializer::Reader, index::Index};
use crate::error::Error;

/// Reads `text`, which was checked before; `what` names it in the error.
pub(super) fn from_json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Error> {
    // Texts that serde_json takes mean the same to both; what it refuses needs no reason here,
    // for the reader finds its own.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let conversion = |source| Error::Conversion { what, source: Box::new(source) };
    let index = Index::new(text).map_err(|fault| conversion(Misfit::new(fault.reason())))?;
    T::deserialize(Reader::root(&index)).map_err(|mut misfit| {
        misfit.0.path = misfit.0.part.map(|part| index.path_of(part));
        conversion(misfit)
    })
}

/// Why a text does not fit a type, and where.
///
/// Boxed, since results of it stand on the stack once for each level of the text.
#[derive(Debug)]
struct Misfit(Box<Reason>);

#[derive(Debug)]
struct Reason {
    words: String,
    /// The part of the index, once known: the innermost one.
    part: Option<usize>,
    /// Where the part is, such as `servers[3].load`; empty for the whole text.
    path: Option<String>,
}

impl Misfit {
    fn new(words: impl Into<String>) -> Self {
        Self(Box::new(Reason { words: words.into(), part: None, path: None }))
    }

    fn at(mut self, part: usize) -> Self {
        self.0.part.get_or_insert(part);
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reason { words, path, .. } = &*self.0;
        match path.as_deref() {
            Some("") => write!(f, "at the top: {words}"),
            Some(path) => write!(f, "at {path}: {words}"),
            None => f.write_str(words),
        }
    }
}

impl std::error::Error for Misfit {}

impl serde::de::Error for Misfit {
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self::new(words.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, error::Error as _};

    use serde::{Deserialize, de::IgnoredAny};
    use serde_json::{Value, json};

    use super::*;

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
        from_json(text, "payload").map_err(|error| error.source().unwrap().to_string())
    }

    #[derive(Debug, Deserialize)]
    struct Host {
        name: String,
        load: f64,
        low: Option<f32>,
        cores: Option<u8>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        Plain,
        One(f64),
        Two(i64, String),
        Named { load: f64 },
    }

    #[derive(Debug, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    }

    #[test]
    fn floats_that_are_not_finite_are_read_into_floats() {
        let host: Host =
            read(r#"{"name": "h", "load": NaN, "low": -Infinity, "x": [NaN]}"#).unwrap();
        assert_eq!(host.name, "h");
        assert!(host.load.is_nan());
        assert_eq!(host.low, Some(f32::NEG_INFINITY));
        assert_eq!(read::<Vec<f64>>("[1e400, -1e400]"), Ok(vec![f64::INFINITY, f64::NEG_INFINITY]));
        assert_eq!(read::<Kind>(r#"{"One": Infinity}"#), Ok(Kind::One(f64::INFINITY)));
        assert_eq!(
            read::<Kind>(r#"{"Named": {"load": 1e999}}"#),
            Ok(Kind::Named { load: f64::INFINITY })
        );
        assert!(read::<(f64, Option<f64>, ())>("[NaN, null, null]").unwrap().0.is_nan());
    }

    #[test]
    fn what_a_tree_cannot_hold_is_an_error_that_says_where() {
        let cases = [
            ("NaN", "at the top: NaN is not finite"),
            (r#"{"a": {"b": [0, {"c": -Infinity}]}}"#, "at a.b[1].c: -Infinity is not finite"),
            (r#"{"a": NaN, "b": NaN}"#, "at a: NaN is not finite"),
            (r#"[[1, 2], [1e400]]"#, "at [1][0]: 1e400 is not finite"),
            (r#"{"\u00e9\n": NaN}"#, "at é\\n: NaN is not finite"),
        ];
        for (text, words) in cases {
            let error = read::<Value>(text).unwrap_err();
            assert!(error.starts_with(words), "{text}: {error}");
        }
        let flat = read::<Flat>(r#"{"a": 1, "b": NaN}"#).unwrap_err();
        assert!(flat.starts_with("at b: NaN is not finite"), "{flat}");
        // Of repeated keys the last one counts, for errors too.
        assert_eq!(read::<Value>(r#"{"a": NaN, "a": 1}"#), Ok(json!({"a": 1})));
        assert_eq!(read::<Flat>(r#"{"a": "\ud800"}"#).unwrap().rest["a"], json!("\u{fffd}"));
    }

    #[test]
    fn integers_of_any_size_are_read() {
        let digits = "1234567890".repeat(10);
        let nearest = digits.parse::<f64>().unwrap();
        assert_eq!(read::<Value>(&digits), Ok(json!(nearest)));
        assert_eq!(read::<f64>(&digits), Ok(nearest));
        // The same where a neighbour makes serde_json refuse.
        assert_eq!(read::<Value>(&format!("[\"\\ud800\", {digits}]")).unwrap()[1], json!(nearest));
        let edges = json!([u64::MAX, i64::MIN, 0]);
        let text = format!("[{}, {}, -0, \"\\ud800\"]", u64::MAX, i64::MIN);
        assert_eq!(
            read::<Value>(&text).unwrap().as_array().unwrap()[..3],
            edges.as_array().unwrap()[..]
        );
        assert_eq!(
            read::<(i128, u128, String)>(&format!("[{}, {}, \"\\ud800\"]", i128::MIN, u128::MAX)),
            Ok((i128::MIN, u128::MAX, "\u{fffd}".to_owned()))
        );
        let error = read::<Value>(&format!("[{}]", "7".repeat(400))).unwrap_err();
        assert_eq!(error, "at [0]: integer of 400 digits is beyond f64");
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        let tree = read::<Value>(r#"{"k\udfff": ["\ud800", "\ud83d\ude00"]}"#);
        assert_eq!(tree, Ok(json!({"k\u{fffd}": ["\u{fffd}", "😀"]})));
        assert_eq!(read::<String>(r#""x\ud800""#).unwrap(), "x\u{fffd}");
    }

    #[test]
    fn the_last_of_repeated_keys_counts_in_structs_too() {
        let host: Host = read(r#"{"name": 1, "load": 1, "cores": 4, "n\u0061me": "b"}"#).unwrap();
        assert_eq!((host.name.as_str(), host.load, host.cores), ("b", 1.0, Some(4)));
    }

    #[test]
    fn what_does_not_fit_says_where() {
        let cases = [
            (r#"[{"name": "h", "load": 1}, {"name": 2, "load": 1}]"#, "at [1].name: invalid type"),
            (r#"[{"name": "h"}]"#, "at [0]: missing field `load`"),
            (r#"[{"name": "h", "load": 1, "cores": 256}]"#, "at [0].cores: invalid value"),
            (r#"{"a": 1}"#, "at the top: invalid type: map"),
        ];
        for (text, words) in cases {
            let error = read::<Vec<Host>>(text).unwrap_err();
            assert!(error.starts_with(words), "{text}: {error}");
        }
        assert!(read::<(u8, u8)>("[1, 2, 3]").unwrap_err().contains("1 more elements"));
        assert!(read::<Kind>(r#"{"One": 1, "Two": 2}"#).unwrap_err().contains("one key"));
        assert!(read::<Kind>("\"One\"").unwrap_err().contains("without what it holds"));
    }

    /// Every shape once more, with a neighbour that makes `serde_json` refuse.
    #[test]
    fn both_readers_read_the_same() {
        fn same<T: DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) {
            let fast = read::<T>(text).unwrap();
            let (slow, _) = read::<(T, IgnoredAny)>(&format!("[{text}, NaN]")).unwrap();
            assert_eq!(fast, slow, "{text}");
        }
        same::<Value>(
            r#"{"a": [null, true, false, 1, -2, 1.5, 1e300, "\u00e9"], "b": {}, "c": []}"#,
        );
        same::<BTreeMap<u16, bool>>(r#"{"1": true, "2": false}"#);
        same::<BTreeMap<bool, Option<char>>>(r#"{"true": "x", "false": null}"#);
        same::<BTreeMap<String, (u8, i64)>>(r#"{"a": [1, -1]}"#);
        same::<Vec<Kind>>(r#"["Plain", {"One": 2}, {"Two": [1, "b"]}, {"Named": {"load": 3}}]"#);
        same::<Option<()>>("null");
        same::<u128>("340282366920938463463374607431768211455");
    }

    #[test]
    fn what_python_nests_can_be_read() {
        let text = format!("{}null{}", "{\"a\":".repeat(1000), "}".repeat(1000));
        let mut tree = &read::<Value>(&text).unwrap();
        for _ in 0..1000 {
            tree = &tree["a"];
        }
        assert_eq!(tree, &Value::Null);
        // A field that nobody asks for costs no recursion.
        let deep = "[".repeat(999) + &"]".repeat(999);
        let host: Host = read(&format!(r#"{{"name": "h", "load": 1, "x": {deep}}}"#)).unwrap();
        assert_eq!(host.load, 1.0);
    }

    #[test]
    fn what_nests_deeper_is_an_error_and_no_overflow() {
        for depth in [1001, 10_000] {
            let text = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(read::<Value>(&text).unwrap_err(), "nested deeper than 1000 levels");
        }
    }
}
