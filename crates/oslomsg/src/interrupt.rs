//! Ctrl-C and SIGTERM: the first one asks for an orderly end, the second one ends at once. And SIGHUP, for
//! commands that do something then.

use std::{
    io, process,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::exit::Exit;

/// Whether the user wants the program to end. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// From now on the two signals no longer end the process at once.
    #[cfg(any(feature = "kafka", feature = "rabbit"))]
    pub(crate) fn install() -> io::Result<Self> {
        Self::with_hangup(None)
    }

    /// The same, and SIGHUP calls `hangup`; without one it ends the process as usual.
    pub(crate) fn with_hangup(hangup: Option<Box<dyn Fn() + Send>>) -> io::Result<Self> {
        let interrupt = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        if hangup.is_some() {
            signals.add_signal(SIGHUP)?;
        }
        let other = interrupt.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if let (SIGHUP, Some(hangup)) = (signal, &hangup) {
                    hangup();
                    continue;
                }
                if std::mem::replace(&mut *other.lock(), true) {
                    process::exit(i32::from(Exit::Interrupted as u8));
                }
                other.shared.1.notify_all();
            }
        })?;
        Ok(interrupt)
    }

    /// Whether a signal came.
    pub(crate) fn came(&self) -> bool {
        *self.lock()
    }

    /// Waits for a signal, at most `timeout` (`Duration::MAX`: for ever); says whether one came.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let guard = self.lock();
        let woken = self.shared.1.wait_timeout_while(guard, timeout, |came| !*came);
        *woken.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
