//! The handle that tests hold, and the meaning of what the guardian answers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use testkit::ProxyPorts;
use testkit::certs;
use testkit::guardian::{Guardian, Script, field, number};

use crate::admin::{self, Operation, Resource};

/// What starts and ends the nodes.
const SCRIPT: Script =
    Script { product: "Kafka", path: concat!(env!("CARGO_MANIFEST_DIR"), "/kit/kafka.sh") };

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One node without security.
    Single,
    /// Three nodes without security; replication factor 3, `min.insync.replicas` 2.
    Cluster,
    /// One node with a listener for each security protocol, and ACLs that allow nothing until told.
    Secure,
    /// As [`Layout::Secure`], with a Kerberos realm: of the listeners, [`Listener::Internal`],
    /// [`Listener::Sasl`] and the two of Kerberos. Needs Debian's krb5-kdc and krb5-admin-server.
    Kerberos,
}

/// A listener of [`Layout::Secure`].
///
/// The users of SASL are `admin` (superuser), `alice` and `bob`, with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512;
/// the password of `alice` is `alice-secret`. OAUTHBEARER takes unsecured tokens with the scope `kafka`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Plaintext without authentication, for superusers; also [`Kafka::bootstrap`].
    Internal,
    /// `SASL_PLAINTEXT`.
    Sasl,
    /// `SSL` without client certificates; its clients are superusers, too.
    Tls,
    /// `SSL` with client certificates; `client.crt` is `User:client-alice`.
    Mtls,
    /// `SASL_SSL`.
    SaslTls,
    /// `SSL` by a broker whose certificate is made out to another host.
    WrongHost,
    /// `SSL` by a broker whose certificate has expired.
    Expired,
    /// `SASL_PLAINTEXT` with OAUTHBEARER alone, whose tokens are verified: see [`Kafka::token`].
    Token,
    /// The same with `SASL_SSL`.
    TokenTls,
    /// `SASL_PLAINTEXT` with GSSAPI alone, of [`Layout::Kerberos`]: see [`Kafka::realm`].
    Kerberos,
    /// `SASL_SSL` with GSSAPI alone, of [`Layout::Kerberos`].
    KerberosTls,
}

/// The names in the guardian's answer, which are those of [`Listener`] in lower case.
const LISTENERS: [&str; 10] = [
    "sasl",
    "tls",
    "mtls",
    "sasltls",
    "wronghost",
    "expired",
    "token",
    "tokentls",
    "kerberos",
    "kerberostls",
];

/// A running Kafka. Dropping it kills the nodes, wipes their data and waits until both is done.
///
/// Nodes have the numbers 1 to [`Kafka::nodes`]; a node keeps its ports and its data when it comes back.
/// Each method panics when it cannot do what it says, with the reason.
#[derive(Debug)]
pub struct Kafka {
    bootstrap: String,
    proxies: Vec<ProxyPorts>,
    /// By name, as the guardian names them.
    listeners: Vec<(String, String)>,
    folder: PathBuf,
    guardian_pid: u32,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    guardian: Guardian,
    /// By node; the last one known where the node is down.
    pids: Vec<u32>,
}

/// One single node for all tests of this test binary, started at the first call.
///
/// Tests share it by [`unique`](crate::unique) topics and groups, and do not stop it. It ends with the process.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::single)
}

impl Kafka {
    /// Starts one node; returns when clients can connect.
    pub fn single() -> Self {
        Self::with(Layout::Single, &[])
    }

    /// Starts three nodes; returns when clients can connect to each.
    ///
    /// Nodes are declared dead after 6 s; for Kafka's own default use [`Kafka::with`] and
    /// `broker.session.timeout.ms=9000`.
    pub fn cluster() -> Self {
        Self::with(Layout::Cluster, &[])
    }

    /// Starts one node with every security protocol.
    pub fn secure() -> Self {
        Self::with(Layout::Secure, &[])
    }

    /// Starts `layout` with more broker properties, such as `["connections.max.reauth.ms=5000"]`.
    ///
    /// They win over the kit's own. `@DIR@` in them becomes the data folder: its `certs/` is made before the start.
    pub fn with(layout: Layout, properties: &[&str]) -> Self {
        let kind = match layout {
            Layout::Single => "single",
            Layout::Cluster => "cluster",
            Layout::Secure => "secure",
            Layout::Kerberos => "kerberos",
        };
        let (guardian, ready) = Guardian::start(SCRIPT, kind, properties);
        let field = |name: &str| field(&ready, name).unwrap_or_default();
        Self {
            bootstrap: field("bootstrap").to_owned(),
            proxies: field("proxied").split(',').filter_map(ProxyPorts::parse).collect(),
            listeners: match layout {
                Layout::Secure | Layout::Kerberos => {
                    LISTENERS.map(|name| (name.into(), field(name).into())).into()
                }
                Layout::Single | Layout::Cluster => Vec::new(),
            },
            folder: field("dir").into(),
            guardian_pid: number(field("guardian")),
            running: Mutex::new(Running {
                guardian,
                pids: field("pids").split(',').map(number).collect(),
            }),
        }
    }

    /// The addresses for `bootstrap.servers`, such as `127.0.0.1:18673`, one for each node.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The same addresses as an oslo.messaging URL, such as `kafka://127.0.0.1:18673/`.
    pub fn transport_url(&self) -> String {
        format!("kafka://{}/", self.bootstrap)
    }

    /// How many nodes there are, whether they run or not.
    pub fn nodes(&self) -> u32 {
        self.bootstrap.split(',').count() as u32
    }

    /// Shuts a node down in order, leaders first; returns when it has ended.
    ///
    /// A node that has not ended after 20 s, as without a quorum, is killed.
    pub fn stop(&self, node: u32) {
        self.ask("stop", node);
    }

    /// Kills a node (SIGKILL); returns when it has ended.
    pub fn kill(&self, node: u32) {
        self.ask("kill", node);
    }

    /// Starts a node that was stopped or killed; returns when it takes part again.
    ///
    /// After [`Kafka::kill`] that can take as long as `broker.session.timeout.ms`, since the controller first
    /// waits for the end of the dead node's session.
    pub fn start(&self, node: u32) {
        let answer = self.ask("start", node);
        let pid = number(field(&answer, "pid").unwrap_or_default());
        self.running().pids[node as usize - 1] = pid;
    }

    /// Starts every node that is down, at once; returns when all take part. The way back when most
    /// are down: one alone finds no quorum.
    pub fn start_all(&self) {
        let mut running = self.running();
        let answer = running.guardian.ask("start all");
        running.pids = field(&answer, "pids").unwrap_or_default().split(',').map(number).collect();
    }

    /// Freezes a node (SIGSTOP); returns when it is frozen. Its connections stay open, and it accepts none.
    pub fn pause(&self, node: u32) {
        self.ask("pause", node);
    }

    /// Lets a frozen node go on.
    pub fn resume(&self, node: u32) {
        self.ask("resume", node);
    }

    /// The process of a node, for measurements; the last one where the node is down.
    pub fn pid(&self, node: u32) -> u32 {
        let index = (node as usize).wrapping_sub(1);
        *self
            .running()
            .pids
            .get(index)
            .unwrap_or_else(|| panic!("no node {node}: nodes are 1 to {}", self.nodes()))
    }

    /// The process that guards the nodes.
    pub fn guardian_pid(&self) -> u32 {
        self.guardian_pid
    }

    /// The folder of the data, the logs (`node-1/server-1.log`, a new one for each start) and `certs`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ports for a proxy in front of each node. Empty for [`Layout::Secure`].
    ///
    /// Clients that start at the advertised ports stay behind the proxies.
    pub fn proxies(&self) -> &[ProxyPorts] {
        &self.proxies
    }

    /// The address of a listener of [`Layout::Secure`], such as `127.0.0.1:28324`.
    pub fn listener(&self, listener: Listener) -> &str {
        if listener == Listener::Internal {
            return &self.bootstrap;
        }
        let name = format!("{listener:?}").to_ascii_lowercase();
        let found = self.listeners.iter().find(|(of, _)| *of == name).map(|(_, address)| address);
        found.unwrap_or_else(|| panic!("only a secure Kafka has the listener {listener:?}"))
    }

    /// The certificates of [`Layout::Secure`], in PEM. `NAME.crt` has its key in `NAME.key`.
    ///
    /// | file | is |
    /// |---|---|
    /// | `ca.pem`, `ca.d` | the authority, as a file and as a folder |
    /// | `other-ca.pem` | an authority that no client should trust |
    /// | `client.crt` | `User:client-alice`; `client-enc.key` is its key under [`KEY_PASSWORD`](crate::KEY_PASSWORD) |
    /// | `stranger.crt`, `client-expired.crt` | clients that [`Listener::Mtls`] must refuse |
    /// | `server.pem`, `wronghost.pem`, `expired.pem`, `other.pem` | key stores for the broker; `other.pem` is of the other authority |
    pub fn certs(&self) -> PathBuf {
        assert!(!self.listeners.is_empty(), "only a secure Kafka has certificates");
        self.folder.join("certs")
    }

    /// The folder of the realm of [`Layout::Kerberos`], `OSLOMSG.TEST`: `krb5.conf` for `KRB5_CONFIG`, and the
    /// keytabs `admin.keytab`, `alice.keytab`, `bob.keytab` of the users and `kafka.keytab` of the broker. The
    /// key in `carol.keytab` was changed since, and `mallory` of `mallory.keytab` is no longer known.
    pub fn realm(&self) -> PathBuf {
        let realm = self.folder.join("realm");
        assert!(realm.is_dir(), "only a Kafka with Kerberos has a realm");
        realm
    }

    /// Lets a user do something from now on, such as `allow("alice", Resource::Topic("t"), Operation::Write)`.
    pub fn allow(&self, user: &str, resource: Resource<'_>, operation: Operation) {
        admin::right(&self.bootstrap, true, user, resource, operation);
    }

    /// Takes back what [`Kafka::allow`] gave.
    pub fn disallow(&self, user: &str, resource: Resource<'_>, operation: Operation) {
        admin::right(&self.bootstrap, false, user, resource, operation);
    }

    /// Gives a user of SCRAM another password, or makes the user.
    pub fn set_password(&self, user: &str, password: &str) {
        admin::password(&self.bootstrap, user, password);
    }

    /// Makes a topic with one replica, unless it is there.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        admin::topic(&self.bootstrap, name, partitions);
    }

    /// Gives a listener another key store from [`Kafka::certs`], such as `other.pem`; returns when new connections see it.
    pub fn set_key_store(&self, listener: Listener, file: &str) {
        let path = self.certs().join(file);
        let path = path.to_str().expect("the folder's name is UTF-8");
        let name = format!("{listener:?}").to_ascii_lowercase();
        let property = format!("listener.name.{name}.ssl.keystore.location");
        admin::property(&self.bootstrap, &property, path);
        certs::await_shown(self.listener(listener), &self.certs().join(file));
    }

    /// A signed token for [`Listener::Token`] with these claims, in JSON. The listener wants `sub`, `iat`, `exp`,
    /// `"iss": "oslomsg-kit"` and `"aud": "kafka"`.
    pub fn token(&self, claims: &str) -> String {
        certs::token(&self.certs(), claims)
    }

    /// Runs one of Kafka's own tools on this Kafka and returns its standard output: `tool("topics", &["--list"])`.
    ///
    /// `--bootstrap-server` is added. The names are those of `kit/kafka.sh`: topics, groups, acls, configs, ...
    pub fn tool(&self, name: &str, args: &[&str]) -> String {
        SCRIPT.output("tool", &[&[name, "--bootstrap-server", &self.bootstrap], args].concat())
    }

    fn ask(&self, command: &str, node: u32) -> String {
        self.running().guardian.ask(&format!("{command} {node}"))
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        // One test's panic leaves nothing half done here.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
