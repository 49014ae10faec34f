//! What the cases use: a transport with topics of its own, collectors, and a gate for endpoints.

use std::{
    collections::HashSet,
    error::Error as StdError,
    fmt::Debug,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;

use super::Subject;
use crate::{
    Error,
    driver::{Outgoing, Retry},
    message::{Context, Notification, Payload, Priority},
    notify::{Endpoint, EndpointError, Listener, ListenerBuilder, Notifier},
    receipt::{self, Receipt},
    target::Target,
    transport::Transport,
    wire,
};

/// Why a case failed, in words.
pub(super) type Fault = Box<dyn StdError + Send + Sync>;
pub(super) type Outcome = Result<(), Fault>;

/// Fails with these words unless the condition holds.
pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

/// Fails with both values unless they are equal.
pub(super) fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Outcome {
    ensure(found == expected, || format!("{what}: {found:?} instead of {expected:?}"))
}

/// What one case has at hand.
pub(super) struct Stage {
    subject: Subject,
    transport: Transport,
}

impl Stage {
    pub(super) fn open(subject: &Subject) -> Result<Self, Error> {
        Ok(Self { transport: subject.open("", "")?, subject: subject.clone() })
    }

    /// The fault, and what the transport has counted: for who reads why a case failed.
    pub(super) fn with_counters(&self, fault: Fault) -> Fault {
        let counted = self.transport.stats().all().filter(|(_, count)| *count > 0);
        let counted: Vec<_> = counted.map(|(name, count)| format!("{name}={count}")).collect();
        if counted.is_empty() {
            return fault;
        }
        format!("{fault} [{}]", counted.join(" ")).into()
    }

    /// Longest wait for anything that should happen.
    pub(super) fn limit(&self) -> Duration {
        self.subject.limit
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The case's transport, which nobody else uses.
    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Another client of the same broker; where the broker is the transport's own, this one again.
    pub(super) fn another_client(&self) -> Result<Transport, Error> {
        if self.transport.driver().capabilities().durable {
            self.subject.open("", "")
        } else {
            Ok(self.transport.clone())
        }
    }

    /// A client with a virtual host or options of its own.
    pub(super) fn client(&self, virtual_host: &str, query: &str) -> Result<Transport, Error> {
        self.subject.open(virtual_host, query)
    }

    /// A name for a topic or a pool that nothing else has.
    pub(super) fn unique(&self, what: &str) -> String {
        format!("{what}-{}", uuid::Uuid::new_v4().simple())
    }

    pub(super) fn notifier(&self, transport: &Transport, topic: &str) -> Result<Notifier, Error> {
        let builder = Notifier::builder(transport).publisher_id("conformance.host1");
        builder.driver("messagingv2").topic(topic).build()
    }

    /// A listener of all priorities that fills `seen`, ready.
    pub(super) fn listen(
        &self,
        transport: &Transport,
        topic: &str,
        pool: &str,
        seen: &Arc<Seen>,
    ) -> Result<Listener, Error> {
        self.ready(listener(transport, topic, pool).endpoint(Collect(Arc::clone(seen))))
    }

    /// Starts a listener and waits until notifications can arrive.
    pub(super) fn ready(&self, builder: ListenerBuilder) -> Result<Listener, Error> {
        let listener = builder.start()?;
        listener.ready(self.limit())?;
        Ok(listener)
    }

    /// Sends so many at priority info, one after the other, each confirmed; their ids.
    pub(super) fn send(&self, notifier: &Notifier, count: usize) -> Result<Vec<String>, Error> {
        let mut sent = Vec::with_capacity(count);
        for _ in 0..count {
            let receipt = notifier.info(&Context::empty(), "case.tick", Payload::null());
            receipt.wait(self.limit())?;
            sent.push(receipt.message_id().to_owned());
        }
        Ok(sent)
    }

    /// Sends so many at priority info at once, then waits for all receipts; their ids.
    pub(super) fn send_burst(
        &self,
        notifier: &Notifier,
        count: usize,
    ) -> Result<Vec<String>, Error> {
        let send = |_| notifier.info(&Context::empty(), "case.burst", Payload::null());
        let receipts: Vec<Receipt> = (0..count).map(send).collect();
        receipts.iter().map(|receipt| self.id_of(receipt)).collect()
    }

    /// Waits for the receipt; the notification's id.
    pub(super) fn id_of(&self, receipt: &Receipt) -> Result<String, Error> {
        receipt.wait(self.limit())?;
        Ok(receipt.message_id().to_owned())
    }

    /// Hands bytes to the driver, past the wire format.
    pub(super) fn send_bytes(
        &self,
        topic: &str,
        key: Option<&str>,
        headers: Vec<(String, Bytes)>,
        body: Bytes,
    ) -> Receipt {
        let subject = receipt::Subject {
            message_id: "raw".to_owned(),
            event_type: "case.raw".to_owned(),
            priority: Priority::Info,
        };
        let receipt = Receipt::new(subject, Arc::clone(self.transport.shared_stats()));
        let outgoing = Outgoing {
            target: Arc::new(Target::new(topic)),
            priority: Priority::Info,
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            headers,
            body,
            retry: Retry::UntilTimeout,
        };
        let report = receipt.expect(outgoing.body.len());
        self.transport.driver().send(outgoing, report);
        receipt
    }

    /// Sends `count` notifications for each of `keys` in turn, with `key` and `seq` as payload.
    pub(super) fn send_keyed(&self, topic: &str, keys: &[&str], count: u64) -> Outcome {
        let style = self.transport.driver().capabilities().context_style;
        let mut receipts = Vec::new();
        for seq in 0..count {
            for key in keys {
                let payload = Payload::from(json!({"key": key, "seq": seq}));
                let (priority, context) = (Priority::Info, Context::empty());
                let notification =
                    Notification::new("conformance", "case.keyed", priority, payload, context);
                let body = wire::encode(&notification, style);
                receipts.push(self.send_bytes(topic, Some(key), Vec::new(), body));
            }
        }
        receipts.iter().try_for_each(|receipt| Ok(receipt.wait(self.limit())?))
    }
}

/// A listener of a topic in a pool, without its endpoints.
pub(super) fn listener(transport: &Transport, topic: &str, pool: &str) -> ListenerBuilder {
    Listener::builder(transport).target(Target::new(topic)).pool(pool)
}

/// Collects what endpoints get, in the order in which they get it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    came: Mutex<(Vec<Notification>, HashSet<String>)>,
    changed: Condvar,
}

impl Seen {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn add(&self, notification: &Notification) {
        let mut came = self.lock();
        came.1.insert(notification.message_id.clone());
        came.0.push(notification.clone());
        self.changed.notify_all();
    }

    /// Waits until this many different notifications came.
    pub(super) fn wait_for(&self, count: usize, limit: Duration) -> Outcome {
        let few = |came: &mut (Vec<Notification>, HashSet<String>)| came.1.len() < count;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, few);
        let found = waited.unwrap_or_else(PoisonError::into_inner).0.1.len();
        ensure(found >= count, || format!("{found} of {count} came within {limit:?}"))
    }

    /// How many different notifications came.
    pub(super) fn count(&self) -> usize {
        self.lock().1.len()
    }

    pub(super) fn all(&self) -> Vec<Notification> {
        self.lock().0.clone()
    }

    /// Fails unless each of these came, once, and nothing else did.
    pub(super) fn is_exactly(&self, sent: &[String]) -> Outcome {
        let came = self.lock();
        let lost = sent.iter().filter(|id| !came.1.contains(*id)).count();
        let twice = came.0.len() - came.1.len();
        let other = came.1.len() + lost - sent.len();
        ensure((lost, twice, other) == (0, 0, 0), || {
            format!("of {} sent, {lost} were lost; {twice} came twice, {other} unasked", sent.len())
        })
    }

    /// Fails unless the `seq` of each `key` counts from 0 to `count`.
    pub(super) fn is_in_order(&self, keys: &[&str], count: u64) -> Outcome {
        let came = self.all();
        for key in keys {
            let mut found = Vec::new();
            for notification in &came {
                let payload = notification.payload.value()?;
                if payload["key"] == *key {
                    found.push(payload["seq"].as_u64().unwrap_or(u64::MAX));
                }
            }
            equal(&format!("the order of key {key}"), found, (0..count).collect())?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<Notification>, HashSet<String>)> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An endpoint of all priorities that fills a [`Seen`].
pub(super) struct Collect(pub(super) Arc<Seen>);

impl Endpoint for Collect {
    fn priorities(&self) -> &[Priority] {
        &Priority::ALL
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        self.0.add(notification);
        Ok(())
    }
}

/// Holds endpoints back until it is opened, and tells how many have come to it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn closed() -> Arc<Self> {
        Arc::default()
    }

    /// Waits in an endpoint until the gate opens.
    pub(super) fn pass(&self, limit: Duration) -> Result<(), EndpointError> {
        let mut state = self.lock();
        state.0 += 1;
        self.changed.notify_all();
        let shut = |state: &mut (usize, bool)| !state.1;
        let waited = self.changed.wait_timeout_while(state, limit, shut);
        ensure(waited.unwrap_or_else(PoisonError::into_inner).0.1, || "never opened".to_owned())
    }

    /// Waits until so many endpoints have come.
    pub(super) fn wait_entered(&self, count: usize, limit: Duration) -> Outcome {
        let few = |state: &mut (usize, bool)| state.0 < count;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, few);
        let entered = waited.unwrap_or_else(PoisonError::into_inner).0.0;
        ensure(entered >= count, || format!("{entered} of {count} endpoints ran at once"))
    }

    pub(super) fn open(&self) {
        self.lock().1 = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, (usize, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
