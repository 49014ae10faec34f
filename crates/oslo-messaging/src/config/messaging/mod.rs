//! The options of messaging: the table that parsing, documentation, samples and other option
//! objects follow, and what values of it contradict each other.
//!
//! The options themselves are data, group by group, in `services`, `kafka`, `kafka_ours` and `rabbit`;
//! a new one is an entry there and nothing elsewhere. The page of documentation is made in `markdown`;
//! `contradictions` looks at what each value alone does not show. How options are found and read is
//! the rest of `config`, which knows nothing of these.

mod contradictions;
mod kafka;
mod kafka_ours;
mod markdown;
mod rabbit;
mod services;

use std::sync::LazyLock;

#[cfg(feature = "kafka")]
pub(crate) use self::kafka::{Mechanism, STRATEGIES, mechanism, mechanisms};
pub(crate) use self::services::SINKS;
pub use self::{contradictions::contradictions, markdown::markdown};
use super::{
    Config, DEFAULT, Options,
    opt::{Kind, Opt},
    schema::Schema,
};
use crate::error::Error;

/// The group of the Kafka driver.
pub const KAFKA: &str = "oslo_messaging_kafka";
/// The group of the notifier.
pub const NOTIFICATIONS: &str = "oslo_messaging_notifications";

/// The group of the RabbitMQ driver.
pub const RABBIT: &str = "oslo_messaging_rabbit";

const TEXT: Kind = Kind::String;
const BIGGEST: i64 = 2_147_483_647;

static TABLE: LazyLock<Vec<Opt>> = LazyLock::new(|| {
    [
        services::SHARED,
        services::NOTIFIER,
        kafka::OPTIONS,
        kafka_ours::SECURITY,
        kafka_ours::SENDING,
        kafka_ours::LISTENING,
        kafka_ours::BOTH,
        rabbit::CONNECTION,
        rabbit::QUEUES,
        rabbit::SENDING,
    ]
    .concat()
});

/// All options that the library knows, group by group.
pub fn table() -> &'static [Opt] {
    &TABLE
}

/// The group of the driver that a URL's scheme names, whose options its query may have; `None` for a
/// driver without options. `rabbit` gives [`RABBIT`].
#[must_use]
pub fn driver_group(scheme: &str) -> Option<&'static str> {
    match scheme {
        "kafka" => Some(KAFKA),
        "rabbit" | "kombu" => Some(RABBIT),
        _ => None,
    }
}

/// The same as what [`Options`] are read by.
pub fn messaging() -> Schema {
    Schema::new(table())
}

impl Options {
    /// Finds and checks the value of every option of a group of messaging, such as
    /// `oslo_messaging_kafka`: [`Schema::resolve`] with [`messaging`].
    ///
    /// # Errors
    ///
    /// As [`Schema::resolve`].
    ///
    /// # Panics
    ///
    /// When the table has no such group.
    pub fn resolve(
        group: &'static str,
        config: &Config,
        query: &[(String, String)],
    ) -> Result<Self, Error> {
        messaging().resolve(group, config, query)
    }
}

#[cfg(test)]
mod tests;
