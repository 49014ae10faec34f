//! No broker at all: what senders are told, and when.

use std::{collections::HashMap, thread::sleep, time::Instant};

use super::{Form, seconds};
use crate::{
    checker::check_sends,
    cluster::Cluster,
    journal::{SendLine, Step, now},
    scene::{Pace, Scene},
    verdict::{Bounds, Verdict},
};

const MAY_FAIL: Bounds = Bounds { stall_seconds: None, may_fail: true, amo_lost: 0, alo_dup: None };
/// The clocks of librdkafka and of a loaded machine.
const SLACK_MILLIS: i64 = 2_000;

/// Test 7.
pub(super) fn longer_than_the_timeout(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut scene = Scene::usual(cluster, "delivery_timeout=15", "");
    let spool = format!("delivery=spooled&spool_dir={}", scene.folder().join("spool").display());
    let spooled = scene.publish(1, &spool, &Pace::per_second(50), false);
    scene.wait_sends(20);
    let down = now();
    scene.cluster.kill_all();
    let begun = Instant::now();
    // A service that starts without any broker, and waits for each of its 200 calls.
    let pace = Pace { one_by_one: true, close_seconds: 5, ..Pace::count(200) };
    let alone = scene.publish(1, "delivery_timeout=15", &pace, false);
    let caller = scene.publishers.last_mut().expect("it was just started");
    let ended = caller.end(seconds(60));
    let took = begun.elapsed();
    sleep(seconds(form.pick(40, 20)).saturating_sub(begun.elapsed()));
    let up = now();
    scene.cluster.heal();
    scene.wait_sends(200);
    let evidence = scene.finish();
    let mut verdict = Verdict::of(&evidence, &MAY_FAIL);

    verdict.note(format!("200 calls without a broker took {:.1} s", took.as_secs_f64()));
    verdict.must(ended && took < seconds(20), || format!("200 calls without a broker: {took:?}"));
    let of_spool = |id| spooled.contains(&id);
    let counts = check_sends(&evidence.send_lines, &evidence.log, of_spool, true);
    verdict.note(format!("spooled: {} sent, {} in the log", counts.sent, counts.in_log));
    verdict.must(counts.sent == counts.in_log && counts.delivered == counts.sent, || {
        format!("spooled: {counts:?}")
    });
    let confirmed: Vec<SendLine> = evidence
        .send_lines
        .iter()
        .filter(|line| !of_spool(line.publisher) && !alone.contains(&line.publisher))
        .copied()
        .collect();
    let waits = waits(&confirmed);
    let longest = waits.iter().map(|(_, wait)| *wait).max().unwrap_or(0);
    verdict.note(format!("longest wait for a report: {longest} ms with delivery_timeout 15 s"));
    verdict.must(longest <= 15_000 + SLACK_MILLIS, || format!("a report after {longest} ms"));
    let open = (down + 17_000_000)..up;
    let late = waits.iter().filter(|(at, _)| open.contains(at)).map(|(_, wait)| *wait).max();
    verdict.note(format!("longest wait while the breaker is open: {late:?} ms"));
    verdict.must(late.is_some_and(|late| late <= 1_000), || format!("not at once: {late:?} ms"));
    verdict.must(evidence.sends.not_delivered > 0, || "nothing failed: no outage".to_owned());
    verdict
}

/// The time of each send and the milliseconds until its report.
fn waits(lines: &[SendLine]) -> Vec<(i64, i64)> {
    let mut sent: HashMap<(u32, u64), i64> = HashMap::new();
    let mut waits = Vec::new();
    for line in lines {
        let key = (line.publisher, line.seq);
        match (line.step, sent.get(&key)) {
            (Step::Intent, _) => drop(sent.insert(key, line.at)),
            (_, Some(at)) => waits.push((*at, (line.at - at) / 1_000)),
            (_, None) => {}
        }
    }
    waits
}

/// Test 21.
pub(super) fn frozen_then_gone(cluster: &mut Cluster, form: Form) -> Verdict {
    let mut scene = Scene::usual(cluster, "", "");
    scene.cluster.freeze_all();
    sleep(seconds(8));
    scene.cluster.heal();
    scene.wait_sends(300);
    scene.cluster.kill_all();
    sleep(seconds(form.pick(60, 15)));
    scene.cluster.heal();
    scene.wait_sends(300);
    let evidence = scene.finish();
    let mut verdict = Verdict::of(&evidence, &MAY_FAIL);
    let failed = evidence.sends.not_delivered + evidence.sends.unknown;
    verdict.must(failed > 0, || "nothing failed: no outage".to_owned());
    verdict
}
