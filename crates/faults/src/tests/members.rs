//! Groups whose coordinator or members are killed, frozen, or come and go.

use std::{
    collections::HashSet,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{Form, seconds};
use crate::{
    checker::Mode,
    cluster::Cluster,
    journal::Event,
    role::Role,
    scene::{Kind, Pace, Scene},
    verdict::{Bounds, Verdict},
};

/// Test 8.
pub(super) fn coordinator_killed(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut scene = Scene::usual(cluster, "", "");
    let topic = scene.topic();
    let mut hit = Vec::new();
    for kill in 0..form.pick(4, 1) as usize {
        let begun = Instant::now();
        let coordinator = scene.cluster.coordinator(&scene.groups[kill % 2].name);
        hit.push(coordinator);
        scene.cluster.kill(coordinator);
        sleep(seconds(5));
        scene.cluster.start_again(coordinator);
        scene.cluster.wait_healed(&topic);
        sleep(seconds(10).saturating_sub(begun.elapsed()));
    }
    scene.wait_sends(100);
    let mut verdict = Verdict::of(&scene.finish(), &Bounds::default());
    verdict.note(format!("coordinators killed: {hit:?}"));
    verdict
}

/// Test 9: commits are under way all the time; their coordinator freezes, and the members must go.
pub(super) fn coordinator_frozen(cluster: &mut Cluster, _: Form) -> Verdict {
    const DEADLINE: u64 = 15;
    let mut verdict = Verdict::default();
    let mut scene = Scene::new(cluster, 4);
    scene.close_seconds = DEADLINE;
    scene.group(Kind::Judged(Mode::Amo), "", 0, 2);
    scene.group(Kind::Judged(Mode::Alo), "", 0, 2);
    scene.group(Kind::Seeded, "", 0, 1);
    scene.wait_ready();
    scene.publish(4, "", &Pace::per_second(50), false);
    scene.wait_sends(100);
    for index in 0..2 {
        let coordinator = scene.cluster.coordinator(&scene.groups[index].name);
        scene.cluster.freeze(coordinator);
        sleep(Duration::from_millis(500));
        let begun = Instant::now();
        scene.groups[index].members.iter().for_each(Role::tell_to_stop);
        let mut codes = Vec::new();
        for mut member in std::mem::take(&mut scene.groups[index].members) {
            let ended = member.end(seconds(DEADLINE + 4).saturating_sub(begun.elapsed()));
            verdict.must(ended, || "a listener outlived its deadline of 15 s".to_owned());
            codes.push(member.ended);
        }
        let (mode, took) = (scene.groups[index].kind.mode(), begun.elapsed().as_secs_f64());
        verdict.note(format!("{mode:?}: ended {took:.1} s after SIGTERM with {codes:?}"));
        scene.cluster.thaw(coordinator);
        let topic = scene.topic();
        scene.cluster.wait_healed(&topic);
        (0..2).for_each(|_| scene.join(index, ""));
        scene.wait_ready();
    }
    verdict.add(&scene.finish(), &Bounds::default());
    verdict
}

/// Test 10.
pub(super) fn listeners_killed(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut verdict = Verdict::default();
    killed_often(cluster, form, &mut verdict);
    if form == Form::Full {
        killed_at_the_default_session(cluster, &mut verdict);
    }
    verdict
}

/// Records that an endpoint of 5 ms does in the 100 ms of a commit window, and a few more.
const WINDOW: u64 = 25;
/// What is handled and not yet committed: a commit each 50 ms and its way, generously.
const UNCOMMITTED: u64 = 50;

/// One partition, an endpoint of 5 ms, a session of 1 s. A window of 500 is the control: it must lose.
fn killed_often(cluster: &mut Cluster, form: Form, verdict: &mut Verdict) {
    let kills = form.pick(50, 3);
    let mut scene = Scene::new(cluster, 1);
    let session = "session_timeout=1&heartbeat_interval=0.3";
    let with = |window: u32| format!("{session}&commit_window={window}");
    scene.group(Kind::Judged(Mode::Amo), session, 5_000, 1);
    scene.group(Kind::Judged(Mode::Alo), session, 5_000, 1);
    scene.group(Kind::Known("AMO, window 1", Mode::Amo), &with(1), 5_000, 1);
    scene.group(Kind::Known("control: window 500", Mode::Amo), &with(500), 5_000, 1);
    scene.wait_ready();
    scene.publish(1, "", &Pace::per_second(60), false);
    for kill in 0..kills {
        // From soon after the first dispatch to long after it.
        let goal = 1 + kill * 37 % 150;
        for index in 0..scene.groups.len() {
            let kind = scene.groups[index].kind;
            let member = scene.groups[index].members.last_mut().expect("it has one");
            let went_on = member.wait_for(seconds(60), |role| role.begun >= goal);
            assert!(went_on, "{kind:?}: no dispatch for 60 s before kill {kill}");
            member.kill();
            scene.join(index, "");
        }
    }
    let evidence = scene.finish();
    let bounds = Bounds {
        amo_lost: WINDOW * kills,
        alo_dup: Some(UNCOMMITTED * kills),
        ..Bounds::default()
    };
    verdict.add(&evidence, &bounds);
    let lost = |group: usize| evidence.groups[group].1.lost_disp;
    let repeated = evidence.groups[1].1.dup_disp;
    verdict.note(format!(
        "{kills} kills: lost {} (window 100 ms), {} (window 1), {} (window 500); ALO repeated {repeated}",
        lost(0), lost(2), lost(3)
    ));
    verdict.must(lost(2) <= kills, || format!("window 1 lost {} in {kills} kills", lost(2)));
    verdict.must(evidence.groups[2].1.dup_disp == 0, || "window 1 repeated".to_owned());
    verdict.must(lost(3) > 0, || "window 500 lost nothing: the test cannot see loss".to_owned());
    verdict.must(evidence.groups[3].1.dup_disp == 0, || "window 500 repeated".to_owned());
}

/// Another member goes on with the partitions within the session and 3 s.
fn killed_at_the_default_session(cluster: &mut Cluster, verdict: &mut Verdict) {
    const TAKEN_OVER: i64 = 18_000;
    let kills = 3;
    let mut scene = Scene::usual(cluster, "", "");
    let mut victims: Vec<(usize, HashSet<i32>, i64)> = Vec::new();
    for _ in 0..kills {
        for index in 0..2 {
            let group = &mut scene.groups[index];
            let mut member = group.members.remove(0);
            member.look();
            let (owned, others) = (member.owned.clone(), &mut group.members[0]);
            let at = member.kill();
            let all = others.wait_for(seconds(60), |role| role.owned.len() == 4);
            verdict.must(all, || "nobody took over for 60 s".to_owned());
            victims.push((index, owned, at));
            scene.join(index, "");
        }
        scene.wait_ready();
        scene.wait_sends(50);
    }
    let evidence = scene.finish();
    let bounds = Bounds { amo_lost: WINDOW * kills * 4, ..Bounds::default() };
    verdict.add(&evidence, &bounds);
    for (group, owned, at) in victims {
        let begun = evidence.member_lines[group].iter().flatten().filter(|line| {
            matches!(line.what, Event::Begun { partition, .. } if owned.contains(&partition))
        });
        let first = begun.map(|line| line.at).filter(|begun| *begun > at).min();
        let waited = first.map_or(i64::MAX, |first| (first - at) / 1_000);
        verdict.note(format!("another member went on {waited} ms after the kill"));
        verdict.must(waited <= TAKEN_OVER, || format!("taken over after {waited} ms"));
    }
}

/// Test 11: the member comes back as if nothing had happened.
pub(super) fn listener_frozen(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut scene = Scene::usual(cluster, "", "");
    let frozen = |scene: &Scene<'_>, hit: fn(&Role)| {
        scene.groups[..2].iter().for_each(|group| hit(&group.members[0]));
    };
    frozen(&scene, Role::freeze);
    sleep(seconds(form.pick(25, 18)));
    frozen(&scene, Role::thaw);
    scene.wait_sends(500);
    Verdict::of(&scene.finish(), &Bounds::default())
}

/// Three members; every 3 s one leaves in order or comes back, in each of the groups.
fn storm(scene: &mut Scene<'_>, storming: usize, length: Duration, ids: bool) -> usize {
    let id = |slot: usize| match ids {
        true => format!("group_instance_id=member-{slot}&session_timeout=6"),
        false => String::new(),
    };
    for group in 0..storming {
        (0..3).for_each(|slot| scene.join(group, &id(slot)));
    }
    scene.wait_ready();
    let begun = Instant::now();
    let mut events = 0;
    while begun.elapsed() < length {
        events += 1;
        let slot = events / 2 % 3;
        for group in 0..storming {
            if events % 2 == 1 {
                // The one that joined first: slots take turns.
                let mut member = scene.groups[group].members.remove(0);
                member.tell_to_stop();
                if !member.end(seconds(60)) {
                    scene.hung += 1;
                }
            } else {
                scene.join(group, &id((slot + 2) % 3));
            }
        }
        sleep(seconds(3 * events as u64).saturating_sub(begun.elapsed()));
    }
    if events % 2 == 1 {
        (0..storming).for_each(|group| scene.join(group, &id(events / 2 % 3)));
    }
    events
}

/// Test 12.
pub(super) fn four_storms(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, query, ids) in [
        ("range", "", false),
        ("cooperative-sticky", "partition_assignment_strategy=cooperative-sticky", false),
        ("static members", "", true),
        ("consumer protocol", "group_protocol=consumer", false),
    ] {
        let mut scene = Scene::new(cluster, 4);
        scene.group(Kind::Judged(Mode::Amo), query, 0, 0);
        scene.group(Kind::Judged(Mode::Alo), query, 0, 0);
        scene.group(Kind::Seeded, query, 0, 1);
        scene.publish(4, "", &Pace::per_second(50), false);
        let events = storm(&mut scene, 2, seconds(form.pick(60, 12)), ids);
        verdict.note(format!("{name}: {events} joins and leaves in each group"));
        let mut one = Verdict::of(&scene.finish(), &Bounds::default());
        one.failures.iter_mut().for_each(|why| *why = format!("{name}: {why}"));
        verdict.failures.append(&mut one.failures);
        verdict.rows.append(&mut one.rows);
        verdict.folders.append(&mut one.folders);
    }
    verdict
}

/// Test 23: three groups at most once, and one at least once, at the same time. The control is the
/// seeded group beside them.
pub(super) fn long_storm(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut scene = Scene::new(cluster, 4);
    for mode in [Mode::Amo, Mode::Amo, Mode::Amo, Mode::Alo] {
        scene.group(Kind::Judged(mode), "", 0, 0);
    }
    scene.group(Kind::Seeded, "", 0, 1);
    scene.publish(4, "", &Pace::per_second(75), false);
    let events = storm(&mut scene, 4, seconds(form.pick(120, 12)), false);
    let mut verdict = Verdict::of(&scene.finish(), &Bounds::default());
    verdict.note(format!("{events} joins and leaves in each group"));
    verdict
}

/// Test 13: the group thread polls while the endpoint sleeps. The control is a bare consumer, which
/// does not, and is thrown out of its group.
pub(super) fn slow_endpoint(cluster: &mut Cluster, _: Form) -> Verdict {
    let mut scene = Scene::new(cluster, 1);
    let interval = "session_timeout=6&librdkafka_properties=max.poll.interval.ms:10000";
    scene.group(Kind::Judged(Mode::Amo), interval, 20_000_000, 1);
    scene.group(Kind::Judged(Mode::Alo), interval, 20_000_000, 1);
    scene.group(Kind::Naive, "", 20_000_000, 1);
    scene.wait_ready();
    sleep(seconds(3));
    scene.publish(1, "", &Pace { per_second: 1, ..Pace::count(2) }, false);
    let sent = scene.publishers[0].end(seconds(60));
    assert!(sent, "two records were not sent");
    for group in &mut scene.groups {
        let handled = group.members[0].wait_for(seconds(90), |role| role.begun >= 2);
        assert!(handled, "{:?}: the second record was not begun within 90 s", group.kind);
    }
    // What a bare consumer learns at its next poll.
    sleep(seconds(22));
    let evidence = scene.finish();
    let mut verdict = Verdict::of(&evidence, &Bounds { alo_dup: Some(0), ..Bounds::default() });
    let count = |group: usize, wanted: fn(&Event) -> bool| {
        evidence.member_lines[group].iter().flatten().filter(|line| wanted(&line.what)).count()
    };
    for group in 0..2 {
        let assigned = count(group, |event| matches!(event, Event::Assigned { .. }));
        verdict.must(assigned == 1, || format!("{assigned} assignments: a rebalance"));
    }
    let thrown_out = count(2, |event| matches!(event, Event::Lost { .. }));
    verdict.note(format!("the bare consumer was thrown out {thrown_out} times"));
    verdict.must(thrown_out > 0, || "a bare consumer was not thrown out".to_owned());
    verdict
}
