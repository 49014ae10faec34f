//! `bridge`, as it was written.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use oslo_messaging::Priority;

use super::{priorities, values};

/// `bridge`.
#[derive(Debug, Args)]
pub(crate) struct BridgeArgs {
    /// Where notifications are taken, such as rabbit://user:pass@host1,host2/vhost [default:
    /// transport_url of the configuration's group DEFAULT]
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,

    /// Where they go, such as kafka://host1:9092,host2:9092/ [default: --transport-url, else
    /// transport_url of the configuration's group oslo_messaging_notifications]
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,

    /// Topic, without priority; may be repeated [default: the configuration's topics]
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,

    /// Exchange of a service, such as nova; may be repeated [default: the configuration's
    /// control_exchange, openstack]
    #[arg(long = "exchange", value_name = "EXCHANGE")]
    pub(crate) exchanges: Vec<String>,

    /// Only these priorities, separated by commas [default: all seven]
    #[arg(long, value_delimiter = ',', ignore_case = true, value_parser = priorities())]
    pub(crate) priority: Vec<Priority>,

    /// Take copies from a queue of this name, bound to the same topics, so that whoever reads them
    /// on RabbitMQ goes on; without it the topics' own queues are emptied
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,

    /// At most that many per second
    #[arg(long, value_name = "R", value_parser = values::rate)]
    pub(crate) rate: Option<f64>,

    /// End after N were moved
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End when nothing came for that long
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    pub(crate) idle: Option<Duration>,

    /// Append what Kafka cannot take, or nobody can read, to FILE as JSON lines, and take it off its
    /// queue; without it such messages stay where they are
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(crate) dead_letter_file: Option<PathBuf>,

    /// Print how much waits in which queue; nothing is taken or made
    #[arg(long, conflicts_with_all = ["rate", "count", "idle"])]
    pub(crate) dry_run: bool,
}
