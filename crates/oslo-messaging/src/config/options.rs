//! The options of one group, found, typed and checked: what drivers and notifiers read.
//!
//! Precedence and errors are decided here, once. Called by `transport`, `notify` and the drivers'
//! `config` modules, which read values with the getters and keep no defaults of their own.

use std::{borrow::Cow, env, fmt, path::Path, time::Duration};

use super::{
    Config, Origin,
    opt::{DefaultValue, Kind, Opt, table},
    substitution,
    value::{Value, shown_text},
};
use crate::error::Error;

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
    /// Finds and checks the value of every option of a group, such as `oslo_messaging_kafka`.
    ///
    /// For each option the first of these counts: the transport URL's query, what the program
    /// set, the files, the default. `query` is [`TransportUrl::query`](crate::TransportUrl::query),
    /// or empty for groups that a URL does not speak of. Names that only a file has are left
    /// alone: they may be another program's.
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
        group: &'static str,
        config: &Config,
        query: &[(String, String)],
    ) -> Result<Self, Error> {
        let opts: Vec<&'static Opt> = table().iter().filter(|opt| opt.group == group).collect();
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
        let resolved =
            opts.into_iter().map(|opt| resolve(opt, config, query)).collect::<Result<_, _>>()?;
        Ok(Self { group, resolved })
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

/// Whether a name, perhaps an older one, is that of an option in its group.
fn is_name_of(opt: &Opt, name: &str) -> bool {
    opt.names().contains(&(opt.group, name))
}

fn resolve(
    opt: &'static Opt,
    config: &Config,
    query: &[(String, String)],
) -> Result<Resolved, Error> {
    let mut given = "";
    let mut origin = Origin::Default;
    let refused = |given: &str, origin: &Origin, expected: String| Error::InvalidOption {
        group: opt.group,
        name: opt.name.to_owned(),
        value: shown_text(opt, given),
        origin: origin.to_string(),
        expected,
    };
    let mut texts = Vec::new();
    if let Some((_, text)) = query.iter().rev().find(|(name, _)| is_name_of(opt, name)) {
        origin = Origin::Query;
        given = text;
        texts.push(text.clone());
    } else {
        for found in config.lookup(&opt.names(), matches!(opt.kind, Kind::MultiString)) {
            origin = found.origin.clone();
            given = found.text;
            texts.push(
                substitution::text(config, opt, &found)
                    .map_err(|why| refused(given, &origin, why.expected().to_owned()))?,
            );
        }
    }
    if let (Origin::Default, DefaultValue::Text(text)) = (&origin, opt.default) {
        given = text;
        texts.push(text.to_owned());
    }
    let value =
        Value::read(&opt.kind, &texts).map_err(|expected| refused(given, &origin, expected))?;
    let value = match value {
        Value::Text(text) if text.is_empty() && opt.default == DefaultValue::ProgramName => {
            Value::Text(program_name())
        }
        value => value,
    };
    Ok(Resolved { opt, value, origin })
}

/// The file name of the running program, such as `nova-compute`.
pub(crate) fn program_name() -> String {
    let program = env::args_os().next().unwrap_or_default();
    match Path::new(&program).file_name().map(|name| name.to_string_lossy()) {
        Some(name) => Cow::into_owned(name),
        None => "oslo-messaging".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::{Config, Error, Kind, Opt, Options, Origin, Value, table};
    use crate::config::{DEFAULT, DefaultValue, Ini, KAFKA, NOTIFICATIONS};

    fn config(text: &str) -> Config {
        let mut config = Config::new();
        config.add(Ini::parse(text, "n.conf").unwrap());
        config
    }

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    fn kafka(file: &str, pairs: &[(&str, &str)]) -> Result<Options, Error> {
        let file = format!("[oslo_messaging_kafka]\n{file}");
        Options::resolve(KAFKA, &config(&file), &query(pairs))
    }

    #[test]
    fn every_option_of_the_table_can_be_asked_for_and_has_a_valid_default() {
        for group in [DEFAULT, NOTIFICATIONS, KAFKA] {
            let options = Options::resolve(group, &Config::new(), &[]).unwrap();
            for &Opt { name, kind, default, .. } in table().iter().filter(|o| o.group == group) {
                assert_eq!(options.origin(name), &Origin::Default, "{name}");
                assert!(!options.is_set(name), "{name}");
                match kind {
                    Kind::String | Kind::Choice(_) | Kind::ChoiceOrPrefix { .. } => {
                        let named = matches!(default, DefaultValue::Text(text) if !text.is_empty());
                        let program = default == DefaultValue::ProgramName;
                        assert_eq!(!options.str(name).is_empty(), named || program, "{name}");
                    }
                    Kind::Integer { min, .. } => assert!(options.int(name) >= min, "{name}"),
                    Kind::IntegerOrMinusOne { .. } => assert_eq!(options.int(name), -1, "{name}"),
                    Kind::Float { max, .. } => assert!(options.float(name) <= max, "{name}"),
                    Kind::Seconds { min, max } => {
                        let seconds = options.seconds(name).as_secs_f64();
                        assert!((min..=max).contains(&seconds), "{name}");
                        assert!((options.float(name) - seconds).abs() < 1e-9, "{name}");
                    }
                    Kind::Boolean => assert_eq!(
                        DefaultValue::Text(if options.boolean(name) { "true" } else { "false" }),
                        default,
                        "{name}"
                    ),
                    Kind::List => assert!(!options.list(name).is_empty(), "{name}"),
                    Kind::MultiString => assert!(options.list(name).is_empty(), "{name}"),
                    Kind::Dict => assert!(options.dict(name).is_empty(), "{name}"),
                }
            }
        }
    }

    #[test]
    fn the_url_wins_over_the_program_and_the_program_over_files() {
        let mut config = config("[oslo_messaging_kafka]\nconsumer_group = file\n");
        let group = |config: &Config, pairs: &[(&str, &str)]| {
            let options = Options::resolve(KAFKA, config, &query(pairs)).unwrap();
            assert!(options.is_set("consumer_group"));
            format!("{} {}", options.str("consumer_group"), options.origin("consumer_group"))
        };
        assert_eq!(group(&config, &[]), "file n.conf:2");
        config.set(KAFKA, "consumer_group", "program");
        assert_eq!(group(&config, &[]), "program set by the program");
        assert_eq!(group(&config, &[("consumer_group", "url")]), "url transport URL");
    }

    #[test]
    fn values_have_their_types() {
        let options = kafka(
            "delivery = queued\nmax_poll_records = 7\ndelivery_timeout = 2.5\n\
             create_topics = Off\npartition_assignment_strategy = range , sticky\n\
             librdkafka_properties = a.b: 1, c.d:e:f\nclient_id = $consumer_group-$delivery\n\
             topic_partitions = $topic_partitions\ntopic_partitions = -1\nunknown = left alone",
            &[("message_key", "payload:instance_id")],
        )
        .unwrap();
        assert_eq!(options.group(), KAFKA);
        assert_eq!(options.str("delivery"), "queued");
        assert_eq!(options.str("message_key"), "payload:instance_id");
        assert_eq!(options.str("client_id"), "oslo_messaging_consumer-queued");
        assert_eq!(options.int("max_poll_records"), 7);
        assert_eq!(options.seconds("delivery_timeout").as_millis(), 2500);
        assert!(!options.boolean("create_topics"));
        assert_eq!(options.list("partition_assignment_strategy"), ["range", "sticky"]);
        let pairs = options.dict("librdkafka_properties");
        assert_eq!(pairs, query(&[("a.b", "1"), ("c.d", "e:f")]));
    }

    #[test]
    fn drivers_of_the_notifier_come_from_all_files() {
        let mut config = config("[oslo_messaging_notifications]\ndriver=messagingv2\ndriver=log");
        let more = "[oslo_messaging_notifications]\ndriver=$x\n[DEFAULT]\nx=test";
        config.add(Ini::parse(more, "m.conf").unwrap());
        let options = Options::resolve(NOTIFICATIONS, &config, &[]).unwrap();
        assert_eq!(options.list("driver"), ["messagingv2", "log", "test"]);
        assert_eq!(options.origin("driver").to_string(), "m.conf:2");
    }

    #[test]
    fn older_names_are_still_read() {
        let config = config("[DEFAULT]\nrpc_thread_pool_size = 3");
        let options = Options::resolve(DEFAULT, &config, &[]).unwrap();
        assert_eq!(options.int("executor_thread_pool_size"), 3);
    }

    #[test]
    fn unknown_names_are_refused_with_the_valid_ones() {
        let mut set = Config::new();
        set.set(KAFKA, "max_retry", "1");
        for (outcome, place) in [
            (kafka("", &[("max_retry", "100")]), "transport URL"),
            (Options::resolve(KAFKA, &set, &[]), "set by the program"),
        ] {
            match outcome {
                Err(Error::UnknownOption { name, origin, valid }) => {
                    assert_eq!((name.as_str(), origin.as_str()), ("max_retry", place));
                    assert_eq!(valid.len(), table().iter().filter(|o| o.group == KAFKA).count());
                    assert!(valid.contains(&"delivery_timeout"));
                }
                other => panic!("{other:?}"),
            }
        }
        // Another group's settings are not this group's affair.
        assert!(Options::resolve(NOTIFICATIONS, &set, &[]).is_ok());
    }

    #[test]
    fn bad_values_say_where_they_stand_and_what_would_be_valid() {
        for (line, text) in [
            (
                "compression_codec = GZIP",
                "option [oslo_messaging_kafka] compression_codec = \"GZIP\" (n.conf:2): expected \
                 one of none, gzip, snappy, lz4, zstd",
            ),
            (
                "max_poll_records = 0",
                "option [oslo_messaging_kafka] max_poll_records = \"0\" (n.conf:2): expected an \
                 integer from 1 to 1000000",
            ),
            (
                "topic_partitions = 0",
                "option [oslo_messaging_kafka] topic_partitions = \"0\" (n.conf:2): expected -1 \
                 or an integer from 1 to 100000",
            ),
            (
                "delivery_timeout =",
                "option [oslo_messaging_kafka] delivery_timeout = \"\" (n.conf:2): expected a \
                 number of seconds from 0.001 to 2147483",
            ),
            (
                "message_key = payload:",
                "option [oslo_messaging_kafka] message_key = \"payload:\" (n.conf:2): expected \
                 one of none, publisher_id, event_type, project_id, or payload: and a text",
            ),
            (
                "create_topics = maybe",
                "option [oslo_messaging_kafka] create_topics = \"maybe\" (n.conf:2): expected \
                 true, 1, on, yes or false, 0, off, no",
            ),
            (
                "librdkafka_properties = a:1,a:2",
                "option [oslo_messaging_kafka] librdkafka_properties = \"a:1,a:2\" (n.conf:2): \
                 expected name:value pairs separated by commas, but \"a\" is given twice",
            ),
            (
                "librdkafka_properties = ssl.key.password:hunter2,x",
                "option [oslo_messaging_kafka] librdkafka_properties = \"***\" (n.conf:2): \
                 expected name:value pairs separated by commas, but the last item has no \":\"",
            ),
            (
                "ssl_client_key_password = $ssl_client_key_password",
                "option [oslo_messaging_kafka] ssl_client_key_password = \"***\" (n.conf:2): \
                 expected a value that does not refer to itself",
            ),
        ] {
            assert_eq!(kafka(line, &[]).unwrap_err().to_string(), text);
        }
        let error = kafka("", &[("commit", "never")]).unwrap_err().to_string();
        assert!(error.contains("(transport URL)"), "{error}");
    }

    #[test]
    fn debug_hides_secrets() {
        let options = kafka(
            "ssl_client_key_password = hunter2\n\
             librdkafka_properties = ssl.key.password:hunter2,socket.nagle.disable:true",
            &[],
        )
        .unwrap();
        assert_eq!(options.str("ssl_client_key_password"), "hunter2");
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("socket.nagle.disable"), "{shown}");
        assert!(shown.contains("*** (n.conf:2)"), "{shown}");
    }

    #[test]
    fn an_empty_client_id_is_the_programs_name() {
        for file in ["", "client_id =", "client_id = ''"] {
            let options = kafka(file, &[]).unwrap();
            assert!(options.str("client_id").starts_with("oslo_messaging-"), "{file}");
        }
    }

    #[test]
    #[should_panic(expected = "no option [oslo_messaging_kafka] comit in the table of options")]
    fn asking_for_a_name_that_is_not_in_the_table_panics() {
        kafka("", &[]).unwrap().str("comit");
    }

    #[test]
    #[should_panic(expected = "commit is Choice")]
    fn asking_for_another_kind_panics() {
        kafka("", &[]).unwrap().int("commit");
    }

    #[test]
    fn both_ends_of_each_range_are_valid() {
        for opt in table() {
            let ends = match opt.kind {
                Kind::Integer { min, max } => vec![min.to_string(), max.to_string()],
                Kind::IntegerOrMinusOne { min, max } => {
                    vec!["-1".to_owned(), min.to_string(), max.to_string()]
                }
                Kind::Float { min, max } | Kind::Seconds { min, max } => {
                    vec![min.to_string(), max.to_string()]
                }
                Kind::Choice(choices) | Kind::ChoiceOrPrefix { choices, .. } => {
                    choices.iter().map(|&choice| choice.to_owned()).collect()
                }
                _ => Vec::new(),
            };
            for end in ends {
                assert!(
                    Value::read(&opt.kind, std::slice::from_ref(&end)).is_ok(),
                    "{} {end}",
                    opt.name
                );
            }
        }
    }
}
