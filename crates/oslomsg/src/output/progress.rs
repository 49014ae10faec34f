//! How far a long command is, on the last line of the terminal; `send` shows it.
//!
//! It is drawn to stderr, and only where that is a terminal. Whatever else goes to stderr while it
//! is shown passes through [`aside`], or the two would be written over each other.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::args::Verbosity;

/// How often it is drawn: fast enough to look alive.
const EVERY: Duration = Duration::from_millis(100);

/// The bar that is on the terminal now.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A bar that goes when this is dropped, or nothing at all.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    counts: Arc<Mutex<Counts>>,
    begun: Instant,
    next: Instant,
}

impl Progress {
    /// Shows a bar for a long command if somebody is there to look at it. `length` is what
    /// [`Progress::at`] ends with; `None` is not known, and shows the counts alone.
    pub(crate) fn start(is_long: bool, verbosity: Verbosity, length: Option<u64>) -> Self {
        let begun = Instant::now();
        let is_seen = is_wanted(verbosity, io::stderr().is_terminal());
        let counts = Arc::default();
        let bar = (is_long && is_seen).then(|| {
            let template = match length {
                Some(_) => "[{bar:25}] {percent:>3}% {counts}",
                None => "{spinner} {counts}",
            };
            let style = ProgressStyle::with_template(template).expect("the template is right");
            let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
            let counts = Arc::clone(&counts);
            let style =
                style.with_key("counts", move |_: &ProgressState, line: &mut dyn fmt::Write| {
                    // Writing to a line of text does not fail.
                    let _ = write!(line, "{}", lock(&counts));
                });
            bar.set_style(style.progress_chars("=> "));
            bar
        });
        lock(&SHOWN).clone_from(&bar);
        Self { bar, counts, begun, next: begun }
    }

    /// Says how far it is, not more often than anybody can read: cheap to call again and again.
    pub(crate) fn at(&mut self, position: u64, sent: u64, confirmed: u64) {
        let Some(bar) = &self.bar else { return };
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        *lock(&self.counts) = Counts { sent, confirmed, took: now - self.begun };
        bar.update(|state| state.set_pos(position));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            *lock(&SHOWN) = None;
        }
    }
}

/// A bar is for people: not for files and pipes, and not where they asked for silence.
fn is_wanted(verbosity: Verbosity, is_terminal: bool) -> bool {
    is_terminal && verbosity > Verbosity::Quiet
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to stderr while the bar, if there is one, is out of the way. `write` must not come back
/// here.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    let bar = lock(&SHOWN).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Stderr for the log, each event as a whole.
#[derive(Debug)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        aside(|| io::stderr().write_all(event)).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    confirmed: u64,
    took: Duration,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, confirmed, took } = self;
        let rate = *confirmed as f64 / took.as_secs_f64().max(EVERY.as_secs_f64());
        write!(f, "sent {sent}, confirmed {confirmed}, {rate:.0}/s")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counts, is_wanted};
    use crate::args::Verbosity;

    #[test]
    fn a_bar_is_shown_on_a_terminal_and_not_where_silence_was_asked_for() {
        for (verbosity, is_terminal, expected) in [
            (Verbosity::Normal, true, true),
            (Verbosity::Debug, true, true),
            (Verbosity::Quiet, true, false),
            (Verbosity::Normal, false, false),
        ] {
            assert_eq!(is_wanted(verbosity, is_terminal), expected, "{verbosity:?} {is_terminal}");
        }
    }

    #[test]
    fn the_rate_is_that_of_what_was_confirmed() {
        for (sent, confirmed, millis, expected) in [
            (0, 0, 0, "sent 0, confirmed 0, 0/s"),
            (300, 200, 2_000, "sent 300, confirmed 200, 100/s"),
            // The first moment says nothing of the rate.
            (9, 5, 1, "sent 9, confirmed 5, 50/s"),
        ] {
            let took = Duration::from_millis(millis);
            assert_eq!(Counts { sent, confirmed, took }.to_string(), expected);
        }
    }
}
