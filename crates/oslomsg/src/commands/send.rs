//! `send`: one notification, several, or a file of them, each confirmed by the broker.

mod outbox;

use std::{
    fs,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Notification, Notifier, Payload, Target, Transport,
    config::{Config, KAFKA, Options},
    wire::{self, ContextStyle},
};

use super::input::{self, Defaults};
use crate::{
    args::SendArgs,
    exit::{Exit, Failure},
    interrupt::Interrupt,
    output::{self, Progress},
    reload::on_hangup,
    session::Session,
};
use outbox::{Ends, Outbox};

/// How standard input is called in messages.
const STDIN: &str = "stdin";

/// How long a pause of the input goes unnoticed.
const TICK: Duration = Duration::from_millis(100);

/// `send`, resolved.
struct Plan {
    source: Source,
    topics: Vec<String>,
    drivers: Vec<String>,
    retry: Option<i64>,
    gap: Duration,
}

/// Where the notifications come from.
enum Source {
    Payload { payload: Payload, count: u64, sent: u64, defaults: Defaults },
    Lines(Lines),
}

/// Lines of a file, with the number of the last one.
struct Lines {
    name: String,
    lines: Receiver<io::Result<Vec<u8>>>,
    line: u64,
    defaults: Defaults,
    read_bytes: u64,
    /// Not known of a pipe.
    length_bytes: Option<u64>,
}

/// What a source has next.
enum Next {
    Notification { label: Option<String>, notification: Notification },
    Bad { label: String, reason: String },
    NothingYet,
    End,
}

pub(crate) fn run(args: SendArgs, session: &Session) -> Result<Exit, Failure> {
    let (dry_run, single) = (args.dry_run, args.input.is_none() && args.count == 1);
    let mut plan = Plan::resolve(args)?;
    if dry_run {
        return print(&mut plan.source);
    }
    let ends = Ends::default();
    let (transport, patience) = open(&plan.drivers, session, &ends)?;
    let notifier = plan.notifier(&transport)?;
    let timeout = session.timeout;
    let again = on_hangup(session, &transport, move |config| adjust(config, timeout));
    let interrupt = Interrupt::with_hangup(again)?;
    let is_watched = !single && !plan.source.is_typed();
    let progress = Progress::start(is_watched, session.verbosity, plan.source.length());
    let mut outbox = Outbox::new(notifier, patience, interrupt.clone(), ends, progress);
    let mut slot = Instant::now();
    while !interrupt.came() {
        let next = plan.source.next();
        outbox.has_read(plan.source.read());
        match next {
            Next::End => break,
            Next::NothingYet => outbox.settle_resolved(),
            Next::Bad { label, reason } => outbox.refuse(&label, &reason),
            Next::Notification { label, notification } => {
                if interrupt.wait(slot.saturating_duration_since(Instant::now())) {
                    break;
                }
                // What was missed is not made up for by a burst.
                slot = slot.max(Instant::now()) + plan.gap;
                outbox.send(label, &notification);
            }
        }
    }
    let tally = outbox.finish(transport);
    output::note(session.verbosity, &tally);
    if let Some(id) = tally.last_confirmed.as_ref().filter(|_| single) {
        writeln!(io::stdout(), "{id}")?;
    }
    Ok(tally.exit(interrupt.came()))
}

/// `--dry-run`: the bytes to standard output.
fn print(source: &mut Source) -> Result<Exit, Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut good, mut bad) = (0_u64, 0_u64);
    loop {
        match source.next() {
            Next::End => break,
            Next::NothingYet => out.flush()?,
            Next::Bad { label, reason } => {
                output::error(format_args!("{label}: {reason}"));
                bad += 1;
            }
            Next::Notification { notification, .. } => {
                out.write_all(&wire::encode(&notification, ContextStyle::Nested))?;
                out.write_all(b"\n")?;
                good += 1;
            }
        }
    }
    out.flush()?;
    Ok(match (good, bad) {
        (_, 0) => Exit::Ok,
        (0, _) => Exit::Data,
        _ => Exit::Partial,
    })
}

/// What a command sets on top of the files.
fn adjust(config: &mut Config, timeout: Option<Duration>) {
    // Whoever calls a command wants to know what became of it, whatever the service's own
    // notifiers do. The URL can say otherwise.
    config.set(KAFKA, "delivery", "confirmed");
    // All waiting is done before the end.
    config.set(KAFKA, "exit_flush_timeout", "0.5");
    if let Some(timeout) = timeout {
        config.set(KAFKA, "delivery_timeout", timeout.as_secs_f64().to_string());
    }
}

/// Opens the transport, with `--timeout` as its delivery timeout, and says how long that is.
fn open(
    drivers: &[String],
    session: &Session,
    ends: &Ends,
) -> Result<(Transport, Duration), Failure> {
    let mut config = session.config.clone();
    adjust(&mut config, session.timeout);
    let to_broker = drivers.iter().any(|driver| driver.starts_with("messaging"));
    // Other sinks need no broker, and so no URL.
    let url = (!to_broker && !session.has_url()).then_some("fake:");
    let builder = session.transport_builder(url, &config);
    let transport = builder.on_outcome(ends.observer()).for_notifications()?;
    let is_kafka = transport.url().scheme() == "kafka";
    let query = if is_kafka { transport.url().query() } else { &[] };
    let patience = match session.timeout {
        Some(timeout) => timeout,
        None => Options::resolve(KAFKA, &config, query)?.seconds("delivery_timeout"),
    };
    Ok((transport, patience))
}

impl Plan {
    fn resolve(args: SendArgs) -> Result<Self, Failure> {
        let context = args.context_json.map_or(Ok(Context::empty()), Context::from_json)?;
        let defaults = Defaults {
            publisher_id: args.publisher_id.unwrap_or_else(default_publisher),
            event_type: args.event_type,
            priority: args.priority,
            context,
        };
        let source = match (args.input, args.payload) {
            (Some(path), _) => Source::lines(&path, defaults)?,
            (None, Some(text)) => {
                let payload = payload(&text, args.raw_string)?;
                Source::Payload { payload, count: args.count, sent: 0, defaults }
            }
            (None, None) => {
                return Err(Failure::usage("what to send? give a PAYLOAD, - or --input FILE"));
            }
        };
        let gap = args.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(rate.recip()));
        Ok(Self { source, topics: args.topics, drivers: args.drivers, retry: args.retry, gap })
    }

    fn notifier(&self, transport: &Transport) -> Result<Notifier, Failure> {
        let mut builder = Notifier::builder(transport);
        for driver in &self.drivers {
            builder = builder.driver(driver);
        }
        for topic in &self.topics {
            builder = builder.target(Target::new(topic));
        }
        if let Some(retry) = self.retry {
            builder = builder.retry(retry);
        }
        Ok(builder.build()?)
    }
}

impl Source {
    fn lines(path: &Path, defaults: Defaults) -> Result<Self, Failure> {
        let is_stdin = path == Path::new("-");
        let name = if is_stdin { STDIN.to_owned() } else { path.display().to_string() };
        let lines = input::lines(path)?;
        let metadata = fs::metadata(path).ok().filter(|file| !is_stdin && file.is_file());
        let length_bytes = metadata.map(|file| file.len());
        Ok(Self::Lines(Lines { name, lines, line: 0, defaults, read_bytes: 0, length_bytes }))
    }

    /// Whether somebody types it, on the terminal where a progress bar would be.
    fn is_typed(&self) -> bool {
        matches!(self, Self::Lines(Lines { name, length_bytes: None, .. }) if name == STDIN)
            && io::stdin().is_terminal()
    }

    /// How much there is: notifications, or bytes of a file.
    fn length(&self) -> Option<u64> {
        match self {
            Self::Payload { count, .. } => Some(*count),
            Self::Lines(lines) => lines.length_bytes,
        }
    }

    /// How much of it was read.
    fn read(&self) -> u64 {
        match self {
            Self::Payload { sent, .. } => *sent,
            Self::Lines(lines) => lines.read_bytes,
        }
    }

    fn next(&mut self) -> Next {
        match self {
            Self::Payload { count, sent, .. } if sent == count => Next::End,
            Self::Payload { payload, sent, defaults, .. } => {
                *sent += 1;
                let notification = defaults.notification(payload.clone());
                Next::Notification { label: None, notification }
            }
            Self::Lines(Lines { name, lines, line, defaults, read_bytes, .. }) => {
                let read = match lines.recv_timeout(TICK) {
                    Ok(read) => read,
                    Err(RecvTimeoutError::Timeout) => return Next::NothingYet,
                    Err(RecvTimeoutError::Disconnected) => return Next::End,
                };
                *line += 1;
                *read_bytes += read.as_ref().map_or(0, |text| text.len() as u64);
                let label = format!("{name}:{line}");
                let text = match read.map(String::from_utf8) {
                    Ok(Ok(text)) if text.trim().is_empty() => return Next::NothingYet,
                    Ok(Ok(text)) => text,
                    Ok(Err(_)) => return Next::Bad { label, reason: "not UTF-8".to_owned() },
                    Err(error) => return Next::Bad { label, reason: error.to_string() },
                };
                match defaults.read(text.trim_end()) {
                    Ok(notification) => Next::Notification { label: Some(label), notification },
                    Err(reason) => Next::Bad { label, reason },
                }
            }
        }
    }
}

/// The payload that an argument names.
fn payload(argument: &str, as_string: bool) -> Result<Payload, Failure> {
    let bytes = match (argument, argument.strip_prefix('@')) {
        ("-", _) => {
            let mut bytes = Vec::new();
            let read = io::stdin().read_to_end(&mut bytes);
            read.map_err(|error| Failure::file(Path::new("standard input"), &error))?;
            bytes
        }
        (_, Some(file)) => {
            let path = PathBuf::from(file);
            fs::read(&path).map_err(|error| Failure::file(&path, &error))?
        }
        (text, None) => text.as_bytes().to_vec(),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Exit::Data, format!("payload is not UTF-8: byte {at}"))
    })?;
    if as_string {
        return Ok(Payload::serialize(&text)?);
    }
    let read = Payload::from_json(text.trim_end()).map_err(Failure::from);
    read.map_err(|failure| failure.with_hint("--raw-string sends any text, as a JSON string"))
}

fn default_publisher() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let name = name.or_else(|| std::env::var("HOSTNAME").ok());
    format!("oslomsg.{}", name.as_deref().unwrap_or("localhost"))
}
