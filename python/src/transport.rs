//! A transport, and what it is opened with.

use std::{str::FromStr, sync::Arc, time::Duration};

use oslo_messaging::{EncodedNotification, Error, Priority, Target, config::Config, wire};
use pyo3::{
    Bound, IntoPyObject, PyErr, PyResult, Python,
    exceptions::{PyOSError, PyRuntimeError, PyValueError},
    pyclass, pymethods,
    types::{PyDict, PyDictMethods},
};

use crate::{
    fork::OfProcess,
    listener::PollListener,
    log,
    receipt::{self, Receipt},
};

/// A way to a broker. No thread and no connection until the first sending or listener.
#[pyclass(frozen, module = "oslo_messaging_rs._native")]
pub(crate) struct Transport {
    transport: OfProcess<oslo_messaging::Transport>,
}

#[pymethods]
impl Transport {
    /// Opens `url` with `(group, option, value)` settings, values as they would stand in a file.
    #[new]
    fn new(url: &str, settings: Vec<(String, String, String)>) -> PyResult<Self> {
        let mut config = Config::new();
        for (group, name, value) in settings {
            config.set(&group, &name, &value);
        }
        let builder = oslo_messaging::Transport::builder().url(url).config(config);
        let builder = builder.on_outcome(log::outcome);
        let transport = builder.for_notifications().map_err(|error| to_python(&error))?;
        Ok(Self { transport: OfProcess::new(transport) })
    }

    /// Whether it was opened in this process, not in its parent.
    #[getter]
    fn is_here(&self) -> bool {
        self.transport.is_here()
    }

    /// Whether requeued notifications come again.
    #[getter]
    fn redelivers(&self) -> PyResult<bool> {
        Ok(self.transport.get()?.redelivers())
    }

    /// Sends the JSON text of a notification to a topic that ends in its priority. Blocks only while
    /// the queue is full. `None`: it is queued or spooled.
    fn send(
        &self,
        py: Python<'_>,
        topic: &str,
        message_id: &str,
        event_type: &str,
        inner: &str,
        retry: i64,
    ) -> PyResult<Option<Receipt>> {
        let transport = self.transport.get()?;
        let (target, notification) = outgoing(topic, message_id, event_type, inner)?;
        let receipt =
            py.detach(|| transport.send_notification(&target, notification, retry.into()));
        // What is accepted has its answer already.
        Ok(receipt.sent().is_none().then(|| Receipt::new(receipt)))
    }

    /// The same, and blocks until the answer is there.
    fn deliver(
        &self,
        py: Python<'_>,
        topic: &str,
        message_id: &str,
        event_type: &str,
        inner: &str,
        retry: i64,
    ) -> PyResult<()> {
        let transport = self.transport.get()?;
        let (target, notification) = outgoing(topic, message_id, event_type, inner)?;
        // In one piece: each change of the interpreter's lock is a change of threads.
        let (receipt, answer) = py.detach(|| {
            let receipt = transport.send_notification(&target, notification, retry.into());
            let answer = receipt::wait(&receipt);
            (receipt, answer)
        });
        match answer {
            Some(outcome) => outcome.map_err(|error| receipt::undelivered(&error)),
            None => Receipt::new(receipt).wait(py),
        }
    }

    /// Starts to listen to `(topic, priority)` targets.
    #[pyo3(signature = (targets, pool, batch_size, batch_timeout))]
    fn listen(
        &self,
        py: Python<'_>,
        targets: Vec<(String, String)>,
        pool: Option<String>,
        batch_size: usize,
        batch_timeout: f64,
    ) -> PyResult<PollListener> {
        let batch_timeout = seconds(batch_timeout)?;
        let mut wanted = Vec::with_capacity(targets.len());
        for (topic, priority) in targets {
            let priority = Priority::from_str(&priority)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            wanted.push((Target::new(topic), priority));
        }
        let transport = self.transport.get()?;
        PollListener::start(py, transport, wanted, pool, batch_size, batch_timeout)
    }

    /// Begins at once what otherwise the first notification begins.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let transport = self.transport.get()?;
        py.detach(|| transport.start()).map_err(|error| to_python(&error))
    }

    /// Waits for what was handed over, at most `deadline` seconds. Gives what was lost in words.
    fn close(&self, py: Python<'_>, deadline: f64) -> PyResult<Option<String>> {
        let (transport, deadline) = (self.transport.get()?, seconds(deadline)?);
        Ok(py.detach(|| transport.close(deadline)).err().map(|error| error.to_string()))
    }

    /// The counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        for (name, value) in self.transport.get()?.stats().all() {
            stats.set_item(name, value.into_pyobject(py)?)?;
        }
        Ok(stats)
    }
}

fn outgoing(
    topic: &str,
    message_id: &str,
    event_type: &str,
    inner: &str,
) -> PyResult<(Arc<Target>, EncodedNotification)> {
    let (topic, priority) = topic_and_priority(topic)?;
    let notification = EncodedNotification {
        message_id: message_id.to_owned(),
        event_type: event_type.to_owned(),
        priority,
        body: wire::envelope(inner),
    };
    Ok((Arc::new(Target::new(topic)), notification))
}

/// `notifications.info` as the notifier gives it.
fn topic_and_priority(topic: &str) -> PyResult<(&str, Priority)> {
    let split = topic.rsplit_once('.');
    let parsed = split.and_then(|(name, end)| Some((name, Priority::from_str(end).ok()?)));
    parsed.ok_or_else(|| {
        let words =
            format!("topic {topic:?} does not end in a priority, such as notifications.info");
        PyValueError::new_err(words)
    })
}

pub(crate) fn seconds(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Configuration is a `ValueError`, files an `OSError`, anything else a `RuntimeError`.
pub(crate) fn to_python(error: &Error) -> PyErr {
    let words = error.to_string();
    match error {
        Error::InvalidUrl { .. }
        | Error::UnknownScheme { .. }
        | Error::NotBuilt { .. }
        | Error::UnknownOption { .. }
        | Error::InvalidOption { .. }
        | Error::InvalidSetting { .. }
        | Error::InvalidTopic { .. }
        | Error::InvalidConfig { .. }
        | Error::Unsupported { .. } => PyValueError::new_err(words),
        Error::File { .. } => PyOSError::new_err(words),
        _ => PyRuntimeError::new_err(words),
    }
}
