//! A bad network between clients and a node: a TCP proxy on loopback whose faults are switched while it runs.

mod owner;
mod pump;

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use owner::owns;
use pump::{Connection, End, Pump};

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToBroker,
    /// Answers.
    ToClient,
}

/// What happens to the bytes of one direction, on all connections. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How long each byte is under way. What follows goes on meanwhile.
    pub latency: Duration,
    /// By how much that varies, both ways, with every piece that is read. Order is kept.
    pub jitter: Duration,
    /// Bytes a second of each connection.
    pub bytes_per_second: Option<u64>,
    /// Bytes are written in pieces of at most so many, with this pause after each.
    pub slices: Option<(usize, Duration)>,
    /// Bytes are taken and dropped, and the connection is kept. A connection that has lost bytes gets no more in
    /// this direction even when this is switched off: TCP has no holes.
    pub black_hole: bool,
    /// A connection is closed after so many more bytes, in the middle of a request or not.
    pub cut_after: Option<u64>,
    /// Some bytes are changed.
    pub flips: Option<Flips>,
}

/// Bytes that are changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flips {
    /// One byte of so many is changed; at least 1.
    pub every: u64,
    /// What it is changed by.
    pub seed: u64,
}

/// The two ports of a node's listener for a test's own proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyPorts {
    /// Where the proxy connects to, on 127.0.0.1.
    pub broker: u16,
    /// Where the proxy listens, on 127.0.0.1. A broker that tells its clients where it is, as Kafka, names this.
    pub advertised: u16,
}

impl ProxyPorts {
    /// Reads `BROKER:ADVERTISED`.
    pub fn parse(text: &str) -> Option<Self> {
        let (broker, advertised) = text.split_once(':')?;
        Some(Self { broker: broker.parse().ok()?, advertised: advertised.parse().ok()? })
    }
}

/// A proxy in front of a node. Dropping it ends it, with all of its connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddrV4,
    /// `None` while connections are refused.
    acceptor: Mutex<Option<Acceptor>>,
}

/// What its threads share.
#[derive(Debug)]
struct Shared {
    target: SocketAddrV4,
    switches: Mutex<Switches>,
    open: Mutex<Vec<Open>>,
    /// Processes whose connections are reset.
    shunned: Mutex<Vec<u32>>,
    accepted: AtomicU64,
    passed: [AtomicU64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Switches {
    faults: [Faults; 2],
    /// Changes with the faults, so that each connection starts to count anew.
    version: u64,
}

#[derive(Debug)]
struct Open {
    /// Its threads hold it: the last one to end closes it.
    connection: Weak<Connection>,
    pumps: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Acceptor {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Proxy {
    /// Listens at `ports.advertised` for `ports.broker`; as `ports` of a test kit has them.
    ///
    /// # Panics
    ///
    /// When the port cannot be bound.
    pub fn start(ports: ProxyPorts) -> Self {
        Self::between(ports.advertised, ports.broker)
    }

    /// Listens at a port of 127.0.0.1, 0 for a free one, and connects to another one.
    ///
    /// # Panics
    ///
    /// When the port cannot be bound.
    pub fn between(port: u16, target: u16) -> Self {
        let local = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        Self::at(local(port), local(target))
    }

    /// Listens at one address and connects to another one, such as 127.0.1.2 and 127.0.2.2.
    ///
    /// # Panics
    ///
    /// When the address cannot be bound.
    pub fn at(address: SocketAddrV4, target: SocketAddrV4) -> Self {
        let listener = listen(address);
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let shared = Arc::new(Shared {
            target,
            switches: Mutex::default(),
            open: Mutex::default(),
            shunned: Mutex::default(),
            accepted: AtomicU64::new(0),
            passed: [const { AtomicU64::new(0) }; 2],
        });
        let acceptor = Mutex::new(Some(Acceptor::start(listener, &shared)));
        Self { shared, address: SocketAddrV4::new(*address.ip(), port), acceptor }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What happens to bytes from now on, on open connections, too. Bytes that are under way stay so.
    pub fn set(&self, direction: Direction, faults: Faults) {
        let mut switches = self.shared.switches();
        switches.faults[direction as usize] = faults;
        switches.version += 1;
    }

    /// The same in both directions.
    pub fn set_both(&self, faults: Faults) {
        self.set(Direction::ToBroker, faults);
        self.set(Direction::ToClient, faults);
    }

    /// Resets the connections of these processes, those that are open and new ones, and no others.
    pub fn shun(&self, pids: &[u32]) {
        *lock(&self.shared.shunned) = pids.to_vec();
        self.shared.end(End::Reset, |connection| owns(pids, connection.client()));
    }

    /// No faults, and all new connections are taken. Connections that have lost bytes are reset.
    pub fn heal(&self) {
        self.set_both(Faults::default());
        self.shun(&[]);
        self.shared.end(End::Reset, |connection| connection.has_lost_bytes());
        self.refuse(false);
    }

    /// Ends all connections at once (RST); new ones are taken.
    pub fn reset(&self) {
        self.shared.end(End::Reset, |_| true);
    }

    /// Whether new connections are refused; those that are open stay so.
    ///
    /// # Panics
    ///
    /// When the port cannot be bound again.
    pub fn refuse(&self, refuse: bool) {
        let mut acceptor = lock(&self.acceptor);
        if refuse {
            if let Some(acceptor) = acceptor.take() {
                acceptor.end(self.address);
            }
        } else if acceptor.is_none() {
            *acceptor = Some(Acceptor::start(listen(self.address), &self.shared));
        }
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        let open = lock(&self.shared.open);
        open.iter().filter(|open| !open.pumps.iter().all(JoinHandle::is_finished)).count()
    }

    /// Connections that were ever taken.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Bytes that were passed on so far.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.passed[direction as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.refuse(true);
        self.shared.end(End::Close, |_| true);
        let open = std::mem::take(&mut *lock(&self.shared.open));
        for pump in open.into_iter().flat_map(|open| open.pumps) {
            // Its panic is on standard error already.
            let _ = pump.join();
        }
    }
}

impl Acceptor {
    fn start(listener: TcpListener, shared: &Arc<Shared>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(shared));
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(client) = client {
                    shared.accept(client);
                }
            }
        });
        Self { stop, thread }
    }

    fn end(self, address: SocketAddrV4) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it. The connection is reset with the listener.
        let _ = TcpStream::connect(address);
        let _ = self.thread.join();
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, client: TcpStream) {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(&self.open);
        open.retain(|open| !open.pumps.iter().all(JoinHandle::is_finished));
        let shunned = client.peer_addr().is_ok_and(|peer| owns(&lock(&self.shunned), peer));
        let broker = if shunned { None } else { TcpStream::connect(self.target).ok() };
        let Some(broker) = broker else {
            // As a node that is down would answer.
            let _ = pump::reset_at_close(&client);
            return;
        };
        let Ok(connection) = Connection::new(client, broker) else { return };
        let connection = Arc::new(connection);
        let pumps = [Direction::ToBroker, Direction::ToClient].map(|direction| {
            let pump = Pump::new(Arc::clone(&connection), direction, number);
            let shared = Arc::clone(self);
            thread::spawn(move || pump.run(&shared))
        });
        open.push(Open { connection: Arc::downgrade(&connection), pumps: pumps.into() });
    }

    fn end(&self, end: End, which: impl Fn(&Connection) -> bool) {
        let open = lock(&self.open);
        let connections = open.iter().filter_map(|open| open.connection.upgrade());
        connections
            .filter(|connection| which(connection))
            .for_each(|connection| connection.end(end));
    }

    fn switches(&self) -> MutexGuard<'_, Switches> {
        lock(&self.switches)
    }
}

fn listen(address: SocketAddrV4) -> TcpListener {
    // The port is reserved by the kit, but a connection that is just ending may still hold it.
    let mut attempts = 0;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts < 100 => {
                attempts += 1;
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{address} cannot be bound for a proxy: {error}"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // One thread's panic leaves nothing half done here.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
