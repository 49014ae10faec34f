//! The program as its users meet it, against the embedded broker.
#![cfg(feature = "kafka")]

mod support;

use support::{Broker, Folder, oslomsg, run, run_on_terminal, run_with, start};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/notifications.jsonl");
/// Nobody listens there.
const NOWHERE: &str = "kafka://127.0.0.1:1/";

fn texts(lines: &[serde_json::Value], key: &str) -> Vec<String> {
    let mut texts: Vec<String> = lines.iter().map(|line| line[key].to_string()).collect();
    texts.sort();
    texts
}

#[test]
fn what_send_confirms_tail_shows_with_its_text_unchanged() {
    let broker = Broker::start();
    let payload =
        format!(r#"{{"n": [NaN,-Infinity, 1E400], "i":{} , "s": "\ud800é"}}"#, "7".repeat(100));
    let args = ["--topic", "t", "--priority", "warn", "--event-type", "a.b"];
    let context = ["--context-json", r#"{"user": "u"}"#, "--publisher-id", "p.h", &payload];
    let sent = broker.run(&[&["send"], &args[..], &context].concat()).with(0);
    assert!(sent.err.contains("sent 1, confirmed 1, not delivered 0, unknown 0"), "{sent:?}");

    let shown = broker.run(&["tail", "-e", "t", "--output", "jsonl"]).with(0).out;
    let id = sent.out.trim();
    for part in [
        "{\"schema_version\":1,\"topic\":\"t.warn\",\"partition\":",
        ",\"offset\":0,\"broker_timestamp\":\"20",
        ",\"key\":null,\"headers\":{},\"envelope\":\"2.0\",",
        &format!(",\"message_id\":\"{id}\",\"publisher_id\":\"p.h\",\"event_type\":\"a.b\","),
        ",\"priority\":\"WARN\",\"timestamp\":\"20",
        // The wire is ASCII: Python's escapes are what comes back.
        &format!("\"payload\":{}", payload.replace('é', r"\u00e9")),
        ",\"context\":{\"user\": \"u\"}}\n",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(shown.lines().count(), 1);

    let raw = broker.run(&["tail", "-e", "t.warn", "--output", "raw"]).with(0).out;
    assert!(raw.starts_with("{\"oslo.version\": \"2.0\", \"oslo.message\": \""), "{raw}");
    assert_eq!(broker.end().with(0).out, "");
}

#[test]
fn what_is_queued_is_confirmed_or_told_by_the_end_of_the_command() {
    let broker = Broker::start();
    let queued = format!("{}?delivery=queued", broker.url);
    let sent = run(&["send", "--transport-url", &queued, "--count", "50", "1"]).with(0);
    assert!(sent.err.contains("sent 50, confirmed 50, not delivered 0, unknown 0"), "{sent:?}");
    assert_eq!(broker.run(&["tail", "-e", "--output", "jsonl"]).with(0).json().len(), 50);
    let nowhere = format!("{NOWHERE}?delivery=queued");
    let lost = run(&["send", "--transport-url", &nowhere, "--count", "50", "--timeout", "1", "1"]);
    assert!(matches!(lost.code, 69 | 75), "{lost:?}");
    assert!(lost.err.contains("sent 50, confirmed 0, not delivered 50, unknown 0"), "{lost:?}");
    // Of a service's file the command takes the brokers, not the way of sending.
    let folder = Folder::new("queued");
    let config = folder.file("nova.conf", "[oslo_messaging_kafka]\ndelivery = queued\n");
    let args = ["send", "--transport-url", NOWHERE, "--config-file", &config, "--timeout", "1"];
    run(&[&args[..], &["1"]].concat()).with(69);
}

#[test]
fn the_lines_of_tail_are_an_input_of_send() {
    let broker = Broker::start();
    let sent = broker.run(&["send", "--input", CORPUS]).with(0);
    assert!(sent.err.contains("sent 147, confirmed 147"), "{}", sent.err);
    let first = broker.run(&["tail", "-e", "--output", "jsonl"]).with(0);
    let copied = broker.run_with(&["send", "--input", "-", "--topic", "copy"], &first.out).with(0);
    assert!(copied.err.contains("sent 147, confirmed 147"), "{}", copied.err);

    let (first, second) = (first.json(), broker.run(&["tail", "-e", "copy", "--output", "json"]));
    let second: Vec<serde_json::Value> = serde_json::from_str(&second.with(0).out).unwrap();
    let corpus: Vec<serde_json::Value> = std::fs::read_to_string(CORPUS)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for key in
        ["message_id", "publisher_id", "event_type", "priority", "timestamp", "payload", "context"]
    {
        assert_eq!(texts(&first, key), texts(&corpus, key), "{key}");
        assert_eq!(texts(&second, key), texts(&corpus, key), "{key}");
    }
}

#[test]
fn a_long_send_shows_on_a_terminal_how_far_it_is_and_leaves_nothing_of_that() {
    let broker = Broker::start();
    let folder = Folder::new("progress");
    let lines = std::fs::read_to_string(CORPUS).unwrap();
    let bad = folder.file("bad.jsonl", &format!("{lines}oops\n"));
    let args = ["--transport-url", &broker.url, "send", "--rate", "300", "--input", &bad];
    let shown = run_on_terminal(&args).with(3).err;
    let drawn: Vec<&str> = shown.split('\r').filter(|part| part.contains("/s")).collect();
    let halfway = drawn.iter().find(|part| part.contains("=>") && part.contains("% sent "));
    assert!(drawn.len() > 2 && halfway.is_some(), "{shown:?}");
    // Whatever else is said has a line of its own, and the last word is the summary.
    assert!(shown.contains("\u{1b}[2K\u{1b}[1m\u{1b}[31merror:"), "{shown:?}");
    let (_, rest) = shown.rsplit_once("\u{1b}[2K").unwrap();
    let summary = "sent 147, confirmed 147, not delivered 0, unknown 0, bad lines 1";
    assert_eq!(rest.trim(), summary, "{shown:?}");

    let quiet = run_on_terminal(&[&args[..], &["--quiet"]].concat()).with(3).err;
    assert!(quiet.contains("error:") && !quiet.contains("/s"), "{quiet:?}");
    let piped = run(&args).with(3).err;
    let piped: Vec<&str> = piped.lines().collect();
    assert!(piped.len() == 2 && piped[0].starts_with("error: ") && piped[1] == summary);
}

#[test]
fn an_undecodable_record_is_a_line_and_stops_nothing() {
    let broker = Broker::start();
    broker.run(&["send", "--topic", "t", "1"]).with(0);
    broker.write("t.info", Some(b"\xff\x1b[2J"));
    broker.write("t.info", None);
    broker.run(&["send", "--topic", "t", "2"]).with(0);
    let lines = broker.run(&["tail", "-e", "t", "--output", "jsonl"]).with(0).json();
    assert_eq!(lines.len(), 4);
    let bad: Vec<_> = lines.iter().filter(|line| line.get("error").is_some()).collect();
    assert_eq!(bad.len(), 2, "{lines:?}");
    for (line, value) in bad.iter().zip([serde_json::json!("/xtbMko="), serde_json::Value::Null]) {
        assert_eq!((&line["value_base64"], &line["key"]), (&value, &"a key".into()), "{line}");
        assert!(line["error"].as_str().unwrap().starts_with("not an oslo message: "), "{line}");
        assert_eq!((&line["topic"], line.get("payload")), (&"t.info".into(), None));
    }
    let shown = broker.run(&["tail", "-e", "t"]).with(0).out;
    assert!(!shown.contains('\u{1b}') && shown.lines().count() == 4, "{shown:?}");
    let masked = broker.run(&["tail", "-e", "t", "--output", "jsonl", "--mask", "payload.x"]);
    assert!(!masked.with(0).out.contains("/xtbMko="));
    // Sent on, the bad ones are told and left out.
    let jsonl = broker.run(&["tail", "-e", "t", "--output", "jsonl"]).out;
    let again = broker.run_with(&["send", "--input", "-", "--topic", "u"], &jsonl).with(3);
    assert!(again.err.contains("sent 2, confirmed 2") && again.err.contains("bad lines 2"));
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_words() {
    let folder = Folder::new("codes");
    let bad_config = folder.file("bad.conf", "[DEFAULT\n");
    let bad_option =
        folder.file("option.conf", "[oslo_messaging_kafka]\ncompression_codec = zip\n");
    let binary = folder.file("binary", "{}");
    std::fs::write(&binary, b"{\"a\": \"\xff\"}").unwrap();
    let send = |args: &[&str]| run(&[&["--transport-url", "fake:", "send"], args].concat());
    for (ended, code, words) in [
        (run(&[]), 2, "Usage:"),
        (run(&["sned"]), 2, "unrecognized subcommand"),
        (run(&["send", "1", "--priority", "loud"]), 2, "possible values: debug, info"),
        (run(&["tail", "-o", "stored"]), 2, "use --group"),
        (run(&["tail", "-X", "debug"]), 2, "NAME=VALUE"),
        (run(&["tail", "--transport-url", NOWHERE, "--publisher", "("]), 2, "filter publisher_id"),
        (run(&["tail", "--transport-url", NOWHERE, "--group", "g", "a.info"]), 2, "--priority"),
        (send(&[]), 2, "give a PAYLOAD"),
        (send(&["--topic", "t"]), 2, "give a PAYLOAD"),
        (send(&["{\"a\": }"]), 65, "payload is not valid JSON: byte 6"),
        (send(&["free text"]), 65, "hint: --raw-string"),
        (send(&["1", "--context-json", "[]"]), 65, "context is not valid JSON"),
        (send(&[&format!("@{binary}")]), 65, "not UTF-8: byte 7"),
        (send(&["@/nowhere/x"]), 66, "cannot read /nowhere/x: No such file"),
        (send(&["--input", "/nowhere/x"]), 66, "cannot read /nowhere/x: No such file"),
        (send(&["1", "--config-file", "/nowhere/x"]), 66, "cannot read /nowhere/x: No such file"),
        (send(&["1", "--config-file", &bad_config]), 78, "bad.conf:1"),
        (run(&["send", "1"]), 78, "hint: --transport-url, OSLOMSG_TRANSPORT_URL"),
        (run(&["send", "1", "--transport-url", "kafak://h/"]), 78, "this build has fake, kafka"),
        (run(&["send", "1", "--transport-url", "kafka://u:hunter2@h:x/"]), 78, "kafka://u:***@"),
        (
            run(&["send", "1", "--transport-url", "kafka://h/?oops=1"]),
            78,
            "unknown option \"oops\"",
        ),
        (
            run(&["send", "1", "--transport-url", NOWHERE, "--config-file", &bad_option]),
            78,
            "expected one of none, gzip",
        ),
        (run(&["tail", "--transport-url", "fake:"]), 78, "tail needs a kafka:// transport URL"),
        (run(&["demo", "--transport-url", "fake:"]), 78, "demo needs a kafka:// transport URL"),
        (run(&["tail", "-X", "acks=1", "--transport-url", NOWHERE]), 78, "no acks"),
    ] {
        let ended = ended.with(code);
        assert!(ended.err.contains(words), "{words} is not in {}", ended.err);
        assert!(!ended.err.contains("hunter2") && ended.out.is_empty(), "{ended:?}");
    }
}

#[test]
fn without_a_broker_the_end_comes_in_time_and_says_so() {
    let commands: [&[&str]; 4] =
        [&["send", "1", "--count", "20"], &["tail"], &["tail", "--group", "g"], &["demo", "-q"]];
    let all: Vec<_> = commands
        .iter()
        .map(|args| start(&[args, &["--timeout", "3", "--transport-url", NOWHERE][..]].concat()))
        .collect();
    let begun = std::time::Instant::now();
    for (running, args) in all.into_iter().zip(commands) {
        let ended = running.end();
        assert!(matches!(ended.code, 69 | 75), "{args:?} {ended:?}");
        assert!(ended.err.contains("error: ") && ended.err.contains("127.0.0.1:1"), "{ended:?}");
        assert!(!ended.err.contains("panick") && ended.out.is_empty(), "{ended:?}");
    }
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
}

#[test]
fn bad_lines_are_told_by_number_and_the_good_ones_sent() {
    let folder = Folder::new("lines");
    let good = r#"{"message_id": "m-1", "priority": "ERROR", "payload": {"a": 1}, "extra": 1}"#;
    let some = folder.file("some.jsonl", &format!("nonsense\n{good}\n\n{{\"payload\": [}}\n"));
    let none = folder.file("none.jsonl", "{}\n[]\n");
    let send = |args: &[&str]| run(&[&["send", "--transport-url", "fake:"], args].concat());
    let ended = send(&["--input", &some]).with(3);
    for words in
        [&format!("{some}:1: not JSON"), &format!("{some}:4: not JSON"), "sent 1, confirmed 1"]
    {
        assert!(ended.err.contains(words), "{words} is not in {}", ended.err);
    }
    assert!(send(&["--input", &none]).with(65).err.contains("sent 0"));
    let wire = send(&["--input", &some, "--dry-run"]).with(3).out;
    assert!(wire.contains(r#"\"message_id\": \"m-1\""#) && wire.contains(r#"\"ERROR\""#), "{wire}");
}

#[test]
fn a_dry_run_prints_the_wire_bytes_and_sends_nothing() {
    // No URL, no broker.
    let args = ["send", "--dry-run", "--publisher-id", "p", "--count", "2"];
    let ended = run(&[&args[..], &["--topic", "t", r#"{"é": NaN}"#]].concat()).with(0);
    assert_eq!(ended.out.lines().count(), 2);
    for line in ended.out.lines() {
        let start = r#"{"oslo.version": "2.0", "oslo.message": "{\"message_id\": \""#;
        let end = r#"\"payload\": {\"\\u00e9\": NaN}, \"timestamp\": \""#;
        assert!(line.starts_with(start) && line.contains(end), "{line}");
    }
    let text = run_with(&["send", "--dry-run", "--raw-string", "-"], "a \"b\"").with(0).out;
    assert!(text.contains(r#"\"payload\": \"a \\\"b\\\"\""#), "{text}");
}

#[test]
fn sinks_without_a_broker_need_no_url() {
    let ended = run(&["send", "--driver", "log", "--driver", "noop", "{\"a\": 1}"]).with(0);
    assert!(ended.err.contains("\"payload\": {\"a\": 1}"), "{}", ended.err);
    assert!(ended.err.contains("sent 1, confirmed 1"), "{}", ended.err);
}

#[test]
fn every_command_has_a_help_text() {
    for command in ["send", "config", "tail", "doctor", "bridge", "rpc", "broker", "demo"] {
        let help = run(&[command, "--help"]).with(0).out;
        for words in ["Usage: oslomsg", "--transport-url <URL>", "--timeout <SECONDS>"] {
            assert!(help.contains(words), "{command}: {help}");
        }
    }
    assert!(run(&["--help"]).with(0).out.contains("Exit codes: 0 ok"));
    let version = format!("oslomsg {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]).with(0).out, version);
}

#[test]
fn secrets_are_masked_in_lines_and_named_paths_everywhere() {
    let broker = Broker::start();
    let payload = r#"{"adminPass_token": "hunter2", "user": {"mail": "m@example.org"}, "x": 1}"#;
    broker.run(&["send", "--topic", "t", payload]).with(0);
    let tail = |args: &[&str]| broker.run(&[&["tail", "-e", "t"], args].concat()).with(0).out;
    let line = tail(&[]);
    assert!(line.contains("x=1") && line.contains("adminPass_token=***"), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
    let jsonl = tail(&["--output", "jsonl"]);
    assert!(jsonl.contains("hunter2") && jsonl.contains("m@example.org"), "{jsonl}");
    for format in ["jsonl", "json", "raw"] {
        let masked = tail(&["--output", format, "--mask", "payload.user.mail"]);
        assert!(masked.contains("hunter2") && !masked.contains("m@example"), "{masked}");
        assert!(masked.contains("***"), "{masked}");
    }
    assert!(tail(&["--color", "always"]).contains('\u{1b}'));
    let forced = oslomsg(&["tail", "-e", "t", "--transport-url", &broker.url])
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "")
        .output()
        .unwrap();
    assert!(forced.stdout.contains(&0x1b));
}

#[test]
fn filters_limits_and_places_choose_what_is_shown() {
    let broker = Broker::start();
    let url = format!("{}v", broker.url);
    let run = |args: &[&str]| run(&[&["--transport-url", &url], args].concat());
    for (kind, priority) in [("a.x", "info"), ("a.y", "info"), ("b.x", "error")] {
        run(&["send", "--topic", "t", "u", "--event-type", kind, "--priority", priority, "1"])
            .with(0);
    }
    let count = |args: &[&str], code| {
        let ended = run(&[&["tail", "-e"], args].concat()).with(code);
        ended.out.lines().count()
    };
    for (args, expected) in [
        (&["t"][..], 3),
        (&["t", "u"], 6),
        (&["t.info.v"], 2),
        (&["t.error", "t.error.v"], 1),
        (&["t", "--event-type", "a.*"], 2),
        (&["t", "--event-type", "*.x", "--priority", "error,warn"], 1),
        (&["t", "--publisher", "OSLO"], 0),
        (&["t", "--publisher", "(?i)OSLO"], 3),
        (&["t", "--max", "2"], 2),
        (&["t", "-o", "end"], 0),
        (&["t", "-o", "beginning"], 3),
        (&["t", "--since", "2100-01-01"], 0),
        (&["t.info.v", "-n", "0"], 0),
        (&["t.info.v", "-o", "-10"], 2),
    ] {
        assert_eq!(count(args, 0), expected, "{args:?}");
    }
    assert_eq!(count(&["t", "--priority", "audit", "--exit-code"], 1), 0);
    assert_eq!(count(&["t", "--exit-code"], 0), 3);
}

#[test]
fn tail_follows_a_topic_that_does_not_exist_yet_until_a_signal() {
    let broker = Broker::start();
    let running = broker.start_command(&["tail", "t", "--output", "raw", "--timeout", "60"]);
    broker.run(&["send", "--topic", "other", "0"]).with(0);
    broker.run(&["send", "--topic", "t", "--count", "3", "1"]).with(0);
    for _ in 0..3 {
        assert!(running.line().contains("payload"));
    }
    running.signal("INT");
    running.end().with(0);
}

#[test]
fn a_tail_that_shows_nothing_ends_with_the_code_of_its_reason() {
    let broker = Broker::start();
    let timed_out = broker.run(&["tail", "t", "--timeout", "1"]).with(75);
    assert!(timed_out.err.contains("nothing came before the timeout"), "{timed_out:?}");
    assert!(timed_out.err.contains("no such topic on the broker: t.debug, t.info"));
    broker.run(&["tail", "t", "--timeout", "0.5", "--exit-code"]).with(1);
}

#[test]
fn an_interrupted_send_reports_what_is_known() {
    let broker = Broker::start();
    let tail = broker.start_command(&["tail", "t", "--output", "raw", "--timeout", "60"]);
    let send =
        broker.start_command(&["send", "--topic", "t", "--count", "9999", "--rate", "9", "1"]);
    // It sends: from then on a signal asks for an orderly end.
    tail.line();
    send.signal("INT");
    let ended = send.end().with(130);
    let summary = ended.err.lines().last().unwrap();
    let numbers: Vec<u32> =
        summary.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [sent, confirmed, 0, 0] = numbers[..] else { panic!("{summary}") };
    assert!(sent > 0 && sent == confirmed && ended.out.is_empty(), "{ended:?}");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let broker = Broker::start();
    broker.run(&["send", "--input", CORPUS]).with(0);
    let mut command = oslomsg(&["tail", "-o", "beginning", "--timeout", "20", "--output", "jsonl"]);
    let mut child = command.args(["--transport-url", &broker.url]).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert!(!err.contains("error: "), "{err}");
}

#[test]
fn a_group_goes_on_where_it_was() {
    let broker = Broker::start();
    broker.run(&["send", "--topic", "t", "0"]).with(0);
    // The embedded broker waits for members that have gone for the session's time, less 1 s.
    let url = format!("{}?session_timeout=2&heartbeat_interval=0.3", broker.url);
    let tail = |from: &str| {
        let args = ["tail", "t", "--group", "g", "--output", "jsonl", "--timeout", "30"];
        start(
            &[&args[..], &["--transport-url", &format!("{url}&auto_offset_reset={from}")]].concat(),
        )
    };
    let running = tail("earliest");
    assert!(running.line().contains("\"payload\":0"));
    running.signal("INT");
    running.end().with(0);
    broker.run(&["send", "--topic", "t", "1"]).with(0);
    let running = tail("earliest");
    assert!(running.line().contains("\"payload\":1"));
    running.signal("INT");
    assert_eq!(running.end().with(0).out, "");
}

#[test]
fn a_demo_loses_nothing_and_says_so_in_one_line() {
    let ended = run(&["demo", "--repeat", "2"]).with(0);
    let pool = "delivered 294, lost 0, twice 0";
    let expected =
        format!("demo: sent 294, confirmed 294; pool billing: {pool}; pool audit: {pool}\n");
    assert_eq!(ended.out, expected);
    assert!(ended.err.contains("kafka://127.0.0.1:"), "{}", ended.err);

    let broker = Broker::start();
    let folder = Folder::new("demo");
    let input = folder.file("one.jsonl", "{\"payload\": 1}\n");
    let url = format!("{}?session_timeout=3&heartbeat_interval=0.5", broker.url);
    let args = ["demo", "--input", &input, "--repeat", "1", "--transport-url", &url];
    assert!(run(&args).with(0).out.starts_with("demo: sent 1, confirmed 1; "));
}

#[test]
fn a_configuration_file_names_broker_and_topics() {
    let broker = Broker::start();
    let folder = Folder::new("config");
    let text = format!(
        "[DEFAULT]\ntransport_url = rabbit://h/\n[oslo_messaging_notifications]\n\
         transport_url = {}\ntopics = one,two\n",
        broker.url
    );
    let config = folder.file("nova.conf", &text);
    run(&["send", "--config-file", &config, "1"]).with(0);
    let shown = run(&["tail", "-e", "--config-file", &config, "--output", "jsonl"]).with(0).json();
    assert_eq!(texts(&shown, "topic"), ["\"one.info\"", "\"two.info\""]);
}
