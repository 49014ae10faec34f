//! What the tests share: the corpus, a transport, and an endpoint that counts.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Endpoint, EndpointError, Listener, Notification, NotificationFilter, Notifier,
    Payload, Priority, Target, Transport,
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest wait for anything that should happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn url() -> String {
    kafka_testkit::shared().transport_url()
}

/// A transport to the shared broker, with options as in a URL's query.
pub(crate) fn transport(query: &str) -> Transport {
    Transport::for_notifications(&format!("{}{query}", url())).unwrap()
}

pub(crate) fn topic() -> String {
    kafka_testkit::unique("notifications")
}

pub(crate) fn notifier(transport: &Transport, topic: &str) -> Notifier {
    Notifier::builder(transport)
        .publisher_id("compute.test")
        .driver("messagingv2")
        .topic(topic)
        .build()
        .unwrap()
}

/// A listener that is ready.
pub(crate) fn listen(transport: &Transport, topic: &str, pool: &str, seen: &Arc<Seen>) -> Listener {
    let listener = Listener::builder(transport)
        .target(Target::new(topic))
        .pool(pool)
        .endpoint(Counter(Arc::clone(seen)))
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    listener
}

#[derive(Deserialize)]
struct Line<'a> {
    message_id: String,
    publisher_id: String,
    event_type: String,
    priority: String,
    timestamp: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    context: &'a RawValue,
}

pub(crate) const CORPUS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/notifications.jsonl");

/// The project's own notifications.
pub(crate) fn corpus() -> Vec<Notification> {
    let text = std::fs::read_to_string(CORPUS).unwrap();
    let read = |line: &str| {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        let mut notification = Notification::new(
            line.publisher_id,
            line.event_type,
            line.priority.parse().unwrap(),
            Payload::from_json(line.payload.get()).unwrap(),
            Context::from_json(line.context.get()).unwrap(),
        );
        notification.message_id = line.message_id;
        notification.timestamp = line.timestamp;
        notification
    };
    text.lines().map(read).collect()
}

/// Notifications by message id, and how often each came.
#[derive(Default)]
pub(crate) struct Seen {
    state: Mutex<HashMap<String, (Notification, usize)>>,
    changed: Condvar,
}

impl Seen {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn add(&self, notification: &Notification) {
        let mut state = self.state.lock().unwrap();
        let entry = state.entry(notification.message_id.clone());
        entry.or_insert_with(|| (notification.clone(), 0)).1 += 1;
        self.changed.notify_all();
    }

    /// Waits until this many different notifications came; the number that did.
    pub(crate) fn wait_for(&self, count: usize, limit: Duration) -> usize {
        let state = self.state.lock().unwrap();
        self.changed.wait_timeout_while(state, limit, |state| state.len() < count).unwrap().0.len()
    }

    pub(crate) fn get(&self, message_id: &str) -> Option<Notification> {
        self.state.lock().unwrap().get(message_id).map(|(notification, _)| notification.clone())
    }

    pub(crate) fn all(&self) -> Vec<Notification> {
        self.state.lock().unwrap().values().map(|(notification, _)| notification.clone()).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().unwrap().len()
    }

    /// How many came more than once.
    pub(crate) fn twice(&self) -> usize {
        self.state.lock().unwrap().values().filter(|(_, times)| *times > 1).count()
    }

    /// How many of these never came.
    pub(crate) fn lost(&self, sent: &[String]) -> usize {
        let state = self.state.lock().unwrap();
        sent.iter().filter(|id| !state.contains_key(*id)).count()
    }
}

/// An endpoint for all priorities that counts what it gets.
pub(crate) struct Counter(pub(crate) Arc<Seen>);

impl Endpoint for Counter {
    fn priorities(&self) -> &[Priority] {
        &Priority::ALL
    }

    fn filter(&self) -> Option<&NotificationFilter> {
        None
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        self.0.add(notification);
        Ok(())
    }
}

/// Sends at a steady rate until told to stop; the ids of what was confirmed.
pub(crate) struct Load {
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Load {
    pub(crate) fn start(notifier: Notifier, per_second: u32) -> Self {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut receipts = Vec::new();
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let payload = Payload::from(serde_json::json!({"seq": receipts.len()}));
                receipts.push(notifier.info(&Context::empty(), "load.tick", payload));
                let due = begun + Duration::from_secs(1) * receipts.len() as u32 / per_second;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let confirmed = |receipt: oslo_messaging::Receipt| {
                receipt.wait(LIMIT).unwrap();
                receipt.message_id().to_owned()
            };
            receipts.into_iter().map(confirmed).collect()
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Vec<String> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
