//! The options of one group, found, typed and checked: what drivers and notifiers read.
//!
//! Made by `schema`. Called by `transport`, `notify` and the drivers' `config` modules, which read
//! values with the getters and keep no defaults of their own.

use std::{fmt, time::Duration};

use super::{
    Origin,
    opt::{Kind, Opt},
    value::Value,
};

/// The typed values of all options of one group.
///
/// A getter panics when the table has no such name in the group, or one of another kind: that is
/// a mistake in the program, not in its configuration.
///
/// ```
/// use oslo_messaging::config::{Config, KAFKA, Options};
///
/// let query = [("delivery_timeout".to_owned(), "2.5".to_owned())];
/// let options = Options::resolve(KAFKA, &Config::new(), &query)?;
/// assert_eq!(options.seconds("delivery_timeout").as_millis(), 2500);
/// assert!(options.is_set("delivery_timeout") && !options.is_set("delivery"));
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    group: &'static str,
    resolved: Vec<Resolved>,
}

#[derive(Clone)]
struct Resolved {
    opt: &'static Opt,
    value: Value,
    origin: Origin,
}

impl Options {
    /// What was found, in the order of the table.
    pub(super) fn new(group: &'static str, found: Vec<(&'static Opt, Value, Origin)>) -> Self {
        let resolved =
            found.into_iter().map(|(opt, value, origin)| Resolved { opt, value, origin });
        Self { group, resolved: resolved.collect() }
    }

    /// The group, such as `oslo_messaging_kafka`.
    pub fn group(&self) -> &'static str {
        self.group
    }

    /// The text of an option; empty for one that has no default and is not set.
    pub fn str(&self, name: &str) -> &str {
        match &self.get(name).value {
            Value::Text(text) => text,
            _ => self.wrong_kind(name, "a text"),
        }
    }

    /// The value of an integer option.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name).value {
            Value::Integer(value) => value,
            _ => self.wrong_kind(name, "an integer"),
        }
    }

    /// The value of a number option, or of a time in seconds.
    pub fn float(&self, name: &str) -> f64 {
        match self.get(name).value {
            Value::Float(value) => value,
            _ => self.wrong_kind(name, "a number"),
        }
    }

    /// The value of a time option. Whether 0 is possible says the table.
    pub fn seconds(&self, name: &str) -> Duration {
        match self.get(name).opt.kind {
            // The table's bounds keep times in the range of a Duration.
            Kind::Seconds { .. } => Duration::from_secs_f64(self.float(name)),
            _ => self.wrong_kind(name, "a time"),
        }
    }

    /// The value of a boolean option.
    pub fn boolean(&self, name: &str) -> bool {
        match self.get(name).value {
            Value::Boolean(value) => value,
            _ => self.wrong_kind(name, "a boolean"),
        }
    }

    /// The items of a list or multi-string option, in their order.
    pub fn list(&self, name: &str) -> &[String] {
        match &self.get(name).value {
            Value::List(items) => items,
            _ => self.wrong_kind(name, "a list"),
        }
    }

    /// The pairs of a dictionary option, in their order, each name once.
    pub fn dict(&self, name: &str) -> &[(String, String)] {
        match &self.get(name).value {
            Value::Dict(pairs) => pairs,
            _ => self.wrong_kind(name, "a dictionary"),
        }
    }

    /// Where the value comes from; for a multi-string, where its last text does.
    pub fn origin(&self, name: &str) -> &Origin {
        &self.get(name).origin
    }

    /// Whether somebody set the option, be it to its default.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name).origin != Origin::Default
    }

    fn get(&self, name: &str) -> &Resolved {
        match self.resolved.iter().find(|resolved| resolved.opt.name == name) {
            Some(resolved) => resolved,
            None => panic!("no option [{}] {name} in the table of options", self.group),
        }
    }

    fn wrong_kind(&self, name: &str, asked: &str) -> ! {
        let kind = self.get(name).opt.kind;
        panic!("option [{}] {name} is {kind:?} and was asked for {asked}", self.group)
    }
}

/// Shows each value with its origin; secrets as `***`.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.resolved.iter().map(|Resolved { opt, value, origin }| {
            (opt.name, format!("{} ({origin})", value.shown(opt)))
        });
        write!(f, "Options [{}] ", self.group)?;
        f.debug_map().entries(values).finish()
    }
}
