//! `tail`: shows notifications as they come or as they lie there.

mod group;
mod readers;
mod wanted;

use std::{
    io::{self, StdoutLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use oslo_messaging::{
    Notification, Priority, Transport,
    config::{Config, KAFKA, NOTIFICATIONS, Options},
    kafka::{ReadFrom, Record},
    wire::DecodeError,
};

use super::topics::{is_whole, virtual_host, whole_names};
use crate::{
    args::{
        Format, TailArgs,
        values::{Offset, Since},
    },
    exit::{Exit, Failure},
    output::{self, RecordWriter},
    session::Session,
};
use wanted::Wanted;

/// How long the brokers get to answer at the start, unless `--timeout` says less.
const START: Duration = Duration::from_secs(30);

/// `tail`, resolved.
struct Plan {
    transport: Transport,
    mode: Mode,
    wanted: Wanted,
    max: Option<u64>,
    exit_code: bool,
    deadline: Option<Instant>,
    /// How long the brokers get to answer at the start.
    patience: Duration,
}

/// How records are read.
enum Mode {
    /// Without a group and without commits.
    Look { names: Vec<String>, asked_for: Vec<String>, from: ReadFrom, follow: bool },
    /// As a member of a group that commits.
    Join { group: String, topics: Vec<String>, priorities: Vec<Priority> },
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    AtEnd,
    Full,
    Interrupted,
    TimedOut,
}

/// Where records go: filtered, counted, written.
struct Stream {
    wanted: Wanted,
    writer: RecordWriter<StdoutLock<'static>>,
    max: Option<u64>,
}

pub(crate) fn run(args: TailArgs, session: &Session) -> Result<Exit, Failure> {
    let styled = output::is_styled(&io::stdout());
    let out = io::stdout().lock();
    let writer = RecordWriter::new(out, args.output, args.mask.clone(), styled);
    let plan = Plan::resolve(args, session)?;
    let mut stream = Stream { wanted: plan.wanted.clone(), writer, max: plan.max };
    let ended = match &plan.mode {
        Mode::Look { .. } => readers::look(&plan, session, &mut stream)?,
        Mode::Join { .. } => group::join(&plan, session, &mut stream)?,
    };
    stream.writer.finish()?;
    let exit = verdict(ended, stream.writer.written(), plan.exit_code);
    if exit == Exit::TimedOut {
        output::error("nothing came before the timeout");
    }
    Ok(exit)
}

/// A signal or the timeout is a good end once there was output.
fn verdict(ended: Ended, written: u64, exit_code: bool) -> Exit {
    match (ended, written) {
        (_, 1..) => Exit::Ok,
        (_, 0) if exit_code => Exit::Nothing,
        (Ended::AtEnd | Ended::Full, 0) => Exit::Ok,
        (Ended::Interrupted, 0) => Exit::Interrupted,
        (Ended::TimedOut, 0) => Exit::TimedOut,
    }
}

impl Stream {
    /// Writes a record if it is wanted; says whether there is room for more.
    fn offer(
        &mut self,
        record: Option<&Record>,
        content: Result<&Notification, &DecodeError>,
    ) -> io::Result<bool> {
        if self.wanted.takes(content) {
            self.writer.write(record, content)?;
        }
        Ok(self.max.is_none_or(|max| self.writer.written() < max))
    }
}

impl Plan {
    fn resolve(args: TailArgs, session: &Session) -> Result<Self, Failure> {
        let now = Instant::now();
        let mut config = session.config.clone();
        let is_bounded = args.group.is_some() && args.max.is_some();
        adjust(&mut config, is_bounded);
        let transport = session.transport(None, &config)?;
        let scheme = transport.url().scheme();
        if scheme != "kafka" {
            let text = format!(
                "tail needs a kafka:// transport URL; {scheme}: keeps its notifications within \
                 one process, where nobody else can read them"
            );
            return Err(Failure::new(Exit::Config, text));
        }
        let topics = if args.topics.is_empty() {
            let options = Options::resolve(NOTIFICATIONS, &session.config, &[])?;
            options.list("topics").to_vec()
        } else {
            args.topics.clone()
        };
        let wanted = Wanted::new(&args.priority, args.event_type, args.publisher)?;
        let priorities =
            if args.priority.is_empty() { Priority::ALL.to_vec() } else { args.priority };
        let host = virtual_host(transport.url());
        let mode = match args.group {
            Some(group) => {
                if args.output == Format::Raw {
                    let text = "--group gives notifications, not bytes: use another --output";
                    return Err(Failure::usage(text));
                }
                if let Some(topic) = topics.iter().find(|topic| is_whole(topic, host)) {
                    let text = format!(
                        "--group subscribes to topics without their priority: instead of {topic} \
                         give the topic, and --priority"
                    );
                    return Err(Failure::usage(text));
                }
                Mode::Join { group, topics, priorities }
            }
            None => Mode::Look {
                names: whole_names(&topics, &priorities, host),
                asked_for: args.topics,
                from: from(args.offset, args.lines, args.since, args.no_follow),
                follow: !args.no_follow,
            },
        };
        Ok(Self {
            transport,
            mode,
            wanted,
            max: args.max,
            exit_code: args.exit_code,
            deadline: session.timeout.map(|timeout| now + timeout),
            patience: session.timeout.map_or(START, |timeout| timeout.min(START)),
        })
    }
}

/// What a command sets on top of the files.
fn adjust(config: &mut Config, is_bounded: bool) {
    if is_bounded {
        // What is committed is shown, also past the most that is asked for: commit little.
        config.set(KAFKA, "commit_window", "1");
    }
}

/// Where to begin, of the flags that exclude each other.
fn from(
    offset: Option<Offset>,
    lines: Option<i64>,
    since: Option<Since>,
    no_follow: bool,
) -> ReadFrom {
    match (offset, lines, since) {
        (Some(Offset::Beginning), ..) => ReadFrom::Beginning,
        (Some(Offset::End), ..) => ReadFrom::End,
        (Some(Offset::At(offset)), ..) => ReadFrom::Offset(offset),
        (Some(Offset::Last(count)), ..) | (_, Some(count), _) => ReadFrom::Last(count),
        (Some(Offset::SinceMillis(millis)), ..) | (.., Some(Since::AtMillis(millis))) => {
            ReadFrom::Since(millis)
        }
        (.., Some(Since::Ago(age))) => {
            let at = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
            let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
            ReadFrom::Since(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
        }
        (None, None, None) if no_follow => ReadFrom::Beginning,
        (None, None, None) => ReadFrom::End,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, from, verdict};
    use crate::{args::values::Offset, exit::Exit};
    use oslo_messaging::kafka::ReadFrom;

    #[test]
    fn the_code_depends_on_the_end_only_without_output() {
        for (ended, written, exit_code, expected) in [
            (Ended::AtEnd, 0, false, Exit::Ok),
            (Ended::AtEnd, 0, true, Exit::Nothing),
            (Ended::AtEnd, 1, true, Exit::Ok),
            (Ended::Interrupted, 0, false, Exit::Interrupted),
            (Ended::Interrupted, 0, true, Exit::Nothing),
            (Ended::Interrupted, 2, false, Exit::Ok),
            (Ended::TimedOut, 0, false, Exit::TimedOut),
            (Ended::TimedOut, 2, true, Exit::Ok),
            (Ended::Full, 2, false, Exit::Ok),
        ] {
            assert_eq!(verdict(ended, written, exit_code), expected, "{ended:?} {written}");
        }
    }

    #[test]
    fn without_a_place_to_begin_it_is_the_end_or_for_no_follow_the_beginning() {
        assert_eq!(from(None, None, None, false), ReadFrom::End);
        assert_eq!(from(None, None, None, true), ReadFrom::Beginning);
        assert_eq!(from(Some(Offset::End), None, None, true), ReadFrom::End);
        assert_eq!(from(None, Some(3), None, false), ReadFrom::Last(3));
    }
}
