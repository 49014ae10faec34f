//! One librdkafka producer, and why it is given up.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use rdkafka::producer::{BaseProducer, NoCustomPartitioner};

use crate::drivers::kafka::context::ReportContext;

pub(in crate::drivers::kafka) type Client = BaseProducer<ReportContext, NoCustomPartitioner>;

/// Why a librdkafka producer is given up, or that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::drivers::kafka) enum Fate {
    Alive = 0,
    /// An idempotence error: it takes nothing more.
    Fatal = 1,
    /// No connection for `connect_timeout`: what it holds fails.
    NoConnection = 2,
    /// The transport is closed.
    Closing = 3,
    /// The broker gives this user no producer id: what it holds fails, and the next send is for another.
    Refused = 4,
}

/// The fate of one librdkafka producer, shared with its callbacks.
#[derive(Debug, Default)]
pub(in crate::drivers::kafka) struct FateCell(AtomicU8);

impl FateCell {
    pub(in crate::drivers::kafka) fn get(&self) -> Fate {
        match self.0.load(Ordering::Acquire) {
            0 => Fate::Alive,
            1 => Fate::Fatal,
            2 => Fate::NoConnection,
            3 => Fate::Closing,
            _ => Fate::Refused,
        }
    }

    pub(in crate::drivers::kafka) fn set(&self, fate: Fate) {
        self.0.store(fate as u8, Ordering::Release);
    }

    /// A send was told that the client takes nothing more; of one that was given up that is known.
    pub(in crate::drivers::kafka) fn note_fatal(&self) {
        let (alive, fatal) = (Fate::Alive as u8, Fate::Fatal as u8);
        let _ = self.0.compare_exchange(alive, fatal, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// One librdkafka producer.
pub(in crate::drivers::kafka) struct Generation {
    pub(in crate::drivers::kafka) client: Client,
    pub(in crate::drivers::kafka) fate: Arc<FateCell>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        // Dropping the client purges it: what that reports is final.
        if self.fate.get() == Fate::Alive {
            self.fate.set(Fate::Closing);
        }
    }
}
