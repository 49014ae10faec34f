//! Consuming: a connection that declares queues, consumes them, and is made again when it is lost.
//!
//! What to consume and what to do with a message is the [`Role`]'s affair: that of the answers to
//! calls, of a server's requests, of a listener's notifications.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream, SelectAll, select_all},
};
use lapin::{
    Channel, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable, LongString},
};
use tokio::sync::watch;

use super::{
    config::RabbitOptions,
    connection::{Connection, Hosts},
    error::{Refused, cause},
    topology::{Queue, declare_exchange, declare_queue, differs_in_durable},
};
use crate::Error;

/// What a stream's messages carry, and what its consumers ask for.
const STREAM_OFFSET: &str = "x-stream-offset";
/// A wait between attempts after something that only the broker's operator can mend.
const MEND: Duration = Duration::from_secs(5);
/// How late somebody who blocks sees a change.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What a session consumes, and what it does with it.
pub(super) trait Role: Send + Sync + 'static {
    /// In logs, and in the connection's name.
    fn name(&self) -> &'static str;

    /// The queues, each with a consumer of its own.
    fn queues(&self) -> Vec<Queue>;

    /// Most messages of each queue that are not acknowledged; 0 for any number.
    fn prefetch(&self) -> u16;

    /// One message came. `queue` is its place among [`queues`](Self::queues).
    fn came(&self, queue: usize, delivery: Delivery) -> impl Future<Output = ()> + Send;

    /// The connection is gone: what was not acknowledged comes again.
    fn lost(&self) {}

    /// Nothing more will ever come.
    fn ended(&self) {}

    /// Nothing more comes, and the connection is still there: waits until what came is acknowledged.
    fn drained(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// How a session is, for who waits for it.
#[derive(Clone, Debug)]
enum Standing {
    Starting,
    Consuming,
    /// Why there is no connection.
    Down(Refused),
    Ended,
}

/// The handle of a session's task.
#[derive(Debug)]
pub(super) struct Session {
    standing: watch::Receiver<Standing>,
    stop: watch::Sender<bool>,
}

impl Session {
    pub(super) fn start(
        options: &Arc<RabbitOptions>,
        hosts: Hosts,
        role: Arc<impl Role>,
        runtime: &tokio::runtime::Handle,
    ) -> Self {
        let (standing_sender, standing) = watch::channel(Standing::Starting);
        let (stop, stopped) = watch::channel(false);
        let task = Task {
            options: Arc::clone(options),
            hosts,
            role,
            standing: standing_sender,
            stopped,
            offsets: Offsets::default(),
        };
        runtime.spawn(task.run());
        Self { standing, stop }
    }

    /// Begins the end: no more messages are taken.
    pub(super) fn stop(&self) {
        // The task may have ended.
        let _ = self.stop.send(true);
    }

    /// Waits until it consumes.
    pub(super) fn ready(&self, timeout: Duration) -> Result<(), Error> {
        let until = Instant::now() + timeout;
        self.wait(until, |standing| matches!(standing, Standing::Consuming | Standing::Ended));
        let now = self.standing.borrow().clone();
        let cause = match now {
            Standing::Consuming => return Ok(()),
            Standing::Ended => "it was stopped".to_owned(),
            Standing::Down(refused) => refused.words,
            Standing::Starting => "the broker has not answered yet".to_owned(),
        };
        Err(Error::NotReady { cause })
    }

    /// Waits until it has ended, at most until then.
    pub(super) fn wait_ended(&self, until: Instant) -> bool {
        self.wait(until, |standing| matches!(standing, Standing::Ended))
    }

    /// Blocks; whoever calls may be in an async runtime of his own, where no other can be waited for.
    fn wait(&self, until: Instant, is_so: impl Fn(&Standing) -> bool) -> bool {
        loop {
            if is_so(&self.standing.borrow()) {
                return true;
            }
            // The task is gone with its runtime.
            if Instant::now() >= until || self.standing.has_changed().is_err() {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until it consumes, or there is a reason why it does not.
    pub(super) async fn settled(&self) -> Result<(), Refused> {
        let mut standing = self.standing.clone();
        let now = standing
            .wait_for(|standing| !matches!(standing, Standing::Starting))
            .await
            .map(|standing| standing.clone());
        match now {
            Ok(Standing::Down(refused)) => Err(refused),
            _ => Ok(()),
        }
    }

    pub(super) fn is_consuming(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::Consuming)
    }
}

/// Waits until it is said that it is over.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that nobody is there to say so: that is the end, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// How far each stream was read.
#[derive(Clone, Debug, Default)]
struct Offsets(Arc<Mutex<Vec<Option<i64>>>>);

impl Offsets {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, queue: usize, delivery: &Delivery) {
        let headers = delivery.properties.headers().as_ref();
        let offset = headers.and_then(|table| table.inner().get(STREAM_OFFSET));
        if let Some(AMQPValue::LongLongInt(offset)) = offset {
            let mut offsets = self.lock();
            if offsets.len() <= queue {
                offsets.resize(queue + 1, None);
            }
            offsets[queue] = Some(*offset);
        }
    }

    fn next(&self, queue: usize) -> AMQPValue {
        match self.lock().get(queue).copied().flatten() {
            Some(last) => AMQPValue::LongLongInt(last + 1),
            None => AMQPValue::LongString(LongString::from("last")),
        }
    }

    fn forget(&self, queue: usize) {
        if let Some(offset) = self.lock().get_mut(queue) {
            *offset = None;
        }
    }
}

struct Task<R> {
    options: Arc<RabbitOptions>,
    hosts: Hosts,
    role: Arc<R>,
    standing: watch::Sender<Standing>,
    stopped: watch::Receiver<bool>,
    offsets: Offsets,
}

/// What comes from which queue; `None` when its consumer was cancelled.
type Consumers = SelectAll<BoxStream<'static, (usize, Option<lapin::Result<Delivery>>)>>;

impl<R: Role> Task<R> {
    async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        while !*stopped.borrow() {
            let name = self.role.name();
            let connection = tokio::select! {
                connected = self.hosts.connect(name) => connected,
                () = told(&mut stopped) => break,
            };
            let pause = match connection {
                Ok(connection) => match self.consume(connection).await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!("{name}: {error}; connecting again");
                        self.role.lost();
                        let refused = Refused { words: error.to_string(), cause: cause(&error) };
                        let wait = if refused.is_final() { MEND } else { Duration::ZERO };
                        self.standing.send_replace(Standing::Down(refused));
                        self.hosts.lost().max(wait)
                    }
                },
                Err(refused) => {
                    tracing::error!("{name}: no connection: {}", refused.words);
                    let wait = if refused.is_final() { MEND } else { Duration::ZERO };
                    self.standing.send_replace(Standing::Down(refused));
                    self.hosts.pause().max(wait)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut stopped) => {}
            }
        }
        self.role.ended();
        self.standing.send_replace(Standing::Ended);
    }

    /// Consumes until it shall stop: `Ok`; or the connection is lost.
    async fn consume(&mut self, connection: Connection) -> lapin::Result<()> {
        let queues = self.role.queues();
        let channel = self.declare(&connection, &queues).await?;
        let mut consumers = self.consumers(&channel, &queues).await?;
        self.standing.send_replace(Standing::Consuming);
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                biased;
                () = told(&mut stopped) => break,
                next = consumers.next() => match next {
                    Some((queue, Some(delivery))) => {
                        let delivery = delivery?;
                        self.offsets.note(queue, &delivery);
                        self.role.came(queue, delivery).await;
                    }
                    Some((queue, None)) => {
                        // Where it was in a stream may be gone. After a lost connection it goes on there.
                        self.offsets.forget(queue);
                        return Err(io::Error::other("the broker cancelled a consumer").into());
                    }
                    None => return Err(io::Error::other("the broker ended the consumers").into()),
                },
            }
        }
        self.end(&channel, &queues).await;
        self.role.drained().await;
        connection.close().await;
        Ok(())
    }

    async fn declare(&self, connection: &Connection, queues: &[Queue]) -> lapin::Result<Channel> {
        let mut channel = connection.channel().await?;
        for queue in queues {
            if let Some((exchange, _)) = &queue.bound {
                match declare_exchange(&channel, exchange, false).await {
                    Err(error) if differs_in_durable(&error) => {
                        channel = connection.channel().await?;
                        declare_exchange(&channel, exchange, true).await?;
                    }
                    declared => declared?,
                }
            }
            match declare_queue(&channel, &self.options, queue, false).await {
                Err(error) if differs_in_durable(&error) => {
                    channel = connection.channel().await?;
                    declare_queue(&channel, &self.options, queue, true).await?;
                }
                declared => declared?,
            }
        }
        Ok(channel)
    }

    async fn consumers(&self, channel: &Channel, queues: &[Queue]) -> lapin::Result<Consumers> {
        let prefetch = self.role.prefetch();
        if prefetch > 0 {
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        }
        let mut all = Vec::with_capacity(queues.len());
        for (index, queue) in queues.iter().enumerate() {
            let mut arguments = FieldTable::default();
            if self.options.cancel_on_failover {
                arguments.insert("x-cancel-on-ha-failover".into(), AMQPValue::Boolean(true));
            }
            if queue.is_stream() {
                arguments.insert(STREAM_OFFSET.into(), self.offsets.next(index));
            }
            let tag = (index + 1).to_string();
            let options = BasicConsumeOptions::default();
            let consumer: Consumer = channel
                .basic_consume(queue.name.as_str().into(), tag.as_str().into(), options, arguments)
                .await?;
            // A consumer that ends ends the session.
            let ended = stream::once(std::future::ready(None));
            all.push(consumer.map(Some).chain(ended).map(move |next| (index, next)).boxed());
        }
        Ok(select_all(all))
    }

    /// Takes no more messages, and takes away what is this process's alone.
    async fn end(&self, channel: &Channel, queues: &[Queue]) {
        for (index, queue) in queues.iter().enumerate() {
            let tag = (index + 1).to_string();
            let cancelled = channel.basic_cancel(tag.as_str().into(), Default::default());
            if tokio::time::timeout(Duration::from_secs(2), cancelled).await.is_err() {
                return;
            }
            let is_fanout = queue.bound.as_ref().is_some_and(|(exchange, _)| exchange.is_fanout);
            if is_fanout && !queue.is_stream() && self.options.queue_names.is_none() {
                let name = queue.name.as_str().into();
                let deleted = channel.queue_delete(name, QueueDeleteOptions::default());
                let _ = tokio::time::timeout(Duration::from_secs(2), deleted).await;
            }
        }
    }
}
