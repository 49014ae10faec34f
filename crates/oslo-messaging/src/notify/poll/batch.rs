//! Records that are handled at once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{
    incoming::{IncomingMessage, Of},
    shared::{Shared, elsewhere},
};
use crate::{
    driver::{Incoming, Settled, Token},
    message::Notification,
    notify::{dispatcher::decode, keeper::trace_dispatch},
};

/// Records that are handled at once.
pub(super) struct Batch {
    shared: Arc<Shared>,
    records: Vec<Incoming>,
    state: Mutex<BatchState>,
}

struct BatchState {
    /// When the round began that is under way.
    since: Instant,
    attempts: u32,
    /// Messages that have no answer in this round.
    unanswered: usize,
    requeued: Vec<(usize, Notification)>,
    settled: Vec<Settled>,
}

impl Batch {
    pub(super) fn begin(shared: Arc<Shared>, records: Vec<Incoming>) {
        let tokens: Vec<Token> = records.iter().map(|record| record.token).collect();
        shared.subscription.advance(&tokens, &[]);
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            match decode(record) {
                Ok(notification) => good.push((index, notification)),
                Err(reason) => bad.push((index, reason)),
            }
        }
        let state = BatchState {
            since: Instant::now(),
            attempts: 0,
            unanswered: 0,
            requeued: Vec::new(),
            settled: Vec::with_capacity(records.len()),
        };
        let batch = Arc::new(Self { shared, records, state: Mutex::new(state) });
        if bad.is_empty() {
            return batch.offer(good);
        }
        elsewhere(move || {
            for (index, reason) in bad {
                let done = batch.shared.undecodable(&batch.records[index], &reason);
                batch.lock().settle(batch.records[index].token, done);
            }
            batch.offer(good);
        });
    }

    fn offer(self: &Arc<Self>, notifications: Vec<(usize, Notification)>) {
        let redelivers = self.shared.subscription.redelivery().is_some();
        let mut messages = Vec::with_capacity(notifications.len());
        {
            let mut state = self.lock();
            for (index, notification) in notifications {
                let record = &self.records[index];
                if redelivers && !self.shared.holds(record) {
                    state.settle(record.token, false);
                    continue;
                }
                trace_dispatch(record);
                let of = Of::Batch(Arc::clone(self), index);
                messages.push(IncomingMessage::new(notification, of));
            }
            state.unanswered = messages.len();
            state.since = Instant::now();
        }
        if messages.is_empty() { self.end() } else { self.shared.push(messages) }
    }

    /// Takes the answer to one message. The last one ends the round.
    pub(super) fn answered(
        self: &Arc<Self>,
        index: usize,
        done: bool,
        again: Option<Notification>,
    ) {
        let mut state = self.lock();
        match again {
            Some(notification) => state.requeued.push((index, notification)),
            None => state.settle(self.records[index].token, done),
        }
        state.unanswered -= 1;
        if state.unanswered > 0 {
            return;
        }
        let requeued = std::mem::take(&mut state.requeued);
        state.attempts += 1;
        let attempts = state.attempts;
        drop(state);
        if requeued.is_empty() {
            return self.end();
        }
        let batch = Arc::clone(self);
        elsewhere(move || {
            let mut again = Vec::new();
            for (index, notification) in requeued {
                let record = &batch.records[index];
                match batch.shared.not_again(record, &notification, attempts) {
                    Some(done) => batch.lock().settle(record.token, done),
                    None => again.push((index, notification)),
                }
            }
            if let Some((index, _)) = again.first() {
                batch.shared.back_off(&batch.records[*index]);
            }
            batch.offer(again);
        });
    }

    fn end(&self) {
        let settled = std::mem::take(&mut self.lock().settled);
        self.shared.subscription.advance(&[], &settled);
        self.shared.close_one();
    }

    fn lock(&self) -> MutexGuard<'_, BatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BatchState {
    fn settle(&mut self, token: Token, done: bool) {
        self.settled.push(Settled { token, done, took: self.since.elapsed() });
    }
}
