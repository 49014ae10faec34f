//! Topics that change under a group: partitions are added, records deleted, the topic is made anew.

use std::thread::sleep;

use super::{Form, seconds};
use crate::{
    checker::Mode,
    cluster::Cluster,
    journal::Event,
    scene::{Evidence, Kind, Pace, Scene},
    verdict::{Bounds, Verdict},
};

/// Test 18.
pub(super) fn events(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut verdict = Verdict::default();
    partitions_added(cluster, form, &mut verdict);
    records_deleted(cluster, &mut verdict);
    verdict
}

/// The control is a bare consumer with `latest`: it hears of new partitions when they have records.
fn partitions_added(cluster: &mut Cluster, form: Form, verdict: &mut Verdict) {
    let mut scene = Scene::new(cluster, 4);
    let latest = "auto_offset_reset=latest";
    scene.group(Kind::Judged(Mode::Amo), latest, 0, 2);
    scene.group(Kind::Judged(Mode::Alo), latest, 0, 2);
    scene.group(Kind::Naive, latest, 0, 1);
    scene.wait_ready();
    // A consumer without a pinned start must have asked for its own before anything is sent.
    sleep(seconds(3));
    scene.publish(4, "", &Pace::per_second(25), false);
    scene.wait_sends(50);
    let topic = scene.topic();
    scene.cluster.add_partitions(&topic, 12);
    scene.partitions = 12;
    // Who starts now knows of all twelve.
    scene.publish(12, "", &Pace::per_second(10), false);
    sleep(seconds(form.pick(45, 35)));
    let evidence = scene.finish();
    verdict.add(&evidence, &Bounds { alo_dup: Some(0), ..Bounds::default() });
    let lost = evidence.groups[2].1.lost_disp;
    verdict.note(format!("4 to 12 partitions: plain latest lost {lost} of {}", evidence.log.len()));
    verdict.must(lost > 0, || "plain latest lost nothing: the test cannot see loss".to_owned());
    let partitions = evidence.log.iter().map(|record| record.partition).max();
    verdict.must(partitions == Some(11), || format!("no record in new partitions: {partitions:?}"));
}

/// The group has read 500 of 1,000 records when the first 700 are deleted.
fn records_deleted(cluster: &mut Cluster, verdict: &mut Verdict) {
    let mut scene = Scene::new(cluster, 1);
    scene.group(Kind::Judged(Mode::Amo), "", 0, 1);
    scene.group(Kind::Judged(Mode::Alo), "", 0, 1);
    scene.wait_ready();
    send(&mut scene, 500);
    scene.wait_drained();
    scene.end_groups();
    send(&mut scene, 500);
    let topic = scene.topic();
    scene.cluster.delete_records(&topic, 0, 700);
    (0..2).for_each(|group| scene.join(group, ""));
    scene.wait_drained();
    send(&mut scene, 100);
    let evidence = scene.finish();
    let mut without_sends = Verdict::of(&evidence, &Bounds::default());
    // What was deleted was delivered and is not there: no fault of anybody.
    without_sends.failures.retain(|why| !why.starts_with("LOST_ACK"));
    verdict.failures.append(&mut without_sends.failures);
    verdict.rows.append(&mut without_sends.rows);
    verdict.folders.append(&mut without_sends.folders);
    for group in 0..2 {
        let deleted = stat(&evidence, group, "deleted_unread");
        verdict.note(format!("200 records deleted unread: {deleted} reported"));
        verdict.must(deleted == 200, || format!("deleted_unread {deleted}, not 200"));
    }
}

/// Test 24: a group goes on with a topic of the same name, from its beginning. Its members must not
/// make it themselves meanwhile.
pub(super) fn made_anew(cluster: &mut Cluster, _: Form) -> Verdict {
    let mut verdict = Verdict::default();
    let mut scene = Scene::new(cluster, 1);
    scene.group(Kind::Judged(Mode::Amo), "create_topics=false", 0, 1);
    scene.group(Kind::Judged(Mode::Alo), "create_topics=false", 0, 1);
    scene.wait_ready();
    send(&mut scene, 300);
    scene.wait_drained();
    let topic = scene.topic();
    scene.cluster.delete_topic(&topic);
    sleep(seconds(3));
    scene.cluster.make_topic(&topic, 1);
    send(&mut scene, 100);
    scene.wait_drained();
    let evidence = scene.finish();
    verdict.folders.push(evidence.folder.clone());
    verdict.must(evidence.hung == 0, || {
        format!("HANG {} after the topic was made anew", evidence.hung)
    });
    for (kind, counts) in &evidence.groups {
        let again = counts.dispatched.saturating_sub(300);
        verdict.note(format!("{:?}: topic made anew: {again} of 100 dispatched", kind.mode()));
        verdict.must(counts.bad_commit == 0, || format!("BAD_COMMIT {}", counts.bad_commit));
        verdict.must(again == 100, || format!("topic made anew: {again} of 100 dispatched"));
    }
    verdict
}

fn send(scene: &mut Scene<'_>, count: u64) {
    scene.publish(1, "", &Pace::count(count), false);
    let sent = scene.publishers.last_mut().is_some_and(|role| role.end(seconds(60)));
    assert!(sent, "{count} records were not sent");
}

fn stat(evidence: &Evidence, group: usize, wanted: &str) -> u64 {
    let lines = evidence.member_lines[group].iter().flatten();
    lines
        .filter_map(|line| match &line.what {
            Event::Stat { name, value } if name == wanted => Some(*value),
            _ => None,
        })
        .sum()
}
