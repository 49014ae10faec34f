//! SIGTERM under load, while the brokers are up, down and frozen.

use std::{thread::sleep, time::Instant};

use super::{Form, seconds};
use crate::{
    checker::Mode,
    cluster::Cluster,
    scene::{Kind, Pace, Scene},
    verdict::{Bounds, Verdict},
};

/// What a role gives its orderly end here, and what it may take beyond.
const DEADLINE: u64 = 15;
const SLACK: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brokers {
    Up,
    Down,
    Frozen,
}

/// Test 20.
pub(super) fn all(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut verdict = Verdict::default();
    one(cluster, Brokers::Up, &mut verdict);
    if form == Form::Full {
        one(cluster, Brokers::Down, &mut verdict);
        one(cluster, Brokers::Frozen, &mut verdict);
    }
    verdict
}

fn one(cluster: &mut Cluster, brokers: Brokers, verdict: &mut Verdict) {
    let mut scene = Scene::new(cluster, 4);
    scene.close_seconds = DEADLINE;
    scene.group(Kind::Judged(Mode::Amo), "", 0, 2);
    scene.group(Kind::Judged(Mode::Alo), "", 0, 2);
    scene.group(Kind::Seeded, "", 0, 1);
    scene.wait_ready();
    let pace = Pace { close_seconds: DEADLINE, ..Pace::per_second(50) };
    scene.publish(4, "", &pace, false);
    scene.publish(1, "", &pace, true);
    scene.wait_sends(100);
    match brokers {
        Brokers::Up => {}
        Brokers::Down => scene.cluster.kill_all(),
        Brokers::Frozen => scene.cluster.freeze_all(),
    }
    if brokers != Brokers::Up {
        sleep(seconds(2));
    }
    // One member of each group gets a second signal: it ends at once.
    if brokers == Brokers::Down {
        for group in &mut scene.groups[..2] {
            let mut member = group.members.pop().expect("it has two");
            member.tell_to_stop();
            sleep(seconds(1));
            if member.exited().is_none() {
                let begun = Instant::now();
                member.tell_to_stop();
                let ended = member.end(seconds(5));
                let took = begun.elapsed();
                verdict.note(format!("second SIGTERM: {:?} after {took:?}", member.ended));
                verdict.must(ended && took < seconds(2), || format!("2nd SIGTERM: {took:?}"));
            }
        }
    }
    let begun = Instant::now();
    let members = || scene.groups[..2].iter().flat_map(|group| &group.members);
    members().for_each(crate::role::Role::tell_to_stop);
    scene.end_publishers(seconds(DEADLINE + SLACK));
    for group in &mut scene.groups[..2] {
        for mut member in group.members.drain(..) {
            let left = seconds(DEADLINE + SLACK).saturating_sub(begun.elapsed());
            let ended = member.end(left);
            verdict.must(ended, || format!("{brokers:?}: a listener outlived its deadline"));
        }
    }
    let took = begun.elapsed();
    verdict.note(format!("{brokers:?}: all ended {:.1} s after SIGTERM", took.as_secs_f64()));
    let killed = scene.publishers.iter().filter(|role| role.ended == Some(-1)).count();
    verdict.must(killed == 0, || format!("{brokers:?}: {killed} publishers outlived it"));
    scene.cluster.heal();
    let topic = scene.topic();
    scene.cluster.wait_healed(&topic);
    for group in 0..2 {
        scene.join(group, "");
    }
    let evidence = scene.finish();
    let may_fail = brokers != Brokers::Up;
    let alo_dup = (brokers == Brokers::Up).then_some(0);
    verdict.add(&evidence, &Bounds { may_fail, alo_dup, ..Bounds::default() });
    let sends = &evidence.sends;
    let missing = sends.sent - sends.in_log;
    let (least, most) = (sends.not_delivered, sends.not_delivered + sends.unknown);
    verdict.note(format!("{brokers:?}: {least} <= {missing} not in the log <= {most}"));
    verdict.must((least..=most).contains(&missing), || {
        format!("{brokers:?}: {missing} are not in the log, reported {least} to {most}")
    });
}
