//! Numbers topic partitions, so that the ledger and the workers need not carry names.

use std::{collections::HashMap, sync::Arc};

use super::{ledger::Slot, start::TopicPartition};

/// Numbers topic partitions.
#[derive(Default)]
pub(super) struct Slots {
    numbers: HashMap<TopicPartition, Slot>,
    names: Vec<(Arc<str>, i32)>,
}

impl Slots {
    pub(super) fn number(&mut self, topic: &str, partition: i32) -> Slot {
        let key = (topic.to_owned(), partition);
        if let Some(slot) = self.numbers.get(&key) {
            return *slot;
        }
        let slot = Slot::try_from(self.names.len()).unwrap_or(Slot::MAX);
        self.names.push((Arc::from(topic), partition));
        self.numbers.insert(key, slot);
        slot
    }

    pub(super) fn name(&self, slot: Slot) -> (&Arc<str>, i32) {
        let (topic, partition) = &self.names[slot as usize];
        (topic, *partition)
    }
}
