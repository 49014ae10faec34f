//! The routing file: YAML to rules, and what is wrong with it. Called by the sink `routing`.

use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::{Rule, shell::ShellPattern};
use crate::{error::Error, message::Priority};

/// The rules that a sink may have.
const KEYS: [&str; 3] = ["accepted_events", "rejected_events", "accepted_priorities"];

/// Reads the file's rules in their order; `sinks` are the names that are valid in it.
pub(super) fn read(path: &Path, sinks: &[&str]) -> Result<Vec<Rule>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::File { path: path.to_owned(), source })?;
    let file = File { path: path.to_owned(), sinks };
    file.rules(&text)
}

struct File<'a> {
    path: PathBuf,
    sinks: &'a [&'a str],
}

type Node<'a> = MarkedYaml<'a>;

impl File<'_> {
    fn rules(&self, text: &str) -> Result<Vec<Rule>, Error> {
        let documents = Node::load_from_str(text).map_err(|error| {
            let line = error.marker().line();
            let star = text.lines().nth(line.saturating_sub(1)).is_some_and(|l| l.contains('*'));
            let hint = if star { "; a pattern that starts with * stands in quotes" } else { "" };
            self.wrong(line, format!("not valid YAML: {}{hint}", error.info()))
        })?;
        if let Some(second) = documents.get(1) {
            return Err(self.wrong_at(second, "expected one YAML document".to_owned()));
        }
        let mut rules = Vec::new();
        let Some(root) = documents.first() else { return Ok(rules) };
        for (group, sinks) in self.entries(root, "groups, each with a name")? {
            let group = self.text(group, "the name of a group")?;
            for (sink, conditions) in self.entries(sinks, "sinks, each with a name")? {
                rules.push(self.rule(group, sink, conditions)?);
            }
        }
        Ok(rules)
    }

    fn rule(&self, group: &str, sink: &Node<'_>, conditions: &Node<'_>) -> Result<Rule, Error> {
        let name = self.text(sink, "the name of a sink")?;
        if !self.sinks.contains(&name) {
            let reason = format!(
                "group {group}: no sink is called \"{name}\" here; valid are {}",
                self.sinks.join(", ")
            );
            return Err(self.wrong_at(sink, reason));
        }
        let mut rule = Rule {
            sink: name.to_owned(),
            accepted_events: None,
            rejected_events: Vec::new(),
            accepted_priorities: None,
        };
        for (key, value) in self.entries(conditions, &KEYS.join(", "))? {
            match self.text(key, "the name of a rule")? {
                "accepted_events" => rule.accepted_events = Some(self.patterns(value)?),
                "rejected_events" => rule.rejected_events = self.patterns(value)?,
                "accepted_priorities" => rule.accepted_priorities = Some(self.priorities(value)?),
                other => {
                    let reason = format!(
                        "group {group}, sink {name}: unknown rule \"{other}\"; valid are {}",
                        KEYS.join(", ")
                    );
                    return Err(self.wrong_at(key, reason));
                }
            }
        }
        Ok(rule)
    }

    fn patterns(&self, node: &Node<'_>) -> Result<Vec<ShellPattern>, Error> {
        let made = |item| self.text(item, "a shell pattern").map(ShellPattern::new);
        self.items(node)?.iter().map(made).collect()
    }

    /// The priorities that one of the patterns means, in any case as the reference takes them.
    fn priorities(&self, node: &Node<'_>) -> Result<Vec<Priority>, Error> {
        let mut priorities = Vec::new();
        for item in self.items(node)? {
            let word = self.text(item, "a priority")?;
            let pattern = ShellPattern::new(&word.to_lowercase());
            let before = priorities.len();
            priorities.extend(Priority::ALL.iter().filter(|p| pattern.matches(p.as_str())));
            if priorities.len() == before {
                let unknown = Error::InvalidPriority { given: word.to_owned() };
                return Err(self.wrong_at(item, unknown.to_string()));
            }
        }
        Ok(priorities)
    }

    /// The entries of a mapping; nothing at all is an empty one.
    fn entries<'n, 'i>(
        &self,
        node: &'n Node<'i>,
        expected: &str,
    ) -> Result<Vec<(&'n Node<'i>, &'n Node<'i>)>, Error> {
        match &node.data {
            YamlData::Mapping(mapping) => Ok(mapping.iter().collect()),
            YamlData::Value(Scalar::Null) => Ok(Vec::new()),
            _ => Err(self.wrong_at(node, format!("expected a mapping of {expected}"))),
        }
    }

    fn items<'n, 'i>(&self, node: &'n Node<'i>) -> Result<&'n [Node<'i>], Error> {
        match &node.data {
            YamlData::Sequence(items) => Ok(items),
            _ => Err(self.wrong_at(node, "expected a list, such as [\"compute.*\"]".to_owned())),
        }
    }

    fn text<'n>(&self, node: &'n Node<'_>, what: &str) -> Result<&'n str, Error> {
        match &node.data {
            YamlData::Value(Scalar::String(text)) => Ok(text),
            _ => Err(self.wrong_at(node, format!("expected {what}, a text in quotes"))),
        }
    }

    fn wrong_at(&self, node: &Node<'_>, reason: String) -> Error {
        self.wrong(node.span.start.line(), reason)
    }

    fn wrong(&self, line: usize, reason: String) -> Error {
        Error::InvalidConfig { path: self.path.clone(), line, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{File, read};

    fn rejected(text: &str) -> String {
        let file = File { path: "/etc/routes.yaml".into(), sinks: &["log", "noop"] };
        file.rules(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_is_valid() {
        let cases = [
            ("a:\n  lgo: {}\n", "2: group a: no sink is called \"lgo\" here; valid are log, noop"),
            (
                "a:\n  log:\n    accepted: []\n",
                "3: group a, sink log: unknown rule \"accepted\"; valid are accepted_events, \
                 rejected_events, accepted_priorities",
            ),
            (
                "a:\n  log:\n    accepted_priorities:\n      - info\n      - warning\n",
                "5: unknown priority \"warning\"; valid are debug, info, warn, error, critical, \
                 audit, sample",
            ),
            (
                "a:\n  log:\n    accepted_events: compute.*\n",
                "3: expected a list, such as [\"compute.*\"]",
            ),
            (
                "a:\n  log:\n    rejected_events: [1]\n",
                "3: expected a shell pattern, a text in quotes",
            ),
            ("- a\n", "1: expected a mapping of groups, each with a name"),
            ("a: log\n", "1: expected a mapping of sinks, each with a name"),
            (
                "a: {log: [x]}\n",
                "1: expected a mapping of accepted_events, rejected_events, accepted_priorities",
            ),
            ("1: {}\n", "1: expected the name of a group, a text in quotes"),
            ("a: {}\n---\nb: {}\n", "3: expected one YAML document"),
        ];
        for (text, error) in cases {
            assert_eq!(rejected(text), format!("/etc/routes.yaml:{error}"), "{text}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_place() {
        let cases = [
            ("a:\n  log:\n   x: [\n", "not valid YAML"),
            (
                "a:\n  log:\n    accepted_events: [*.exists]\n",
                "a pattern that starts with * stands in quotes",
            ),
            ("a: {}\na: {}\n", "routes.yaml:2: not valid YAML: duplicated key"),
        ];
        for (text, part) in cases {
            let error = rejected(text);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/routes.yaml"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/routes.yaml");
    }

    #[test]
    fn nothing_at_all_is_no_rule() {
        let file = File { path: "f".into(), sinks: &["log"] };
        for text in ["", "# nothing\n", "{}", "a:\n", "a: {}\n", "~\n"] {
            assert!(file.rules(text).unwrap().is_empty(), "{text:?}");
        }
    }
}
