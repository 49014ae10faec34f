//! What the broker and the client library say, in the library's words.

use lapin::{
    ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};

use crate::error::Cause;

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// With the host, such as `127.0.0.1:5672: connection refused`.
    pub(super) words: String,
    pub(super) cause: Cause,
}

impl Refused {
    pub(super) fn new(address: &str, cause: Cause, words: impl std::fmt::Display) -> Self {
        Self { words: format!("{address}: {words}"), cause }
    }

    /// Whether trying again makes no difference before somebody mends something.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.cause, Cause::Authentication | Cause::Authorization)
    }
}

/// What an error is about.
pub(super) fn cause(error: &lapin::Error) -> Cause {
    let ErrorKind::ProtocolError(error) = error.kind() else { return Cause::Unreachable };
    match error.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Cause::Authorization,
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Cause::Authorization,
        AMQPErrorKind::Soft(AMQPSoftError::CONTENTTOOLARGE) => Cause::TooLarge,
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Cause::UnknownTopic,
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => {
            let is_size = error.get_message().as_str().contains("message size");
            if is_size { Cause::TooLarge } else { Cause::Refused }
        }
        _ => Cause::Other,
    }
}

/// Whether a login was refused, and not a right.
pub(super) fn is_login(error: &lapin::Error) -> bool {
    let words = error.to_string();
    words.contains("ACCESS_REFUSED") && words.contains("ogin was refused")
}
