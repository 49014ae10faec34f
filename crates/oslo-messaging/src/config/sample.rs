//! A table of options as a sample file: the layout that `oslo-config-generator` prints.
//!
//! Pure. Mirrors `oslo_config/generator.py`. Called by whoever prints it.

use super::{
    opt::{DEFAULT, DefaultValue, Kind, Opt},
    schema::Schema,
    value::{Value, float_text},
};

/// Width of a line of help, with its `# `.
const WIDTH: usize = 70;

impl Schema {
    /// A file with every option as a comment: its help, type, bounds, choices, older names and
    /// default. `namespace` is who the options are said to be from, such as `oslo.messaging`.
    #[must_use]
    pub fn sample(self, namespace: &str) -> String {
        let mut groups = self.groups();
        groups.sort_unstable_by_key(|group| (*group != DEFAULT, *group));
        let group = |group: &&str| {
            let opts: String = self.group(group).map(|opt| format!("\n{}", option(opt))).collect();
            format!("[{group}]\n\n#\n# From {namespace}\n#\n{opts}")
        };
        groups.iter().map(group).collect::<Vec<_>>().join("\n\n")
    }
}

fn option(opt: &Opt) -> String {
    let mut lines = wrapped(&format!("{} ({})", opt.help, opt.kind.sample_name()));
    let bounds = match opt.kind {
        Kind::Integer { min, max } => Some((min.to_string(), max.to_string())),
        Kind::IntegerOrMinusOne { max, .. } => Some(("-1".to_owned(), max.to_string())),
        Kind::Float { min, max } | Kind::Seconds { min, max } => {
            Some((float_text(min), float_text(max)))
        }
        Kind::Port => Some(("0".to_owned(), "65535".to_owned())),
        _ => None,
    };
    if let Some((min, max)) = bounds {
        lines.push(format!("# Minimum value: {min}"));
        lines.push(format!("# Maximum value: {max}"));
    }
    if let Kind::Choice(choices) = opt.kind {
        lines.push("# Possible values:".to_owned());
        for choice in choices {
            lines.extend(wrapped(&format!("{choice} - <No description provided>")));
        }
    }
    for (group, name) in opt.deprecated {
        lines.push(format!("# Deprecated group/name - [{group}]/{name}"));
    }
    let default = default(opt);
    let blank = if default.is_empty() { "" } else { " " };
    lines.push(format!("#{} ={blank}{default}", opt.name));
    lines.join("\n") + "\n"
}

fn default(opt: &Opt) -> String {
    let text = match opt.default {
        DefaultValue::Text(text) => text,
        DefaultValue::Unset if matches!(opt.kind, Kind::MultiString) => "",
        DefaultValue::Unset | DefaultValue::ProgramName | DefaultValue::HostName => {
            return "<None>".to_owned();
        }
    };
    match Value::read(&opt.kind, &[text.to_owned()]) {
        Ok(value) => value.to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Lines of at most [`WIDTH`], each with its `# `. A word breaks after a hyphen between letters, as
/// Python's `textwrap` has it, and nowhere else.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = "#".to_owned();
    for word in text.split_whitespace() {
        for (index, part) in parts(word).into_iter().enumerate() {
            let blank = usize::from(index == 0);
            if line.chars().count() + blank + part.chars().count() > WIDTH && line.len() > 2 {
                lines.push(std::mem::replace(&mut line, "# ".to_owned()));
            } else if blank == 1 {
                line.push(' ');
            }
            line += part;
        }
    }
    lines.push(line);
    lines
}

/// A word as it may be broken.
fn parts(word: &str) -> Vec<&str> {
    let chars: Vec<(usize, char)> = word.char_indices().collect();
    let mut parts = Vec::new();
    let mut start = 0;
    for (index, &(at, hyphen)) in chars.iter().enumerate().filter(|(_, (_, c))| *c == '-') {
        let is_letter = |c: char| c.is_alphabetic() || c == '_';
        let before = index.checked_sub(1).map(|before| chars[before].1);
        let mut after = chars[index + 1..].iter().map(|(_, c)| *c);
        let first = after.next().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let letter = after.take_while(|c| c.is_alphanumeric() || *c == '_').any(is_letter);
        if before.is_some_and(is_letter) && first && letter {
            let end = at + hyphen.len_utf8();
            parts.push(&word[start..end]);
            start = end;
        }
    }
    parts.push(&word[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::{parts, wrapped};
    use crate::config::{DEFAULT, Kind, Opt, Schema};

    #[test]
    fn a_sample_has_what_the_table_knows() {
        const SCHEMA: Schema = Schema::new(&[
            Opt::new("web", "ratio", Kind::Float { min: 0.0, max: 1.0 }, "1", "How much."),
            Opt::new("web", "driver", Kind::MultiString, "", "Drivers."),
            Opt::new(DEFAULT, "port", Kind::Port, "80", "Port.").deprecated(&[("web", "port")]),
            Opt::new(DEFAULT, "codec", Kind::Choice(&["a", "b"]), "a", "Codec."),
        ]);
        assert_eq!(
            SCHEMA.sample("the.program"),
            "[DEFAULT]\n\n#\n# From the.program\n#\n\n\
             # Port. (port value)\n# Minimum value: 0\n# Maximum value: 65535\n\
             # Deprecated group/name - [web]/port\n#port = 80\n\n\
             # Codec. (string value)\n# Possible values:\n# a - <No description provided>\n\
             # b - <No description provided>\n#codec = a\n\n\n\
             [web]\n\n#\n# From the.program\n#\n\n\
             # How much. (floating point value)\n# Minimum value: 0.0\n# Maximum value: 1.0\n\
             #ratio = 1.0\n\n# Drivers. (multi valued)\n#driver =\n"
        );
    }

    #[test]
    fn long_lines_break_between_words_and_after_hyphens() {
        let long = "x".repeat(80);
        for (text, expected) in [
            ("a b", &["# a b"][..]),
            (&format!("a {long} b"), &["# a", &format!("# {long}"), "# b"]),
            (&format!("{} yy", "x".repeat(66)), &[&format!("# {}", "x".repeat(66)), "# yy"]),
            (&format!("{} co-op", "x".repeat(64)), &[&format!("# {} co-", "x".repeat(64)), "# op"]),
        ] {
            assert_eq!(wrapped(text), expected, "{text}");
        }
        assert_eq!(parts("dead-letter-topic"), ["dead-", "letter-", "topic"]);
        assert_eq!(parts("KIP-848"), ["KIP-848"]);
        assert_eq!(parts("-1"), ["-1"]);
    }
}
