//! Where a notification goes, or is listened for.

/// A topic within an exchange.
///
/// ```
/// use oslo_messaging::Target;
/// let target = Target::new("notifications").with_exchange("nova");
/// assert_eq!(target.topic(), "notifications");
/// ```
///
/// Mirrors `oslo_messaging/target.py`, without the parts that only RPC has. The priority and the
/// virtual host are no part of a target: the driver joins them to the topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target {
    topic: String,
    exchange: Option<String>,
}

impl Target {
    /// A target in the default exchange (option `control_exchange`).
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), exchange: None }
    }

    /// The same topic in a named exchange, such as `nova`. The Kafka driver ignores it.
    #[must_use]
    pub fn with_exchange(mut self, exchange: impl Into<String>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    /// The topic without its priority, such as `notifications`.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The exchange, or `None` for the default one.
    #[must_use]
    pub fn exchange(&self) -> Option<&str> {
        self.exchange.as_deref()
    }
}
