//! A record as one line for people.
//!
//! Notifications come from elsewhere: nothing of them reaches a terminal as a control character.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use oslo_messaging::{Notification, Priority, kafka::Record, wire::DecodeError};

use super::mask::MASK;
use crate::json::{Part, parts, string};

const PLAIN: Style = Style::new();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const PUBLISHER: Style = AnsiColor::Cyan.on_default();
const BROKEN: Style = AnsiColor::Red.on_default();

/// Most characters of the payload's summary, and of one value in it.
const SUMMARY_CHARACTERS: usize = 120;
const VALUE_CHARACTERS: usize = 48;
/// Keys that say most about a notification, in this order.
const TELLING: [&str; 14] = [
    "display_name",
    "name",
    "state",
    "status",
    "old_state",
    "message",
    "reason",
    "fault",
    "host",
    "instance_id",
    "uuid",
    "id",
    "resource_id",
    "action",
];
/// Values under keys with one of these words in them are not shown.
const SECRET: [&str; 6] = ["password", "passwd", "passphrase", "token", "secret", "credential"];

/// Time, priority, publisher, event type, and a summary of the payload; no line end.
pub(crate) fn line(
    record: Option<&Record>,
    content: Result<&Notification, &DecodeError>,
    styled: bool,
) -> String {
    let paint = |text: &str, style: Style| {
        let style = if styled { style } else { PLAIN };
        format!("{style}{}{style:#}", clean(text))
    };
    match content {
        Ok(notification) => {
            let priority = format!("{:<8}", notification.priority.as_upper_str());
            format!(
                "{} {} {} {} {}",
                paint(time(&notification.timestamp), DIM),
                paint(&priority, priority_style(notification.priority)),
                paint(or_dash(&notification.publisher_id), PUBLISHER),
                paint(or_dash(&notification.event_type), BOLD),
                summary(notification.payload.as_json()),
            )
            .trim_end()
            .to_owned()
        }
        Err(error) => {
            let place = record.map_or_else(String::new, |record| format!("{}: ", record.origin));
            paint(&format!("{place}not an oslo message: {error}"), BROKEN)
        }
    }
}

/// A timestamp without what is finer than milliseconds.
fn time(timestamp: &str) -> &str {
    let end = if timestamp.is_ascii() { timestamp.len().min(23) } else { timestamp.len() };
    or_dash(&timestamp[..end])
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn priority_style(priority: Priority) -> Style {
    match priority {
        Priority::Debug | Priority::Sample => DIM,
        Priority::Info => AnsiColor::Green.on_default(),
        Priority::Audit => AnsiColor::Magenta.on_default(),
        Priority::Warn => AnsiColor::Yellow.on_default(),
        Priority::Error => AnsiColor::Red.on_default(),
        Priority::Critical => AnsiColor::Red.on_default().bold(),
    }
}

/// What a payload tells, in a few words: its scalars as `key=value`, the telling ones first.
fn summary(payload: &str) -> String {
    let payload = heart(payload);
    if !payload.starts_with('{') {
        return shortened(&scalar(payload).unwrap_or_default(), SUMMARY_CHARACTERS);
    }
    let rank = |key: &str| TELLING.iter().position(|known| *known == key).unwrap_or(TELLING.len());
    let mut pairs: Vec<(Cow<'_, str>, String)> = parts(payload)
        .filter_map(|part| {
            let value = scalar(&payload[part.range])?;
            let key = part.key?;
            let value = if is_secret(&key) { MASK.to_owned() } else { value };
            Some((key, value))
        })
        .collect();
    pairs.sort_by_key(|(key, _)| rank(key));
    let mut text = String::new();
    for (key, value) in pairs {
        let value = shortened(&value, VALUE_CHARACTERS);
        let quote = if value.contains([' ', '=']) { "\"" } else { "" };
        let pair = format!("{}={quote}{value}{quote}", clean(&key));
        if text.chars().count() + pair.chars().count() >= SUMMARY_CHARACTERS {
            text.push_str(if text.is_empty() { "…" } else { " …" });
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&pair);
    }
    text
}

/// The object that tells something: the data of a versioned object, or what stands alone in its
/// wrapper, as neutron's `{"port": {...}}`.
fn heart(payload: &str) -> &str {
    let mut heart = payload.trim();
    for _ in 0..3 {
        let is_data =
            |part: &Part<'_>| part.key.as_deref().is_some_and(|key| key.ends_with("_object.data"));
        let data = parts(heart).find(is_data).map(|part| &heart[part.range]);
        let mut all = parts(heart);
        let alone = match (all.next(), all.next()) {
            (Some(part), None) if part.key.as_deref().is_some_and(|key| !is_secret(key)) => {
                Some(&heart[part.range])
            }
            _ => None,
        };
        match data.or(alone).filter(|inner| inner.starts_with('{')) {
            Some(inner) => heart = inner,
            None => break,
        }
    }
    heart
}

/// The text of a value that is neither empty nor null nor made of others.
fn scalar(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'{' | b'[' | b'n' => None,
        b'"' => string(json).filter(|text| !text.is_empty()).map(|text| clean(&text).into_owned()),
        _ => Some(json.to_owned()),
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET.iter().any(|word| key.contains(word))
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text in which nothing moves a cursor, changes a colour or turns the direction of writing.
fn clean(text: &str) -> Cow<'_, str> {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => " ".to_owned(),
            c if odd(c) => c.escape_unicode().to_string(),
            c => c.to_string(),
        })
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::{line, summary};
    use oslo_messaging::{Context, Notification, Payload, Priority, wire};

    fn notification(payload: &str) -> Notification {
        let mut notification = Notification::new(
            "compute.host1",
            "a.b",
            Priority::Error,
            Payload::from_json(payload).unwrap(),
            Context::empty(),
        );
        notification.timestamp = "2026-11-22 07:51:26.123456".to_owned();
        notification
    }

    #[test]
    fn a_line_has_time_priority_publisher_event_and_summary() {
        let shown = line(None, Ok(&notification(r#"{"id": 7, "state": "on"}"#)), false);
        assert_eq!(shown, "2026-11-22 07:51:26.123 ERROR    compute.host1 a.b state=on id=7");
        let styled = line(None, Ok(&notification("{}")), true);
        assert!(styled.contains("\u{1b}["), "{styled}");
        let broken = line(None, Err(&wire::decode(b"x").unwrap_err()), false);
        assert!(broken.starts_with("not an oslo message: "), "{broken}");
    }

    #[test]
    fn a_summary_shows_scalars_and_no_secret() {
        for (payload, expected) in [
            ("{}", ""),
            ("null", ""),
            ("\"free text\"", "free text"),
            ("12.50", "12.50"),
            (r#"{"a": null, "b": "", "c": [], "d": {}, "e": 0}"#, "e=0"),
            (r#"{"z": 1, "name": "n n"}"#, "name=\"n n\" z=1"),
            (
                r#"{"adminPassword": "x", "auth_TOKEN": 1, "my_secret": true}"#,
                "adminPassword=*** auth_TOKEN=*** my_secret=***",
            ),
            (r#"{"port": {"id": 1}}"#, "id=1"),
            (r#"{"nova_object.name": "X", "nova_object.data": {"uuid": "u"}}"#, "uuid=u"),
            (
                r#"{"n": NaN, "big": 123456789012345678901234567890}"#,
                "n=NaN big=123456789012345678901234567890",
            ),
        ] {
            assert_eq!(summary(payload), expected, "{payload}");
        }
        let long = format!("{{\"a\": \"{}\", \"b\": \"{0}\", \"c\": \"{0}\"}}", "x".repeat(60));
        assert_eq!(summary(&long).chars().count(), 50 + 2 + 51 + 2);
    }

    #[test]
    fn nothing_of_a_notification_controls_the_terminal() {
        let mut odd = notification(r#"{"a\u001b[2J": "\u009b31m\u202ex\ny"}"#);
        odd.publisher_id = "p\u{1b}]0;x\u{7}".to_owned();
        odd.timestamp = "\u{1b}c".to_owned();
        let shown = line(None, Ok(&odd), false);
        assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(shown.contains("\\u{1b}[2J=\"\\u{9b}31m\\u{202e}x y\""), "{shown}");
    }
}
