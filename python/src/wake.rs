//! A file descriptor that becomes readable: for event loops, which cannot block in a call.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    task::Wake,
};

use pyo3::{PyResult, exceptions::PyOSError};
use rustix::event::{EventfdFlags, eventfd};

pub(crate) struct WakeFd(OwnedFd);

impl WakeFd {
    pub(crate) fn new() -> PyResult<Arc<Self>> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let fd = eventfd(0, flags).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Arc::new(Self(fd)))
    }

    pub(crate) fn fileno(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Makes it readable.
    pub(crate) fn set(&self) {
        // The only failure is a full counter, which is readable too.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it unreadable until it is set again.
    pub(crate) fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl Wake for WakeFd {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}
