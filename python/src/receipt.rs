//! Waiting for the answer to a sending.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use oslo_messaging::{Error, Outcome};
use pyo3::{PyResult, Python, pyclass, pymethods};

use crate::{Undelivered, fork::OfProcess, wake::WakeFd};

/// How late a signal is seen by a thread that waits.
const SIGNALS: Duration = Duration::from_millis(100);

/// What becomes of one notification.
#[pyclass(frozen, module = "oslo_messaging_rs._native")]
pub(crate) struct Receipt {
    receipt: OfProcess<Mutex<oslo_messaging::Receipt>>,
    wake: Mutex<Option<Arc<WakeFd>>>,
}

impl Receipt {
    pub(crate) fn new(receipt: oslo_messaging::Receipt) -> Self {
        Self { receipt: OfProcess::new(Mutex::new(receipt)), wake: Mutex::new(None) }
    }

    /// Blocks until the answer is there.
    pub(crate) fn wait(&self, py: Python<'_>) -> PyResult<()> {
        let receipt = self.receipt.get()?;
        loop {
            let answer =
                py.detach(|| wait(&receipt.lock().unwrap_or_else(PoisonError::into_inner)));
            match answer {
                Some(outcome) => return outcome.map_err(|error| undelivered(&error)),
                None => py.check_signals()?,
            }
        }
    }
}

#[pymethods]
impl Receipt {
    /// The answer, if it is there: `True`; `False` while it is not.
    fn poll(&self) -> PyResult<bool> {
        let receipt = self.receipt.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        if !receipt.is_resolved() {
            return Ok(false);
        }
        receipt.wait(Duration::ZERO).map(|()| true).map_err(|error| undelivered(&error))
    }

    /// A descriptor that becomes readable when the answer is there. It lives as long as this.
    fn fileno(&self) -> PyResult<i32> {
        let mut receipt = self.receipt.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wake = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wake) = &*wake {
            return Ok(wake.fileno());
        }
        let made = WakeFd::new()?;
        let waker = Waker::from(Arc::clone(&made));
        if Pin::new(&mut *receipt).poll(&mut Context::from_waker(&waker)).is_ready() {
            made.set();
        }
        let fileno = made.fileno();
        *wake = Some(made);
        Ok(fileno)
    }
}

/// The answer, if it comes before signals are to be looked at.
pub(crate) fn wait(receipt: &oslo_messaging::Receipt) -> Option<Result<(), Error>> {
    let outcome = receipt.wait(SIGNALS);
    if outcome.is_ok() {
        return Some(outcome);
    }
    // What was said while it was unanswered is not the answer.
    receipt.is_resolved().then(|| receipt.wait(Duration::ZERO))
}

/// `Undelivered(reason, may_be_stored)`.
pub(crate) fn undelivered(error: &Error) -> pyo3::PyErr {
    let unknown = match error {
        Error::Undelivered(failures) => {
            failures.iter().any(|failure| failure.outcome == Outcome::Unknown)
        }
        _ => false,
    };
    Undelivered::new_err((error.to_string(), unknown))
}
