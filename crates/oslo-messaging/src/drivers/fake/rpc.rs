//! Remote calls in memory: the servers of each topic, and what waits for the first of them.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use crate::{
    Error,
    driver::{
        Destination, ReplyTo, RpcDriver, RpcIncoming, RpcOutgoing, RpcSubscription, Serve, Target,
    },
    message::Payload,
    rpc::{CallReport, RemoteError, RpcRequest},
    stats::Stats,
};

/// Exchange and topic.
type Topic = (String, String);

/// See the module's head.
#[derive(Debug)]
pub(super) struct FakeRpc {
    control_exchange: String,
    state: Mutex<State>,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<Topic, Servers>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Servers {
    servers: Vec<Arc<FakeServer>>,
    next: usize,
    /// What came for the topic or for a server of a name that is not there now.
    waiting: VecDeque<(Destination, Request)>,
}

#[derive(Clone, Debug)]
struct Request {
    request: RpcRequest,
    caller: Option<CallReport>,
    monitor: Option<Duration>,
}

impl Request {
    fn incoming(self) -> RpcIncoming {
        RpcIncoming {
            request: self.request,
            reply_to: self.caller.map(|caller| Arc::new(Caller(caller)) as Arc<dyn ReplyTo>),
            monitor: self.monitor,
        }
    }

    /// Whether somebody still waits for the answer, or nobody ever did.
    fn is_wanted(&self) -> bool {
        self.caller.as_ref().is_none_or(|caller| !caller.is_over())
    }
}

impl FakeRpc {
    pub(super) fn new(control_exchange: &str, stats: Arc<Stats>) -> Arc<Self> {
        let control_exchange = control_exchange.to_owned();
        Arc::new(Self { control_exchange, state: Mutex::default(), stats })
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    fn topic(&self, target: &Target) -> Topic {
        let exchange = target.exchange().unwrap_or(&self.control_exchange);
        (exchange.to_owned(), target.topic().to_owned())
    }

    fn send(&self, outgoing: RpcOutgoing, report: &CallReport, is_call: bool) {
        let topic = self.topic(&outgoing.target);
        let mut state = self.lock();
        if state.is_closed {
            return report.not_sent(false, "the transport is closed");
        }
        self.stats.sent.add(1);
        let request = Request {
            request: outgoing.request,
            caller: is_call.then(|| report.clone()),
            monitor: outgoing.monitor,
        };
        let servers = state.topics.entry(topic.clone()).or_default();
        if !servers.give(&outgoing.destination, request) && outgoing.at_least_once {
            servers.waiting.pop_back();
            let key = match &outgoing.destination {
                Destination::Server(server) => format!("{}.{server}", topic.1),
                _ => topic.1,
            };
            return report.undeliverable(&topic.0, &key);
        }
        self.stats.delivered.add(1);
        if !is_call {
            report.sent();
        }
    }

    fn leave(&self, server: &FakeServer) {
        for servers in self.lock().topics.values_mut() {
            servers.servers.retain(|other| !std::ptr::eq(Arc::as_ptr(other), server));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers {
    /// Gives the request to whom it is for; `false`: it waits, for there is nobody.
    fn give(&mut self, destination: &Destination, request: Request) -> bool {
        match destination {
            Destination::Fanout => {
                self.servers.iter().for_each(|server| server.push(request.clone()));
                return true;
            }
            Destination::Server(name) => {
                if let Some(server) = self.servers.iter().find(|server| server.name == *name) {
                    server.push(request);
                    return true;
                }
            }
            Destination::Topic if !self.servers.is_empty() => {
                self.next = (self.next + 1) % self.servers.len();
                self.servers[self.next].push(request);
                return true;
            }
            Destination::Topic => {}
        }
        self.waiting.push_back((destination.clone(), request));
        false
    }
}

/// The driver's part for remote calls.
impl RpcDriver for Arc<FakeRpc> {
    fn call(&self, outgoing: RpcOutgoing, report: CallReport) {
        self.send(outgoing, &report, true);
    }

    fn cast(&self, outgoing: RpcOutgoing, report: CallReport) {
        self.send(outgoing, &report, false);
    }

    fn serve(&self, serve: Serve) -> Result<Arc<dyn RpcSubscription>, Error> {
        let server = Arc::new(FakeServer {
            rpc: Arc::downgrade(self),
            name: serve.server,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let topic = self.topic(&serve.target);
        let mut state = self.lock();
        let servers = state.topics.entry(topic).or_default();
        servers.servers.push(Arc::clone(&server));
        for (destination, request) in std::mem::take(&mut servers.waiting) {
            if request.is_wanted() {
                servers.give(&destination, request);
            }
        }
        Ok(server)
    }
}

struct FakeServer {
    rpc: Weak<FakeRpc>,
    name: String,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    is_stopped: bool,
}

impl FakeServer {
    fn push(&self, request: Request) {
        self.lock().requests.push_back(request);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RpcSubscription for FakeServer {
    fn recv(&self) -> Option<RpcIncoming> {
        let mut queue = self.lock();
        loop {
            match queue.requests.pop_front() {
                Some(request) if request.is_wanted() => return Some(request.incoming()),
                Some(_) => {}
                None if queue.is_stopped => return None,
                None => {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn ready(&self, _: Duration) -> Result<(), Error> {
        Ok(())
    }

    fn stop(&self) {
        if let Some(rpc) = self.rpc.upgrade() {
            rpc.leave(self);
        }
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    fn close(&self, _: Duration) -> Result<(), Error> {
        Ok(())
    }
}

impl fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeServer").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Caller(CallReport);

impl ReplyTo for Caller {
    fn answer(&self, answer: Result<&Payload, &RemoteError>) {
        match answer {
            Ok(result) => self.0.answered(Ok(result.clone())),
            Err(error) => self.0.answered(Err(&error.to_json())),
        }
    }

    fn heartbeat(&self) {
        self.0.alive();
    }
}
