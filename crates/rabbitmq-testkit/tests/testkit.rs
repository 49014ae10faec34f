//! The kit on itself: nodes answer, obey, and are gone afterwards, whatever happened to the test.

#![allow(clippy::unwrap_used, reason = "a failure of a test is a panic")]

use std::collections::BTreeSet;
use std::fs::{read, read_dir, read_to_string};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rabbitmq_testkit::{Cluster, Proxy, Rabbit, shared, unique};
use serde_json::json;

/// 127.0.0.1 and ::1, as the kernel writes them.
const LOOPBACK: [&str; 2] = ["0100007F", "00000000000000000000000001000000"];
/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(30);

/// Sends AMQP's greeting and reads the beginning of `connection.start`.
fn talk(address: &str, limit: Duration) -> Result<()> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(limit))?;
    connection.write_all(b"AMQP\0\0\x09\x01")?;
    let mut answer = [0; 11];
    connection.read_exact(&mut answer)?;
    // A method's frame of channel 0, its size, class 10, method 10.
    assert_eq!((&answer[..3], &answer[7..]), (&[1, 0, 0][..], &[0, 10, 0, 10][..]));
    Ok(())
}

fn answers(address: &str) -> bool {
    talk(address, LIMIT).is_ok()
}

/// Whether a process runs; one that only waits to be collected does not.
fn lives(pid: u32) -> bool {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// The processes that were started for a run: they know its folder.
fn processes_of(folder: &Path) -> Vec<u32> {
    let needle = folder.join("home");
    let needle = needle.as_os_str().as_encoded_bytes();
    let ids = read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter(|&pid: &u32| {
        let environment = read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(needle.len()).any(|part| part == needle) && lives(pid)
    })
    .collect()
}

fn comes_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// A process that holds a RabbitMQ, in a process group of its own, with the pids and the folder of that.
fn holder() -> (Child, Vec<u32>, PathBuf) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hold-rabbit"))
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

fn kill9(to: &str) {
    // bash has its own kill, the system may have none.
    let status =
        Command::new("bash").args(["-c", "kill -KILL -- \"$1\"", "kill", to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_shared_node_answers_and_tells_what_it_has() {
    let rabbit = shared();
    assert!(std::ptr::eq(rabbit, shared()));
    assert!(answers(rabbit.address()));
    assert_eq!(rabbit.url("/"), format!("rabbit://guest:guest@{}/%2F", rabbit.address()));
    assert_eq!(
        rabbit.url_as("a", "b@c", "osl"),
        format!("rabbit://a:b%40c@{}/osl", rabbit.address())
    );
    let proxy = Proxy::start(rabbit.proxy());
    assert!(answers(&format!("127.0.0.1:{}", rabbit.proxy().advertised)));
    assert_eq!(proxy.accepted(), 1);
    assert!(rabbit.list_connections().iter().all(|connection| connection.vhost != "none"));

    let users = rabbit.ctl(&["list_users"]);
    for user in ["guest", "alice", "bob", "client-alice"] {
        assert!(users.contains(user), "{users}");
    }
    let hosts = rabbit.eval("lists:sort(rabbit_vhost:list_names())");
    assert_eq!(hosts, r#"[<<"/">>,<<"cell1">>,<<"cell2">>,<<"osl">>]"#);
    assert!(rabbit.eval("rabbit_auth_backend_internal:user_login_authentication(<<\"alice\">>, [{password, <<\"alice-secret\">>}])").starts_with("{ok,"));
}

#[test]
fn queues_exchanges_and_bindings_are_listed_with_their_arguments() {
    let rabbit = shared();
    let (exchange, topic) = (unique("exchange"), unique("topic\u{fc}"));
    assert_eq!(rabbit.queue("osl", &topic), None);
    rabbit.eval(&format!(
        "X = rabbit_misc:r(<<\"osl\">>, exchange, <<\"{exchange}\">>),
         Q = rabbit_misc:r(<<\"osl\">>, queue, <<\"{topic}\"/utf8>>),
         rabbit_exchange:declare(X, topic, false, true, false, [], <<\"test\">>),
         {{new, _}} = rabbit_amqqueue:declare(Q, true, false, [{{<<\"x-expires\">>, signedint, 1800000}}], none, <<\"test\">>),
         ok = rabbit_binding:add({{binding, X, <<\"a.b\">>, Q, []}}, <<\"test\">>)"
    ));
    let queue = rabbit.queue("osl", &topic).unwrap();
    assert_eq!((queue.durable, queue.auto_delete, queue.kind.as_str()), (true, false, "classic"));
    assert_eq!((queue.messages, queue.ready, queue.consumers), (0, 0, 0));
    assert_eq!(json!(queue.arguments), json!({"x-expires": 1800000}));
    let found =
        rabbit.list_exchanges("osl").into_iter().find(|found| found.name == exchange).unwrap();
    assert_eq!((found.kind.as_str(), found.durable, found.auto_delete), ("topic", false, true));
    let bindings = rabbit.list_bindings("osl");
    let mut bound = bindings.iter().filter(|binding| binding.exchange == exchange);
    assert!(bound.any(|binding| binding.queue == topic && binding.key == "a.b"), "{bindings:?}");
    assert!(rabbit.queue("/", &topic).is_none());
    rabbit.delete_queue("osl", &topic);
    assert_eq!(rabbit.queue("osl", &topic), None);
}

#[test]
#[should_panic(expected = "badmatch")]
fn a_queue_that_is_not_there_cannot_be_deleted() {
    shared().delete_queue("osl", "nowhere");
}

#[test]
fn nothing_is_left_after_a_killed_test() {
    let (mut child, pids, folder) = holder();
    assert!(processes_of(&folder).len() >= 3, "epmd, the node, and what that starts");
    // The whole process group, since that is what Ctrl-C in a terminal reaches, too.
    kill9(&format!("-{}", child.id()));
    child.wait().unwrap();
    assert!(comes_within(LIMIT, || !pids.iter().any(|&pid| lives(pid)) && !folder.exists()));
    assert!(comes_within(LIMIT, || processes_of(&folder).is_empty()));
}

#[test]
fn nodes_die_with_a_killed_guardian_and_the_next_run_wipes() {
    let rabbit = Rabbit::start();
    kill9(&rabbit.guardian_pid().to_string());
    let folder = rabbit.folder().to_owned();
    assert!(comes_within(LIMIT, || !lives(rabbit.pid()) && processes_of(&folder).is_empty()));
    drop(rabbit);
    assert!(folder.exists());
    // Without input this run ends when it asks for certificates.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kit/rabbit.sh");
    let next = Command::new(script).args(["run", "single"]).stdin(Stdio::null()).output().unwrap();
    assert!(next.status.success(), "{next:?}");
    assert!(!folder.exists());
}

#[test]
fn a_node_obeys_and_nothing_is_left_after_drop() {
    let rabbit = Rabbit::builder().with_line("heartbeat = 7").with_mutual_tls().start();
    let folder = rabbit.folder().to_owned();
    assert_eq!(rabbit.eval("application:get_env(rabbit, heartbeat)"), "{ok,7}");
    let options = rabbit.eval("application:get_env(rabbit, ssl_options)");
    assert!(options.contains("{fail_if_no_peer_cert,true}"), "{options}");
    assert!(rabbit.eval("application:get_env(rabbit, auth_mechanisms)").contains("EXTERNAL"));
    TcpStream::connect(rabbit.tls_address()).unwrap();
    talk(rabbit.tls_address(), LIMIT).expect_err("TLS answers no plain request");
    for file in ["ca.pem", "client.crt", "client.key", "stranger.key", "other-ca.pem"] {
        assert!(rabbit.certs().join(file).exists(), "{file}");
    }

    rabbit.pause();
    talk(rabbit.address(), Duration::from_millis(500)).expect_err("a frozen node is silent");
    rabbit.resume();
    assert!(answers(rabbit.address()));

    rabbit.raise_memory_alarm();
    assert!(rabbit.eval("rabbit_alarm:get_alarms()").contains("memory"));
    rabbit.clear_memory_alarm();
    assert_eq!(rabbit.eval("rabbit_alarm:get_alarms()"), "[]");

    let declare = "{new, _} = rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"kept\">>), true, false, [], none, <<\"test\">>)";
    rabbit.eval(declare);
    let first = rabbit.pid();
    rabbit.kill9();
    assert!(!lives(first) && TcpStream::connect(rabbit.address()).is_err());
    rabbit.start_again();
    assert!(rabbit.pid() != first && answers(rabbit.address()));
    assert!(rabbit.queue("/", "kept").is_some());

    rabbit.stop();
    assert!(TcpStream::connect(rabbit.address()).is_err());
    rabbit.start_again();
    let pids = [rabbit.guardian_pid(), rabbit.pid()];
    assert!(pids.iter().all(|&pid| lives(pid)));
    drop(rabbit);
    assert!(!pids.iter().any(|&pid| lives(pid)) && !folder.exists());
    // Erlang's helpers notice the end of their node, and that takes them a moment.
    assert!(comes_within(LIMIT, || processes_of(&folder).is_empty()));
}

#[test]
fn clients_of_a_node_listen_on_loopback_only() {
    let rabbit = shared();
    let mut listening = String::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        listening += &read_to_string(file).unwrap_or_default();
    }
    let first: u16 = rabbit.proxy().broker;
    let mut found = BTreeSet::new();
    for line in listening.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some((address, port)) = fields.get(1).and_then(|local| local.split_once(':')) else {
            continue;
        };
        let Ok(port) = u16::from_str_radix(port, 16) else { continue };
        if (first..first + 16).contains(&port) && fields[3] == "0A" {
            assert!(LOOPBACK.contains(&address), "port {port} is open to others: {address}");
            found.insert(port);
        }
    }
    // A proxy of another test may listen beside them.
    assert!(found.len() >= 4, "AMQP, TLS, distribution and epmd: {found:?}");
}

#[test]
fn a_cluster_goes_on_without_one_node() {
    let cluster = Cluster::start(3);
    assert_eq!(cluster.nodes().len(), 3);
    assert!(cluster.nodes().iter().all(|node| answers(node.address())));
    let url = cluster.url("osl");
    assert_eq!(url.matches("guest:guest@127.0.0.1:").count(), 3, "{url}");
    let members = "lists:sort(rabbit_nodes:all_running())";
    assert_eq!(cluster.node(3).eval(members), "[r1@localhost,r2@localhost,r3@localhost]");
    cluster.node(2).eval(
        "{new, _} = rabbit_amqqueue:declare(rabbit_misc:r(<<\"osl\">>, queue, <<\"replicated\">>), true, false,
           [{<<\"x-queue-type\">>, longstr, <<\"quorum\">>}], none, <<\"test\">>)",
    );
    cluster.node(2).kill9();
    let down = || cluster.node(1).eval(members) == "[r1@localhost,r3@localhost]";
    assert!(comes_within(LIMIT, down));
    let queue = cluster.node(3).queue("osl", "replicated").unwrap();
    assert_eq!((queue.kind.as_str(), queue.durable), ("quorum", true));
    cluster.node(2).start_again();
    assert!(answers(cluster.node(2).address()));
    for node in cluster.nodes() {
        node.kill9();
    }
    cluster.start_all_again();
    assert!(cluster.nodes().iter().all(|node| answers(node.address())));
    assert!(cluster.node(1).queue("osl", "replicated").is_some());
}

#[test]
fn a_missing_rabbitmq_is_an_error_that_names_the_package() {
    let output = Command::new(env!("CARGO_BIN_EXE_hold-rabbit"))
        .env("OSLOMSG_RABBITMQ_HOME", "/nonexistent")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("panicked") && stderr.contains("apt-get install rabbitmq-server"),
        "{stderr}"
    );
}
