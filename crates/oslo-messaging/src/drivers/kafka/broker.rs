//! A Kafka broker in the process, for demos and tests: librdkafka's mock cluster.

use std::fmt;

use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    producer::{BaseProducer, NoCustomPartitioner, Producer, ProducerContext},
};

use super::{error::broker_error, native};
use crate::Error;

/// A broker in memory that other processes on this machine can use too.
///
/// It knows groups, offsets and rebalances. It has no TLS, no SASL, no ACLs and no disk; it keeps
/// about 5 MiB of each partition and silently drops what is older; it makes topics of four
/// partitions when somebody asks for them. Never a place for data that somebody needs.
///
/// ```
/// use oslo_messaging::kafka::EmbeddedBroker;
/// let broker = EmbeddedBroker::start(1)?;
/// assert!(broker.transport_url().starts_with("kafka://127.0.0.1:"));
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
pub struct EmbeddedBroker {
    /// Owns the cluster: it is destroyed with this client.
    client: BaseProducer<Silent, NoCustomPartitioner>,
    bootstrap: String,
}

pub(super) struct Silent;

impl rdkafka::ClientContext for Silent {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ProducerContext<NoCustomPartitioner> for Silent {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &rdkafka::producer::DeliveryResult<'_>, (): ()) {}
}

impl EmbeddedBroker {
    /// Starts `nodes` brokers on free ports of the loopback interface. They answer at once.
    ///
    /// # Errors
    ///
    /// [`Error::Broker`] when librdkafka cannot make them.
    pub fn start(nodes: u16) -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", nodes.max(1).to_string());
        let client = BaseProducer::from_config_and_context(&config, Silent)
            .map_err(|error| broker_error("start the embedded broker", error))?;
        native::no_rebalance_delay(client.client());
        let cluster = client.client().mock_cluster();
        let bootstrap = cluster.map(|cluster| cluster.bootstrap_servers()).unwrap_or_default();
        Ok(Self { client, bootstrap })
    }

    /// Addresses as Kafka tools take them, such as `127.0.0.1:40001,127.0.0.1:40002`.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Such as `kafka://127.0.0.1:40001/`.
    #[must_use]
    pub fn transport_url(&self) -> String {
        format!("kafka://{}/", self.bootstrap)
    }

    /// The cluster itself, for faults.
    #[cfg(test)]
    pub(super) fn mock(&self) -> rdkafka::mocking::MockCluster<'_, Silent> {
        self.client.client().mock_cluster().expect("the client has a mock cluster")
    }

    /// Makes a topic with this many partitions, before anybody asks for it.
    ///
    /// # Errors
    ///
    /// [`Error::Broker`] when it exists already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        let Some(cluster) = self.client.client().mock_cluster() else { return Ok(()) };
        cluster
            .create_topic(name, partitions, 1)
            .map_err(|error| broker_error(format!("create topic {name}"), error))
    }
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBroker").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}
