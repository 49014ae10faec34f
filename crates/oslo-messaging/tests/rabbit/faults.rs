//! The broker dies, freezes and runs out of memory under calls and casts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Error, Notifier, Payload, Target, Transport,
    rpc::{Methods, RemoteError, RpcError, RpcServer},
};
use rabbitmq_testkit::{Cluster, Rabbit};
use serde_json::{Value, json};

use crate::support::{LIMIT, Served, call, client, server, topic, transport, until};

/// How late a call may end after its timeout.
const LATE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Ends {
    results: AtomicUsize,
    timeouts: AtomicUsize,
    others: AtomicUsize,
    late: AtomicUsize,
}

/// Calls from many clients, numbered, until `count` were made. Each has a timeout.
fn call_from_many(
    url: &str,
    topic: &str,
    callers: usize,
    count: usize,
    timeout: Duration,
    done: &AtomicUsize,
) -> Ends {
    let ends = Ends::default();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                // With connections and a queue of answers of its own.
                let client = client(url, topic).with_timeout(timeout);
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    let begun = Instant::now();
                    let args = Payload::from(json!({"n": number}));
                    let ended = match client.call(&Context::empty(), "echo", args).wait() {
                        Ok(answer) => {
                            assert_eq!(answer.value().unwrap(), json!({"n": number}));
                            &ends.results
                        }
                        Err(RpcError::Timeout { .. }) => &ends.timeouts,
                        Err(_) => &ends.others,
                    };
                    ended.fetch_add(1, Ordering::SeqCst);
                    if begun.elapsed() > timeout + LATE {
                        ends.late.fetch_add(1, Ordering::SeqCst);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    ends
}

fn report(what: &str, ends: &Ends, served: &Served) {
    let (once, twice) = served.totals();
    println!("{what}: {ends:?}, served {once}, served twice {twice}");
}

#[test]
fn every_call_ends_in_time_and_none_runs_twice_while_the_broker_is_killed_and_restarted() {
    const CALLS: usize = 10_000;
    for query in ["", "?amqp_durable_queues=true"] {
        let rabbit = Rabbit::start();
        let url = format!("{}{query}", rabbit.url("/"));
        let topic = topic();
        let (server, served, _transport) = server(&url, &topic, "s");
        let done = AtomicUsize::new(0);
        let timeout = Duration::from_secs(15);
        let ends = thread::scope(|scope| {
            let calls = scope.spawn(|| call_from_many(&url, &topic, 16, CALLS, timeout, &done));
            for at in [CALLS / 4, CALLS / 2] {
                while done.load(Ordering::SeqCst) < at && !calls.is_finished() {
                    thread::sleep(Duration::from_millis(1));
                }
                rabbit.kill9();
                rabbit.start_again();
            }
            calls.join().unwrap()
        });
        report(&format!("{CALLS} calls{query}, two kills"), &ends, &served);
        let (results, timeouts) = (ends.results.into_inner(), ends.timeouts.into_inner());
        assert_eq!(results + timeouts + ends.others.into_inner(), CALLS);
        assert_eq!(ends.late.into_inner(), 0, "late");
        let (once, twice) = served.totals();
        assert_eq!(twice, 0, "served twice");
        assert!(once >= results, "{once} served, {results} answered");
        // What is under way at a kill may be lost, and nothing else.
        assert!(results > CALLS - 200, "{results} results");
        assert_eq!(call(&client(&url, &topic), "echo", json!({})), Ok(json!({})), "afterwards");
        server.close(LIMIT).unwrap();
    }
}

#[test]
fn a_cast_that_was_confirmed_is_in_the_queue_after_a_kill() {
    let rabbit = Rabbit::start();
    let url = format!("{}?amqp_durable_queues=true", rabbit.url("/"));
    let topic = topic();
    let (first, ..) = server(&url, &topic, "s");
    first.close(LIMIT).unwrap();
    let casting = client(&url, &topic);
    for number in 0..500 {
        let args = Payload::from(json!({"n": number}));
        casting.cast(&Context::empty(), "echo", args).wait().unwrap();
    }
    rabbit.kill9();
    rabbit.start_again();
    let (second, served, _transport) = server(&url, &topic, "s");
    until("all casts", || served.totals() == (500, 0));
    second.close(LIMIT).unwrap();
}

#[test]
fn a_frozen_broker_ends_calls_by_their_timeout_and_goes_on_when_it_thaws() {
    let rabbit = Rabbit::start();
    let url = format!("{}?heartbeat_timeout_threshold=3", rabbit.url("/"));
    let topic = topic();
    let (server, ..) = server(&url, &topic, "s");
    let calling = client(&url, &topic);
    assert_eq!(call(&calling, "echo", json!({})), Ok(json!({})));
    rabbit.pause();
    let begun = Instant::now();
    let error = call(&calling.with_timeout(Duration::from_secs(4)), "echo", json!({})).unwrap_err();
    assert!(error.contains("no answer for echo"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4) + LATE, "{:?}", begun.elapsed());
    // Long enough for both sides to give the connections up.
    thread::sleep(Duration::from_secs(6));
    rabbit.resume();
    let begun = Instant::now();
    until("a call", || {
        call(&calling.with_timeout(Duration::from_secs(3)), "echo", json!({})).is_ok()
    });
    println!("calls go on {:.1} s after the broker does", begun.elapsed().as_secs_f64());
    server.close(LIMIT).unwrap();
}

#[test]
fn closing_on_a_frozen_broker_says_that_notifications_are_not_confirmed() {
    let rabbit = Rabbit::start();
    let transport = Transport::for_notifications(&rabbit.url("/")).unwrap();
    let notifier = Notifier::builder(&transport)
        .publisher_id("p")
        .driver("messagingv2")
        .topic(topic())
        .build()
        .unwrap();
    let notify = || notifier.info(&Context::empty(), "e", Payload::null());
    notify().wait(LIMIT).unwrap();
    rabbit.pause();
    drop(notify());
    let begun = Instant::now();
    let error = transport.close(Duration::from_secs(1)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(matches!(error, Error::Lost { unknown: 1, .. }), "{error}");
    rabbit.resume();
}

#[test]
fn a_memory_alarm_holds_casts_back_says_so_and_lets_them_go() {
    let rabbit = Rabbit::start();
    let url = rabbit.url("/");
    let topic = topic();
    let (server, served, _transport) = server(&url, &topic, "s");
    let casting = client(&url, &topic);
    let cast = |number: usize, seconds| {
        let patient = casting.with_timeout(Duration::from_secs(seconds));
        patient.cast(&Context::empty(), "echo", Payload::from(json!({"n": number})))
    };
    cast(0, 30).wait().unwrap();
    rabbit.raise_memory_alarm();
    // The broker notices with the next message of a connection.
    let mut blocked = None;
    for number in 1..20 {
        blocked = cast(number, 3).wait().err();
        if blocked.is_some() {
            break;
        }
    }
    let error = blocked.expect("the broker blocks").to_string();
    assert!(error.contains("memory") || error.contains("no answer"), "{error}");
    let waiting = cast(100, 60);
    rabbit.clear_memory_alarm();
    waiting.wait().unwrap();
    until("the cast that waited", || served.totals().1 == 0 && served.totals().0 >= 2);
    server.close(LIMIT).unwrap();
}

#[test]
fn quorum_queues_carry_calls_over_the_loss_of_a_node() {
    const CALLS: usize = 2_000;
    let cluster = Cluster::start(3);
    let query = "?rabbit_quorum_queue=true&rabbit_transient_quorum_queue=true";
    let url = format!("{}{query}", cluster.url("/"));
    let topic = topic();
    let (server, served, _transport) = server(&url, &topic, "s");
    let done = AtomicUsize::new(0);
    let timeout = Duration::from_secs(20);
    let ends = thread::scope(|scope| {
        let calls = scope.spawn(|| call_from_many(&url, &topic, 8, CALLS, timeout, &done));
        while done.load(Ordering::SeqCst) < CALLS / 4 && !calls.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        cluster.node(2).kill9();
        calls.join().unwrap()
    });
    report(&format!("{CALLS} calls on quorum queues, a node killed"), &ends, &served);
    assert_eq!(ends.late.into_inner(), 0);
    assert_eq!(served.totals().1, 0, "served twice");
    assert!(ends.results.into_inner() > CALLS - 100);
    server.close(LIMIT).unwrap();
}

#[test]
fn a_server_that_is_stopped_under_load_answers_what_it_accepted_and_leaves_the_rest_to_others() {
    let url = rabbitmq_testkit::shared().url("/");
    let topic = topic();
    let slow = |url: &str| {
        let methods = Methods::new().method("echo", |_: &Context, args: Value| {
            thread::sleep(Duration::from_millis(20));
            Ok::<_, RemoteError>(args)
        });
        let transport = transport(url);
        let target = Target::new(&topic);
        let server = RpcServer::builder(&transport, target, rabbitmq_testkit::unique("s"))
            .endpoint(methods)
            .max_workers(4)
            .start()
            .unwrap();
        server.ready(LIMIT).unwrap();
        (server, transport)
    };
    let mut now = slow(&url);
    let done = Arc::new(AtomicUsize::new(0));
    let ends = thread::scope(|scope| {
        let calls = scope.spawn(|| call_from_many(&url, &topic, 8, 1_000, LIMIT, &done));
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(400));
            let next = slow(&url);
            now.0.close(LIMIT).unwrap();
            now = next;
        }
        calls.join().unwrap()
    });
    assert_eq!(ends.results.into_inner(), 1_000, "every call has its result");
    now.0.close(LIMIT).unwrap();
}
