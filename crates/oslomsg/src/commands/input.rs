//! Notifications as JSON lines: what `tail --output jsonl` writes and the corpus holds.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use oslo_messaging::{Context, Error, Notification, Payload, Priority};

use crate::{
    exit::{Exit, Failure},
    json::{member, string},
};

/// Lines that are read ahead of their sending.
const AHEAD: usize = 256;

/// What a line that lacks a key gets.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) publisher_id: String,
    pub(crate) event_type: String,
    pub(crate) priority: Priority,
    pub(crate) context: Context,
}

impl Defaults {
    /// A notification of now.
    pub(crate) fn notification(&self, payload: Payload) -> Notification {
        Notification::new(
            self.publisher_id.as_str(),
            self.event_type.as_str(),
            self.priority,
            payload,
            self.context.clone(),
        )
    }

    /// Reads one line; keys it does not know are left alone.
    ///
    /// # Errors
    ///
    /// Why the line is no notification.
    pub(crate) fn read(&self, line: &str) -> Result<Notification, String> {
        let checked = Payload::from_json(line).map_err(|error| match error {
            Error::InvalidJson { at, reason, .. } => format!("not JSON: byte {at}: {reason}"),
            other => other.to_string(),
        })?;
        let line = checked.as_json();
        if !line.trim_start().starts_with('{') {
            return Err("not a JSON object".to_owned());
        }
        if let Some(version) = member(line, "schema_version").filter(|version| *version != "1") {
            return Err(format!("schema_version {version} is not known; expected 1"));
        }
        let text = |key: &'static str| match member(line, key) {
            None | Some("null") => Ok(None),
            Some(json) => match string(json) {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(format!("{key} is not a string")),
            },
        };
        let Some(payload) = member(line, "payload") else {
            let error = text("error")?.map_or_else(String::new, |error| format!(": {error}"));
            return Err(format!("no notification, payload is missing{error}"));
        };
        let payload = Payload::from_json(payload).map_err(|error| error.to_string())?;
        let mut notification = self.notification(payload);
        for (key, field) in [
            ("message_id", &mut notification.message_id),
            ("publisher_id", &mut notification.publisher_id),
            ("event_type", &mut notification.event_type),
            ("timestamp", &mut notification.timestamp),
        ] {
            if let Some(given) = text(key)? {
                *field = given;
            }
        }
        if let Some(priority) = text("priority")? {
            notification.priority = priority.parse().map_err(|error: Error| error.to_string())?;
        }
        if let Some(context) = member(line, "context").filter(|json| *json != "null") {
            notification.context =
                Context::from_json(context).map_err(|error| error.to_string())?;
        }
        Ok(notification)
    }
}

/// Reads a file, or standard input for `-`, on a thread of its own, so that a slow pipe holds
/// nobody up. The channel closes at the end of the file, or after a fault of it.
///
/// # Errors
///
/// Code 66 when the file cannot be opened.
pub(crate) fn lines(path: &Path) -> Result<Receiver<io::Result<Vec<u8>>>, Failure> {
    let file: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::file(path, &error))?)
    };
    let mut reader = BufReader::new(file);
    let (sender, receiver) = sync_channel(AHEAD);
    let read = move || {
        loop {
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line);
            let last = !matches!(read, Ok(1..));
            if matches!(read, Ok(0)) || sender.send(read.map(|_| line)).is_err() || last {
                return;
            }
        }
    };
    let started = thread::Builder::new().name("input".to_owned()).spawn(read);
    started.map_err(|error| Failure::new(Exit::Bug, format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::Defaults;
    use oslo_messaging::{Context, Priority};

    fn defaults() -> Defaults {
        Defaults {
            publisher_id: "p".to_owned(),
            event_type: "e".to_owned(),
            priority: Priority::Sample,
            context: Context::from_json("{\"d\": 1}").unwrap(),
        }
    }

    #[test]
    fn a_line_keeps_its_values_as_text() {
        let line = r#"{"schema_version": 1, "topic": "t", "message_id": "m", "publisher_id": "q",
            "event_type": "", "priority": "WARN", "timestamp": "then", "unknown": [],
            "payload": {"a": [NaN, 1e999, 12345678901234567890123]}, "context": { }}"#;
        let read = defaults().read(line).unwrap();
        assert_eq!(read.payload.as_json(), r#"{"a": [NaN, 1e999, 12345678901234567890123]}"#);
        assert_eq!(read.context.as_json(), "{ }");
        assert_eq!(
            (&*read.message_id, &*read.publisher_id, &*read.event_type, &*read.timestamp),
            ("m", "q", "", "then")
        );
        assert_eq!(read.priority, Priority::Warn);
    }

    #[test]
    fn what_a_line_lacks_is_as_by_default() {
        let read = defaults().read(r#"{"payload": 1, "context": null}"#).unwrap();
        assert_eq!((&*read.publisher_id, &*read.event_type), ("p", "e"));
        assert_eq!((read.priority, read.context.as_json()), (Priority::Sample, "{\"d\": 1}"));
        assert!(!read.message_id.is_empty() && !read.timestamp.is_empty());
    }

    #[test]
    fn a_bad_line_says_what_is_wrong() {
        for (line, words) in [
            ("", "not JSON: byte 0"),
            ("{\"payload\": }", "not JSON: byte 12"),
            ("[1]", "not a JSON object"),
            ("{}", "payload is missing"),
            (r#"{"error": "no", "value_base64": ""}"#, "payload is missing: no"),
            (r#"{"payload": 1, "message_id": 2}"#, "message_id is not a string"),
            (r#"{"payload": 1, "priority": "loud"}"#, "unknown priority \"loud\""),
            (r#"{"payload": 1, "context": []}"#, "expected an object"),
            (r#"{"payload": 1, "schema_version": 2}"#, "schema_version 2 is not known"),
        ] {
            let error = defaults().read(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
