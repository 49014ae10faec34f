//! What a notifier writes to. oslo.messaging calls these notify drivers.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Error,
    config::{Options, SINKS},
    driver::{Outgoing, Retry},
    message::{Context, Notification, Priority},
    notify::{mask::mask_json, routing::Routing},
    receipt::Receipt,
    target::Target,
    transport::Transport,
    wire,
};

/// The names that a routing file may have: not its own.
pub(super) fn routed() -> Vec<&'static str> {
    SINKS.iter().copied().filter(|name| *name != "routing").collect()
}

/// One place that notifications go to.
pub(super) trait Sink: fmt::Debug + Send + Sync {
    /// Sends one notification; what must be waited for is added to `receipt`.
    fn send(&self, notification: &Notification, retry: Retry, receipt: &Receipt);
}

/// Makes the sink that oslo's `driver` option names.
pub(super) fn sink(
    name: &str,
    transport: &Transport,
    topics: &[Arc<Target>],
    options: &Options,
) -> Result<Box<dyn Sink>, Error> {
    match name {
        // Both write the same record: drivers that envelope do so for either version.
        "messaging" | "messagingv2" => {
            Ok(Box::new(Messaging { transport: transport.clone(), topics: topics.to_vec() }))
        }
        "log" => Ok(Box::new(Log)),
        "noop" => Ok(Box::new(Noop)),
        "test" => Ok(Box::new(Test)),
        "routing" => {
            let path = routing_file(options)?;
            let make = |name: &str| sink(name, transport, topics, options);
            Ok(Box::new(Routing::read(path, &routed(), make)?))
        }
        other => Err(Error::InvalidSetting {
            name: "driver",
            reason: format!("no sink is called \"{other}\"; valid are {}", SINKS.join(", ")),
        }),
    }
}

fn routing_file(options: &Options) -> Result<&Path, Error> {
    let name = "routing_config";
    let path = options.str(name);
    if path.is_empty() {
        return Err(Error::InvalidOption {
            group: options.group(),
            name: name.to_owned(),
            value: String::new(),
            origin: options.origin(name).to_string(),
            expected: "the path of a YAML file, for the driver routing".to_owned(),
        });
    }
    Ok(Path::new(path))
}

/// `messaging` and `messagingv2`: the transport's broker.
#[derive(Debug)]
struct Messaging {
    transport: Transport,
    topics: Vec<Arc<Target>>,
}

impl Sink for Messaging {
    fn send(&self, notification: &Notification, retry: Retry, receipt: &Receipt) {
        let driver = self.transport.driver();
        let body = wire::encode(notification, driver.capabilities().context_style);
        let key = driver.message_key().of(notification);
        for target in &self.topics {
            let outgoing = Outgoing {
                target: Arc::clone(target),
                priority: notification.priority,
                key: key.clone(),
                headers: Vec::new(),
                body: body.clone(),
                retry,
            };
            driver.send(outgoing, receipt.expect(body.len()));
        }
    }
}

/// `log`: one line of JSON at the level of the priority, with passwords masked and without the
/// context, as the reference's. That one drops audit and sample, for which Python has no level.
#[derive(Debug)]
struct Log;

impl Sink for Log {
    fn send(&self, notification: &Notification, _: Retry, _: &Receipt) {
        let line = log_line(notification);
        let event_type = &notification.event_type;
        match notification.priority {
            Priority::Debug => {
                tracing::debug!(target: "oslo.messaging.notification", event_type, "{line}");
            }
            Priority::Info | Priority::Audit | Priority::Sample => {
                tracing::info!(target: "oslo.messaging.notification", event_type, "{line}");
            }
            Priority::Warn => {
                tracing::warn!(target: "oslo.messaging.notification", event_type, "{line}");
            }
            Priority::Error | Priority::Critical => {
                tracing::error!(target: "oslo.messaging.notification", event_type, "{line}");
            }
        }
    }
}

/// An encoded notification as one line of JSON, with its context, passwords masked: for a driver
/// that can only log it.
#[cfg(feature = "kafka")]
pub(crate) fn masked_line(body: &[u8]) -> String {
    let line = match wire::decode(body) {
        Ok(notification) => wire::encode_bare(&notification, wire::ContextStyle::Nested),
        Err(_) => body.to_vec().into(),
    };
    mask_json(&String::from_utf8_lossy(&line)).into_owned()
}

fn log_line(notification: &Notification) -> String {
    // An empty context leaves no trace in this style.
    let bare = Notification { context: Context::empty(), ..notification.clone() };
    let line = wire::encode_bare(&bare, wire::ContextStyle::Flattened);
    mask_json(&String::from_utf8_lossy(&line)).into_owned()
}

/// `noop`: nowhere.
#[derive(Debug)]
struct Noop;

impl Sink for Noop {
    fn send(&self, _: &Notification, _: Retry, _: &Receipt) {}
}

/// `test`: a list in the process.
#[derive(Debug)]
struct Test;

static RECORDED: Mutex<Vec<Notification>> = Mutex::new(Vec::new());

impl Sink for Test {
    fn send(&self, notification: &Notification, _: Retry, _: &Receipt) {
        RECORDED.lock().unwrap_or_else(PoisonError::into_inner).push(notification.clone());
    }
}

/// Takes what the sink `test` has recorded in this process, oldest first.
#[must_use]
pub fn recorded_notifications() -> Vec<Notification> {
    std::mem::take(&mut *RECORDED.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::log_line;
    use crate::message::{Context, Notification, Payload, Priority};

    #[test]
    fn the_log_line_has_the_references_keys_and_no_password() {
        let context = Context::from_json(r#"{"auth_token": "gAAA"}"#).unwrap();
        let payload = Payload::from_json(r#"{"admin_pass": "s3cret", "n": NaN}"#).unwrap();
        let mut sent = Notification::new("p", "e", Priority::Warn, payload, context);
        sent.message_id = "m-1".to_owned();
        sent.timestamp = "2026-11-22 07:00:00".to_owned();
        assert_eq!(
            log_line(&sent),
            concat!(
                r#"{"message_id": "m-1", "publisher_id": "p", "event_type": "e", "#,
                r#""priority": "WARN", "payload": {"admin_pass": "***", "n": NaN}, "#,
                r#""timestamp": "2026-11-22 07:00:00"}"#
            )
        );
    }
}
