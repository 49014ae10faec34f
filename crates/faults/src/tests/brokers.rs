//! Brokers that are killed, restarted, frozen and away.

use std::{collections::BTreeSet, thread::sleep};

use super::{Form, seconds};
use crate::{
    checker::Mode,
    cluster::Cluster,
    scene::{Kind, Pace, Scene},
    verdict::{Bounds, Verdict},
};

/// Test 1.
pub(super) fn no_fault(cluster: &mut Cluster, form: Form) -> Verdict {
    let each = form.pick(75_000, 5_000);
    let mut scene = Scene::new(cluster, 4);
    scene.group(Kind::Judged(Mode::Amo), "", 0, 2);
    scene.group(Kind::Judged(Mode::Alo), "", 0, 2);
    scene.group(Kind::Seeded, "", 0, 1);
    scene.wait_ready();
    scene.publish(4, "", &Pace::count(each), false);
    scene.publish(1, "", &Pace { per_second: 50, ..Pace::count(2_000) }, true);
    let mut done = true;
    for publisher in &mut scene.publishers {
        done &= publisher.end(seconds(300));
    }
    let bounds = Bounds { alo_dup: Some(0), ..Bounds::default() };
    let mut verdict = Verdict::of(&scene.finish(), &bounds);
    verdict.must(done, || "the publishers were not done after 300 s".to_owned());
    verdict
}

/// Test 2.
pub(super) fn leaders_killed(cluster: &mut Cluster, form: Form) -> Verdict {
    let scene = Scene::usual(cluster, "", "");
    let topic = scene.topic();
    let mut hit = BTreeSet::new();
    for partition in 0..form.pick(4, 1) {
        let leader = scene.leaders()[&i32::try_from(partition).unwrap_or(0)];
        if !hit.insert(leader) {
            continue;
        }
        scene.cluster.kill(leader);
        sleep(seconds(form.pick(20, 11)));
        scene.cluster.start_again(leader);
        scene.cluster.wait_healed(&topic);
    }
    // The short form runs beside whatever else the machine does.
    let stall = if form == Form::Full { 15 } else { 30 };
    let bounds = Bounds { stall_seconds: Some(stall), ..Bounds::default() };
    let mut verdict = Verdict::of(&scene.finish(), &bounds);
    verdict.note(format!("brokers killed: {hit:?}"));
    verdict
}

/// Test 3.
pub(super) fn leader_restarted(cluster: &mut Cluster, form: Form) -> Verdict {
    let scene = Scene::usual(cluster, "", "");
    let topic = scene.topic();
    for _ in 0..form.pick(5, 1) {
        let leader = scene.leaders()[&0];
        scene.cluster.stop(leader);
        scene.cluster.start_again(leader);
        scene.cluster.wait_healed(&topic);
    }
    let bounds = Bounds { stall_seconds: Some(5), ..Bounds::default() };
    Verdict::of(&scene.finish(), &bounds)
}

/// Test 4.
pub(super) fn leader_frozen(cluster: &mut Cluster, form: Form) -> Verdict {
    let scene = Scene::usual(cluster, "", "");
    let leader = scene.leaders()[&0];
    scene.cluster.freeze(leader);
    sleep(seconds(form.pick(25, 12)));
    scene.cluster.thaw(leader);
    let topic = scene.topic();
    scene.cluster.wait_healed(&topic);
    let bounds = Bounds { stall_seconds: Some(15), ..Bounds::default() };
    Verdict::of(&scene.finish(), &bounds)
}

/// Test 5.
pub(super) fn two_down(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut scene = Scene::usual(cluster, "delivery_timeout=120", "");
    for node in [1, 2] {
        scene.cluster.kill(node);
    }
    sleep(seconds(form.pick(60, 10)));
    scene.cluster.heal();
    scene.wait_sends(100);
    Verdict::of(&scene.finish(), &Bounds { alo_dup: Some(ONE_BATCH), ..Bounds::default() })
}

/// What a member holds at the most: its share for each of four partitions.
const ONE_BATCH: u64 = 500;

/// Test 6. Without a connection to any broker `connect_timeout` counts, too.
pub(super) fn all_killed(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut scene = Scene::usual(cluster, "delivery_timeout=120&connect_timeout=120", "");
    scene.cluster.kill_all();
    sleep(seconds(form.pick(30, 5)));
    scene.cluster.heal();
    scene.wait_sends(100);
    Verdict::of(&scene.finish(), &Bounds { alo_dup: Some(ONE_BATCH), ..Bounds::default() })
}

/// Test 22.
pub(super) fn killed_in_turn(cluster: &mut Cluster, form: Form) -> Verdict {
    let scene = Scene::usual(cluster, "", "");
    let topic = scene.topic();
    for node in [1, 2, 3].into_iter().cycle().take(form.pick(7, 1) as usize) {
        scene.cluster.kill(node);
        sleep(seconds(4));
        scene.cluster.start_again(node);
        scene.cluster.wait_healed(&topic);
    }
    Verdict::of(&scene.finish(), &Bounds::default())
}
