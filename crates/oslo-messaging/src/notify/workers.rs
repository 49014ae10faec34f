//! The threads on which endpoints are called, and what becomes of what they fail with.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Error,
    driver::{Incoming, Redelivery, Settled, Subscription, Token, Want},
    notify::{
        dispatcher::{Dispatcher, Round},
        keeper::{Keeper, trace_dispatch},
        run::Progress,
    },
    stats::Stats,
    threads::Threads,
};

/// See the module's head.
pub(super) struct Workers {
    subscription: Arc<dyn Subscription>,
    dispatcher: Dispatcher,
    keeper: Keeper,
    want: Want,
    threads: Threads,
    stats: Arc<Stats>,
}

impl Workers {
    pub(super) fn new(
        subscription: Arc<dyn Subscription>,
        dispatcher: Dispatcher,
        want: Want,
        max: usize,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        Arc::new(Self {
            keeper: Keeper::new(Arc::clone(&subscription), Arc::clone(&stats)),
            subscription,
            dispatcher,
            want,
            threads: Threads::new("listener", max),
            stats,
        })
    }

    /// Starts one more worker unless there are enough.
    pub(super) fn add(self: &Arc<Self>) -> Result<(), Error> {
        let workers = Arc::clone(self);
        self.threads.add(move || workers.work())
    }

    fn work(self: Arc<Self>) {
        let mut records = Vec::new();
        // Somebody must wait for what comes while this worker's endpoints run: they may take long,
        // and other lanes must not wait for them.
        while let Some(()) = self.threads.wait_for(
            || self.subscription.recv(&mut records, self.want).then_some(()),
            || self.add(),
        ) {
            if self.want.in_order {
                self.handle_run(&records);
            } else {
                self.handle_batch(&records);
            }
            records.clear();
        }
    }

    /// One record after the other.
    fn handle_run(&self, records: &[Incoming]) {
        let mut progress = Progress::new(records);
        for record in records {
            progress.begin(&*self.subscription);
            progress.settle(self.handle(std::slice::from_ref(record)).is_none());
        }
        progress.end(&*self.subscription);
    }

    fn handle_batch(&self, records: &[Incoming]) {
        let tokens: Vec<Token> = records.iter().map(|record| record.token).collect();
        self.subscription.advance(&tokens, &[]);
        let begun = Instant::now();
        let left = self.handle(records);
        let took = begun.elapsed() / u32::try_from(records.len()).unwrap_or(u32::MAX).max(1);
        let done = |index| left.as_ref().is_none_or(|left| !left.contains(&index));
        let settled: Vec<Settled> = tokens
            .into_iter()
            .enumerate()
            .map(|(index, token)| Settled { token, done: done(index), took })
            .collect();
        self.subscription.advance(&[], &settled);
    }

    /// Handles records at once, however often that takes. Gives the places of those that are left
    /// to the next owner of their partitions, if there are any.
    fn handle(&self, records: &[Incoming]) -> Option<Vec<usize>> {
        match self.subscription.redelivery() {
            None => {
                self.handle_once(records);
                None
            }
            Some(redelivery) => {
                Some(self.handle_until_done(records, redelivery)).filter(|left| !left.is_empty())
            }
        }
    }

    fn handle_once(&self, records: &[Incoming]) {
        let (mut notifications, mut of) = (Vec::with_capacity(records.len()), Vec::new());
        for record in records {
            match self.dispatcher.decode(record) {
                Ok(notification) => {
                    notifications.push(notification);
                    of.push(record);
                }
                Err(reason) => {
                    self.keeper.undecodable(record, &reason);
                    self.keeper.keep(record, &reason, 0);
                }
            }
        }
        of.iter().for_each(|record| trace_dispatch(record));
        if let Err(reason) = self.dispatcher.offer(&notifications, Round::Only) {
            for record in of {
                self.keeper.keep(record, &reason, 1);
            }
        }
    }

    fn handle_until_done(&self, records: &[Incoming], redelivery: Redelivery) -> Vec<usize> {
        let mut left = Vec::new();
        let (mut open, mut notifications) = (Vec::new(), Vec::new());
        for (index, record) in records.iter().enumerate() {
            if !self.subscription.holds(record.token, Duration::ZERO) {
                left.push(index);
                continue;
            }
            match self.dispatcher.decode(record) {
                Ok(notification) => {
                    open.push(index);
                    notifications.push(notification);
                }
                Err(reason) => {
                    self.keeper.undecodable(record, &reason);
                    if !self.keeper.keep_surely(record, &reason, 0) {
                        left.push(index);
                    }
                }
            }
        }
        let mut attempts = 0;
        while !open.is_empty() {
            let round = if attempts == 0 { Round::First } else { Round::Again };
            open.iter().for_each(|index| trace_dispatch(&records[*index]));
            let Err(reason) = self.dispatcher.offer(&notifications, round) else { break };
            attempts += 1;
            if redelivery.at_broker {
                left.extend(open);
                break;
            }
            if attempts > redelivery.max {
                for (index, notification) in open.iter().zip(&notifications) {
                    let record = &records[*index];
                    if !self.keeper.give_up(record, notification, &reason, attempts) {
                        left.push(*index);
                    }
                }
                break;
            }
            self.stats.redelivered.add(open.len());
            self.subscription.holds(records[open[0]].token, redelivery.backoff);
            let held = |index: usize| self.subscription.holds(records[index].token, Duration::ZERO);
            let kept: Vec<bool> = open.iter().map(|index| held(*index)).collect();
            left.extend(
                open.iter().zip(&kept).filter(|(_, kept)| !**kept).map(|(index, _)| *index),
            );
            let (mut flags, mut flags_again) = (kept.iter(), kept.iter());
            open.retain(|_| flags.next().is_some_and(|kept| *kept));
            notifications.retain(|_| flags_again.next().is_some_and(|kept| *kept));
        }
        left
    }

    /// Waits until the workers have ended, at most until then.
    pub(super) fn join(&self, until: Instant) {
        self.threads.join(until);
    }
}
