//! Which messages came before: those of a sender that got no confirmation come twice.

use std::collections::{HashSet, VecDeque};

/// The reference remembers 16; a broker that restarts has more under way.
const REMEMBERED: usize = 16_384;

/// The ids that came last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Remembers an id; `false` when it was known.
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// It did not count after all.
    pub(super) fn forget(&mut self, id: &str) {
        if self.ids.remove(id) {
            self.order.retain(|known| known != id);
        }
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.ids.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::{REMEMBERED, Seen};

    #[test]
    fn an_id_is_known_until_enough_others_came() {
        let mut seen = Seen::default();
        assert!(seen.is_new("first"));
        assert!(!seen.is_new("first"));
        for number in 0..REMEMBERED {
            assert!(seen.is_new(&number.to_string()));
        }
        assert!(!seen.knows("first"));
        assert!(seen.knows("0"));
        assert_eq!(seen.ids.len(), REMEMBERED);
    }
}
