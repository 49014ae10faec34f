//! The global arguments, resolved: configuration, transport, timeout, what goes to stderr.

use std::time::Duration;

use oslo_messaging::{
    Error, Transport, TransportBuilder,
    config::{Config, DEFAULT, KAFKA, NOTIFICATIONS, Origin, Setting, Sources, messaging},
};

use crate::{
    args::{GlobalArgs, Verbosity, sources::Named, values::Property},
    exit::Failure,
};

const PROPERTIES: &str = "librdkafka_properties";

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Session {
    /// The files, with what the command line says on top.
    pub(crate) config: Config,
    /// `--timeout`; each command has its own default.
    pub(crate) timeout: Option<Duration>,
    /// How much goes to stderr.
    pub(crate) verbosity: Verbosity,
    /// Where the configuration came from, and comes from again.
    pub(crate) origins: Origins,
    url: Option<String>,
}

/// What the configuration is read from.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    sources: Sources,
    properties: Vec<Property>,
}

impl Origins {
    /// Files and environment, with what the command line says on top.
    pub(crate) fn read(&self) -> Result<Config, Error> {
        let mut config = self.sources.read()?;
        if !self.properties.is_empty() {
            let from_files = config.value(KAFKA, PROPERTIES).map_or("", |found| found.text);
            let merged = merge(from_files, &self.properties);
            config.set(KAFKA, PROPERTIES, merged);
        }
        Ok(config)
    }
}

impl Session {
    /// Reads the configuration as a service does: files and environment.
    ///
    /// # Errors
    ///
    /// Code 66 for a missing file, 78 for one that cannot be read as configuration.
    pub(crate) fn resolve(global: GlobalArgs) -> Result<Self, Failure> {
        let verbosity = global.verbosity();
        let mut sources = Sources::new();
        if let Some(project) = &global.project {
            sources = sources.project(project);
        }
        if let Some(program) = &global.program {
            sources = sources.program(program);
        }
        for named in global.named {
            sources = match named {
                Named::File(path) => sources.file(path),
                Named::Folder(path) => sources.folder(path),
            };
        }
        let origins = Origins { sources, properties: global.properties };
        let config = origins.read()?;
        let url = global.transport_url.filter(|url| !url.is_empty());
        Ok(Self { config, timeout: global.timeout, verbosity, origins, url })
    }

    /// The transport URL that the command line gives.
    pub(crate) fn given_url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The transport URL that counts for notifications, if anything names one that is valid as an
    /// option.
    pub(crate) fn url(&self) -> Option<String> {
        let setting = |group| {
            let settings = messaging().settings(group, &self.config, &[]);
            settings.into_iter().find(|setting| setting.opt.name == "transport_url")
        };
        let is_set = |setting: &Setting| setting.origin != Origin::Default;
        let configured = || {
            let set = [NOTIFICATIONS, DEFAULT].into_iter().filter_map(setting).find(is_set)?;
            set.value.ok().map(|url| url.to_string())
        };
        let url = self.url.clone().or_else(configured)?;
        Some(spoken(&url))
    }

    /// Whether anything names a transport URL.
    pub(crate) fn has_url(&self) -> bool {
        let configured = |group| {
            let found = self.config.value(group, "transport_url");
            found.is_some_and(|found| !found.text.trim().is_empty())
        };
        self.url.is_some() || configured(NOTIFICATIONS) || configured(DEFAULT)
    }

    /// Opens a transport; without `url` the one that the session has. No broker is asked.
    ///
    /// # Errors
    ///
    /// Code 78.
    #[cfg(feature = "kafka")]
    pub(crate) fn transport(
        &self,
        url: Option<&str>,
        config: &Config,
    ) -> Result<Transport, Failure> {
        Ok(self.transport_builder(url, config).for_notifications()?)
    }

    /// As [`transport`](Self::transport), for those who have more to say.
    pub(crate) fn transport_builder(&self, url: Option<&str>, config: &Config) -> TransportBuilder {
        let builder = Transport::builder().config(config.clone());
        // What the configuration names stays its own, and may change while it is read again.
        let spoken = || self.url().filter(|url| self.url.is_some() || !config_has(config, url));
        match url.map(str::to_owned).or_else(spoken) {
            Some(url) => builder.url(url),
            None => builder,
        }
    }
}

/// Whether the configuration itself names this URL, in the words that a driver has.
fn config_has(config: &Config, url: &str) -> bool {
    let found = config.value(NOTIFICATIONS, "transport_url");
    let found = found.or_else(|| config.value(DEFAULT, "transport_url"));
    found.is_some_and(|found| found.text.trim() == url)
}

/// A URL as this program knows its scheme: `rkafka` is what Python calls this library's `kafka`.
fn spoken(url: &str) -> String {
    match url.trim_start().strip_prefix("rkafka:") {
        Some(rest) => format!("kafka:{rest}"),
        None => url.to_owned(),
    }
}

/// The properties of the files as text, with those of the command line in place of or after them.
fn merge(from_files: &str, properties: &[Property]) -> String {
    let given = |name: &str| properties.iter().any(|property| property.name == name);
    let mut pairs: Vec<String> = from_files
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
        .filter(|pair| !pair.split_once(':').is_some_and(|(name, _)| given(name.trim())))
        .map(str::to_owned)
        .collect();
    for (index, Property { name, value }) in properties.iter().enumerate() {
        let later = &properties[index + 1..];
        if !later.iter().any(|property| property.name == *name) {
            pairs.push(format!("{name}:{value}"));
        }
    }
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::{merge, spoken};
    use crate::args::values::property;

    #[test]
    fn the_scheme_of_python_is_that_of_kafka() {
        assert_eq!(spoken("rkafka://u:p@h/v"), "kafka://u:p@h/v");
        for url in ["kafka://h/", "rabbit://h/", "rkafka"] {
            assert_eq!(spoken(url), url);
        }
    }

    #[test]
    fn properties_of_the_command_line_win_over_those_of_files_and_later_over_earlier_ones() {
        let given = ["a=1", "b=2", "a=3"].map(|text| property(text).unwrap());
        assert_eq!(merge("", &given), "b:2,a:3");
        assert_eq!(merge(" a:0 , c:4", &given), " c:4,b:2,a:3");
    }
}
