//! Which ratio is held against which goal.

use crate::work::What;

/// A figure of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    PerSecond,
    CpuMicros,
    P50Micros,
    P99Micros,
    PeakMib,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Better {
    More,
    Less,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) what: What,
    pub(crate) figure: Figure,
    /// The program that is compared with; `None`: the figure itself has a limit.
    pub(crate) against: Option<&'static str>,
    pub(crate) better: Better,
    pub(crate) limit: f64,
    /// A short run on a busy machine says something of it, too, and may fail by it.
    pub(crate) steady: bool,
}

impl Goal {
    const fn unsteady(self) -> Self {
        Self { steady: false, ..self }
    }
}

const fn goal(
    name: &'static str,
    what: What,
    figure: Figure,
    against: Option<&'static str>,
    better: Better,
    limit: f64,
) -> Goal {
    Goal { name, what, figure, against, better, limit, steady: true }
}

const SLOW: What = What::EndToEnd { per_second: 20 };
const FAST: What = What::EndToEnd { per_second: 1_000 };
const RAW: Option<&str> = Some("raw");
const RAW_DECODING: Option<&str> = Some("raw+decode");
const REFERENCE: Option<&str> = Some("reference");

/// The reference confirms nothing that it sends, and commits as this library does.
pub(crate) const GOALS: &[Goal] = &[
    goal(
        "pipelined, confirmed, per second",
        What::Pipelined,
        Figure::PerSecond,
        RAW,
        Better::More,
        0.85,
    ),
    goal("pipelined, CPU us each", What::Pipelined, Figure::CpuMicros, RAW, Better::Less, 1.5),
    goal(
        "pipelined, CPU us each",
        What::Pipelined,
        Figure::CpuMicros,
        REFERENCE,
        Better::Less,
        0.6,
    ),
    goal("one by one, p50 us", What::OneByOne, Figure::P50Micros, RAW, Better::Less, 1.3),
    // The next two lines say how much of that is decoding, and what is left for the dispatcher.
    goal("listened, per second", What::Listen, Figure::PerSecond, RAW, Better::More, 0.8)
        .unsteady(),
    goal("listened, per second", What::Listen, Figure::PerSecond, RAW_DECODING, Better::More, 0.8),
    goal("listened, CPU us each", What::Listen, Figure::CpuMicros, RAW_DECODING, Better::Less, 2.0),
    goal("listened, per second", What::Listen, Figure::PerSecond, REFERENCE, Better::More, 5.0),
    goal("listened, CPU us each", What::Listen, Figure::CpuMicros, REFERENCE, Better::Less, 0.12),
    goal(
        "listener, peak MiB beyond its start",
        What::Listen,
        Figure::PeakMib,
        None,
        Better::Less,
        32.0,
    ),
    goal("end to end at 20/s, p50 us", SLOW, Figure::P50Micros, RAW, Better::Less, 1.3),
    goal("end to end at 1000/s, p50 us", FAST, Figure::P50Micros, RAW, Better::Less, 1.3),
    goal("end to end at 1000/s, p99 us", FAST, Figure::P99Micros, RAW, Better::Less, 3.0)
        // The slowest hundredth of a second's worth is the scheduler's.
        .unsteady(),
    goal("end to end at 1000/s, p50 us", FAST, Figure::P50Micros, REFERENCE, Better::Less, 0.1),
];
