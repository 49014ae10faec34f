//! The sink `routing`: which of other sinks a notification goes to, by the rules of a file.
//!
//! Reading the file is in `file`, its patterns in `shell`. Made by `sink`, which makes the others.

mod file;
mod shell;

use std::path::Path;

use self::shell::ShellPattern;
use crate::{
    Error,
    driver::Retry,
    message::{Notification, Priority},
    notify::sink::Sink,
    receipt::Receipt,
};

/// Sends to every sink that a rule of any group lets a notification go to, to each once.
///
/// Mirrors `notify/_impl_routing.py`, and differs on purpose: its sinks have the notifier's
/// transport and topics (there nothing is ever sent), the file is read when the notifier is built
/// instead of at the first notification, and `rejected_events`, which its documentation has and
/// its code has not, counts. As there, the file is read once.
#[derive(Debug)]
pub(super) struct Routing {
    sinks: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    sink: Box<dyn Sink>,
    /// One of them must accept.
    rules: Vec<Rule>,
}

/// What a group says of a sink.
#[derive(Debug)]
struct Rule {
    sink: String,
    /// One of them must match; `None`: every event type is accepted.
    accepted_events: Option<Vec<ShellPattern>>,
    /// None of them may match.
    rejected_events: Vec<ShellPattern>,
    /// `None`: every priority.
    accepted_priorities: Option<Vec<Priority>>,
}

impl Rule {
    fn accepts(&self, event_type: &str, priority: Priority) -> bool {
        let any = |of: &[ShellPattern]| of.iter().any(|pattern| pattern.matches(event_type));
        self.accepted_events.as_deref().is_none_or(any)
            && !any(&self.rejected_events)
            && self.accepted_priorities.as_ref().is_none_or(|all| all.contains(&priority))
    }
}

impl Routing {
    /// Reads the file; `make` makes the sinks that it names, of those that `valid` has.
    pub(super) fn read(
        path: &Path,
        valid: &[&str],
        make: impl Fn(&str) -> Result<Box<dyn Sink>, Error>,
    ) -> Result<Self, Error> {
        let mut names = Vec::new();
        let mut sinks: Vec<Route> = Vec::new();
        for rule in file::read(path, valid)? {
            if let Some(index) = names.iter().position(|name| *name == rule.sink) {
                sinks[index].rules.push(rule);
            } else {
                names.push(rule.sink.clone());
                sinks.push(Route { sink: make(&rule.sink)?, rules: vec![rule] });
            }
        }
        if sinks.is_empty() {
            tracing::warn!("{} has no sink: notifications go nowhere", path.display());
        }
        Ok(Self { sinks })
    }
}

impl Sink for Routing {
    fn send(&self, notification: &Notification, retry: Retry, receipt: &Receipt) {
        for Route { sink, rules } in &self.sinks {
            let accepts =
                |rule: &Rule| rule.accepts(&notification.event_type, notification.priority);
            if rules.iter().any(accepts) {
                sink.send(notification, retry, receipt);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, sync::Arc, sync::Mutex};

    use super::Routing;
    use crate::{
        Error,
        driver::Retry,
        message::{Context, Notification, Payload},
        notify::sink::{Sink, routed as valid},
        receipt::{Receipt, Subject},
    };

    /// A file that ends with its test.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("routes-{}.yaml", uuid::Uuid::new_v4()));
            fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    type Called = Arc<Mutex<Vec<String>>>;

    #[derive(Debug)]
    struct Named(String, Called);

    impl Sink for Named {
        fn send(&self, _: &Notification, _: Retry, _: &Receipt) {
            self.1.lock().unwrap().push(self.0.clone());
        }
    }

    /// Which sinks a notification goes to.
    fn routed(file: &str, event_type: &str, priority: &str) -> Vec<String> {
        let file = Temporary::new(file);
        let called = Called::default();
        let make = |name: &str| -> Result<Box<dyn Sink>, Error> {
            Ok(Box::new(Named(name.to_owned(), Arc::clone(&called))))
        };
        let routing = Routing::read(&file.0, &valid(), make).unwrap();
        let priority = priority.parse().unwrap();
        let sent = Notification::new("p", event_type, priority, Payload::null(), Context::empty());
        let subject = Subject {
            message_id: sent.message_id.clone(),
            event_type: sent.event_type.clone(),
            priority,
        };
        routing.send(&sent, Retry::from(-1), &Receipt::new(subject, Arc::default()));
        drop(routing);
        Arc::into_inner(called).unwrap().into_inner().unwrap()
    }

    /// What the reference's driver says; see `tests/data/routing.py`.
    #[derive(serde::Deserialize)]
    struct Recorded {
        routes: Vec<(String, String, String, Vec<String>)>,
    }

    #[test]
    fn every_recorded_notification_is_routed_as_the_reference_decides() {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../../tests/data/routing.json")).unwrap();
        assert!(recorded.routes.len() > 100);
        for (file, event_type, priority, sinks) in recorded.routes {
            let mut found = routed(&file, &event_type, &priority);
            found.sort();
            assert_eq!(found, sinks, "{file} {event_type} {priority}");
        }
    }

    #[test]
    fn what_is_rejected_stays_out_although_it_is_accepted() {
        let file = "billing:\n  messagingv2:\n    accepted_events: [\"compute.instance.*\"]\n    \
                    rejected_events: [\"*.exists\"]\n  log:\n    accepted_priorities: [\"error\"]\n\
                    audit:\n  test:\n    rejected_events: [\"compute.*\"]\n";
        let cases: [(&str, &str, &[&str]); 5] = [
            ("compute.instance.create.end", "info", &["messagingv2"]),
            ("compute.instance.create.error", "error", &["messagingv2", "log"]),
            ("compute.instance.exists", "info", &[]),
            ("compute.instance.exists", "error", &["log"]),
            ("volume.create.end", "info", &["test"]),
        ];
        for (event_type, priority, sinks) in cases {
            assert_eq!(routed(file, event_type, priority), sinks, "{event_type} {priority}");
        }
    }

    #[cfg(feature = "fake")]
    #[test]
    fn routed_notifications_reach_the_notifiers_transport_and_topics() {
        use crate::{Listener, Notifier, Priority, Target, Transport, config::Config, endpoint_fn};
        use std::{sync::mpsc, time::Duration};

        let file = Temporary::new("a: {messagingv2: {rejected_events: [\"*.exists\"]}}\n");
        let mut config = Config::new();
        config.set("oslo_messaging_notifications", "driver", "routing");
        config.set("oslo_messaging_notifications", "topics", "routed");
        config.set(
            "oslo_messaging_notifications",
            "routing_config",
            file.0.to_str().unwrap().to_owned(),
        );
        let transport =
            Transport::builder().url("fake:").config(config).for_notifications().unwrap();
        let (sender, receiver) = mpsc::channel();
        let listener = Listener::builder(&transport)
            .target(Target::new("routed"))
            .endpoint(endpoint_fn([Priority::Info], move |notification| {
                Ok(sender.send(notification.event_type.clone())?)
            }))
            .start()
            .unwrap();
        listener.ready(Duration::from_secs(10)).unwrap();
        let notifier = Notifier::builder(&transport).build().unwrap();
        for event_type in ["instance.exists", "instance.create.end"] {
            let receipt = notifier.info(&Context::empty(), event_type, Payload::null());
            receipt.wait(Duration::from_secs(10)).unwrap();
        }
        let got = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(got, "instance.create.end");
        assert_eq!(transport.stats().sent.get(), 1);
        listener.close(Duration::from_secs(10)).unwrap();
    }

    #[cfg(feature = "fake")]
    #[test]
    fn routing_without_a_file_is_refused() {
        use crate::{Notifier, Transport};

        let transport = Transport::for_notifications("fake:").unwrap();
        let error = Notifier::builder(&transport).driver("routing").build().unwrap_err();
        assert_eq!(
            error.to_string(),
            "option [oslo_messaging_notifications] routing_config = \"\" (default): expected the \
             path of a YAML file, for the driver routing"
        );
    }
}
