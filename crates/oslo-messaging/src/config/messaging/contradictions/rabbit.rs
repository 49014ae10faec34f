//! What of the RabbitMQ driver's options cannot be meant together.

use super::{Config, DEFAULT, Look, RABBIT, Severity};
use crate::{
    config::{Origin, Value},
    url::TransportUrl,
};

/// The group and name of what the queue manager locks by, which is another library's option.
const LOCK_PATH: (&str, &str) = ("oslo_concurrency", "lock_path");

impl Look {
    pub(super) fn rabbit(&mut self, config: &Config) {
        self.unused();
        self.rabbit_tls();
        self.queues();
        self.names(config);
        let compression = self.rabbit_text("kombu_compression");
        if !["", "gzip", "bz2"].contains(&compression.as_str()) {
            self.error(
                RABBIT,
                "kombu_compression",
                format!("{compression:?} is none of gzip, bz2"),
            );
        }
        if self.rabbit_number("rabbit_retry_interval") > self.rabbit_number("rabbit_interval_max") {
            let text = "is longer than rabbit_interval_max, which counts";
            self.rabbit_warn("rabbit_retry_interval", text);
        }
    }

    /// What is set, and accepted without effect.
    fn unused(&mut self) {
        let of_rabbit = self.settings.iter().filter(|setting| setting.opt.group == RABBIT);
        let unused = of_rabbit.filter(|it| it.opt.without_effect && it.origin != Origin::Default);
        let unused: Vec<_> = unused.map(|setting| setting.opt).collect();
        for opt in unused {
            let why = opt.help.trim_start_matches("Accepted ").trim_end_matches('.');
            self.rabbit_warn(opt.name, why);
        }
        // The reference does not start with these.
        if self.rabbit_number("rpc_conn_pool_size") < self.rabbit_number("conn_pool_min_size") {
            let text = "is less than conn_pool_min_size, which services of Python refuse";
            self.rabbit_warn("rpc_conn_pool_size", text);
        }
    }

    fn rabbit_tls(&mut self) {
        let files = ["ssl_ca_file", "ssl_cert_file", "ssl_key_file"];
        if !self.is_on("ssl") {
            for name in files.into_iter().chain(["ssl_version"]) {
                if self.get(RABBIT, name).origin != Origin::Default {
                    self.rabbit_warn(name, "without effect without ssl = true");
                }
            }
            if self.rabbit_text("rabbit_login_method") == "EXTERNAL" {
                let text = "EXTERNAL logs in by a certificate, which needs ssl = true";
                self.error(RABBIT, "rabbit_login_method", text);
            }
            return;
        }
        for name in files {
            self.file(RABBIT, name);
        }
        let versions = ["", "TLSv1", "SSLv23", "TLSv1_1", "TLSv1_2"];
        let version = self.rabbit_text("ssl_version");
        if !versions.contains(&version.as_str()) {
            let text = format!("{version:?} is none of {}", versions[1..].join(", "));
            self.error(RABBIT, "ssl_version", text);
        }
        if self.rabbit_text("ssl_ca_file").is_empty() {
            let text = "without ssl_ca_file the name of the host in its certificate is not checked";
            self.rabbit_warn("ssl", text);
        }
        let given = |look: &Self, name| !look.rabbit_text(name).is_empty();
        match (given(self, "ssl_cert_file"), given(self, "ssl_key_file")) {
            (true, false) => self.error(RABBIT, "ssl_cert_file", "needs ssl_key_file, too"),
            (false, true) => self.error(RABBIT, "ssl_key_file", "needs ssl_cert_file, too"),
            (false, false) if self.rabbit_text("rabbit_login_method") == "EXTERNAL" => {
                let text = "EXTERNAL logs in by a certificate: set ssl_cert_file and ssl_key_file";
                self.error(RABBIT, "rabbit_login_method", text);
            }
            _ => {}
        }
    }

    fn queues(&mut self) {
        if self.is_on("rabbit_quorum_queue") {
            if self.is_on("rabbit_ha_queues") {
                let text =
                    "a queue is mirrored or of a quorum, not both: rabbit_quorum_queue is set";
                self.error(RABBIT, "rabbit_ha_queues", text);
            }
            if self.is_on("amqp_auto_delete") {
                let text = "quorum queues refuse it: rabbit_quorum_queue is set";
                self.error(RABBIT, "amqp_auto_delete", text);
            }
        } else if !self.is_on("rabbit_transient_quorum_queue") {
            for name in [
                "rabbit_quorum_delivery_limit",
                "rabbit_quorum_max_memory_length",
                "rabbit_quorum_max_memory_bytes",
            ] {
                if self.rabbit_number(name) > 0 {
                    self.rabbit_warn(name, "without effect without quorum queues");
                }
            }
        }
        if self.is_on("rabbit_transient_quorum_queue") && self.is_on("rabbit_ha_queues") {
            let text = "a queue is mirrored or of a quorum, not both: rabbit_transient_quorum_queue is set";
            self.error(RABBIT, "rabbit_ha_queues", text);
        }
        if self.is_on("rabbit_stream_fanout") {
            if !self.is_on("rabbit_transient_quorum_queue") {
                let text = "needs rabbit_transient_quorum_queue = true";
                self.error(RABBIT, "rabbit_stream_fanout", text);
            }
            if self.rabbit_number("rabbit_qos_prefetch_count") < 1 {
                let text = "needs a rabbit_qos_prefetch_count of 1 or more";
                self.error(RABBIT, "rabbit_stream_fanout", text);
            }
        }
    }

    fn names(&mut self, config: &Config) {
        if !self.is_on("use_queue_manager") {
            for name in ["hostname", "processname"] {
                if self.get(RABBIT, name).origin != Origin::Default {
                    self.rabbit_warn(name, "without effect without use_queue_manager");
                }
            }
            return;
        }
        let path = config.value(LOCK_PATH.0, LOCK_PATH.1);
        if path.is_none_or(|found| found.text.trim().is_empty()) {
            let text = "needs [oslo_concurrency] lock_path";
            self.error(RABBIT, "use_queue_manager", text);
        }
    }

    fn rabbit_text(&self, name: &str) -> String {
        self.get(RABBIT, name).value.as_ref().map_or_else(|_| String::new(), ToString::to_string)
    }

    fn is_on(&self, name: &str) -> bool {
        matches!(self.get(RABBIT, name).value, Ok(Value::Boolean(true)))
    }

    fn rabbit_number(&self, name: &str) -> i64 {
        match self.get(RABBIT, name).value {
            Ok(Value::Integer(value)) => value,
            _ => 0,
        }
    }

    fn rabbit_warn(&mut self, name: &str, text: impl Into<String>) {
        self.say(Severity::Warning, RABBIT, name, text);
    }
}

/// The URL of a bus that is RabbitMQ: that of notifications, else that of RPC.
pub(super) fn rabbit_url(config: &Config, url: Option<&TransportUrl>) -> Option<TransportUrl> {
    let is_rabbit = |url: &TransportUrl| super::super::driver_group(url.scheme()) == Some(RABBIT);
    let rpc = || {
        let text = config.value(DEFAULT, "transport_url").map_or("rabbit://", |found| found.text);
        TransportUrl::parse(text).ok()
    };
    url.cloned().filter(is_rabbit).or_else(|| rpc().filter(is_rabbit))
}

#[cfg(test)]
mod tests {
    use super::super::contradictions;
    use crate::config::{Config, Ini};

    fn found(url: &str, file: &str) -> Vec<String> {
        let mut config = Config::new();
        config.add(Ini::parse(file, "n.conf").unwrap());
        let findings = contradictions(&config, Some(&url.parse().unwrap()));
        let line = |finding: crate::config::Finding| {
            format!("{} {} {}", finding.severity.as_str(), finding.name, finding.text)
        };
        findings.into_iter().map(line).collect()
    }

    #[test]
    fn what_cannot_be_meant_together_is_found() {
        for (options, expected) in [
            (
                "rabbit_quorum_queue = true\namqp_auto_delete = true",
                &["error amqp_auto_delete quorum queues refuse it: rabbit_quorum_queue is set"][..],
            ),
            (
                "rabbit_quorum_queue = true\nrabbit_ha_queues = true",
                &["error rabbit_ha_queues a queue is mirrored or of a quorum, not both: \
                   rabbit_quorum_queue is set"],
            ),
            (
                "rabbit_transient_quorum_queue = true\nrabbit_ha_queues = true",
                &["error rabbit_ha_queues a queue is mirrored or of a quorum, not both: \
                   rabbit_transient_quorum_queue is set"],
            ),
            (
                "rabbit_stream_fanout = true",
                &[
                    "error rabbit_stream_fanout needs rabbit_transient_quorum_queue = true",
                    "error rabbit_stream_fanout needs a rabbit_qos_prefetch_count of 1 or more",
                ],
            ),
            (
                "use_queue_manager = true",
                &["error use_queue_manager needs [oslo_concurrency] lock_path"],
            ),
            ("hostname = h", &["warning hostname without effect without use_queue_manager"]),
            (
                "rabbit_quorum_delivery_limit = 3",
                &["warning rabbit_quorum_delivery_limit without effect without quorum queues"],
            ),
            (
                "rpc_conn_pool_size = 1",
                &[
                    "warning rpc_conn_pool_size without effect: one connection sends for all threads",
                    "warning rpc_conn_pool_size is less than conn_pool_min_size, which services of \
                     Python refuse",
                ],
            ),
            ("kombu_compression = zip", &["error kombu_compression \"zip\" is none of gzip, bz2"]),
            ("ssl_ca_file = /nowhere", &["warning ssl_ca_file without effect without ssl = true"]),
            (
                "ssl = true\nssl_ca_file = /dev/null\nssl_cert_file = /dev/null",
                &["error ssl_cert_file needs ssl_key_file, too"],
            ),
            (
                "ssl = true\nssl_ca_file = /dev/null\nssl_version = 1.3",
                &["error ssl_version \"1.3\" is none of TLSv1, SSLv23, TLSv1_1, TLSv1_2"],
            ),
            (
                "rabbit_login_method = EXTERNAL",
                &[
                    "error rabbit_login_method EXTERNAL logs in by a certificate, which needs ssl = true",
                ],
            ),
            (
                "ssl = true",
                &[
                    "warning ssl without ssl_ca_file the name of the host in its certificate is not \
                   checked",
                ],
            ),
            (
                "rabbit_retry_interval = 60",
                &["warning rabbit_retry_interval is longer than rabbit_interval_max, which counts"],
            ),
        ] {
            let file = format!("[oslo_messaging_rabbit]\n{options}\n");
            assert_eq!(found("rabbit://h/", &file), expected, "{options}");
        }
    }

    #[test]
    fn what_fits_together_is_left_alone() {
        for options in [
            "",
            "rabbit_quorum_queue = true\nrabbit_quorum_delivery_limit = 3\namqp_durable_queues = true",
            "rabbit_transient_quorum_queue = true\nrabbit_stream_fanout = true\nrabbit_qos_prefetch_count = 10",
            "use_queue_manager = true\nprocessname = p\n[oslo_concurrency]\nlock_path = /run/lock",
            "kombu_compression = gzip",
        ] {
            let file = format!("[oslo_messaging_rabbit]\n{options}\n");
            assert_eq!(found("rabbit://h/", &file), [""; 0], "{options}");
        }
    }

    #[test]
    fn rpc_on_rabbit_counts_beside_notifications_on_another_bus() {
        let bad = "[oslo_messaging_rabbit]\nrabbit_stream_fanout = true\n";
        let with = |url: &str| format!("[DEFAULT]\ntransport_url = {url}\n{bad}");
        assert_eq!(found("kafka://h/", &with("rabbit://h/")).len(), 2);
        assert_eq!(found("kafka://h/", bad).len(), 2, "rabbit:// is the default");
        assert_eq!(found("kafka://h/", &with("kafka://h/")), [""; 0]);
        let query = "rabbit://h/?rabbit_qos_prefetch_count=5&rabbit_transient_quorum_queue=true";
        assert_eq!(found("kafka://h/", &with(query)), [""; 0]);
        assert_eq!(found(query, bad), [""; 0]);
    }
}
