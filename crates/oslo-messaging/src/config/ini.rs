//! The INI dialect of oslo.config: one file into its assignments, each with its line.
//!
//! Only the text is read here; which file or group wins, `$name` and types are the affair of
//! `config`, `substitution` and `value`. Mirrors `oslo_config/iniparser.py` and the file lookup of
//! `oslo_config/cfg.py`. Called by [`Config`](super::Config) and by whoever checks a file.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// The assignments of one configuration file.
///
/// The dialect, where it differs from others: a key ends at the first `=` or `:`; a line that
/// starts with a blank continues the value before it; `#` and `;` begin a comment in the first
/// column only; one pair of equal quotes around a value is removed; a repeated key keeps all its
/// values; there are no escapes.
///
/// ```
/// use oslo_messaging::config::Ini;
///
/// let text = "[oslo_messaging_notifications]\ndriver = messagingv2\ndriver = log\n";
/// let ini = Ini::parse(text, "nova.conf")?;
/// let drivers: Vec<&str> =
///     ini.values("oslo_messaging_notifications", "driver").map(|entry| entry.value()).collect();
/// assert_eq!(drivers, ["messagingv2", "log"]);
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
#[derive(Clone)]
pub struct Ini {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// One assignment of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    group: String,
    name: String,
    value: String,
    line: usize,
}

impl Ini {
    /// Reads a file, such as `/etc/nova/nova.conf`, in UTF-8.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when it cannot be opened or read, [`Error::InvalidConfig`] when it is not
    /// UTF-8 or not in the dialect.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes =
            fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, path),
            Err(error) => {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                Err(Error::InvalidConfig {
                    path: path.to_owned(),
                    line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
                    reason: "the file is not UTF-8".to_owned(),
                })
            }
        }
    }

    /// Reads a text; `path` is what errors and origins call it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] with the line. Its text never shows the line, which may hold a
    /// password.
    pub fn parse(text: &str, path: impl Into<PathBuf>) -> Result<Self, Error> {
        let mut reader = Reader::default();
        let path = path.into();
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for (index, line) in text.split('\n').enumerate() {
            if let Err(reason) = reader.line(index + 1, line.trim_end_matches(is_blank)) {
                return Err(Error::InvalidConfig {
                    path,
                    line: index + 1,
                    reason: reason.to_owned(),
                });
            }
        }
        Ok(Self { path, entries: reader.entries })
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All assignments in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All values of one name, in the order of the file.
    ///
    /// Group names are compared without regard to case, except that `DEFAULT` is only itself;
    /// option names are compared exactly.
    pub fn values<'a>(&'a self, group: &str, name: &str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.name == name && same_group(&entry.group, group))
    }
}

impl Entry {
    /// The group as written, without brackets, such as `oslo_messaging_kafka`.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The option's name as written, such as `consumer_group`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value without its quotes, before substitution; continued lines are joined by `\n`.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The one-based line on which the assignment starts.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    entries: Vec<Entry>,
    group: Option<String>,
    /// Whether the next line may continue the last entry.
    open: bool,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), &'static str> {
        if line.is_empty() {
            self.open = false;
        } else if line.starts_with([' ', '\t']) {
            let last = self.entries.last_mut().filter(|_| self.open);
            let entry = last.ok_or("a line that starts with a blank continues no value")?;
            entry.value.push('\n');
            entry.value += line.trim_start_matches(is_blank);
        } else if line.starts_with('[') {
            self.open = false;
            self.group = Some(group_name(line)?.to_owned());
        } else if line.starts_with(['#', ';']) {
            self.open = false;
        } else {
            let (name, value) = split(line)?;
            let group = self.group.clone().ok_or("there is no [group] before this assignment")?;
            self.entries.push(Entry {
                group,
                name: name.to_owned(),
                value: value.to_owned(),
                line: number,
            });
            self.open = true;
        }
        Ok(())
    }
}

fn group_name(line: &str) -> Result<&str, &'static str> {
    let name = line
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or("a group must end with \"]\"")?;
    if name.is_empty() { Err("the name of the group is empty") } else { Ok(name) }
}

fn split(line: &str) -> Result<(&str, &str), &'static str> {
    let (name, value) =
        line.split_once([':', '=']).ok_or("there is no \"=\" or \":\" after a name")?;
    let name = name.trim_matches(is_blank);
    if name.is_empty() {
        return Err("the name before \"=\" or \":\" is empty");
    }
    Ok((name, unquoted(value.trim_matches(is_blank))))
}

/// Removes one pair of equal quotes; a single quote character alone is removed too.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() == 1 && value.starts_with(quote) {
            return "";
        }
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

/// Whether two names are of one group: case counts only for `DEFAULT`.
pub(super) fn same_group(one: &str, other: &str) -> bool {
    one == other
        || one != "DEFAULT" && other != "DEFAULT" && one.to_lowercase() == other.to_lowercase()
}

/// White space as Python's `str.strip` sees it: Unicode's, and four separators of ASCII.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

impl fmt::Debug for Ini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ini").field("path", &self.path).field("entries", &self.entries).finish()
    }
}

/// Shows no value: any of them may be a password.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {} (line {})", self.group, self.name, self.line)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Error, Ini};

    fn entries(text: &str) -> Vec<(String, String, String, usize)> {
        Ini::parse(text, "t.conf")
            .unwrap()
            .entries()
            .iter()
            .map(|e| (e.group().into(), e.name().into(), e.value().into(), e.line()))
            .collect()
    }

    #[test]
    fn assignments_are_read_as_oslo_config_reads_them() {
        for (text, name, value) in [
            ("[g]\na=b", "a", "b"),
            ("[g]\na = b ", "a", "b"),
            ("[g]\na : b", "a", "b"),
            ("[g]\na = b : c", "a", "b : c"),
            ("[g]\na : b = c", "a", "b = c"),
            ("[g]\nurl:kafka://h", "url", "kafka://h"),
            ("[g]\na =", "a", ""),
            ("[g]\na = b # no comment", "a", "b # no comment"),
            ("[g]\na = \"b \"", "a", "b "),
            ("[g]\na = 'b'", "a", "b"),
            ("[g]\na = 'b\"", "a", "'b\""),
            ("[g]\na = ''b''", "a", "'b'"),
            ("[g]\na = \"", "a", ""),
            ("[g]\na = '", "a", ""),
            ("[g]\na = \"\"", "a", ""),
            ("[g]\na = \\n", "a", "\\n"),
            ("[g]\na = b\n  c\n\td  ", "a", "b\nc\nd"),
            ("[g]\na = 'b\n  c'", "a", "'b\nc'"),
            ("[g]\na =\n  b", "a", "\nb"),
            ("[g]\na = b\n  # c", "a", "b\n# c"),
            ("[g]\na = b\n  [c]", "a", "b\n[c]"),
            ("[g]\r\na = b\r\n", "a", "b"),
            ("[g]\ra = b\r", "a", "b"),
            ("[g]  \na b = c", "a b", "c"),
            ("[g]\n\u{a0}a = \u{a0}b\u{1f}", "a", "b"),
            ("# x\n;y\n\n[g]\n#a=1\na=2", "a", "2"),
        ] {
            let found = entries(text);
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!((found[0].1.as_str(), found[0].2.as_str()), (name, value), "{text:?}");
        }
    }

    #[test]
    fn groups_and_lines_are_kept() {
        assert_eq!(
            entries("[DEFAULT]\na=1\n\n[x]y]\nb=2\n 3\nb=4\n[ ]\nc=5"),
            [
                ("DEFAULT".into(), "a".into(), "1".into(), 2),
                ("x]y".into(), "b".into(), "2\n3".into(), 5),
                ("x]y".into(), "b".into(), "4".into(), 7),
                (" ".into(), "c".into(), "5".into(), 9),
            ]
        );
    }

    #[test]
    fn group_names_ignore_case_but_default_is_only_itself() {
        let ini =
            Ini::parse("[G]\na=1\n[g]\na=2\n[DEFAULT]\na=3\n[default]\na=4", "t.conf").unwrap();
        let values = |group| ini.values(group, "a").map(|e| e.value()).collect::<Vec<_>>();
        assert_eq!(values("g"), ["1", "2"]);
        assert_eq!(values("G"), ["1", "2"]);
        assert_eq!(values("DEFAULT"), ["3"]);
        assert_eq!(values("default"), ["4"]);
        assert_eq!(ini.values("g", "A").count(), 0);
    }

    #[test]
    fn what_is_not_the_dialect_is_refused_with_its_line() {
        for (text, line, word) in [
            ("a=1", 1, "no [group]"),
            ("\n\na=1\n", 3, "no [group]"),
            ("[g]\n a=1", 2, "continues no value"),
            ("[g]\na=1\n\n b", 4, "continues no value"),
            ("[g]\na=1\n# x\n b", 4, "continues no value"),
            ("[g]\na=1\n[h]\n b", 4, "continues no value"),
            ("[g\n", 1, "end with"),
            ("[", 1, "end with"),
            ("[g] # x", 1, "end with"),
            ("[]", 1, "group is empty"),
            ("[g]\nhunter2", 2, "no \"=\""),
            ("[g]\n= hunter2", 2, "name before"),
            ("[g]\n: hunter2", 2, "name before"),
            ("\u{feff}[g]\na=1", 1, "no \"=\""),
        ] {
            match Ini::parse(text, "t.conf") {
                Err(Error::InvalidConfig { path, line: found, reason }) => {
                    assert_eq!((path.as_path(), found), (Path::new("t.conf"), line), "{text:?}");
                    assert!(reason.contains(word), "{text:?}: {reason}");
                    assert!(!reason.contains("hunter2"));
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_is_missing_or_not_utf_8_is_named() {
        let missing = Path::new("/nonexistent/nova.conf");
        assert!(matches!(Ini::read(missing), Err(Error::File { path, .. }) if path == missing));

        let file = std::env::temp_dir().join(format!("oslomsg-ini-{}.conf", std::process::id()));
        std::fs::write(&file, b"[g]\na=1\nb=\xff\n").unwrap();
        let outcome = Ini::read(&file);
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(outcome, Err(Error::InvalidConfig { line: 3, .. })), "{outcome:?}");
    }

    #[test]
    fn debug_shows_no_value() {
        let ini = Ini::parse("[g]\npassword = hunter2", "t.conf").unwrap();
        let shown = format!("{ini:?}");
        assert!(shown.contains("[g] password (line 2)") && !shown.contains("hunter2"), "{shown}");
    }
}
