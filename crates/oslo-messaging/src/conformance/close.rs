//! Orderly ends, and what is refused.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Case,
    send::failures,
    stage::{Gate, Outcome, Seen, Stage, ensure, equal, listener},
};
use crate::{
    Error,
    error::{self, Cause},
    message::{Context, Payload, Priority},
    notify::endpoint_fn,
    transport::Transport,
};

/// What has nothing to do ends within this time.
const QUICK: Duration = Duration::from_secs(3);

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Nothing, closing_a_transport_drains_it_and_refuses_what_comes_later),
        case!(Nothing, a_transport_that_did_nothing_closes_at_once),
        case!(Nothing, an_idle_listener_closes_quickly_and_twice),
        case!(Nothing, closing_waits_for_running_endpoints_and_says_when_it_did_not),
        case!(NoRpc, rpc_is_refused_when_the_transport_is_opened),
    ]
}

fn closing_a_transport_drains_it_and_refuses_what_comes_later(stage: &Stage) -> Outcome {
    const SENT: usize = 200;
    let transport = stage.client("", "")?;
    let notifier = stage.notifier(&transport, &stage.unique("topic"))?;
    let receipts: Vec<_> =
        (0..SENT).map(|_| notifier.info(&Context::empty(), "case.held", Payload::null())).collect();
    transport.close(stage.limit())?;
    for receipt in &receipts {
        ensure(receipt.is_resolved(), || "a receipt is open after the close".to_owned())?;
        receipt.wait(Duration::ZERO)?;
    }
    let late = notifier.info(&Context::empty(), "case.late", Payload::null());
    let found: Vec<_> = failures(&late.wait(stage.limit()))
        .iter()
        .map(|failure| (failure.cause, failure.outcome))
        .collect();
    equal("what came later", found, vec![(Cause::Closed, error::Outcome::NotDelivered)])?;
    transport.close(stage.limit())?;
    Ok(())
}

fn a_transport_that_did_nothing_closes_at_once(stage: &Stage) -> Outcome {
    let transport = stage.client("", "")?;
    let begun = Instant::now();
    transport.close(stage.limit())?;
    drop(transport);
    ensure(begun.elapsed() < Duration::from_secs(1), || format!("it took {:?}", begun.elapsed()))
}

fn an_idle_listener_closes_quickly_and_twice(stage: &Stage) -> Outcome {
    let (topic, seen) = (stage.unique("topic"), Seen::new());
    let listener = stage.listen(stage.transport(), &topic, &topic, &seen)?;
    let begun = Instant::now();
    listener.close(stage.limit())?;
    let took = begun.elapsed();
    listener.close(stage.limit())?;
    ensure(took < QUICK, || format!("it took {took:?}"))
}

fn closing_waits_for_running_endpoints_and_says_when_it_did_not(stage: &Stage) -> Outcome {
    let (transport, topic) = (stage.transport(), stage.unique("topic"));
    let (seen, gate) = (Seen::new(), Gate::closed());
    let slow = {
        let (seen, gate, limit) = (Arc::clone(&seen), Arc::clone(&gate), stage.limit());
        endpoint_fn([Priority::Info], move |notification| {
            gate.pass(limit)?;
            seen.add(notification);
            Ok(())
        })
    };
    let listener = stage.ready(listener(transport, &topic, &topic).endpoint(slow))?;
    let sent = stage.send(&stage.notifier(transport, &topic)?, 1)?;
    gate.wait_entered(1, stage.limit())?;
    match listener.close(Duration::from_millis(100)) {
        Err(Error::Unfinished { left, .. }) => equal("unfinished", left, 1)?,
        other => return Err(format!("closing during an endpoint: {other:?}").into()),
    }
    equal("handled before the endpoint went on", seen.count(), 0)?;
    gate.open();
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)?;
    equal("dispatched", transport.stats().dispatched.get(), 1)
}

fn rpc_is_refused_when_the_transport_is_opened(stage: &Stage) -> Outcome {
    let name = stage.transport().driver().capabilities().name;
    match Transport::builder().url(&stage.subject().url).for_rpc() {
        Err(Error::Unsupported { driver, what, instead }) => {
            equal("driver", driver, name)?;
            ensure(what.contains("RPC") && instead.contains("://"), || {
                format!("\"{what}; {instead}\" names no driver that can")
            })
        }
        other => Err(format!("opened for RPC: {other:?}").into()),
    }
}
