//! RPC and notifications over RabbitMQ (AMQP 0-9-1), by lapin.
//!
//! | file | has |
//! |---|---|
//! | `config` | the options, and what the URL says |
//! | `topology` | exchanges and queues: names, arguments, declaring |
//! | `names` | names of queues that are one process's alone |
//! | `message` | bodies and properties, both ways |
//! | `connection` | one connection: TCP, TLS, login; and which host is next |
//! | `producer` | sending: one connection for all, confirmations, what is sent again |
//! | `declared` | what is declared before it is sent to |
//! | `session` | consuming: a connection, its queues, its end and its return |
//! | `replies` | answers to this process's calls |
//! | `consumer` | requests for a server |
//! | `answers` | a server's answers |
//! | `listener` | notifications for a listener |
//! | `look` | how much waits in queues |
//! | `seen` | which messages came before |
//! | `error` | the broker's codes in the library's words |
//!
//! Connections have one purpose each, for the broker stops reading from one that publishes when it
//! is low on memory: acknowledgements must not wait behind that. An async runtime of one thread
//! belongs to each transport; what the library's callers wait for, they wait for in their threads.

mod answers;
mod config;
mod connection;
mod consumer;
mod declared;
mod error;
mod listener;
mod look;
mod message;
mod names;
mod producer;
mod replies;
mod seen;
mod session;
mod topology;

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use openssl::ssl::SslConnector;
use tokio::runtime::{Builder, Runtime};

use answers::Answers;
use config::RabbitOptions;
use connection::Hosts;
use consumer::{RabbitServer, Requests, ServerRole};
use listener::{ListenerRole, RabbitListener, Records};
#[cfg(feature = "fuzzing")]
pub use message::fuzz_messages;
use message::{new_id, notification_body, request_body};
use producer::{Done, End, Producer, Publish};
use replies::Replies;
use session::Session;
use topology::routing_key;

use crate::{
    Error,
    config::Config,
    driver::{
        Capabilities, Destination, Driver, Outgoing, RpcDriver, RpcOutgoing, RpcSubscription,
        Serve, Subscribe, Subscription, Waiting,
    },
    error::{Cause, Outcome},
    receipt::{Failure, Report},
    rpc::CallReport,
    stats::Stats,
    url::TransportUrl,
    wire::ContextStyle,
};

pub(crate) const SCHEME: &str = "rabbit";
/// How long a subscription waits for its queues before it is left to itself.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The driver of `rabbit://`.
pub(crate) struct RabbitDriver {
    options: Arc<RabbitOptions>,
    tls: Option<Arc<SslConnector>>,
    stats: Arc<Stats>,
    live: OnceLock<Arc<Live>>,
    /// Only one thread makes what lives.
    making: Mutex<()>,
    is_closed: AtomicBool,
}

/// What begins with the first use. Subscriptions keep it, too: they may outlive the transport.
struct Live {
    runtime: Option<Runtime>,
    producer: Producer,
    answers: Arc<Answers>,
    replies: OnceLock<(Arc<Replies>, Arc<Session>)>,
}

impl Live {
    fn handle(&self) -> tokio::runtime::Handle {
        let runtime = self.runtime.as_ref().expect("a runtime is there until the drop");
        runtime.handle().clone()
    }

    /// Blocks until what a broker is asked has its answer.
    fn wait_for<T: Send + 'static>(
        &self,
        asked: impl Future<Output = Result<T, String>> + Send + 'static,
        timeout: Duration,
    ) -> Result<T, Error> {
        let (sender, answer) = std::sync::mpsc::channel();
        self.handle().spawn(async move {
            // Nobody waits any longer.
            let _ = sender.send(tokio::time::timeout(timeout, asked).await);
        });
        let cause = match answer.recv() {
            Ok(Ok(Ok(found))) => return Ok(found),
            Ok(Ok(Err(cause))) => cause,
            _ => format!("the broker has not answered within {} s", timeout.as_secs_f64()),
        };
        Err(Error::NotReady { cause })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last handle may be dropped anywhere, also in an async task.
            runtime.shutdown_background();
        }
    }
}

impl RabbitDriver {
    pub(crate) fn open(
        url: &TransportUrl,
        config: &Config,
        stats: Arc<Stats>,
    ) -> Result<Self, Error> {
        let options = Arc::new(RabbitOptions::resolve(url, config)?);
        let tls = options.tls.as_ref().map(connection::connector).transpose()?.map(Arc::new);
        Ok(Self {
            options,
            tls,
            stats,
            live: OnceLock::new(),
            making: Mutex::new(()),
            is_closed: AtomicBool::new(false),
        })
    }

    fn hosts(&self) -> Hosts {
        Hosts::new(&self.options, self.tls.clone())
    }

    fn live(&self) -> Result<&Arc<Live>, Error> {
        if let Some(live) = self.live.get() {
            return Ok(live);
        }
        let _only_one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = self.live.get() {
            return Ok(live);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rabbit")
            .enable_all()
            .build()
            .map_err(|source| Error::Broker {
                driver: SCHEME,
                operation: "start a thread".to_owned(),
                source: Box::new(source),
            })?;
        let guard = runtime.enter();
        let producer = Producer::start(&self.options, self.hosts());
        drop(guard);
        let handle = runtime.handle().clone();
        let answers = Answers::new(&self.options, producer.clone(), handle);
        let live = Live { runtime: Some(runtime), producer, answers, replies: OnceLock::new() };
        Ok(self.live.get_or_init(|| Arc::new(live)))
    }

    /// The queue of answers, which is made with the first call.
    fn replies<'a>(&self, live: &'a Live) -> &'a (Arc<Replies>, Arc<Session>) {
        live.replies.get_or_init(|| {
            let replies = Replies::new(self.options.reply_queue(&self.options.unique_name()));
            let handle = live.handle();
            let session =
                Session::start(&self.options, self.hosts(), Arc::clone(&replies), &handle);
            (replies, Arc::new(session))
        })
    }

    fn publish(
        &self,
        outgoing: &RpcOutgoing,
        reply: Option<(&str, &str)>,
        done: Box<dyn Done>,
    ) -> Publish {
        let RpcOutgoing { target, destination, .. } = outgoing;
        let (exchange, routing_key) = match destination {
            Destination::Fanout => (self.options.fanout(target), String::new()),
            Destination::Server(server) => {
                (self.options.exchange(target), routing_key(target, Some(server)))
            }
            Destination::Topic => (self.options.exchange(target), routing_key(target, None)),
        };
        Publish {
            exchange: Some(exchange),
            queue: None,
            routing_key,
            mandatory: outgoing.at_least_once && *destination != Destination::Fanout,
            expires: reply.map(|_| outgoing.timeout),
            body: request_body(outgoing, reply),
            retry: outgoing.retry,
            done,
        }
    }
}

impl Driver for RabbitDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            name: SCHEME,
            context_style: ContextStyle::Flattened,
            rpc: true,
            pools: true,
            durable: true,
            exchanges: true,
            headers: false,
            queues: true,
        }
    }

    fn start(&self) -> Result<(), Error> {
        self.live().map(|_| ())
    }

    fn send(&self, outgoing: Outgoing, report: Report) {
        let key = format!("{}.{}", outgoing.target.topic(), outgoing.priority.as_str());
        let done = Box::new(NotificationSent(Some(report.to_topic(&key))));
        let live = match self.live() {
            Ok(live) if !self.is_closed.load(Ordering::SeqCst) => live,
            Ok(_) => return done.ended(closed()),
            Err(error) => return done.ended(failed(&error)),
        };
        live.producer.send(Publish {
            exchange: Some(self.options.exchange(&outgoing.target)),
            queue: Some(self.options.notification_queue(&outgoing.target, &key)),
            routing_key: key,
            mandatory: false,
            expires: None,
            body: notification_body(&outgoing.body),
            retry: outgoing.retry,
            done,
        });
    }

    fn subscribe(&self, request: Subscribe) -> Result<Arc<dyn Subscription>, Error> {
        let live = self.live()?;
        let records = Records::new(&self.options, &request, Arc::clone(&self.stats));
        let role = Arc::new(ListenerRole(Arc::clone(&records)));
        let session = Session::start(&self.options, self.hosts(), role, &live.handle());
        // What is sent from now on shall not be lost, where a broker answers.
        let _ = session.ready(FIRST_WAIT);
        Ok(Arc::new(RabbitListener::new(records, session, Arc::clone(live))))
    }

    fn waiting(&self, request: &Subscribe, timeout: Duration) -> Result<Vec<Waiting>, Error> {
        let queues = listener::queues(&self.options, request);
        self.live()?.wait_for(look::look(self.hosts(), queues), timeout)
    }

    fn rpc(&self) -> Option<&dyn RpcDriver> {
        Some(self)
    }

    fn redelivers(&self) -> bool {
        true
    }

    fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.is_closed.store(true, Ordering::SeqCst);
        let Some(live) = self.live.get() else { return Ok(()) };
        let until = Instant::now() + deadline;
        while live.producer.waiting() > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        let lost = live.producer.give_up(until);
        if let Some((_, session)) = live.replies.get() {
            session.stop();
        }
        let what = "rabbit producer";
        let lost = match lost {
            Ok(lost) if lost.is_empty() => return Ok(()),
            Ok(lost) => lost,
            Err(unknown) => {
                let (not_delivered, message_ids) = (0, Vec::new());
                return Err(Error::Lost { what, not_delivered, unknown, message_ids });
            }
        };
        let unknown = lost.iter().filter(|(_, is_unknown)| *is_unknown).count();
        Err(Error::Lost {
            what,
            not_delivered: lost.len() - unknown,
            unknown,
            message_ids: lost.into_iter().map(|(id, _)| id).take(100).collect(),
        })
    }
}

impl RpcDriver for RabbitDriver {
    fn call(&self, outgoing: RpcOutgoing, report: CallReport) {
        let live = match self.live() {
            Ok(live) if !self.is_closed.load(Ordering::SeqCst) => live,
            Ok(_) => return report.not_sent(false, CLOSED),
            Err(error) => return report.not_sent(false, error.to_string()),
        };
        self.stats.sent.add(1);
        let (replies, session) = self.replies(live);
        let id = new_id();
        replies.expect(&id, &report);
        let done = Box::new(RequestSent { report: report.clone(), is_call: true });
        let publish = self.publish(&outgoing, Some((&id, replies.queue())), done);
        if session.is_consuming() {
            return live.producer.send(publish);
        }
        // Nothing is asked before its answer can come.
        let (session, producer) = (Arc::clone(session), live.producer.clone());
        live.handle().spawn(async move {
            match session.settled().await {
                Ok(()) => producer.send(publish),
                Err(refused) if refused.is_final() => report.not_sent(false, refused.words),
                Err(refused) => {
                    report.detail(refused.words);
                    producer.send(publish);
                }
            }
        });
    }

    fn cast(&self, outgoing: RpcOutgoing, report: CallReport) {
        let live = match self.live() {
            Ok(live) if !self.is_closed.load(Ordering::SeqCst) => live,
            Ok(_) => return report.not_sent(false, CLOSED),
            Err(error) => return report.not_sent(false, error.to_string()),
        };
        self.stats.sent.add(1);
        let done = Box::new(RequestSent { report, is_call: false });
        live.producer.send(self.publish(&outgoing, None, done));
    }

    fn serve(&self, serve: Serve) -> Result<Arc<dyn RpcSubscription>, Error> {
        let live = self.live()?;
        let unique = self.options.unique_name();
        let answers = Arc::clone(&live.answers);
        let stats = Arc::clone(&self.stats);
        let requests = Requests::new(&self.options, &serve, &unique, answers, stats);
        let role = Arc::new(ServerRole(Arc::clone(&requests)));
        let session = Session::start(&self.options, self.hosts(), role, &live.handle());
        let _ = session.ready(FIRST_WAIT);
        Ok(Arc::new(RabbitServer::new(requests, session, Arc::clone(live))))
    }
}

const CLOSED: &str = "the transport is closed";

fn closed() -> End {
    End::Failed { cause: Cause::Closed, is_unknown: false, words: CLOSED.to_owned() }
}

fn failed(error: &Error) -> End {
    End::Failed { cause: Cause::Other, is_unknown: false, words: error.to_string() }
}

/// Who waits for a request to be sent.
#[derive(Debug)]
struct RequestSent {
    report: CallReport,
    is_call: bool,
}

impl Done for RequestSent {
    fn is_wanted(&self) -> bool {
        !self.report.is_over() && Instant::now() < self.report.deadline()
    }

    fn waits(&mut self, why: &str) {
        self.report.detail(why);
    }

    fn ended(self: Box<Self>, end: End) {
        match end {
            // The answer says more.
            End::Confirmed if self.is_call => {}
            End::Confirmed => self.report.sent(),
            End::Returned { exchange, routing_key } => {
                self.report.undeliverable(&exchange, &routing_key);
            }
            // Who waits is told when the time is over, with what is known.
            End::Failed { cause: Cause::TimedOut, .. } => {}
            End::Failed { is_unknown, words, .. } => {
                tracing::debug!("a request could not be sent: {words}");
                self.report.not_sent(is_unknown, words);
            }
        }
    }
}

/// Who waits for a notification to be sent.
#[derive(Debug)]
struct NotificationSent(Option<Report>);

impl Done for NotificationSent {
    fn is_wanted(&self) -> bool {
        true
    }

    fn message_id(&self) -> Option<&str> {
        self.0.as_ref().map(Report::message_id)
    }

    fn ended(mut self: Box<Self>, end: End) {
        let Some(report) = self.0.take() else { return };
        match end {
            End::Confirmed | End::Returned { .. } => report.delivered(),
            End::Failed { cause, is_unknown, words } => report.failed(Failure {
                outcome: if is_unknown { Outcome::Unknown } else { Outcome::NotDelivered },
                cause,
                detail: words,
            }),
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("producer", &self.producer).finish_non_exhaustive()
    }
}

impl fmt::Debug for RabbitDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitDriver").field("options", &self.options).finish_non_exhaustive()
    }
}
