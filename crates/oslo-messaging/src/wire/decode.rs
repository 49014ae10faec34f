//! Bytes to notification: one pass over the envelope, one over the inner object.
//!
//! As lenient as the reference's listener: what it would hand to an endpoint is read, what would
//! make it fail or drop the message is an error.

use std::{borrow::Cow, ops::Range, sync::Arc};

use super::{CONTEXT_KEY, CONTEXT_PREFIX, DecodeError, MESSAGE_KEY, VERSION_KEY};
use crate::message::{
    Context, Notification, Payload, Priority,
    json::{
        Entries, Fault, FaultKind, Lone, MAX_DEPTH, check, read_string, skip_space, string_value,
        write_string,
    },
};

/// Reads a notification as Kafka listeners get it, enveloped or not.
///
/// | part | what is read |
/// |---|---|
/// | bytes | UTF-8, JSON in Python's dialect, white space anywhere, no byte order mark |
/// | repeated keys | the last one counts |
/// | unknown keys | are ignored |
/// | envelope | an object with both `oslo.version` and `oslo.message`; any other object is taken as the inner object itself |
/// | `oslo.version` | a string of major 2 and minor 0, so `2.0` and `2.0.0`; `1.0`, `2.1` and `3.0` are refused, as by the reference |
/// | `oslo.message` | a string with the inner object's text |
/// | `_context` | an object; or keys that start with `_context_`, which count where it is missing |
/// | `priority` | one of the seven, in any case |
/// | `payload` | any value; missing is `null` |
/// | `message_id`, `publisher_id`, `event_type`, `timestamp` | strings; missing or `null` reads as empty (a notifier without a publisher id sends `null`) |
///
/// In those four strings a lone surrogate becomes U+FFFD; in payload and context it stays the
/// escape that it was. A null value of a broker is the empty slice.
///
/// # Errors
///
/// Every variant of [`DecodeError`]; which one is in its own documentation.
///
/// Mirrors `unpack_message` of `oslo_messaging/_drivers/impl_kafka.py`, and what
/// `notify/dispatcher.py` takes from the message. Differs on purpose: the reference hands fields
/// of another type to the endpoint as they are, and raises where this gives an error.
pub fn decode(body: &[u8]) -> Result<Notification, DecodeError> {
    read_record(body, None)
}

/// Reads a notification of a driver that flattens contexts, as rabbit does: as [`decode`], but
/// without any context the context is empty, since a flattened empty one leaves no trace.
///
/// # Errors
///
/// As [`decode`], without [`DecodeError::Missing`] for `_context`.
pub fn decode_flattened(body: &[u8]) -> Result<Notification, DecodeError> {
    read_record(body, Some(Context::empty()))
}

fn read_record(body: &[u8], no_context: Option<Context>) -> Result<Notification, DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| DecodeError::NotUtf8 { at: error.valid_up_to() })?;
    let inner = open_envelope(text)?;
    let (name, inner) = match inner {
        Some(inner) => (MESSAGE_KEY, inner),
        None => (RECORD, text.to_owned()),
    };
    read_inner(name, Arc::new(inner), no_context)
}

/// The text of the object that a body holds, enveloped or not. It need not be JSON.
#[cfg(feature = "rabbit")]
pub(crate) fn open(body: &[u8]) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| DecodeError::NotUtf8 { at: error.valid_up_to() })?;
    Ok(open_envelope(text)?.unwrap_or_else(|| text.to_owned()))
}

/// What the record's own text is called in errors.
const RECORD: &str = "record";

/// The text inside the envelope, or `None` when there is no envelope.
fn open_envelope(text: &str) -> Result<Option<String>, DecodeError> {
    let fault = |fault| not_json(RECORD, &fault);
    let mut version = None;
    let mut message = None;
    let mut entries = object(RECORD, text)?;
    while let Some((key, start)) = entries.next_key().map_err(fault)? {
        let key = string_value(key);
        if key == MESSAGE_KEY && text[start..].starts_with('"') {
            let (said, end) = read_string(text.as_bytes(), start, Lone::Keep).map_err(fault)?;
            message = Some(Ok(said));
            entries.resume(end);
        } else {
            let end = entries.skip_value(start, MAX_DEPTH).map_err(fault)?;
            match &*key {
                MESSAGE_KEY => message = Some(Err(kind_of(&text[start..]))),
                VERSION_KEY => version = Some(&text[start..end]),
                _ => {}
            }
        }
    }
    let (Some(version), Some(message)) = (version, message) else { return Ok(None) };
    check_version(version)?;
    message.map(Some).map_err(|found| DecodeError::WrongType {
        field: MESSAGE_KEY,
        found,
        expected: "a string",
    })
}

/// Refuses versions that the reference's `version_is_compatible` refuses for 2.0.
fn check_version(raw: &str) -> Result<(), DecodeError> {
    if !raw.starts_with(['"', 'n']) {
        let found = kind_of(raw);
        return Err(DecodeError::WrongType { field: VERSION_KEY, found, expected: "a string" });
    }
    let version = if raw == "null" { Cow::Borrowed(raw) } else { string_value(raw) };
    let mut parts = version.split('.').map(|part| part.trim().parse::<i64>().ok());
    let (major, minor) = (parts.next().flatten(), parts.next().flatten());
    // Only the revision may be absent; it counts when the minor versions are equal.
    let revision = parts.next().unwrap_or(Some(0));
    let compatible = match (major, minor, revision) {
        (Some(2), Some(0), Some(revision)) => revision <= 0,
        (Some(2), Some(minor), _) => minor < 0,
        _ => false,
    };
    if compatible {
        Ok(())
    } else {
        Err(DecodeError::UnknownVersion { version: version.into_owned() })
    }
}

/// Where the inner object's fields are in its text.
#[derive(Default)]
struct Fields {
    message_id: Option<Range<usize>>,
    publisher_id: Option<Range<usize>>,
    event_type: Option<Range<usize>>,
    priority: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    timestamp: Option<Range<usize>>,
    context: Option<Range<usize>>,
}

fn read_inner(
    name: &'static str,
    text: Arc<String>,
    no_context: Option<Context>,
) -> Result<Notification, DecodeError> {
    let mut fields = Fields::default();
    let mut flattened = None;
    let fault = |fault| not_json(name, &fault);
    let mut entries = object(name, &text)?;
    while let Some((raw_key, start)) = entries.next_key().map_err(fault)? {
        let key = string_value(raw_key);
        let in_context = key.starts_with(CONTEXT_PREFIX);
        // What was flattened becomes one level deeper again.
        let max_depth = if in_context { MAX_DEPTH - 1 } else { MAX_DEPTH };
        let end = entries.skip_value(start, max_depth).map_err(fault)?;
        let field = match &*key {
            "message_id" => &mut fields.message_id,
            "publisher_id" => &mut fields.publisher_id,
            "event_type" => &mut fields.event_type,
            "priority" => &mut fields.priority,
            "payload" => &mut fields.payload,
            "timestamp" => &mut fields.timestamp,
            CONTEXT_KEY => &mut fields.context,
            _ => {
                if in_context {
                    let flattened = flattened.get_or_insert_with(Flattened::default);
                    flattened.add(raw_key, &key, &text[start..end]);
                }
                continue;
            }
        };
        *field = Some(start..end);
    }
    let string = |field, range| string_field(&text, field, range);
    Ok(Notification {
        message_id: string("message_id", fields.message_id)?,
        publisher_id: string("publisher_id", fields.publisher_id)?,
        event_type: string("event_type", fields.event_type)?,
        priority: priority(&text, fields.priority)?,
        payload: fields.payload.map_or_else(Payload::null, |range| Payload::part_of(&text, range)),
        timestamp: string("timestamp", fields.timestamp)?,
        context: context(&text, fields.context, flattened, no_context)?,
    })
}

fn string_field(
    text: &str,
    field: &'static str,
    range: Option<Range<usize>>,
) -> Result<String, DecodeError> {
    let raw = range.map_or("null", |range| &text[range]);
    match raw.as_bytes().first() {
        Some(b'"') => Ok(string_value(raw).into_owned()),
        Some(b'n') => Ok(String::new()),
        _ => {
            Err(DecodeError::WrongType { field, found: kind_of(raw), expected: "a string or null" })
        }
    }
}

fn priority(text: &str, range: Option<Range<usize>>) -> Result<Priority, DecodeError> {
    const FIELD: &str = "priority";
    let raw = range.map(|range| &text[range]).ok_or(DecodeError::Missing { field: FIELD })?;
    if !raw.starts_with('"') {
        let found = kind_of(raw);
        return Err(DecodeError::WrongType { field: FIELD, found, expected: "a string" });
    }
    let given = string_value(raw);
    given.parse().map_err(|_| DecodeError::UnknownPriority { given: given.into_owned() })
}

fn context(
    text: &Arc<String>,
    nested: Option<Range<usize>>,
    flattened: Option<Flattened>,
    no_context: Option<Context>,
) -> Result<Context, DecodeError> {
    match (nested, flattened) {
        (Some(range), _) if text[range.clone()].starts_with('{') => {
            Ok(Context::part_of(text, range))
        }
        (Some(range), _) => Err(DecodeError::WrongType {
            field: CONTEXT_KEY,
            found: kind_of(&text[range]),
            expected: "an object",
        }),
        (None, Some(flattened)) => Ok(flattened.into_context()),
        (None, None) => no_context.ok_or(DecodeError::Missing { field: CONTEXT_KEY }),
    }
}

/// A context put together from the keys that it was flattened into.
#[derive(Default)]
struct Flattened {
    entries: String,
}

impl Flattened {
    /// Adds an entry by the literal of its key as it stands, what that says, and the value's text.
    fn add(&mut self, raw_key: &str, key: &str, value: &str) {
        if !self.entries.is_empty() {
            self.entries.push_str(", ");
        }
        match raw_key.get(1..).and_then(|inside| inside.strip_prefix(CONTEXT_PREFIX)) {
            Some(rest) => {
                self.entries.push('"');
                self.entries.push_str(rest);
            }
            // The prefix itself is written with escapes.
            None => write_string(&key[CONTEXT_PREFIX.len()..], &mut self.entries),
        }
        self.entries.push_str(": ");
        self.entries.push_str(value);
    }

    fn into_context(self) -> Context {
        Context::of_object(format!("{{{}}}", self.entries))
    }
}

/// The entries of the object that `text` is.
fn object<'a>(name: &'static str, text: &'a str) -> Result<Entries<'a>, DecodeError> {
    let start = skip_space(text.as_bytes(), 0);
    if text[start..].starts_with('{') {
        return Ok(Entries::new(text));
    }
    check(text, MAX_DEPTH, &mut ()).map_err(|fault| not_json(name, &fault))?;
    Err(DecodeError::NotAnObject { text: name, found: kind_of(&text[start..]) })
}

fn not_json(text: &'static str, fault: &Fault) -> DecodeError {
    match fault.kind {
        FaultKind::TooDeep(_) => DecodeError::TooDeep { limit: MAX_DEPTH },
        FaultKind::Syntax(reason) => {
            DecodeError::NotJson { text, at: fault.at, reason: reason.to_owned() }
        }
    }
}

/// What kind of value starts here; `raw` was checked before.
fn kind_of(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "list",
        Some(b'n') => "null",
        Some(b't' | b'f') => "boolean",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INNER: &str = r#"{"message_id": "id", "publisher_id": "pub", "event_type": "event", "priority": "INFO", "payload": {"a": 1}, "timestamp": "2026-11-22 07:00:00", "_context": {"user": "u"}}"#;

    fn envelope(version: &str, inner: &str) -> String {
        let inner = serde_json::to_string(inner).unwrap();
        format!(r#"{{"oslo.version": {version}, "oslo.message": {inner}}}"#)
    }

    fn read(record: &str) -> Result<Notification, DecodeError> {
        decode(record.as_bytes())
    }

    /// The bare object with one part of its text replaced.
    fn with(part: &str, other: &str) -> String {
        assert!(INNER.contains(part));
        INNER.replace(part, other)
    }

    fn not_json(text: &'static str, at: usize) -> impl Fn(&DecodeError) -> bool {
        move |error| {
            matches!(error, DecodeError::NotJson { text: found, at: place, .. }
                if *found == text && *place == at)
        }
    }

    #[test]
    fn a_notification_is_read_from_every_form() {
        let expected = read(INNER).unwrap();
        assert_eq!(expected.message_id, "id");
        assert_eq!(expected.publisher_id, "pub");
        assert_eq!(expected.event_type, "event");
        assert_eq!(expected.priority, Priority::Info);
        assert_eq!(expected.payload.as_json(), r#"{"a": 1}"#);
        assert_eq!(expected.timestamp, "2026-11-22 07:00:00");
        assert_eq!(expected.context.as_json(), r#"{"user": "u"}"#);
        let spaced = INNER.replace(", \"", " ,\r\n\t\"").replace("type\": ", "type\"\t:\n");
        let escaped =
            INNER.bytes().fold(String::new(), |text, byte| text + &format!("\\u{byte:04x}"));
        let records = [
            envelope(r#""2.0""#, INNER),
            envelope(r#""2.0""#, &format!(" \r\n{INNER}\t")),
            envelope(r#""2.0""#, &spaced),
            spaced,
            format!(" \n{} ", envelope(r#""2.0""#, INNER)),
            format!(r#"{{"oslo.message": {}, "x": [], "oslo.version": "2.0"}}"#, json!(INNER)),
            format!(r#"{{"oslo.v\u0065rsion": "2.0", "oslo\u002emessage": "{escaped}"}}"#),
            // Repeated keys: the last one counts.
            format!(
                r#"{{"oslo.version": 3, "oslo.message": 4, {}"#,
                &envelope(r#""2.0""#, INNER)[1..]
            ),
            with("{\"message_id\"", r#"{"priority": 1, "_context": 2, "payload": 3, "message_id""#),
            // Keys that mean nothing here, and half an envelope.
            with(
                "{\"message_id\"",
                r#"{"oslo.version": "9", "_unique_id": "x", "y": [NaN], "message_id""#,
            ),
            with("\"INFO\"", "\"inFo\""),
            with("\"priority\"", r#""pri\u006frity""#),
            // A nested context counts, whatever looks flattened.
            with("\"_context\"", r#""_context_x": 1, "_context""#),
        ];
        for record in records {
            assert_eq!(read(&record).as_ref(), Ok(&expected), "{record}");
        }
    }

    #[test]
    fn versions_are_taken_and_refused_as_by_the_reference() {
        for version in ["2.0", "2.0.0", "2.0.0.7", " 2 . 0 ", "2.-1.5", "+2.00"] {
            assert!(read(&envelope(&json!(version).to_string(), INNER)).is_ok(), "{version}");
        }
        for version in ["1.0", "2.1", "2.0.1", "3.0", "2", "", "two", "2.x", "2.0.x", "20"] {
            let error = read(&envelope(&json!(version).to_string(), INNER)).unwrap_err();
            assert_eq!(error, DecodeError::UnknownVersion { version: version.to_owned() });
        }
        let error = read(&envelope("null", INNER)).unwrap_err();
        assert_eq!(error.to_string(), "oslo.version is \"null\"; expected \"2.0\"");
    }

    #[test]
    fn what_a_sender_left_out_is_empty() {
        let cases = [with(r#""message_id": "id", "#, ""), with(r#""id""#, "null")];
        for record in cases {
            assert_eq!(read(&record).unwrap().message_id, "", "{record}");
        }
        let least = read(r#"{"priority": "audit", "_context": {}}"#).unwrap();
        assert_eq!(
            (&*least.publisher_id, &*least.event_type, &*least.timestamp, least.payload.as_json()),
            ("", "", "", "null")
        );
    }

    #[test]
    fn strings_are_decoded_and_texts_are_kept() {
        let record = with(r#""pub""#, r#""caf\u00e9 \ud83d\ude00 \ud800""#)
            .replace(r#"{"a": 1}"#, r#"[ NaN,-Infinity, 1e400, "\ud800", "é" ]"#);
        for record in [envelope(r#""2.0""#, &record), record] {
            let found = read(&record).unwrap();
            assert_eq!(found.publisher_id, "café 😀 \u{fffd}");
            assert_eq!(found.payload.as_json(), r#"[ NaN,-Infinity, 1e400, "\ud800", "é" ]"#);
        }
        // Half a pair that the envelope's string holds itself, not the inner text's escape.
        let record =
            envelope(r#""2.0""#, &with("{\"a\": 1}", "\"LONE\"")).replace("LONE", "\\ud83d");
        assert_eq!(read(&record).unwrap().payload.as_json(), r#""\ud83d""#);
    }

    #[test]
    fn a_flattened_context_is_put_together() {
        let cases = [
            (r#""_context_user": "u""#, r#"{"user": "u"}"#),
            (r#""_context_a":[1, {}] , "_context_b" : NaN"#, r#"{"a": [1, {}], "b": NaN}"#),
            (r#""_context_\u00e9\"": 1"#, r#"{"\u00e9\"": 1}"#),
            (r#""\u005fcontext_\u00e9\"": 1"#, r#"{"\u00e9\"": 1}"#),
            (r#""_context_": 1"#, r#"{"": 1}"#),
            (r#""_context__context_x": 1"#, r#"{"_context_x": 1}"#),
        ];
        for (part, context) in cases {
            let record = with(r#""_context": {"user": "u"}"#, part);
            for record in [envelope(r#""2.0""#, &record), record] {
                for found in [decode(record.as_bytes()), decode_flattened(record.as_bytes())] {
                    assert_eq!(found.unwrap().context.as_json(), context, "{record}");
                }
            }
        }
    }

    #[test]
    fn a_flattened_empty_context_is_known_only_to_drivers_that_flatten() {
        let record = envelope(r#""2.0""#, &with(r#", "_context": {"user": "u"}"#, ""));
        assert_eq!(read(&record), Err(DecodeError::Missing { field: "_context" }));
        assert_eq!(decode_flattened(record.as_bytes()).unwrap().context, Context::empty());
        assert!(decode_flattened(b"{}").is_err());
    }

    #[test]
    fn what_is_no_notification_is_refused_with_the_reason() {
        let wrong = |name: &'static str, kind: &'static str| {
            move |error: &DecodeError| {
                matches!(error, DecodeError::WrongType { field, found, .. }
                    if *field == name && *found == kind)
            }
        };
        let is = |expected: DecodeError| move |error: &DecodeError| *error == expected;
        let no_object = |text, found| is(DecodeError::NotAnObject { text, found });
        let missing = |field| is(DecodeError::Missing { field });
        type Check = Box<dyn Fn(&DecodeError) -> bool>;
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let too_deep = || is(DecodeError::TooDeep { limit: MAX_DEPTH });
        let unknown = |given: &str| is(DecodeError::UnknownPriority { given: given.to_owned() });
        let cases: Vec<(Vec<u8>, Check)> = vec![
            (b"".into(), Box::new(is(DecodeError::Empty))),
            (b" ".into(), Box::new(not_json("record", 1))),
            (b"\0".into(), Box::new(not_json("record", 0))),
            (b"\xff\xfe{\0}\0".into(), Box::new(is(DecodeError::NotUtf8 { at: 0 }))),
            (b"{\"a\": \"\xed\xa0\x80\"}".into(), Box::new(is(DecodeError::NotUtf8 { at: 7 }))),
            (b"{\"a\": \"\xc3".into(), Box::new(is(DecodeError::NotUtf8 { at: 7 }))),
            ("\u{feff}{}".into(), Box::new(not_json("record", 0))),
            (b"plain text".into(), Box::new(not_json("record", 0))),
            (b"null".into(), Box::new(no_object("record", "null"))),
            (b"[1]".into(), Box::new(no_object("record", "list"))),
            (b"\"{}\"".into(), Box::new(no_object("record", "string"))),
            (b"12".into(), Box::new(no_object("record", "number"))),
            (b"NaN".into(), Box::new(no_object("record", "number"))),
            (b"true".into(), Box::new(no_object("record", "boolean"))),
            (b"[1".into(), Box::new(not_json("record", 2))),
            (b"{} {}".into(), Box::new(not_json("record", 3))),
            (b"{}".into(), Box::new(missing("priority"))),
            (b"{\"oslo.version\": \"2.0\"}".into(), Box::new(missing("priority"))),
            (envelope("2.0", INNER).into(), Box::new(wrong("oslo.version", "number"))),
            (envelope("[]", INNER).into(), Box::new(wrong("oslo.version", "list"))),
            (
                br#"{"oslo.version": "2.0", "oslo.message": {}}"#.into(),
                Box::new(wrong("oslo.message", "object")),
            ),
            (
                br#"{"oslo.version": "2.0", "oslo.message": null}"#.into(),
                Box::new(wrong("oslo.message", "null")),
            ),
            (
                br#"{"oslo.version": "2.0", "oslo.message": "{}}"#.into(),
                Box::new(not_json("record", 40)),
            ),
            (
                br#"{"oslo.version": "2.0", "oslo.message": "\x"}"#.into(),
                Box::new(not_json("record", 41)),
            ),
            (
                br#"{"oslo.version": "2.0", "oslo.message": "{\"a\": \"\\\ud800\"}"}"#.into(),
                Box::new(not_json("record", 53)),
            ),
            (envelope(r#""2.0""#, "").into(), Box::new(not_json("oslo.message", 0))),
            (envelope(r#""2.0""#, "\u{feff}{}").into(), Box::new(not_json("oslo.message", 0))),
            (envelope(r#""2.0""#, "{\"a\" 1}").into(), Box::new(not_json("oslo.message", 5))),
            (envelope(r#""2.0""#, "[]").into(), Box::new(no_object("oslo.message", "list"))),
            (envelope(r#""2.0""#, &json!(INNER).to_string()).into(), {
                Box::new(no_object("oslo.message", "string"))
            }),
            (with(r#"{"user": "u"}"#, "null").into(), Box::new(wrong("_context", "null"))),
            (with(r#"{"user": "u"}"#, "[]").into(), Box::new(wrong("_context", "list"))),
            (with(r#""_context""#, r#""context""#).into(), Box::new(missing("_context"))),
            (with(r#""priority": "INFO", "#, "").into(), Box::new(missing("priority"))),
            (with("\"INFO\"", "null").into(), Box::new(wrong("priority", "null"))),
            (with("INFO", "").into(), Box::new(unknown(""))),
            (with("INFO", "WARNING").into(), Box::new(unknown("WARNING"))),
            (with("INFO", r"\ud800").into(), Box::new(unknown("\u{fffd}"))),
            (with("\"id\"", "12").into(), Box::new(wrong("message_id", "number"))),
            (with("\"pub\"", "{}").into(), Box::new(wrong("publisher_id", "object"))),
            (with("\"event\"", "false").into(), Box::new(wrong("event_type", "boolean"))),
            (with("\"2026-11-22 07:00:00\"", "1.5").into(), Box::new(wrong("timestamp", "number"))),
            (with("{\"a\": 1}", &deep(MAX_DEPTH + 1)).into(), Box::new(too_deep())),
            (with("{\"a\": 1}", &deep(100_000)).into(), Box::new(too_deep())),
            (
                envelope(r#""2.0""#, &with("{\"a\": 1}", &deep(MAX_DEPTH + 1))).into(),
                Box::new(too_deep()),
            ),
            (format!("{{\"x\": {}", "[".repeat(1_000_000)).into(), Box::new(too_deep())),
            ("[".repeat(1_000_000).into(), Box::new(too_deep())),
            (
                with(
                    r#""_context": {"user": "u"}"#,
                    &format!("\"_context_x\": {}", deep(MAX_DEPTH)),
                )
                .into(),
                Box::new(too_deep()),
            ),
        ];
        assert!(cases.len() >= 25);
        for (record, expected) in cases {
            let shown = String::from_utf8_lossy(&record[..record.len().min(300)]).into_owned();
            let error = decode(&record).expect_err(&shown);
            assert!(expected(&error), "{shown}: {error:?}");
            assert!(error.to_string().len() < 200 && !error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_deepest_payload_is_read_in_every_form() {
        let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        let inner = with("{\"a\": 1}", &deep);
        for record in [envelope(r#""2.0""#, &inner), inner] {
            assert_eq!(read(&record).unwrap().payload.as_json(), deep);
        }
    }

    #[test]
    fn errors_quote_what_a_record_said_in_one_short_line() {
        let error =
            DecodeError::UnknownPriority { given: format!("\n\u{1b}[31m{}", "é".repeat(999)) };
        let text = error.to_string();
        assert!(text.starts_with(r#"priority is "\n\u{1b}[31m"#), "{text}");
        assert!(text.chars().count() < 200, "{text}");
    }
}
