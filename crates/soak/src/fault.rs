//! What a listener's process does wrong on purpose, by the second word of the command line. Every
//! check of the soak has one that it must catch.

use std::{fs::File, mem, thread, time::Duration};

/// Faults come with every so many notifications.
const EVERY: u64 = 50;

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Lose,
    Twice,
    Memory,
    Descriptors,
    Threads,
}

impl Fault {
    pub(crate) const NAMES: [&str; 5] = ["lose", "twice", "memory", "descriptors", "threads"];

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Lose, Self::Twice, Self::Memory, Self::Descriptors, Self::Threads];
        Self::NAMES.iter().position(|&other| other == name).map(|index| all[index])
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// How often the dispatch of this notification is told to the parent.
    pub(crate) fn told(fault: Option<Self>, seq: u64) -> usize {
        match fault {
            Some(Self::Lose) if seq.is_multiple_of(EVERY) => 0,
            Some(Self::Twice) if seq.is_multiple_of(EVERY) => 2,
            _ => 1,
        }
    }

    /// Takes what is never given back.
    pub(crate) fn leak(self, seq: u64) {
        match self {
            Self::Memory => mem::forget(vec![1_u8; 200]),
            _ if !seq.is_multiple_of(EVERY) => {}
            Self::Descriptors => mem::forget(File::open("/dev/null")),
            Self::Threads => {
                thread::spawn(|| thread::sleep(Duration::from_secs(86_400)));
            }
            Self::Lose | Self::Twice => {}
        }
    }
}
