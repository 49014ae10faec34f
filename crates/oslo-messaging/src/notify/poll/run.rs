//! Records that are handled one after the other.

use std::{collections::VecDeque, sync::Arc};

use super::{
    incoming::{IncomingMessage, Of},
    shared::{Shared, elsewhere},
};
use crate::{
    driver::Incoming,
    message::Notification,
    notify::{dispatcher::decode, keeper::trace_dispatch, run::Progress},
};

/// Records to be handled one after the other. It goes from message to message.
pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    /// The first one is being handled, or comes next.
    records: VecDeque<(Incoming, Option<Result<Notification, String>>)>,
    progress: Progress,
    attempts: u32,
}

impl Run {
    pub(super) fn new(shared: Arc<Shared>, records: Vec<Incoming>) -> Box<Self> {
        let progress = Progress::new(&records);
        let decoded = |record: Incoming| {
            let notification = decode(&record);
            (record, Some(notification))
        };
        let records = records.into_iter().map(decoded).collect();
        Box::new(Self { shared, records, progress, attempts: 0 })
    }

    /// The next message; `None` when there is no other one, or when it takes time: then it is
    /// pushed.
    pub(super) fn next(mut self: Box<Self>) -> Option<IncomingMessage> {
        loop {
            let Some((record, decoded)) = self.records.front_mut() else {
                let Self { shared, progress, .. } = *self;
                progress.end(&*shared.subscription);
                shared.close_one();
                return None;
            };
            self.progress.begin(&*self.shared.subscription);
            if self.shared.subscription.redelivery().is_some() && !self.shared.holds(record) {
                self.settle(false);
                continue;
            }
            match decoded.take() {
                Some(Ok(notification)) => {
                    trace_dispatch(record);
                    return Some(IncomingMessage::new(notification, Of::Run(self)));
                }
                Some(Err(reason)) => {
                    elsewhere(move || {
                        let (record, _) = &self.records[0];
                        let done = self.shared.undecodable(record, &reason);
                        self.settle(done);
                        self.go_on();
                    });
                    return None;
                }
                None => self.settle(false),
            }
        }
    }

    fn settle(&mut self, done: bool) {
        self.progress.settle(done);
        self.records.pop_front();
        self.attempts = 0;
    }

    pub(super) fn answered(mut self: Box<Self>, done: bool) -> Option<IncomingMessage> {
        self.settle(done);
        self.next()
    }

    fn go_on(self: Box<Self>) {
        let shared = Arc::clone(&self.shared);
        shared.push(self.next());
    }

    pub(super) fn requeued(mut self: Box<Self>, notification: Notification) {
        self.attempts += 1;
        let (record, _) = &self.records[0];
        let mut end = self.shared.not_again(record, &notification, self.attempts);
        if end.is_none() {
            self.shared.back_off(record);
            if !self.shared.holds(record) {
                end = Some(false);
            }
        }
        if let Some(done) = end {
            self.settle(done);
            return self.go_on();
        }
        trace_dispatch(record);
        let shared = Arc::clone(&self.shared);
        shared.push([IncomingMessage::new(notification, Of::Run(self))]);
    }
}
