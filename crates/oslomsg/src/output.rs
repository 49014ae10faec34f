//! What is written: data to stdout, everything else to stderr.
//!
//! Here live the words on stderr, the progress bar and the writer of records, with one file for each
//! way in which a record is shown. No command's logic, no broker.

#[cfg(feature = "kafka")]
mod jsonl;
#[cfg(feature = "kafka")]
mod line;
#[cfg(feature = "kafka")]
mod mask;
mod progress;
#[cfg(feature = "kafka")]
mod record;

use std::{fmt, io::Write};

use anstyle::{AnsiColor, Style};

use crate::{
    args::{Color, Verbosity},
    exit::{Exit, Failure},
};

pub(crate) use self::progress::{LogWriter, Progress};
#[cfg(feature = "kafka")]
pub(crate) use self::{line::line, record::RecordWriter};

const ERROR: Style = AnsiColor::Red.on_default().bold();
#[cfg(feature = "kafka")]
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Makes `--color` hold for the whole process.
pub(crate) fn choose_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Whether a stream gets colours: `--color`, `NO_COLOR`, `CLICOLOR_FORCE`, or a terminal.
pub(crate) fn is_styled(stream: &impl anstream::stream::RawStream) -> bool {
    anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// Says why a command gave up, and gives its exit code.
pub(crate) fn report(failure: Failure) -> Exit {
    match failure {
        Failure::BrokenPipe => Exit::Ok,
        Failure::Told { exit, text, hint } => {
            error(text);
            if let Some(hint) = hint {
                say(format_args!("{HINT}hint:{HINT:#} {hint}"));
            }
            exit
        }
    }
}

/// Writes `error: ...` to stderr.
pub(crate) fn error(text: impl fmt::Display) {
    say(format_args!("{ERROR}error:{ERROR:#} {text}"));
}

/// Writes `warning: ...` to stderr unless `--quiet`.
#[cfg(feature = "kafka")]
pub(crate) fn warning(verbosity: Verbosity, text: impl fmt::Display) {
    if verbosity > Verbosity::Quiet {
        say(format_args!("{WARNING}warning:{WARNING:#} {text}"));
    }
}

/// Writes a line to stderr unless `--quiet`.
pub(crate) fn note(verbosity: Verbosity, text: impl fmt::Display) {
    if verbosity > Verbosity::Quiet {
        say(format_args!("{text}"));
    }
}

/// A stderr that has gone takes nothing: there is nobody left to tell.
fn say(text: fmt::Arguments<'_>) {
    let _ = progress::aside(|| writeln!(anstream::stderr(), "{text}"));
}
