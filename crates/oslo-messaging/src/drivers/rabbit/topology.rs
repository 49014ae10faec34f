//! Exchanges and queues: their names, and what they are declared with. No I/O but the declaring.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, LongString},
};

use super::config::RabbitOptions;
use crate::driver::Target;

/// An exchange as it is declared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) is_fanout: bool,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
}

/// What a queue is beside its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Of a topic, a server or a pool.
    Lasting,
    /// Of one process: it goes when nobody has used it for a while.
    Transient,
    /// A fanout that all servers read.
    Stream,
}

/// A queue as it is declared, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    pub(super) name: String,
    kind: Kind,
    /// Exchange and binding keys; `None` for the default exchange.
    pub(super) bound: Option<(Exchange, Vec<String>)>,
}

impl Queue {
    pub(super) fn is_stream(&self) -> bool {
        self.kind == Kind::Stream
    }
}

impl RabbitOptions {
    /// The exchange of a target.
    pub(super) fn exchange(&self, target: &Target) -> Exchange {
        Exchange {
            name: target.exchange().unwrap_or(&self.control_exchange).to_owned(),
            is_fanout: false,
            durable: self.is_durable(),
            auto_delete: self.auto_delete,
        }
    }

    /// The exchange that reaches all servers of a topic.
    pub(super) fn fanout(&self, target: &Target) -> Exchange {
        Exchange {
            name: format!("{}_fanout", target.topic()),
            is_fanout: true,
            durable: self.transient_quorum_queue || self.stream_fanout,
            auto_delete: true,
        }
    }

    /// The queue that all servers of a topic share, or that of one of them.
    pub(super) fn server_queue(&self, target: &Target, server: Option<&str>) -> Queue {
        let key = routing_key(target, server);
        let bound = Some((self.exchange(target), vec![key.clone()]));
        Queue { name: key, kind: Kind::Lasting, bound }
    }

    /// The queue of one server for what goes to all of them. `unique` tells it from others.
    pub(super) fn fanout_queue(&self, target: &Target, unique: &str) -> Queue {
        let exchange = self.fanout(target);
        let (kind, name) = if self.stream_fanout {
            (Kind::Stream, exchange.name.clone())
        } else {
            (Kind::Transient, format!("{}_{unique}", exchange.name))
        };
        Queue { name, kind, bound: Some((exchange, vec![target.topic().to_owned()])) }
    }

    /// The queue that the answers to a process's calls come to.
    pub(super) fn reply_queue(&self, unique: &str) -> Queue {
        Queue { name: format!("reply_{unique}"), kind: Kind::Transient, bound: None }
    }

    /// The queue of notifications of one topic and priority.
    pub(super) fn notification_queue(&self, target: &Target, key: &str) -> Queue {
        let bound = Some((self.exchange(target), vec![key.to_owned()]));
        Queue { name: key.to_owned(), kind: Kind::Lasting, bound }
    }

    /// The queue of a pool of listeners, bound to all that they want in one exchange.
    pub(super) fn pool_queue(&self, pool: &str, target: &Target, keys: Vec<String>) -> Queue {
        let bound = Some((self.exchange(target), keys));
        Queue { name: pool.to_owned(), kind: Kind::Lasting, bound }
    }

    fn flags(&self, kind: Kind) -> (bool, bool) {
        match kind {
            Kind::Lasting => (self.is_durable(), self.auto_delete),
            Kind::Transient => (self.transient_quorum_queue, false),
            Kind::Stream => (true, false),
        }
    }

    fn arguments(&self, kind: Kind) -> FieldTable {
        let mut table = FieldTable::default();
        let mut text = |name: &str, value: &str| {
            table.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
        };
        let is_quorum = match kind {
            Kind::Lasting => self.quorum_queue,
            Kind::Transient => self.transient_quorum_queue,
            Kind::Stream => {
                text("x-queue-type", "stream");
                let seconds = self.transient_queues_ttl.as_secs();
                if seconds > 0 {
                    text("x-max-age", &format!("{seconds}s"));
                }
                return table;
            }
        };
        if self.ha_queues {
            text("x-ha-policy", "all");
        }
        if is_quorum {
            text("x-queue-type", "quorum");
        }
        let mut number = |name: &str, value: i64| {
            if value > 0 {
                table.insert(name.into(), AMQPValue::LongLongInt(value));
            }
        };
        if is_quorum {
            number("x-delivery-limit", self.quorum_delivery_limit);
            number("x-max-in-memory-length", self.quorum_max_memory_length);
            number("x-max-in-memory-bytes", self.quorum_max_memory_bytes);
        }
        if kind == Kind::Transient {
            let millis = self.transient_queues_ttl.as_millis();
            number("x-expires", i64::try_from(millis).unwrap_or(i64::MAX));
        }
        table
    }
}

/// The key of a topic, or of one of its servers.
pub(super) fn routing_key(target: &Target, server: Option<&str>) -> String {
    match server {
        Some(server) => format!("{}.{server}", target.topic()),
        None => target.topic().to_owned(),
    }
}

/// Whether a refused declaration may be made the other way: somebody has declared the same as
/// durable, or as not durable.
pub(super) fn differs_in_durable(error: &lapin::Error) -> bool {
    let words = error.to_string();
    words.contains("PRECONDITION_FAILED") && words.contains("'durable'")
}

/// Declares an exchange. `as_it_is`: only looks whether it is there.
pub(super) async fn declare_exchange(
    channel: &Channel,
    exchange: &Exchange,
    as_it_is: bool,
) -> lapin::Result<()> {
    let kind = if exchange.is_fanout { ExchangeKind::Fanout } else { ExchangeKind::Topic };
    let options = ExchangeDeclareOptions {
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        passive: as_it_is,
        ..ExchangeDeclareOptions::default()
    };
    let name = exchange.name.as_str().into();
    channel.exchange_declare(name, kind, options, FieldTable::default()).await
}

/// Declares a queue and binds it.
pub(super) async fn declare_queue(
    channel: &Channel,
    options: &RabbitOptions,
    queue: &Queue,
    as_it_is: bool,
) -> lapin::Result<()> {
    let (durable, auto_delete) = options.flags(queue.kind);
    let declare = QueueDeclareOptions {
        durable,
        auto_delete,
        passive: as_it_is,
        ..QueueDeclareOptions::default()
    };
    let arguments = options.arguments(queue.kind);
    channel.queue_declare(queue.name.as_str().into(), declare, arguments).await?;
    if let Some((exchange, keys)) = &queue.bound {
        for key in keys {
            channel
                .queue_bind(
                    queue.name.as_str().into(),
                    exchange.name.as_str().into(),
                    key.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
    }
    Ok(())
}
