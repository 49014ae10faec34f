//! This library and the Python library at either end: what comes of each call is what Python has with itself.

use std::{
    collections::BTreeMap,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Listener, Notifier, Payload, Priority, Target, Transport, endpoint_fn,
    rpc::{Methods, RemoteError, RpcClient, RpcError, RpcRequest, RpcServer},
};
use rabbitmq_testkit::{shared, unique};
use serde_json::{Value, json};

use crate::{
    outcomes::{CALLS, Ends, Outcome},
    peers::{Client, Peer, Place, Server, text},
    support::{LIMIT, until},
};

/// A JSON text as Python writes it with its keys in order; numbers stay as they are.
fn canonical(text: &str) -> String {
    let mut rest = text.trim();
    let written = value(&mut rest);
    assert_eq!(rest.trim(), "", "{text}");
    written
}

fn value(rest: &mut &str) -> String {
    *rest = rest.trim_start();
    match rest.as_bytes()[0] {
        b'{' => {
            let mut entries = BTreeMap::new();
            *rest = &rest[1..];
            while !rest.trim_start().starts_with('}') {
                *rest = rest.trim_start().trim_start_matches(',');
                let key = value(rest);
                *rest = rest.trim_start().strip_prefix(':').unwrap();
                entries.insert(key, value(rest));
            }
            *rest = &rest.trim_start()[1..];
            let entries: Vec<String> =
                entries.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", entries.join(", "))
        }
        b'[' => {
            let mut items = Vec::new();
            *rest = &rest[1..];
            while !rest.trim_start().starts_with(']') {
                *rest = rest.trim_start().trim_start_matches(',');
                items.push(value(rest));
            }
            *rest = &rest.trim_start()[1..];
            format!("[{}]", items.join(", "))
        }
        b'"' => {
            let mut end = 1;
            while rest.as_bytes()[end] != b'"' {
                end += if rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
            }
            let mut written = String::new();
            for character in rest[..=end].chars() {
                if matches!(character, ' '..='\u{7e}') {
                    written.push(character);
                } else {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        written.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
            *rest = &rest[end + 1..];
            written.replace("\\u007f", "\u{7f}")
        }
        _ => {
            let end = rest.find([',', ']', '}', ' ', '\n']).unwrap_or(rest.len());
            let (word, left) = rest.split_at(end);
            *rest = left;
            word.to_owned()
        }
    }
}

/// What `reference_rpc_server.py` has, in Rust. `ran` gets each method that runs, and its context.
fn server(place: &Place, name: &str) -> (RpcServer, mpsc::Receiver<(String, String)>, Transport) {
    let (sender, ran) = mpsc::channel();
    let sender = Mutex::new(sender);
    let told = std::sync::Arc::new(move |request: &RpcRequest| {
        let line = (request.method.clone(), request.context.as_json().to_owned());
        // The test may have ended.
        let _ = sender.lock().unwrap().send(line);
    });
    let at = |name: &'static str| {
        let told = std::sync::Arc::clone(&told);
        move |request: &RpcRequest| {
            told(request);
            Ok(Payload::from(json!(name)))
        }
    };
    let transport = Transport::builder().url(&place.url).for_rpc().unwrap();
    let target = Target::new(&place.topic).with_exchange(&place.exchange);
    let mut plain = Methods::new().version("1.5").raw_method("where", at("none 1.5"));
    for name in [
        "echo",
        "add",
        "keywords",
        "size",
        "context",
        "slow",
        "unusual",
        "builtin",
        "builtin_with_arguments",
        "own",
        "picky",
        "local",
        "expected",
        "_private",
    ] {
        let told = std::sync::Arc::clone(&told);
        plain = plain.raw_method(name, move |request| {
            if name == "echo" && member(&request.args, "value").is_none() {
                return Err(RemoteError::new("TypeError", "echo needs a value"));
            }
            told(request);
            run(name, request)
        });
    }
    let server = RpcServer::builder(&transport, target, name)
        .endpoint(plain)
        .endpoint(Methods::new().namespace("ns").version("1.1").raw_method("where", at("ns 1.1")))
        .endpoint(Methods::new().namespace("ns").version("2.3").raw_method("where", at("ns 2.3")))
        .endpoint(
            Methods::new()
                .namespace("new")
                .legacy_namespace(Some("old"))
                .raw_method("where", at("new 1.0")),
        )
        .start()
        .unwrap();
    server.ready(LIMIT).unwrap();
    (server, ran, transport)
}

/// The text of a member of an object that may not be JSON for others.
fn member(object: &Payload, name: &str) -> Option<String> {
    let members: BTreeMap<String, serde::de::IgnoredAny> = object.deserialize().unwrap();
    members.contains_key(name).then(|| {
        let text = object.as_json();
        let at = text.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
        let mut rest = &text[at..];
        value(&mut rest)
    })
}

fn run(method: &str, request: &RpcRequest) -> Result<Payload, RemoteError> {
    let args = &request.args;
    let given = |name: &str| member(args, name);
    let message = || text(&json!(given("message").unwrap())).as_str().unwrap().to_owned();
    let own =
        |message: &str| RemoteError::new("OwnError", message).with_module("reference_rpc_errors");
    match method {
        "echo" => Ok(Payload::from_json(given("value").unwrap())?),
        "keywords" => Ok(args.clone()),
        "context" => Ok(Payload::from_json(request.context.as_json())?),
        "size" => Ok(Payload::from(json!(given("value").unwrap().len() - 2))),
        "slow" => {
            let seconds: f64 = given("seconds").unwrap().parse().unwrap();
            thread::sleep(Duration::from_secs_f64(seconds));
            Ok(Payload::from(json!("slept")))
        }
        "add" => {
            let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
            let (a, b) = (read(given("a").unwrap()), given("b").map_or(json!(1), read));
            Ok(Payload::from(match (a.as_str(), b.as_str()) {
                (Some(a), Some(b)) => json!(format!("{a}{b}")),
                _ => json!(a.as_i64().unwrap() + b.as_i64().unwrap()),
            }))
        }
        "unusual" => {
            let same = CALLS.iter().find(|call| {
                call.method == "unusual" && canonical(&call.args()) == canonical(args.as_json())
            });
            match same.unwrap().ends {
                Ends::Result(text) => Ok(Payload::from_json(text)?),
                _ => unreachable!("they all have results"),
            }
        }
        "builtin" => Err(RemoteError::new("ValueError", message())),
        "builtin_with_arguments" => {
            Err(RemoteError::new("KeyError", "('key', 7, ['l'], {'k': None})")
                .with_args(json!(["key", 7, ["l"], {"k": null}]), json!({})))
        }
        "own" => {
            let words = format!("('{}', 2)", message());
            Err(own(&words).with_args(json!([message(), 2]), json!({})))
        }
        "expected" => Err(own(&message())),
        "picky" => {
            Err(RemoteError::new("PickyError", message()).with_module("reference_rpc_errors"))
        }
        "local" => Err(RemoteError::new("LocalError", message()).with_module("__main__")),
        _ => unreachable!("no such method is offered"),
    }
}

fn client(place: &Place, call: &Outcome, transport: &Transport) -> RpcClient {
    let target = Target::new(&place.topic).with_exchange(&place.exchange);
    let mut builder = RpcClient::builder(transport, target)
        .timeout(LIMIT)
        .allow_modules(["reference_rpc_errors"]);
    if let Some(cap) = call.version_cap {
        builder = builder.version_cap(cap);
    }
    let mut client = builder.build().unwrap().with_namespace(call.namespace);
    if let Some(version) = call.version {
        client = client.with_version(version);
    }
    client
}

/// What is wrong with what a call from Rust ended with.
fn differs(call: &Outcome, ended: Result<Payload, RpcError>) -> Option<String> {
    let bare = |name: &str| name.strip_suffix("_Remote").unwrap_or(name).to_owned();
    let is_so = match (&call.ends, &ended) {
        (Ends::Result(text), Ok(result)) => canonical(result.as_json()) == canonical(text),
        (Ends::Rebuilt(class, module, message, args), Err(RpcError::Remote(error))) => {
            let tail = |text: &str| {
                let items: Vec<Value> = serde_json::from_str(text).unwrap();
                items.into_iter().skip(1).collect::<Vec<_>>()
            };
            // What Python says of arguments that do not fit is its own.
            let same_words = *class == "TypeError" || *error.message == **message;
            error.is(&bare(module), &bare(class))
                && same_words
                && tail(error.args.as_json()) == tail(args)
        }
        (Ends::Remote("NoSuchMethod", words), Err(RpcError::NoSuchMethod { message })) => {
            message == words
        }
        (
            Ends::Remote("UnsupportedVersion", words),
            Err(RpcError::UnsupportedVersion { message }),
        ) => message == words,
        (Ends::Remote(class, words), Err(RpcError::Remote(error))) => {
            *error.class == **class && *error.message == **words
        }
        (Ends::VersionCap, Err(RpcError::VersionCap { .. })) => true,
        _ => false,
    };
    (!is_so).then(|| format!("{}: {ended:?}", call.name()))
}

/// All calls from Rust; what differs.
fn ask_from_rust(place: &Place) -> Vec<String> {
    let transport = Transport::builder().url(&place.url).for_rpc().unwrap();
    let mut differing = Vec::new();
    for call in CALLS {
        let context = Context::from_json(call.context).unwrap();
        let args = Payload::from_json(call.args()).unwrap();
        let ended = client(place, call, &transport).call(&context, call.method, args).wait();
        differing.extend(differs(call, ended));
    }
    differing
}

fn ran(mut methods: Vec<String>) {
    let mut expected: Vec<&str> = CALLS.iter().filter_map(Outcome::runs).collect();
    methods.sort();
    expected.sort_unstable();
    assert_eq!(methods, expected);
}

#[test]
fn every_call_ends_the_same_whoever_is_at_either_end() {
    let modes = [
        "",
        "rabbit_quorum_queue=true&rabbit_transient_quorum_queue=true",
        "kombu_compression=gzip",
    ];
    for query in modes {
        // Rust asks Python.
        let place = Place::new(query);
        let python = Server::start(&place, "one");
        let begun = Instant::now();
        let differing = ask_from_rust(&place);
        println!(
            "{query:62} Rust asks Python: {} calls, {} differ, {:.1} s",
            CALLS.len(),
            differing.len(),
            begun.elapsed().as_secs_f64()
        );
        assert!(differing.is_empty(), "{}", differing.join("\n"));
        ran(python.stop());

        // Rust asks Rust.
        let place = Place::new(query);
        let (rust, methods, _transport) = server(&place, "one");
        let begun = Instant::now();
        let differing = ask_from_rust(&place);
        println!(
            "{query:62} Rust asks Rust:   {} calls, {} differ, {:.1} s",
            CALLS.len(),
            differing.len(),
            begun.elapsed().as_secs_f64()
        );
        assert!(differing.is_empty(), "{}", differing.join("\n"));
        rust.close(LIMIT).unwrap();
        ran(methods.try_iter().map(|(method, _)| method).collect());

        // Python asks Rust.
        let place = Place::new(query);
        let (rust, methods, _transport) = server(&place, "one");
        let mut python = Client::start(&place);
        let requests: Vec<Value> = CALLS.iter().map(Outcome::request).collect();
        let begun = Instant::now();
        let mut differing = Vec::new();
        for (call, (mut answer, _)) in CALLS.iter().zip(python.ask(&requests)) {
            let mut expected = call.expected();
            if expected["error"]["class"] == "TypeError" {
                for ended in [&mut answer, &mut expected] {
                    ended["error"]["message"] = Value::Null;
                    ended["error"]["args"] = Value::Null;
                }
            }
            if answer != expected {
                differing.push(format!("{}: {answer} and not {expected}", call.name()));
            }
        }
        println!(
            "{query:62} Python asks Rust: {} calls, {} differ, {:.1} s",
            CALLS.len(),
            differing.len(),
            begun.elapsed().as_secs_f64()
        );
        assert!(differing.is_empty(), "{}", differing.join("\n"));
        python.stop();
        rust.close(LIMIT).unwrap();
        ran(methods.try_iter().map(|(method, _)| method).collect());
    }
}

const CONTEXT: &str = r#"{"user": "u", "roles": ["a"], "nothing": null}"#;
const SEEN: &str = r#"{"client_timeout": null, "nothing": null, "roles": ["a"], "user": "u"}"#;

#[test]
fn casts_from_rust_reach_one_of_a_topic_one_server_and_all_in_python() {
    let place = Place::new("");
    let servers = ["one", "two"].map(|name| Server::start(&place, name));
    let transport = Transport::builder().url(&place.url).for_rpc().unwrap();
    let rust = client(&place, &CALLS[0], &transport);
    let context = Context::from_json(CONTEXT).unwrap();
    let cast = |client: RpcClient| client.cast(&context, "add", json!({"a": 1})).wait().unwrap();
    let seen = ("add".to_owned(), serde_json::from_str::<Value>(SEEN).unwrap());
    for name in ["one", "two", "two"] {
        cast(rust.with_server(name));
        assert_eq!(servers[usize::from(name == "two")].called(), seen, "{name}");
    }
    cast(rust.with_fanout());
    servers.iter().for_each(|server| assert_eq!(server.called(), seen));
    (0..6).for_each(|_| cast(rust.clone()));
    // What a server has not accepted when it stops is left to others.
    until("all are accepted", || {
        shared().queue("osl", &place.topic).is_some_and(|queue| queue.messages == 0)
    });
    let ran: Vec<usize> = servers.into_iter().map(|server| server.stop().len()).collect();
    assert_eq!((ran[0] + ran[1], ran[0] > 0, ran[1] > 0), (6, true, true), "{ran:?}");
}

#[test]
fn casts_from_python_reach_one_of_a_topic_one_server_and_all_in_rust() {
    let place = Place::new("");
    let servers = ["one", "two"].map(|name| server(&place, name));
    let mut python = Client::start(&place);
    let cast = |how: &str, server: Value| {
        let mut cast =
            json!({"how": how, "method": "add", "args": "{\"a\": 1}", "context": CONTEXT});
        if !server.is_null() {
            cast["server"] = server;
        }
        cast
    };
    let called = |index: usize| {
        let (method, context) = servers[index].1.recv_timeout(LIMIT).unwrap();
        assert_eq!((&*method, &*canonical(&context)), ("add", SEEN));
    };
    for name in ["one", "two", "two"] {
        python.ask(&[cast("cast", name.into())]);
        called(usize::from(name == "two"));
    }
    python.ask(&[cast("fanout", Value::Null)]);
    (0..2).for_each(called);
    python.ask(&[(); 6].map(|()| cast("cast", Value::Null)));
    python.stop();
    until("all are accepted", || {
        shared().queue("osl", &place.topic).is_some_and(|queue| queue.messages == 0)
    });
    let ran = servers.map(|(server, methods, _)| {
        server.close(LIMIT).unwrap();
        methods.try_iter().count()
    });
    assert_eq!((ran[0] + ran[1], ran[0] > 0, ran[1] > 0), (6, true, true), "{ran:?}");
}

#[test]
fn rust_and_python_wait_for_each_other_as_long_as_they_are_told() {
    // Python waits for Rust.
    let place = Place::new("");
    let (rust, methods, _transport) = server(&place, "one");
    let mut python = Client::start(&place);
    let slow = |seconds: f64, more: Value| {
        let args = json!({"seconds": seconds}).to_string();
        let mut call = json!({"how": "call", "method": "slow", "args": args});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let answers = python.ask(&[
        slow(3.0, json!({"timeout": 1})),
        slow(5.0, json!({"timeout": 20, "call_monitor_timeout": 2})),
        slow(5.0, json!({"timeout": 2, "call_monitor_timeout": 2})),
    ]);
    assert_eq!(answers[0].0["error"]["kind"], "timeout");
    assert_eq!(answers[1].0, json!({"result": "\"slept\""}));
    assert_eq!(answers[2].0["error"]["kind"], "timeout");
    python.stop();
    rust.close(LIMIT).unwrap();
    assert_eq!(methods.try_iter().count(), 3);

    // Rust waits for Python.
    let place = Place::new("");
    let python = Server::start(&place, "one");
    let transport = Transport::builder().url(&place.url).for_rpc().unwrap();
    let rust = client(&place, &CALLS[0], &transport);
    let monitored = rust.with_call_monitor(Some(Duration::from_secs(2)));
    let slow = |client: &RpcClient, timeout: u64, seconds: f64| {
        let client = client.with_timeout(Duration::from_secs(timeout));
        client.call(&Context::empty(), "slow", json!({"seconds": seconds}))
    };
    // All at once.
    let calls = [slow(&rust, 1, 3.0), slow(&monitored, 20, 5.0), slow(&monitored, 2, 5.0)];
    let [short, long, limited] = calls.map(oslo_messaging::rpc::PendingCall::wait);
    assert!(matches!(short, Err(RpcError::Timeout { .. })), "{short:?}");
    assert_eq!(long.unwrap().value().unwrap(), json!("slept"));
    assert!(matches!(limited, Err(RpcError::Timeout { .. })), "{limited:?}");
    assert_eq!(python.stop(), ["slow"; 3]);
}

#[test]
fn notifications_from_rust_come_to_pools_of_python_and_are_put_back_there() {
    let (topic, url) = (unique("notifications"), shared().url("osl"));
    let listen = |pool: &str| {
        let pool = unique(pool);
        let arguments =
            ["--url", &url, "--topic", &topic, "--listen", "--requeue", "1", "--pool", &pool];
        Peer::start("reference_notify.py", &arguments)
    };
    let pools = [listen("a"), listen("b")];
    let transport = Transport::for_notifications(&url).unwrap();
    for (driver, priority) in [
        ("messagingv2", Priority::Info),
        ("messaging", Priority::Error),
        ("messagingv2", Priority::Sample),
    ] {
        let notifier = Notifier::builder(&transport)
            .publisher_id("compute.h")
            .driver(driver)
            .topic(&topic)
            .build()
            .unwrap();
        let payload = Payload::from(json!({"n": 1.5, "text": "ü"}));
        let context = Context::from_json(r#"{"user": "u"}"#).unwrap();
        notifier.notify(priority, &context, "e.end", payload).wait(LIMIT).unwrap();
        for pool in &pools {
            for time in 1..=2 {
                let line = pool.line();
                assert_eq!(line["priority"], priority.as_str(), "{line}");
                assert_eq!(line["time"], time, "{line}");
                assert_eq!(line["publisher_id"], "compute.h");
                assert_eq!(line["event_type"], "e.end");
                assert_eq!(text(&line["payload"]), json!({"n": 1.5, "text": "ü"}));
                assert_eq!(text(&line["context"]), json!({"user": "u", "client_timeout": null}));
            }
        }
    }
    for pool in pools {
        assert_eq!(pool.stop(), [Value::Null; 0]);
    }
}

#[test]
fn notifications_from_python_come_to_pools_of_rust_and_are_put_back_there() {
    let (topic, url) = (unique("notifications"), shared().url("osl"));
    let transport = Transport::for_notifications(&url).unwrap();
    let listen = |pool: &str| {
        let (sender, came) = mpsc::channel();
        let times = Mutex::new(BTreeMap::<String, u32>::new());
        let endpoint = endpoint_fn(Priority::ALL, move |notification| {
            let mut times = times.lock().unwrap();
            let time = times.entry(notification.message_id.clone()).or_default();
            *time += 1;
            sender.send((notification.clone(), *time))?;
            if *time == 1 { Err("once more".into()) } else { Ok(()) }
        });
        let listener = Listener::builder(&transport)
            .target(Target::new(&topic))
            .pool(unique(pool))
            .allow_requeue()
            .endpoint(endpoint)
            .start()
            .unwrap();
        listener.ready(LIMIT).unwrap();
        (listener, came)
    };
    let pools = [listen("a"), listen("b")];
    let mut sender = Peer::start("reference_notify.py", &["--url", &url, "--topic", &topic]);
    for (driver, priority) in
        [("messagingv2", "info"), ("messaging", "error"), ("messagingv2", "sample")]
    {
        sender.tell(&json!({
            "driver": driver, "priority": priority, "publisher_id": "compute.h", "event_type": "e.end",
            "payload": "{\"n\": 1.5, \"text\": \"\\u00fc\"}", "context": "{\"user\": \"u\"}",
        }));
        assert_eq!(sender.line(), json!({"event": "sent"}));
        for (_, came) in &pools {
            for expected in 1..=2 {
                let (notification, time) = came.recv_timeout(LIMIT).unwrap();
                assert_eq!(time, expected);
                assert_eq!(notification.priority.as_str(), priority);
                assert_eq!(notification.publisher_id, "compute.h");
                assert_eq!(notification.event_type, "e.end");
                assert_eq!(notification.payload.value().unwrap(), json!({"n": 1.5, "text": "ü"}));
                assert_eq!(notification.context.value().unwrap(), json!({"user": "u"}));
            }
        }
    }
    assert_eq!(sender.stop(), [Value::Null; 0]);
    for (listener, came) in pools {
        listener.close(LIMIT).unwrap();
        assert!(came.try_recv().is_err(), "one came a third time");
    }
}
