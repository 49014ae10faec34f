//! A node: where it is, what is done to it, and what it is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use testkit::ProxyPorts;

use crate::ask::{self, Binding, Connection, Exchange, Queue};
use crate::rabbit::{Run, SCRIPT};

/// A node of RabbitMQ. It keeps its ports and its data when it comes back.
///
/// Each method panics when it cannot do what it says, with the reason.
#[derive(Debug)]
pub struct Node {
    number: u32,
    addresses: Addresses,
    run: Arc<Run>,
}

/// Each as `HOST:PORT`.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) amqp: String,
    pub(crate) tls: String,
    pub(crate) distribution: String,
    pub(crate) management: String,
    pub(crate) proxy: ProxyPorts,
}

impl Node {
    pub(crate) fn new(number: u32, addresses: Addresses, run: Arc<Run>) -> Self {
        Self { number, addresses, run }
    }

    /// A transport URL with the user `guest`, such as `rabbit://guest:guest@127.0.0.1:18672/osl`.
    ///
    /// `vhost` is the name of a virtual host, such as `"/"`, not encoded.
    pub fn url(&self, vhost: &str) -> String {
        self.url_as("guest", "guest", vhost)
    }

    /// The same as another user.
    pub fn url_as(&self, user: &str, password: &str, vhost: &str) -> String {
        url_of([self.address()].into_iter(), user, password, vhost)
    }

    /// A transport URL by TLS with the user `guest`, which trusts the kit's authority.
    pub fn tls_url(&self, vhost: &str) -> String {
        let url = url_of([self.tls_address()].into_iter(), "guest", "guest", vhost);
        format!("{url}?ssl=true&ssl_ca_file={}", self.certs().join("ca.pem").display())
    }

    /// The same with the client's certificate `client.crt`.
    pub fn mutual_tls_url(&self, vhost: &str) -> String {
        let certs = self.certs();
        let (cert, key) = (certs.join("client.crt"), certs.join("client.key"));
        let (cert, key) = (cert.display(), key.display());
        format!("{}&ssl_cert_file={cert}&ssl_key_file={key}", self.tls_url(vhost))
    }

    /// Where the node speaks AMQP, such as `127.0.0.1:18672`.
    pub fn address(&self) -> &str {
        &self.addresses.amqp
    }

    /// Where the node speaks AMQP by TLS, such as `localhost:18673`.
    pub fn tls_address(&self) -> &str {
        &self.addresses.tls
    }

    /// Where the HTTP API is, if the plugin `rabbitmq_management` is enabled.
    pub fn management_address(&self) -> &str {
        &self.addresses.management
    }

    /// The ports for a proxy in front of the node: clients of [`ProxyPorts::advertised`] are behind it.
    pub fn proxy(&self) -> ProxyPorts {
        self.addresses.proxy
    }

    /// The folder of the certificates; [`testkit::certs::write`] says which there are.
    pub fn certs(&self) -> PathBuf {
        self.run.folder.join("certs")
    }

    /// The folder of the data, the logs (`node-1/server-1.log`, a new one for each start) and `certs`.
    pub fn folder(&self) -> &Path {
        &self.run.folder
    }

    /// The process of the node; the last one where it is down.
    pub fn pid(&self) -> u32 {
        self.run.pid(self.number)
    }

    /// The process that guards the node.
    pub fn guardian_pid(&self) -> u32 {
        self.run.guardian_pid
    }

    /// Kills the node (SIGKILL); returns when it has ended.
    pub fn kill9(&self) {
        self.run.ask("kill", self.number);
    }

    /// Shuts the node down in order; returns when it has ended. After 20 s it is killed.
    pub fn stop(&self) {
        self.run.ask("stop", self.number);
    }

    /// Starts the node after [`Node::kill9`] or [`Node::stop`]; returns when clients can connect.
    pub fn start_again(&self) {
        self.run.start_again(self.number);
    }

    /// Freezes the node (SIGSTOP); returns when it is frozen. Its connections stay open, and nothing answers.
    pub fn pause(&self) {
        self.run.ask("pause", self.number);
    }

    /// Lets a frozen node go on.
    pub fn resume(&self) {
        self.run.ask("resume", self.number);
    }

    /// Runs `rabbitmqctl` on the node and returns its standard output: `ctl(&["list_vhosts"])`. It takes a second.
    pub fn ctl(&self, args: &[&str]) -> String {
        let folder = self.run.folder.to_str().expect("the folder's name is UTF-8");
        SCRIPT.output("ctl", &[&[folder, &self.number.to_string()], args].concat())
    }

    /// Evaluates an Erlang expression in the node and returns its value in Erlang's words. It takes some milliseconds.
    ///
    /// `eval("length(rabbit_vhost:list_names())")` is `"2"`.
    pub fn eval(&self, expression: &str) -> String {
        ask::text(&self.run.folder, &self.addresses.distribution, expression)
    }

    /// The queues of a virtual host, by name.
    pub fn list_queues(&self, vhost: &str) -> Vec<Queue> {
        let mut queues: Vec<Queue> = self.list(&ask::queues(vhost));
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        queues
    }

    /// A queue, if it is there.
    pub fn queue(&self, vhost: &str, name: &str) -> Option<Queue> {
        self.list_queues(vhost).into_iter().find(|queue| queue.name == name)
    }

    /// The exchanges of a virtual host, by name, but for those that are always there (`amq.*` and the default one).
    pub fn list_exchanges(&self, vhost: &str) -> Vec<Exchange> {
        let mut exchanges: Vec<Exchange> = self.list(&ask::exchanges(vhost));
        exchanges
            .retain(|exchange| !exchange.name.is_empty() && !exchange.name.starts_with("amq."));
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        exchanges
    }

    /// The bindings of a virtual host, but for those to the default exchange.
    pub fn list_bindings(&self, vhost: &str) -> Vec<Binding> {
        let mut bindings: Vec<Binding> = self.list(&ask::bindings(vhost));
        bindings.retain(|binding| !binding.exchange.is_empty());
        bindings.sort();
        bindings
    }

    /// The connections of clients to this node.
    pub fn list_connections(&self) -> Vec<Connection> {
        self.list(&ask::connections())
    }

    /// Closes every connection of clients to this node (320 CONNECTION_FORCED), as an operator does.
    pub fn close_connections(&self) {
        self.eval(&ask::close_connections());
    }

    /// Deletes a queue with what is in it; returns when it is gone.
    pub fn delete_queue(&self, vhost: &str, name: &str) {
        self.eval(&ask::delete_queue(vhost, name));
    }

    /// Raises the memory alarm; returns when it is set. Connections that publish are blocked from then on.
    pub fn raise_memory_alarm(&self) {
        self.eval(&ask::memory_alarm(true));
    }

    /// Ends the memory alarm; returns when it is over.
    pub fn clear_memory_alarm(&self) {
        self.eval(&ask::memory_alarm(false));
    }

    fn list<T: serde::de::DeserializeOwned>(&self, expression: &str) -> Vec<T> {
        ask::json(&self.run.folder, &self.addresses.distribution, expression)
    }
}

/// A transport URL with these addresses.
pub(crate) fn url_of<'a>(
    addresses: impl Iterator<Item = &'a str>,
    user: &str,
    password: &str,
    vhost: &str,
) -> String {
    let login = format!("{}:{}", encoded(user), encoded(password));
    let hosts: Vec<String> = addresses.map(|address| format!("{login}@{address}")).collect();
    format!("rabbit://{}/{}", hosts.join(","), encoded(vhost))
}

/// Percent-encoded, but for letters, digits and `-._~`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
