//! Threads and connections do not come along into a forked child. What has some is left alone
//! there: neither used nor dropped.

use std::{mem::ManuallyDrop, process};

use pyo3::{PyResult, exceptions::PyRuntimeError};

/// A value of the process that made it.
pub(crate) struct OfProcess<T> {
    value: ManuallyDrop<T>,
    process: u32,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), process: process::id() }
    }

    /// The value; an error in a child of the process that made it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        if self.is_here() {
            Ok(&self.value)
        } else {
            let words =
                "this belongs to the parent process; a forked child opens its own transport";
            Err(PyRuntimeError::new_err(words))
        }
    }

    pub(crate) fn is_here(&self) -> bool {
        self.process == process::id()
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.is_here() {
            drop(take(&mut self.value));
        }
    }
}

/// Takes the value out; it is not looked at again.
#[expect(unsafe_code, reason = "the only caller is a drop, after which nobody has the value")]
fn take<T>(value: &mut ManuallyDrop<T>) -> T {
    // SAFETY: called once, when the owner is dropped.
    unsafe { ManuallyDrop::take(value) }
}
