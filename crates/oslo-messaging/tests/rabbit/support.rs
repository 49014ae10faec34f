//! What the tests share: transports, servers that count, and a hand on the broker beside the library.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lapin::{
    BasicProperties, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use oslo_messaging::{
    Context, Payload, Target, Transport,
    rpc::{Methods, RemoteError, RpcClient, RpcServer},
};
use serde_json::Value;

/// Longest wait for anything that should happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn transport(url: &str) -> Transport {
    Transport::builder().url(url).for_rpc().unwrap()
}

pub(crate) fn client(url: &str, topic: &str) -> RpcClient {
    let transport = transport(url);
    RpcClient::builder(&transport, Target::new(topic)).timeout(LIMIT).build().unwrap()
}

/// A name that nothing else has.
pub(crate) fn topic() -> String {
    rabbitmq_testkit::unique("topic")
}

/// How often each request was served, by its number.
#[derive(Debug, Default)]
pub(crate) struct Served(Mutex<Vec<u32>>);

impl Served {
    fn count(&self, number: usize) {
        let mut served = self.0.lock().unwrap();
        if served.len() <= number {
            served.resize(number + 1, 0);
        }
        served[number] += 1;
    }

    /// How many were served at all, and how many more than once.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let served = self.0.lock().unwrap();
        let once = served.iter().filter(|count| **count > 0).count();
        (once, served.iter().filter(|count| **count > 1).count())
    }
}

/// A server of `echo`, which counts its argument `n`, `sleep`, and `grow`, whose result is large.
pub(crate) fn server(url: &str, topic: &str, name: &str) -> (RpcServer, Arc<Served>, Transport) {
    let served = Arc::new(Served::default());
    let counted = Arc::clone(&served);
    let methods = Methods::new()
        .method("echo", move |_: &Context, args: Value| {
            if let Some(number) = args["n"].as_u64() {
                counted.count(number as usize);
            }
            Ok::<_, RemoteError>(args)
        })
        .method("sleep", |_: &Context, args: Value| {
            thread::sleep(Duration::from_millis(args["ms"].as_u64().unwrap_or(0)));
            Ok::<_, RemoteError>("slept")
        })
        .method("grow", |_: &Context, args: Value| {
            Ok::<_, RemoteError>("x".repeat(args["bytes"].as_u64().unwrap_or(0) as usize))
        });
    let transport = transport(url);
    let server =
        RpcServer::builder(&transport, Target::new(topic), name).endpoint(methods).start().unwrap();
    server.ready(LIMIT).unwrap();
    (server, served, transport)
}

pub(crate) fn call(client: &RpcClient, method: &str, args: Value) -> Result<Value, String> {
    let answer = client.call(&Context::empty(), method, Payload::from(args)).wait();
    answer.map_err(|error| error.to_string()).map(|answer| answer.value().unwrap())
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Publishes bodies beside the library.
pub(crate) fn publish(address: &str, exchange: &str, key: &str, bodies: &[&[u8]]) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let count = AtomicUsize::new(0);
    runtime.block_on(async {
        let url = format!("amqp://guest:guest@{address}/%2F");
        let connection =
            lapin::Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for body in bodies {
            let confirm = channel
                .basic_publish(
                    exchange.into(),
                    key.into(),
                    BasicPublishOptions::default(),
                    body,
                    BasicProperties::default(),
                )
                .await
                .unwrap();
            assert!(confirm.await.unwrap().is_ack());
            count.fetch_add(1, Ordering::SeqCst);
        }
        connection.close(200, "OK".into()).await.unwrap();
    });
    assert_eq!(count.load(Ordering::SeqCst), bodies.len());
}
