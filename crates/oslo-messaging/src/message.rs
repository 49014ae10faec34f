//! The data: a notification, its priority, its payload and its context.
//!
//! Plain values without I/O. How they become bytes is in [`crate::wire`]; where they go is no
//! concern of theirs. Everything else in the library hands these around.

pub(crate) mod json;
mod priority;
mod read;
mod text;
mod write;

use time::OffsetDateTime;
use uuid::Uuid;

pub use priority::Priority;
pub use text::{Context, Payload};

/// An event that a service tells to whoever listens.
///
/// ```
/// use oslo_messaging::{Context, Notification, Payload, Priority};
///
/// let notification = Notification::new(
///     "compute.host1",
///     "compute.instance.create.end",
///     Priority::Info,
///     Payload::from_json(r#"{"instance_id": "i-1"}"#)?,
///     Context::empty(),
/// );
/// assert_eq!(notification.payload.string_at("instance_id").as_deref(), Some("i-1"));
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
///
/// Mirrors the dictionary that `_notify` of `oslo_messaging/notify/notifier.py` makes, with the
/// context that travels in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// Names this notification among all, such as `0d2a7b9e-6f0c-4b7c-9a53-0e1b5a8c3f11`; empty
    /// when the sender gave none.
    pub message_id: String,
    /// The service and host that tell it, such as `compute.host1`; empty when the sender gave none.
    pub publisher_id: String,
    /// What happened, such as `compute.instance.create.end`; empty when the sender gave none.
    pub event_type: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What there is to tell; `null` when the sender gave none.
    pub payload: Payload,
    /// When it was made, in UTC as Python prints it: `2026-11-22 07:00:00.123456`, or
    /// `2026-11-22 07:00:00` at a whole second; empty when the sender gave none.
    pub timestamp: String,
    /// Who asked for what.
    pub context: Context,
}

impl Notification {
    /// Makes a notification of now, with a random UUID (version 4) as its id.
    #[must_use]
    pub fn new(
        publisher_id: impl Into<String>,
        event_type: impl Into<String>,
        priority: Priority,
        payload: impl Into<Payload>,
        context: Context,
    ) -> Self {
        Self {
            message_id: Uuid::new_v4().to_string(),
            publisher_id: publisher_id.into(),
            event_type: event_type.into(),
            priority,
            payload: payload.into(),
            timestamp: python_text(OffsetDateTime::now_utc()),
            context,
        }
    }
}

/// A time as Python's `str(datetime)` writes it: without a fraction when that is 0 us.
fn python_text(time: OffsetDateTime) -> String {
    let (date, clock) = (time.date(), time.time());
    let mut text = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    if clock.microsecond() != 0 {
        text.push_str(&format!(".{:06}", clock.microsecond()));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn times_are_written_as_python_prints_them() {
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (1_709_164_800_000_001_000, "2024-02-29 00:00:00.000001"),
            (946_684_799_999_999_999, "1999-12-31 23:59:59.999999"),
            (1_795_330_800_123_456_000, "2026-11-22 07:00:00.123456"),
            (1_795_330_800_000_000_999, "2026-11-22 07:00:00"),
        ];
        for (nanoseconds, text) in cases {
            let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap();
            assert_eq!(python_text(time), text);
        }
    }

    #[test]
    fn new_notifications_have_an_id_and_a_time_of_their_own() {
        let make =
            || Notification::new("p", "e", Priority::Info, Payload::null(), Context::empty());
        let before = python_text(OffsetDateTime::now_utc());
        let made: Vec<_> = (0..100).map(|_| make()).collect();
        let ids: HashSet<_> = made.iter().map(|notification| &notification.message_id).collect();
        assert_eq!(ids.len(), 100);
        for notification in &made {
            assert_eq!(Uuid::parse_str(&notification.message_id).unwrap().get_version_num(), 4);
            assert!(notification.timestamp.as_str() >= &before[..19]);
        }
    }
}
