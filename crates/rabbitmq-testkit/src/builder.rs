//! What is started, and with which settings.

use crate::rabbit::{Cluster, Rabbit};

/// Settings of nodes before they start.
///
/// ```no_run
/// let rabbit = rabbitmq_testkit::Rabbit::builder()
///     .with_line("heartbeat = 5")
///     .with_plugin("rabbitmq_management")
///     .start();
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "nothing starts before `start`"]
pub struct RabbitBuilder {
    lines: Vec<String>,
    plugins: Vec<String>,
}

impl RabbitBuilder {
    /// Adds a line of `rabbitmq.conf`, such as `"heartbeat = 5"`; it wins over the kit's own.
    ///
    /// `@DIR@` in it becomes the data folder, in which `certs/` is.
    pub fn with_line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Demands a certificate of each TLS client, and lets `client.crt` log in by EXTERNAL as `client-alice`.
    pub fn with_mutual_tls(self) -> Self {
        self.with_line("ssl_options.fail_if_no_peer_cert = true")
            .with_line("ssl_cert_login_from = common_name")
            .with_line("auth_mechanisms.1 = PLAIN")
            .with_line("auth_mechanisms.2 = AMQPLAIN")
            .with_line("auth_mechanisms.3 = EXTERNAL")
            .with_plugin("rabbitmq_auth_mechanism_ssl")
    }

    /// Enables a plugin that comes with RabbitMQ, such as `rabbitmq_management`; what it needs comes along.
    pub fn with_plugin(mut self, name: &str) -> Self {
        self.plugins.push(name.to_owned());
        self
    }

    /// Starts one node; returns when clients can connect.
    pub fn start(self) -> Rabbit {
        Rabbit::with(&self.into_lines())
    }

    /// Starts three nodes that know each other; returns when clients can connect to each.
    pub fn start_cluster(self) -> Cluster {
        Cluster::with(&self.into_lines())
    }

    fn into_lines(mut self) -> Vec<String> {
        self.lines.push(format!("plugins = {}", self.plugins.join(",")));
        self.lines
    }
}
