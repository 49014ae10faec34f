//! The one public error of the library.
//!
//! Each module keeps its own way of failing private and turns it into one of these variants at
//! its door. A text says what, where and what would be valid; it never repeats its source.

use std::{fmt, io, path::PathBuf};

use crate::{message::Priority, wire::DecodeError};

/// What went wrong, by what the caller can do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A transport URL cannot be read. Mend the URL.
    InvalidUrl {
        /// The URL with its passwords masked, such as `kafka://user:***@host:90x2/`.
        url: String,
        /// Zero-based character of `url` at which reading stopped.
        at: usize,
        /// What is wrong there, such as `port "90x2" is not a number`.
        reason: String,
        /// What would be valid there, such as `a number from 1 to 65535`.
        expected: String,
    },
    /// No driver has the URL's scheme.
    UnknownScheme {
        /// The scheme as given, such as `kafak`.
        scheme: String,
        /// The schemes that this build can open.
        built: Vec<&'static str>,
    },
    /// The driver exists, but this build was made without it.
    NotBuilt {
        /// The scheme and cargo feature, such as `kafka`.
        driver: &'static str,
        /// The schemes that this build can open.
        built: Vec<&'static str>,
    },
    /// The driver cannot do what was asked of it.
    Unsupported {
        /// The driver, such as `kafka`.
        driver: &'static str,
        /// What was asked, such as `RPC`.
        what: String,
        /// What would do instead, such as `use a rabbit:// or amqp:// transport URL for RPC`.
        instead: String,
    },
    /// An option's value is not valid. Mend the place that `origin` names.
    InvalidOption {
        /// The group, such as `oslo_messaging_kafka`.
        group: &'static str,
        /// The option's name.
        name: String,
        /// The value as given; `***` for secrets.
        value: String,
        /// Where the value came from, such as `/etc/nova/nova.conf:12` or `transport URL`.
        origin: String,
        /// What would be valid, such as `one of none, gzip, snappy, lz4, zstd`.
        expected: String,
    },
    /// No option has that name.
    UnknownOption {
        /// The name as given.
        name: String,
        /// Where it was given, such as `transport URL`.
        origin: String,
        /// The names that are valid there.
        valid: Vec<&'static str>,
    },
    /// A configuration file cannot be read as oslo.config would read it.
    InvalidConfig {
        /// The file.
        path: PathBuf,
        /// One-based line.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A file cannot be opened or read.
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A filter's regular expression is not one that Python's `re` would take.
    InvalidPattern {
        /// What the pattern is for, such as `event_type` or `payload.state`.
        field: String,
        /// The pattern as given.
        pattern: String,
        /// Zero-based character of `pattern`.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A topic name that the broker would refuse.
    InvalidTopic {
        /// The whole name, with priority and virtual host.
        topic: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// A word that is no priority.
    InvalidPriority {
        /// The word as given.
        given: String,
    },
    /// A payload or a context is not JSON, or not of the shape that is needed.
    InvalidJson {
        /// Which text, such as `payload` or `context`.
        what: &'static str,
        /// Zero-based byte of the text.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A value has no JSON form, or a JSON text does not fit the asked type.
    Conversion {
        /// Which text, such as `payload` or `context`.
        what: &'static str,
        /// The JSON library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record is not an oslo notification.
    Undecodable {
        /// Why.
        source: DecodeError,
    },
    /// A setting of a listener or a notifier that cannot work.
    InvalidSetting {
        /// The setting, such as `batch_size`.
        name: &'static str,
        /// What was given and why it cannot work.
        reason: String,
    },
    /// A notification did not arrive at one or more of its topics, or nobody knows whether it did.
    Undelivered(Vec<Undelivered>),
    /// The listener has no partitions yet.
    NotReady {
        /// What stands in the way, as far as it is known.
        cause: String,
    },
    /// The notifier, listener or transport was closed before.
    Closed {
        /// What was closed, such as `notifier`.
        what: &'static str,
    },
    /// The broker or its client library refused an operation.
    Broker {
        /// The driver, such as `kafka`.
        driver: &'static str,
        /// What was tried, such as `create the consumer`.
        operation: String,
        /// The client library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder of `delivery = spooled` cannot be used.
    Spool {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A transport was closed while notifications were on their way, and these did not arrive or
    /// nobody knows whether they did. Each was logged, too.
    Lost {
        /// What was closed, such as `kafka producer`.
        what: &'static str,
        /// How many are not on the broker.
        not_delivered: usize,
        /// How many were sent and not answered.
        unknown: usize,
        /// The message ids of the first hundred of them.
        message_ids: Vec<String>,
    },
    /// A deadline passed before everything was done: endpoints were still at work, or a log handler's
    /// notifications still under way.
    Unfinished {
        /// What was being closed, such as `kafka listener`.
        what: &'static str,
        /// How many notifications were not done with: taken and not handled, or not sent.
        left: usize,
    },
}

/// One notification that was not confirmed by the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// Whether it may have been stored all the same.
    pub outcome: Outcome,
    /// The topic on the broker, such as `notifications.info`.
    pub topic: String,
    /// The notification's event type, such as `compute.instance.create.end`.
    pub event_type: String,
    /// The notification's message id.
    pub message_id: String,
    /// The notification's priority.
    pub priority: Priority,
    /// Size of the encoded record in bytes.
    pub size_bytes: usize,
    /// Why.
    pub cause: Cause,
    /// The broker's or the client library's own words.
    pub detail: String,
}

/// What is known of a notification that was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is not on the broker: never sent, or refused. Sending it again makes no duplicate.
    NotDelivered,
    /// It was sent and nobody answered: it may be on the broker.
    Unknown,
}

/// Why a notification was not confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No answer within the delivery timeout, or the caller stopped waiting.
    TimedOut,
    /// No broker could be reached.
    Unreachable,
    /// Larger than the client's or the broker's limit.
    TooLarge,
    /// The topic does not exist and may not be created.
    UnknownTopic,
    /// The broker would not take the topic's name.
    InvalidTopic,
    /// The credentials were refused.
    Authentication,
    /// The user may not write to the topic.
    Authorization,
    /// The notification has no wire form.
    Encoding,
    /// The broker is too old for what the options ask, such as zstd before Kafka 2.1; `detail`
    /// says what would do.
    Unsupported,
    /// The producer's queue is full.
    QueueFull,
    /// The broker does not take this record, by its own rules.
    Refused,
    /// The notifier was closed first.
    Closed,
    /// Anything else; `detail` has the words.
    Other,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDelivered => "not delivered",
            Self::Unknown => "sent but not confirmed",
        })
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "notification {} ({}, {} bytes) for topic {} was {}: {}",
            self.message_id,
            self.event_type,
            self.size_bytes,
            self.topic,
            self.outcome,
            self.detail
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl { url, at, reason, expected } => {
                write!(f, "transport URL {url}: character {at}: {reason}; expected {expected}")
            }
            Self::UnknownScheme { scheme, built } => write!(
                f,
                "no driver for transport URL scheme \"{scheme}\"; this build has {}",
                built.join(", ")
            ),
            Self::NotBuilt { driver, built } => write!(
                f,
                "this build has no {driver} driver (cargo feature \"{driver}\"); it has {}",
                built.join(", ")
            ),
            Self::Unsupported { driver, what, instead } => {
                write!(f, "the {driver} driver does not support {what}; {instead}")
            }
            Self::InvalidOption { group, name, value, origin, expected } => {
                write!(f, "option [{group}] {name} = \"{value}\" ({origin}): expected {expected}")
            }
            Self::UnknownOption { name, origin, valid } => {
                write!(f, "unknown option \"{name}\" ({origin}); valid are {}", valid.join(", "))
            }
            Self::InvalidConfig { path, line, reason } => {
                write!(f, "{}:{line}: {reason}", path.display())
            }
            Self::File { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::InvalidPattern { field, pattern, at, reason } => {
                write!(f, "filter {field}: pattern \"{pattern}\": character {at}: {reason}")
            }
            Self::InvalidTopic { topic, reason } => {
                write!(f, "topic \"{topic}\" is not valid: {reason}")
            }
            Self::InvalidPriority { given } => write!(
                f,
                "unknown priority \"{given}\"; valid are debug, info, warn, error, critical, audit, sample"
            ),
            Self::InvalidJson { what, at, reason } => {
                write!(f, "{what} is not valid JSON: byte {at}: {reason}")
            }
            Self::Conversion { what, .. } => write!(f, "{what} could not be converted"),
            Self::Undecodable { .. } => f.write_str("the record is not an oslo notification"),
            Self::InvalidSetting { name, reason } => write!(f, "{name}: {reason}"),
            Self::Undelivered(failures) => {
                for (index, failure) in failures.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{failure}")?;
                }
                Ok(())
            }
            Self::NotReady { cause } => write!(f, "the listener is not ready: {cause}"),
            Self::Closed { what } => write!(f, "the {what} is closed"),
            Self::Broker { driver, operation, .. } => write!(f, "{driver}: could not {operation}"),
            Self::Spool { path, .. } => write!(f, "the spool {} cannot be used", path.display()),
            Self::Lost { what, not_delivered, unknown, message_ids } => {
                write!(
                    f,
                    "{what}: closed with {not_delivered} notifications not delivered and {unknown} \
                     sent but not confirmed: {}",
                    message_ids.join(", ")
                )?;
                match (not_delivered + unknown).saturating_sub(message_ids.len()) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Self::Unfinished { what, left } => {
                write!(f, "{what}: {left} notifications were not done with before the deadline")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Spool { source, .. } => Some(source),
            Self::Conversion { source, .. } | Self::Broker { source, .. } => Some(&**source),
            Self::Undecodable { source } => Some(source),
            _ => None,
        }
    }
}

impl From<DecodeError> for Error {
    fn from(source: DecodeError) -> Self {
        Self::Undecodable { source }
    }
}
