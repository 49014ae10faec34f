//! The kit on itself: brokers answer, obey, and are gone afterwards, whatever happened to the test.

#![allow(clippy::unwrap_used, reason = "a failure of a test is a panic")]

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kafka_testkit::{Kafka, Layout, Listener, Proxy, shared, unique};

/// Lets a killed node come back sooner: the controller first waits for the end of its session.
const SHORT_SESSION: &str = "broker.session.timeout.ms=2000";

/// Sends an ApiVersions request and reads the beginning of its answer.
fn talk(address: &str, limit: Duration) -> Result<()> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(limit))?;
    // Size, API 18, version 0, correlation id, no client id.
    connection.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, b'e', b'c', b'h', b'o', 0xff, 0xff])?;
    let mut answer = [0; 8];
    connection.read_exact(&mut answer)?;
    assert_eq!(&answer[4..], b"echo");
    Ok(())
}

fn answers(address: &str) -> bool {
    talk(address, Duration::from_secs(20)).is_ok()
}

/// Whether a process runs; one that only waits to be collected does not.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

fn comes_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn gone_within(limit: Duration, pids: &[u32], folder: Option<&Path>) -> bool {
    comes_within(limit, || !pids.iter().any(|&pid| lives(pid)) && !folder.is_some_and(Path::exists))
}

/// A process that holds a Kafka, in a process group of its own, with the pids and the folder of that.
fn holder() -> (Child, Vec<u32>, PathBuf) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hold"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pids: Vec<u32> = lines.by_ref().take(2).map(|line| line.parse().unwrap()).collect();
    let folder = PathBuf::from(lines.next().unwrap());
    assert!(pids.iter().all(|&pid| lives(pid)) && folder.exists());
    (child, pids, folder)
}

fn send_signal(signal: &str, to: &str) {
    // bash has its own kill, the system may have none.
    let status = Command::new("bash")
        .args(["-c", "kill \"$@\"", "kill", signal, "--", to])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_shared_node_answers() {
    let kafka = shared();
    assert!(std::ptr::eq(kafka, shared()));
    assert_eq!(kafka.nodes(), 1);
    assert_eq!(kafka.transport_url(), format!("kafka://{}/", kafka.bootstrap()));
    assert!(answers(kafka.bootstrap()));
    let ports = kafka.proxies()[0];
    assert!(answers(&format!("127.0.0.1:{}", ports.broker)));
    let proxy = Proxy::start(ports);
    assert!(answers(&format!("127.0.0.1:{}", ports.advertised)));
    assert_eq!(proxy.accepted(), 1);
}

#[test]
#[should_panic(expected = "no node '2': nodes are 1")]
fn an_unknown_node_is_refused() {
    shared().pause(2);
}

#[test]
fn nothing_is_left_after_a_killed_test() {
    let (mut child, pids, folder) = holder();
    // The whole process group, since that is what Ctrl-C in a terminal reaches, too.
    send_signal("-KILL", &format!("-{}", child.id()));
    child.wait().unwrap();
    assert!(gone_within(Duration::from_secs(10), &pids, Some(&folder)));
}

#[test]
fn nodes_die_with_a_killed_guardian_and_the_next_run_wipes() {
    let kafka = Kafka::single();
    let pids = [kafka.guardian_pid(), kafka.pid(1)];
    send_signal("-KILL", &kafka.guardian_pid().to_string());
    assert!(gone_within(Duration::from_secs(10), &pids, None));
    let folder = kafka.folder().to_owned();
    drop(kafka);
    // Without input this run ends while its node starts.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kit/kafka.sh");
    let next = Command::new(script).args(["run", "single"]).stdin(Stdio::null()).output().unwrap();
    assert!(next.status.success() && next.stdout.is_empty(), "{next:?}");
    assert!(!folder.exists());
}

#[test]
fn a_node_obeys_and_nothing_is_left_after_drop() {
    let kafka = Kafka::with(Layout::Single, &[SHORT_SESSION, "num.partitions=3"]);
    let folder = kafka.folder().to_owned();
    let topic = unique("kept");
    kafka.tool("topics", &["--create", "--topic", &topic]);

    kafka.pause(1);
    talk(kafka.bootstrap(), Duration::from_millis(500)).expect_err("a frozen node is silent");
    kafka.resume(1);
    assert!(answers(kafka.bootstrap()));

    let first = kafka.pid(1);
    kafka.kill(1);
    assert!(!lives(first) && TcpStream::connect(kafka.bootstrap()).is_err());
    kafka.start(1);
    assert!(kafka.pid(1) != first && answers(kafka.bootstrap()));
    let partitions =
        (0..9).filter(|n| folder.join(format!("node-1/data/{topic}-{n}")).exists()).count();
    assert_eq!(partitions, 3);

    kafka.stop(1);
    assert!(TcpStream::connect(kafka.bootstrap()).is_err());
    kafka.start(1);
    let pids = [kafka.guardian_pid(), kafka.pid(1)];
    assert!(pids.iter().all(|&pid| lives(pid)));
    drop(kafka);
    assert!(gone_within(Duration::ZERO, &pids, Some(&folder)));
}

#[test]
fn a_cluster_replicates_and_goes_on_without_one_node() {
    let kafka = Kafka::with(Layout::Cluster, &[SHORT_SESSION]);
    let addresses: Vec<_> = kafka.bootstrap().split(',').collect();
    assert_eq!((kafka.nodes(), addresses.len(), kafka.proxies().len()), (3, 3, 3));
    assert!(addresses.iter().all(|address| answers(address)));
    let topic = unique("replicated");
    kafka.tool("topics", &["--create", "--topic", &topic]);
    for node in 1..=3 {
        let replica = kafka.folder().join(format!("node-{node}/data/{topic}-0"));
        assert!(comes_within(Duration::from_secs(20), || replica.exists()), "{replica:?}");
    }
    kafka.kill(2);
    assert!(
        answers(addresses[0]) && TcpStream::connect(addresses[1]).is_err() && answers(addresses[2])
    );
    kafka.start(2);
    assert!(answers(addresses[1]));
}

#[test]
fn a_secure_node_listens_for_each_protocol() {
    let kafka = Kafka::secure();
    for listener in
        [Listener::Internal, Listener::Sasl, Listener::Tls, Listener::Mtls, Listener::SaslTls]
    {
        TcpStream::connect(kafka.listener(listener)).unwrap();
    }
    assert!(answers(kafka.listener(Listener::Sasl)));
    talk(kafka.listener(Listener::Tls), Duration::from_secs(20))
        .expect_err("TLS answers no plain request");
    for file in ["ca.pem", "client.crt", "client-enc.key", "stranger.key", "other-ca.pem"] {
        assert!(kafka.certs().join(file).exists(), "{file}");
    }
    let acl = ["--allow-principal", "User:alice", "--producer", "--topic", "notifications"];
    let added = kafka.tool("acls", &[&["--add"], &acl[..]].concat());
    assert!(added.contains("User:alice"), "{added}");
}

#[test]
fn a_realm_gives_its_users_tickets_and_ends_with_its_node() {
    let kafka = Kafka::with(Layout::Kerberos, &[]);
    let realm = kafka.realm();
    let ticket = |user: &str| {
        let mut kinit = Command::new("kinit");
        kinit.args(["-c", "MEMORY:testkit", "-k", "-t"]);
        kinit.arg(realm.join(format!("{user}.keytab"))).arg(user);
        kinit.env("KRB5_CONFIG", realm.join("krb5.conf")).status().unwrap().success()
    };
    assert!(ticket("alice") && !ticket("carol") && !ticket("mallory"));
    for listener in [Listener::Kerberos, Listener::KerberosTls, Listener::Sasl] {
        TcpStream::connect(kafka.listener(listener)).unwrap();
    }
    let conf = std::fs::read_to_string(realm.join("krb5.conf")).unwrap();
    let (_, kdc) = conf.split_once("    kdc = ").unwrap();
    let kdc = kdc.split_whitespace().next().unwrap();
    TcpStream::connect(kdc).unwrap();
    drop(kafka);
    TcpStream::connect(kdc).unwrap_err();
    assert!(!realm.exists());
}

#[test]
fn missing_java_is_an_error_that_names_the_package() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_hold")).env("JAVA_HOME", "/nonexistent").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("panicked") && stderr.contains("openjdk-17-jre-headless"), "{stderr}");
}

#[test]
fn unique_names_differ_and_are_legal() {
    let names = [unique("a.b"), unique("a.b")];
    assert_ne!(names[0], names[1]);
    assert!(names.iter().all(|name| name.starts_with("a.b-") && name.len() < 60));
    assert!(names[0].chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)));
}
