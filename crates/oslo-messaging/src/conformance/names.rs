//! What makes a channel beside topic and priority: exchanges and virtual hosts.

use std::sync::Arc;

use super::{
    Case,
    stage::{Collect, Outcome, Seen, Stage, equal},
};
use crate::{
    Error,
    notify::{Listener, Notifier},
    target::Target,
    transport::Transport,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(Exchanges, exchanges_keep_their_notifications_apart),
        case!(NoExchanges, targets_that_differ_only_in_their_exchange_are_one),
        case!(Nothing, a_virtual_host_is_on_both_sides),
        case!(Durable, virtual_hosts_keep_their_notifications_apart),
    ]
}

fn in_exchange(transport: &Transport, topic: &str, exchange: &str) -> Result<Notifier, Error> {
    let builder = Notifier::builder(transport).publisher_id("conformance").driver("messagingv2");
    builder.target(Target::new(topic).with_exchange(exchange)).build()
}

fn exchanges_keep_their_notifications_apart(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let builder = Listener::builder(transport)
        .target(Target::new(&topic).with_exchange("nova"))
        .pool(&topic)
        .endpoint(Collect(Arc::clone(&seen)));
    let listener = stage.ready(builder)?;
    stage.send(&in_exchange(transport, &topic, "cinder")?, 5)?;
    stage.send(&stage.notifier(transport, &topic)?, 5)?;
    let sent = stage.send(&in_exchange(transport, &topic, "nova")?, 5)?;
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)
}

fn targets_that_differ_only_in_their_exchange_are_one(stage: &Stage) -> Outcome {
    let (transport, topic, seen) = (stage.transport(), stage.unique("topic"), Seen::new());
    let builder = Listener::builder(transport)
        .target(Target::new(&topic).with_exchange("nova"))
        .target(Target::new(&topic).with_exchange("cinder"))
        .pool(&topic)
        .endpoint(Collect(Arc::clone(&seen)));
    let listener = stage.ready(builder)?;
    let mut sent = stage.send(&in_exchange(transport, &topic, "nova")?, 5)?;
    sent.extend(stage.send(&in_exchange(transport, &topic, "glance")?, 5)?);
    sent.extend(stage.send(&stage.notifier(transport, &topic)?, 5)?);
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)
}

fn a_virtual_host_is_on_both_sides(stage: &Stage) -> Outcome {
    let (topic, seen) = (stage.unique("topic"), Seen::new());
    let transport = stage.client("cell1", "")?;
    let listener = stage.listen(&transport, &topic, &topic, &seen)?;
    let sent = stage.send(&stage.notifier(&transport, &topic)?, 5)?;
    seen.wait_for(sent.len(), stage.limit())?;
    listener.close(stage.limit())?;
    seen.is_exactly(&sent)?;
    equal("virtual host", transport.url().virtual_host(), Some("cell1"))
}

fn virtual_hosts_keep_their_notifications_apart(stage: &Stage) -> Outcome {
    let topic = stage.unique("topic");
    let mut sides = Vec::new();
    for host in ["", "cell1", "cell2"] {
        let (transport, seen) = (stage.client(host, "")?, Seen::new());
        let pool = stage.unique("pool");
        let listener = stage.listen(&transport, &topic, &pool, &seen)?;
        sides.push((transport, listener, seen));
    }
    let mut sent = Vec::new();
    for (transport, ..) in &sides {
        sent.push(stage.send(&stage.notifier(transport, &topic)?, 5)?);
    }
    for ((_, listener, seen), sent) in sides.into_iter().zip(&sent) {
        seen.wait_for(sent.len(), stage.limit())?;
        listener.close(stage.limit())?;
        seen.is_exactly(sent)?;
    }
    Ok(())
}
