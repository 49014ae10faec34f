//! Looking into queues: how much waits there. Takes and makes nothing.

use lapin::{
    options::QueueDeclareOptions,
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};

use super::{connection::Hosts, topology::Queue};
use crate::driver::Waiting;

/// Asks for each queue once. `Err` has words why no broker answers.
pub(super) async fn look(mut hosts: Hosts, queues: Vec<Queue>) -> Result<Vec<Waiting>, String> {
    let connection = hosts.connect("look").await.map_err(|refused| refused.words)?;
    let mut found: Vec<Waiting> = Vec::new();
    for queue in queues {
        if found.iter().any(|known| known.queue == queue.name) {
            continue;
        }
        // A queue that is not there ends the channel.
        let channel = connection.channel().await.map_err(|error| error.to_string())?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = queue.name.as_str().into();
        let waiting = match channel.queue_declare(name, passive, FieldTable::default()).await {
            Ok(there) => {
                let closed = channel.close(200, "OK".into()).await;
                closed.map_err(|error| error.to_string())?;
                Waiting {
                    queue: queue.name,
                    messages: Some(there.message_count()),
                    consumers: there.consumer_count(),
                }
            }
            Err(error) if is_missing(&error) => {
                Waiting { queue: queue.name, messages: None, consumers: 0 }
            }
            Err(error) => return Err(error.to_string()),
        };
        found.push(waiting);
    }
    connection.close().await;
    Ok(found)
}

fn is_missing(error: &lapin::Error) -> bool {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
        }
        _ => false,
    }
}
