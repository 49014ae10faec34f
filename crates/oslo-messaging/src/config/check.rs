//! What is wrong with a configuration, as far as a table of options shows it.
//!
//! Reading is lenient where oslo.config is: a name that only a file has is nobody's affair there. Here
//! it is looked at. Pure. Called by whoever checks files, and with
//! [`contradictions`](super::contradictions) by the command line.

use std::fmt;

use super::{Config, Entry, Origin, Schema, environment, ini::same_group, opt::DEFAULT};

/// One thing that is wrong. `Display` says all of it in a line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub origin: Origin,
    /// The group, as it is written there.
    pub group: String,
    /// The option, as it is written there; empty for a whole group.
    pub name: String,
    /// What is wrong, such as `no such option; did you mean consumer_group?`.
    pub text: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// It works, but hardly as it is meant.
    Warning,
    /// It is not valid, or without any effect.
    Error,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Finding {
    /// Something that is wrong with an option, or with a whole group where the name is empty.
    pub fn new(
        severity: Severity,
        origin: &Origin,
        place: (&str, &str),
        text: impl Into<String>,
    ) -> Self {
        let (group, name) = (place.0.to_owned(), place.1.to_owned());
        Self { severity, origin: origin.clone(), group, name, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, origin, group, name, text } = self;
        let name = if name.is_empty() { String::new() } else { format!(" {name}") };
        write!(f, "{}: {origin}: [{group}]{name}: {text}", severity.as_str())
    }
}

impl Schema {
    /// Looks at everything that a configuration says of this table's groups: unknown names with the
    /// nearest known one, older names, repeated ones, and values that are not valid. In `DEFAULT`,
    /// which all programs share, only names that nearly are one of the table's are reported.
    ///
    /// `query` counts for `query_group`, as in [`resolve`](Self::resolve).
    #[must_use]
    pub fn check(
        self,
        config: &Config,
        query_group: &str,
        query: &[(String, String)],
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_names(config, &mut findings);
        self.check_environment(config, &mut findings);
        for (name, _) in query {
            self.check_name(query_group, name, &Origin::Query, &mut findings);
        }
        for group in self.groups() {
            let query = if group == query_group { query } else { &[] };
            for setting in self.settings(group, config, query) {
                if let Err(error) = setting.value {
                    let place = (group, setting.opt.name);
                    let text = invalid(&error);
                    findings.push(Finding::new(Severity::Error, &setting.origin, place, text));
                }
            }
        }
        findings
    }

    fn check_names(self, config: &Config, findings: &mut Vec<Finding>) {
        for file in config.files() {
            let mut seen: Vec<&Entry> = Vec::new();
            let mut groups: Vec<&str> = Vec::new();
            for entry in file.entries() {
                let origin = Origin::File { path: file.path().to_owned(), line: entry.line() };
                let known =
                    self.groups().into_iter().find(|group| same_group(group, entry.group()));
                let Some(group) = known else {
                    if !groups.contains(&entry.group()) {
                        groups.push(entry.group());
                        self.check_group(entry.group(), &origin, findings);
                    }
                    continue;
                };
                self.check_name(group, entry.name(), &origin, findings);
                let is_multi = self.find(group, entry.name()).is_none_or(|opt| opt.is_multi());
                let same = |other: &&&Entry| {
                    other.name() == entry.name() && same_group(other.group(), group)
                };
                if let Some(before) = seen.iter().find(same).filter(|_| !is_multi) {
                    let text = format!("replaces the value of line {}", before.line());
                    let place = (group, entry.name());
                    findings.push(Finding::new(Severity::Warning, &origin, place, text));
                }
                seen.push(entry);
            }
        }
    }

    fn check_environment(self, config: &Config, findings: &mut Vec<Finding>) {
        for variable in config.environment() {
            let origin = Origin::Environment { variable: variable.to_owned() };
            for group in self.groups() {
                if let Some(name) = environment::name_in(variable, group) {
                    match self.find(group, &name) {
                        Some(opt) if opt.name != name => {
                            let text = format!(
                                "an older name of [{}] {}, which is not read from the environment",
                                opt.group, opt.name
                            );
                            let place = (group, name.as_str());
                            findings.push(Finding::new(Severity::Error, &origin, place, text));
                        }
                        _ => self.check_name(group, &name, &origin, findings),
                    }
                }
            }
        }
    }

    /// A group that nobody here knows: another program's, unless it nearly is one of ours.
    fn check_group(self, group: &str, origin: &Origin, findings: &mut Vec<Finding>) {
        let groups = self.groups();
        let others = groups.iter().copied().filter(|known| *known != DEFAULT);
        let lower = group.to_lowercase();
        if lower == "default" {
            let text = "no such group: [DEFAULT] is written in upper case";
            findings.push(Finding::new(Severity::Error, origin, (group, ""), text));
        } else if let Some(near) = nearest(&lower, others, NEAR) {
            let text = format!("no such group; did you mean [{near}]?");
            findings.push(Finding::new(Severity::Error, origin, (group, ""), text));
        }
    }

    fn check_name(self, group: &str, name: &str, origin: &Origin, findings: &mut Vec<Finding>) {
        let mut found = |severity, text: String| {
            findings.push(Finding::new(severity, origin, (group, name), text));
        };
        if let Some(opt) = self.find(group, name) {
            if (opt.group, opt.name) != (group, name) {
                let text = format!("an older name of [{}] {}", opt.group, opt.name);
                found(Severity::Warning, text);
            }
            return;
        }
        let elsewhere = self.opts().iter().find(|opt| opt.name == name && opt.group != group);
        let names = self.group(group).map(|opt| opt.name);
        let shared = group == DEFAULT;
        let hint = match elsewhere {
            // One word is anybody's name in a group that is shared.
            Some(opt) if !shared || name.contains('_') => {
                Some(format!("it is an option of [{}]", opt.group))
            }
            _ => nearest(name, names, if shared { NEAR } else { ALIKE })
                .map(|near| format!("did you mean {near}?")),
        };
        match (shared, hint) {
            (true, Some(hint)) => found(Severity::Warning, format!("not an option here; {hint}")),
            (true, None) => {}
            (false, Some(hint)) => found(Severity::Error, format!("no such option; {hint}")),
            (false, None) => found(Severity::Error, "no such option".to_owned()),
        }
    }
}

/// How alike two names are at least, of 1, to be a slip of the pen.
const NEAR: f64 = 0.85;
/// How alike they are at least for a guess, where a name is wrong in any case.
const ALIKE: f64 = 0.7;

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, at_least: f64) -> Option<&'a str> {
    let likeness = |known: &'a str| (strsim::normalized_damerau_levenshtein(name, known), known);
    let best = known.map(likeness).max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= at_least).then_some(best.1)
}

/// The words of an error without those that a finding has itself.
fn invalid(error: &crate::Error) -> String {
    match error {
        crate::Error::InvalidOption { value, expected, .. } => {
            format!("{value:?} is not valid: expected {expected}")
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, DEFAULT, Ini, Kind, Opt, Schema};

    const SCHEMA: Schema = Schema::new(&[
        Opt::new(DEFAULT, "bind_host", Kind::Host, "h", "Host."),
        Opt::new("billing", "workers", Kind::Integer { min: 1, max: 9 }, "1", "Workers.")
            .deprecated(&[("billing", "threads"), (DEFAULT, "billing_threads")]),
        Opt::new("billing", "driver", Kind::MultiString, "", "Drivers."),
        Opt::new("billing", "password", Kind::Choice(&["x"]), "x", "Password.").secret(),
    ]);

    fn findings(file: &str, query: &[(&str, &str)]) -> Vec<String> {
        let mut config = Config::new();
        config.add(Ini::parse(file, "b.conf").unwrap());
        let query: Vec<_> = query.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        let findings = SCHEMA.check(&config, "billing", &query);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_values_that_are_wrong_are_found() {
        for (file, expected) in [
            ("[billing]\nworkers = 3\ndriver = a\ndriver = b\n[other]\nworkrs = 1\n", &[][..]),
            (
                "[billing]\nworkrs = 3\n",
                &["error: b.conf:2: [billing] workrs: no such option; did you mean workers?"],
            ),
            ("[BILLING]\nelse = 3\n", &["error: b.conf:2: [billing] else: no such option"]),
            (
                "[biling]\na = 1\nb = 2\n",
                &["error: b.conf:2: [biling]: no such group; did you mean [billing]?"],
            ),
            (
                "[default]\na = 1\n",
                &["error: b.conf:2: [default]: no such group: [DEFAULT] is written in upper case"],
            ),
            (
                "[billing]\nbind_host = h\n",
                &[
                    "error: b.conf:2: [billing] bind_host: no such option; it is an option of [DEFAULT]",
                ],
            ),
            (
                "[DEFAULT]\nbind_hots = h\ndebug = true\nworkers = 2\n",
                &[
                    "warning: b.conf:2: [DEFAULT] bind_hots: not an option here; did you mean bind_host?",
                ],
            ),
            (
                "[billing]\nthreads = 3\n[DEFAULT]\nbilling_threads = 2",
                &[
                    "warning: b.conf:2: [billing] threads: an older name of [billing] workers",
                    "warning: b.conf:4: [DEFAULT] billing_threads: an older name of [billing] workers",
                ],
            ),
            (
                "[billing]\nworkers = 3\nworkers = 4\n",
                &["warning: b.conf:3: [billing] workers: replaces the value of line 2"],
            ),
            (
                "[billing]\nworkers = many\npassword = hunter2\n",
                &[
                    "error: b.conf:2: [billing] workers: \"many\" is not valid: expected an integer \
                     from 1 to 9",
                    "error: b.conf:3: [billing] password: \"***\" is not valid: expected one of x",
                ],
            ),
        ] {
            assert_eq!(findings(file, &[]), expected, "{file}");
        }
        assert_eq!(
            findings("", &[("wrokers", "1"), ("workers", "0")]),
            [
                "error: transport URL: [billing] wrokers: no such option; did you mean workers?",
                "error: transport URL: [billing] workers: \"0\" is not valid: expected an integer \
                 from 1 to 9",
            ]
        );
    }

    #[test]
    fn variables_of_the_groups_are_looked_at() {
        let mut config = Config::new();
        let variables =
            ["OS_BILLING__WORKER", "OS_BILLING__THREADS", "OS_DEFAULT__DEBUG", "OS_X__Y"];
        config.set_environment(variables.map(|name| (name.to_owned(), "1".to_owned())));
        let findings: Vec<_> =
            SCHEMA.check(&config, "billing", &[]).iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "error: OS_BILLING__THREADS: [billing] threads: an older name of [billing] workers, \
                 which is not read from the environment",
                "error: OS_BILLING__WORKER: [billing] worker: no such option; did you mean workers?",
            ]
        );
    }
}
