//! Brokers and producers that mean harm, or whose network or memory is broken: damaged bytes on
//! the way, record batches that nobody should write, and small batches that become large.
//!
//! All of it on librdkafka's mock cluster, which stores batches as they come.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod bombs;
mod flips;
mod odd;
mod proxy;
mod raw;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use oslo_messaging::{
    Endpoint, EndpointError, Listener, Notification, Priority, Target, Transport,
};

/// Longest wait for anything that should happen.
const LIMIT: Duration = Duration::from_secs(120);

/// One test at a time: some measure the memory of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a listener got: the event types, in their order.
#[derive(Default)]
struct Seen {
    types: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Seen {
    fn wait_for(&self, event_type: &str) -> bool {
        let types = self.types.lock().unwrap();
        let missing = |types: &mut Vec<String>| !types.iter().any(|seen| seen == event_type);
        let (types, _) = self.changed.wait_timeout_while(types, LIMIT, missing).unwrap();
        types.iter().any(|seen| seen == event_type)
    }

    fn all(&self) -> Vec<String> {
        self.types.lock().unwrap().clone()
    }
}

/// Checks each notification and notes its type.
struct Checking<F>(Arc<Seen>, F);

impl<F: Fn(&Notification) + Send + Sync + 'static> Endpoint for Checking<F> {
    fn priorities(&self) -> &[Priority] {
        &[Priority::Info]
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        (self.1)(notification);
        self.0.types.lock().unwrap().push(notification.event_type.clone());
        self.0.changed.notify_all();
        Ok(())
    }
}

/// A listener that checks each notification.
fn listen(
    transport: &Transport,
    topic: &str,
    seen: &Arc<Seen>,
    check: impl Fn(&Notification) + Send + Sync + 'static,
) -> Listener {
    Listener::builder(transport)
        .target(Target::new(topic))
        .pool(topic)
        .endpoint(Checking(Arc::clone(seen), check))
        .start()
        .unwrap()
}
