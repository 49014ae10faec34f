//! Payload and context: JSON text that is cheap to clone and is parsed only when asked.
//!
//! Here lives what both share and what each promises. Making text of a value is in `write`,
//! making a value of text that `serde_json` refuses in `read`. Called by whoever builds or reads
//! a notification, and by [`crate::wire`], which copies the text through.

use std::{borrow::Cow, fmt, ops::Range, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    json::{self, Entries, Fault, MAX_DEPTH, MAX_VALUE_DEPTH},
    read, write,
};
use crate::error::Error;

/// A part of a shared buffer, or a constant, that is known to be one JSON value.
#[derive(Clone)]
enum JsonText {
    Constant(&'static str),
    Shared { buffer: Arc<String>, range: Range<usize> },
}

impl JsonText {
    fn checked(text: String, what: &'static str) -> Result<Self, Error> {
        json::check(&text, MAX_DEPTH, &mut ()).map_err(|fault| invalid(what, &fault))?;
        Ok(Self::whole(text))
    }

    fn whole(text: String) -> Self {
        let range = 0..text.len();
        Self::Shared { buffer: Arc::new(text), range }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Constant(text) => text,
            Self::Shared { buffer, range } => &buffer[range.clone()],
        }
    }

    fn string_at(&self, key: &str) -> Option<Cow<'_, str>> {
        let text = self.as_str();
        let found = Entries::new(text)
            .map_while(Result::ok)
            .filter(|entry| json::string_value(entry.key) == key)
            .last()?;
        let value = &text[found.start..found.end];
        value.starts_with('"').then(|| json::string_value(value))
    }
}

fn invalid(what: &'static str, fault: &Fault) -> Error {
    Error::InvalidJson { what, at: fault.at, reason: fault.reason() }
}

/// What a notification tells: any JSON value, kept as text, such as `{"instance_id": 12}`.
///
/// Cloning is cheap: clones share one buffer. A payload that was received shares it with the
/// context, so a clone that is kept holds the whole record's text. The text is parsed only by
/// [`value`](Self::value) and [`deserialize`](Self::deserialize), anew by each call.
///
/// The text is JSON as Python's `json` module writes and reads it: `NaN`, `Infinity` and
/// `-Infinity`, integers of any size, lone surrogates (`"\ud800"`) and repeated keys, of which the
/// last one counts.
///
/// Two payloads are equal when their texts are: `{"a":1}` and `{"a": 1}` differ. `Debug` shows
/// only the size, for a payload may hold secrets.
///
/// ```
/// use oslo_messaging::Payload;
///
/// let payload = Payload::from_json(r#"{"host": "caf\u00e9", "load": NaN}"#)?;
/// assert_eq!(payload.string_at("host").as_deref(), Some("café"));
/// assert!(payload.value().is_err());
/// let read: std::collections::HashMap<String, serde::de::IgnoredAny> = payload.deserialize()?;
/// assert_eq!(read.len(), 2);
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
#[derive(Clone)]
pub struct Payload(JsonText);

/// Who asked for what, as the sending service knew it: a JSON object, kept as text, such as
/// `{"request_id": "req-1", "project_id": "p"}`.
///
/// As [`Payload`] in all else: text, dialect, clones, equality and `Debug`. The default is the
/// empty object.
///
/// ```
/// use oslo_messaging::Context;
///
/// assert_eq!(Context::empty().as_json(), "{}");
/// assert!(Context::from_json("[1, 2]").is_err());
/// ```
#[derive(Clone)]
pub struct Context(JsonText);

impl Payload {
    /// Deepest nesting of objects and lists in the text of a payload or a context: 10,000.
    ///
    /// Python writes and reads up to its recursion limit: 990 levels up to 3.11, 9998 in 3.13.
    pub const MAX_DEPTH: usize = MAX_DEPTH;

    /// Deepest nesting that [`serialize`](Self::serialize), [`value`](Self::value) and
    /// [`deserialize`](Self::deserialize) take, since they recurse: 1000.
    pub const MAX_VALUE_DEPTH: usize = MAX_VALUE_DEPTH;

    /// The payload `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(JsonText::Constant("null"))
    }

    /// Takes a JSON text as it is, such as `{"a": NaN}`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidJson`] when Python's `json.loads` would refuse it, or when it nests deeper
    /// than [`MAX_DEPTH`](Self::MAX_DEPTH).
    pub fn from_json(text: impl Into<String>) -> Result<Self, Error> {
        JsonText::checked(text.into(), PAYLOAD).map(Self)
    }

    /// Makes a payload of any value that serde can serialize.
    ///
    /// Floats that are not finite become `NaN`, `Infinity` and `-Infinity`, as in Python; plain
    /// `serde_json` would write `null`.
    ///
    /// # Errors
    ///
    /// [`Error::Conversion`] when the value has no JSON form: a map whose keys are no strings,
    /// numbers or booleans, an error of its own, nesting deeper than
    /// [`MAX_VALUE_DEPTH`](Self::MAX_VALUE_DEPTH).
    pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        write::to_json(value, PAYLOAD).map(|text| Self(JsonText::whole(text)))
    }

    /// The exact text, such as `{"instance_id": 12}`, with the white space that it came with.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.as_str()
    }

    /// Parses the text into a tree.
    ///
    /// Lone surrogates become U+FFFD. Integers beyond `i64` and `u64` become the nearest `f64`, as
    /// `serde_json` reads them; [`as_json`](Self::as_json) has all digits.
    ///
    /// # Errors
    ///
    /// [`Error::Conversion`], whose source says where, for what `Value` cannot hold: `NaN`,
    /// `Infinity`, `-Infinity`, and numbers beyond `f64`; also when the text nests deeper than
    /// [`MAX_VALUE_DEPTH`](Self::MAX_VALUE_DEPTH).
    pub fn value(&self) -> Result<Value, Error> {
        read::from_json(self.as_json(), PAYLOAD)
    }

    /// Parses the text into a type.
    ///
    /// `f64` and `f32` take `NaN`, `Infinity` and `-Infinity`, and `1e400` as infinity, as Python
    /// does; `i128` and `u128` take large integers exactly. Lone surrogates become U+FFFD. Of a
    /// repeated key the last value counts, also in structs.
    ///
    /// # Errors
    ///
    /// [`Error::Conversion`], whose source says where, when the text does not fit the type. A
    /// number that is not finite fits no target that takes whatever comes, such as `Value`, a
    /// flattened map or an untagged enum; nor does it fit a `RawValue`. A text deeper than
    /// [`MAX_VALUE_DEPTH`](Self::MAX_VALUE_DEPTH) is read only where `T` ignores what is deep.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read::from_json(self.as_json(), PAYLOAD)
    }

    /// The string under a key of the payload's top level, such as `"i-1"` for key `instance_id`.
    ///
    /// `None` when the payload is no object, or the key is missing or holds no string. Of repeated
    /// keys the last one counts. Escapes are decoded, in keys too; lone surrogates become U+FFFD.
    /// No tree is built.
    #[must_use]
    pub fn string_at(&self, key: &str) -> Option<Cow<'_, str>> {
        self.0.string_at(key)
    }

    /// The part of `buffer` that the decoder found to be a value.
    pub(crate) fn part_of(buffer: &Arc<String>, range: Range<usize>) -> Self {
        Self(JsonText::Shared { buffer: Arc::clone(buffer), range })
    }

    /// A text that is known to be JSON.
    pub(crate) fn of_json(text: String) -> Self {
        Self(JsonText::whole(text))
    }

    /// The empty object, `{}`.
    pub(crate) fn empty() -> Self {
        Self(JsonText::Constant("{}"))
    }
}

impl Context {
    /// The empty context, `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self(JsonText::Constant("{}"))
    }

    /// Takes the JSON text of an object as it is, such as `{"user_id": "u"}`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidJson`] when Python's `json.loads` would refuse it, when it is no object, or
    /// when it nests deeper than [`Payload::MAX_DEPTH`].
    pub fn from_json(text: impl Into<String>) -> Result<Self, Error> {
        let checked = JsonText::checked(text.into(), CONTEXT)?;
        let start = json::skip_space(checked.as_str().as_bytes(), 0);
        if checked.as_str()[start..].starts_with('{') {
            Ok(Self(checked))
        } else {
            Err(invalid(CONTEXT, &Fault::syntax(start, "expected an object")))
        }
    }

    /// Makes a context of any value that serde serializes as a struct or a map.
    ///
    /// # Errors
    ///
    /// [`Error::Conversion`] as [`Payload::serialize`]; [`Error::InvalidJson`] when the value is
    /// no struct or map.
    pub fn serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let text = write::to_json(value, CONTEXT)?;
        if text.starts_with('{') {
            Ok(Self(JsonText::whole(text)))
        } else {
            Err(invalid(CONTEXT, &Fault::syntax(0, "expected an object")))
        }
    }

    /// The exact text; see [`Payload::as_json`].
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.as_str()
    }

    /// Parses the text into a tree; see [`Payload::value`].
    ///
    /// # Errors
    ///
    /// As [`Payload::value`].
    pub fn value(&self) -> Result<Value, Error> {
        read::from_json(self.as_json(), CONTEXT)
    }

    /// Parses the text into a type; see [`Payload::deserialize`].
    ///
    /// # Errors
    ///
    /// As [`Payload::deserialize`].
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, Error> {
        read::from_json(self.as_json(), CONTEXT)
    }

    /// The string under a key, such as `"req-1"` for key `request_id`; see [`Payload::string_at`].
    #[must_use]
    pub fn string_at(&self, key: &str) -> Option<Cow<'_, str>> {
        self.0.string_at(key)
    }

    /// The part of `buffer` that the decoder found to be an object.
    pub(crate) fn part_of(buffer: &Arc<String>, range: Range<usize>) -> Self {
        Self(JsonText::Shared { buffer: Arc::clone(buffer), range })
    }

    /// An object that the decoder put together.
    pub(crate) fn of_object(text: String) -> Self {
        Self(JsonText::whole(text))
    }
}

const PAYLOAD: &str = "payload";
const CONTEXT: &str = "context";

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self(JsonText::whole(value.to_string()))
    }
}

impl TryFrom<Value> for Context {
    type Error = Error;

    /// # Errors
    ///
    /// [`Error::InvalidJson`] when the value is no object.
    fn try_from(value: Value) -> Result<Self, Error> {
        Self::serialize(&value)
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Payload {}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Context {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.as_json().len())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} bytes)", self.as_json().len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exact_text_is_kept() {
        for text in ["null", " [1,  2]\n", "{\"a\":NaN}", "1e400", "\"\\ud800\"", "\"é\""] {
            assert_eq!(Payload::from_json(text).unwrap().as_json(), text);
        }
        assert_eq!(Payload::null().as_json(), "null");
        assert_eq!(Payload::from(json!({"a": [1, "é"]})).as_json(), r#"{"a":[1,"é"]}"#);
        assert_eq!(Context::default().as_json(), "{}");
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let error = Payload::from_json("{\"a\": nan}").unwrap_err();
        assert_eq!(error.to_string(), "payload is not valid JSON: byte 6: expected a value");
        let deep = "[".repeat(Payload::MAX_DEPTH + 1) + &"]".repeat(Payload::MAX_DEPTH + 1);
        let error = Payload::from_json(deep).unwrap_err();
        assert_eq!(
            error.to_string(),
            "payload is not valid JSON: byte 10000: nested deeper than 10000 levels"
        );
    }

    #[test]
    fn a_context_is_an_object() {
        for text in ["{}", " {\"a\": NaN} "] {
            assert_eq!(Context::from_json(text).unwrap().as_json(), text);
        }
        for text in ["null", " []", "\"{}\"", "1"] {
            let error = Context::from_json(text).unwrap_err().to_string();
            assert!(error.ends_with("expected an object"), "{error}");
        }
        assert!(Context::serialize(&[1]).is_err());
        assert!(Context::try_from(json!(null)).is_err());
        assert_eq!(Context::try_from(json!({"a": 1})).unwrap().as_json(), r#"{"a":1}"#);
    }

    #[test]
    fn a_string_is_found_by_its_key_without_a_tree() {
        let cases = [
            (r#"{"id": "i-1"}"#, Some("i-1")),
            (r#" { "x" : {"id": "no"} , "id" : "i-1" } "#, Some("i-1")),
            (r#"{"id": "first", "id": "last"}"#, Some("last")),
            (r#"{"id": "first", "id": 2}"#, None),
            (r#"{"\u0069d": "caf\u00e9"}"#, Some("café")),
            (r#"{"id": "\ud800x"}"#, Some("\u{fffd}x")),
            (r#"{"id": ""}"#, Some("")),
            (r#"{"id": null}"#, None),
            (r#"{"x": [NaN, {"id": "no"}]}"#, None),
            (r#"{}"#, None),
            (r#"["id", "no"]"#, None),
            (r#""id""#, None),
        ];
        for (text, found) in cases {
            let payload = Payload::from_json(text).unwrap();
            assert_eq!(payload.string_at("id").as_deref(), found, "{text}");
        }
        let context = Context::from_json(r#"{"request_id": "req-1"}"#).unwrap();
        assert_eq!(context.string_at("request_id").as_deref(), Some("req-1"));
    }

    #[test]
    fn equality_is_that_of_the_texts() {
        let payload = |text: &str| Payload::from_json(text).unwrap();
        assert_eq!(payload("{\"a\": 1}"), payload("{\"a\": 1}"));
        assert_ne!(payload("{\"a\": 1}"), payload("{\"a\":1}"));
        assert_eq!(payload("null"), Payload::null());
    }

    #[test]
    fn debug_shows_no_content() {
        let context = Context::from_json(r#"{"auth_token": "secret"}"#).unwrap();
        assert_eq!(format!("{context:?}"), "Context(24 bytes)");
        assert_eq!(format!("{:?}", Payload::null()), "Payload(4 bytes)");
    }
}
