//! Polling, and what was polled.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use oslo_messaging::{Notification, Priority, Target};
use pyo3::{
    Bound, Py, PyAny, PyResult, Python, intern, pyclass, pymethods,
    sync::PyOnceLock,
    types::{PyAnyMethods, PyDict, PyModule},
};

use crate::{
    fork::OfProcess,
    transport::{seconds, to_python},
    wake::WakeFd,
};

/// Notifications that arrive.
#[pyclass(frozen, module = "oslo_messaging_rs._native")]
pub(crate) struct PollListener {
    listener: OfProcess<oslo_messaging::PollListener>,
    wake: Arc<WakeFd>,
}

impl PollListener {
    pub(crate) fn start(
        py: Python<'_>,
        transport: &oslo_messaging::Transport,
        targets: Vec<(Target, Priority)>,
        pool: Option<String>,
        batch_size: usize,
        batch_timeout: Duration,
    ) -> PyResult<Self> {
        let wake = WakeFd::new()?;
        let woken = Arc::clone(&wake);
        let mut builder = oslo_messaging::PollListener::builder(transport)
            .batch_size(batch_size)
            .batch_timeout(batch_timeout)
            .waker(move || woken.set());
        for (target, priority) in targets {
            builder = builder.target(target, priority);
        }
        if let Some(pool) = pool {
            builder = builder.pool(pool);
        }
        let listener = py.detach(|| builder.start()).map_err(|error| to_python(&error))?;
        Ok(Self { listener: OfProcess::new(listener), wake })
    }
}

#[pymethods]
impl PollListener {
    /// The next messages; an empty list when `timeout` seconds have passed; `None` when there are
    /// no more.
    fn poll(&self, py: Python<'_>, timeout: f64) -> PyResult<Option<Vec<IncomingMessage>>> {
        let (listener, timeout) = (self.listener.get()?, seconds(timeout)?);
        let polled = if timeout.is_zero() {
            self.wake.clear();
            listener.poll(timeout)
        } else {
            py.detach(|| listener.poll(timeout))
        };
        match polled {
            Some(messages) => Ok(Some(messages.into_iter().map(IncomingMessage::new).collect())),
            None if listener.has_ended() => Ok(None),
            None => Ok(Some(Vec::new())),
        }
    }

    /// Whether it was started in this process, not in its parent.
    #[getter]
    fn is_here(&self) -> bool {
        self.listener.is_here()
    }

    /// A descriptor that becomes readable when `poll(0)` has something to say.
    fn fileno(&self) -> i32 {
        self.wake.fileno()
    }

    /// Waits until notifications can arrive; the cause when they cannot within `timeout` seconds.
    fn ready(&self, py: Python<'_>, timeout: f64) -> PyResult<Option<String>> {
        let (listener, timeout) = (self.listener.get()?, seconds(timeout)?);
        Ok(py.detach(|| listener.ready(timeout)).err().map(|error| error.to_string()))
    }

    /// Begins the orderly stop.
    fn stop(&self) {
        if let Ok(listener) = self.listener.get() {
            listener.stop();
        }
    }

    /// Waits for the end of the orderly stop, at most `deadline` seconds. Gives what was left.
    fn close(&self, py: Python<'_>, deadline: f64) -> PyResult<Option<String>> {
        let (listener, deadline) = (self.listener.get()?, seconds(deadline)?);
        Ok(py.detach(|| listener.close(deadline)).err().map(|error| error.to_string()))
    }
}

/// A notification that was polled.
#[pyclass(frozen, module = "oslo_messaging_rs._native")]
pub(crate) struct IncomingMessage {
    message: OfProcess<Mutex<Option<oslo_messaging::IncomingMessage>>>,
}

impl IncomingMessage {
    fn new(message: oslo_messaging::IncomingMessage) -> Self {
        Self { message: OfProcess::new(Mutex::new(Some(message))) }
    }

    fn take(&self) -> PyResult<Option<oslo_messaging::IncomingMessage>> {
        Ok(self.message.get()?.lock().unwrap_or_else(PoisonError::into_inner).take())
    }
}

#[pymethods]
impl IncomingMessage {
    /// The context and the message, as dictionaries.
    fn unpack<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
        let message = self.message.get()?.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(message) = &*message else {
            return Err(pyo3::exceptions::PyRuntimeError::new_err("it was answered"));
        };
        let Notification {
            message_id,
            publisher_id,
            event_type,
            priority,
            payload,
            timestamp,
            context,
            ..
        } = message.notification();
        let unpacked = PyDict::new(py);
        // A notifier without a publisher id sends null.
        let publisher_id = (!publisher_id.is_empty()).then_some(publisher_id.as_str());
        unpacked.set_item(intern!(py, "message_id"), message_id)?;
        unpacked.set_item(intern!(py, "publisher_id"), publisher_id)?;
        unpacked.set_item(intern!(py, "event_type"), event_type)?;
        unpacked.set_item(intern!(py, "priority"), priority.as_upper_str())?;
        unpacked.set_item(intern!(py, "payload"), loads(py, payload.as_json())?)?;
        unpacked.set_item(intern!(py, "timestamp"), timestamp)?;
        Ok((loads(py, context.as_json())?, unpacked))
    }

    /// It was handled. Gives the message that waited for it, if that is there.
    fn acknowledge(&self) -> PyResult<Option<Self>> {
        Ok(self.take()?.and_then(|message| message.acknowledge()).map(Self::new))
    }

    /// It is to be handled again.
    fn requeue(&self) -> PyResult<()> {
        if let Some(message) = self.take()? {
            message.requeue();
        }
        Ok(())
    }
}

/// Python's own reader: numbers of any size, NaN and lone surrogates come as Python has them. The
/// text was checked before and begins with its value.
fn loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    static SCAN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if text == "{}" {
        return Ok(PyDict::new(py).into_any());
    }
    let scan = SCAN.get_or_try_init(py, || -> PyResult<_> {
        let decoder = PyModule::import(py, "json")?.getattr("JSONDecoder")?.call0()?;
        Ok(decoder.getattr("scan_once")?.unbind())
    })?;
    scan.bind(py).call1((text, 0))?.get_item(0)
}
