//! Serving: the requests for one server, and the way of its answers.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lapin::{message::Delivery, options::BasicAckOptions};
use tokio::sync::Semaphore;

use super::{
    Live,
    answers::Answers,
    config::RabbitOptions,
    message::{Request, read_request, unpacked},
    seen::Seen,
    session::{Role, Session},
    topology::Queue,
};
use crate::{
    Error,
    driver::{ReplyTo, RpcIncoming, RpcSubscription, Serve},
    message::Payload,
    rpc::RemoteError,
    stats::Stats,
};

/// One server's subscription.
#[derive(Debug)]
pub(super) struct RabbitServer {
    requests: Arc<Requests>,
    session: Session,
    _live: Arc<Live>,
}

impl RabbitServer {
    pub(super) fn new(requests: Arc<Requests>, session: Session, live: Arc<Live>) -> Self {
        Self { requests, session, _live: live }
    }
}

impl RpcSubscription for RabbitServer {
    fn recv(&self) -> Option<RpcIncoming> {
        let request = self.requests.take()?;
        self.requests.room.add_permits(1);
        Some(request)
    }

    fn ready(&self, timeout: Duration) -> Result<(), Error> {
        self.session.ready(timeout)
    }

    fn stop(&self) {
        // The workers end when the session says that it has accepted the last one.
        self.session.stop();
    }

    fn close(&self, deadline: Duration) -> Result<(), Error> {
        let until = Instant::now() + deadline;
        self.stop();
        self.session.wait_ended(until);
        match self.requests.answers.wait_sent(until) {
            0 => Ok(()),
            left => Err(Error::Unfinished { what: "rabbit rpc server", left }),
        }
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The requests that were acknowledged and not taken by a worker yet.
pub(super) struct Requests {
    queues: Vec<Queue>,
    prefetch: u16,
    /// How many more may be acknowledged before workers have taken some.
    room: Semaphore,
    accepted: Mutex<Accepted>,
    changed: Condvar,
    seen: Mutex<Seen>,
    pub(super) answers: Arc<Answers>,
    stats: Arc<Stats>,
}

#[derive(Default)]
struct Accepted {
    requests: VecDeque<RpcIncoming>,
    /// Nothing more is acknowledged: what is here is the last.
    is_complete: bool,
}

impl Requests {
    pub(super) fn new(
        options: &RabbitOptions,
        serve: &Serve,
        unique: &str,
        answers: Arc<Answers>,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        let Serve { target, server, max_running } = serve;
        let most = (*max_running).clamp(1, 10_000);
        Arc::new(Self {
            queues: vec![
                options.server_queue(target, None),
                options.server_queue(target, Some(server)),
                options.fanout_queue(target, unique),
            ],
            // What would wait here can wait at the broker, where other servers get it.
            prefetch: match options.prefetch {
                0 => u16::try_from(most * 2).unwrap_or(u16::MAX),
                prefetch => prefetch,
            },
            room: Semaphore::new(most),
            accepted: Mutex::default(),
            changed: Condvar::new(),
            seen: Mutex::default(),
            answers,
            stats,
        })
    }

    fn take(&self) -> Option<RpcIncoming> {
        let mut accepted = self.lock();
        loop {
            if let Some(request) = accepted.requests.pop_front() {
                return Some(request);
            }
            if accepted.is_complete {
                return None;
            }
            accepted = self.changed.wait(accepted).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn complete(&self) {
        self.lock().is_complete = true;
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, request: Request) {
        let Request { request, reply, monitor, .. } = request;
        let reply_to = reply.map(|(id, queue)| {
            let answers = Arc::clone(&self.answers);
            Arc::new(Caller { id, queue, answers }) as Arc<dyn ReplyTo>
        });
        let incoming = RpcIncoming { request, reply_to, monitor };
        self.lock().requests.push_back(incoming);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("queues", &self.queues).finish_non_exhaustive()
    }
}

/// What a session calls; the requests themselves know nothing of their `Arc`.
#[derive(Debug)]
pub(super) struct ServerRole(pub(super) Arc<Requests>);

impl Role for ServerRole {
    fn name(&self) -> &'static str {
        "rpc-server"
    }

    fn queues(&self) -> Vec<Queue> {
        self.0.queues.clone()
    }

    fn prefetch(&self) -> u16 {
        self.0.prefetch
    }

    fn ended(&self) {
        self.0.complete();
    }

    fn drained(&self) -> impl Future<Output = ()> + Send {
        self.0.complete();
        std::future::ready(())
    }

    async fn came(&self, queue: usize, delivery: Delivery) {
        let requests = &self.0;
        requests.stats.received.add(1);
        let Delivery { data, properties, acker, .. } = delivery;
        let read = unpacked(&properties, data).and_then(|body| read_request(&body));
        let request = match read {
            Ok(request) => request,
            Err(words) => {
                requests.stats.undecodable.add(1);
                let queue = &requests.queues[queue].name;
                tracing::error!(queue, "skipped a request {words}");
                let _ = acker.ack(BasicAckOptions::default()).await;
                return;
            }
        };
        let is_new = match &request.unique_id {
            Some(id) => requests.seen.lock().unwrap_or_else(PoisonError::into_inner).is_new(id),
            None => true,
        };
        if !is_new {
            let method = &request.request.method;
            tracing::warn!(method, "skipped a request that came before");
            let _ = acker.ack(BasicAckOptions::default()).await;
            return;
        }
        // Fails only when it is closed, which it never is.
        if let Ok(permit) = requests.room.acquire().await {
            permit.forget();
        }
        // Acknowledged before it runs; where that fails it is not run, for it comes again.
        match acker.ack(BasicAckOptions::default()).await {
            Ok(true) => requests.accept(request),
            Ok(false) | Err(_) => {
                requests.room.add_permits(1);
                if let Some(id) = &request.unique_id {
                    let mut seen = requests.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.forget(id);
                }
            }
        }
    }
}

/// Who waits for the answer to one request.
struct Caller {
    id: String,
    queue: String,
    answers: Arc<Answers>,
}

impl ReplyTo for Caller {
    fn answer(&self, answer: Result<&Payload, &RemoteError>) {
        self.answers.send(&self.id, &self.queue, Some(answer));
    }

    fn heartbeat(&self) {
        self.answers.send(&self.id, &self.queue, None);
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("queue", &self.queue).finish_non_exhaustive()
    }
}
