//! Values that are valid, each for itself, and cannot be meant together.
//!
//! Looks at files that options name, but asks no broker. What a driver refuses when it is opened is
//! its own affair. Called by whoever checks a configuration, beside [`Schema::check`].

mod rabbit;

use std::{fs::File, path::Path};

use super::{
    super::{
        Config, Origin, Setting,
        check::{Finding, Severity},
        value::Value,
    },
    DEFAULT, KAFKA, NOTIFICATIONS, RABBIT,
    kafka::{self, Mechanism, STRATEGIES, mechanisms},
    messaging,
    services::SINKS,
};
use crate::url::TransportUrl;

/// What only one mechanism looks at.
const TOKEN: [&str; 2] = ["sasl_oauth_url", "sasl_oauth_scope"];
const TICKET: [&str; 3] =
    ["sasl_kerberos_service_name", "sasl_kerberos_keytab", "sasl_kerberos_principal"];

/// What is wrong between the options of messaging: credentials that are not used or missing, files
/// that are not there, settings without effect in the mode that others choose.
///
/// `url` is the transport URL for notifications, if there is one that can be read; that for RPC is in the
/// configuration. Options that are
/// not valid by themselves are left to [`Schema::check`](super::super::Schema::check).
#[must_use]
pub fn contradictions(config: &Config, url: Option<&TransportUrl>) -> Vec<Finding> {
    let mut look = Look::new(config, url);
    look.notifier();
    if let Some(url) = url.filter(|url| url.scheme() == "kafka") {
        look.credentials(url);
        look.tls();
        look.sending();
        look.listening();
    }
    if let Some(url) = rabbit::rabbit_url(config, url) {
        look.settings.extend(messaging().settings(RABBIT, config, url.query()));
        look.rabbit(config);
    }
    look.findings
}

struct Look {
    settings: Vec<Setting>,
    findings: Vec<Finding>,
}

impl Look {
    fn new(config: &Config, url: Option<&TransportUrl>) -> Self {
        let query = url.map_or(&[][..], TransportUrl::query);
        let mut settings = messaging().settings(KAFKA, config, query);
        settings.extend(messaging().settings(NOTIFICATIONS, config, &[]));
        settings.extend(messaging().settings(DEFAULT, config, &[]));
        Self { settings, findings: Vec::new() }
    }

    fn get(&self, group: &str, name: &str) -> &Setting {
        let mut settings = self.settings.iter();
        let found = settings.find(|setting| setting.opt.group == group && setting.opt.name == name);
        found.unwrap_or_else(|| panic!("no option [{group}] {name} in the table of options"))
    }

    /// The text of a Kafka option; empty where it is not valid.
    fn text(&self, name: &str) -> String {
        self.get(KAFKA, name).value.as_ref().map_or_else(|_| String::new(), ToString::to_string)
    }

    fn number(&self, name: &str) -> f64 {
        match self.get(KAFKA, name).value {
            Ok(Value::Float(value)) => value,
            _ => 0.0,
        }
    }

    fn list(&self, group: &str, name: &str) -> Vec<String> {
        match &self.get(group, name).value {
            Ok(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.get(KAFKA, name).origin != Origin::Default
    }

    fn error(&mut self, group: &str, name: &str, text: impl Into<String>) {
        self.say(Severity::Error, group, name, text);
    }

    fn warn(&mut self, name: &str, text: impl Into<String>) {
        self.say(Severity::Warning, KAFKA, name, text);
    }

    fn say(&mut self, severity: Severity, group: &str, name: &str, text: impl Into<String>) {
        let origin = self.get(group, name).origin.clone();
        self.findings.push(Finding::new(severity, &origin, (group, name), text));
    }

    /// Each of these that is set is without effect, for a reason.
    fn idle(&mut self, names: &[&str], why: &str) {
        for name in names {
            if self.is_set(name) {
                self.warn(name, format!("without effect {why}"));
            }
        }
    }

    /// A file that an option names.
    fn file(&mut self, group: &str, name: &str) {
        let Ok(path) = &self.get(group, name).value else { return };
        let path = path.to_string();
        if path.is_empty() {
            return;
        }
        if let Err(error) = File::open(Path::new(&path)) {
            self.error(group, name, format!("{path:?} cannot be read: {error}"));
        }
    }

    fn notifier(&mut self) {
        let sinks = self.list(NOTIFICATIONS, "driver");
        for sink in sinks.iter().filter(|sink| !SINKS.contains(&sink.as_str())) {
            let text = format!("{sink:?} is none of {}", SINKS.join(", "));
            self.error(NOTIFICATIONS, "driver", text);
        }
        let routing = self.get(NOTIFICATIONS, "routing_config");
        let is_empty = routing.value.as_ref().is_ok_and(|value| value.to_string().is_empty());
        match (sinks.iter().any(|sink| sink == "routing"), is_empty) {
            (true, true) => {
                self.error(NOTIFICATIONS, "driver", "routing needs a routing_config");
            }
            (true, false) => self.file(NOTIFICATIONS, "routing_config"),
            (false, false) => {
                let text = "without effect without driver = routing";
                self.say(Severity::Warning, NOTIFICATIONS, "routing_config", text);
            }
            (false, true) => {}
        }
        for topic in self.list(NOTIFICATIONS, "topics") {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if topic.is_empty() || !topic.chars().all(is_plain) {
                let text = format!("{topic:?} is no topic's name: valid are a-z A-Z 0-9 . _ -");
                self.error(NOTIFICATIONS, "topics", text);
            }
        }
        let url = self.get(NOTIFICATIONS, "transport_url");
        if sinks.is_empty() && url.origin != Origin::Default {
            let text = "without effect on what is sent: no driver is set, so nothing is";
            self.say(Severity::Warning, NOTIFICATIONS, "transport_url", text);
        }
    }

    fn credentials(&mut self, url: &TransportUrl) {
        let protocol = self.text("security_protocol");
        let mechanism = self.text("sasl_mechanism");
        let mut names: Vec<_> =
            url.hosts().iter().filter_map(|host| host.username.clone()).collect();
        names.dedup();
        let has_credentials = !names.is_empty();
        if names.len() > 1 {
            let text = "the transport URL has several user names, of which only the first is used";
            self.warn("security_protocol", text);
        }
        if !protocol.starts_with("SASL") {
            if has_credentials {
                let text = format!(
                    "the transport URL has credentials, which are not used with {protocol}: set \
                     SASL_PLAINTEXT or SASL_SSL"
                );
                self.warn("security_protocol", text);
            }
            self.idle(&["sasl_mechanism"], "without SASL in security_protocol");
            self.idle(&TOKEN, "without SASL in security_protocol");
            self.idle(&TICKET, "without SASL in security_protocol");
            return;
        }
        let by = kafka::mechanism(&mechanism);
        if by != Some(Mechanism::Token) {
            self.idle(&TOKEN, "without sasl_mechanism = OAUTHBEARER");
        }
        if by != Some(Mechanism::Ticket) {
            self.idle(&TICKET, "without sasl_mechanism = GSSAPI");
        }
        match by {
            None => {
                let text = format!("{mechanism:?} is none of {}", mechanisms());
                self.error(KAFKA, "sasl_mechanism", text);
            }
            Some(Mechanism::Password) if !has_credentials => {
                let text =
                    format!("{protocol} with {mechanism} needs credentials in the transport URL");
                self.error(KAFKA, "security_protocol", text);
            }
            Some(Mechanism::Ticket) => self.ticket(has_credentials),
            Some(Mechanism::Password | Mechanism::Token) => {}
        }
        if protocol == "SASL_PLAINTEXT" && mechanism == "PLAIN" && has_credentials {
            self.warn("security_protocol", "the password is sent as it is, for all to read");
        }
    }

    fn ticket(&mut self, has_credentials: bool) {
        if has_credentials {
            let text = "the transport URL has credentials, which are not used with GSSAPI";
            self.warn("sasl_mechanism", text);
        }
        self.file(KAFKA, "sasl_kerberos_keytab");
        let given = |name| !self.text(name).is_empty();
        if given("sasl_kerberos_keytab") && !given("sasl_kerberos_principal") {
            self.error(KAFKA, "sasl_kerberos_keytab", "needs sasl_kerberos_principal, too");
        }
    }

    fn tls(&mut self) {
        let files = ["ssl_cafile", "ssl_client_cert_file", "ssl_client_key_file"];
        if !self.text("security_protocol").ends_with("SSL") {
            self.idle(&files, "without SSL in security_protocol");
            self.idle(&["ssl_client_key_password"], "without SSL in security_protocol");
            return;
        }
        for name in files {
            self.file(KAFKA, name);
        }
        let given = |look: &Self, name| !look.text(name).is_empty();
        match (given(self, "ssl_client_cert_file"), given(self, "ssl_client_key_file")) {
            (true, false) => {
                self.error(KAFKA, "ssl_client_cert_file", "needs ssl_client_key_file, too");
            }
            (false, true) => {
                self.error(KAFKA, "ssl_client_key_file", "needs ssl_client_cert_file, too");
            }
            (false, false) => {
                self.idle(&["ssl_client_key_password"], "without ssl_client_key_file")
            }
            (true, true) => {}
        }
    }

    fn sending(&mut self) {
        let delivery = self.text("delivery");
        if delivery == "spooled" && self.text("spool_dir").is_empty() {
            self.error(KAFKA, "delivery", "spooled needs a spool_dir");
        }
        if delivery != "spooled" {
            let names = ["spool_dir", "spool_fsync", "spool_max_kbytes"];
            self.idle(&names, "without delivery = spooled");
        }
        if delivery != "queued" {
            self.idle(&["queue_overflow"], "without delivery = queued");
        }
        if self.text("create_topics") == "false" {
            let names = ["topic_partitions", "topic_replication_factor"];
            self.idle(&names, "with create_topics = false");
        }
    }

    fn listening(&mut self) {
        if self.is_set("commit") {
            self.idle(&["enable_auto_commit"], "where commit is set");
        }
        let after_dispatch = match self.is_set("commit") {
            true => self.text("commit") == "after_dispatch",
            false => self.text("enable_auto_commit") == "true",
        };
        if after_dispatch {
            self.idle(&["commit_window"], "with commit = after_dispatch");
        } else {
            let names = ["max_redeliveries", "redelivery_backoff"];
            self.idle(&names, "without commit = after_dispatch");
        }
        if self.text("dead_letter_topic").is_empty() {
            let names = ["dead_letter_max_ratio", "dead_letter_max_consecutive"];
            self.idle(&names, "without a dead_letter_topic");
        }
        if self.text("group_protocol") == "consumer" {
            let names = ["partition_assignment_strategy", "session_timeout", "heartbeat_interval"];
            return self.idle(&names, "with group_protocol = consumer: the broker's count");
        }
        if self.number("heartbeat_interval") >= self.number("session_timeout") {
            let text = "a heartbeat must come within session_timeout, at best three times";
            self.error(KAFKA, "heartbeat_interval", text);
        }
        let strategies = self.list(KAFKA, "partition_assignment_strategy");
        for name in strategies.iter().filter(|name| !STRATEGIES.contains(&name.as_str())) {
            let text = format!("{name:?} is none of {}", STRATEGIES.join(", "));
            self.error(KAFKA, "partition_assignment_strategy", text);
        }
        let cooperative = strategies.iter().filter(|name| *name == "cooperative-sticky").count();
        if cooperative > 0 && cooperative < strategies.len() {
            let text = "cooperative-sticky cannot be offered beside range or roundrobin";
            self.error(KAFKA, "partition_assignment_strategy", text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, contradictions};
    use crate::config::Ini;

    fn found(url: &str, file: &str) -> Vec<String> {
        let mut config = Config::new();
        config.add(Ini::parse(file, "n.conf").unwrap());
        let url = url.parse().unwrap();
        let findings = contradictions(&config, Some(&url));
        findings
            .into_iter()
            .map(|finding| {
                format!("{} {} {}", finding.severity.as_str(), finding.name, finding.text)
            })
            .collect()
    }

    #[test]
    fn what_cannot_be_meant_together_is_found() {
        let plain = "kafka://h/";
        let user = "kafka://u:hunter2@h/";
        for (url, options, name, words) in [
            (user, "", "security_protocol", "not used with PLAINTEXT"),
            (user, "security_protocol = SSL", "security_protocol", "not used with SSL"),
            (plain, "sasl_mechanism = PLAIN", "sasl_mechanism", "without effect"),
            (plain, "security_protocol = SASL_SSL", "security_protocol", "needs credentials"),
            (user, "security_protocol = SASL_PLAINTEXT", "security_protocol", "for all to read"),
            (
                user,
                "security_protocol = SASL_SSL\nsasl_oauth_url = https://t/",
                "sasl_oauth_url",
                "without sasl_mechanism = OAUTHBEARER",
            ),
            (
                user,
                "security_protocol = SASL_SSL\nsasl_kerberos_principal = nova",
                "sasl_kerberos_principal",
                "without sasl_mechanism = GSSAPI",
            ),
            (
                user,
                "security_protocol = SASL_SSL\nsasl_mechanism = GSSAPI",
                "sasl_mechanism",
                "not used with GSSAPI",
            ),
            (
                plain,
                "security_protocol = SASL_SSL\nsasl_mechanism = GSSAPI\nsasl_kerberos_keytab = /dev/null",
                "sasl_kerberos_keytab",
                "needs sasl_kerberos_principal",
            ),
            (
                user,
                "security_protocol = SASL_SSL\nsasl_mechanism = SCRAM",
                "sasl_mechanism",
                "none of PLAIN",
            ),
            (
                "kafka://u:p@h,v:p@g/",
                "security_protocol = SASL_SSL",
                "security_protocol",
                "only the first is used",
            ),
            (plain, "ssl_cafile = /nowhere/ca.pem", "ssl_cafile", "without effect"),
            (
                plain,
                "security_protocol = SSL\nssl_cafile = /nowhere/ca.pem",
                "ssl_cafile",
                "cannot be read: No such file",
            ),
            (
                plain,
                "security_protocol = SSL\nssl_client_cert_file = /dev/null",
                "ssl_client_cert_file",
                "needs ssl_client_key_file",
            ),
            (
                plain,
                "security_protocol = SSL\nssl_client_key_file = /dev/null",
                "ssl_client_key_file",
                "needs ssl_client_cert_file",
            ),
            (
                plain,
                "security_protocol = SSL\nssl_client_key_password = hunter2",
                "ssl_client_key_password",
                "without ssl_client_key_file",
            ),
            (plain, "delivery = spooled", "delivery", "needs a spool_dir"),
            (plain, "spool_dir = /var/spool/x", "spool_dir", "without delivery = spooled"),
            (plain, "queue_overflow = drop", "queue_overflow", "without delivery = queued"),
            (
                plain,
                "create_topics = no\ntopic_partitions = 3",
                "topic_partitions",
                "with create_topics = false",
            ),
            (
                plain,
                "commit = before_dispatch\nenable_auto_commit = true",
                "enable_auto_commit",
                "where commit is set",
            ),
            (plain, "max_redeliveries = 3", "max_redeliveries", "without commit"),
            (plain, "enable_auto_commit = on\ncommit_window = 9", "commit_window", "with commit"),
            (plain, "dead_letter_max_ratio = 0.5", "dead_letter_max_ratio", "without a dead"),
            (
                plain,
                "group_protocol = consumer\nsession_timeout = 20",
                "session_timeout",
                "the broker's count",
            ),
            (plain, "session_timeout = 1", "heartbeat_interval", "within session_timeout"),
            (
                plain,
                "partition_assignment_strategy = rang",
                "partition_assignment_strategy",
                "none of range",
            ),
            (
                plain,
                "partition_assignment_strategy = range,cooperative-sticky",
                "partition_assignment_strategy",
                "cannot be offered beside",
            ),
        ] {
            let found = found(url, &format!("[oslo_messaging_kafka]\n{options}\n"));
            assert_eq!(found.len(), 1, "{options}: {found:?}");
            let word = found[0].split(' ').nth(1);
            assert_eq!(word, Some(name), "{options}: {found:?}");
            assert!(found[0].contains(words) && !found[0].contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn a_notifier_that_would_not_send_is_found() {
        for (options, expected) in [
            ("driver = messagingv2\ndriver = log\n", &[][..]),
            (
                "driver = mesaging",
                &[
                    "error driver \"mesaging\" is none of messaging, messagingv2, log, noop, test, routing",
                ],
            ),
            ("driver = routing", &["error driver routing needs a routing_config"]),
            (
                "driver = routing\nrouting_config = /nowhere/r.yaml",
                &["error routing_config \"/nowhere/r.yaml\" cannot be read: No such file or \
                   directory (os error 2)"],
            ),
            (
                "driver = log\nrouting_config = /nowhere/r.yaml",
                &["warning routing_config without effect without driver = routing"],
            ),
            (
                "topics = a b,c",
                &["error topics \"a b\" is no topic's name: valid are a-z A-Z 0-9 . _ -"],
            ),
            (
                "transport_url = kafka://h/",
                &["warning transport_url without effect on what is sent: no driver is set, so \
                   nothing is"],
            ),
        ] {
            let file = format!("[oslo_messaging_notifications]\n{options}\n");
            assert_eq!(found("fake:", &file), expected, "{options}");
        }
    }

    #[test]
    fn what_fits_together_is_left_alone() {
        for (url, options) in [
            ("kafka://h/", ""),
            (
                "kafka://u:p@h,u:p@g/",
                "security_protocol = SASL_SSL\nsasl_mechanism = SCRAM-SHA-512",
            ),
            ("kafka://h/", "security_protocol = SASL_SSL\nsasl_mechanism = OAUTHBEARER"),
            ("kafka://h/", "commit = after_dispatch\nmax_redeliveries = 3\ndead_letter_topic = d"),
            ("kafka://h/", "delivery = spooled\nspool_dir = /var/spool/x\nspool_fsync = on"),
            // Another driver's affair.
            ("fake:", "delivery = spooled\nsession_timeout = 1"),
        ] {
            let found = found(url, &format!("[oslo_messaging_kafka]\n{options}\n"));
            assert!(found.is_empty(), "{options}: {found:?}");
        }
    }
}
