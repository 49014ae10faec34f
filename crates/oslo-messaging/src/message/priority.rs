//! The seven priorities.

use std::{fmt, str::FromStr};

use crate::error::Error;

/// How urgent a notification is; part of its topic, and upper case in its body.
///
/// ```
/// use oslo_messaging::Priority;
///
/// assert_eq!("Warn".parse::<Priority>()?, Priority::Warn);
/// assert_eq!(Priority::Warn.to_string(), "warn");
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
///
/// Ordered as listed here. Mirrors `PRIORITIES` of `oslo_messaging/notify/dispatcher.py`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Details for developers.
    Debug,
    /// What went as it should: nearly all of OpenStack's notifications.
    Info,
    /// What may need attention.
    Warn,
    /// What went wrong.
    Error,
    /// What stops a service.
    Critical,
    /// What auditors want to see.
    Audit,
    /// Frequent measurements, with small payloads.
    Sample,
}

impl Priority {
    /// All seven, in their order.
    pub const ALL: [Self; 7] = [
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
        Self::Critical,
        Self::Audit,
        Self::Sample,
    ];

    /// The word in topics, such as `info`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Audit => "audit",
            Self::Sample => "sample",
        }
    }

    /// The word in bodies, such as `INFO`.
    #[must_use]
    pub const fn as_upper_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
            Self::Audit => "AUDIT",
            Self::Sample => "SAMPLE",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = Error;

    /// Reads a word in any case, such as `info` or `INFO`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPriority`] for any other word; `warning` is one.
    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| Error::InvalidPriority { given: word.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_written_in_two() {
        for priority in Priority::ALL {
            assert_eq!(priority.to_string(), priority.as_str());
            assert_eq!(priority.as_upper_str(), priority.as_str().to_uppercase());
            assert_eq!(priority.as_str().parse::<Priority>().unwrap(), priority);
            assert_eq!(priority.as_upper_str().parse::<Priority>().unwrap(), priority);
        }
        assert_eq!("cRiTiCaL".parse::<Priority>().unwrap(), Priority::Critical);
        for word in ["", "warning", " info", "info ", "ınfo", "fatal"] {
            let error = word.parse::<Priority>().unwrap_err();
            assert!(matches!(error, Error::InvalidPriority { given } if given == word));
        }
    }

    #[test]
    fn all_are_listed_once_and_in_order() {
        assert!(Priority::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
