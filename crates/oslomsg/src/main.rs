//! `oslomsg`: OpenStack notifications over Kafka, from the command line.
//!
//! | file | has |
//! |---|---|
//! | `args` | the command line as it was written |
//! | `session` | its global part, resolved |
//! | `reload` | what SIGHUP does |
//! | `commands` | one file and one function for each command |
//! | `output` | how records and messages are shown |
//! | `exit` | exit codes, and which error has which |
//!
//! Data goes to standard output, everything else to standard error.

mod args;
mod commands;
mod exit;
mod interrupt;
#[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "only tail writes JSON"))]
mod json;
mod output;
mod reload;
mod session;

use std::{
    env,
    io::{self, Write},
    panic,
    process::ExitCode,
};

use tracing_subscriber::{
    Layer, filter::LevelFilter, filter::Targets, fmt, layer::SubscriberExt, registry,
    util::SubscriberInitExt,
};

use args::{Cli, Command, Verbosity};
use exit::{Exit, Failure};
use session::Session;

fn main() -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        // No backtrace: whoever wants one debugs this program, and has a debugger.
        let _ = writeln!(io::stderr(), "error: a bug in oslomsg: {panic}");
    }));
    let outcome = panic::catch_unwind(|| match Cli::read(env::args_os()) {
        Ok(cli) => run(cli).unwrap_or_else(output::report),
        Err(error) => explain(&error),
    });
    outcome.unwrap_or(Exit::Bug).into()
}

fn run(cli: Cli) -> Result<Exit, Failure> {
    output::choose_color(cli.global.color);
    start_log(cli.global.verbosity(), &cli.command);
    let session = Session::resolve(cli.global)?;
    commands::run(cli.command, &session)
}

/// Help and version go to stdout, a wrong usage to stderr; clap knows which.
fn explain(error: &clap::Error) -> Exit {
    // Nobody reads: nobody is told.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Ok }
}

/// Sends the log to stderr.
fn start_log(verbosity: Verbosity, command: &Command) {
    let level = match verbosity {
        Verbosity::Quiet => LevelFilter::ERROR,
        Verbosity::Normal => LevelFilter::WARN,
        Verbosity::Verbose => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
    };
    let mut targets = Targets::new().with_default(level);
    if verbosity < Verbosity::Verbose {
        // What these say is said once, by the command that it happened to.
        targets = targets.with_target("oslo_messaging::receipt", LevelFilter::OFF);
    }
    if verbosity < Verbosity::Debug {
        // The library tells of the same in words; this one's have whole messages in them.
        targets = targets.with_target("lapin", LevelFilter::OFF);
    }
    if matches!(command, Command::Config(_)) {
        // What opening a driver warns of is a finding already.
        targets = targets.with_target("oslo_messaging", LevelFilter::ERROR);
    }
    if matches!(command, Command::Send(send) if send.drivers.iter().any(|name| name == "log")) {
        targets = targets.with_target("oslo.messaging.notification", LevelFilter::TRACE);
    }
    let layer = fmt::layer()
        .with_writer(|| output::LogWriter)
        .with_ansi(output::is_styled(&io::stderr()))
        .with_target(verbosity == Verbosity::Debug);
    let subscriber = registry();
    if verbosity == Verbosity::Debug {
        subscriber.with(layer.with_filter(targets)).init();
    } else {
        subscriber.with(layer.without_time().with_filter(targets)).init();
    }
}
