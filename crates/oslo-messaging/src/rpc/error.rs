//! What a call may end with other than a result.

use std::{fmt, time::Duration};

use super::RemoteError;
use crate::Error;

/// Why a call or a cast did not succeed, by what the caller can do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum RpcError {
    /// No answer came in time. The method may run, have run, or never run. `MessagingTimeout` of
    /// the reference.
    Timeout {
        /// The method.
        method: String,
        /// Whom it was sent to, such as `topic compute, server host1`.
        to: String,
        /// How long it was waited for: the timeout, or with a monitored call the time without a
        /// sign of life.
        after: Duration,
        /// Whether the server gave no sign of life, though it had promised (call monitor).
        silent: bool,
        /// What is known of why, such as that no broker can be reached.
        detail: Option<String>,
    },
    /// The broker has no queue for it: nobody listens there. Only for clients that ask to be told
    /// ([`at_least_once`](super::RpcClientBuilder::at_least_once)). `MessageUndeliverable` of the
    /// reference.
    Undeliverable {
        /// The method.
        method: String,
        /// The exchange it was sent to, such as `openstack`.
        exchange: String,
        /// The routing key, such as `compute.host1`.
        routing_key: String,
    },
    /// The request could not be handed to the broker. `MessageDeliveryFailure` of the reference.
    NotSent {
        /// The method.
        method: String,
        /// Whether it may have been all the same: it was sent, and nobody answered.
        is_unknown: bool,
        /// Why.
        detail: String,
    },
    /// The method's version is above what the client may send. `RPCVersionCapError` of the reference.
    VersionCap {
        /// The method.
        method: String,
        /// The version of the call.
        version: String,
        /// The highest version that the client may send.
        cap: String,
    },
    /// No endpoint of the server serves this version, or this namespace.
    UnsupportedVersion {
        /// The server's words.
        message: String,
    },
    /// An endpoint serves the version, but none has the method.
    NoSuchMethod {
        /// The server's words.
        message: String,
    },
    /// The method failed.
    Remote(Box<RemoteError>),
    /// The call cannot be made so, such as a call to all servers of a topic.
    Invalid {
        /// What is wrong, and what would be valid.
        reason: String,
    },
    /// The result or the arguments do not fit.
    Conversion(Error),
    /// The transport is closed, or cannot do this.
    Transport(Error),
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { method, to, after, silent, detail } => {
                let what = if *silent { "sign of life" } else { "answer" };
                write!(f, "no {what} for {method} from {to} within {} s", after.as_secs_f64())?;
                match detail {
                    Some(detail) => write!(f, ": {detail}"),
                    None => Ok(()),
                }
            }
            Self::Undeliverable { method, exchange, routing_key } => write!(
                f,
                "{method} could not be delivered: no queue for routing key \"{routing_key}\" in \
                 exchange \"{exchange}\", so nobody listens there"
            ),
            Self::NotSent { method, is_unknown: true, detail } => {
                write!(f, "{method} was sent but not confirmed: {detail}")
            }
            Self::NotSent { method, is_unknown: false, detail } => {
                write!(f, "{method} could not be sent: {detail}")
            }
            Self::VersionCap { method, version, cap } => write!(
                f,
                "{method} has version {version}, and this client may send {cap} at the most"
            ),
            Self::UnsupportedVersion { message } | Self::NoSuchMethod { message } => {
                f.write_str(message)
            }
            Self::Remote(error) => error.fmt(f),
            Self::Invalid { reason } => f.write_str(reason),
            Self::Conversion(error) | Self::Transport(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RpcError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Conversion(error) | Self::Transport(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        match error {
            Error::Conversion { .. } | Error::InvalidJson { .. } => Self::Conversion(error),
            error => Self::Transport(error),
        }
    }
}
