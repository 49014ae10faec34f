//! The module `oslo_messaging_rs._native`: the library as Python sees it. The package around it is
//! an oslo.messaging driver; what both promise is the library's.
//!
//! | file | has |
//! |---|---|
//! | `transport` | a transport, and what it is opened with |
//! | `encode` | a notification's objects as JSON |
//! | `receipt` | waiting for the answer to a sending, in threads and in event loops |
//! | `listener` | polling, and what was polled |
//! | `log` | what the library says, kept until a Python thread takes it |
//! | `options` | the table of options |
//! | `fork` | values that a forked child must not touch |
//! | `wake` | file descriptors that become readable |
//!
//! No function here calls Python from a thread that Python did not start, and none holds the
//! interpreter's lock while it waits.

mod encode;
mod fork;
mod listener;
mod log;
mod options;
mod receipt;
mod transport;
mod wake;

use pyo3::pymodule;

pyo3::create_exception!(
    oslo_messaging_rs._native,
    Undelivered,
    pyo3::exceptions::PyException,
    "A notification was not confirmed. Arguments: the reason, and whether the broker may have it."
);

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        Undelivered,
        encode::encode,
        listener::{IncomingMessage, PollListener},
        log::{log_fileno, set_log_level, start_log, take_log},
        options::options,
        receipt::Receipt,
        transport::Transport,
    };
}
