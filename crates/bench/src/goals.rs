//! Which ratio is held against which goal.

use crate::{
    measure::{DRIVER, OURS, RAW, RAW_DECODING, REFERENCE, STUB},
    work::What,
};

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

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against {
    /// The figure itself has a limit.
    Limit,
    /// The figure, divided by that of this program.
    Ratio(&'static str),
    /// The figure, less that of this program.
    Beyond(&'static str),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    /// The program that is judged, and what it did.
    pub(crate) program: &'static str,
    pub(crate) what: What,
    pub(crate) figure: Figure,
    pub(crate) against: Against,
    /// What the other program did.
    pub(crate) other: What,
    pub(crate) better: Better,
    pub(crate) limit: f64,
    /// A short run on a busy machine says something of it, too, and may fail by it.
    pub(crate) steady: bool,
}

impl Goal {
    const fn unsteady(self) -> Self {
        Self { steady: false, ..self }
    }

    /// The driver of Python's library.
    const fn of_driver(self) -> Self {
        Self { program: DRIVER, ..self }
    }

    const fn other(self, other: What) -> Self {
        Self { other, ..self }
    }
}

const fn goal(
    name: &'static str,
    what: What,
    figure: Figure,
    against: Against,
    better: Better,
    limit: f64,
) -> Goal {
    Goal { name, program: OURS, what, figure, against, other: what, better, limit, steady: true }
}

const SLOW: What = What::EndToEnd { per_second: 20 };
const FAST: What = What::EndToEnd { per_second: 1_000 };
const CALLS: What = What::Calls { callers: 8 };
const ONE_CALLER: What = What::Calls { callers: 1 };
const TO_RAW: Against = Against::Ratio(RAW);
const TO_DECODING: Against = Against::Ratio(RAW_DECODING);
const TO_REFERENCE: Against = Against::Ratio(REFERENCE);

/// The reference confirms nothing that it sends, and commits as this library does.
pub(crate) const GOALS: &[Goal] = &[
    goal(
        "pipelined, confirmed, per second",
        What::Pipelined,
        Figure::PerSecond,
        TO_RAW,
        Better::More,
        0.85,
    ),
    goal("pipelined, CPU us each", What::Pipelined, Figure::CpuMicros, TO_RAW, Better::Less, 1.5),
    goal(
        "pipelined, CPU us each",
        What::Pipelined,
        Figure::CpuMicros,
        TO_REFERENCE,
        Better::Less,
        0.6,
    ),
    goal("one by one, p50 us", What::OneByOne, Figure::P50Micros, TO_RAW, Better::Less, 1.3),
    // The next two lines say how much of that is decoding, and what is left for the dispatcher.
    goal("listened, per second", What::Listen, Figure::PerSecond, TO_RAW, Better::More, 0.8)
        .unsteady(),
    goal("listened, per second", What::Listen, Figure::PerSecond, TO_DECODING, Better::More, 0.8),
    goal("listened, CPU us each", What::Listen, Figure::CpuMicros, TO_DECODING, Better::Less, 2.0),
    goal("listened, per second", What::Listen, Figure::PerSecond, TO_REFERENCE, Better::More, 5.0),
    goal(
        "listened, CPU us each",
        What::Listen,
        Figure::CpuMicros,
        TO_REFERENCE,
        Better::Less,
        0.12,
    ),
    goal(
        "listener, peak MiB beyond its start",
        What::Listen,
        Figure::PeakMib,
        Against::Limit,
        Better::Less,
        32.0,
    ),
    goal("end to end at 20/s, p50 us", SLOW, Figure::P50Micros, TO_RAW, Better::Less, 1.3),
    goal("end to end at 1000/s, p50 us", FAST, Figure::P50Micros, TO_RAW, Better::Less, 1.3),
    // The slowest hundredth of a second's worth is the scheduler's.
    goal("end to end at 1000/s, p99 us", FAST, Figure::P99Micros, TO_RAW, Better::Less, 3.0)
        .unsteady(),
    goal("end to end at 1000/s, p50 us", FAST, Figure::P50Micros, TO_REFERENCE, Better::Less, 0.1),
    goal(
        "Python: queued, per second",
        What::Pipelined,
        Figure::PerSecond,
        TO_REFERENCE,
        Better::More,
        1.5,
    )
    .of_driver(),
    goal(
        "Python: confirmed, 16 threads, per second",
        What::Threads { number: 16 },
        Figure::PerSecond,
        TO_RAW,
        Better::More,
        0.7,
    )
    .of_driver(),
    goal(
        "Python: confirmed, 64 threads, per second",
        What::Threads { number: 64 },
        Figure::PerSecond,
        TO_REFERENCE,
        Better::More,
        1.0,
    )
    .of_driver()
    .other(What::Pipelined),
    goal(
        "Python: listened, per second",
        What::Listen,
        Figure::PerSecond,
        TO_REFERENCE,
        Better::More,
        1.4,
    )
    .of_driver(),
    goal(
        "Python: listened, CPU us each beyond",
        What::Listen,
        Figure::CpuMicros,
        Against::Beyond(STUB),
        Better::Less,
        15.0,
    )
    .of_driver(),
    goal(
        "Python: listener, peak MiB",
        What::Listen,
        Figure::PeakMib,
        TO_REFERENCE,
        Better::Less,
        0.5,
    )
    .of_driver(),
    goal(
        "Python: end to end at 20/s, p50 us",
        SLOW,
        Figure::P50Micros,
        Against::Limit,
        Better::Less,
        5_000.0,
    )
    .of_driver(),
    goal(
        "Python: end to end at 1000/s, p50 us",
        FAST,
        Figure::P50Micros,
        TO_REFERENCE,
        Better::Less,
        0.1,
    )
    .of_driver(),
    goal("calls, 8 callers, per second", CALLS, Figure::PerSecond, TO_RAW, Better::More, 0.7),
    goal("calls, 8 callers, per second", CALLS, Figure::PerSecond, TO_REFERENCE, Better::More, 4.0),
    goal("calls, 8 callers, p99 us", CALLS, Figure::P99Micros, TO_REFERENCE, Better::Less, 0.5),
    goal(
        "calls, 8 callers, CPU us of both sides",
        CALLS,
        Figure::CpuMicros,
        TO_REFERENCE,
        Better::Less,
        0.5,
    ),
    goal(
        "calls, one caller, p50 us",
        ONE_CALLER,
        Figure::P50Micros,
        TO_REFERENCE,
        Better::Less,
        0.5,
    ),
];
