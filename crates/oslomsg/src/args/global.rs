//! What every command takes, as it was written.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    sources::Named,
    values::{self, Property},
};

const TRANSPORT_URL: &str = "\
Such as kafka://user:pass@host1:9092,host2:9092/vhost [default: the configuration's \
[oslo_messaging_notifications] transport_url, else [DEFAULT] transport_url; for rpc only that]";

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Project whose configuration is read as its services do, such as nova: ~/.nova/nova.conf or
    /// /etc/nova/nova.conf, and nova.conf.d there
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) project: Option<String>,

    /// Program of the project, such as nova-compute, whose own files come after the project's
    /// [default: oslomsg]
    #[arg(long = "prog", value_name = "NAME", global = true)]
    pub(crate) program: Option<String>,

    /// Configuration file of a service, as oslo.config reads it, in place of the project's; may be
    /// repeated, later ones win
    #[arg(long = "config-file", value_name = "PATH", global = true)]
    config_files: Vec<PathBuf>,

    /// Folder of configuration files (*.conf), in place of the project's; may be repeated, and mixed
    /// with --config-file
    #[arg(long = "config-dir", value_name = "DIR", global = true)]
    config_folders: Vec<PathBuf>,

    /// The files and folders in their order.
    #[arg(skip)]
    pub(crate) named: Vec<Named>,

    /// The broker's URL.
    #[arg(long, alias = "url", value_name = "URL", env = "OSLOMSG_TRANSPORT_URL")]
    #[arg(hide_env_values = true, global = true, help = TRANSPORT_URL)]
    pub(crate) transport_url: Option<String>,

    /// Seconds: send gives each notification that long (default 30), tail and broker end after it
    /// (default never), demo gives up after it (default 60), doctor gives each question that long
    /// (default 12), rpc waits so long for an answer (default: rpc_response_timeout), bridge for its
    /// queues and for the last confirmations (default 30)
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds, global = true)]
    pub(crate) timeout: Option<Duration>,

    /// Property for librdkafka, such as socket.timeout.ms=5000; may be repeated
    #[arg(short = 'X', long = "kafka-property", value_name = "K=V", global = true)]
    #[arg(value_parser = values::property)]
    pub(crate) properties: Vec<Property>,

    /// When to colour; auto looks at the terminal, NO_COLOR and CLICOLOR_FORCE
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: Color,

    /// Log what the library does to stderr, with times and sources
    #[arg(short, long, global = true)]
    pub(crate) debug: bool,

    /// Log more to stderr
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Print nothing but errors to stderr
    #[arg(short, long, global = true, conflicts_with_all = ["debug", "verbose"])]
    pub(crate) quiet: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// How much goes to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
    Debug,
}

impl GlobalArgs {
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.debug, self.verbose) {
            (true, ..) => Verbosity::Quiet,
            (_, true, _) => Verbosity::Debug,
            (.., true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}
