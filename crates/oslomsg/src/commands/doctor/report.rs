//! The lines of the report, and the exit code that comes of them.

use std::{fmt, io};

use anstyle::{AnsiColor, Style};

use crate::{
    exit::{Exit, Failure},
    output,
};

const GOOD: Style = AnsiColor::Green.on_default();
const DOUBT: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const PLAIN: Style = Style::new();

/// Writes each step as it is done.
pub(super) struct Report<W> {
    out: W,
    styled: bool,
    exit: Exit,
    warned: u32,
}

impl<W: io::Write> Report<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, styled: output::is_styled(&io::stdout()), exit: Exit::Ok, warned: 0 }
    }

    pub(super) fn ok(&mut self, step: &str, detail: impl fmt::Display) -> io::Result<()> {
        self.line(GOOD, "ok", step, detail)
    }

    pub(super) fn note(&mut self, step: &str, detail: impl fmt::Display) -> io::Result<()> {
        self.line(PLAIN, "-", step, detail)
    }

    pub(super) fn warn(
        &mut self,
        step: &str,
        detail: impl fmt::Display,
        advice: &str,
    ) -> io::Result<()> {
        self.warned += 1;
        self.line(DOUBT, "WARN", step, detail)?;
        writeln!(self.out, "      {advice}")
    }

    pub(super) fn fail(
        &mut self,
        step: &str,
        detail: impl fmt::Display,
        exit: Exit,
        advice: &str,
    ) -> io::Result<()> {
        if self.exit == Exit::Ok {
            self.exit = exit;
        }
        self.line(BAD, "FAIL", step, detail)?;
        writeln!(self.out, "      {advice}")
    }

    /// A step that the library, or another part of this program, has refused.
    pub(super) fn failure(&mut self, step: &str, failure: Failure) -> io::Result<()> {
        match failure {
            Failure::Told { exit, text, hint } => {
                self.fail(step, text, exit, hint.unwrap_or("oslomsg config check says more"))
            }
            Failure::BrokenPipe => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The last line, and the code of the first failure.
    pub(super) fn end(mut self) -> io::Result<Exit> {
        match (self.exit, self.warned) {
            (Exit::Ok, 0) => writeln!(self.out, "all is well")?,
            (Exit::Ok, warned) => writeln!(self.out, "it works, with {warned} warnings")?,
            _ => writeln!(self.out, "something is wrong: see FAIL above")?,
        }
        Ok(self.exit)
    }

    fn line(
        &mut self,
        style: Style,
        word: &str,
        step: &str,
        detail: impl fmt::Display,
    ) -> io::Result<()> {
        if self.styled {
            writeln!(self.out, "{style}{word:<5}{style:#} {step:<14} {detail}")?;
        } else {
            writeln!(self.out, "{word:<5} {step:<14} {detail}")?;
        }
        self.out.flush()
    }
}
