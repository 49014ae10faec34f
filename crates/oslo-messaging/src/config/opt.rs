//! What is known of an option before anybody sets it: name, kind, default, help.
//!
//! Types only. A program's options are a table of these, which a `Schema` reads; those of messaging
//! are in `messaging`. Called by all of `config` and by whoever makes documentation, samples or
//! other option objects from a table.

use std::fmt;

use super::value::expected;

/// The group without a name of its own.
pub const DEFAULT: &str = "DEFAULT";

/// One option of a table.
///
/// ```
/// use oslo_messaging::config::{DEFAULT, Kind, Opt};
///
/// const PORT: Opt = Opt::new(DEFAULT, "bind_port", Kind::Port, "9696", "Where to listen.")
///     .deprecated(&[(DEFAULT, "port")]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Opt {
    /// The group, such as `oslo_messaging_kafka`; `DEFAULT` is a group like others.
    pub group: &'static str,
    /// The name, such as `consumer_group`, in files, URL queries and programs alike.
    pub name: &'static str,
    /// The type and range of its values.
    pub kind: Kind,
    /// What it is when nobody sets it.
    pub default: DefaultValue,
    /// Whether its value never shows in logs, `Debug` or errors.
    pub secret: bool,
    /// Whether a running program takes another value of it, at
    /// [`Transport::reload`](crate::Transport::reload).
    pub mutable: bool,
    /// Whether the reference oslo.messaging does not have it.
    pub ours: bool,
    /// Whether it is read, checked and shown, and changes nothing here. The help says why.
    pub without_effect: bool,
    /// Older `(group, name)` pairs that are still read.
    pub deprecated: &'static [(&'static str, &'static str)],
    /// What it does, with unit and the meaning of special values.
    pub help: &'static str,
}

/// The type and range of an option's values. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text. Read with [`Options::str`](super::Options::str).
    String,
    /// One of these words, compared with regard to case. Read with `str`.
    Choice(&'static [&'static str]),
    /// One of these words, or `prefix` and a text after it. Read with `str`.
    ChoiceOrPrefix {
        /// The words, such as `publisher_id`.
        choices: &'static [&'static str],
        /// Such as `payload:`.
        prefix: &'static str,
    },
    /// An integer. Read with `int`.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// An integer from `min` to `max`, or -1 for what the help says. Read with `int`.
    IntegerOrMinusOne {
        /// Smallest value but -1.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A finite number. Read with `float`.
    Float {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// A time in seconds, fractions allowed. Read with `seconds` or `float`.
    Seconds {
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
    /// `true`, `1`, `on`, `yes` or `false`, `0`, `off`, `no` in any case. Read with `boolean`.
    Boolean,
    /// The number of a port, 0 to 65535. Read with `int`.
    Port,
    /// The name or the address of a host, without a port; a name's last dot is removed. Read with
    /// `str`.
    Host,
    /// Texts separated by commas, white space around each removed. Read with `list`.
    List,
    /// A text for each time that the option is given, of all files. Read with `list`.
    MultiString,
    /// `name:value` pairs separated by commas. Read with `dict`.
    Dict,
}

/// What an option is when nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefaultValue {
    /// Nothing: an empty text, an empty list.
    Unset,
    /// The value as it would stand in a file.
    Text(&'static str),
    /// The file name of the running program, such as `nova-compute`.
    ProgramName,
    /// The name of this host, such as `node1`.
    HostName,
}

impl Kind {
    /// The name of the type in sample files, such as `floating point value`.
    #[must_use]
    pub fn sample_name(&self) -> &'static str {
        match self {
            Self::String | Self::Choice(_) | Self::ChoiceOrPrefix { .. } => "string value",
            Self::Integer { .. } | Self::IntegerOrMinusOne { .. } => "integer value",
            Self::Float { .. } | Self::Seconds { .. } => "floating point value",
            Self::Boolean => "boolean value",
            Self::Port => "port value",
            Self::Host => "host address value",
            Self::List => "list value",
            Self::MultiString => "multi valued",
            Self::Dict => "dict value",
        }
    }
}

/// What is valid, in words, such as `an integer from 1 to 65535`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&expected(self))
    }
}

impl Opt {
    /// Whether every text counts, not only the last one.
    #[must_use]
    pub fn is_multi(&self) -> bool {
        matches!(self.kind, Kind::MultiString)
    }

    /// An option of a group, with its default as it would stand in a file.
    #[must_use]
    pub const fn new(
        group: &'static str,
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            group,
            name,
            kind,
            default: DefaultValue::Text(default),
            secret: false,
            mutable: false,
            ours: false,
            without_effect: false,
            deprecated: &[],
            help,
        }
    }

    /// The option's name and its older names, the one that wins first.
    pub(super) fn names(&self) -> Vec<(&'static str, &'static str)> {
        let mut names = vec![(self.group, self.name)];
        names.extend(self.deprecated);
        names
    }

    /// With another kind of default.
    #[must_use]
    pub const fn default(mut self, default: DefaultValue) -> Self {
        self.default = default;
        self
    }

    /// Never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Taken while the program runs.
    #[must_use]
    pub const fn mutable(mut self) -> Self {
        self.mutable = true;
        self
    }

    /// Not known to the reference.
    #[must_use]
    pub(super) const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    /// Accepted, and without effect: services have it in their files.
    #[must_use]
    pub(super) const fn without_effect(mut self) -> Self {
        self.without_effect = true;
        self
    }

    /// With older `(group, name)` pairs, the one that wins first.
    #[must_use]
    pub const fn deprecated(mut self, names: &'static [(&'static str, &'static str)]) -> Self {
        self.deprecated = names;
        self
    }
}
