//! `config` and the flags that choose a configuration, as their users meet them.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::fs;

use support::{Ended, Folder, oslomsg, run};

/// The program with a home folder, and variables.
fn at_home(home: &Folder, variables: &[(&str, &str)], args: &[&str]) -> Ended {
    let mut command = oslomsg(args);
    command.env("HOME", home.path()).env_remove("SNAP").env_remove("SNAP_COMMON");
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Ended { code, out: text(output.stdout), err: text(output.stderr) }
}

/// The line that shows an option, without the blanks between its parts.
fn shown(ended: &Ended, name: &str) -> String {
    let is_it = |line: &&str| line.split_whitespace().next() == Some(name);
    let line = ended.out.lines().find(is_it).unwrap_or_else(|| panic!("{name}: {ended:#?}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A file, line by line, and what must be said of a line: 25 mistakes.
const FILE: &[(&str, &str, &str)] = &[
    ("[DEFAULT]", "", ""),
    ("transport_ulr = rabbit://h/", "warning", "did you mean transport_url?"),
    ("rpc_thread_pool_size = 8", "warning", "an older name of [DEFAULT] executor_thread_pool_size"),
    ("rpc_response_timeout = soon", "error", "expected an integer from 0"),
    ("security_protocol = SSL", "warning", "it is an option of [oslo_messaging_kafka]"),
    ("[oslo_messaging_notifications]", "", ""),
    ("transport_url = kafka://h1:9092,h2:9092/", "", ""),
    ("driver = mesagingv2", "error", "\"mesagingv2\" is none of messaging, messagingv2"),
    ("topics = noti fications", "error", "no topic's name"),
    ("retry = -2", "error", "expected an integer from -1"),
    (
        "routing_config = /nowhere/routing.yaml",
        "warning",
        "without effect without driver = routing",
    ),
    ("consumer_group = billing", "error", "it is an option of [oslo_messaging_kafka]"),
    ("[oslo_messaging_kafka]", "", ""),
    ("max_pol_records = 100", "error", "did you mean max_poll_records?"),
    ("compression_codec = GZIP", "error", "expected one of none, gzip"),
    ("sasl_mechanism = SCRAM-SHA-256", "", ""),
    ("security_protocol = SASL_SSL", "error", "SASL_SSL with SCRAM-SHA-256 needs credentials"),
    ("ssl_cafile = /nowhere/ca.pem", "error", "\"/nowhere/ca.pem\" cannot be read: No such file"),
    ("ssl_client_cert_file = /dev/null", "error", "needs ssl_client_key_file, too"),
    ("ssl_client_key_password = hunter2", "", ""),
    ("delivery = spooled", "error", "spooled needs a spool_dir"),
    ("queue_overflow = drop", "warning", "without effect without delivery = queued"),
    ("commit = before_dispatch", "", ""),
    ("enable_auto_commit = true", "warning", "without effect where commit is set"),
    ("max_redeliveries = 3", "warning", "without effect without commit = after_dispatch"),
    ("dead_letter_topic = a b", "error", "\"a b\" is refused: expected a topic's name"),
    ("session_timeout = 0.5", "", ""),
    ("heartbeat_interval = 1", "error", "must come within session_timeout"),
    ("partition_assignment_strategy = range,sticky", "error", "\"sticky\" is none of range"),
    ("client_id = $program-$host", "error", "a value that refers to known options only"),
    ("librdkafka_properties = acks:1", "error", "expected no acks"),
    ("create_topics = maybe", "error", "expected true, 1, on, yes"),
    ("[oslo_messaging_notification]", "", ""),
    ("driver = log", "error", "no such group; did you mean [oslo_messaging_notifications]?"),
];

#[test]
fn each_of_25_mistakes_in_a_file_is_found_where_it_stands_and_nothing_else() {
    let folder = Folder::new("mistakes");
    let text: String = FILE.iter().map(|(line, ..)| format!("{line}\n")).collect();
    let file = folder.file("nova.conf", &text);
    let ended = run(&["config", "check", "--config-file", &file]).with(78);
    let mut found = ended.out.lines();
    let mistakes = (1..).zip(FILE).filter(|(_, (_, severity, _))| !severity.is_empty());
    let mut count = 0;
    for (number, (line, severity, words)) in mistakes {
        let place = format!("{severity}: {file}:{number}: ");
        let found = found.next().unwrap_or_default();
        assert!(found.starts_with(&place) && found.contains(words), "{line}: {}", ended.out);
        count += 1;
    }
    assert_eq!((count, found.next()), (25, None));
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
    assert_eq!(ended.err, "errors 18, warnings 7\n");
}

#[test]
fn a_configuration_without_a_mistake_is_left_alone() {
    let folder = Folder::new("faultless");
    let text = "[DEFAULT]\ndebug = true\nmy_ip = 10.0.0.1\ntransport_url = rabbit://u:p@h/\n\
                [oslo_messaging_notifications]\ndriver = messagingv2\ndriver = log\n\
                transport_url = kafka://$my_ip:9092/\n[oslo_messaging_rabbit]\nssl = true\n\
                ssl_ca_file = /dev/null\n\
                [oslo_messaging_kafka]\nconsumer_group = billing\n";
    let file = folder.file("nova.conf", text);
    let ended = run(&["config", "check", "--config-file", &file]).with(0);
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("", "errors 0, warnings 0\n"));
    let warned = folder.file("warned.conf", &text.replace("kafka://", "kafka://u:hunter2@"));
    let ended = run(&["config", "check", "--config-file", &warned]).with(0);
    let expected = "warning: default: [oslo_messaging_kafka] security_protocol: the transport URL \
                    has credentials, which are not used with PLAINTEXT: set SASL_PLAINTEXT or \
                    SASL_SSL\n";
    assert_eq!((ended.out.as_str(), ended.err.as_str()), (expected, "errors 0, warnings 1\n"));
    let args = ["config", "check", "--config-file", &warned, "--fatal-warnings", "-f", "json"];
    let list: serde_json::Value = serde_json::from_str(&run(&args).with(78).out).unwrap();
    assert_eq!(list[0]["severity"], "warning");
    for (args, code, words) in [
        (
            &["--transport-url", "kafak://h/"][..],
            78,
            "command line: [oslo_messaging_notifications]",
        ),
        (&["--transport-url", "kafka://u:hunter2@h:x/"], 78, "kafka://u:***@"),
        (
            &["-X", "acks=1", "--transport-url", "kafka://h/"],
            78,
            "command line: [oslo_messaging_kafka]",
        ),
        (&[], 0, "no transport URL"),
    ] {
        let ended = run(&[&["config", "check"], args].concat()).with(code);
        assert!(ended.out.contains(words) && !ended.out.contains("hunter2"), "{ended:?}");
    }
}

#[test]
fn show_says_what_counts_and_who_says_so() {
    let folder = Folder::new("show");
    let text = "[DEFAULT]\ntransport_url = rabbit://u:hunter2@h/\n[oslo_messaging_notifications]\n\
                driver = messagingv2\ndriver = log\ntransport_url = kafka://u:hunter2@h/?commit_window=9\n\
                [oslo_messaging_kafka]\nconsumer_group = $group\ngroup = billing\n\
                ssl_client_key_password = hunter2\nmax_poll_records = 5O0\n\
                librdkafka_properties = ssl.key.password:hunter2,socket.nagle.disable:true\n";
    let file = folder.file("nova.conf", text);
    let args = ["config", "show", "--config-file", &file];
    let ended = at_home(&folder, &[("OS_OSLO_MESSAGING_KAFKA__CLIENT_ID", "me")], &args).with(0);
    for (name, expected) in [
        ("driver", format!("driver messagingv2,log {file}:5")),
        ("consumer_group", format!("consumer_group billing {file}:8")),
        ("client_id", "client_id me OS_OSLO_MESSAGING_KAFKA__CLIENT_ID".to_owned()),
        ("commit_window", "commit_window 9 transport URL".to_owned()),
        ("session_timeout", "session_timeout 15.0 default".to_owned()),
        ("ssl_client_key_password", format!("ssl_client_key_password *** {file}:10")),
        ("transport_url", format!("transport_url rabbit://u:***@h/ {file}:2")),
        (
            "librdkafka_properties",
            format!(
                "librdkafka_properties ssl.key.password:***,socket.nagle.disable:true {file}:12"
            ),
        ),
    ] {
        assert_eq!(shown(&ended, name), expected);
    }
    let invalid = shown(&ended, "max_poll_records");
    assert!(invalid.contains("(not valid: ") && invalid.contains("\"5O0\""), "{invalid}");
    assert!(!ended.out.contains("hunter2"), "{}", ended.out);
    assert!(ended.out.contains("[oslo_messaging_notifications]\n"));

    let args = [&args[..], &["--set", "--show-secrets", "-f", "json", "url", "password"]].concat();
    let list: serde_json::Value = serde_json::from_str(&run(&args).with(0).out).unwrap();
    let values: Vec<_> = list.as_array().unwrap().iter().map(|object| &object["value"]).collect();
    let urls = ["rabbit://u:hunter2@h/", "kafka://u:hunter2@h/?commit_window=9", "hunter2"];
    assert_eq!(values, urls, "{list}");
    let args = ["config", "show", "--set", "--transport-url", "kafka://h/", "-X", "debug=all"];
    let ended = at_home(&folder, &[], &args).with(0);
    assert_eq!(shown(&ended, "transport_url"), "transport_url kafka://h/ command line");
    assert_eq!(
        shown(&ended, "librdkafka_properties"),
        "librdkafka_properties debug:all command line"
    );
}

#[test]
fn a_projects_files_are_found_and_named_ones_come_in_their_order() {
    let home = Folder::new("project");
    let group = |name: &str| format!("[oslo_messaging_kafka]\nconsumer_group = {name}\n");
    for (path, text) in [
        (".novax/novax.conf", group("project") + "client_id = project\ncommit_window = 1\n"),
        (".novax/novax-api.conf", group("program") + "commit_window = 2\n"),
        ("novax.conf.d/a.conf", "[oslo_messaging_kafka]\ncommit_window = 3\n".to_owned()),
        ("d/one.conf", group("folder")),
        ("one.conf", group("file")),
    ] {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let show = |args: &[&str]| {
        let ended = at_home(&home, &[], &[&["config", "show"], args].concat()).with(0);
        ["consumer_group", "client_id", "commit_window"]
            .map(|name| shown(&ended, name).split(' ').nth(1).unwrap().to_owned())
            .join(" ")
    };
    for (args, expected) in [
        (&[][..], "oslo_messaging_consumer oslomsg 0"),
        (&["--project", "novax"], "project project 3"),
        (&["--project", "novax", "--prog", "novax-api"], "program project 3"),
        (&["--project", "novax", "--config-file", "~/one.conf"], "file oslomsg 3"),
        (&["--project", "novax", "--config-dir", "~/d"], "folder project 1"),
        (&["--config-file", "~/one.conf", "--config-dir", "~/d"], "folder oslomsg 0"),
        (&["--config-dir", "~/d", "--config-file", "~/one.conf"], "file oslomsg 0"),
    ] {
        assert_eq!(show(args), expected, "{args:?}");
    }
    let before = ["--config-dir", "~/d", "config", "show", "--config-file", "~/one.conf"];
    let ended = at_home(&home, &[], &before).with(0);
    assert!(shown(&ended, "consumer_group").starts_with("consumer_group file "));
    let missing = run(&["config", "show", "--config-dir", "/nowhere/d"]).with(66);
    assert!(missing.err.contains("cannot read /nowhere/d: No such file"), "{}", missing.err);
    // Every command has it; the wire of a service that has switched to the Python driver is Kafka's.
    let url = "[oslo_messaging_notifications]\ntransport_url = rkafka://127.0.0.1:1/\n";
    fs::write(home.path().join(".novax/novax.conf"), url).unwrap();
    let args = ["send", "1", "--project", "novax", "--timeout", "0.5"];
    let sent = at_home(&home, &[], &args);
    assert!(matches!(sent.code, 69 | 75) && sent.err.contains("127.0.0.1:1"), "{sent:?}");
}

#[test]
fn the_query_of_a_rabbit_url_has_the_options_of_its_driver() {
    let url = |query: &str| format!("rabbit://h/?{query}");
    let show = |query: &str, name: &str| {
        let args = ["config", "show", name, "-f", "json", "--transport-url", &url(query)];
        let list: serde_json::Value = serde_json::from_str(&run(&args).with(0).out).unwrap();
        list[0].clone()
    };
    let shown = show("rabbit_quorum_queue=yes", "rabbit_quorum_queue");
    assert_eq!((&shown["value"], &shown["group"]), (&true.into(), &"oslo_messaging_rabbit".into()));
    let check =
        run(&["config", "check", "--transport-url", &url("rabbit_qos_prefetch=1")]).with(78);
    assert!(check.out.contains("rabbit_qos_prefetch_count"), "{}", check.out);
    let both = url("rabbit_quorum_queue=yes&amqp_auto_delete=yes");
    let check = run(&["config", "check", "--transport-url", &both]).with(78);
    assert!(check.out.contains("amqp_auto_delete: quorum queues refuse it"), "{}", check.out);
}

#[test]
fn the_table_is_listed_and_made_a_sample_of() {
    let list: serde_json::Value =
        serde_json::from_str(&run(&["config", "opts", "-f", "json"]).with(0).out).unwrap();
    let list = list.as_array().unwrap();
    let opts = run(&["config", "opts"]).with(0).out;
    assert_eq!(opts.lines().count(), 1 + list.len());
    let codec = list.iter().find(|opt| opt["name"] == "compression_codec").unwrap();
    assert_eq!((&codec["type"], &codec["choices"][4]), (&"string value".into(), &"zstd".into()));
    let sample = run(&["config", "sample"]).with(0).out;
    for opt in list {
        let line = format!("\n#{} =", opt["name"].as_str().unwrap());
        assert!(sample.contains(&line), "{line}");
    }
    // A sample is a file that says nothing.
    let folder = Folder::new("sample");
    let file = folder.file("sample.conf", &sample);
    let set = run(&["config", "show", "--set", "--config-file", &file]).with(0).out;
    assert_eq!(set, "");
    let filled: String = sample
        .lines()
        .map(|line| {
            line.strip_prefix("#consumer_")
                .map_or(line.to_owned(), |rest| format!("consumer_{rest}"))
                + "\n"
        })
        .collect();
    let file = folder.file("filled.conf", &filled);
    let set = run(&["config", "show", "--set", "--config-file", &file]).with(0).out;
    assert!(set.contains("oslo_messaging_consumer"), "{set}");
}
