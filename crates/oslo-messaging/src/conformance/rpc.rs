//! Remote calls: who is reached, what comes back, and what when nothing does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context as TaskContext, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Case,
    stage::{Fault, Outcome, Stage, ensure, equal},
};
use crate::{
    message::{Context, Payload},
    rpc::{Methods, PendingCall, RemoteError, RpcClient, RpcError, RpcServer},
    target::Target,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Rpc, a_call_returns_its_result),
        case!(Rpc, a_call_can_be_awaited),
        case!(Rpc, a_cast_is_served_once),
        case!(Rpc, a_topic_is_served_by_one_and_a_server_by_its_name),
        case!(Rpc, a_fanout_reaches_every_server_and_cannot_be_called),
        case!(Rpc, namespaces_and_versions_choose_the_endpoint),
        case!(Rpc, an_error_travels_with_its_class_and_arguments),
        case!(Rpc, nothing_in_time_is_a_timeout_and_the_next_call_works),
        case!(Rpc, signs_of_life_keep_a_slow_call_waiting),
        case!(Rpc, context_and_odd_values_travel_as_they_are),
        case!(Rpc, a_large_argument_travels_whole),
        case!(Rpc, who_asks_is_told_that_nobody_listens),
        case!(Rpc, slow_methods_do_not_hold_up_others),
        case!(Rpc, a_stopped_server_finishes_what_it_accepted),
        case!(Rpc, calls_of_many_clients_get_their_own_answers),
    ]
}

fn server(stage: &Stage, topic: &str, name: &str, methods: Methods) -> Result<RpcServer, Fault> {
    let target = Target::new(topic);
    let server = RpcServer::builder(stage.transport(), target, name).endpoint(methods).start()?;
    server.ready(stage.limit())?;
    Ok(server)
}

fn client(stage: &Stage, topic: &str) -> Result<RpcClient, Fault> {
    let builder = RpcClient::builder(stage.transport(), Target::new(topic));
    Ok(builder.timeout(stage.limit()).build()?)
}

fn raw(name: &str, run: impl Fn(Value) -> Value + Send + Sync + 'static) -> Methods {
    Methods::new().method(name, move |_: &Context, args: Value| Ok(run(args)))
}

fn value(call: PendingCall) -> Result<Value, Fault> {
    Ok(call.wait()?.value()?)
}

fn none() -> Context {
    Context::empty()
}

fn a_call_returns_its_result(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let server = server(stage, &topic, "s", raw("echo", |args| args))?;
    let client = client(stage, &topic)?;
    for args in [json!({}), json!({"a": 1}), json!({"a": [1, {"b": "č"}], "c": null})] {
        equal("the answer", value(client.call(&none(), "echo", args.clone()))?, args)?;
    }
    let nothing = client.call(&none(), "echo", Payload::null());
    equal("without arguments", value(nothing)?, json!({}))?;
    server.close(stage.limit())?;
    Ok(())
}

fn a_call_can_be_awaited(stage: &Stage) -> Outcome {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn wait(call: PendingCall) -> Result<Payload, RpcError> {
        let mut call = std::pin::pin!(call);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match call.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => thread::park(),
            }
        }
    }
    let topic = stage.unique("topic");
    let server = server(stage, &topic, "s", raw("echo", |args| args))?;
    let client = client(stage, &topic)?;
    let answer = wait(client.call(&none(), "echo", json!({"a": 1})))?;
    equal("the answer", answer.value()?, json!({"a": 1}))?;
    server.close(stage.limit())?;
    let nobody = client.with_timeout(Duration::from_millis(300));
    let begun = Instant::now();
    let error = wait(nobody.call(&none(), "echo", json!({}))).err();
    ensure(matches!(error, Some(RpcError::Timeout { .. })), || format!("{error:?}"))?;
    ensure(begun.elapsed() < stage.limit(), || format!("after {:?}", begun.elapsed()))
}

fn a_cast_is_served_once(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let (sender, receiver) = mpsc::channel();
    let methods = Methods::new().method("note", move |_: &Context, args: Value| {
        sender.send(args).map_err(RemoteError::from)
    });
    let server = server(stage, &topic, "s", methods)?;
    let client = client(stage, &topic)?;
    for number in 0..20 {
        client.cast(&none(), "note", json!({"n": number})).wait()?;
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(receiver.recv_timeout(stage.limit())?["n"].as_u64());
    }
    seen.sort_unstable();
    equal("the casts", seen, (0..20).map(Some).collect())?;
    server.close(stage.limit())?;
    ensure(receiver.try_recv().is_err(), || "one was served twice".to_owned())
}

fn a_topic_is_served_by_one_and_a_server_by_its_name(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let name = |name: &'static str| raw("who", move |_| json!(name));
    let servers =
        [server(stage, &topic, "one", name("one"))?, server(stage, &topic, "two", name("two"))?];
    let client = client(stage, &topic)?;
    for server in ["one", "two", "one"] {
        let answer = value(client.with_server(server).call(&none(), "who", json!({})))?;
        equal("the server", answer, json!(server))?;
    }
    let mut both = std::collections::BTreeSet::new();
    for _ in 0..20 {
        both.insert(value(client.call(&none(), "who", json!({})))?.to_string());
    }
    equal("servers of the topic", both.len(), 2)?;
    for server in servers {
        server.close(stage.limit())?;
    }
    Ok(())
}

fn a_fanout_reaches_every_server_and_cannot_be_called(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let (sender, receiver) = mpsc::channel();
    let mut servers = Vec::new();
    for name in ["one", "two", "three"] {
        let sender = sender.clone();
        let note = move |_| {
            // The case may have ended.
            let _ = sender.send(name);
            json!(null)
        };
        servers.push(server(stage, &topic, name, raw("note", note))?);
    }
    let everybody = client(stage, &topic)?.with_fanout();
    everybody.cast(&none(), "note", json!({})).wait()?;
    let mut reached: Vec<_> =
        (0..3).map(|_| receiver.recv_timeout(stage.limit())).collect::<Result<_, _>>()?;
    reached.sort_unstable();
    equal("the servers", reached, vec!["one", "three", "two"])?;
    let error = everybody.call(&none(), "note", json!({})).wait().err();
    ensure(matches!(error, Some(RpcError::Invalid { .. })), || format!("{error:?}"))?;
    for server in servers {
        server.close(stage.limit())?;
    }
    Ok(())
}

fn namespaces_and_versions_choose_the_endpoint(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let named = |name: &'static str| move |_: &Context, (): ()| Ok(name);
    let target = Target::new(&topic);
    let server = RpcServer::builder(stage.transport(), target, "s")
        .endpoint(Methods::new().version("1.3").method("who", named("plain")))
        .endpoint(Methods::new().namespace("n").version("2.0").method("who", named("n")))
        .start()?;
    server.ready(stage.limit())?;
    let client = client(stage, &topic)?;
    let who = |client: RpcClient| client.call(&none(), "who", json!({})).wait();
    let text = |answer: Payload| answer.deserialize::<String>();
    equal("1.0", text(who(client.clone())?)?, "plain".to_owned())?;
    equal("1.3", text(who(client.with_version("1.3"))?)?, "plain".to_owned())?;
    let spaced = client.with_namespace(Some("n"));
    equal("n 2.0", text(who(spaced.with_version("2.0"))?)?, "n".to_owned())?;
    for other in [client.with_version("1.4"), spaced.clone(), client.with_version("2.0")] {
        let error = who(other).err();
        let is_version = matches!(error, Some(RpcError::UnsupportedVersion { .. }));
        ensure(is_version, || format!("{error:?}"))?;
    }
    let error = client.call(&none(), "nothing", json!({})).wait().err();
    ensure(matches!(error, Some(RpcError::NoSuchMethod { .. })), || format!("{error:?}"))?;
    let capped = RpcClient::builder(stage.transport(), Target::new(&topic))
        .version_cap("1.2")
        .build()?
        .with_version("1.3");
    let error = who(capped).err();
    ensure(matches!(error, Some(RpcError::VersionCap { .. })), || format!("{error:?}"))?;
    server.close(stage.limit())?;
    Ok(())
}

fn an_error_travels_with_its_class_and_arguments(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let fail = |error: fn() -> RemoteError| move |_: &Context, (): ()| Err::<(), _>(error());
    let methods = Methods::new()
        .method("plain", fail(|| RemoteError::new("ValueError", "nič")))
        .method(
            "own",
            fail(|| {
                RemoteError::new("InstanceNotFound", "gone")
                    .with_module("nova.exception")
                    .with_args(json!(["i-1", 7]), json!({"code": 404}))
            }),
        )
        .method("panics", |_: &Context, (): ()| -> Result<(), RemoteError> {
            panic!("on purpose")
        });
    let server = server(stage, &topic, "s", methods)?;
    let client = RpcClient::builder(stage.transport(), Target::new(&topic))
        .timeout(stage.limit())
        .allow_modules(["nova.exception"])
        .build()?;
    let fails = |method| match client.call(&none(), method, json!({})).wait() {
        Err(RpcError::Remote(error)) => Ok(error),
        other => Err(Fault::from(format!("{method}: {other:?}"))),
    };
    let error = fails("plain")?;
    ensure(error.is("builtins", "ValueError") && *error.message == *"nič", || error.to_string())?;
    let error = fails("own")?;
    ensure(error.is("nova.exception", "InstanceNotFound"), || error.to_string())?;
    equal("args", error.args.value()?, json!(["i-1", 7]))?;
    equal("kwargs", error.kwargs.value()?, json!({"code": 404}))?;
    let error = fails("panics")?;
    ensure(error.message.contains("on purpose"), || error.to_string())?;
    let answer = client.call(&none(), "plain", json!({})).wait();
    ensure(matches!(answer, Err(RpcError::Remote(_))), || "the server is gone".to_owned())?;
    server.close(stage.limit())?;
    Ok(())
}

fn nothing_in_time_is_a_timeout_and_the_next_call_works(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let methods = Methods::new().method("sleep", |_: &Context, args: Value| {
        thread::sleep(Duration::from_millis(args["ms"].as_u64().unwrap_or(0)));
        Ok(args)
    });
    let server = server(stage, &topic, "s", methods)?;
    let client = client(stage, &topic)?;
    // What the first call sets up is no part of the time.
    value(client.call(&none(), "sleep", json!({"ms": 0})))?;
    let begun = Instant::now();
    let short = client.with_timeout(Duration::from_millis(500));
    let error = short.call(&none(), "sleep", json!({"ms": 1500})).wait().err();
    let took = begun.elapsed();
    ensure(matches!(error, Some(RpcError::Timeout { silent: false, .. })), || {
        format!("{error:?}")
    })?;
    ensure(took < Duration::from_millis(1400), || format!("after {took:?}"))?;
    for number in 1..20 {
        let args = json!({"ms": 100, "n": number});
        equal("the next", value(client.call(&none(), "sleep", args.clone()))?, args)?;
    }
    server.close(stage.limit())?;
    Ok(())
}

fn signs_of_life_keep_a_slow_call_waiting(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let methods = Methods::new().method("sleep", |_: &Context, (): ()| {
        thread::sleep(Duration::from_millis(4500));
        Ok("done")
    });
    let server = server(stage, &topic, "s", methods)?;
    let client = client(stage, &topic)?.with_call_monitor(Some(Duration::from_secs(2)));
    equal("the answer", value(client.call(&none(), "sleep", json!({})))?, json!("done"))?;
    server.close(stage.limit())?;
    // Nobody there: nobody gives a sign of life.
    let begun = Instant::now();
    let error = client.call(&none(), "sleep", json!({})).wait().err();
    let took = begun.elapsed();
    ensure(matches!(error, Some(RpcError::Timeout { silent: true, .. })), || format!("{error:?}"))?;
    ensure(took < Duration::from_secs(4), || format!("after {took:?}"))
}

fn context_and_odd_values_travel_as_they_are(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let methods = Methods::new()
        .raw_method("args", |request| Ok(request.args.clone()))
        .raw_method("context", |request| Ok(Payload::from_json(request.context.as_json())?));
    let server = server(stage, &topic, "s", methods)?;
    let client = client(stage, &topic)?;
    let odd = r#"{"big": 123456789012345678901234567890, "nan": NaN, "lone": "\ud800", "é": [[]], "float": 1.0}"#;
    let answer = client.call(&none(), "args", Payload::from_json(odd)?).wait()?;
    let answered = answer.as_json();
    ensure(answered == odd || answered == odd.replace('é', r"\u00e9"), || {
        format!("{answered} instead of {odd}")
    })?;
    let context = Context::from_json(r#"{"user": "ü", "roles": ["a"], "none": null}"#)?;
    let answer = client.call(&context, "context", json!({})).wait()?.value()?;
    equal("the user", &answer["user"], &json!("ü"))?;
    equal("the roles", &answer["roles"], &json!(["a"]))?;
    ensure(answer.get("none").is_some(), || "a null was dropped".to_owned())?;
    server.close(stage.limit())?;
    Ok(())
}

fn a_large_argument_travels_whole(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let server = server(stage, &topic, "s", raw("echo", |args| args))?;
    let client = client(stage, &topic)?;
    let args = json!({"text": "č".repeat(512 * 1024)});
    let answer = value(client.call(&none(), "echo", args.clone()))?;
    ensure(answer == args, || "it is another one".to_owned())?;
    server.close(stage.limit())?;
    Ok(())
}

fn who_asks_is_told_that_nobody_listens(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let client = RpcClient::builder(stage.transport(), Target::new(&topic))
        .timeout(stage.limit())
        .at_least_once(true)
        .build()?;
    let undeliverable = |error: Option<RpcError>| match error {
        Some(RpcError::Undeliverable { routing_key, .. }) => {
            equal("key", routing_key, topic.clone())
        }
        other => Err(format!("{other:?}").into()),
    };
    undeliverable(client.cast(&none(), "note", json!({})).wait().err())?;
    undeliverable(client.call(&none(), "note", json!({})).wait().err())?;
    let server = server(stage, &topic, "s", raw("note", |args| args))?;
    equal("then", value(client.call(&none(), "note", json!({})))?, json!({}))?;
    server.close(stage.limit())?;
    Ok(())
}

fn slow_methods_do_not_hold_up_others(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let (sender, receiver) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(receiver);
    let methods = Methods::new()
        .method("wait", move |_: &Context, (): ()| {
            let gate = gate.lock().map_err(|_| RemoteError::new("RuntimeError", "poisoned"))?;
            gate.recv().map_err(RemoteError::from)
        })
        .method("now", |_: &Context, (): ()| Ok("now"));
    let server = server(stage, &topic, "s", methods)?;
    let client = client(stage, &topic)?;
    let slow: Vec<_> = (0..5).map(|_| client.call(&none(), "wait", json!({}))).collect();
    for _ in 0..10 {
        equal("meanwhile", value(client.call(&none(), "now", json!({})))?, json!("now"))?;
    }
    for _ in &slow {
        sender.send(())?;
    }
    for call in slow {
        value(call)?;
    }
    server.close(stage.limit())?;
    Ok(())
}

fn a_stopped_server_finishes_what_it_accepted(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let methods = Methods::new().method("work", move |_: &Context, (): ()| {
        count.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(700));
        Ok("done")
    });
    let server = server(stage, &topic, "s", methods)?;
    let client = client(stage, &topic)?;
    let calls: Vec<_> = (0..5).map(|_| client.call(&none(), "work", json!({}))).collect();
    let until = Instant::now() + stage.limit();
    while begun.load(Ordering::SeqCst) < calls.len() && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    server.close(stage.limit())?;
    for call in calls {
        equal("the answer", value(call)?, json!("done"))?;
    }
    Ok(())
}

fn calls_of_many_clients_get_their_own_answers(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let server = server(stage, &topic, "s", raw("echo", |args| args))?;
    let client = client(stage, &topic)?;
    thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let client = &client;
                scope.spawn(move || -> Result<(), String> {
                    for number in 0..100 {
                        let args = json!({"caller": caller, "number": number});
                        let call = client.call(&none(), "echo", args.clone());
                        let answer = value(call).map_err(|error| error.to_string())?;
                        if answer != args {
                            return Err(format!("{answer} instead of {args}"));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        callers.into_iter().try_for_each(|caller| match caller.join() {
            Ok(outcome) => outcome.map_err(Fault::from),
            Err(_) => Err("a caller panicked".into()),
        })
    })?;
    server.close(stage.limit())?;
    Ok(())
}
