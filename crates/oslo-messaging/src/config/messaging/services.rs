//! The options that all services share, and those of the notifier.
//!
//! Data only. Names, types and defaults are the reference's (`transport.py`, `server.py`,
//! `rpc/client.py`, `rpc/dispatcher.py`, `notify/notifier.py`, `notify/_impl_routing.py`).

use super::{BIGGEST, DEFAULT, NOTIFICATIONS, TEXT};
use crate::config::opt::{DefaultValue, Kind, Opt};

/// What `[oslo_messaging_notifications] driver` may name.
pub(crate) const SINKS: &[&str] = &["messaging", "messagingv2", "log", "noop", "test", "routing"];

/// `[DEFAULT]`.
pub(super) const SHARED: &[Opt] = &[
    Opt::new(
        DEFAULT,
        "transport_url",
        TEXT,
        "rabbit://",
        "Where the service's messages go: driver, hosts, credentials, virtual host and options. \
         Notifications use it when [oslo_messaging_notifications] transport_url is not set. Of it, \
         a running program takes users and passwords, for connections that come.",
    )
    .secret()
    .mutable(),
    Opt::new(
        DEFAULT,
        "control_exchange",
        TEXT,
        "openstack",
        "Exchange of targets that name none. Kafka has no exchanges and ignores it.",
    ),
    Opt::new(
        DEFAULT,
        "executor_thread_pool_size",
        Kind::Integer { min: 1, max: 100_000 },
        "64",
        "Number of threads that run endpoints.",
    )
    .deprecated(&[(DEFAULT, "rpc_thread_pool_size")]),
    Opt::new(
        DEFAULT,
        "rpc_response_timeout",
        Kind::Integer { min: 0, max: BIGGEST },
        "60",
        "Seconds that a remote call waits for its answer. Notifications have none and ignore it.",
    ),
    Opt::new(
        DEFAULT,
        "rpc_ping_enabled",
        Kind::Boolean,
        "false",
        "Whether RPC servers answer pings. Without effect on notifications.",
    ),
];

/// `[oslo_messaging_notifications]`.
pub(super) const NOTIFIER: &[Opt] = &[
    Opt::new(
        NOTIFICATIONS,
        "driver",
        Kind::MultiString,
        "",
        "What a notifier writes to: messaging, messagingv2, log, noop, test or routing. Given \
         once for each; none at all means that nothing is sent.",
    )
    .default(DefaultValue::Unset)
    .mutable(),
    Opt::new(
        NOTIFICATIONS,
        "transport_url",
        TEXT,
        "",
        "Where notifications go, such as kafka://user:pass@host1:9092,user:pass@host2:9092/. Not \
         set means [DEFAULT] transport_url. Of it, a running program takes users and passwords, \
         for connections that come.",
    )
    .default(DefaultValue::Unset)
    .secret()
    .mutable(),
    Opt::new(
        NOTIFICATIONS,
        "topics",
        Kind::List,
        "notifications",
        "Topics that every notification is sent to. The priority, and the virtual host if there \
         is one, are appended to each: notifications.info.",
    )
    .mutable(),
    Opt::new(
        NOTIFICATIONS,
        "retry",
        Kind::Integer { min: -1, max: BIGGEST },
        "-1",
        "Further attempts for a notification that the broker certainly does not have. 0 is one \
         attempt, -1 is as many as the delivery timeout leaves room for.",
    )
    .mutable(),
    Opt::new(
        NOTIFICATIONS,
        "routing_config",
        TEXT,
        "",
        "YAML file of the driver routing: which of the other drivers a notification goes to, by \
         event type and priority. Read when the notifier is made, and when a running program reads \
         its configuration again. Empty means none.",
    )
    .mutable(),
];
