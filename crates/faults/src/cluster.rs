//! The cluster under test: hits brokers, remembers what it did, heals it, and asks the brokers with
//! librdkafka alone, never with the library that is tested.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::catch_unwind,
    thread,
    time::{Duration, Instant},
};

use futures_executor::block_on;
use kafka_testkit::{Kafka, Layout, Proxy};
use oslo_messaging::wire;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use crate::checker::Logged;

/// Longest wait for an answer of the brokers, with one of them coming up.
const ANSWER: Duration = Duration::from_secs(60);
const ONE_TRY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// A loaded machine may be too slow for the elections of three nodes that come up at once.
const STARTS: u32 = 3;

pub(crate) struct Cluster {
    kafka: Kafka,
    down: BTreeSet<u32>,
    frozen: BTreeSet<u32>,
    client: BaseConsumer,
}

impl Cluster {
    /// Three nodes, replication factor 3, two in-sync replicas at least, Kafka's own time until a
    /// node counts as dead.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with more properties of the brokers.
    pub(crate) fn with(properties: &[&str]) -> Self {
        let properties = [&["broker.session.timeout.ms=9000"], properties].concat();
        let start = || Kafka::with(Layout::Cluster, &properties);
        let kafka = (1..=STARTS)
            .find_map(|_| catch_unwind(start).ok())
            .unwrap_or_else(|| panic!("the cluster did not come up in {STARTS} tries"));
        let client = consumer(&kafka, "faults-ground-truth");
        Self { kafka, down: BTreeSet::new(), frozen: BTreeSet::new(), client }
    }

    /// One node with every security protocol, whose superusers this harness is one of.
    pub(crate) fn secure(properties: &[&str]) -> Self {
        let kafka = Kafka::with(Layout::Secure, properties);
        let client = consumer(&kafka, "faults-ground-truth");
        Self { kafka, down: BTreeSet::new(), frozen: BTreeSet::new(), client }
    }

    /// For what only a secure one has.
    pub(crate) fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    pub(crate) fn url(&self) -> String {
        self.kafka.transport_url()
    }

    /// The same for librdkafka.
    pub(crate) fn bootstrap(&self) -> &str {
        self.kafka.bootstrap()
    }

    /// A proxy in front of each node, and where clients enter to stay behind them.
    pub(crate) fn proxies(&self) -> (Vec<Proxy>, String) {
        let proxies: Vec<Proxy> = self.kafka.proxies().iter().copied().map(Proxy::start).collect();
        let hosts: Vec<String> =
            proxies.iter().map(|p| format!("127.0.0.1:{}", p.port())).collect();
        (proxies, format!("kafka://{}/", hosts.join(",")))
    }

    pub(crate) fn pid(&self, node: u32) -> u32 {
        self.kafka.pid(node)
    }

    fn replicas(&self) -> i32 {
        i32::try_from(self.kafka.nodes()).unwrap_or(1)
    }

    pub(crate) fn nodes(&self) -> Vec<u32> {
        (1..=self.kafka.nodes()).collect()
    }

    pub(crate) fn kill(&mut self, node: u32) {
        self.kafka.kill(node);
        self.down.insert(node);
    }

    /// Leaders first, in order.
    pub(crate) fn stop(&mut self, node: u32) {
        self.kafka.stop(node);
        self.down.insert(node);
    }

    pub(crate) fn start_again(&mut self, node: u32) {
        self.kafka.start(node);
        self.down.remove(&node);
    }

    pub(crate) fn freeze(&mut self, node: u32) {
        self.kafka.pause(node);
        self.frozen.insert(node);
    }

    pub(crate) fn thaw(&mut self, node: u32) {
        self.kafka.resume(node);
        self.frozen.remove(&node);
    }

    pub(crate) fn kill_all(&mut self) {
        self.nodes().into_iter().for_each(|node| self.kill(node));
    }

    pub(crate) fn freeze_all(&mut self) {
        self.nodes().into_iter().for_each(|node| self.freeze(node));
    }

    /// Lets everything go on that was hit.
    pub(crate) fn heal(&mut self) {
        for node in std::mem::take(&mut self.frozen) {
            self.kafka.resume(node);
        }
        if !self.down.is_empty() {
            self.kafka.start_all();
            self.down.clear();
        }
    }

    /// Whether nothing is left of a fault.
    pub(crate) fn is_whole(&self) -> bool {
        self.down.is_empty() && self.frozen.is_empty()
    }

    /// Makes a topic and waits until each of its partitions has all of its replicas.
    pub(crate) fn make_topic(&self, topic: &str, partitions: i32) {
        let new = [NewTopic::new(topic, partitions, TopicReplication::Fixed(self.replicas()))];
        self.admin("make a topic", |admin, options| {
            let made = block_on(admin.create_topics(&new, options)).map_err(|e| e.to_string())?;
            made.into_iter().try_for_each(|result| match result {
                Ok(_) | Err((_, rdkafka::error::RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
                Err((_, code)) => Err(code.to_string()),
            })
        });
        self.wait_whole(topic, partitions);
    }

    pub(crate) fn add_partitions(&self, topic: &str, partitions: i32) {
        let count = usize::try_from(partitions).expect("a count");
        self.admin("add partitions", |admin, options| {
            let new = [NewPartitions::new(topic, count)];
            block_on(admin.create_partitions(&new, options)).map_err(|e| e.to_string()).map(drop)
        });
        self.wait_whole(topic, partitions);
    }

    pub(crate) fn delete_topic(&self, topic: &str) {
        self.admin("delete a topic", |admin, options| {
            block_on(admin.delete_topics(&[topic], options)).map_err(|e| e.to_string()).map(drop)
        });
    }

    /// Deletes the records of a partition below an offset.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, below: i64) {
        self.admin("delete records", |admin, options| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Offset(below))
                .map_err(|e| e.to_string())?;
            block_on(admin.delete_records(&list, options)).map_err(|e| e.to_string()).map(drop)
        });
    }

    fn admin(
        &self,
        what: &str,
        ask: impl Fn(&AdminClient<DefaultClientContext>, &AdminOptions) -> Result<(), String>,
    ) {
        let admin: AdminClient<DefaultClientContext> =
            client_config(&self.kafka).create().expect("the properties are right");
        let options = AdminOptions::new().request_timeout(Some(ONE_TRY));
        patiently(what, || ask(&admin, &options));
    }

    /// The leader of each partition.
    pub(crate) fn leaders(&self, topic: &str) -> BTreeMap<i32, u32> {
        patiently("the leaders", || {
            let leaders: BTreeMap<i32, u32> = self
                .metadata(topic)?
                .into_iter()
                .filter_map(|(partition, leader, _)| Some((partition, u32::try_from(leader).ok()?)))
                .collect();
            if leaders.is_empty() { Err("none".to_owned()) } else { Ok(leaders) }
        })
    }

    /// The leader of a topic's first partition, as one node sees it.
    pub(crate) fn leader_by(&self, node: u32, topic: &str) -> Option<u32> {
        let address = self.kafka.bootstrap().split(',').nth(node as usize - 1)?;
        let mut config = client_config(&self.kafka);
        let asker: BaseConsumer = config.set("bootstrap.servers", address).create().ok()?;
        let all = asker.fetch_metadata(Some(topic), ONE_TRY).ok()?;
        u32::try_from(all.topics().first()?.partitions().first()?.leader()).ok()
    }

    /// The node that coordinates a group: the leader of the partition where Kafka keeps it.
    pub(crate) fn coordinator(&self, group: &str) -> u32 {
        let hash = group
            .encode_utf16()
            .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        patiently("the coordinator", || {
            let leaders = self.metadata("__consumer_offsets")?;
            let count = i32::try_from(leaders.len()).unwrap_or(0).max(1);
            let partition = (hash & i32::MAX) % count;
            let found = leaders.into_iter().find(|(p, _, _)| *p == partition);
            let leader = found.and_then(|(_, leader, _)| u32::try_from(leader).ok());
            leader.ok_or_else(|| format!("partition {partition} has no leader"))
        })
    }

    fn wait_whole(&self, topic: &str, partitions: i32) {
        let replicas = usize::try_from(self.replicas()).unwrap_or(0);
        patiently("the replicas", || {
            let found = self.metadata(topic)?;
            let whole =
                found.iter().filter(|(_, leader, isr)| *leader > 0 && *isr == replicas).count();
            if whole as i32 == partitions { Ok(()) } else { Err(format!("{whole} are whole")) }
        });
    }

    /// Waits until every partition has all replicas again, and its first leader.
    pub(crate) fn wait_healed(&self, topic: &str) {
        let count = self.leaders(topic).len();
        self.wait_whole(topic, i32::try_from(count).unwrap_or(0));
    }

    /// Partition, leader, number of in-sync replicas.
    fn metadata(&self, topic: &str) -> Result<Vec<(i32, i32, usize)>, String> {
        let all = self.client.fetch_metadata(Some(topic), ONE_TRY).map_err(|e| e.to_string())?;
        let found = all.topics().iter().flat_map(|topic| topic.partitions());
        Ok(found.map(|p| (p.id(), p.leader(), p.isr().len())).collect())
    }

    /// First and next offset of each partition that has or had records.
    pub(crate) fn ends(&self, topic: &str) -> BTreeMap<i32, (i64, i64)> {
        patiently("the ends of the topic", || {
            let mut ends = BTreeMap::new();
            for (partition, _, _) in self.metadata(topic)? {
                let marks = self.client.fetch_watermarks(topic, partition, ONE_TRY);
                ends.insert(partition, marks.map_err(|e| e.to_string())?);
            }
            if ends.is_empty() { Err("no partitions".to_owned()) } else { Ok(ends) }
        })
    }

    /// Asks about one group.
    pub(crate) fn group(&self, group: &str) -> GroupView {
        GroupView(consumer(&self.kafka, group))
    }

    /// Everything in the topic, partition by partition.
    pub(crate) fn read_all(&self, topic: &str) -> Vec<Logged> {
        let ends = self.ends(topic);
        let reader = consumer(&self.kafka, "faults-ground-truth");
        let mut list = TopicPartitionList::new();
        let mut open: BTreeMap<i32, i64> = BTreeMap::new();
        for (partition, (first, next)) in ends.into_iter().filter(|(_, (a, b))| a < b) {
            list.add_partition_offset(topic, partition, Offset::Offset(first)).expect("an offset");
            open.insert(partition, next);
        }
        reader.assign(&list).expect("the partitions are there");
        let mut found = Vec::new();
        let mut last = Instant::now();
        while !open.is_empty() {
            assert!(last.elapsed() < ANSWER, "the topic cannot be read to its end: {open:?}");
            let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) else { continue };
            last = Instant::now();
            let (partition, offset) = (message.partition(), message.offset());
            found.push(logged(partition, offset, message.payload().unwrap_or_default()));
            if open.get(&partition).is_some_and(|next| offset + 1 >= *next) {
                open.remove(&partition);
            }
        }
        found.sort_by_key(|record| (record.partition, record.offset));
        found
    }
}

/// The committed offsets of one group, without being its member.
pub(crate) struct GroupView(BaseConsumer);

impl GroupView {
    /// By partition; the group has no offset where one is missing. `None`: nobody answers.
    pub(crate) fn committed(&self, topic: &str, partitions: &[i32]) -> Option<BTreeMap<i32, i64>> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(topic, *partition);
        }
        let offsets = self.0.committed_offsets(list, ONE_TRY).ok()?;
        let known = offsets.elements().into_iter().filter_map(|entry| match entry.offset() {
            Offset::Offset(offset) => Some((entry.partition(), offset)),
            _ => None,
        });
        Some(known.collect())
    }
}

fn logged(partition: i32, offset: i64, body: &[u8]) -> Logged {
    let notification = wire::decode(body).expect("only notifications are in the topic");
    let payload = notification.payload.value().expect("the payload is JSON");
    let number = payload["pub"].as_str().and_then(|name| name.strip_prefix("pub-"));
    Logged {
        partition,
        offset,
        publisher: number.and_then(|n| n.parse().ok()).expect("the publisher's number"),
        seq: payload["seq"].as_u64().expect("a number in the order of the sends"),
    }
}

fn client_config(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("socket.timeout.ms", "5000");
    config
}

fn consumer(kafka: &Kafka, group: &str) -> BaseConsumer {
    client_config(kafka)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .create()
        .expect("the properties are right")
}

/// Asks until the brokers answer; a part of them may just be coming up.
fn patiently<T>(what: &str, ask: impl Fn() -> Result<T, String>) -> T {
    let until = Instant::now() + ANSWER;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if Instant::now() >= until => panic!("{what}: {error} after {ANSWER:?}"),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
