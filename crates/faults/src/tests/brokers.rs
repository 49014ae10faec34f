//! Brokers that are killed, restarted, frozen and away.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use super::Form;
use crate::{
    checker::Mode,
    cluster::Cluster,
    scene::{Kind, Pace, Scene},
    verdict::{Bounds, Verdict},
};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Test 1.
pub(super) fn no_fault(cluster: &mut Cluster, form: Form) -> Verdict {
    let each = if form == Form::Full { 75_000 } else { 5_000 };
    let mut scene = Scene::new(cluster, 4);
    scene.group(Kind::Judged(Mode::Amo), "", 0, 2);
    scene.group(Kind::Judged(Mode::Alo), "", 0, 2);
    scene.group(Kind::Seeded, "", 0, 1);
    scene.wait_ready();
    let pace = Pace { per_second: 0, count: each, close_seconds: 180 };
    scene.publish(4, "", &pace, false);
    scene.publish(1, "", &Pace { per_second: 50, count: 2_000, ..pace }, true);
    let mut done = true;
    for publisher in &mut scene.publishers {
        done &= publisher.end(seconds(300));
    }
    let mut verdict =
        Verdict::of(&scene.finish(), &Bounds { alo_dup: Some(0), ..Bounds::default() });
    verdict.must(done, || "the publishers were not done after 300 s".to_owned());
    verdict
}

/// Test 2.
pub(super) fn leaders_killed(cluster: &mut Cluster, form: Form) -> Verdict {
    let scene = Scene::usual(cluster, "", "");
    let mut hit = BTreeSet::new();
    let partitions = if form == Form::Full { 4 } else { 1 };
    for partition in 0..partitions {
        let leader = scene.leaders()[&partition];
        if !hit.insert(leader) {
            continue;
        }
        scene.cluster.kill(leader);
        sleep(if form == Form::Full { seconds(20) } else { seconds(11) });
        scene.cluster.start_again(leader);
        let topic = scene.topic();
        scene.cluster.wait_healed(&topic);
    }
    let mut verdict =
        Verdict::of(&scene.finish(), &Bounds { stall_seconds: Some(15), ..Bounds::default() });
    verdict.note(format!("brokers killed: {hit:?}"));
    verdict
}
