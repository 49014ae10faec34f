//! Which partitions a librdkafka producer has surely written to.
//!
//! librdkafka takes a batch for stored when a later one of its partition was: the broker would have
//! refused the later one for the gap in the sequence. But in a partition where it has nothing of a
//! producer yet, a broker takes any first number. So when the first batch is refused and the second,
//! already on its way, is not, as while a new topic's logs are being made, librdkafka reports the
//! first one as delivered, and it is lost. Such a report has no offset, and none with an offset came
//! from its partition before.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// librdkafka's `RD_KAFKA_OFFSET_INVALID`: no answer has named this record.
const NO_OFFSET: i64 = -1001;

/// See the module's head. Of one idempotent producer.
#[derive(Debug, Default)]
pub(in crate::drivers::kafka) struct Contacts {
    /// By topic and partition.
    written: Mutex<HashMap<String, Vec<bool>>>,
}

impl Contacts {
    /// Takes a report that a record was delivered; whether that is sure.
    pub(in crate::drivers::kafka) fn take(&self, topic: &str, partition: i32, offset: i64) -> bool {
        let Ok(partition) = usize::try_from(partition) else { return true };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match written.get_mut(topic) {
            Some(known) => known,
            None => written.entry(topic.to_owned()).or_default(),
        };
        if offset == NO_OFFSET {
            return known.get(partition).is_some_and(|written| *written);
        }
        if known.len() <= partition {
            known.resize(partition + 1, false);
        }
        known[partition] = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Contacts, NO_OFFSET};

    #[test]
    fn a_report_without_an_offset_is_sure_where_one_with_an_offset_came_before() {
        let contacts = Contacts::default();
        assert!(!contacts.take("t", 2, NO_OFFSET));
        assert!(contacts.take("t", 2, 0));
        assert!(contacts.take("t", 2, NO_OFFSET));
        assert!(!contacts.take("t", 1, NO_OFFSET));
        assert!(!contacts.take("t", 3, NO_OFFSET));
        assert!(!contacts.take("u", 2, NO_OFFSET));
        assert!(contacts.take("t", -1, NO_OFFSET), "no partition to speak of");
    }
}
