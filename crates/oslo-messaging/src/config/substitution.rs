//! `$name` and `${group.name}` in the values of files, as oslo.config replaces them.
//!
//! Mirrors `ConfigOpts._substitute`: `$$` and `\$` are a `$`; a bare name is looked for in the
//! value's own group, then in `DEFAULT`; an option that nobody sets gives its default. Four things
//! differ on purpose: a name that is no option of the table may still be one of the service whose
//! file it is (`$my_ip`), so the files are asked for it; a name that nobody knows stays as it is,
//! where oslo.config refuses the value that refers to it; what a name stands for is put in as it
//! is written, neither checked nor typed; a value that is shown may not refer to a secret one. Called
//! by `options` alone.

use super::{
    Config, Found, Origin,
    opt::{DEFAULT, DefaultValue, Kind, Opt, find},
};

/// A value that cannot be had.
pub(super) enum Unusable {
    /// It refers to itself, directly or through others, or to so many that it grows without end all
    /// the same.
    Endless,
    /// It is no secret and refers to one, which would show it wherever the value is shown.
    Secret,
}

impl Unusable {
    /// What would be valid.
    pub(super) fn expected(&self) -> &'static str {
        match self {
            Self::Endless => "a value that does not refer to itself",
            Self::Secret => "a value that does not refer to a secret option",
        }
    }
}

/// Values that are put into one, at the most: each may refer twice to another one.
const MOST_VALUES: usize = 10_000;

/// The text that a found value stands for, seen from its group.
pub(super) fn text(config: &Config, opt: &Opt, found: &Found<'_>) -> Result<String, Unusable> {
    let mut above = vec![(opt.group.to_owned(), opt.name.to_owned())];
    let is_secret = opt.secret;
    Substitution { config, above: &mut above, entered: 0, is_secret }.text(opt.group, found)
}

struct Substitution<'a> {
    config: &'a Config,
    /// The options whose values are being read, the outermost first.
    above: &'a mut Vec<(String, String)>,
    /// How many were read so far.
    entered: usize,
    /// Whether the value may have a secret in it.
    is_secret: bool,
}

impl Substitution<'_> {
    /// What the program set is taken as it is; what a file says is a template.
    fn text(&mut self, group: &str, found: &Found<'_>) -> Result<String, Unusable> {
        if found.origin == Origin::Override {
            return Ok(found.text.to_owned());
        }
        let template = found.text.replace("\\$", "$$");
        let mut text = String::with_capacity(template.len());
        let mut rest = template.as_str();
        while let Some(dollar) = rest.find('$') {
            text += &rest[..dollar];
            rest = &rest[dollar..];
            let (length, name) = placeholder(rest);
            let value = match name {
                Some(name) => self.value(group, name)?,
                // `$$` is one, and a `$` alone stays.
                None => Some("$".to_owned()),
            };
            text += value.as_deref().unwrap_or(&rest[..length]);
            rest = &rest[length..];
        }
        Ok(text + rest)
    }

    /// The value of a name, or nothing if nobody knows it.
    fn value(&mut self, group: &str, key: &str) -> Result<Option<String>, Unusable> {
        let places = [key.split_once('.').unwrap_or((group, key)), (DEFAULT, key)];
        if let Some(opt) = places.iter().find_map(|(group, name)| find(group, name)) {
            if opt.secret && !self.is_secret {
                return Err(Unusable::Secret);
            }
            let found = self.config.lookup(&opt.names(), matches!(opt.kind, Kind::MultiString));
            return match (found.last(), opt.default) {
                (Some(found), _) => self.enter(opt.group, opt.name, found).map(Some),
                (None, DefaultValue::Text(text)) => Ok(Some(text.to_owned())),
                (None, DefaultValue::Unset | DefaultValue::ProgramName) => Ok(Some(String::new())),
            };
        }
        for (group, name) in places {
            if let Some(found) = self.config.value(group, name) {
                return self.enter(group, name, &found).map(Some);
            }
        }
        Ok(None)
    }

    fn enter(&mut self, group: &str, name: &str, found: &Found<'_>) -> Result<String, Unusable> {
        let place = (group.to_owned(), name.to_owned());
        self.entered += 1;
        if self.above.contains(&place) || self.entered > MOST_VALUES {
            return Err(Unusable::Endless);
        }
        self.above.push(place);
        let text = self.text(group, found);
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
    use super::{Config, text};
    use crate::config::{Ini, KAFKA, opt::find};

    /// The text of `[oslo_messaging_kafka] client_id` in a file.
    fn client_id(file: &str) -> Option<String> {
        let mut config = Config::new();
        config.add(Ini::parse(file, "t.conf").unwrap());
        config.set(KAFKA, "dead_letter_topic", "$literal");
        let opt = find(KAFKA, "client_id").unwrap();
        let found = config.value(KAFKA, "client_id").unwrap();
        text(&config, opt, &found).ok()
    }

    #[test]
    fn names_are_replaced_as_oslo_config_replaces_them() {
        for (value, expected) in [
            ("$consumer_group", "grp"),
            ("${consumer_group}-1", "grp-1"),
            ("x$consumer_group/y", "xgrp/y"),
            ("$CONSUMER_GROUP", "$CONSUMER_GROUP"),
            ("$control_exchange", "nova"),
            ("${DEFAULT.control_exchange}", "nova"),
            ("$DEFAULT.control_exchange", "nova"),
            ("${oslo_messaging_notifications.retry}", "7"),
            ("${oslo_messaging_notifications.driver}", "log"),
            ("${oslo_messaging_notifications.topics}", "notifications"),
            ("$max_poll_records", "500"),
            ("$ssl_cafile$spool_dir", ""),
            ("$compression_codec", "nova-x"),
            ("$dead_letter_topic", "$literal"),
            ("$my_ip", "10.0.0.1"),
            ("$own", "kafka's"),
            ("${other.thing}", "t10.0.0.1"),
            ("$unknown ${unknown.x} ${unknown}", "$unknown ${unknown.x} ${unknown}"),
            ("$$ $5 $ \\$own $$own $$$own", "$ $5 $ $own $own $kafka's"),
            ("\\$$own", "$kafka's"),
            ("${own ${} ${1} $", "${own ${} ${1} $"),
            ("$my_ip.", "$my_ip."),
            ("$é", "$é"),
        ] {
            let file = format!(
                "[DEFAULT]\nmy_ip=10.0.0.1\nown=default's\ncontrol_exchange=nova\n\
                 [oslo_messaging_kafka]\nclient_id={value}\nconsumer_group=grp\nown=kafka's\n\
                 compression_codec=$control_exchange-x\n[other]\nthing=t$my_ip\n\
                 [oslo_messaging_notifications]\nretry=7\ndriver=messagingv2\ndriver=log"
            );
            assert_eq!(client_id(&file).as_deref(), Some(expected), "{value}");
        }
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
        let opt = find("oslo_messaging_notifications", "transport_url").unwrap();
        let found = config.value(opt.group, opt.name).unwrap();
        // Its own group comes first, and there it refers to itself; the other one is named.
        assert!(text(&config, opt, &found).is_err());
        let named = notifications.replace("$transport_url", "${DEFAULT.transport_url}");
        let mut config = Config::new();
        config.add(Ini::parse(&(file("x") + "\n" + &named), "t.conf").unwrap());
        let found = config.value(opt.group, opt.name).unwrap();
        assert_eq!(text(&config, opt, &found).ok().as_deref(), Some("kafka://u:pw@h/"));
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
