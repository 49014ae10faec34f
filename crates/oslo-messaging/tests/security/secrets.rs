//! Nothing that is written has a secret in it: not the log at its finest with all that librdkafka can
//! tell, not `Debug`, not an error, not a panic, not the process's title, not the spool.
//!
//! A process of its own goes every way, with a password that is found again however it is encoded;
//! its whole output is searched. The control run has the masks switched off: the search must find
//! the password there.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
    time::Duration,
};

use kafka_testkit::{KEY_PASSWORD, Listener, Operation, Resource, traces, unique};
use openssl::base64::encode_block;
use oslo_messaging::{Error, Secret, Transport, TransportUrl, config, conformance};
use tracing_subscriber::filter::LevelFilter;

use crate::support::{cert, kafka, listen, notifier, sasl, send, url};

/// The same in each encoding of a URL; with what a URL must encode around it.
const CORE: &str = "Q7w9Geheim4tzK";
const MARKER: &str = "x/Q7w9Geheim4tzK@%+y";
const ENCODED: &str = "x%2FQ7w9Geheim4tzK%40%25%2By";

const JOB: &str = "OSLOMSG_TEST_SECRETS";
const CHILD: &str = "secrets::every_way_of_a_secret";

/// What the child is told: the ways to go, a line each, `NAME URL`.
#[test]
fn every_way_of_a_secret() {
    let Ok(job) = env::var(JOB) else { return };
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .init();
    let mut lines = job.lines();
    let folder = lines.next().unwrap();
    if lines.next().unwrap() == "unmasked" {
        conformance::show_secrets();
    }
    for line in lines {
        let (name, url) = line.split_once(' ').unwrap();
        eprintln!("=== {name}");
        go(url);
    }
    println!("{:?} {:?}", Secret::new(MARKER), Secret::new(KEY_PASSWORD));
    unreadable(folder);
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let comm = fs::read_to_string(entry.unwrap().path().join("comm"));
        // A thread may have ended since.
        println!("thread {}", comm.unwrap_or_default());
    }
    println!("title {}", fs::read_to_string("/proc/self/cmdline").unwrap().replace('\0', " "));
    println!("every way was gone");
}

/// All that can be shown of a transport, of both of its sides, and of what they say.
fn go(url: &str) {
    let parsed = url.parse::<TransportUrl>();
    println!("{parsed:?}");
    let transport = match Transport::for_notifications(url) {
        Ok(transport) => transport,
        Err(error) => return show(&error),
    };
    println!("{transport:?} {}", transport.url());
    let topic = unique("open");
    let listener = listen(&transport, &topic, &topic);
    let sender = notifier(&transport, &topic);
    println!("{sender:?}");
    if let Err(error) = send(&sender, "a.b") {
        show(&error);
    }
    match listener {
        Err(error) => show(&error),
        Ok((listener, _told)) => {
            println!("{listener:?}");
            if let Err(error) = listener.ready(Duration::from_secs(3)) {
                show(&error);
            }
            if let Err(error) = listener.close(Duration::from_secs(3)) {
                show(&error);
            }
        }
    }
    if let Err(error) = transport.close(Duration::from_secs(3)) {
        show(&error);
    }
    println!("{:?}", transport.stats());
}

fn show(error: &Error) {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        println!("{error} {error:?}");
        source = error.source();
    }
    let words = AssertUnwindSafe(|| panic!("{error:?}"));
    catch_unwind(words).unwrap_err();
}

/// Files of configuration with the secret in lines that can and cannot be read.
fn unreadable(folder: &str) {
    let path = Path::new(folder).join("secret.conf");
    for text in [
        format!("[oslo_messaging_notifications]\ntransport_url = kafka://u:{ENCODED}@h:1x/\n"),
        format!("[oslo_messaging_notifications]\ntransport_url = kafka://u:{ENCODED}@h:1/\n"),
        format!(
            "[oslo_messaging_kafka]\nssl_client_key_password = {MARKER}\nmax_poll_records = x\n"
        ),
        format!("[oslo_messaging_kafka]\nssl_client_key_password {MARKER}\n"),
        format!(
            "[oslo_messaging_kafka]\nclient_id = $ssl_client_key_password\nssl_client_key_password = {MARKER}\n"
        ),
        format!("[oslo_messaging_kafka]\nlibrdkafka_properties = sasl.password:{MARKER}\n"),
    ] {
        fs::write(&path, text).unwrap();
        let config = match config::Config::from_files(&[&path]) {
            Ok(config) => config,
            Err(error) => {
                show(&error);
                continue;
            }
        };
        println!("{config:?} {:?}", config.files());
        match config::Options::resolve(config::KAFKA, &config, &[]) {
            Ok(options) => println!("{options:?}"),
            Err(error) => show(&error),
        }
        match Transport::builder().config(config).for_notifications() {
            Ok(transport) => println!("{transport:?} {}", transport.url()),
            Err(error) => show(&error),
        }
    }
}

/// The ways: whom the password opens, and all that can be wrong with it.
fn ways(user: &str, folder: &str) -> Vec<(&'static str, String)> {
    let told = "librdkafka_properties=debug:all&delivery_timeout=4&connect_timeout=2";
    let debugged =
        |user: &str, listener, query: &str| url(user, listener, &format!("{query}&{told}"));
    let right = format!("{user}:{ENCODED}");
    let ca = cert("ca.pem");
    let tls = format!(
        "security_protocol=SSL&ssl_cafile={ca}&ssl_client_cert_file={}&ssl_client_key_file={}",
        cert("client.crt"),
        cert("client-enc.key")
    );
    let properties = |properties: &str| {
        let query = "delivery_timeout=4&connect_timeout=2&security_protocol=SASL_PLAINTEXT";
        url(&right, Listener::Sasl, &format!("{query}&librdkafka_properties={properties}"))
    };
    let sasl_tls =
        format!("security_protocol=SASL_SSL&sasl_mechanism=SCRAM-SHA-512&ssl_cafile={ca}");
    vec![
        ("accepted", debugged(&right, Listener::Sasl, &sasl("SCRAM-SHA-256"))),
        ("accepted-tls", debugged(&right, Listener::SaslTls, &sasl_tls)),
        ("refused-plain", debugged(&right, Listener::Sasl, &sasl("PLAIN"))),
        (
            "refused-scram",
            debugged(&format!("mallory:{ENCODED}"), Listener::Sasl, &sasl("SCRAM-SHA-256")),
        ),
        ("untrusted", {
            let other = cert("other-ca.pem");
            let query = format!("security_protocol=SASL_SSL&ssl_cafile={other}");
            debugged(&right, Listener::SaslTls, &query)
        }),
        ("unused", debugged(&right, Listener::Internal, "")),
        ("queued", debugged(&right, Listener::Sasl, &format!("{}&delivery=queued", sasl("PLAIN")))),
        ("spooled", {
            let spool = format!("{}&delivery=spooled&spool_dir={folder}", sasl("PLAIN"));
            debugged(&right, Listener::Sasl, &spool)
        }),
        (
            "key",
            debugged("", Listener::Mtls, &format!("{tls}&ssl_client_key_password={KEY_PASSWORD}")),
        ),
        (
            "wrong-key",
            debugged("", Listener::Mtls, &format!("{tls}&ssl_client_key_password={ENCODED}")),
        ),
        ("bad-port", format!("kafka://{right}@h:90x2/")),
        ("bad-host", format!("kafka://{right}@[::1/")),
        ("bad-scheme", format!("kafak://{right}@h/")),
        ("two-ats", format!("kafka://u:{CORE}@{CORE}@h/")),
        ("no-user", format!("kafka://:{ENCODED}@h:0/?max_poll_records=x")),
        ("unknown-option", format!("kafka://h/?ssl_key_password={ENCODED}")),
        ("property", properties(&format!("sasl.password:{ENCODED}"))),
        ("misspelt-property", properties(&format!("sasl.pasword:{ENCODED}"))),
        ("reserved-property", properties(&format!("acks:1%2Csasl.password:{ENCODED}"))),
        ("key-property", properties(&format!("ssl.key.pem:{ENCODED}"))),
        ("token-property", properties(&format!("sasl.oauthbearer.client.secret:{ENCODED}"))),
    ]
}

/// The secrets in a text, however they are encoded.
fn found(text: &str) -> Vec<String> {
    [traces(CORE, text), traces(KEY_PASSWORD, text)].concat()
}

/// Runs the child; all that it has written, to its streams and to the spool.
fn output(masks: &str, ways: &[(&str, String)], folder: &Path) -> String {
    let ways: Vec<String> = ways.iter().map(|(name, url)| format!("{name} {url}")).collect();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture"])
        .env(JOB, format!("{}\n{masks}\n{}", folder.display(), ways.join("\n")))
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
    all += &String::from_utf8_lossy(&output.stderr);
    let end = all.len().saturating_sub(2_000);
    assert!(output.status.success() && all.contains("every way was gone"), "{}", &all[end..]);
    // Written by the test, with the secret in it.
    fs::remove_file(folder.join("secret.conf")).unwrap();
    for file in files(folder) {
        all += &String::from_utf8_lossy(&fs::read(file).unwrap());
    }
    all
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn no_secret_is_written_anywhere_and_the_search_finds_one_that_is() {
    let user = unique("sven");
    kafka().set_password(&user, MARKER);
    kafka().allow(&user, Resource::Topics("open"), Operation::All);
    kafka().allow(&user, Resource::Groups("open"), Operation::All);
    let folder = env::temp_dir().join(unique("secrets"));
    fs::create_dir(&folder).unwrap();
    let ways = ways(&user, folder.to_str().unwrap());
    let all = output("masked", &ways, &folder);
    for said in ["oslo_messaging::librdkafka", "SASL", "SCRAM", "SSL", "panicked"] {
        assert!(all.contains(said), "the log is not as fine as it should be: no {said}");
    }
    if let Some(line) = all.lines().find(|line| !found(line).is_empty()) {
        panic!("{:?} in: {line}", found(line));
    }
    println!("{} ways, {} bytes written, no secret in them", ways.len(), all.len());

    let control = output("unmasked", &ways[5..6], &folder);
    let plain = control.lines().find(|line| line.contains(MARKER));
    assert!(plain.is_some(), "the control run shows no secret");
    assert!(control.lines().any(|line| line.contains(ENCODED)), "none encoded for a URL");
    assert!(!found(&control).is_empty(), "the search does not find it");
    for hidden in [
        ENCODED.to_owned(),
        encode_block(MARKER.as_bytes()),
        format!("  {}", encode_block(format!("ab{MARKER}").as_bytes())),
    ] {
        assert!(!found(&hidden).is_empty(), "the search does not find {hidden}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
