//! Networks that are slow, cut, silent and parted. Clients are behind proxies of the test kit.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use kafka_testkit::{
    Direction::{ToBroker, ToClient},
    Faults, Proxy, unique,
};
use rdkafka::{
    ClientContext, Message,
    config::ClientConfig,
    message::DeliveryResult,
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};

use super::Form;
use crate::{
    cluster::Cluster,
    role::Role,
    scene::{Evidence, Pace, Scene},
    verdict::{Bounds, Row, Verdict},
};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Sends outlive the faults here: none may fail.
const PATIENT: &str = "delivery_timeout=120&connect_timeout=120";
/// The control of tests 15 and 16: the same sends, with retries that may repeat.
const NOT_IDEMPOTENT: &str = "delivery_timeout=120&connect_timeout=120&enable_idempotence=false";
/// A role that holds a queue of nothing but what is under way is far below this.
const MOST_MEMORY_KIB: u64 = 128 * 1024;

fn on_all(proxies: &[Proxy], what: impl Fn(&Proxy)) {
    proxies.iter().for_each(what);
}

/// Test 14.
pub(super) fn slow(cluster: &mut Cluster, form: Form) -> Verdict {
    let (proxies, entrance) = cluster.proxies();
    let mut scene = Scene::new(cluster, 4);
    scene.enter_at(entrance);
    scene.fill("", "");
    let each = if form == Form::Full { seconds(25) } else { seconds(8) };
    for faults in [
        Faults { latency: millis(300), jitter: millis(200), ..Faults::default() },
        Faults { bytes_per_second: Some(64 * 1024), ..Faults::default() },
        Faults { slices: Some((64, millis(1))), ..Faults::default() },
    ] {
        on_all(&proxies, |proxy| proxy.set_both(faults));
        sleep(each);
    }
    on_all(&proxies, Proxy::heal);
    let members = scene.groups.iter().flat_map(|group| &group.members);
    let peak = scene.publishers.iter().chain(members).map(Role::peak_kib).max().unwrap_or(0);
    let bounds = Bounds { alo_dup: Some(0), ..Bounds::default() };
    let mut verdict = Verdict::of(&scene.finish(), &bounds);
    verdict.note(format!("most memory of a role: {} MiB", peak / 1024));
    verdict.must((1..MOST_MEMORY_KIB).contains(&peak), || format!("a role took {peak} KiB"));
    verdict
}

/// Test 15.
pub(super) fn cut(cluster: &mut Cluster, form: Form) -> Verdict {
    let each = if form == Form::Full { 25 } else { 9 };
    let (proxies, entrance) = cluster.proxies();
    let mut scene = Scene::new(cluster, 4);
    scene.enter_at(entrance.clone());
    scene.fill(PATIENT, "");
    cut_each_second(&proxies, each);
    let mut verdict = Verdict::of(&scene.finish(), &Bounds::default());

    let mut scene = Scene::new(cluster, 4);
    scene.enter_at(entrance);
    scene.publish(4, NOT_IDEMPOTENT, &Pace::per_second(50), false);
    scene.wait_sends(20);
    cut_each_second(&proxies, each);
    must_repeat(&mut verdict, scene.finish());
    verdict.note(format!("{} connections", proxies.iter().map(Proxy::accepted).sum::<u64>()));
    verdict
}

/// Answers are late, so that some are always lost. In turn, each second: a reset, requests cut in
/// the middle, answers cut in the middle.
fn cut_each_second(proxies: &[Proxy], count: u64) {
    let late = Faults { latency: millis(100), jitter: millis(50), ..Faults::default() };
    on_all(proxies, |proxy| proxy.set(ToClient, late));
    for second in 0..count {
        let cut_after = Some(200 + second * 331 % 1_500);
        match second % 3 {
            0 => on_all(proxies, Proxy::reset),
            1 => on_all(proxies, |proxy| {
                proxy.set(ToBroker, Faults { cut_after, ..Faults::default() });
            }),
            _ => on_all(proxies, |proxy| proxy.set(ToClient, Faults { cut_after, ..late })),
        }
        sleep(millis(300));
        on_all(proxies, |proxy| {
            proxy.set(ToBroker, Faults::default());
            proxy.set(ToClient, late);
        });
        sleep(millis(700));
    }
    on_all(proxies, Proxy::heal);
}

/// Test 16.
pub(super) fn answers_lost(cluster: &mut Cluster, form: Form) -> Verdict {
    let time = if form == Form::Full { seconds(40) } else { seconds(12) };
    let (proxies, entrance) = cluster.proxies();
    let lose = |time| {
        let black_hole = Faults { black_hole: true, ..Faults::default() };
        on_all(&proxies, |proxy| proxy.set(ToClient, black_hole));
        sleep(time);
        on_all(&proxies, Proxy::heal);
    };
    let mut scene = Scene::new(cluster, 4);
    scene.enter_at(entrance.clone());
    scene.fill(PATIENT, "");
    lose(time);
    let mut verdict = Verdict::of(&scene.finish(), &Bounds::default());

    // With the usual times sends fail: what was sent may be in the log, and must be reported so.
    let mut scene = Scene::new(cluster, 4);
    scene.enter_at(entrance.clone());
    scene.publish(4, "", &Pace::per_second(50), false);
    scene.wait_sends(20);
    lose(time);
    let evidence = scene.finish();
    verdict.add(&evidence, &Bounds { may_fail: true, ..Bounds::default() });
    verdict.must(form != Form::Full || evidence.sends.unknown > 0, || {
        "no send without an answer is unknown".to_owned()
    });

    let mut scene = Scene::new(cluster, 4);
    scene.enter_at(entrance);
    scene.publish(4, NOT_IDEMPOTENT, &Pace::per_second(50), false);
    scene.wait_sends(20);
    lose(seconds(12));
    must_repeat(&mut verdict, scene.finish());
    verdict
}

/// A control without idempotence: the fault must have made duplicates.
fn must_repeat(verdict: &mut Verdict, evidence: Evidence) {
    let dup_log = evidence.sends.dup_log;
    verdict.must(dup_log > 0, || "the control's DUP_LOG is 0: it cannot fail".to_owned());
    verdict.folders.push(evidence.folder);
    verdict.rows.push(Row {
        name: "control: not idempotent".to_owned(),
        sends: Some(evidence.sends),
        dispatches: None,
        hung: evidence.hung,
    });
}

/// Test 17.
pub(super) fn isolated(cluster: &mut Cluster, form: Form) -> Verdict {
    let time = if form == Form::Full { seconds(40) } else { seconds(25) };
    // One cluster at a time: this one has other listeners.
    cluster.kill_all();
    let (between, properties) = Between::start();
    let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
    *cluster = Cluster::with(&properties);
    let nodes = cluster.nodes();
    let pids: Vec<u32> = nodes.iter().map(|node| cluster.pid(*node)).collect();

    let control = unique("acks-one");
    cluster.make_topic(&control, 1);
    let leader = cluster.leaders(&control)[&0];
    let other = nodes.iter().copied().find(|node| *node != leader).expect("three nodes");
    let bootstrap = cluster.bootstrap().to_owned();
    let mut scene = Scene::usual(cluster, PATIENT, "");
    let (confirmed, moved) = confirm_with_acks_one(&bootstrap, &control, || {
        scene.wait_sends(20);
        between.cut(leader, &pids);
        let begun = Instant::now();
        let mut moved = false;
        while begun.elapsed() < time {
            moved |= scene.cluster.leader_by(other, &control).is_some_and(|now| now != leader);
            sleep(seconds(1));
        }
        between.heal();
        moved
    });
    let topic = scene.topic();
    scene.cluster.wait_healed(&topic);
    scene.cluster.wait_healed(&control);
    let (first, next) = scene.cluster.ends(&control)[&0];
    let kept = u64::try_from(next - first).unwrap_or(0);
    let mut verdict = Verdict::of(&scene.finish(), &Bounds::default());
    verdict.note(format!(
        "node {leader} cut off for {time:?}; acks=1: {confirmed} confirmed, {kept} kept"
    ));
    verdict.must(moved, || "the others made no other leader: nothing was cut".to_owned());
    verdict.must(confirmed > kept, || {
        "the control with acks=1 lost nothing: it cannot fail".to_owned()
    });
    // Nobody else needs such listeners.
    cluster.kill_all();
    verdict
}

/// A proxy in front of what each broker shows to the others: its part of the quorum, and replication.
struct Between {
    proxies: [Vec<Proxy>; 2],
}

impl Between {
    /// Starts the proxies, before the brokers; returns them with the brokers' properties. Each node has
    /// loopback addresses of its own.
    fn start() -> (Self, [String; 5]) {
        // Kafka wants ports that differ, whatever their addresses.
        let [quorum, replication] = [11, 12].map(|net| {
            let free = TcpListener::bind((Ipv4Addr::new(127, 0, net, 1), 0)).expect("a free port");
            free.local_addr().expect("it is bound").port()
        });
        let proxies = [(11, 21, quorum), (12, 22, replication)].map(|(front, back, port)| {
            let address = |net, node| SocketAddrV4::new(Ipv4Addr::new(127, 0, net, node), port);
            (1..=3).map(|node| Proxy::at(address(front, node), address(back, node))).collect()
        });
        let own = "PLAINTEXT://127.0.0.1:@CLIENT@";
        let properties = [
            format!(
                "listeners={own},PROXIED://127.0.0.1:@PROXIED@,\
                 CONTROLLER://127.0.21.@ID@:{quorum},REPLICATION://127.0.22.@ID@:{replication}"
            ),
            format!(
                "advertised.listeners={own},PROXIED://127.0.0.1:@PROXY@,\
                 CONTROLLER://127.0.11.@ID@:{quorum},REPLICATION://127.0.12.@ID@:{replication}"
            ),
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,\
             PROXIED:PLAINTEXT,REPLICATION:PLAINTEXT"
                .to_owned(),
            "inter.broker.listener.name=REPLICATION".to_owned(),
            format!(
                "controller.quorum.voters=\
                 1@127.0.11.1:{quorum},2@127.0.11.2:{quorum},3@127.0.11.3:{quorum}"
            ),
        ];
        (Self { proxies }, properties)
    }

    /// Cuts a node off from the others, both ways. `pids` are those of nodes 1 to 3.
    fn cut(&self, node: u32, pids: &[u32]) {
        let index = node as usize - 1;
        let others: Vec<u32> = pids.iter().copied().filter(|pid| *pid != pids[index]).collect();
        for proxies in &self.proxies {
            for (at, proxy) in proxies.iter().enumerate() {
                proxy.shun(if at == index { &others } else { &pids[index..=index] });
            }
        }
    }

    fn heal(&self) {
        self.proxies.iter().flatten().for_each(Proxy::heal);
    }
}

/// Keys whose records were confirmed.
#[derive(Default)]
struct Confirmed(Mutex<BTreeSet<Vec<u8>>>);

impl ClientContext for Confirmed {}

impl ProducerContext for Confirmed {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = result {
            let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            keys.insert(message.key().unwrap_or_default().to_vec());
        }
    }
}

/// Sends with librdkafka alone, content with the leader's word, as long as `meanwhile` takes. How
/// many were confirmed, and what `meanwhile` returned.
fn confirm_with_acks_one<T>(
    bootstrap: &str,
    topic: &str,
    meanwhile: impl FnOnce() -> T,
) -> (u64, T) {
    let producer: ThreadedProducer<Confirmed> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "1")
        .set("message.send.max.retries", "0")
        .create_with_context(Confirmed::default())
        .expect("the properties are right");
    let done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            for seq in 0_u64.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let key = seq.to_string();
                // What does not fit is not confirmed.
                let _ = producer.send(BaseRecord::to(topic).key(&key).payload("x"));
                sleep(millis(20));
            }
        });
        let _stop = Stop(&done);
        meanwhile()
    });
    // What is unanswered is not confirmed.
    let _ = producer.flush(seconds(30));
    let keys = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
    (keys.len() as u64, result)
}

/// Ends the sends, also when what is done meanwhile panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
