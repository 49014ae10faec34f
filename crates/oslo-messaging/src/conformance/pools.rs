//! Each pool gets everything; the members of a pool share it, also while they come and go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    Case,
    stage::{Collect, Fault, Outcome, Seen, Stage, ensure, listener},
};
use crate::{
    message::{Context, Payload, Priority},
    notify::{Listener, Notifier},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Pools, each_pool_gets_everything_and_its_members_share),
        case!(Pools, members_joining_and_leaving_under_load_lose_and_repeat_nothing),
        case!(Pools, what_a_member_leaves_behind_goes_to_those_that_stay),
    ]
}

/// A member that counts for itself and for its pool.
fn member(
    stage: &Stage,
    topic: &str,
    pool: &str,
    own: &Arc<Seen>,
    all: &Arc<Seen>,
) -> Result<Listener, Fault> {
    let builder = listener(&stage.another_client()?, topic, pool)
        .endpoint(Collect(Arc::clone(own)))
        .endpoint(Collect(Arc::clone(all)));
    Ok(stage.ready(builder)?)
}

fn each_pool_gets_everything_and_its_members_share(stage: &Stage) -> Outcome {
    const MEMBERS: usize = 2;
    let topic = stage.unique("topic");
    let names = [stage.unique("pool"), stage.unique("pool")];
    let pools = [Seen::new(), Seen::new()];
    let mut members = Vec::new();
    for (name, all) in names.iter().zip(&pools) {
        for _ in 0..MEMBERS {
            let own = Seen::new();
            members.push((member(stage, &topic, name, &own, all)?, own));
        }
    }
    let notifier = stage.notifier(stage.transport(), &topic)?;
    let mut sent = Vec::new();
    // Until everyone got something: a broker may share by coarse parts.
    for _ in 0..50 {
        for priority in Priority::ALL {
            let receipt =
                notifier.notify(priority, &Context::empty(), "case.share", Payload::null());
            sent.push(stage.id_of(&receipt)?);
        }
    }
    for pool in &pools {
        pool.wait_for(sent.len(), stage.limit())?;
    }
    for (number, (member, own)) in members.into_iter().enumerate() {
        member.close(stage.limit())?;
        ensure(own.count() > 0, || format!("member {number} got nothing"))?;
    }
    pools.iter().try_for_each(|pool| pool.is_exactly(&sent))
}

fn members_joining_and_leaving_under_load_lose_and_repeat_nothing(stage: &Stage) -> Outcome {
    const ROUNDS: usize = 3;
    let (topic, seen) = (stage.unique("topic"), Seen::new());
    let notifier = stage.notifier(stage.transport(), &topic)?;
    let stays = stage.listen(&stage.another_client()?, &topic, &topic, &seen)?;
    let enough = AtomicBool::new(false);
    let sent = thread::scope(|scope| -> Result<Vec<String>, Fault> {
        let sender = scope.spawn(|| load(stage, &notifier, &seen, &enough));
        let churn = || -> Outcome {
            for _ in 0..ROUNDS {
                let own = Seen::new();
                let comes = member(stage, &topic, &topic, &own, &seen)?;
                own.wait_for(1, stage.limit())?;
                let before = seen.count();
                seen.wait_for(before + 100, stage.limit())?;
                comes.close(stage.limit())?;
                let before = seen.count();
                seen.wait_for(before + 100, stage.limit())?;
            }
            Ok(())
        };
        let churned = churn();
        enough.store(true, Ordering::Relaxed);
        let sent = sender.join().map_err(|_| Fault::from("the sender panicked"))?;
        churned?;
        sent
    })?;
    seen.wait_for(sent.len(), stage.limit())?;
    stays.close(stage.limit())?;
    seen.is_exactly(&sent)
}

fn what_a_member_leaves_behind_goes_to_those_that_stay(stage: &Stage) -> Outcome {
    let (topic, seen) = (stage.unique("topic"), Seen::new());
    let notifier = stage.notifier(stage.transport(), &topic)?;
    let (first, second) = (Seen::new(), Seen::new());
    let goes = member(stage, &topic, &topic, &first, &seen)?;
    let stays = member(stage, &topic, &topic, &second, &seen)?;
    let mut sent = stage.send_burst(&notifier, 200)?;
    goes.close(stage.limit())?;
    sent.extend(stage.send_burst(&notifier, 200)?);
    seen.wait_for(sent.len(), stage.limit())?;
    stays.close(stage.limit())?;
    seen.is_exactly(&sent)
}

/// Sends until told to stop, at most a hundred ahead of what was seen.
fn load(
    stage: &Stage,
    notifier: &Notifier,
    seen: &Seen,
    enough: &AtomicBool,
) -> Result<Vec<String>, Fault> {
    let mut sent = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        sent.extend(stage.send(notifier, 10)?);
        seen.wait_for(sent.len().saturating_sub(100), stage.limit())?;
    }
    Ok(sent)
}
