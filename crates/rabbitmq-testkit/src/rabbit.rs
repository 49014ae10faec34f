//! The handles that tests hold, and the meaning of what the guardian answers.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use testkit::ProxyPorts;
use testkit::guardian::{Guardian, Script, field, number};

use crate::builder::RabbitBuilder;
use crate::node::{Addresses, Node, url_of};

/// What starts and ends the nodes.
pub(crate) const SCRIPT: Script =
    Script { product: "RabbitMQ", path: concat!(env!("CARGO_MANIFEST_DIR"), "/kit/rabbit.sh") };

/// One node of RabbitMQ, with the methods of [`Node`]. Dropping it kills the node, wipes its data and waits until
/// both is done.
#[derive(Debug)]
pub struct Rabbit(Node);

/// Three nodes of RabbitMQ that know each other. Dropping it kills them, wipes their data and waits until both is done.
///
/// The nodes have the numbers 1 to 3. A part that is cut off from the majority stops serving until it finds back
/// (`pause_minority`); a frozen node counts as gone after some 8 s.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    run: Arc<Run>,
}

/// What nodes of one run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) folder: PathBuf,
    pub(crate) guardian_pid: u32,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    guardian: Guardian,
    /// By node; the last one known where the node is down.
    pids: Vec<u32>,
}

/// One node for all tests of this test binary, started at the first call.
///
/// Tests share it by [`unique`](crate::unique) exchanges and topics, and do not stop it. It ends with the process.
pub fn shared() -> &'static Rabbit {
    static SHARED: OnceLock<Rabbit> = OnceLock::new();
    SHARED.get_or_init(Rabbit::start)
}

impl Rabbit {
    /// Starts one node; returns when clients can connect.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Settings first.
    pub fn builder() -> RabbitBuilder {
        RabbitBuilder::default()
    }

    pub(crate) fn with(lines: &[String]) -> Self {
        let mut nodes = start("single", lines).0;
        Self(nodes.remove(0))
    }
}

impl Deref for Rabbit {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

impl Cluster {
    /// Starts a cluster; returns when clients can connect to each node. `nodes` must be 3.
    pub fn start(nodes: u32) -> Self {
        assert_eq!(nodes, 3, "a cluster has 3 nodes here");
        RabbitBuilder::default().start_cluster()
    }

    pub(crate) fn with(lines: &[String]) -> Self {
        let (nodes, run) = start("cluster", lines);
        Self { nodes, run }
    }

    /// The node of this number, from 1.
    pub fn node(&self, number: u32) -> &Node {
        let node = self.nodes.get((number as usize).wrapping_sub(1));
        node.unwrap_or_else(|| panic!("no node {number}: nodes are 1 to {}", self.nodes.len()))
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A transport URL with the addresses of all nodes and `guest`, such as
    /// `rabbit://guest:guest@127.0.0.1:18672,guest:guest@127.0.0.1:18677/osl`.
    pub fn url(&self, vhost: &str) -> String {
        self.url_as("guest", "guest", vhost)
    }

    /// The same as another user.
    pub fn url_as(&self, user: &str, password: &str, vhost: &str) -> String {
        url_of(self.nodes.iter().map(Node::address), user, password, vhost)
    }

    /// Starts every node that is down, at once; returns when all serve. The way back when all are down: one alone
    /// waits for the one that was up last.
    pub fn start_all_again(&self) {
        self.run.start_all();
    }
}

impl Run {
    pub(crate) fn ask(&self, command: &str, node: u32) -> String {
        self.running().guardian.ask(&format!("{command} {node}"))
    }

    pub(crate) fn start_again(&self, node: u32) {
        let mut running = self.running();
        let answer = running.guardian.ask(&format!("start {node}"));
        running.pids[node as usize - 1] = number(field(&answer, "pid").unwrap_or_default());
    }

    fn start_all(&self) {
        let mut running = self.running();
        let answer = running.guardian.ask("start all");
        running.pids = field(&answer, "pids").unwrap_or_default().split(',').map(number).collect();
    }

    pub(crate) fn pid(&self, node: u32) -> u32 {
        self.running().pids[node as usize - 1]
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // One test's panic leaves nothing half done here.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(kind: &str, lines: &[String]) -> (Vec<Node>, Arc<Run>) {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (guardian, ready) = Guardian::start(SCRIPT, kind, &lines);
    let list = |name: &str| field(&ready, name).unwrap_or_default().split(',');
    let run = Arc::new(Run {
        folder: Path::new(field(&ready, "dir").unwrap_or_default()).to_owned(),
        guardian_pid: number(field(&ready, "guardian").unwrap_or_default()),
        running: Mutex::new(Running { guardian, pids: list("pids").map(number).collect() }),
    });
    let ports = list("amqp").zip(list("tls")).zip(list("dist")).zip(list("management"));
    let nodes = ports.zip(list("proxied")).zip(1..).map(|(fields, node)| {
        let ((((amqp, tls), dist), management), proxied) = fields;
        let addresses = Addresses {
            amqp: amqp.to_owned(),
            tls: tls.replace("127.0.0.1", "localhost"),
            distribution: dist.to_owned(),
            management: management.to_owned(),
            proxy: ProxyPorts::parse(proxied).expect("the guardian names two ports"),
        };
        Node::new(node, addresses, Arc::clone(&run))
    });
    (nodes.collect(), run)
}
