//! Which notifications an endpoint wants.
//!
//! A filter is asked by the dispatcher for each notification and endpoint; it reads a notification
//! and changes nothing. What its expressions mean is the affair of [`super::pattern`].

use std::collections::BTreeMap;

use super::pattern::Pattern;
use crate::error::Error;
use crate::message::Notification;

/// Lets those notifications pass that match every rule given; without rules, all.
///
/// A rule is a regular expression with the meaning of Python's `re.match`: it has to match from
/// the start of the text, not to its end (`compute` lets `compute.host1` pass), and `$` also
/// stands before a newline that ends the text. Rules are for `publisher_id`, for `event_type`, and
/// for keys of the context, of the metadata (`message_id` and `timestamp`) and of the payload. Keys
/// are looked up at the top level. A key that is missing, or whose value is not a string, does not
/// match.
///
/// ```
/// use oslo_messaging::{Context, Notification, NotificationFilter, Payload, Priority};
///
/// let filter = NotificationFilter::builder()
///     .publisher_id("^compute.*")
///     .event_type(r"^compute\.instance\..*\.end$")
///     .payload("state", "^active$")
///     .build()?;
///
/// let payload = Payload::from_json(r#"{"state": "active"}"#)?;
/// let event_type = "compute.instance.create.end";
/// let notification =
///     Notification::new("compute.host1", event_type, Priority::Info, payload, Context::empty());
/// assert!(filter.matches(&notification));
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
///
/// An expression without look-around, references and atomic parts takes time that grows with the
/// text alone. Another one can take very long for some texts: it is given up after 1,000,000 ways
/// that led nowhere, the notification does not pass, and a warning says which rule it was.
///
/// Mirrors `NotificationFilter` of `oslo_messaging/notify/filter.py`. Differs on purpose: with a
/// rule for the payload, a payload that is `null` or no object does not match (there: `TypeError`,
/// and the notification comes again and again); `\N{...}` is refused.
#[derive(Clone, Debug, Default)]
pub struct NotificationFilter {
    publisher_id: Option<Pattern>,
    event_type: Option<Pattern>,
    context: Vec<(String, Pattern)>,
    metadata: Vec<(String, Pattern)>,
    payload: Vec<(String, Pattern)>,
}

impl NotificationFilter {
    /// Begins a filter without rules.
    #[must_use]
    pub fn builder() -> NotificationFilterBuilder {
        NotificationFilterBuilder::default()
    }

    /// Whether `notification` matches every rule.
    #[must_use]
    pub fn matches(&self, notification: &Notification) -> bool {
        let is_match = |rule: &Option<Pattern>, text: &str| {
            rule.as_ref().is_none_or(|pattern| pattern.is_match_at_start(text))
        };
        is_match(&self.publisher_id, &notification.publisher_id)
            && is_match(&self.event_type, &notification.event_type)
            && self.context.iter().all(|(key, pattern)| {
                let text = notification.context.string_at(key);
                text.is_some_and(|text| pattern.is_match_at_start(&text))
            })
            && self.metadata.iter().all(|(key, pattern)| {
                let text = match key.as_str() {
                    "message_id" => &notification.message_id,
                    "timestamp" => &notification.timestamp,
                    _ => return false,
                };
                pattern.is_match_at_start(text)
            })
            && self.payload.iter().all(|(key, pattern)| {
                let text = notification.payload.string_at(key);
                text.is_some_and(|text| pattern.is_match_at_start(&text))
            })
    }
}

/// The rules of a [`NotificationFilter`] to be; of two for the same place, the later one holds.
#[derive(Clone, Debug, Default)]
pub struct NotificationFilterBuilder {
    publisher_id: Option<String>,
    event_type: Option<String>,
    context: BTreeMap<String, String>,
    metadata: BTreeMap<String, String>,
    payload: BTreeMap<String, String>,
}

impl NotificationFilterBuilder {
    /// Asks for publishers such as `^compute\.`.
    #[must_use]
    pub fn publisher_id(mut self, pattern: impl Into<String>) -> Self {
        self.publisher_id = Some(pattern.into());
        self
    }

    /// Asks for event types such as `^compute\.instance\..*`.
    #[must_use]
    pub fn event_type(mut self, pattern: impl Into<String>) -> Self {
        self.event_type = Some(pattern.into());
        self
    }

    /// Asks for a context whose `key`, such as `project_id`, is a string that matches.
    #[must_use]
    pub fn context(mut self, key: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.context.insert(key.into(), pattern.into());
        self
    }

    /// Asks for a `message_id` or a `timestamp` (such as `2026-11-22 07:00:00.123456`).
    ///
    /// There is no other metadata: a rule for another key lets nothing pass, as in the reference,
    /// and [`build`](Self::build) logs a warning.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), pattern.into());
        self
    }

    /// Asks for a payload that is an object whose `key`, such as `state`, is a string that matches.
    #[must_use]
    pub fn payload(mut self, key: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.payload.insert(key.into(), pattern.into());
        self
    }

    /// Compiles the rules.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPattern`] for the first expression that Python's `re` would refuse, with the
    /// position and the reason that Python gives, or that is too large to compile.
    pub fn build(self) -> Result<NotificationFilter, Error> {
        for key in self.metadata.keys().filter(|key| *key != "message_id" && *key != "timestamp") {
            tracing::warn!(key, "a filter asks for metadata other than message_id and timestamp");
        }
        let one = |field: &str, rule: Option<String>| {
            rule.map(|rule| Pattern::new(field, &rule)).transpose()
        };
        Ok(NotificationFilter {
            publisher_id: one("publisher_id", self.publisher_id)?,
            event_type: one("event_type", self.event_type)?,
            context: compiled("context", self.context)?,
            metadata: compiled("metadata", self.metadata)?,
            payload: compiled("payload", self.payload)?,
        })
    }
}

fn compiled(field: &str, rules: BTreeMap<String, String>) -> Result<Vec<(String, Pattern)>, Error> {
    rules
        .into_iter()
        .map(|(key, rule)| {
            let pattern = Pattern::new(&format!("{field}.{key}"), &rule)?;
            Ok((key, pattern))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Context, Payload, Priority};

    fn notification(payload: &str) -> Notification {
        let mut notification = Notification::new(
            "compute.host1",
            "compute.instance.create.end",
            Priority::Info,
            Payload::from_json(payload).unwrap(),
            Context::from_json(r#"{"tenant": "5f643cfc", "roles": ["private"], "is_admin": true}"#)
                .unwrap(),
        );
        notification.message_id = "0d2a7b9e-6f0c-4b7c-9a53-0e1b5a8c3f11".to_owned();
        notification.timestamp = "2026-11-22 07:00:00.123456".to_owned();
        notification
    }

    #[test]
    fn all_rules_must_match_from_the_start() {
        let active = notification(r#"{"state": "active", "size": 3, "flavor": {"name": "m1"}}"#);
        let filter = NotificationFilter::builder;
        for (rules, expected) in [
            (filter(), true),
            (filter().publisher_id("^compute.*"), true),
            (filter().publisher_id("host1"), false),
            (filter().event_type(r"compute\.instance"), true),
            (filter().event_type(r"^compute\.instance\..*\.start$"), false),
            (filter().context("tenant", "^5f643cfc$"), true),
            (filter().context("tenant", "643"), false),
            (filter().context("roles", "private"), false),
            (filter().context("is_admin", ".*"), false),
            (filter().context("user", ".*"), false),
            (filter().metadata("message_id", "0d2a7b9e-"), true),
            (filter().metadata("timestamp", r"2026-11-\d\d "), true),
            (filter().metadata("timestamp", "Aug"), false),
            (filter().metadata("priority", ".*"), false),
            (filter().payload("state", "^active$"), true),
            (filter().payload("state", "^error$"), false),
            (filter().payload("size", "3"), false),
            (filter().payload("name", "m1"), false),
            (filter().payload("flavor.name", "m1"), false),
            (filter().publisher_id("compute").payload("state", "active"), true),
            (filter().publisher_id("compute").payload("state", "error"), false),
            (filter().publisher_id("network").payload("state", "active"), false),
            (filter().payload("state", "error").payload("state", "active"), true),
        ] {
            let filter = rules.clone().build().unwrap();
            assert_eq!(filter.matches(&active), expected, "{rules:?}");
        }
    }

    #[test]
    fn a_payload_that_is_no_object_matches_no_rule_for_the_payload() {
        let with = NotificationFilter::builder().payload("state", "").build().unwrap();
        let without = NotificationFilter::builder().event_type("compute").build().unwrap();
        for payload in ["null", "[]", r#"["state"]"#, r#""state""#, "3", "{}", r#"{"state": null}"#]
        {
            assert!(!with.matches(&notification(payload)), "{payload}");
            assert!(without.matches(&notification(payload)), "{payload}");
        }
        assert!(with.matches(&notification(r#"{"state": ""}"#)));
    }

    #[test]
    fn the_first_pattern_that_python_refuses_is_named() {
        let rules = NotificationFilter::builder().publisher_id("a").payload("state", r"\p{L}");
        assert_eq!(
            rules.build().unwrap_err().to_string(),
            "filter payload.state: pattern \"\\p{L}\": character 0: bad escape \\p"
        );
        for rules in [
            NotificationFilter::builder().publisher_id("("),
            NotificationFilter::builder().event_type("("),
            NotificationFilter::builder().context("k", "("),
            NotificationFilter::builder().metadata("timestamp", "("),
        ] {
            assert!(rules.build().is_err());
        }
    }
}
