//! Numbers topic partitions, so that the ledger and the workers need not carry names.

use std::{collections::HashMap, sync::Arc};

use super::ledger::Slot;

/// Numbers topic partitions.
#[derive(Default)]
pub(super) struct Slots {
    /// By topic, then by partition: looked up for each record, without making a key of both.
    numbers: HashMap<Arc<str>, HashMap<i32, Slot>>,
    names: Vec<(Arc<str>, i32)>,
    /// The one that was asked for last: records of a partition come one after the other.
    last: Slot,
}

impl Slots {
    pub(super) fn number(&mut self, topic: &str, partition: i32) -> Slot {
        if let Some((name, number)) = self.names.get(self.last as usize)
            && *number == partition
            && &**name == topic
        {
            return self.last;
        }
        self.last = self.find(topic, partition);
        self.last
    }

    fn find(&mut self, topic: &str, partition: i32) -> Slot {
        if let Some(slot) = self.numbers.get(topic).and_then(|slots| slots.get(&partition)) {
            return *slot;
        }
        let slot = Slot::try_from(self.names.len()).unwrap_or(Slot::MAX);
        let known = self.numbers.get_key_value(topic).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| Arc::from(topic));
        self.names.push((Arc::clone(&name), partition));
        self.numbers.entry(name).or_default().insert(partition, slot);
        slot
    }

    pub(super) fn name(&self, slot: Slot) -> (&Arc<str>, i32) {
        let (topic, partition) = &self.names[slot as usize];
        (topic, *partition)
    }
}
