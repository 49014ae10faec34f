//! Errors of the log, for tests of what operators are told.

use std::{
    fmt::{Debug, Write},
    sync::{Mutex, Once},
    thread,
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer, prelude::*};

/// Each with its fields.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Errors;

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        struct Words(String);
        impl Visit for Words {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                write!(self.0, "{field}={value:?} ").unwrap();
            }
        }
        if *event.metadata().level() == Level::ERROR {
            let mut words = Words(String::new());
            event.record(&mut words);
            ERRORS.lock().unwrap().push(words.0);
        }
    }
}

/// From now on they are kept.
pub(crate) fn note_errors() {
    static LOG: Once = Once::new();
    LOG.call_once(|| tracing_subscriber::registry().with(Errors).init());
}

/// Waits for an error with all of these words.
pub(crate) fn logged(words: &[&str], limit: Duration) -> Option<String> {
    let begun = Instant::now();
    loop {
        let errors = ERRORS.lock().unwrap();
        if let Some(found) = errors.iter().find(|error| words.iter().all(|w| error.contains(w))) {
            return Some(found.clone());
        }
        drop(errors);
        if begun.elapsed() > limit {
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
}
