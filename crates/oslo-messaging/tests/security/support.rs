//! The broker, transports to its listeners, both sides of a notification, and the log of errors.

use std::{
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

pub(crate) use crate::log::{logged, note_errors};
use kafka_testkit::{Kafka, Layout, Operation, Resource, unique};
use oslo_messaging::{
    Context, Endpoint, EndpointError, Error, Listener, Notification, Notifier, Payload, Priority,
    Target, Transport, Undelivered,
};

/// Longest wait for anything that should happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// How long anybody is left without a word.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(15);
/// Sessions of SCRAM-SHA-512 end after this time, unless the client logs in again.
pub(crate) const SESSION: Duration = Duration::from_secs(3);

/// The one broker. Known users may do all they like with topics and groups whose names begin with `open`.
pub(crate) fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let session = SESSION.as_millis();
        let kafka = Kafka::with(
            Layout::Secure,
            &[&format!("listener.name.sasl.scram-sha-512.connections.max.reauth.ms={session}")],
        );
        for user in ["alice", "client-alice"] {
            kafka.allow(user, Resource::Topics("open"), Operation::All);
            kafka.allow(user, Resource::Groups("open"), Operation::All);
        }
        kafka
    })
}

/// A file of [`Kafka::certs`].
pub(crate) fn cert(name: &str) -> String {
    kafka().certs().join(name).to_str().unwrap().to_owned()
}

/// `kafka://USER@HOST:PORT/?QUERY`; the user with his password.
pub(crate) fn url(user: &str, listener: kafka_testkit::Listener, query: &str) -> String {
    let at = if user.is_empty() { "" } else { "@" };
    format!("kafka://{user}{at}{}/?{query}", kafka().listener(listener))
}

pub(crate) fn sasl(mechanism: &str) -> String {
    format!("security_protocol=SASL_PLAINTEXT&sasl_mechanism={mechanism}")
}

pub(crate) fn notifier(transport: &Transport, topic: &str) -> Notifier {
    Notifier::builder(transport)
        .publisher_id("compute.test")
        .driver("messagingv2")
        .topic(topic)
        .build()
        .unwrap()
}

/// Tells of each notification by its event type.
struct Teller(mpsc::Sender<String>);

impl Endpoint for Teller {
    fn priorities(&self) -> &[Priority] {
        &[Priority::Info]
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        // The test may have seen enough.
        let _ = self.0.send(notification.event_type.clone());
        Ok(())
    }
}

/// A listener, and what it is told.
pub(crate) fn listen(
    transport: &Transport,
    topic: &str,
    group: &str,
) -> Result<(Listener, mpsc::Receiver<String>), Error> {
    let (teller, told) = mpsc::channel();
    let listener = Listener::builder(transport)
        .target(Target::new(topic))
        .pool(group)
        .endpoint(Teller(teller))
        .start()?;
    Ok((listener, told))
}

/// Sends one notification and waits for what becomes of it.
pub(crate) fn send(notifier: &Notifier, event_type: &str) -> Result<(), Error> {
    notifier.info(&Context::empty(), event_type, Payload::null()).wait(LIMIT)
}

pub(crate) fn failure(result: Result<(), Error>) -> Undelivered {
    match result {
        Err(Error::Undelivered(failures)) => failures.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Notifier and listener of one URL, and a notification from the one to the other. The time it took.
pub(crate) fn passes(url: &str) -> Duration {
    let begun = Instant::now();
    let (topic, group) = (unique("open"), unique("open"));
    let transport = Transport::for_notifications(url).unwrap();
    let (listener, told) = listen(&transport, &topic, &group).unwrap();
    listener.ready(LIMIT).unwrap_or_else(|error| panic!("{url}: {error}"));
    send(&notifier(&transport, &topic), "open.sesame")
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), "open.sesame", "{url}");
    let took = begun.elapsed();
    listener.close(LIMIT).unwrap();
    took
}

/// A line of the table of what is let in and what is refused: `... -- --nocapture | grep '^|'` has it whole.
pub(crate) fn row(what: &str, url: &str, side: &str, took: Duration, text: &str) -> String {
    let (_, query) = url.split_once('?').unwrap_or((url, ""));
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name));
    let protocol = value("security_protocol=").unwrap_or("PLAINTEXT");
    let mechanism = match value("sasl_mechanism=") {
        _ if !protocol.starts_with("SASL") => "-",
        given => given.unwrap_or("PLAIN"),
    };
    let took = took.as_millis();
    format!("| {protocol:<14} | {mechanism:<13} | {what:<40} | {side:<8} | {took:>6} ms | {text} |")
}

/// The same for both sides of a notification that came through.
pub(crate) fn accepted(what: &str, url: &str, took: Duration) -> String {
    row(what, url, "both", took, "accepted")
}

/// Runs each case on a thread of its own and prints their lines in order; panics with all that failed.
pub(crate) fn each<T: Send + Sync>(cases: &[T], run: impl Fn(&T) -> String + Sync) {
    let ends: Vec<_> = thread::scope(|scope| {
        let run = &run;
        let begin = |case| scope.spawn(move || run(case));
        let running: Vec<_> = cases.iter().map(begin).collect();
        running.into_iter().map(|case| case.join()).collect()
    });
    let mut failed = Vec::new();
    for (number, end) in ends.into_iter().enumerate() {
        match end {
            Ok(line) => println!("{line}"),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                failed.push(format!("case {number}: {}", text.unwrap_or("no text")));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
