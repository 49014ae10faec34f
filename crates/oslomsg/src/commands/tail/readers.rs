//! Reading without a group: the topics that exist, and those that come into being meanwhile.

use std::time::{Duration, Instant};

use oslo_messaging::{
    Error,
    config::Config,
    kafka::{Read, ReadFrom, Reader, Record},
    wire,
};

use super::{Ended, Mode, Plan, Stream};
use crate::{
    exit::{Failure, chain},
    interrupt::Interrupt,
    output,
    session::Session,
};

/// How long a signal or a timeout goes unnoticed.
const TICK: Duration = Duration::from_millis(100);
/// Most records of one reader before the others have their turn.
const TURN: usize = 500;
/// With `--no-follow`, how long errors may go on without a record in between.
const ERRORS_FOR: Duration = Duration::from_secs(10);
/// First and longest wait between two looks for topics that were missing.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const LOOK_FOR: Duration = Duration::from_secs(2);

/// Reads until the end, a signal, the timeout, or the most that is wanted.
pub(super) fn look(plan: &Plan, session: &Session, stream: &mut Stream) -> Result<Ended, Failure> {
    let Mode::Look { names, asked_for, from, follow } = &plan.mode else {
        return Ok(Ended::AtEnd);
    };
    let mut readers = Readers::open(plan, &session.config, names, *from, *follow)?;
    warn_of_missing(&readers.missing, names, asked_for, session);
    // Only now: until the brokers have answered a signal ends the process at once.
    let interrupt = Interrupt::install()?;
    loop {
        if interrupt.came() {
            return Ok(Ended::Interrupted);
        }
        if plan.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(Ended::TimedOut);
        }
        match readers.turn(stream, plan.deadline) {
            Ok(Turn::Read) => stream.writer.flush()?,
            Ok(Turn::Nothing) => readers.look_again(plan, &session.config),
            Ok(Turn::Full) => return Ok(Ended::Full),
            Ok(Turn::AtEnd) => return Ok(Ended::AtEnd),
            Err(Trouble::Output(failure)) => return Err(failure),
            Err(Trouble::Broker(error)) => {
                readers.bear(error, session)?;
                interrupt.wait(TICK);
            }
        }
    }
}

/// Most topics never see all seven priorities: only what was named itself, or all of it, is
/// missed.
fn warn_of_missing(missing: &[String], names: &[String], asked_for: &[String], session: &Session) {
    let all = missing.len() == names.len();
    let missed: Vec<&str> =
        missing.iter().filter(|name| all || asked_for.contains(name)).map(String::as_str).collect();
    if !missed.is_empty() {
        let missed = missed.join(", ");
        output::warning(session.verbosity, format_args!("no such topic on the broker: {missed}"));
    }
}

/// What is read from, and what is waited for.
struct Readers {
    readers: Vec<Reader>,
    follow: bool,
    missing: Vec<String>,
    look_at: Instant,
    look_again_in: Duration,
    busy: bool,
    trouble_since: Option<Instant>,
}

enum Turn {
    Read,
    Nothing,
    Full,
    AtEnd,
}

enum Trouble {
    Broker(Error),
    Output(Failure),
}

impl Readers {
    fn open(
        plan: &Plan,
        config: &Config,
        names: &[String],
        from: ReadFrom,
        follow: bool,
    ) -> Result<Self, Failure> {
        let reader = Reader::open(plan.transport.url(), config, names, from, plan.patience)?;
        let missing = reader.missing().to_vec();
        Ok(Self {
            readers: vec![reader],
            follow,
            missing,
            look_at: Instant::now() + LOOK_AGAIN.0,
            look_again_in: LOOK_AGAIN.0,
            busy: false,
            trouble_since: None,
        })
    }

    /// Gives each reader its turn, waiting a little when there was nothing the last time.
    fn turn(&mut self, stream: &mut Stream, deadline: Option<Instant>) -> Result<Turn, Trouble> {
        let mut wait = Duration::ZERO;
        if !self.busy {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let readers = u32::try_from(self.readers.len()).unwrap_or(1).max(1);
            wait = left.map_or(TICK, |left| left.min(TICK)) / readers;
        }
        self.busy = false;
        let mut ended = Vec::new();
        for (index, reader) in self.readers.iter_mut().enumerate() {
            for _ in 0..TURN {
                match reader.next(wait).map_err(Trouble::Broker)? {
                    Read::Record(record) => {
                        (self.busy, self.trouble_since, wait) = (true, None, Duration::ZERO);
                        let more = offer(stream, &record);
                        if !more.map_err(Trouble::Output)? {
                            return Ok(Turn::Full);
                        }
                    }
                    Read::End if self.follow => {}
                    Read::End => {
                        ended.push(index);
                        break;
                    }
                    _ => break,
                }
            }
        }
        for index in ended.into_iter().rev() {
            self.readers.remove(index);
        }
        Ok(match self.readers.is_empty() {
            true => Turn::AtEnd,
            false if self.busy => Turn::Read,
            false => Turn::Nothing,
        })
    }

    /// Looks for topics that were missing, less and less often. What is in them is new.
    fn look_again(&mut self, plan: &Plan, config: &Config) {
        if !self.follow || self.missing.is_empty() || Instant::now() < self.look_at {
            return;
        }
        let url = plan.transport.url();
        match Reader::open(url, config, &self.missing, ReadFrom::Beginning, LOOK_FOR) {
            Ok(reader) if reader.missing().len() < self.missing.len() => {
                self.missing = reader.missing().to_vec();
                self.readers.push(reader);
                self.look_again_in = LOOK_AGAIN.0;
            }
            Ok(_) => self.look_again_in = (self.look_again_in * 2).min(LOOK_AGAIN.1),
            Err(error) => {
                tracing::debug!("looking for missing topics: {error}");
                self.look_again_in = LOOK_AGAIN.1;
            }
        }
        self.look_at = Instant::now() + self.look_again_in;
    }

    /// Says once in each time of trouble that there is some, and goes on; without following only
    /// for a while.
    fn bear(&mut self, error: Error, session: &Session) -> Result<(), Failure> {
        let Some(since) = self.trouble_since else {
            self.trouble_since = Some(Instant::now());
            output::warning(session.verbosity, format_args!("{}; going on", chain(&error)));
            return Ok(());
        };
        if !self.follow && since.elapsed() >= ERRORS_FOR { Err(error.into()) } else { Ok(()) }
    }
}

fn offer(stream: &mut Stream, record: &Record) -> Result<bool, Failure> {
    let decoded = wire::decode(record.body.as_deref().unwrap_or_default());
    Ok(stream.offer(Some(record), decoded.as_ref())?)
}
