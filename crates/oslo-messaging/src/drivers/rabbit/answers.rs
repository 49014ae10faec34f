//! Answers on their way out: to queues that may be gone, for a while.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    config::RabbitOptions,
    message::reply_body,
    producer::{Done, End, Producer, Publish},
};
use crate::{driver::Retry, error::Cause, message::Payload, rpc::RemoteError};

/// Between two offers to a queue that is not there.
const OFFER_AGAIN: Duration = Duration::from_millis(250);
/// How many queues that are gone are remembered, and how long.
const GONE_QUEUES: usize = 200;
const GONE_FOR: Duration = Duration::from_secs(60);

/// Sends the answers of a transport's servers.
#[derive(Debug)]
pub(super) struct Answers {
    producer: Producer,
    runtime: tokio::runtime::Handle,
    mandatory: bool,
    missing_for: Duration,
    gone: Mutex<VecDeque<(String, Instant)>>,
    under_way: UnderWay,
}

impl Answers {
    pub(super) fn new(
        options: &RabbitOptions,
        producer: Producer,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            producer,
            runtime,
            mandatory: options.mandatory_replies,
            missing_for: options.missing_consumer_timeout,
            gone: Mutex::default(),
            under_way: UnderWay::default(),
        })
    }

    /// Sends a result, a failure, or with neither a sign of life.
    pub(super) fn send(
        self: &Arc<Self>,
        id: &str,
        queue: &str,
        answer: Option<Result<&Payload, &RemoteError>>,
    ) {
        if self.is_gone(queue) {
            tracing::warn!(queue, "an answer is dropped: its queue is gone");
            return;
        }
        self.under_way.begin();
        self.publish(Answer {
            answers: Arc::clone(self),
            id: id.to_owned(),
            queue: queue.to_owned(),
            body: reply_body(id, answer),
            is_heartbeat: answer.is_none(),
            begun: Instant::now(),
        });
    }

    /// Waits until all that were given are sent, at most until then; how many are not.
    pub(super) fn wait_sent(&self, until: Instant) -> usize {
        self.under_way.wait(until)
    }

    fn publish(&self, answer: Answer) {
        self.producer.send(Publish {
            exchange: None,
            queue: None,
            routing_key: answer.queue.clone(),
            mandatory: self.mandatory,
            expires: None,
            body: answer.body.clone(),
            retry: Retry::UntilTimeout,
            done: Box::new(answer),
        });
    }

    fn is_gone(&self, queue: &str) -> bool {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.retain(|(_, since)| since.elapsed() < GONE_FOR);
        gone.iter().any(|(name, _)| name == queue)
    }

    fn note_gone(&self, queue: &str) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.push_back((queue.to_owned(), Instant::now()));
        if gone.len() > GONE_QUEUES {
            gone.pop_front();
        }
    }
}

#[derive(Debug)]
struct Answer {
    answers: Arc<Answers>,
    id: String,
    queue: String,
    body: bytes::Bytes,
    is_heartbeat: bool,
    begun: Instant,
}

impl Done for Answer {
    fn is_wanted(&self) -> bool {
        self.begun.elapsed() < self.answers.missing_for.max(GONE_FOR)
    }

    fn ended(self: Box<Self>, end: End) {
        let answers = Arc::clone(&self.answers);
        match end {
            End::Confirmed => answers.under_way.end(),
            // Nobody needs a sign of life later.
            _ if self.is_heartbeat => answers.under_way.end(),
            End::Returned { .. } if self.begun.elapsed() < answers.missing_for => {
                // The caller's broker has restarted: its queue comes back with it.
                answers.runtime.clone().spawn(async move {
                    tokio::time::sleep(OFFER_AGAIN).await;
                    let again = Arc::clone(&answers);
                    if answers.is_gone(&self.queue) {
                        answers.under_way.end();
                    } else {
                        again.publish(*self);
                    }
                });
            }
            End::Returned { .. } => {
                tracing::error!(queue = self.queue, "an answer is dropped: its queue is gone");
                answers.note_gone(&self.queue);
                answers.under_way.end();
            }
            End::Failed { cause: Cause::TooLarge, words, .. } => {
                tracing::error!(queue = self.queue, "a result is too large: {words}");
                let size = self.body.len();
                let words =
                    format!("the result of {size} bytes is too large for the broker: {words}");
                let error = RemoteError::new("RuntimeError", words);
                let body = reply_body(&self.id, Some(Err(&error)));
                answers.publish(Answer { body, ..*self });
            }
            End::Failed { words, .. } => {
                tracing::error!(queue = self.queue, "an answer could not be sent: {words}");
                answers.under_way.end();
            }
        }
    }
}

/// Counts what is under way.
#[derive(Debug, Default)]
struct UnderWay {
    count: AtomicUsize,
}

impl UnderWay {
    fn begin(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }

    /// Waits until nothing is, at most until then; how many still are.
    fn wait(&self, until: Instant) -> usize {
        loop {
            let left = self.count.load(Ordering::SeqCst);
            if left == 0 || Instant::now() >= until {
                return left;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
