//! One pool of the demo: its members, and the account of what reached them.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use oslo_messaging::{Error, Listener, Notification, Priority, Target, Transport, endpoint_fn};

use crate::{args::Verbosity, exit::Failure, interrupt::Interrupt, output};

const TICK: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_secs(10);
/// Of so many delivered notifications one is shown as a sample, up to so many.
const SAMPLE_EVERY: u64 = 20;
const SAMPLES: u64 = 6;

/// Members that share the notifications of a topic.
pub(super) struct Pool {
    name: &'static str,
    members: Vec<(Listener, Transport)>,
    account: Account,
}

/// Which notification was delivered how often. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Account {
    times: Arc<Mutex<HashMap<String, u64>>>,
    shows_samples: bool,
    styled: bool,
    verbosity: Verbosity,
}

impl Pool {
    /// Starts a listener on each transport, for all priorities of the topic.
    pub(super) fn start(
        name: &'static str,
        group: &str,
        topic: &str,
        transports: Vec<Transport>,
        account: Account,
    ) -> Result<Self, Failure> {
        let mut members = Vec::new();
        for transport in transports {
            let account = account.clone();
            let listener = Listener::builder(&transport)
                .target(Target::new(topic))
                .pool(group)
                .endpoint(endpoint_fn(Priority::ALL, move |notification| {
                    account.add(notification);
                    Ok(())
                }))
                .start()?;
            members.push((listener, transport));
        }
        Ok(Self { name, members, account })
    }

    /// Waits until every member has its part, or a signal comes.
    pub(super) fn ready(&self, deadline: Instant, interrupt: &Interrupt) -> Result<(), Failure> {
        for (listener, _) in &self.members {
            loop {
                match listener.ready(TICK) {
                    Ok(()) => break,
                    Err(Error::NotReady { .. }) if interrupt.came() => return Ok(()),
                    Err(Error::NotReady { .. }) if Instant::now() < deadline => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Ends all members in order, and gives the account.
    pub(super) fn close(self) -> (&'static str, Account) {
        for (listener, _) in &self.members {
            listener.stop();
        }
        for (listener, _) in &self.members {
            if let Err(error) = listener.close(CLOSE) {
                output::error(error);
            }
        }
        (self.name, self.account)
    }
}

impl Account {
    pub(super) fn new(shows_samples: bool, verbosity: Verbosity) -> Self {
        let styled = output::is_styled(&io::stderr());
        Self { times: Arc::default(), shows_samples, styled, verbosity }
    }

    fn add(&self, notification: &Notification) {
        let mut times = self.lock();
        *times.entry(notification.message_id.clone()).or_default() += 1;
        let count = times.len() as u64;
        drop(times);
        if self.shows_samples && count % SAMPLE_EVERY == 1 && count <= SAMPLE_EVERY * SAMPLES {
            output::note(self.verbosity, output::line(None, Ok(notification), self.styled));
        }
    }

    /// How many different notifications were delivered.
    pub(super) fn delivered(&self) -> u64 {
        self.lock().len() as u64
    }

    /// Whether each of these was delivered once, and nothing else was.
    pub(super) fn is_faultless(&self, sent: &[String]) -> bool {
        let times = self.lock();
        times.len() == sent.len() && sent.iter().all(|id| times.get(id) == Some(&1))
    }

    /// Such as `delivered 735, lost 0, twice 0`.
    pub(super) fn describe(&self, sent: &[String]) -> String {
        let times = self.lock();
        let lost = sent.iter().filter(|id| !times.contains_key(*id)).count();
        let twice = times.values().filter(|times| **times > 1).count();
        format!("delivered {}, lost {lost}, twice {twice}", times.len())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Verbosity};
    use oslo_messaging::{Context, Notification, Payload, Priority};

    #[test]
    fn an_account_counts_by_message_id() {
        let account = Account::new(false, Verbosity::Quiet);
        let add = |id: &str| {
            let (payload, context) = (Payload::null(), Context::empty());
            let mut one = Notification::new("p", "e", Priority::Info, payload, context);
            one.message_id = id.to_owned();
            account.add(&one);
        };
        let sent = ["a", "b"].map(str::to_owned);
        add("a");
        assert_eq!(account.describe(&sent), "delivered 1, lost 1, twice 0");
        add("b");
        assert!(account.is_faultless(&sent));
        add("a");
        assert_eq!(account.describe(&sent), "delivered 2, lost 0, twice 1");
        assert!(!account.is_faultless(&sent));
    }
}
