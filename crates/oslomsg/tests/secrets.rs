//! No command writes a secret of its configuration, and the search finds one that it is told to show.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::{fs, thread, time::Duration};

use kafka_testkit::{Kafka, Listener, Operation, Resource, traces, unique};
use support::{Ended, Folder, oslomsg, run};

/// The same in each encoding of a URL; with what a URL must encode around it.
const CORE: &str = "Q7w9Geheim4tzK";
const MARKER: &str = "x/Q7w9Geheim4tzK@%+y";
const ENCODED: &str = "x%2FQ7w9Geheim4tzK%40%25%2By";

fn all(ended: &Ended) -> String {
    format!("{}{}", ended.out, ended.err)
}

/// A configuration with the secret wherever one can stand.
fn conf(folder: &Folder, name: &str, url: &str, more: &str) -> String {
    let text = format!(
        "[oslo_messaging_notifications]\ntransport_url = {url}\n\
         [oslo_messaging_kafka]\nsecurity_protocol = SASL_PLAINTEXT\n\
         sasl_mechanism = SCRAM-SHA-256\nssl_client_key_password = {MARKER}\n\
         delivery_timeout = 4\nconnect_timeout = 3\n{more}"
    );
    folder.file(name, &text)
}

#[test]
fn no_command_writes_a_secret_and_the_search_finds_one_that_is_shown() {
    let kafka = Kafka::secure();
    let (user, topic) = (unique("sven"), unique("open"));
    kafka.set_password(&user, MARKER);
    kafka.allow(&user, Resource::Topics("open"), Operation::All);
    kafka.allow(&user, Resource::Groups("open"), Operation::All);
    let folder = Folder::new("secrets");
    let at = kafka.listener(Listener::Sasl);
    let url = format!("kafka://{user}:{ENCODED}@{at}/");
    let right = conf(&folder, "right.conf", &url, "");
    let files = [
        right.clone(),
        conf(&folder, "refused.conf", &format!("kafka://mallory:{ENCODED}@{at}/"), ""),
        conf(&folder, "unreachable.conf", &format!("kafka://{user}:{ENCODED}@127.0.0.1:1/"), ""),
        conf(&folder, "port.conf", &format!("kafka://{user}:{ENCODED}@h:9x/"), ""),
        conf(
            &folder,
            "option.conf",
            &format!("kafka://{user}:{ENCODED}@h/?ssl_key_password={ENCODED}"),
            "",
        ),
        conf(&folder, "value.conf", &url, "max_poll_records = $ssl_client_key_password\n"),
        conf(&folder, "name.conf", &url, &format!("ssl_client_key_pasword = {MARKER}\n")),
        conf(&folder, "line.conf", &url, &format!("ssl_client_key_password {MARKER}\n")),
        conf(
            &folder,
            "property.conf",
            &url,
            &format!("librdkafka_properties = sasl.pasword:{MARKER}\n"),
        ),
    ];
    let group = unique("open");
    let commands: [&[&str]; 7] = [
        &["config", "show"],
        &["config", "show", "--format", "json"],
        &["config", "check"],
        &["send", "{}", "--event-type", "a.b", "--topic", &topic],
        &["tail", "--no-follow", &topic, "--timeout", "4"],
        &["tail", "--group", &group, &topic, "--timeout", "4"],
        &["doctor", "--topic", &topic, "--group", &group, "--timeout", "4"],
    ];
    let (mut bytes, mut runs) = (0, 0);
    for file in &files {
        let outputs: Vec<(String, String)> = thread::scope(|scope| {
            let mut running = Vec::new();
            for command in commands {
                let global = ["--debug", "-X", "debug=all", "--config-file", file];
                let args = [&global, command].concat();
                running.push(scope.spawn(move || (format!("{args:?}"), all(&run(&args)))));
            }
            running.into_iter().map(|run| run.join().unwrap()).collect()
        });
        for (command, text) in outputs {
            let line = text.lines().find(|line| !traces(CORE, line).is_empty());
            assert!(line.is_none(), "{command}: {line:?}");
            (bytes, runs) = (bytes + text.len(), runs + 1);
        }
    }
    println!("{runs} runs, {bytes} bytes written, no secret in them");
    assert!(bytes > 500_000, "the log is not as fine as it should be: {bytes} bytes");

    // What others see of a process.
    let seen = |args: &[&str], url: Option<&str>| {
        let mut command = oslomsg(args);
        command.envs(url.map(|url| ("OSLOMSG_TRANSPORT_URL", url)));
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(300));
        let title = fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(title.contains("tail"), "{title}");
        title
    };
    let tail = ["tail", &topic];
    for title in [
        seen(&[&["--config-file", right.as_str()], &tail[..]].concat(), None),
        seen(&tail, Some(&url)),
    ] {
        assert!(traces(CORE, &title).is_empty(), "{title}");
    }

    // The control: what shows secrets is found, where they were asked for and on the command line.
    let shown = run(&["--config-file", &right, "config", "show", "--show-secrets"]);
    assert!(all(&shown).contains(MARKER) && all(&shown).contains(ENCODED), "{shown:?}");
    assert!(!traces(CORE, &all(&shown)).is_empty());
    let title = seen(&[&["--transport-url", url.as_str()], &tail[..]].concat(), None);
    assert!(!traces(CORE, &title).is_empty());
}
