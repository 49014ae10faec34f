//! The answers to this process's calls: a queue of its own, and who waits for which answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lapin::{message::Delivery, options::BasicAckOptions};

use super::{
    message::{read_reply, unpacked},
    session::Role,
    topology::Queue,
};
use crate::{message::Payload, rpc::CallReport};

/// See the module's head.
#[derive(Debug)]
pub(super) struct Replies {
    queue: Queue,
    calls: Mutex<HashMap<String, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    report: CallReport,
    /// What old peers sent before the end.
    result: Option<Payload>,
}

impl Replies {
    pub(super) fn new(queue: Queue) -> Arc<Self> {
        Arc::new(Self { queue, calls: Mutex::default() })
    }

    /// The queue's name.
    pub(super) fn queue(&self) -> &str {
        &self.queue.name
    }

    /// Waits for the answer to a call, until nobody does any more.
    pub(super) fn expect(self: &Arc<Self>, id: &str, report: &CallReport) {
        let waiting = Waiting { report: report.clone(), result: None };
        self.lock().insert(id.to_owned(), waiting);
        let (this, id) = (Arc::downgrade(self), id.to_owned());
        report.when_over(move || {
            if let Some(this) = this.upgrade() {
                this.lock().remove(&id);
            }
        });
    }

    fn answer(&self, body: &[u8]) -> Result<(), String> {
        let reply = read_reply(body)?;
        let mut calls = self.lock();
        let Some(waiting) = calls.get_mut(&reply.id) else {
            drop(calls);
            // Late: its call has timed out; or a sign of life after the end.
            tracing::debug!(id = reply.id, "an answer that nobody waits for");
            return Ok(());
        };
        let report = waiting.report.clone();
        if let Some(failure) = reply.failure {
            drop(calls);
            report.answered(Err(&failure));
            return Ok(());
        }
        let has_result = reply.result.as_json() != "null";
        if !reply.is_ending {
            if has_result {
                waiting.result = Some(reply.result);
            }
            drop(calls);
            report.alive();
            return Ok(());
        }
        let result =
            if has_result { reply.result } else { waiting.result.take().unwrap_or(reply.result) };
        drop(calls);
        report.answered(Ok(result));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Role for Replies {
    fn name(&self) -> &'static str {
        "replies"
    }

    fn queues(&self) -> Vec<Queue> {
        vec![self.queue.clone()]
    }

    fn prefetch(&self) -> u16 {
        0
    }

    async fn came(&self, _: usize, delivery: Delivery) {
        let Delivery { data, properties, acker, .. } = delivery;
        let answered = unpacked(&properties, data).and_then(|body| self.answer(&body));
        if let Err(words) = answered {
            tracing::error!(queue = self.queue.name, "an answer {words}");
        }
        // A connection that is gone gives what is not acknowledged again, to nobody who waits.
        let _ = acker.ack(BasicAckOptions::default()).await;
    }
}
