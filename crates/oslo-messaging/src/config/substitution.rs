//! `$name` and `${group.name}` in the values of files, as oslo.config replaces them.
//!
//! Mirrors `ConfigOpts._substitute`: `$$` and `\$` are a `$`; a bare name is looked for in the
//! value's own group, then in `DEFAULT`, also where the former refers to what nobody knows; an option that nobody sets gives its default; a name stands
//! for its typed value, so that one that is not valid spoils what refers to it; a name that nobody
//! knows is an error, for a `$` that is meant is written `$$`. Four things differ on purpose: a name
//! that is no option of the table may still be one of the service whose file it is (`$my_ip`), so the
//! files are asked for it; `DEFAULT` may be named as a group; a list stands for its text, not for
//! what Python's `repr` makes of it; a value that is shown may not refer to a secret one. Called by
//! `schema` alone.

use super::{
    Config, Found, Origin,
    opt::{DEFAULT, DefaultValue, Opt},
    schema::Schema,
    value::Value,
};

/// A value that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It refers to itself, directly or through others, or to so many that it grows without end all
    /// the same.
    Endless,
    /// It is no secret and refers to one, which would show it wherever the value is shown.
    Secret,
    /// It refers to what nobody knows. The name may be a part of a password and is not kept.
    Unknown,
    /// It refers to a group that nobody knows, or to a group itself: nothing can stand in for that.
    Group,
    /// It refers to an option whose own value is not valid.
    Invalid { group: &'static str, name: &'static str },
}

impl Unusable {
    /// What would be valid.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Endless => "a value that does not refer to itself".to_owned(),
            Self::Secret => "a value that does not refer to a secret option".to_owned(),
            Self::Unknown | Self::Group => {
                "a value that refers to known options only ($$ is a $ that refers to nothing)"
                    .to_owned()
            }
            Self::Invalid { group, name } => {
                format!("a value that refers to valid ones, and [{group}] {name} is not")
            }
        }
    }
}

/// Values that are put into one, at the most: each may refer twice to another one.
const MOST_VALUES: usize = 10_000;

/// The way from the text of one option to what it stands for.
pub(super) struct Substitution<'a> {
    schema: Schema,
    config: &'a Config,
    /// The group whose names come first.
    group: &'static str,
    /// The options whose values are being read, the outermost first.
    above: Vec<(String, String)>,
    /// How many were read so far.
    entered: usize,
    /// Whether the value may have a secret in it.
    is_secret: bool,
}

impl<'a> Substitution<'a> {
    pub(super) fn new(schema: Schema, config: &'a Config, opt: &Opt) -> Self {
        Self {
            schema,
            config,
            group: opt.group,
            above: vec![(opt.group.to_owned(), opt.name.to_owned())],
            entered: 0,
            is_secret: opt.secret,
        }
    }

    /// What a found text of the option stands for.
    pub(super) fn found(mut self, found: &Found<'_>) -> Result<String, Unusable> {
        self.text(self.group, found)
    }

    /// What the option's default stands for.
    pub(super) fn default(mut self, text: &str) -> Result<String, Unusable> {
        self.template(self.group, text)
    }

    /// What the program set is taken as it is; what a file or the environment says is a template.
    fn text(&mut self, group: &str, found: &Found<'_>) -> Result<String, Unusable> {
        match found.origin {
            Origin::Override => Ok(found.text.to_owned()),
            _ => self.template(group, found.text),
        }
    }

    fn template(&mut self, group: &str, text: &str) -> Result<String, Unusable> {
        let template = text.replace("\\$", "$$");
        let mut text = String::with_capacity(template.len());
        let mut rest = template.as_str();
        while let Some(dollar) = rest.find('$') {
            text += &rest[..dollar];
            rest = &rest[dollar..];
            let (length, name) = placeholder(rest);
            match name {
                Some(name) => text += &self.value(group, name)?,
                // `$$` is one, and a `$` alone stays.
                None => text.push('$'),
            }
            rest = &rest[length..];
        }
        Ok(text + rest)
    }

    /// What a name stands for.
    fn value(&mut self, group: &str, key: &str) -> Result<String, Unusable> {
        let places = [key.split_once('.').unwrap_or((group, key)), (DEFAULT, key)];
        let schema = self.schema;
        for opt in places.iter().filter_map(|(group, name)| schema.find(group, name)) {
            match self.option(opt) {
                // As if there were no such option: what `DEFAULT` has of that name counts then.
                Err(Unusable::Unknown) => {}
                value => return value,
            }
        }
        for (group, name) in places {
            // A variable does not tell names apart that differ in case only.
            let is_upper = name.contains(|c: char| c.is_uppercase());
            let is_its_own = |found: &Found<'_>| {
                !(is_upper && matches!(found.origin, Origin::Environment { .. }))
            };
            if schema.find(group, name).is_some() {
                continue;
            }
            let Some(found) = self.config.value(group, name).filter(is_its_own) else { continue };
            match self.enter(group, name, |this| this.text(group, &found)) {
                Err(Unusable::Unknown) => {}
                value => return value,
            }
        }
        // To oslo.config `DEFAULT` is none.
        let is_group = |name: &str| name != DEFAULT && schema.groups().contains(&name);
        Err(match key.split_once('.') {
            Some((group, _)) if !is_group(group) => Unusable::Group,
            None if is_group(key) => Unusable::Group,
            _ => Unusable::Unknown,
        })
    }

    fn option(&mut self, opt: &'static Opt) -> Result<String, Unusable> {
        if opt.secret && !self.is_secret {
            return Err(Unusable::Secret);
        }
        let found = self.config.lookup(&opt.names(), opt.is_multi());
        let text = match (found.last(), opt.default) {
            (Some(found), _) => {
                self.enter(opt.group, opt.name, |this| this.text(opt.group, found))?
            }
            (None, DefaultValue::Text(text)) => {
                self.enter(opt.group, opt.name, |this| this.template(opt.group, text))?
            }
            (None, DefaultValue::Unset | DefaultValue::ProgramName | DefaultValue::HostName) => {
                return Ok(String::new());
            }
        };
        match Value::read(&opt.kind, std::slice::from_ref(&text)) {
            Ok(value) => Ok(value.substitute()),
            Err(_) => Err(Unusable::Invalid { group: opt.group, name: opt.name }),
        }
    }

    fn enter(
        &mut self,
        group: &str,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<String, Unusable>,
    ) -> Result<String, Unusable> {
        let place = (group.to_owned(), name.to_owned());
        self.entered += 1;
        if self.above.contains(&place) || self.entered > MOST_VALUES {
            return Err(Unusable::Endless);
        }
        self.above.push(place);
        let text = read(self);
        self.above.pop();
        text
    }
}

/// The length of the placeholder at the start of a text that begins with `$`, and its name.
fn placeholder(text: &str) -> (usize, Option<&str>) {
    let after = &text[1..];
    if after.starts_with('$') {
        return (2, None);
    }
    let braced = after.strip_prefix('{');
    let body = braced.unwrap_or(after);
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let continues = |c: char| starts(c) || c.is_ascii_digit() || c == '.';
    if !body.starts_with(starts) {
        return (1, None);
    }
    let name = &body[..body.find(|c| !continues(c)).unwrap_or(body.len())];
    match braced {
        None => (1 + name.len(), Some(name)),
        Some(_) if body[name.len()..].starts_with('}') => (3 + name.len(), Some(name)),
        Some(_) => (1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Substitution, Unusable};
    use crate::config::{Ini, KAFKA, messaging};

    /// The text of `[oslo_messaging_kafka] client_id` in a file.
    fn client_id(file: &str) -> Option<String> {
        let mut config = Config::new();
        config.add(Ini::parse(file, "t.conf").unwrap());
        config.set(KAFKA, "dead_letter_topic", "$literal");
        text(&config, KAFKA, "client_id").ok()
    }

    fn text(config: &Config, group: &str, name: &str) -> Result<String, Unusable> {
        let opt = messaging().find(group, name).unwrap();
        let found = config.value(group, name).unwrap();
        Substitution::new(messaging(), config, opt).found(&found)
    }

    #[test]
    fn names_are_replaced_as_oslo_config_replaces_them() {
        for (value, expected) in [
            ("$consumer_group", "grp"),
            ("${consumer_group}-1", "grp-1"),
            ("x$consumer_group/y", "xgrp/y"),
            ("$control_exchange", "nova"),
            ("${DEFAULT.control_exchange}", "nova"),
            ("$DEFAULT.control_exchange", "nova"),
            ("${oslo_messaging_notifications.retry}", "7"),
            ("${oslo_messaging_notifications.driver}", "log"),
            ("${oslo_messaging_notifications.topics}", "notifications"),
            ("$max_poll_records", "500"),
            ("$ssl_cafile$spool_dir", ""),
            ("$compression_codec", "gzip"),
            ("$create_topics $kafka_consumer_timeout $session_timeout", "False 2.0 15.0"),
            ("$rpc_thread_pool_size", "64"),
            ("$dead_letter_topic", "$literal"),
            ("$my_ip", "10.0.0.1"),
            ("$own", "kafka's"),
            ("${other.thing}", "t10.0.0.1"),
            ("$$ $5 $ \\$own $$own $$$own", "$ $5 $ $own $own $kafka's"),
            ("\\$$own", "$kafka's"),
            ("${own ${} ${1} $", "${own ${} ${1} $"),
            ("$é", "$é"),
        ] {
            let file = format!(
                "[DEFAULT]\nmy_ip=10.0.0.1\nown=default's\ncontrol_exchange=nova\n\
                 [oslo_messaging_kafka]\nclient_id={value}\nconsumer_group=grp\nown=kafka's\ng=g\n\
                 compression_codec=${{g}}zip\ncreate_topics=off\nkafka_consumer_timeout=2\n[other]\nthing=t$my_ip\n\
                 [oslo_messaging_notifications]\nretry=7\ndriver=messagingv2\ndriver=log"
            );
            assert_eq!(client_id(&file).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_or_whose_value_is_not_valid_is_refused() {
        let invalid = Unusable::Invalid { group: KAFKA, name: "retries" };
        for (value, expected) in [
            ("$unknown", Unusable::Unknown),
            ("$CONSUMER_GROUP", Unusable::Unknown),
            ("${unknown.x}", Unusable::Group),
            ("${oslo_messaging_kafka.x}", Unusable::Unknown),
            ("$consumer_group.", Unusable::Group),
            ("$max_poll_records", Unusable::Invalid { group: KAFKA, name: "max_poll_records" }),
        ] {
            let mut config = Config::new();
            let file = format!("[{KAFKA}]\nclient_id={value}\nmax_poll_records=many");
            config.add(Ini::parse(&file, "t.conf").unwrap());
            assert_eq!(text(&config, KAFKA, "client_id"), Err(expected), "{value}");
        }
        // As if the group did not have it.
        let both = format!("[DEFAULT]\nmine=1\n[{KAFKA}]\nmine=$unknown\nclient_id=$mine");
        assert_eq!(client_id(&both).as_deref(), Some("1"));
        for group in ["$unknown.x", "$oslo_messaging_kafka"] {
            assert_eq!(client_id(&both.replace("$unknown", group)), None);
        }
        assert_eq!(
            invalid.expected(),
            "a value that refers to valid ones, and [oslo_messaging_kafka] retries is not"
        );
    }

    #[test]
    fn a_value_that_refers_to_itself_is_refused() {
        for (value, more) in [
            ("$client_id", ""),
            ("${oslo_messaging_kafka.client_id}", ""),
            ("$consumer_group", "consumer_group=$client_id"),
            ("$a", "a=$b\nb=$a"),
        ] {
            let file = format!("[oslo_messaging_kafka]\nclient_id={value}\n{more}");
            assert_eq!(client_id(&file), None, "{value}");
        }
        let twice = "[oslo_messaging_kafka]\nclient_id=$a$a\na=1";
        assert_eq!(client_id(twice).as_deref(), Some("11"));
    }

    #[test]
    fn what_is_shown_refers_to_no_secret() {
        let file = |value: &str| {
            format!(
                "[DEFAULT]\ntransport_url = kafka://u:pw@h/\nmine = $transport_url\n\
                 [{KAFKA}]\nclient_id = {value}"
            )
        };
        for value in ["$transport_url", "x ${DEFAULT.transport_url}", "$mine"] {
            assert_eq!(client_id(&file(value)), None, "{value}");
        }
        let notifications = "[oslo_messaging_notifications]\ntransport_url = $transport_url";
        let mut config = Config::new();
        config.add(Ini::parse(&(file("x") + "\n" + notifications), "t.conf").unwrap());
        let group = "oslo_messaging_notifications";
        // Its own group comes first, and there it refers to itself; the other one is named.
        assert!(text(&config, group, "transport_url").is_err());
        let named = notifications.replace("$transport_url", "${DEFAULT.transport_url}");
        let mut config = Config::new();
        config.add(Ini::parse(&(file("x") + "\n" + &named), "t.conf").unwrap());
        let url = text(&config, group, "transport_url");
        assert_eq!(url.as_deref(), Ok("kafka://u:pw@h/"));
    }

    #[test]
    fn a_value_that_grows_with_each_reference_ends() {
        let doubled = |last: usize| {
            let line = |n: usize| format!("a{n} = $a{0}$a{0}\n", n + 1);
            let lines: String = (0..last).map(line).collect();
            format!("[DEFAULT]\n{lines}a{last} = x\n[{KAFKA}]\nclient_id = $a0\n")
        };
        assert_eq!(client_id(&doubled(5)), Some("x".repeat(32)));
        assert_eq!(client_id(&doubled(60)), None);
    }
}
