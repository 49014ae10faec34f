//! A configuration that is read again while its transport runs: what has changed, what of it can count
//! at once, and what needs a restart.
//!
//! Which options are *mutable* says the table of options. Called by `transport`; what is built on a
//! transport and can change is a [`Mutable`].

use std::fmt;

use crate::{
    Error,
    config::{Config, Options, Setting, messaging},
    url::TransportUrl,
};

/// What [`Transport::reload`](crate::Transport::reload) has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// What counts from now on.
    pub applied: Vec<Change>,
    /// What counts after the next start of the process.
    pub needs_restart: Vec<Change>,
}

/// An option with another value than before. `Display` is what the log says, such as
/// `[oslo_messaging_notifications] retry = -1 -> 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The group, such as `oslo_messaging_kafka`.
    pub group: &'static str,
    /// The option, such as `client_id`.
    pub name: &'static str,
    /// The value before; `***` for a secret.
    pub old: String,
    /// The value now; `***` for a secret.
    pub new: String,
}

/// What is built on a transport, and takes some options while it runs.
pub(crate) trait Mutable: Send + Sync {
    /// Makes ready what takes the new `[oslo_messaging_notifications]`. Nothing changes until that
    /// is called.
    ///
    /// # Errors
    ///
    /// What a new one could not be built with.
    fn prepare(&self, options: &Options) -> Result<Prepared, Error>;
}

/// Puts what was prepared in place.
pub(crate) type Prepared = Box<dyn FnOnce() + Send>;

/// Options of groups that differ, apart from `transport_url`, of which [`of_url`] knows.
pub(crate) fn changes(
    groups: &[&'static str],
    (old, new): (&Config, &Config),
    query: &[(String, String)],
) -> Vec<(Change, bool)> {
    let of =
        |config| groups.iter().flat_map(move |group| messaging().settings(group, config, query));
    let pairs = of(old).zip(of(new));
    pairs
        .filter(|(old, new)| {
            old.opt.name != "transport_url" && old.value.as_ref().ok() != new.value.as_ref().ok()
        })
        .map(|(old, new)| {
            let opt = new.opt;
            let change =
                Change { group: opt.group, name: opt.name, old: shown(&old), new: shown(&new) };
            (change, opt.mutable)
        })
        .collect()
}

fn shown(setting: &Setting) -> String {
    match &setting.value {
        Ok(value) => setting.masked(value).to_string(),
        // It was refused when it was read.
        Err(_) => String::new(),
    }
}

/// Whether two URLs differ, and whether in their users and passwords alone.
pub(crate) fn of_url(
    group: &'static str,
    old: &TransportUrl,
    new: &TransportUrl,
) -> Option<(Change, bool)> {
    if old == new {
        return None;
    }
    let change =
        Change { group, name: "transport_url", old: old.to_string(), new: new.to_string() };
    Some((change, old.without_credentials() == new.without_credentials()))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.group, self.name)?;
        match self.old == self.new {
            // A secret.
            true => Ok(()),
            false => write!(f, " = {} -> {}", self.old, self.new),
        }
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use std::fs;

    use crate::{
        Context, Notifier, Payload, Transport,
        config::{Config, KAFKA, NOTIFICATIONS},
        error::Error,
    };

    fn config(pairs: &[(&str, &str)]) -> Config {
        let mut config = Config::new();
        config.set(NOTIFICATIONS, "transport_url", "fake:");
        for (name, value) in pairs {
            config.set(NOTIFICATIONS, name, *value);
        }
        config
    }

    fn sent(transport: &Transport, notifier: &Notifier) -> u64 {
        let before = transport.stats().sent.get();
        let receipt = notifier.info(&Context::empty(), "a.b", Payload::null());
        receipt.wait(std::time::Duration::from_secs(5)).expect("the fake broker takes it");
        transport.stats().sent.get() - before
    }

    #[test]
    fn notifiers_take_topics_sinks_and_rules_while_they_run() {
        let transport =
            Transport::builder().config(config(&[("driver", "noop")])).for_notifications().unwrap();
        let notifier = Notifier::builder(&transport).build().unwrap();
        let another = notifier.prepare_publisher_id("another");
        let own = Notifier::builder(&transport).driver("messagingv2").topic("own").build().unwrap();
        assert_eq!([sent(&transport, &notifier), sent(&transport, &own)], [0, 1]);

        let new = config(&[("driver", "messagingv2"), ("topics", "a,b"), ("retry", "2")]);
        let reloaded = transport.reload(&new).unwrap();
        let names: Vec<_> = reloaded.applied.iter().map(|change| change.name).collect();
        assert_eq!((names, reloaded.needs_restart.len()), (vec!["driver", "topics", "retry"], 0));
        assert_eq!(
            reloaded.applied[2].to_string(),
            "[oslo_messaging_notifications] retry = -1 -> 2"
        );
        for (notifier, count) in [(&notifier, 2), (&another, 2), (&own, 1)] {
            assert_eq!(sent(&transport, notifier), count);
        }
        assert_eq!(transport.reload(&new).unwrap(), Default::default());

        let path = std::env::temp_dir().join(format!("reload-{}.yaml", uuid::Uuid::new_v4()));
        fs::write(&path, "a: {noop: {}}\n").unwrap();
        let routed = config(&[("driver", "routing"), ("routing_config", path.to_str().unwrap())]);
        transport.reload(&routed).unwrap();
        assert_eq!(sent(&transport, &notifier), 0);
        fs::write(&path, "a: {messagingv2: {}}\n").unwrap();
        transport.reload(&routed).unwrap();
        assert_eq!(sent(&transport, &notifier), 1);
        fs::remove_file(&path).unwrap();
        transport.reload(&routed).unwrap_err();
        assert_eq!(sent(&transport, &notifier), 1);
    }

    #[test]
    fn a_configuration_that_is_not_valid_changes_nothing() {
        let transport =
            Transport::builder().config(config(&[("driver", "noop")])).for_notifications().unwrap();
        let notifier = Notifier::builder(&transport).build().unwrap();
        let wrong = config(&[("driver", "messagingv2"), ("retry", "soon")]);
        let error = transport.reload(&wrong).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
        let unknown = config(&[("driver", "messagingv3")]);
        transport.reload(&unknown).unwrap_err();
        assert_eq!(sent(&transport, &notifier), 0);
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn what_needs_a_restart_is_named_and_secrets_are_not_shown() {
        let at = |url: &str, secret: &str| {
            let mut config = Config::new();
            config.set(NOTIFICATIONS, "transport_url", url);
            config.set(KAFKA, "ssl_client_key_password", secret);
            config.set(KAFKA, "client_id", if secret == "old" { "a" } else { "b" });
            config
        };
        let open = at("kafka://u:hunter2@h/?delivery_timeout=3", "old");
        let transport = Transport::builder().config(open).for_notifications().unwrap();
        let new = at("kafka://v:hunter3@h/?delivery_timeout=3", "hunter4");
        let reloaded = transport.reload(&new).unwrap();
        let told = format!("{reloaded:?}");
        assert!(!told.contains("hunter"), "{told}");
        let texts = |changes: &[super::Change]| -> Vec<String> {
            changes.iter().map(ToString::to_string).collect()
        };
        let applied = texts(&reloaded.applied);
        assert!(applied.len() == 1 && applied[0].contains("transport_url"), "{applied:?}");
        let needs_restart = [
            "[oslo_messaging_kafka] ssl_client_key_password",
            "[oslo_messaging_kafka] client_id = a -> b",
        ];
        assert_eq!(texts(&reloaded.needs_restart), needs_restart);

        let moved = at("kafka://v:hunter3@g/?delivery_timeout=3", "hunter4");
        let reloaded = transport.reload(&moved).unwrap();
        assert_eq!((reloaded.applied.len(), reloaded.needs_restart.len()), (0, 1));
    }
}
