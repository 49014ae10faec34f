//! `bridge`: notifications from RabbitMQ to Kafka, each off its queue only when Kafka has it.
//!
//! Here is what is moved and when that ends; `bridge/carrier.rs` has what is under way,
//! `bridge/refused.rs` what cannot be moved.

mod carrier;
mod intake;
mod refused;

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Priority, Target, Transport,
    config::{Config, DEFAULT, KAFKA, NOTIFICATIONS, Options, RABBIT},
};

use crate::{
    args::bridge::BridgeArgs,
    exit::{Exit, Failure},
    interrupt::Interrupt,
    output::{self, Progress},
    reload::on_hangup,
    session::Session,
};
use carrier::Carrier;
use intake::Intake;
use refused::Refused;

/// How long the queues get at the start, and the last confirmations at the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer or a signal goes unnoticed, with and without something under way.
const TICK: Duration = Duration::from_millis(2);
const IDLE_TICK: Duration = Duration::from_millis(100);
/// Where nobody sees a progress bar, a line comes this often.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Seconds that a notification stays with librdkafka, unless the configuration says otherwise: one
/// that it gives up on may be twice in the topic in the end, and here nobody waits for an answer.
const DELIVERY_TIMEOUT: &str = "300";
/// The same for Kafka as a whole.
const CONNECT_TIMEOUT: &str = "120";
/// Messages that cannot be moved and stay in their queues, before the bridge ends: each holds a
/// place of those that a queue gives out.
const MOST_HELD: usize = 200;

/// What is moved.
struct Plan {
    from: Transport,
    to: Transport,
    targets: Vec<(Target, Priority)>,
    pool: Option<String>,
    patience: Duration,
    most_held: usize,
}

/// When it ends by itself, and how fast it goes.
struct Limits {
    gap: Duration,
    count: Option<u64>,
    idle: Option<Duration>,
}

pub(crate) fn run(args: BridgeArgs, session: &Session) -> Result<Exit, Failure> {
    let plan = Plan::resolve(&args, session)?;
    if args.dry_run {
        return plan.look();
    }
    let interrupt = Interrupt::with_hangup(on_hangup(session, &plan.to, adjust))?;
    let refused = Refused::open(args.dead_letter_file.as_deref(), plan.most_held)?;
    let limits = Limits {
        gap: args.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(rate.recip())),
        count: args.count,
        idle: args.idle,
    };
    let subscription = plan.from.subscribe(plan.targets.clone(), plan.pool.as_deref())?;
    let intake = Intake::start(subscription, plan.patience, &interrupt)?;
    let from = plan.from.url().to_string();
    output::note(session.verbosity, format_args!("bridge: {from} to {}", plan.to.url()));
    let mut carrier = Carrier::new(plan.to, intake.subscription(), refused);
    let mut progress = Progress::start(true, session.verbosity, limits.count);
    let ended = carry(&limits, &intake, &mut carrier, &interrupt, |carrier, is_due| {
        let tally = carrier.tally();
        progress.at(tally.moved, tally.sent, tally.moved);
        if is_due && !io::stderr().is_terminal() {
            output::note(session.verbosity, tally);
        }
    });
    let closed = carrier.finish(&intake, plan.patience);
    drop(progress);
    let tally = carrier.tally();
    output::note(session.verbosity, tally);
    ended?;
    closed?;
    Ok(tally.exit())
}

/// Moves until something ends it.
fn carry(
    limits: &Limits,
    intake: &Intake,
    carrier: &mut Carrier,
    interrupt: &Interrupt,
    mut tell: impl FnMut(&Carrier, bool),
) -> Result<(), Failure> {
    let (mut slot, mut busy, mut told) = (Instant::now(), Instant::now(), Instant::now());
    while !interrupt.came() {
        carrier.settle()?;
        let now = Instant::now();
        let is_due = now.duration_since(told) >= TELL_EVERY;
        tell(carrier, is_due);
        if is_due {
            told = now;
        }
        if limits.count.is_some_and(|count| carrier.tally().moved >= count) {
            return Ok(());
        }
        let may_send = |carrier: &Carrier| {
            let left = limits.count.map(|count| count.saturating_sub(carrier.tally().moved));
            !carrier.is_full() && left.is_none_or(|left| carrier.under_way() < left)
        };
        if !may_send(carrier) || now < slot {
            let until_slot = slot.saturating_duration_since(now);
            interrupt.wait(if until_slot.is_zero() { TICK } else { until_slot.min(TICK) });
            continue;
        }
        let tick = if carrier.under_way() == 0 { IDLE_TICK } else { TICK };
        let Some(record) = intake.next(tick)? else {
            let is_idle = carrier.under_way() == 0 && intake.is_connected();
            if !is_idle {
                busy = Instant::now();
            }
            if limits.idle.is_some_and(|idle| busy.elapsed() >= idle) {
                return Ok(());
            }
            continue;
        };
        carrier.take(record);
        // What was missed is not made up for by a burst.
        slot = slot.max(now) + limits.gap;
        busy = Instant::now();
        if limits.gap.is_zero() {
            while may_send(carrier) {
                let Some(record) = intake.next(Duration::ZERO)? else { break };
                carrier.take(record);
            }
        }
    }
    Ok(())
}

impl Plan {
    fn resolve(args: &BridgeArgs, session: &Session) -> Result<Self, Failure> {
        let config = &session.config;
        let from = source(args.from.as_deref(), config)?;
        let to = destination(args.to.as_deref(), session)?;
        let topics = match args.topics.as_slice() {
            [] => Options::resolve(NOTIFICATIONS, config, &[])?.list("topics").to_vec(),
            given => given.to_vec(),
        };
        let exchanges: Vec<Option<&String>> = match args.exchanges.as_slice() {
            [] => vec![None],
            given => given.iter().map(Some).collect(),
        };
        let priorities = match args.priority.as_slice() {
            [] => &Priority::ALL[..],
            given => given,
        };
        let mut targets = Vec::new();
        for exchange in exchanges {
            for topic in &topics {
                let target = Target::new(topic);
                let target = match exchange {
                    Some(exchange) => target.with_exchange(exchange),
                    None => target,
                };
                targets.extend(priorities.iter().map(|priority| (target.clone(), *priority)));
            }
        }
        let prefetch =
            Options::resolve(RABBIT, config, from.url().query())?.int("rabbit_qos_prefetch_count");
        let most_held = match usize::try_from(prefetch) {
            Ok(0) | Err(_) => MOST_HELD,
            Ok(prefetch) => MOST_HELD.min(prefetch - 1),
        };
        let patience = session.timeout.unwrap_or(PATIENCE);
        Ok(Self { from, to, targets, pool: args.pool.clone(), patience, most_held })
    }

    /// `--dry-run`.
    fn look(&self) -> Result<Exit, Failure> {
        let pool = self.pool.as_deref();
        let found = self.from.waiting(self.targets.clone(), pool, self.patience)?;
        let mut out = io::stdout().lock();
        for queue in &found {
            match queue.messages {
                Some(messages) => writeln!(
                    out,
                    "{}: {messages} waiting, {} consumers",
                    queue.queue, queue.consumers
                )?,
                None => writeln!(out, "{}: no such queue, it would be made", queue.queue)?,
            }
        }
        let all: u64 = found.iter().filter_map(|queue| queue.messages).map(u64::from).sum();
        writeln!(out, "{all} would be moved now")?;
        Ok(Exit::Ok)
    }
}

fn source(given: Option<&str>, config: &Config) -> Result<Transport, Failure> {
    let url = match given {
        Some(url) => url.to_owned(),
        None => {
            let options = Options::resolve(DEFAULT, config, &[])?;
            if !options.is_set("transport_url") {
                let text = "where from? give --from rabbit://..., or a configuration whose \
                            [DEFAULT] transport_url says so";
                return Err(Failure::new(Exit::Config, text));
            }
            options.str("transport_url").to_owned()
        }
    };
    let transport = Transport::builder().config(config.clone()).url(url).for_notifications()?;
    match transport.url().scheme() {
        "rabbit" | "kombu" => Ok(transport),
        other => {
            let text = format!("--from {other}://: notifications are taken from rabbit:// only");
            Err(Failure::new(Exit::Config, text))
        }
    }
}

fn destination(given: Option<&str>, session: &Session) -> Result<Transport, Failure> {
    let mut config = session.config.clone();
    adjust(&mut config);
    let transport = session.transport_builder(given, &config).for_notifications()?;
    match transport.url().scheme() {
        "kafka" => Ok(transport),
        other => {
            let text = format!("--to {other}://: notifications are moved to kafka:// only");
            let hint = "give --to kafka://..., or set it in [oslo_messaging_notifications] \
                        transport_url";
            Err(Failure::new(Exit::Config, text).with_hint(hint))
        }
    }
}

/// What the bridge wants of Kafka, whatever the service's own notifiers do. The URL can say otherwise.
fn adjust(config: &mut Config) {
    config.set(KAFKA, "delivery", "confirmed");
    // All waiting is done before the end.
    config.set(KAFKA, "exit_flush_timeout", "0.5");
    for (name, seconds) in
        [("delivery_timeout", DELIVERY_TIMEOUT), ("connect_timeout", CONNECT_TIMEOUT)]
    {
        if config.value(KAFKA, name).is_none() {
            config.set(KAFKA, name, seconds);
        }
    }
}
