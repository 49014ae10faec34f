//! A service of a hybrid deployment: it serves calls over RabbitMQ and notifies over Kafka, by one
//! file such as nova's.
//!
//!     [DEFAULT]
//!     transport_url = rabbit://user:pass@host1:5672/
//!     [oslo_messaging_notifications]
//!     transport_url = kafka://host1:9092/
//!     driver = messagingv2
//!
//!     cargo run --example hybrid --features rabbit -- my.conf
//!     oslomsg --config-file my.conf rpc call my_service create '{"name": "x"}'
//!     oslomsg --config-file my.conf tail

use std::{env, error::Error, io, time::Duration};

use oslo_messaging::{
    Context, Notifier, Payload, Target, Transport,
    config::Sources,
    rpc::{Methods, RpcServer},
};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(30);

#[derive(serde::Deserialize)]
struct Create {
    name: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut sources = Sources::new().project("nova").program("my-service");
    for file in env::args().skip(1) {
        sources = sources.file(file);
    }
    let config = sources.read()?;
    // [oslo_messaging_notifications] transport_url, and [DEFAULT] transport_url.
    let events = Transport::builder().config(config.clone()).for_notifications()?;
    let calls = Transport::builder().config(config).for_rpc()?;

    let notifier = Notifier::builder(&events).publisher_id("my_service.host1").build()?;
    let methods = Methods::new().method("create", move |context: &Context, Create { name }| {
        let payload = Payload::from(json!({"name": name, "state": "active"}));
        // The caller hears of success when the notification is safe, too.
        notifier.info(context, "my_service.create.end", payload).wait(DEADLINE)?;
        Ok(json!({"created": name}))
    });
    let server =
        RpcServer::builder(&calls, Target::new("my_service"), "host1").endpoint(methods).start()?;
    server.ready(DEADLINE)?;
    println!("serving my_service; Enter ends it");
    io::stdin().read_line(&mut String::new())?;
    server.close(DEADLINE)?;
    events.close(DEADLINE)?;
    Ok(())
}
