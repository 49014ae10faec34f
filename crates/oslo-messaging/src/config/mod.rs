//! Configuration as oslo.config has it: files, environment, a program's own settings, typed options.
//!
//! Nothing here but the folder `messaging` knows what the options are for: any table of [`Opt`]s is
//! read by a [`Schema`].
//!
//! | file | has |
//! |---|---|
//! | `discovery` | which files are read: those of a project and program, those that are named |
//! | `ini` | the dialect of one file |
//! | `environment` | the names of options there |
//! | `mod` | the sources together, and which of them wins |
//! | `opt`, `schema` | a table of options, and what a configuration says of each |
//! | `substitution`, `value`, `host` | `$name`, and texts into typed values |
//! | `options` | the typed values of one group |
//! | `check` | what is wrong with a configuration |
//! | `sample` | a table as a sample file |
//! | `messaging` | the options of this library |
//!
//! Called by `transport`, `notify` and the drivers, which ask `Options::resolve` for their group and
//! never read a file. A further source belongs into `Config::lookup`, in the order of precedence.

mod check;
mod discovery;
mod environment;
mod host;
mod ini;
mod messaging;
mod opt;
mod options;
mod sample;
mod schema;
mod substitution;
mod value;

use std::{
    collections::BTreeMap,
    env, fmt,
    path::{Path, PathBuf},
};

pub(crate) use self::messaging::SINKS;
#[cfg(feature = "kafka")]
pub(crate) use self::messaging::{Mechanism, STRATEGIES, mechanism, mechanisms};
#[cfg(feature = "log-handler")]
pub(crate) use self::schema::program_name;
pub use self::{
    check::{Finding, Severity},
    discovery::Sources,
    ini::{Entry, Ini},
    messaging::{
        KAFKA, NOTIFICATIONS, RABBIT, contradictions, driver_group, markdown, messaging, table,
    },
    opt::{DEFAULT, DefaultValue, Kind, Opt},
    options::Options,
    schema::{Schema, Setting},
    value::Value,
};
use crate::error::Error;

/// What files, the environment and the program itself say about options, as texts.
///
/// Precedence: what the program [`set`](Config::set), then the environment where it was
/// [asked for](Config::read_environment), then the files, later ones first. (An option in the
/// transport URL's query is above all; see [`Schema::resolve`].) [`Sources`] finds and reads all of
/// it as a service does.
///
/// ```
/// use oslo_messaging::config::{Config, KAFKA, Options};
///
/// let mut config = Config::new();
/// config.set(KAFKA, "consumer_group", "billing");
/// let options = Options::resolve(KAFKA, &config, &[])?;
/// assert_eq!(options.str("consumer_group"), "billing");
/// assert_eq!(options.int("max_poll_records"), 500);
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Config {
    overrides: Vec<Override>,
    /// Variables by their names, with the prefix.
    environment: BTreeMap<String, String>,
    files: Vec<Ini>,
}

/// What the program itself said about one option.
#[derive(Clone)]
struct Override {
    group: String,
    name: String,
    /// Never empty.
    values: Vec<String>,
}

/// A text that was found for an option, and where.
///
/// `Debug` shows where only: the text may be a password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<'a> {
    /// The text before substitution and typing, such as `$my_ip` or `500`.
    pub text: &'a str,
    /// Where it stands.
    pub origin: Origin,
}

/// Where a value came from. `Display` is what error texts say, such as `/etc/nova/nova.conf:12`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The query of the transport URL; shown as `transport URL`.
    Query,
    /// [`Config::set`] of the program; shown as `set by the program`.
    Override,
    /// An environment variable; shown as its name.
    Environment {
        /// Such as `OS_OSLO_MESSAGING_KAFKA__CONSUMER_GROUP`.
        variable: String,
    },
    /// A configuration file; shown as `path:line`.
    File {
        /// The file as given.
        path: PathBuf,
        /// The one-based line on which the assignment starts.
        line: usize,
    },
    /// The table of options; shown as `default`.
    Default,
}

impl Config {
    /// A configuration in which every option has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads files, such as `/etc/nova/nova.conf`; later ones win over earlier ones.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for one that cannot be read, [`Error::InvalidConfig`] for one that
    /// oslo.config would refuse.
    pub fn from_files<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        let files = paths.iter().map(Ini::read).collect::<Result<_, _>>()?;
        Ok(Self { files, ..Self::default() })
    }

    /// Takes options from this process's environment: `OS_<GROUP>__<OPTION>`, in upper case, such as
    /// `OS_DEFAULT__TRANSPORT_URL`. A variable wins over the files. Older names of an option are not
    /// looked for there.
    ///
    /// A multi-string has one value then, the whole variable. (oslo.config makes a value of each of
    /// its characters.)
    pub fn read_environment(&mut self) -> &mut Self {
        let text = |name: std::ffi::OsString| name.to_string_lossy().into_owned();
        self.set_environment(env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// As [`Config::read_environment`], with variables from elsewhere. Names that are no options'
    /// are left out.
    pub fn set_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> &mut Self {
        let options = variables.into_iter().filter(|(name, _)| environment::is_option(name));
        self.environment = options.collect();
        self
    }

    /// The environment variables that name options, in their order.
    pub fn environment(&self) -> impl Iterator<Item = &str> {
        self.environment.keys().map(String::as_str)
    }

    /// Adds a file that was read already; it wins over those before it.
    pub fn add(&mut self, file: Ini) -> &mut Self {
        self.files.push(file);
        self
    }

    /// The files, later ones winning, for whoever checks what they hold.
    pub fn files(&self) -> &[Ini] {
        &self.files
    }

    /// Sets an option from the program: `set("oslo_messaging_kafka", "consumer_group", "billing")`.
    ///
    /// The value is written as in a file, but taken as it is: `$` means nothing. It replaces what
    /// was set before. [`Options::resolve`] checks name and value.
    pub fn set(&mut self, group: &str, name: &str, value: impl Into<String>) -> &mut Self {
        self.set_values(group, name, [value])
    }

    /// As [`Config::set`], with all values of a multi-string option, such as the notifier's
    /// `driver`. No value at all takes back what was set before.
    pub fn set_values<T: Into<String>>(
        &mut self,
        group: &str,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.overrides.retain(|set| !(ini::same_group(&set.group, group) && set.name == name));
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        if !values.is_empty() {
            self.overrides.push(Override {
                group: group.to_owned(),
                name: name.to_owned(),
                values,
            });
        }
        self
    }

    /// The text that counts for a scalar option, if anything sets it: of the source with the
    /// highest precedence the last one.
    pub fn value(&self, group: &str, name: &str) -> Option<Found<'_>> {
        self.lookup(&[(group, name)], false).pop()
    }

    /// All texts that count for a multi-string option: what the program set, else the environment's
    /// one, else those of all files together, first file first, as oslo.config has it.
    pub fn values(&self, group: &str, name: &str) -> Vec<Found<'_>> {
        self.lookup(&[(group, name)], true)
    }

    /// What counts for an option with this name and these older names: one text at most, or all
    /// of a multi-string.
    fn lookup(&self, names: &[(&str, &str)], multi: bool) -> Vec<Found<'_>> {
        let mut found: Vec<Found<'_>> = Vec::new();
        for &(group, name) in names {
            let mut overrides = self.overrides.iter();
            if let Some(set) =
                overrides.find(|set| ini::same_group(&set.group, group) && set.name == name)
            {
                let first = if multi { 0 } else { set.values.len() - 1 };
                found.extend(
                    set.values[first..].iter().map(|text| Found { text, origin: Origin::Override }),
                );
                return found;
            }
        }
        if let Some(&(group, name)) = names.first().filter(|_| !self.environment.is_empty()) {
            let variable = environment::variable(group, name);
            if let Some(text) = self.environment.get(&variable) {
                return vec![Found { text, origin: Origin::Environment { variable } }];
            }
        }
        for file in self.files.iter().rev() {
            for &(group, name) in names {
                let mut values: Vec<Found<'_>> = file
                    .values(group, name)
                    .map(|entry| Found {
                        text: entry.value(),
                        origin: Origin::File { path: file.path().to_owned(), line: entry.line() },
                    })
                    .collect();
                if !multi && !values.is_empty() {
                    return values.split_off(values.len() - 1);
                }
                values.append(&mut found);
                found = values;
            }
        }
        found
    }

    /// The names that the program set in a group.
    fn set_names<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        self.overrides
            .iter()
            .filter(move |set| ini::same_group(&set.group, group))
            .map(|set| set.name.as_str())
    }
}

/// Shows names and places, no values: any of them may be a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<_> =
            self.overrides.iter().map(|set| format!("[{}] {}", set.group, set.name)).collect();
        let environment: Vec<_> = self.environment().collect();
        f.debug_struct("Config")
            .field("set", &set)
            .field("environment", &environment)
            .field("files", &self.files)
            .finish()
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query => f.write_str("transport URL"),
            Self::Override => f.write_str("set by the program"),
            Self::Environment { variable } => f.write_str(variable),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Error, Ini};

    fn config(files: &[&str]) -> Config {
        let mut config = Config::new();
        for (index, text) in files.iter().enumerate() {
            config.add(Ini::parse(text, format!("{index}.conf")).unwrap());
        }
        config
    }

    fn found(config: &Config, multi: bool) -> Vec<String> {
        let found = if multi {
            config.values("g", "a")
        } else {
            config.value("g", "a").into_iter().collect()
        };
        found.iter().map(|found| format!("{} {}", found.text, found.origin)).collect()
    }

    #[test]
    fn a_scalar_is_the_last_of_the_last_file_that_has_it() {
        for (files, expected) in [
            (&["[g]\na=1\na=2"][..], &["2 0.conf:3"][..]),
            (&["[g]\na=1", "[g]\na=2", "[g]\nb=3"], &["2 1.conf:2"]),
            (&["[g]\na=1", "[h]\na=2"], &["1 0.conf:2"]),
            (&["[g]\na=1\n[G]\na=2\n[g]\nb=3"], &["2 0.conf:4"]),
            (&["[DEFAULT]\na=1"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(found(&config(files), false), expected, "{files:?}");
        }
    }

    #[test]
    fn a_multi_string_is_all_of_all_files() {
        let config = config(&["[g]\na=1\na=2", "[h]\na=3", "[g]\na=4\na=1"]);
        assert_eq!(found(&config, true), ["1 0.conf:2", "2 0.conf:3", "4 2.conf:2", "1 2.conf:3"]);
    }

    #[test]
    fn what_the_program_set_replaces_what_files_say() {
        let mut config = config(&["[g]\na=1\na=2"]);
        config.set("G", "a", "3").set("g", "a", "4");
        assert_eq!(found(&config, true), ["4 set by the program"]);
        assert_eq!(found(&config, false), ["4 set by the program"]);
        config.set_values("g", "a", ["5", "6"]);
        assert_eq!(found(&config, true), ["5 set by the program", "6 set by the program"]);
        assert_eq!(found(&config, false), ["6 set by the program"]);
        config.set_values::<String>("g", "a", []);
        assert_eq!(found(&config, false), ["2 0.conf:3"]);
    }

    #[test]
    fn the_environment_is_between_the_program_and_the_files() {
        let mut config = config(&["[g]\na=1\nold=2"]);
        let variables = [("OS_G__A", "3"), ("OS_G__OLD", "4"), ("HOME", "/"), ("OS_CLOUD", "x")];
        config.set_environment(variables.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(found(&config, false), ["3 OS_G__A"]);
        assert_eq!(found(&config, true), ["3 OS_G__A"]);
        assert_eq!(config.environment().collect::<Vec<_>>(), ["OS_G__A", "OS_G__OLD"]);
        let by_older_name = config.lookup(&[("g", "new"), ("g", "old")], false).pop();
        assert_eq!(by_older_name.map(|found| found.text), Some("2"));
        config.set("g", "a", "5");
        assert_eq!(found(&config, false), ["5 set by the program"]);
    }

    #[test]
    fn the_first_older_name_counts_where_the_name_itself_is_not_given() {
        let config = config(&["[g]\nold=1\nolder=2", "[g]\nolder=3", "[g]\nold=4\nnew=5"]);
        let text = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| ("g", name)).collect();
            config.lookup(&names, false).last().map(|found| found.text.to_owned())
        };
        assert_eq!(text(&["new", "old"]).as_deref(), Some("5"));
        assert_eq!(text(&["newer", "old"]).as_deref(), Some("4"));
        assert_eq!(text(&["newer", "older"]).as_deref(), Some("3"));
        assert_eq!(text(&["newer", "newest"]), None);
    }

    #[test]
    fn a_file_that_is_missing_is_an_error() {
        let outcome = Config::from_files(&["/nonexistent/nova.conf"]);
        assert!(matches!(outcome, Err(Error::File { .. })), "{outcome:?}");
    }

    #[test]
    fn debug_shows_no_value() {
        let mut config = config(&["[g]\npassword = hunter2"]);
        config.set("g", "token", "hunter2");
        let shown = format!("{config:?} {:?}", config.value("g", "token"));
        assert!(shown.contains("[g] token") && !shown.contains("hunter2"), "{shown}");
    }
}
