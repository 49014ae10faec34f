//! What the fuzz targets in `fuzz/` need of the inside: feature `fuzzing`, for them alone.
//!
//! Nothing here is for programs, and nothing of the library calls it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

#[cfg(feature = "rabbit")]
pub use crate::drivers::rabbit::fuzz_messages as rabbit_messages;
use crate::{
    Error, Transport,
    driver::{
        Capabilities, DeadLetter, Driver, Incoming, Origin, Outgoing, Redelivery, Report, Settled,
        Subscribe, Subscription, Token, Want,
    },
    lanes::Lanes,
    stats::Stats,
};
#[cfg(feature = "kafka")]
pub use crate::{
    drivers::kafka::fuzz_ledger as ledger, drivers::kafka::fuzz_topic_name as topic_name,
};

/// One record as a broker could hand it over.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// The broker's topic.
    pub topic: String,
    /// When the broker took it.
    pub timestamp_millis: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its value.
    pub body: Option<Vec<u8>>,
}

/// A driver that has one listener's records from the start, in one partition, and nothing else.
#[derive(Clone, Debug)]
pub struct Feed {
    records: Arc<Mutex<Vec<Incoming>>>,
    dead: Arc<Mutex<Vec<(i64, u32)>>>,
    redelivers: bool,
}

impl Feed {
    /// `redelivers`: once, and at once.
    #[must_use]
    pub fn new(records: Vec<Raw>, redelivers: bool) -> Self {
        let incoming = |(offset, raw): (usize, Raw)| {
            let offset = i64::try_from(offset).unwrap_or(i64::MAX);
            Incoming {
                origin: Origin {
                    topic: Arc::from(raw.topic),
                    partition: 0,
                    offset,
                    timestamp_millis: raw.timestamp_millis,
                },
                key: raw.key.map(Bytes::from),
                headers: raw.headers.into_iter().map(|(n, v)| (n, Bytes::from(v))).collect(),
                body: raw.body.map(Bytes::from),
                context_style: crate::wire::ContextStyle::Nested,
                token: Token { lane: 0, slot: 0, period: 0, offset },
            }
        };
        let records = records.into_iter().enumerate().map(incoming).collect();
        Self { records: Arc::new(Mutex::new(records)), dead: Arc::default(), redelivers }
    }

    /// The transport for the listener.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::over(Box::new(self.clone()), Arc::new(Stats::default()))
    }

    /// Offsets and attempts of the dead letters, in their order.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<(i64, u32)> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Driver for Feed {
    fn capabilities(&self) -> Capabilities {
        Capabilities::notifications_only("feed")
    }

    fn send(&self, _: Outgoing, report: Report) {
        report.delivered();
    }

    fn subscribe(&self, _: Subscribe) -> Result<Arc<dyn Subscription>, Error> {
        let lanes = Lanes::new();
        lanes.push(self.records.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
        Ok(Arc::new(Fed { lanes, feed: self.clone() }))
    }

    fn redelivers(&self) -> bool {
        self.redelivers
    }

    fn close(&self, _: Duration) -> Result<(), Error> {
        Ok(())
    }
}

struct Fed {
    lanes: Lanes<Incoming>,
    feed: Feed,
}

impl fmt::Debug for Fed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fed").finish_non_exhaustive()
    }
}

impl Subscription for Fed {
    fn recv(&self, batch: &mut Vec<Incoming>, want: Want) -> bool {
        self.lanes.take(batch, want)
    }

    fn advance(&self, _: &[Token], settled: &[Settled]) {
        self.lanes.settle(settled);
    }

    fn redelivery(&self) -> Option<Redelivery> {
        self.feed.redelivers.then_some(Redelivery {
            max: 1,
            backoff: Duration::ZERO,
            at_broker: false,
        })
    }

    fn dead_letter(&self, letter: DeadLetter<'_>) -> Result<bool, Error> {
        let mut dead = self.feed.dead.lock().unwrap_or_else(PoisonError::into_inner);
        dead.push((letter.record.origin.offset, letter.attempts));
        Ok(true)
    }

    fn ready(&self, _: Duration) -> Result<(), Error> {
        Ok(())
    }

    fn stop(&self) {
        self.lanes.close();
    }

    fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.stop();
        match self.lanes.wait_empty(deadline) {
            0 => Ok(()),
            left => Err(Error::Unfinished { what: "feed", left }),
        }
    }
}
