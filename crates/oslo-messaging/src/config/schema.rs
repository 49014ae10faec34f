//! A table of options as what a program knows, and what a configuration says of them.
//!
//! Which source counts and which error an option has is decided here, once. Called by whoever has a
//! table, in this library `messaging`; the values are read through [`Options`].

use std::{borrow::Cow, env, path::Path};

use super::{
    Config, Origin,
    opt::{DefaultValue, Opt},
    options::Options,
    substitution::{Substitution, Unusable},
    value::{Value, shown_text},
};
use crate::{
    error::Error,
    secret::{MASK, names_secret},
};

/// The options that a program knows.
///
/// ```
/// use oslo_messaging::config::{Config, DEFAULT, Ini, Kind, Opt, Schema};
///
/// const OPTIONS: &[Opt] = &[
///     Opt::new(DEFAULT, "bind_host", Kind::Host, "::", "Where to listen."),
///     Opt::new("billing", "workers", Kind::Integer { min: 1, max: 64 }, "4", "How many."),
/// ];
///
/// let mut config = Config::new();
/// config.add(Ini::parse("[billing]\nworkers = 8\n", "billing.conf")?);
/// let billing = Schema::new(OPTIONS).resolve("billing", &config, &[])?;
/// assert_eq!(billing.int("workers"), 8);
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Schema(&'static [Opt]);

/// An option, what it is, and who says so.
#[derive(Debug)]
#[non_exhaustive]
pub struct Setting {
    /// The option.
    pub opt: &'static Opt,
    /// Its value, or [`Error::InvalidOption`].
    pub value: Result<Value, Error>,
    /// Where the value comes from; for a multi-string, where its last text does.
    pub origin: Origin,
}

impl Setting {
    /// A value of this option as it may be shown: `***` for a secret that is not empty, and in
    /// dictionaries for the values of names that are those of secrets.
    #[must_use]
    pub fn masked(&self, value: &Value) -> Value {
        let mask = |text: &str| if text.is_empty() { "" } else { MASK }.to_owned();
        match value {
            value if self.opt.secret => Value::Text(mask(&value.to_string())),
            Value::Dict(pairs) => {
                let masked = |(name, value): &(String, String)| {
                    let is_secret = names_secret(name);
                    (name.clone(), if is_secret { mask(value) } else { value.clone() })
                };
                Value::Dict(pairs.iter().map(masked).collect())
            }
            value => value.clone(),
        }
    }
}

impl Schema {
    /// The options of a table.
    #[must_use]
    pub const fn new(opts: &'static [Opt]) -> Self {
        Self(opts)
    }

    /// All options, in the order of the table.
    #[must_use]
    pub fn opts(self) -> &'static [Opt] {
        self.0
    }

    /// The options of a group.
    pub fn group(self, group: &str) -> impl Iterator<Item = &'static Opt> {
        self.0.iter().filter(move |opt| opt.group == group)
    }

    /// The groups, each once, in the order of the table.
    #[must_use]
    pub fn groups(self) -> Vec<&'static str> {
        let mut groups = Vec::new();
        for opt in self.0 {
            if !groups.contains(&opt.group) {
                groups.push(opt.group);
            }
        }
        groups
    }

    /// Finds and checks the value of every option of a group, such as `oslo_messaging_kafka`.
    ///
    /// For each option the first of these counts: the transport URL's query, what the program
    /// set, the environment, the files, the default. `query` is
    /// [`TransportUrl::query`](crate::TransportUrl::query), or empty for groups that a URL does not
    /// speak of. Names that only a file has are left alone: they may be another program's;
    /// [`check`](Self::check) looks at them.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOption`] for a name in the query, or set by the program in this group,
    /// that the table does not have; [`Error::InvalidOption`] for the first value in the order of
    /// the table that is not valid.
    ///
    /// # Panics
    ///
    /// When the table has no such group.
    pub fn resolve(
        self,
        group: &'static str,
        config: &Config,
        query: &[(String, String)],
    ) -> Result<Options, Error> {
        let opts: Vec<&'static Opt> = self.group(group).collect();
        assert!(!opts.is_empty(), "no group [{group}] in the table of options");
        let from_query = query.iter().map(|(name, _)| (name.as_str(), Origin::Query));
        let set = config.set_names(group).map(|name| (name, Origin::Override));
        for (name, origin) in from_query.chain(set) {
            if !opts.iter().any(|opt| is_name_of(opt, name)) {
                return Err(Error::UnknownOption {
                    name: name.to_owned(),
                    origin: origin.to_string(),
                    valid: opts.iter().map(|opt| opt.name).collect(),
                });
            }
        }
        let resolved = opts.into_iter().map(|opt| {
            let Setting { opt, value, origin } = self.setting(opt, config, query);
            value.map(|value| (opt, value, origin))
        });
        Ok(Options::new(group, resolved.collect::<Result<_, _>>()?))
    }

    /// The same for a look at all of a group: options that are not valid do not hide the others,
    /// and unknown names are nobody's.
    #[must_use]
    pub fn settings(
        self,
        group: &str,
        config: &Config,
        query: &[(String, String)],
    ) -> Vec<Setting> {
        self.group(group).map(|opt| self.setting(opt, config, query)).collect()
    }

    /// The option that has this name in this group, be it an older one.
    pub(super) fn find(self, group: &str, name: &str) -> Option<&'static Opt> {
        let by_name = self.0.iter().find(|opt| opt.group == group && opt.name == name);
        by_name.or_else(|| self.0.iter().find(|opt| opt.deprecated.contains(&(group, name))))
    }

    fn setting(self, opt: &'static Opt, config: &Config, query: &[(String, String)]) -> Setting {
        let mut given = "";
        let mut origin = Origin::Default;
        let mut texts: Vec<Result<String, Unusable>> = Vec::new();
        let is_multi = opt.is_multi();
        if let Some((_, text)) = query.iter().rev().find(|(name, _)| is_name_of(opt, name)) {
            origin = Origin::Query;
            given = text;
            texts.push(Ok(text.clone()));
        } else {
            for found in config.lookup(&opt.names(), is_multi) {
                origin = found.origin.clone();
                given = found.text;
                texts.push(Substitution::new(self, config, opt).found(&found));
            }
        }
        if let (Origin::Default, DefaultValue::Text(text)) = (&origin, opt.default) {
            given = text;
            texts.push(Substitution::new(self, config, opt).default(text));
        }
        let read = texts
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| why.expected())
            .and_then(|texts| Value::read(&opt.kind, &texts));
        let value = match read {
            Ok(Value::Text(text)) if text.is_empty() => Ok(Value::Text(match opt.default {
                DefaultValue::ProgramName => program_name(),
                DefaultValue::HostName => host_name(),
                _ => text,
            })),
            Ok(value) => Ok(value),
            Err(expected) => Err(Error::InvalidOption {
                group: opt.group,
                name: opt.name.to_owned(),
                value: shown_text(opt, given),
                origin: origin.to_string(),
                expected,
            }),
        };
        Setting { opt, value, origin }
    }
}

/// Whether a name, perhaps an older one, is that of an option in its group.
fn is_name_of(opt: &Opt, name: &str) -> bool {
    opt.names().contains(&(opt.group, name))
}

/// The name of this host, such as `node1`.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The file name of the running program, such as `nova-compute`.
pub(crate) fn program_name() -> String {
    let program = env::args_os().next().unwrap_or_default();
    match Path::new(&program).file_name().map(|name| name.to_string_lossy()) {
        Some(name) => Cow::into_owned(name),
        None => "oslo-messaging".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Opt, Schema};
    use crate::config::{DEFAULT, Ini, Kind};

    const SCHEMA: Schema = Schema::new(&[
        Opt::new(DEFAULT, "host", Kind::Host, "h.example.", "Host."),
        Opt::new(DEFAULT, "port", Kind::Port, "80", "Port."),
        Opt::new("web", "url", Kind::String, "http://${DEFAULT.host}:$port/", "URL."),
        Opt::new("web", "ratio", Kind::Float { min: 0.0, max: 1.0 }, "1", "Ratio."),
        Opt::new("web", "fast", Kind::Boolean, "yes", "Fast."),
        Opt::new("web", "all", Kind::String, "$ratio $fast $name", "All.")
            .deprecated(&[("web", "every")]),
        Opt::new("web", "name", Kind::String, "n", "Name.").deprecated(&[("web", "title")]),
    ]);

    fn texts(file: &str) -> Vec<String> {
        let mut config = Config::new();
        config.add(Ini::parse(file, "t.conf").unwrap());
        let groups = SCHEMA.groups();
        assert_eq!(groups, [DEFAULT, "web"]);
        let settings = groups.iter().flat_map(|group| SCHEMA.settings(group, &config, &[]));
        settings
            .map(|setting| match setting.value {
                Ok(value) => value.to_string(),
                Err(error) => error.to_string(),
            })
            .collect()
    }

    #[test]
    fn defaults_are_templates_of_typed_values() {
        assert_eq!(
            texts(""),
            ["h.example", "80", "http://h.example:80/", "1.0", "true", "1.0 True n", "n"]
        );
    }

    #[test]
    fn an_invalid_value_hides_no_other_one_and_whoever_refers_to_it_says_so() {
        let texts = texts("[DEFAULT]\nport = 70000\n[web]\nratio = 0.5\nall = $title $ratio\n");
        assert_eq!(
            texts[1],
            "option [DEFAULT] port = \"70000\" (t.conf:2): expected a port from 0 to 65535"
        );
        assert_eq!(
            texts[2],
            "option [web] url = \"http://${DEFAULT.host}:$port/\" (default): expected a value that \
             refers to valid ones, and [DEFAULT] port is not"
        );
        assert_eq!(texts[5], "n 0.5");
    }
}
