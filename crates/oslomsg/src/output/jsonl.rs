//! A record as one JSON object: the schema of `tail --output jsonl`, version 1.

use base64::{Engine, engine::general_purpose::STANDARD};
use oslo_messaging::{Notification, kafka::Record, wire::DecodeError};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::json::{literal, member, string};

/// The object, without a line end inside or after it. Payload and context keep their text.
///
/// A record that is no notification has `error` and `value_base64` in place of the notification's
/// keys. What is not known is null.
pub(super) fn object(
    record: Option<&Record>,
    content: Result<&Notification, &DecodeError>,
    show_undecodable: bool,
) -> String {
    let mut out = Object { text: String::with_capacity(1024) };
    out.text.push_str("{\"schema_version\":1");
    let origin = record.map(|record| &record.origin);
    out.add("topic", origin.map(|origin| literal(&origin.topic)));
    out.add("partition", origin.map(|origin| origin.partition.to_string()));
    out.add("offset", origin.map(|origin| origin.offset.to_string()));
    let millis = origin.and_then(|origin| origin.timestamp_millis);
    out.add("broker_timestamp", millis.and_then(rfc3339).map(|time| literal(&time)));
    let key = record.and_then(|record| record.key.as_deref());
    out.add("key", key.map(|key| literal(&text_of(key))));
    out.add("headers", Some(headers(record)));
    match content {
        Ok(notification) => {
            out.add("envelope", record.and_then(envelope).map(|version| literal(&version)));
            out.add("message_id", Some(literal(&notification.message_id)));
            out.add("publisher_id", Some(literal(&notification.publisher_id)));
            out.add("event_type", Some(literal(&notification.event_type)));
            out.add("priority", Some(literal(notification.priority.as_upper_str())));
            out.add("timestamp", Some(literal(&notification.timestamp)));
            out.add("payload", Some(on_one_line(notification.payload.as_json())));
            out.add("context", Some(on_one_line(notification.context.as_json())));
        }
        Err(error) => {
            let body = record.and_then(|record| record.body.as_deref());
            let note = if show_undecodable { "" } else { " (--mask cannot look into its value)" };
            out.add("error", Some(literal(&format!("not an oslo message: {error}{note}"))));
            let shown = body.filter(|_| show_undecodable);
            out.add("value_base64", shown.map(|body| literal(&STANDARD.encode(body))));
        }
    }
    out.text.push('}');
    out.text
}

struct Object {
    text: String,
}

impl Object {
    fn add(&mut self, key: &str, json: Option<String>) {
        self.text.push_str(",\"");
        self.text.push_str(key);
        self.text.push_str("\":");
        self.text.push_str(json.as_deref().unwrap_or("null"));
    }
}

/// In JSON a line end can only stand between tokens, where a space does as well.
fn on_one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// Bytes as text; what is not UTF-8 is said to be base64.
fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", STANDARD.encode(bytes)),
    }
}

fn headers(record: Option<&Record>) -> String {
    let all = record.map(|record| &record.headers[..]).unwrap_or_default();
    let shown: Vec<String> = all
        .iter()
        .map(|(name, value)| format!("{}:{}", literal(name), literal(&text_of(value))))
        .collect();
    format!("{{{}}}", shown.join(","))
}

/// The version of the envelope around a notification that was decoded, if there is one.
fn envelope(record: &Record) -> Option<String> {
    let body = std::str::from_utf8(record.body.as_deref()?).ok()?;
    member(body, "oslo.message")?;
    string(member(body, "oslo.version")?).map(|version| version.into_owned())
}

fn rfc3339(millis: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::{object, rfc3339, text_of};
    use oslo_messaging::{Context, Notification, Payload, Priority};

    #[test]
    fn payload_and_context_keep_their_text() {
        let payload = r#"{"n": NaN, "big": 12345678901234567890123, "s": "\ud800é"}"#;
        let mut notification = Notification::new(
            "pub\"",
            "a.b",
            Priority::Warn,
            Payload::from_json(payload).unwrap(),
            Context::from_json("{ \"user\":1.0e5 }").unwrap(),
        );
        notification.message_id = "m".to_owned();
        notification.timestamp = "2026-11-22 07:51:26.123456".to_owned();
        let expected = format!(
            "{{\"schema_version\":1,\"topic\":null,\"partition\":null,\"offset\":null,\
             \"broker_timestamp\":null,\"key\":null,\"headers\":{{}},\"envelope\":null,\
             \"message_id\":\"m\",\"publisher_id\":\"pub\\\"\",\"event_type\":\"a.b\",\
             \"priority\":\"WARN\",\"timestamp\":\"2026-11-22 07:51:26.123456\",\
             \"payload\":{payload},\"context\":{{ \"user\":1.0e5 }}}}"
        );
        assert_eq!(object(None, Ok(&notification), true), expected);
    }

    #[test]
    fn times_are_rfc_3339_and_bytes_are_text_where_they_can_be() {
        assert_eq!(rfc3339(1_795_333_886_100).unwrap(), "2026-11-22T07:51:26.1Z");
        assert_eq!(rfc3339(i64::MAX), None);
        assert_eq!((text_of("é".as_bytes()), text_of(&[255])), ("é".into(), "base64:/w==".into()));
    }
}
