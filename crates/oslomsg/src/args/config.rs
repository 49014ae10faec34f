//! `config` and its parts, as they were written.

use clap::{Args, Subcommand, ValueEnum};

/// `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What to say of the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every option with its effective value, and where that comes from
    Show(ShowArgs),
    /// What is wrong: unknown names, values that are not valid or contradict each other
    ///
    /// Exit code 78 when there is an error.
    Check(CheckArgs),
    /// A sample file with every option, in the layout of oslo-config-generator
    Sample,
    /// Every option with its type, default and meaning
    Opts(OptsArgs),
}

/// `config show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Only options whose name, or group, has this in it
    #[arg(value_name = "WORD")]
    pub(crate) words: Vec<String>,

    /// Only options that something sets
    #[arg(long)]
    pub(crate) set: bool,

    /// Show passwords, not ***
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// How to show them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: ListFormat,
}

/// `config check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Exit with 78 for warnings, too
    #[arg(long)]
    pub(crate) fatal_warnings: bool,

    /// How to show what was found
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: ListFormat,
}

/// `config opts`.
#[derive(Debug, Args)]
pub(crate) struct OptsArgs {
    /// How to show them
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: ListFormat,
}

/// How a list is shown: lines for people, or one list of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Table,
    Json,
}
