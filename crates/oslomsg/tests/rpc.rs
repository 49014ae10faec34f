//! `rpc call`, `cast` and `serve` on a real RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod support;

use std::time::{Duration, Instant};

use rabbitmq_testkit::{shared, unique};
use serde_json::json;
use support::{Ended, Running, run, start};

/// A server for checks that is ready, and its URL and topic.
fn serve(topic: &str, more: &[&str]) -> Running {
    let url = shared().url("osl");
    let args = ["--transport-url", &url, "--timeout", "100", "rpc", "serve", topic];
    let server = start(&[&args, more].concat());
    // It serves when a call is answered.
    let name = more.iter().position(|arg| *arg == "--server").map(|at| more[at + 1]);
    let name = name.map_or_else(Vec::new, |name| vec!["--server", name]);
    let exchange = more.iter().position(|arg| *arg == "--exchange").map(|at| more[at + 1]);
    let exchange = exchange.map_or_else(Vec::new, |name| vec!["--exchange", name]);
    let begun = Instant::now();
    while rpc(&[&["cast", topic, "ping"], &name[..], &exchange[..]].concat()).code != 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "no server in time");
    }
    assert_eq!(server_line(&server)["method"], "ping");
    server
}

fn server_line(server: &Running) -> serde_json::Value {
    serde_json::from_str(&server.line()).unwrap()
}

fn rpc(args: &[&str]) -> Ended {
    let url = shared().url("osl");
    run(&[&["--url", &url, "--timeout", "10", "rpc"], args].concat())
}

#[test]
fn calls_and_casts_reach_the_server_and_errors_have_their_codes() {
    let topic = unique("rpc");
    let server = serve(&topic, &["--server", "host1", "--exchange", "nova"]);
    let call = |args: &[&str]| rpc(&[&["call", &topic], args, &["--exchange", "nova"]].concat());

    let args = r#"{"a": [1, 2.50, NaN, "é"], "big": 123456789012345678901234567890}"#;
    let context = r#"{"request_id": "req-1", "roles": ["a"]}"#;
    let echoed = call(&["echo", args, "--server", "host1", "--context", context]).with(0);
    assert_eq!(echoed.out.trim_end(), args.replace('é', "\\u00e9"));
    let line = server.line();
    assert!(line.contains("123456789012345678901234567890"), "{line}");
    assert!(line.contains(r#""request_id": "req-1""#), "{line}");
    assert_eq!(call(&["ping"]).with(0).json(), [json!("pong")]);
    assert_eq!(call(&["sleep", r#"{"seconds": 0.1}"#]).with(0).json(), [json!(null)]);

    let failed =
        call(&["fail", r#"{"class": "Gone", "module": "nova.exception", "message": "x"}"#]);
    let failed = failed.with(4);
    assert!(failed.err.contains("nova.exception.Gone: x"), "{failed:#?}");
    assert_eq!(failed.out, "");
    let wrong = call(&["sleep", r#"{"seconds": "long"}"#]).with(4);
    assert!(wrong.err.contains("ValueError: seconds"), "{wrong:#?}");
    let unknown = call(&["no_such_method"]).with(4);
    assert!(unknown.err.contains("does not support RPC method no_such_method"), "{unknown:#?}");
    let version = call(&["ping", "--version", "2.0"]).with(4);
    assert!(version.err.contains("RPC version 2.0"), "{version:#?}");
    call(&["ping", "--namespace", "other"]).with(4);

    // A sign of life each second keeps a call alive; without its server it ends early.
    call(&["sleep", r#"{"seconds": 3}"#, "--call-monitor-timeout", "2"]).with(0);
    let url = shared().url("osl");
    let begun = Instant::now();
    let args = ["--url", &url, "--timeout", "1", "rpc", "call", &topic, "sleep"];
    let late = run(&[&args[..], &[r#"{"seconds": 3}"#, "--exchange", "nova"]].concat()).with(75);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(late.err.contains("no answer for sleep"), "{late:#?}");
}

#[test]
fn a_fanout_reaches_all_servers_and_a_name_only_one() {
    let topic = unique("rpc");
    let servers = ["one", "two"].map(|name| serve(&topic, &["--server", name]));
    rpc(&["cast", &topic, "echo", r#"{"to": "all"}"#, "--fanout"]).with(0);
    for server in &servers {
        assert_eq!(server_line(server)["args"], json!({"to": "all"}));
    }
    rpc(&["call", &topic, "echo", r#"{"to": "two"}"#, "--server", "two"]).with(0);
    assert_eq!(server_line(&servers[1])["args"], json!({"to": "two"}));
    rpc(&["cast", &topic, "echo", "--fanout", "--server", "two"]).with(2);
}

#[test]
fn a_server_that_is_told_to_end_answers_what_it_has_accepted() {
    let topic = unique("rpc");
    let server = serve(&topic, &["--server", "host1"]);
    let url = shared().url("osl");
    let args = ["--url", &url, "--timeout", "20", "rpc", "call", &topic, "sleep"];
    let calling = start(&[&args[..], &[r#"{"seconds": 2}"#]].concat());
    assert_eq!(server_line(&server)["method"], "sleep");
    server.signal("TERM");
    assert_eq!(calling.end().with(0).out, "null\n");
    server.end().with(0);
}

#[test]
fn who_cannot_be_called_is_told_in_time_and_by_name() {
    let call = |url: &str, more: &[&str]| {
        let begun = Instant::now();
        let args = ["--url", url, "--timeout", "6", "rpc", "call", &unique("nobody"), "ping"];
        let ended = run(&[&args[..], more].concat());
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}: {ended:#?}", begun.elapsed());
        println!("{url}: exit {} after {:?}: {}", ended.code, begun.elapsed(), ended.err.trim());
        ended
    };
    let url = shared().url("osl");
    let nobody = call(&url, &[]).with(69);
    assert!(nobody.err.contains("nobody listens there"), "{nobody:#?}");
    let server = call(&url, &["--server", "host9"]).with(69);
    assert!(server.err.contains(".host9"), "{server:#?}");
    let closed = call("rabbit://127.0.0.1:1/", &[]).with(69);
    assert!(closed.err.contains("127.0.0.1:1"), "{closed:#?}");
    let password = call(&shared().url_as("alice", "wrong", "osl"), &[]).with(77);
    assert!(password.err.contains("alice") && !password.err.contains("wrong"), "{password:#?}");
    let vhost = call(&shared().url("no-such-vhost"), &[]).with(77);
    assert!(vhost.err.contains("no-such-vhost"), "{vhost:#?}");
    let kafka = call("kafka://127.0.0.1:1/", &[]).with(78);
    assert!(kafka.err.contains("does not support RPC") && kafka.err.contains("rabbit://"));
    let scheme = call("rabit://127.0.0.1/", &[]).with(78);
    assert!(scheme.err.contains("\"rabit\"") && scheme.err.contains("rabbit"), "{scheme:#?}");
    let amqp = call("amqp://127.0.0.1/", &[]).with(78);
    assert!(amqp.err.contains("amqp"), "{amqp:#?}");
    for wrong in ["[1]", "{", "7"] {
        let code = run(&["--url", &url, "rpc", "call", "t", "m", wrong]).code;
        assert!(matches!(code, 2 | 65), "{wrong}: {code}");
    }
}
