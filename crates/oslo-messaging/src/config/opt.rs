//! What is known of an option before anybody sets it: name, kind, default, help.
//!
//! Types only; the options themselves are in `table`. Called by all of `config` and by whoever
//! makes documentation, samples or other option objects from the table.

use super::table::TABLE;

/// The group of the Kafka driver.
pub const KAFKA: &str = "oslo_messaging_kafka";
/// The group of the notifier.
pub const NOTIFICATIONS: &str = "oslo_messaging_notifications";
/// The group without a name of its own.
pub const DEFAULT: &str = "DEFAULT";

/// One option of the table.
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
    /// Whether the reference oslo.messaging does not have it.
    pub ours: bool,
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
}

impl Opt {
    pub(super) const fn new(
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
            ours: false,
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

    pub(super) const fn default(mut self, default: DefaultValue) -> Self {
        self.default = default;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(super) const fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    pub(super) const fn deprecated(
        mut self,
        names: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.deprecated = names;
        self
    }
}

/// All options that the library knows, group by group.
pub fn table() -> &'static [Opt] {
    TABLE
}

/// The option of a group and name, compared exactly.
pub(super) fn find(group: &str, name: &str) -> Option<&'static Opt> {
    TABLE.iter().find(|opt| opt.group == group && opt.name == name)
}
