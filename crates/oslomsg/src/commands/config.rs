//! `config`: what the configuration says, and what is wrong with it.

mod check;
mod opts;
mod show;

use std::io::{self, Write};

use oslo_messaging::config::messaging;

use crate::{
    args::config::ConfigCommand,
    exit::{Exit, Failure},
    session::Session,
};

/// Whom the sample says that the options are from.
const NAMESPACE: &str = "oslo.messaging";

/// Shows, checks or lists.
///
/// # Errors
///
/// Only those of writing.
pub(super) fn run(command: ConfigCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show(args) => show::run(&args, session),
        ConfigCommand::Check(args) => check::run(&args, session),
        ConfigCommand::Sample => {
            io::stdout().lock().write_all(messaging().sample(NAMESPACE).as_bytes())?;
            Ok(Exit::Ok)
        }
        ConfigCommand::Opts(args) => opts::run(&args),
    }
}

/// Writes rows with their columns below each other.
fn write_table(rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = io::stdout().lock();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Writes one list of objects.
fn write_json(list: &[serde_json::Value]) -> io::Result<()> {
    let text = serde_json::to_string_pretty(list).map_err(io::Error::from)?;
    writeln!(io::stdout().lock(), "{text}")
}
