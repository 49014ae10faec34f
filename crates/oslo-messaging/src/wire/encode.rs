//! Notification to bytes, in one pass over texts that are JSON already.
//!
//! The inner object never exists as a text of its own: what belongs to it is written escaped into
//! the envelope at once.

use bytes::Bytes;

use super::{CONTEXT_KEY, CONTEXT_PREFIX, ContextStyle, MESSAGE_KEY, VERSION_KEY};
use crate::message::{
    Context, Notification,
    json::{self, Class, Entries, Odd, Stops, ToEscape, copy_run, unit_digits},
};

/// Writes a notification in version 2.0, with the envelope.
///
/// Keys stand in the reference's order. All is ASCII: what is not in a payload or context, or in
/// a name, is written as `\uXXXX`, as Python's `ensure_ascii` does. White space inside payload and
/// context stays as it came.
///
/// ```
/// use oslo_messaging::{Context, Notification, Payload, Priority, wire, wire::ContextStyle};
///
/// let sent = Notification::new("p", "e", Priority::Info, Payload::null(), Context::empty());
/// let bytes = wire::encode(&sent, ContextStyle::Nested);
/// assert!(bytes.starts_with(br#"{"oslo.version": "2.0", "oslo.message": "{\"message_id\": "#));
/// assert_eq!(wire::decode(&bytes)?, sent);
/// # Ok::<(), wire::DecodeError>(())
/// ```
#[must_use]
pub fn encode(notification: &Notification, style: ContextStyle) -> Bytes {
    enveloped(text_bytes(notification), |inner| write_inner(inner, notification, style))
}

/// Puts the JSON text of an inner object, such as a binding has from its own language's encoder, into
/// the envelope of version 2.0. The text is not looked at but for what must be escaped.
///
/// ```
/// use oslo_messaging::wire;
///
/// let bytes = wire::envelope(r#"{"priority": "INFO"}"#);
/// let expected = br#"{"oslo.version": "2.0", "oslo.message": "{\"priority\": \"INFO\"}"}"#;
/// assert_eq!(bytes[..], expected[..]);
/// ```
#[must_use]
pub fn envelope(inner: &str) -> Bytes {
    enveloped(inner.len(), |out| out.json(inner))
}

/// Appends a JSON string literal in ASCII, as Python writes it: for bindings that write an inner object
/// themselves.
///
/// ```
/// let mut out = String::new();
/// oslo_messaging::wire::write_string("č\n", &mut out);
/// assert_eq!(out, r#""\u010d\n""#);
/// ```
pub fn write_string(text: &str, out: &mut String) {
    json::write_string(text, out);
}

fn enveloped(text_bytes: usize, write: impl FnOnce(&mut Inner<'_, true>)) -> Bytes {
    let mut out = Vec::with_capacity(escaped_capacity(text_bytes));
    for part in ["{\"", VERSION_KEY, "\": \"2.0\", \"", MESSAGE_KEY, "\": \""] {
        out.extend_from_slice(part.as_bytes());
    }
    write(&mut Inner::<true> { out: &mut out });
    out.extend_from_slice(b"\"}");
    Bytes::from(out)
}

/// Writes a notification in version 1.0: the inner object alone, without the envelope.
///
/// For drivers that write version 1.0 so (rabbit and amqp); on Kafka the reference envelopes that
/// too.
#[must_use]
pub fn encode_bare(notification: &Notification, style: ContextStyle) -> Bytes {
    let mut out = Vec::with_capacity(FRAME_BYTES + text_bytes(notification));
    write_inner(&mut Inner::<false> { out: &mut out }, notification, style);
    Bytes::from(out)
}

/// What keys, punctuation and priority take, escapes included.
const FRAME_BYTES: usize = 256;

fn text_bytes(notification: &Notification) -> usize {
    notification.message_id.len()
        + notification.publisher_id.len()
        + notification.event_type.len()
        + notification.payload.as_json().len()
        + notification.timestamp.len()
        + notification.context.as_json().len()
}

/// Room for one escape in five bytes; Nova's payloads have one in nine.
fn escaped_capacity(text_bytes: usize) -> usize {
    FRAME_BYTES + text_bytes + text_bytes / 5
}

fn write_inner<const ESCAPED: bool>(
    inner: &mut Inner<'_, ESCAPED>,
    notification: &Notification,
    style: ContextStyle,
) {
    inner.frame(r#"{"message_id": "#, r#"{\"message_id\": "#);
    inner.string(&notification.message_id);
    inner.frame(r#", "publisher_id": "#, r#", \"publisher_id\": "#);
    inner.string(&notification.publisher_id);
    inner.frame(r#", "event_type": "#, r#", \"event_type\": "#);
    inner.string(&notification.event_type);
    inner.frame(r#", "priority": ""#, r#", \"priority\": \""#);
    let priority = notification.priority.as_upper_str();
    inner.frame(priority, priority);
    inner.frame(r#"", "payload": "#, r#"\", \"payload\": "#);
    inner.json(notification.payload.as_json());
    inner.frame(r#", "timestamp": "#, r#", \"timestamp\": "#);
    inner.string(&notification.timestamp);
    write_context(inner, &notification.context, style);
    inner.frame("}", "}");
}

fn write_context<const ESCAPED: bool>(
    inner: &mut Inner<'_, ESCAPED>,
    context: &Context,
    style: ContextStyle,
) {
    let text = context.as_json();
    match style {
        ContextStyle::Nested => {
            inner.frame(r#", ""#, r#", \""#);
            inner.frame(CONTEXT_KEY, CONTEXT_KEY);
            inner.frame(r#"": "#, r#"\": "#);
            inner.json(text);
        }
        ContextStyle::Flattened => {
            for entry in Entries::new(text).map_while(Result::ok) {
                inner.json(", \"");
                inner.json(CONTEXT_PREFIX);
                inner.json(&entry.key[1..]);
                inner.json(": ");
                inner.json(&text[entry.start..entry.end]);
            }
        }
    }
}

/// The inner object as it is written: into the envelope's string, or as it is.
struct Inner<'a, const ESCAPED: bool> {
    out: &'a mut Vec<u8>,
}

impl<const ESCAPED: bool> Inner<'_, ESCAPED> {
    /// Writes keys and punctuation, which are given in both forms.
    #[inline]
    fn frame(&mut self, plain: &str, escaped: &str) {
        self.out.extend_from_slice(if ESCAPED { escaped } else { plain }.as_bytes());
    }

    /// Writes a string literal that says `said`.
    fn string(&mut self, said: &str) {
        // All bytes are looked at in any case: many at once is faster than the first one.
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\');
        if said.bytes().fold(true, |all, byte| all & plain(byte)) {
            self.frame("\"", "\\\"");
            self.out.extend_from_slice(said.as_bytes());
            self.frame("\"", "\\\"");
        } else {
            let mut literal = String::with_capacity(said.len() + 16);
            write_string(said, &mut literal);
            self.json(&literal);
        }
    }

    /// Copies a part of a JSON text, in ASCII.
    fn json(&mut self, text: &str) {
        if ESCAPED {
            self.copy(text, Stops::<ToEscape>::new(text.as_bytes()));
        } else {
            self.copy(text, Stops::<Odd>::new(text.as_bytes()));
        }
    }

    #[inline]
    fn copy<C: Class>(&mut self, text: &str, mut stops: Stops<'_, C>) {
        let bytes = text.as_bytes();
        // What is before `from` was written; a run goes from there to the first stop from `here` on.
        let (mut from, mut here) = (0, 0);
        loop {
            here = stops.next(here).min(bytes.len());
            copy_run(self.out, bytes, from, here);
            match bytes.get(here) {
                None => return,
                Some(b'"' | b'\\') if ESCAPED => {
                    // The next run begins with what was escaped.
                    self.out.push(b'\\');
                    from = here;
                    here += 1;
                }
                Some(_) => {
                    here = text.len() - self.odd_character(&text[here..]).len();
                    from = here;
                }
            }
        }
    }

    /// White space between values, DEL, and what is not ASCII.
    #[cold]
    fn odd_character<'t>(&mut self, text: &'t str) -> &'t str {
        let mut rest = text.chars();
        let Some(character) = rest.next() else { return "" };
        match character {
            '\n' if ESCAPED => self.out.extend_from_slice(b"\\n"),
            '\r' if ESCAPED => self.out.extend_from_slice(b"\\r"),
            '\t' if ESCAPED => self.out.extend_from_slice(b"\\t"),
            '\n' | '\r' | '\t' => self.out.push(character as u8),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    self.out.extend_from_slice(if ESCAPED { b"\\\\u" } else { b"\\u" });
                    self.out.extend_from_slice(&unit_digits(*unit));
                }
            }
        }
        rest.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Payload, Priority};

    fn notification(payload: &str, context: &str) -> Notification {
        let payload = Payload::from_json(payload).unwrap();
        let context = Context::from_json(context).unwrap();
        let mut made = Notification::new("pub", "event", Priority::Warn, payload, context);
        made.message_id = "id".to_owned();
        made.timestamp = "2026-11-22 07:00:00".to_owned();
        made
    }

    fn text(bytes: Bytes) -> String {
        assert!(bytes.is_ascii());
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn keys_stand_in_the_references_order() {
        let made = notification(r#"{"a": [1, "b"]}"#, r#"{"user": "u", "roles": []}"#);
        assert_eq!(
            text(encode_bare(&made, ContextStyle::Nested)),
            r#"{"message_id": "id", "publisher_id": "pub", "event_type": "event", "priority": "WARN", "payload": {"a": [1, "b"]}, "timestamp": "2026-11-22 07:00:00", "_context": {"user": "u", "roles": []}}"#
        );
        assert_eq!(
            text(encode(&made, ContextStyle::Nested)),
            r#"{"oslo.version": "2.0", "oslo.message": "{\"message_id\": \"id\", \"publisher_id\": \"pub\", \"event_type\": \"event\", \"priority\": \"WARN\", \"payload\": {\"a\": [1, \"b\"]}, \"timestamp\": \"2026-11-22 07:00:00\", \"_context\": {\"user\": \"u\", \"roles\": []}}"}"#
        );
    }

    #[test]
    fn a_context_can_be_flattened() {
        let tail = |context: &str| {
            let bare = text(encode_bare(&notification("null", context), ContextStyle::Flattened));
            bare.split_once(r#""2026-11-22 07:00:00""#).unwrap().1.to_owned()
        };
        assert_eq!(tail("{}"), "}");
        assert_eq!(tail(" { } "), "}");
        assert_eq!(
            tail(r#"{ "user":"u" , "r\u00f4les" : [ {"a": 1} ], "é": NaN, "": null}"#),
            r#", "_context_user": "u", "_context_r\u00f4les": [ {"a": 1} ], "_context_\u00e9": NaN, "_context_": null}"#
        );
    }

    /// A payload text, and how it stands in the inner object and in the envelope.
    const TEXTS: [(&str, &str, &str); 12] = [
        ("\"\"", r#""""#, r#"\"\""#),
        ("NaN", "NaN", "NaN"),
        ("\"é\"", r#""\u00e9""#, r#"\"\\u00e9\""#),
        ("\"😀\"", r#""\ud83d\ude00""#, r#"\"\\ud83d\\ude00\""#),
        ("\"\u{7f}\u{80}\u{2028}\"", r#""\u007f\u0080\u2028""#, r#"\"\\u007f\\u0080\\u2028\""#),
        (r#""\ud800""#, r#""\ud800""#, r#"\"\\ud800\""#),
        (r#""\"\\\n""#, r#""\"\\\n""#, r#"\"\\\"\\\\\\n\""#),
        ("[1,\r\n\t2]", "[1,\r\n\t2]", r"[1,\r\n\t2]"),
        ("\"1234567é\"", r#""1234567\u00e9""#, r#"\"1234567\\u00e9\""#),
        (
            "\"12345678901234567é\"",
            r#""12345678901234567\u00e9""#,
            r#"\"12345678901234567\\u00e9\""#,
        ),
        ("[\"\",\"\",\"\",\"\"]", r#"["","","",""]"#, r#"[\"\",\"\",\"\",\"\"]"#),
        (
            "{\"ключ\":\"é\"}",
            r#"{"\u043a\u043b\u044e\u0447":"\u00e9"}"#,
            r#"{\"\\u043a\\u043b\\u044e\\u0447\":\"\\u00e9\"}"#,
        ),
    ];

    #[test]
    fn texts_are_copied_through_in_ascii() {
        for (payload, bare, enveloped) in TEXTS {
            let made = notification(payload, "{}");
            let within = |text: String, after: &str| {
                let start = text.find("payload").unwrap();
                let end = text.find(after).unwrap();
                text[start..end].to_owned()
            };
            assert_eq!(
                within(text(encode_bare(&made, ContextStyle::Nested)), ", \"timestamp"),
                format!("payload\": {bare}")
            );
            assert_eq!(
                within(text(encode(&made, ContextStyle::Nested)), ", \\\"timestamp"),
                format!("payload\\\": {enveloped}")
            );
        }
    }

    #[test]
    fn names_are_escaped() {
        let mut made = notification("null", "{}");
        made.publisher_id = "a\"b\\c\n\u{7f}é😀".to_owned();
        let bare = text(encode_bare(&made, ContextStyle::Nested));
        assert!(bare.contains(r#""publisher_id": "a\"b\\c\n\u007f\u00e9\ud83d\ude00", "event"#));
        let enveloped = text(encode(&made, ContextStyle::Nested));
        let expected = r#"\"a\\\"b\\\\c\\n\\u007f\\u00e9\\ud83d\\ude00\", \"event"#;
        assert!(enveloped.contains(expected), "{enveloped}");
    }

    #[test]
    fn a_usual_notification_is_written_without_growing() {
        // One escape in six bytes: more than in any of Nova's payloads.
        let payload = format!("{{{}}}", ["\"uuid_of_it\": \"a value\""; 100].join(", "));
        let made = notification(&payload, "{}");
        let written = encode(&made, ContextStyle::Nested).len();
        assert!(written <= escaped_capacity(text_bytes(&made)), "{written}");
    }
}
