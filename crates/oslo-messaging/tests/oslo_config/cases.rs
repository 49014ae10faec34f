//! Made-up configurations: where files lie, what is in them, and which variables are set.
//!
//! What is never made up, because oslo.config cannot be followed there and `docs/options.md` says so:
//!
//! - numbers without a digit (oslo.config has no value then, where a number is refused here) and
//!   `nan`;
//! - a variable for a multi-string (it makes one value of each character);
//! - references to lists, dictionaries and multi-strings (they give Python's `repr`), and those to
//!   `DEFAULT` as a group (an error there);
//! - references of values that are shown to one that is secret (refused here);
//! - a bare reference from another group to a name that `DEFAULT` has, too, where the value that is
//!   meant refers to something unknown (oslo.config takes that error for "no such option" and gives
//!   the value of `DEFAULT`; it is an error here);
//! - references by an older name of another group, or while the environment sets the option: they
//!   look for the value elsewhere than the option itself does;
//! - digits of other scripts.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use oslo_messaging::config::{DEFAULT, Kind, Opt, Sources};
use serde_json::{Value as Json, json};

use crate::{
    dice::Dice,
    options::SCHEMA,
    values::{is_number, text, value},
};

/// Options of the service whose files these are, which the table does not have.
pub(crate) const SERVICES: &[(&str, &str)] =
    &[(DEFAULT, "my_ip"), (DEFAULT, "state_path"), ("alpha", "own"), ("beta", "own")];

const PROJECT: &str = "oslomsg-differs";
const PROGRAM: &str = "oslomsg-differs-api";

/// One configuration.
pub(crate) struct Case {
    seed: u64,
    number: u64,
    /// All its files are below it, and the home folder is it.
    pub(crate) root: PathBuf,
    project: Option<&'static str>,
    /// `--config-file` or `--config-dir`, and a path below the root.
    named: Vec<(&'static str, String)>,
    environment: Vec<(String, String)>,
}

impl Case {
    /// Makes one up, and its files.
    pub(crate) fn make(seed: u64, number: u64, root: &Path) -> Self {
        let mut dice = Dice::new(seed, number);
        fs::create_dir_all(root).unwrap();
        let mut case = Self {
            seed,
            number,
            root: root.to_owned(),
            project: dice.percent(70).then_some(PROJECT),
            named: Vec::new(),
            environment: Vec::new(),
        };
        let tidy = dice.percent(60);
        if dice.percent(40) {
            case.lay_own(&mut dice, tidy);
        }
        for index in 0..dice.below(4) {
            if dice.percent(70) {
                let path = format!("named-{index}.conf");
                case.lay(&mut dice, &path, tidy);
                case.named.push(("--config-file", path));
            } else {
                let folder = format!("folder-{index}.d");
                case.lay_folder(&mut dice, &folder, tidy);
                case.named.push(("--config-dir", folder));
            }
        }
        // Two things that are wrong would be told in another order.
        if tidy && dice.percent(3) {
            let option = dice.one(&["--config-file", "--config-dir"]);
            case.named.push((option, "missing".to_owned()));
        }
        let variable = |name: &str, folder: &str| {
            (name.to_owned(), root.join(folder).to_str().unwrap().to_owned())
        };
        case.environment.push(variable("HOME", ""));
        for (name, folder) in [("SNAP", "snap"), ("SNAP_COMMON", "common")] {
            if dice.percent(50) {
                case.environment.push(variable(name, folder));
            }
        }
        case.set_variables(&mut dice);
        case
    }

    /// What oslo.config calls the sources.
    pub(crate) fn sources(&self) -> Sources {
        let mut sources =
            Sources::new().program(PROGRAM).environment(self.environment.iter().cloned());
        if let Some(project) = self.project {
            sources = sources.project(project);
        }
        for (option, path) in &self.named {
            let path = self.path(path);
            sources = match *option {
                "--config-file" => sources.file(path),
                _ => sources.folder(path),
            };
        }
        sources
    }

    /// The same for the reference's script.
    pub(crate) fn question(&self) -> Json {
        let named = self.named.iter();
        let arguments: Vec<_> =
            named.flat_map(|(option, path)| [(*option).to_owned(), self.path(path)]).collect();
        let environment: serde_json::Map<_, _> = self
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), Json::from(value.clone())))
            .collect();
        json!({
            "arguments": arguments,
            "project": self.project,
            "program": PROGRAM,
            "environment": environment,
            "services": SERVICES,
        })
    }

    /// Some are named from the home folder.
    fn path(&self, path: &str) -> String {
        match path.len() % 2 {
            0 => format!("~/{path}"),
            _ => self.root.join(path).to_str().unwrap().to_owned(),
        }
    }

    /// The files that the project and the program find by themselves.
    fn lay_own(&mut self, dice: &mut Dice, tidy: bool) {
        let places = [
            format!(".{PROJECT}"),
            ".".to_owned(),
            format!("common/etc/{PROJECT}"),
            format!("snap/etc/{PROJECT}"),
        ];
        for place in &places {
            for name in [PROJECT, PROGRAM] {
                if dice.percent(25) {
                    self.lay(dice, &format!("{place}/{name}.conf"), tidy);
                }
                if dice.percent(15) {
                    self.lay_folder(dice, &format!("{place}/{name}.conf.d"), tidy);
                }
            }
        }
    }

    fn lay_folder(&self, dice: &mut Dice, folder: &str, tidy: bool) {
        fs::create_dir_all(self.root.join(folder)).unwrap();
        for name in
            ["b.conf", "a.conf", "A.conf", "10.conf", "9.conf", ".hidden.conf", "a.conf.bak"]
        {
            if dice.percent(25) {
                self.lay(dice, &format!("{folder}/{name}"), tidy);
            }
        }
    }

    fn lay(&self, dice: &mut Dice, path: &str, tidy: bool) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = file(dice, tidy).into_bytes();
        if !tidy && dice.percent(1) {
            bytes.extend(b"[alpha]\ntext = \xff\n");
        }
        fs::write(path, bytes).unwrap();
    }

    fn set_variables(&mut self, dice: &mut Dice) {
        for _ in 0..dice.below(4) {
            let opt = &SCHEMA.opts()[dice.below(SCHEMA.opts().len())];
            if matches!(opt.kind, Kind::MultiString) || opt.name == REFERRED_BY_OLDER_NAME {
                continue;
            }
            let value = value(dice, opt).replace('\0', "");
            let variable = format!("OS_{}__{}", opt.group, opt.name).to_uppercase();
            self.environment.push((variable, value));
        }
        if dice.percent(20) {
            let (group, name) = SERVICES[dice.below(SERVICES.len())];
            let variable = format!("OS_{group}__{name}").to_uppercase();
            self.environment.push((variable, "from the environment".to_owned()));
        }
        // Nobody reads it.
        if dice.percent(10) {
            self.environment.push(("OS_ALPHA__OLD_LEVEL".to_owned(), "9".to_owned()));
        }
    }
}

/// `before` stands for it, in its own group, and no variable sets it.
const REFERRED_BY_OLDER_NAME: &str = "renamed";

/// The text of a file.
fn file(dice: &mut Dice, tidy: bool) -> String {
    let mut lines = Vec::new();
    for _ in 0..=dice.below(4) {
        let group = match dice.below(10) {
            0..=2 => DEFAULT,
            3..=6 => "alpha",
            7 | 8 => "beta",
            _ => "other",
        };
        lines.push(header(dice, group, tidy));
        for _ in 0..dice.below(7) {
            lines.extend(entry(dice, group, tidy));
        }
    }
    if !tidy && dice.percent(5) {
        lines.insert(0, "text = before any group".to_owned());
    }
    let end = match dice.below(20) {
        0 => "\r",
        1 | 2 => "\r\n",
        _ => "\n",
    };
    lines.join(end) + if dice.percent(90) { end } else { "" }
}

fn header(dice: &mut Dice, group: &str, tidy: bool) -> String {
    match dice.below(if tidy { 10 } else { 80 }) {
        0 => format!("[{}]", group.to_uppercase()),
        1 => format!("[{group}]  "),
        2 => format!("[{}]", group.to_lowercase()),
        10 => format!("[{group}"),
        11 => "[]".to_owned(),
        12 => format!("[{group}] # a comment"),
        13 => format!("[{group} ]"),
        14 => format!("\u{a0}[{group}]"),
        _ => format!("[{group}]"),
    }
}

/// An assignment with what stands around it, or something else.
fn entry(dice: &mut Dice, group: &str, tidy: bool) -> Vec<String> {
    match dice.below(if tidy { 25 } else { 60 }) {
        0 => return vec![String::new()],
        1 => return vec!["# a comment = 1".to_owned()],
        2 => return vec![";text = a comment".to_owned()],
        3 => return vec![" \t".to_owned()],
        4 => return vec!["unknown = $unknown".to_owned()],
        30 => return vec!["no separator".to_owned()],
        31 => return vec!["= no name".to_owned()],
        32 => return vec!["  continues what stands before".to_owned()],
        33 => return vec!["# a comment".to_owned(), "\tcontinues nothing".to_owned()],
        34 => return vec!["\u{feff}text = 1".to_owned()],
        35 => return vec!["\u{b}text = of another blank".to_owned()],
        _ => {}
    }
    let names: Vec<(&str, Option<&Opt>)> = SCHEMA
        .opts()
        .iter()
        .flat_map(|opt| {
            let older = opt.deprecated.iter().copied();
            older.chain([(opt.group, opt.name)]).map(move |(group, name)| (group, name, opt))
        })
        .filter(|(of, ..)| *of == group)
        .map(|(_, name, opt)| (name, Some(opt)))
        .chain(SERVICES.iter().filter(|(of, _)| *of == group).map(|(_, name)| (*name, None)))
        .collect();
    let Some(&(name, opt)) = names.get(dice.below(names.len().max(1))) else {
        return vec!["text = of a group that nobody knows".to_owned()];
    };
    let value = match opt {
        Some(opt) => value(dice, opt),
        None => text(dice, group, false),
    };
    let separator = dice.one(&["=", " = ", ":", " : ", "= ", " =", "\t=\t", " =\u{a0}"]);
    let name = match dice.below(40) {
        0 => name.to_uppercase(),
        1 => format!("{name}\u{2003}"),
        _ => name.to_owned(),
    };
    let is_number = opt.is_some_and(is_number);
    let value = if is_number { value } else { dressed(dice, value) };
    let mut lines: Vec<String> =
        format!("{name}{separator}{value}").split('\n').map(str::to_owned).collect();
    if !is_number && dice.percent(8) {
        for _ in 0..=dice.below(2) {
            let indent = dice.one(&[" ", "\t", "    ", " \u{a0}"]);
            let more = text(dice, opt.map_or(group, |opt| opt.group), false);
            // A blank one ends the value.
            let more = if more.trim().is_empty() { "more" } else { &more };
            lines.push(format!("{indent}{more}"));
        }
    }
    lines
}

/// A value with quotes and blanks, some of them odd.
fn dressed(dice: &mut Dice, value: String) -> String {
    match dice.below(24) {
        0 => format!("\"{value}\""),
        1 => format!("'{value}'"),
        2 => format!("\"{value}'"),
        3 => format!("\"{value}"),
        4 => format!("{value}'"),
        5 => format!("''{value}''"),
        6 => format!("{value}  "),
        7 => format!("{value} # no comment"),
        8 => format!("{value}\u{85}"),
        9 => format!("\" {value}\t\""),
        10 => dice.one(&["", "\"", "'", "\"\"", "''", "\"'"]).to_owned(),
        _ => value,
    }
}

/// All of it, for whoever looks into a difference.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, case {}: {}", self.seed, self.number, self.question())?;
        show(f, &self.root)
    }
}

fn show(f: &mut fmt::Formatter<'_>, folder: &Path) -> fmt::Result {
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            show(f, &path)?;
        } else {
            let text = fs::read(&path).unwrap();
            writeln!(f, "{}: {:?}", path.display(), String::from_utf8_lossy(&text))?;
        }
    }
    Ok(())
}
