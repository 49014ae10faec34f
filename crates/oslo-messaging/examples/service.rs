//! A service of somebody else, configured as OpenStack's own are.
//!
//!     cargo run --example service                            # by /etc/nova/nova.conf
//!     cargo run --example service -- my.conf                 # by a file of its own
//!     OS_DEFAULT__TRANSPORT_URL=kafka://host1/ cargo run --example service

use std::{env, error::Error, time::Duration};

use oslo_messaging::{Context, Notifier, Payload, Transport, config::Sources};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let mut sources = Sources::new().project("nova").program("my-service");
    for file in env::args().skip(1) {
        sources = sources.file(file);
    }
    // The transport URL is that of [oslo_messaging_notifications], else that of [DEFAULT].
    let transport = Transport::builder().config(sources.read()?).for_notifications()?;
    let notifier = Notifier::builder(&transport)
        .publisher_id("my-service.host1")
        .driver("messagingv2")
        .build()?;
    let context = Context::from_json(r#"{"project_id": "p1", "request_id": "req-1"}"#)?;
    let payload = Payload::from(json!({"instance_id": "42", "state": "active"}));
    let receipt = notifier.info(&context, "my_service.instance.create.end", payload);
    receipt.wait(DEADLINE)?;
    println!("the brokers have it");
    transport.close(DEADLINE)?;
    Ok(())
}
