//! Which part of a notification is its record's key: the option `message_key`.
//!
//! Records of one key stay in order, where the broker keeps order at all. Called by the sinks,
//! with what the driver says of itself ([`Driver::message_key`](crate::driver::Driver::message_key)).

use bytes::Bytes;

use crate::message::{
    Notification,
    json::{Entries, skip_space, string_value},
};

/// Keys of a context that name its project, the one that wins first; the later ones are those of
/// oslo.context and of what came before it.
const PROJECT_KEYS: [&str; 4] = ["project_id", "project", "tenant_id", "tenant"];

/// Where a record's key is taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageKey {
    /// No key: any order, any partition. As oslo.messaging.
    #[default]
    None,
    /// The publisher, such as `compute.host1`.
    PublisherId,
    /// The event type, such as `compute.instance.create.end`.
    EventType,
    /// The context's project.
    ProjectId,
    /// A value of the payload by its dotted path, such as `instance_id` or
    /// `nova_object.data.uuid`.
    Payload(String),
}

impl MessageKey {
    /// Reads the option's value: `none`, `publisher_id`, `event_type`, `project_id` or
    /// `payload:PATH`. The table of options has refused anything else before.
    #[cfg(feature = "kafka")]
    pub(crate) fn from_option(value: &str) -> Self {
        match value {
            "publisher_id" => Self::PublisherId,
            "event_type" => Self::EventType,
            "project_id" => Self::ProjectId,
            other => match other.strip_prefix("payload:") {
                Some(path) => Self::Payload(path.to_owned()),
                None => Self::None,
            },
        }
    }

    /// The key of a notification; `None` where it lacks the value, or where that is empty, `null`,
    /// a list or an object.
    ///
    /// Payload and context are scanned as the text that they are; no tree is built.
    #[must_use]
    pub fn of(&self, notification: &Notification) -> Option<Bytes> {
        let text = match self {
            Self::None => return None,
            Self::PublisherId => notification.publisher_id.clone(),
            Self::EventType => notification.event_type.clone(),
            Self::ProjectId => {
                let context = notification.context.as_json();
                PROJECT_KEYS.iter().find_map(|key| scalar_at(context, key))?
            }
            Self::Payload(path) => scalar_at(notification.payload.as_json(), path)?,
        };
        (!text.is_empty()).then(|| Bytes::from(text))
    }
}

/// The string, number or boolean at a dotted path. Keys may contain dots themselves: the longest
/// one that leads to a value counts. Of repeated keys the last one does.
fn scalar_at(text: &str, path: &str) -> Option<String> {
    let text = &text[skip_space(text.as_bytes(), 0)..];
    let mut found: Option<(usize, String)> = None;
    for entry in Entries::new(text).map_while(Result::ok) {
        let key = string_value(entry.key);
        let Some(rest) = path.strip_prefix(&*key) else { continue };
        if found.as_ref().is_some_and(|(length, _)| *length > key.len()) {
            continue;
        }
        let value = &text[entry.start..entry.end];
        let value = match rest.strip_prefix('.') {
            None if rest.is_empty() => scalar(value),
            None => continue,
            Some(rest) => scalar_at(value, rest),
        };
        match value {
            Some(value) => found = Some((key.len(), value)),
            // A repeated key takes back what the former one gave.
            None => drop(found.take_if(|(length, _)| *length == key.len())),
        }
    }
    found.map(|(_, value)| value)
}

fn scalar(value: &str) -> Option<String> {
    match value.as_bytes().first()? {
        b'"' => Some(string_value(value).into_owned()),
        b'{' | b'[' | b'n' => None,
        _ => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::MessageKey;
    use crate::message::{Context, Notification, Payload, Priority};

    fn notification(payload: &str, context: &str) -> Notification {
        let payload = Payload::from_json(payload).unwrap();
        let context = Context::from_json(context).unwrap();
        Notification::new("compute.host1", "a.b", Priority::Info, payload, context)
    }

    #[test]
    fn a_key_is_the_text_at_its_path_or_nothing() {
        let payload = r#" {"instance_id": "i-1", "n": 12, "b": true, "f": 1.50, "e": "", "z": null,
            "l": [1], "o": {"x": {"y": "deep"}}, "s": "\u00e9\n", "twice": "1", "twice": "2",
            "gone": "1", "gone": null,
            "nova_object.data": {"uuid": "u-1"}, "nova_object": {"data": "short"}}"#;
        for (path, key) in [
            ("instance_id", Some("i-1")),
            ("n", Some("12")),
            ("b", Some("true")),
            ("f", Some("1.50")),
            ("o.x.y", Some("deep")),
            ("s", Some("é\n")),
            ("twice", Some("2")),
            ("nova_object.data.uuid", Some("u-1")),
            ("nova_object.data", Some("short")),
            ("gone", None),
            ("e", None),
            ("z", None),
            ("l", None),
            ("o", None),
            ("o.x", None),
            ("o.x.y.z", None),
            ("instance", None),
            ("missing", None),
        ] {
            let found = MessageKey::Payload(path.to_owned()).of(&notification(payload, "{}"));
            assert_eq!(found.as_deref(), key.map(str::as_bytes), "{path}");
        }
        for payload in ["null", "[1]", "\"text\"", "5", "{}"] {
            let key = MessageKey::Payload("a".to_owned());
            assert_eq!(key.of(&notification(payload, "{}")), None, "{payload}");
        }
    }

    #[test]
    fn publisher_event_type_and_project_are_keys() {
        let made = notification("1", r#"{"tenant": "old", "project_id": "p-1"}"#);
        for (key, expected) in [
            (MessageKey::PublisherId, Some("compute.host1")),
            (MessageKey::EventType, Some("a.b")),
            (MessageKey::ProjectId, Some("p-1")),
            (MessageKey::None, None),
        ] {
            assert_eq!(key.of(&made).as_deref(), expected.map(str::as_bytes), "{key:?}");
        }
        let older = notification("1", r#"{"project_id": null, "tenant": "old"}"#);
        assert_eq!(MessageKey::ProjectId.of(&older).as_deref(), Some(&b"old"[..]));
        assert_eq!(MessageKey::ProjectId.of(&notification("1", "{}")), None);
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn the_option_names_them() {
        for (value, key) in [
            ("none", MessageKey::None),
            ("publisher_id", MessageKey::PublisherId),
            ("event_type", MessageKey::EventType),
            ("project_id", MessageKey::ProjectId),
            ("payload:a.b", MessageKey::Payload("a.b".to_owned())),
        ] {
            assert_eq!(MessageKey::from_option(value), key);
        }
    }
}
