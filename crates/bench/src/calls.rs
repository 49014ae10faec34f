//! Remote calls on RabbitMQ: lapin alone, this library, and the Python library. Client and server are processes of their
//! own, and the CPU of both counts.

use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use oslo_messaging::{
    Context, Payload, Target, Transport,
    rpc::{Methods, RemoteError, RpcClient, RpcServer},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    measure::{Measured, OURS, RAW},
    work::{Job, LIMIT, Watch},
};

/// Calls before the clock runs.
const WARM_UP: usize = 50;

/// What a call takes along, about what Nova's do.
fn arguments(number: usize) -> Value {
    json!({
        "instance": {"uuid": "0d2a7b9e-6f0c-4b7c-9a53-0e1b5a8c3f11", "host": "compute1", "vcpus": 4},
        "reboot_type": "HARD", "block_device_info": [1, 2, 3], "number": number,
    })
}

fn context() -> Value {
    json!({"user_id": "u-1", "project_id": "p-1", "request_id": "req-1", "roles": ["admin", "member"]})
}

/// The server's process. It ends with its input.
struct Server {
    child: Child,
    _stdin: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(program: &str, job: &Job) -> Self {
        let json = serde_json::to_string(job).expect("a job has a JSON form");
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.args(["serve", program, &json]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("the server says that it is ready");
        assert_eq!(line.trim(), "ready");
        Self { _stdin: child.stdin.take(), child, output }
    }

    /// Ends it; the CPU that it took.
    fn end(mut self) -> f64 {
        drop(self._stdin.take());
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the server says what it took");
        self.child.wait().expect("the server ends");
        line.trim().parse().expect("it is a number of seconds")
    }
}

pub(crate) fn run(program: &str, job: &Job, callers: usize) -> Measured {
    let server = Server::start(program, job);
    let measured = match program {
        RAW => raw_client(job, callers),
        _ => our_client(job, callers),
    };
    measured.with_cpu_of(server.end())
}

/// The server's side.
pub(crate) fn serve(program: &str, job: &Job) {
    let before = Watch::start();
    match program {
        RAW => raw_server(job),
        OURS => our_server(job),
        other => panic!("no server of {other}"),
    }
    println!("{}", before.stop(1, Vec::new()).cpu_seconds());
}

fn wait_for_the_end() {
    println!("ready");
    // Whoever started this closes it.
    let _ = std::io::stdin().read(&mut [0]);
}

fn our_server(job: &Job) {
    let transport = Transport::builder().url(&job.url).for_rpc().expect("the URL is right");
    let methods =
        Methods::new().method("echo", |_: &Context, args: Value| Ok::<_, RemoteError>(args));
    let server = RpcServer::builder(&transport, Target::new(&job.topic), "bench")
        .endpoint(methods)
        .start()
        .expect("the server starts");
    server.ready(LIMIT).expect("the broker answers");
    wait_for_the_end();
    server.close(LIMIT).expect("an idle server ends");
}

fn our_client(job: &Job, callers: usize) -> Measured {
    let transport = Transport::builder().url(&job.url).for_rpc().expect("the URL is right");
    let client =
        RpcClient::builder(&transport, Target::new(&job.topic)).build().expect("it is made");
    let context = Context::serialize(&context()).expect("a context is an object");
    let call = |number: usize| {
        let args = Payload::from(arguments(number));
        let answer = client.call(&context, "echo", args).wait().expect("the server answers");
        let answer = answer.value().expect("the answer is JSON");
        assert_eq!(answer["number"], number);
    };
    (0..WARM_UP).for_each(&call);
    let watch = Watch::start();
    let each = job.count / callers;
    let latencies: Vec<Duration> = std::thread::scope(|scope| {
        let run = || {
            let timed = |number| {
                let begun = Instant::now();
                call(number);
                begun.elapsed()
            };
            (0..each).map(timed).collect::<Vec<_>>()
        };
        let callers: Vec<_> = (0..callers).map(|_| scope.spawn(run)).collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller ends")).collect()
    });
    watch.stop(each * callers, latencies)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads start")
}

async fn channel(job: &Job) -> (Connection, Channel) {
    let url = format!("amqp://guest:guest@{}/%2F", job.bootstrap);
    let connection =
        Connection::connect(&url, ConnectionProperties::default()).await.expect("it connects");
    let channel = connection.create_channel().await.expect("a channel opens");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("it confirms");
    (connection, channel)
}

async fn publish(channel: &Channel, key: &str, body: &[u8], properties: BasicProperties) {
    channel
        .basic_publish("".into(), key.into(), BasicPublishOptions::default(), body, properties)
        .await
        .expect("it is sent")
        .await
        .expect("it is confirmed");
}

/// The same steps as the library: acknowledged on arrival, answered with a confirmed message.
fn raw_server(job: &Job) {
    let runtime = runtime();
    let (consuming, replies) = runtime.block_on(async {
        let (consuming, channel) = channel(job).await;
        let queue = job.topic.as_str();
        let (no_options, none) = (QueueDeclareOptions::default(), FieldTable::default());
        channel.queue_declare(queue.into(), no_options, none.clone()).await.expect("a queue");
        channel.basic_qos(128, BasicQosOptions::default()).await.expect("a bound");
        let mut consumer = channel
            .basic_consume(queue.into(), "raw".into(), BasicConsumeOptions::default(), none)
            .await
            .expect("a consumer");
        let (replies, out) = self::channel(job).await;
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let out = out.clone();
                delivery.acker.ack(BasicAckOptions::default()).await.expect("acknowledged");
                tokio::spawn(async move {
                    let to = delivery.properties.reply_to().clone().expect("who asked");
                    let id = delivery.properties.correlation_id().clone().expect("which call");
                    let properties = BasicProperties::default().with_correlation_id(id);
                    publish(&out, to.as_str(), &delivery.data, properties).await;
                });
            }
        });
        (consuming, replies)
    });
    wait_for_the_end();
    drop((consuming, replies));
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>>;

fn raw_client(job: &Job, callers: usize) -> Measured {
    runtime().block_on(async {
        let (_replies, channel) = channel(job).await;
        let reply_queue = format!("{}-replies", job.topic);
        let (no_options, none) = (QueueDeclareOptions::default(), FieldTable::default());
        let queue = reply_queue.as_str();
        channel.queue_declare(queue.into(), no_options, none.clone()).await.expect("a queue");
        let mut consumer = channel
            .basic_consume(queue.into(), "raw".into(), BasicConsumeOptions::default(), none)
            .await
            .expect("a consumer");
        let waiting: Waiting = Arc::default();
        let known = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let id = delivery.properties.correlation_id().clone().expect("which call");
                let waiting =
                    known.lock().unwrap_or_else(PoisonError::into_inner).remove(id.as_str());
                if let Some(waiting) = waiting {
                    // A caller waits until it is answered.
                    let _ = waiting.send(delivery.data);
                }
                delivery.acker.ack(BasicAckOptions::default()).await.expect("acknowledged");
            }
        });
        let (_sending, out) = self::channel(job).await;
        let body =
            json!({"method": "echo", "args": arguments(1), "context": context()}).to_string();
        let call = async |caller: usize, number: usize| {
            let id = format!("{caller}-{number}");
            let (sender, answer) = oneshot::channel();
            waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), sender);
            let properties = BasicProperties::default()
                .with_reply_to(queue.into())
                .with_correlation_id(id.as_str().into());
            let sent = publish(&out, &job.topic, body.as_bytes(), properties);
            let (answer, ()) = tokio::join!(answer, sent);
            assert_eq!(answer.expect("an answer").len(), body.len());
        };
        for number in 0..WARM_UP {
            call(0, number + 1_000_000).await;
        }
        let watch = Watch::start();
        let each = job.count / callers;
        let run = async |caller: usize| {
            let mut latencies = Vec::with_capacity(each);
            for number in 0..each {
                let begun = Instant::now();
                call(caller, number).await;
                latencies.push(begun.elapsed());
            }
            latencies
        };
        let all = futures_util::future::join_all((0..callers).map(run)).await;
        watch.stop(each * callers, all.into_iter().flatten().collect())
    })
}
