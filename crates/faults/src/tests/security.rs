//! Who may do what changes under senders and listeners: one secured node of the test's own.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use kafka_testkit::{Listener, Operation, Resource};

use super::{Form, seconds};
use crate::{
    cluster::Cluster,
    scene::Scene,
    verdict::{Bounds, Verdict},
};

const USER: &str = "nova";
const PASSWORD: &str = "nova-secret";
/// How the names of a scene's groups begin.
const GROUPS: &str = "group";
/// What members hold at the most, for each of four partitions, when they lose them in one event.
const TAKEN: u64 = 4 * 500;
/// How soon after the operator has mended what was wrong both sides go on.
const BACK_WITHIN: Duration = Duration::from_secs(20);

/// Test 19.
pub(super) fn events(_: &mut Cluster, form: Form) -> Verdict {
    // Sessions that end soon notice what has changed; Kafka never asks again by itself.
    let session = form.pick(5_000, 2_000);
    let mut node = Cluster::secure(&[&format!(
        "listener.name.sasltls.scram-sha-512.connections.max.reauth.ms={session}"
    )]);
    let kafka = node.kafka();
    kafka.set_password(USER, PASSWORD);
    let address = kafka.listener(Listener::SaslTls).to_owned();
    let ca = kafka.certs().join("ca.pem").display().to_string();
    kafka.allow(USER, Resource::Groups(GROUPS), Operation::Read);

    let mut scene = Scene::new(&mut node, 4);
    let topic = scene.topic();
    for operation in [Operation::Read, Operation::Write] {
        scene.cluster.kafka().allow(USER, Resource::Topic(&topic), operation);
    }
    scene.enter_at(format!("kafka://{USER}:{PASSWORD}@{address}/"));
    let login = format!("security_protocol=SASL_SSL&sasl_mechanism=SCRAM-SHA-512&ssl_cafile={ca}");
    scene.fill(&login, &login);

    let hold = seconds(form.pick(20, 2));
    let mut verdict = Verdict::default();
    // The event of the certificate has a password in it, too.
    let events: &[Event] = match form {
        Form::Full => {
            &[Event::Password, Event::Write, Event::Read, Event::Group, Event::Certificate]
        }
        Form::Short => &[Event::Write, Event::Certificate],
    };
    for event in events.iter().copied() {
        event.begin(scene.cluster, &topic);
        sleep(hold);
        event.end(scene.cluster, &topic);
        let mended = Instant::now();
        let back = scene.wait_delivered(20, BACK_WITHIN) && scene.wait_dispatched(20, BACK_WITHIN);
        verdict.note(format!(
            "{event:?}: both sides go on after {:.1} s",
            mended.elapsed().as_secs_f64()
        ));
        verdict.must(back, || format!("{event:?}: no traffic {BACK_WITHIN:?} after it was over"));
    }
    let evidence = scene.finish();
    let bounds =
        Bounds { may_fail: true, alo_dup: Some(TAKEN * events.len() as u64), ..Bounds::default() };
    verdict.add(&evidence, &bounds);
    let causes = causes(&evidence.folder);
    verdict.note(format!("what senders were told: {causes:?}"));
    // What is over before connect_timeout delays a send and fails none.
    let told = ["Authorization", "Authentication"];
    for cause in &told[..form.pick(2, 1) as usize] {
        verdict.must(causes.contains_key(*cause), || format!("no sender was told {cause}"));
    }
    verdict
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The user's password is another one.
    Password,
    Write,
    Read,
    Group,
    /// The broker's certificate is of an authority that nobody trusts. Sessions have no reason to
    /// look at it: new connections do, and a wrong password sees to those.
    Certificate,
}

impl Event {
    fn begin(self, node: &Cluster, topic: &str) {
        let kafka = node.kafka();
        match self {
            Self::Password => kafka.set_password(USER, "another"),
            Self::Certificate => {
                kafka.set_key_store(Listener::SaslTls, "other.pem");
                kafka.set_password(USER, "another");
            }
            Self::Write => kafka.disallow(USER, Resource::Topic(topic), Operation::Write),
            Self::Read => kafka.disallow(USER, Resource::Topic(topic), Operation::Read),
            Self::Group => kafka.disallow(USER, Resource::Groups(GROUPS), Operation::Read),
        }
    }

    fn end(self, node: &Cluster, topic: &str) {
        let kafka = node.kafka();
        match self {
            Self::Password => kafka.set_password(USER, PASSWORD),
            Self::Certificate => {
                kafka.set_password(USER, PASSWORD);
                kafka.set_key_store(Listener::SaslTls, "server.pem");
            }
            Self::Write => kafka.allow(USER, Resource::Topic(topic), Operation::Write),
            Self::Read => kafka.allow(USER, Resource::Topic(topic), Operation::Read),
            Self::Group => kafka.allow(USER, Resource::Groups(GROUPS), Operation::Read),
        }
    }
}

/// How many sends ended with which cause.
fn causes(folder: &Path) -> BTreeMap<String, u64> {
    let mut causes = BTreeMap::new();
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("publisher-")) {
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with("not-delivered ")) {
            let cause = line.split(' ').nth(3).unwrap_or_default();
            *causes.entry(cause.to_owned()).or_insert(0) += 1;
        }
    }
    causes
}
