//! The table of options as documentation: `docs/options.md`.
//!
//! Pure. Called by the test that compares the checked-in file, and by whoever prints it.

use std::fmt::Write;

use super::{DEFAULT, KAFKA, NOTIFICATIONS, RABBIT, table};
use crate::config::{
    opt::{DefaultValue, Kind, Opt},
    value::expected,
};

const HEAD: &str = "\
# Options

This page is made from the table of options in `crates/oslo-messaging/src/config/messaging/`; a test
compares it. After a change of the table: `make docs`.

The first of these that names an option decides: the query of the transport URL (only the group of
the URL's driver), the program itself, the environment, the configuration files with later files before
earlier ones, the default. An unknown name in the query or from the program is an error, and so is a
value outside of what is listed here. Names that only a file has are left alone: other programs read the
same file. `oslomsg config check` finds them, with everything else that looks wrong.

A service finds its files by the names of its project and its program: `{project}.conf`, then
`{program}.conf`, each in the first of `~/.{project}/`, `~/`, `/etc/{project}/`, `/etc/`,
`$SNAP_COMMON/etc/{project}/` and `$SNAP/etc/{project}/` that has it; then the `*.conf` of the folders
`{project}.conf.d` and `{program}.conf.d` in the same places. Files that are named (`--config-file`) take
the place of the former, folders that are named (`--config-dir`) that of the latter, and they come last, in
their order. In the environment an option is `OS_<GROUP>__<OPTION>` in upper case.

Files are written as for oslo.config: `name = value` under `[group]`, `#` or `;` in the first column
for comments, a blank at the start of a line that continues a value, a name repeated for each value
of a multi-string, `$name` or `${group.name}` for the value of another option, and `$$` or `\\$` for a
`$`, in the environment, too. A name that nobody knows after a `$` is an error. In the query and from the
program a `$` is only a `$`.

Options that are *mutable* count at once when a running program reads its configuration again
(`Transport::reload`; `oslomsg send` and `tail --group` do it on SIGHUP), as oslo.config's
`mutate_config_files` has it. Others that have changed are named in the log: they need a restart.

A test reads thousands of made-up configurations by this library and by oslo.config. Where the two differ,
it is on purpose:

- Numbers may not be empty or `nan`: leave the line out instead. (oslo.config gives the program no number
  then.)
- A variable for a multi-string is one value; oslo.config makes one of each of its characters.
- A reference to a list or to pairs stands for their text, not for Python's notation of it; one to
  `DEFAULT` as a group works.
- A reference to what only the file has works: it is the service's own option. oslo.config asks the
  service's table.
- A value that is shown may not refer to a secret one.
- By an older name an option is found as by its name.
";

const COLUMNS: &str = "| option | value | default | meaning |\n|---|---|---|---|\n";

/// The parts of the page: group, whether ours, heading, introduction.
const SECTIONS: [(&str, bool, &str, &str); 5] = [
    (DEFAULT, false, "## [DEFAULT]", "Shared by all services and drivers."),
    (
        NOTIFICATIONS,
        false,
        "## [oslo_messaging_notifications]",
        "What a notifier sends, and where.",
    ),
    (
        KAFKA,
        false,
        "## [oslo_messaging_kafka]",
        "The Kafka driver. Names, types and defaults of this list are those of oslo.messaging.",
    ),
    (
        KAFKA,
        true,
        "### Further options of [oslo_messaging_kafka]",
        "In the same group, and not known to oslo.messaging.",
    ),
    (
        RABBIT,
        false,
        "## [oslo_messaging_rabbit]",
        "The RabbitMQ driver. Names, types and defaults are those of oslo.messaging; what is accepted \
         without effect says why.",
    ),
];

/// The documentation of all options in Markdown: the text of `docs/options.md`.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (group, ours, heading, introduction) in SECTIONS {
        page += &format!("\n{heading}\n\n{introduction}\n\n{COLUMNS}");
        for opt in table().iter().filter(|opt| opt.group == group && opt.ours == ours) {
            page += &row(opt);
        }
    }
    page
}

fn row(opt: &Opt) -> String {
    let default = match opt.default {
        DefaultValue::Unset => "not set".to_owned(),
        DefaultValue::ProgramName => "the program's name".to_owned(),
        DefaultValue::HostName => "the host's name".to_owned(),
        DefaultValue::Text("") => "empty".to_owned(),
        DefaultValue::Text(text) => format!("`{text}`"),
    };
    let mut notes = String::new();
    if opt.secret {
        notes += " Secret: shown as `***`.";
    }
    if opt.mutable {
        notes += " Mutable.";
    }
    for (group, name) in opt.deprecated {
        // Writing to a String does not fail.
        let _ = write!(notes, " Also read as `[{group}] {name}`.");
    }
    let value = match opt.kind {
        Kind::String => "text".to_owned(),
        Kind::Choice(choices) => words(choices),
        Kind::ChoiceOrPrefix { choices, prefix } => format!("{}, `{prefix}`…", words(choices)),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::List => "list, separated by commas".to_owned(),
        Kind::MultiString => "multi-string".to_owned(),
        Kind::Dict => "`name:value` pairs, separated by commas".to_owned(),
        kind => expected(&kind),
    };
    format!("| `{}` | {value} | {default} | {}{notes} |\n", opt.name, opt.help)
}

fn words(choices: &[&str]) -> String {
    choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::{markdown, table};

    #[test]
    fn the_checked_in_docs_are_those_of_the_table() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/options.md");
        if env::var_os("OSLOMSG_RENEW_DOCS").is_some() {
            fs::write(&file, markdown()).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == markdown(),
            "docs/options.md is not up to date; renew it with \
             OSLOMSG_RENEW_DOCS=1 cargo test -p oslo-messaging docs"
        );
    }

    #[test]
    fn every_option_of_the_table_has_one_row() {
        let page = markdown();
        assert_eq!(page.matches("\n| `").count(), table().len());
    }
}
