//! `demo`: a corpus through a broker into two pools of two members, and an account of it.

mod pool;

use std::{
    fs,
    io::{self, Write},
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Notification, Notifier, Priority, Receipt, Transport,
    config::{Config, KAFKA},
    kafka::EmbeddedBroker,
};
use uuid::Uuid;

use super::input::Defaults;
use crate::{
    args::DemoArgs,
    exit::{Exit, Failure},
    interrupt::Interrupt,
    output,
    session::Session,
};
use pool::{Account, Pool};

const CORPUS: &str = include_str!("../../../../examples/notifications.jsonl");
const POOLS: [&str; 2] = ["billing", "audit"];
const MEMBERS: usize = 2;
const SESSION_TIMEOUT: &str = "session_timeout";
const PATIENCE: Duration = Duration::from_secs(60);
/// Most notifications between the sender and the slowest pool: the embedded broker keeps only
/// some MiB of each partition.
const MOST_UNDERWAY: u64 = 1000;
const TICK: Duration = Duration::from_millis(10);
const PROGRESS: Duration = Duration::from_secs(2);

/// `demo`, resolved.
struct Plan {
    corpus: Vec<Notification>,
    repeat: u32,
    deadline: Instant,
    /// Such as `demo-1f0c9a3e`: the topic, and what the pools' groups start with.
    name: String,
    config: Config,
    /// Lives as long as the demo.
    broker: Option<EmbeddedBroker>,
}

pub(crate) fn run(args: &DemoArgs, session: &Session) -> Result<Exit, Failure> {
    let plan = Plan::resolve(args, session)?;
    let interrupt = Interrupt::install()?;
    let sender = plan.transport(session)?;
    output::note(session.verbosity, format_args!("broker {}", sender.url()));
    if plan.broker.is_none() {
        let words = "its topics and groups stay on the broker, with names that start with";
        output::note(session.verbosity, format_args!("{words} {}", plan.name));
    }
    let pools = plan.pools(session)?;
    for pool in &pools {
        pool.ready(plan.deadline, &interrupt)?;
    }
    let listening = format!("listening: pools {} of {MEMBERS} members each", POOLS.join(" and "));
    output::note(session.verbosity, listening);
    let outcome = deliver(&plan, &sender, &pools, session, &interrupt);
    // Closing leaves the groups in order: whatever is still on its way is counted too.
    let mut accounts = Vec::new();
    for pool in pools {
        accounts.push(pool.close());
    }
    let sent = outcome?;
    let confirmed = sent.confirmed();
    drop(sender);
    let all_well = confirmed == sent.ids.len()
        && accounts.iter().all(|(_, account)| account.is_faultless(&sent.ids));
    let shown: Vec<String> = accounts
        .iter()
        .map(|(name, account)| format!("pool {name}: {}", account.describe(&sent.ids)))
        .collect();
    let (count, shown) = (sent.ids.len(), shown.join("; "));
    writeln!(io::stdout(), "demo: sent {count}, confirmed {confirmed}; {shown}")?;
    Ok(match all_well {
        _ if interrupt.came() => Exit::Interrupted,
        true => Exit::Ok,
        false => Exit::Nothing,
    })
}

/// What was handed over.
#[derive(Default)]
struct Sent {
    ids: Vec<String>,
    receipts: Vec<Receipt>,
}

impl Sent {
    fn confirmed(&self) -> usize {
        self.receipts.iter().filter(|receipt| receipt.wait(Duration::ZERO).is_ok()).count()
    }
}

/// Sends everything and waits until both pools have it, the deadline passes or a signal comes.
fn deliver(
    plan: &Plan,
    transport: &Transport,
    pools: &[Pool],
    session: &Session,
    interrupt: &Interrupt,
) -> Result<Sent, Failure> {
    let notifier =
        Notifier::builder(transport).driver("messagingv2").topic(plan.name.as_str()).build()?;
    let total = plan.corpus.len() as u64 * u64::from(plan.repeat);
    output::note(session.verbosity, format_args!("sending {total} to topic {}", plan.name));
    let slowest = || pools.iter().map(|pool| pool.account().delivered()).min().unwrap_or(0);
    let is_over = || interrupt.came() || Instant::now() >= plan.deadline;
    let mut progress = Instant::now() + PROGRESS;
    let mut tell = || {
        if Instant::now() >= progress {
            progress += PROGRESS;
            output::note(session.verbosity, format_args!("delivered {} of {total}", slowest()));
        }
    };
    let mut sent = Sent::default();
    'sending: for _ in 0..plan.repeat {
        for notification in &plan.corpus {
            while sent.ids.len() as u64 >= slowest() + MOST_UNDERWAY && !is_over() {
                tell();
                interrupt.wait(TICK);
            }
            if is_over() {
                break 'sending;
            }
            let mut notification = notification.clone();
            notification.message_id = Uuid::new_v4().to_string();
            sent.receipts.push(notifier.send(&notification));
            sent.ids.push(notification.message_id);
        }
    }
    for receipt in &sent.receipts {
        while !receipt.is_resolved() && !is_over() {
            // Its answer is counted at the end.
            let _ = receipt.wait(TICK);
        }
    }
    while slowest() < sent.ids.len() as u64 && !is_over() {
        tell();
        interrupt.wait(TICK);
    }
    Ok(sent)
}

impl Plan {
    fn resolve(args: &DemoArgs, session: &Session) -> Result<Self, Failure> {
        let corpus = match &args.input {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
                corpus(&path.display().to_string(), &text)?
            }
            None => corpus("the built-in corpus", CORPUS)?,
        };
        let id = Uuid::new_v4().simple().to_string();
        let name = format!("demo-{}", &id[..8]);
        let mut config = session.config.clone();
        let broker = if session.has_url() { None } else { Some(EmbeddedBroker::start(1)?) };
        if broker.is_some() && config.value(KAFKA, SESSION_TIMEOUT).is_none() {
            // When a member joins, the embedded broker waits that long for the others, less 1 s.
            config.set(KAFKA, SESSION_TIMEOUT, "3");
            config.set(KAFKA, "heartbeat_interval", "0.5");
        }
        let deadline = Instant::now() + session.timeout.unwrap_or(PATIENCE);
        Ok(Self { corpus, repeat: args.repeat, deadline, name, config, broker })
    }

    /// A transport of its own for each that asks, as in so many processes.
    fn transport(&self, session: &Session) -> Result<Transport, Failure> {
        let url = self.broker.as_ref().map(EmbeddedBroker::transport_url);
        let transport = session.transport(url.as_deref(), &self.config)?;
        if transport.url().scheme() == "kafka" {
            return Ok(transport);
        }
        let text = format!("demo needs a kafka:// transport URL, not {}", transport.url());
        Err(Failure::new(Exit::Config, text))
    }

    fn pools(&self, session: &Session) -> Result<Vec<Pool>, Failure> {
        let mut pools = Vec::new();
        for (index, name) in POOLS.into_iter().enumerate() {
            let account = Account::new(index == 0, session.verbosity);
            let mut members = Vec::new();
            for _ in 0..MEMBERS {
                members.push(self.transport(session)?);
            }
            // Somebody's own group may be called billing: ours has another name on the broker.
            let group = format!("{}-{name}", self.name);
            pools.push(Pool::start(name, &group, &self.name, members, account)?);
        }
        Ok(pools)
    }
}

/// Reads JSON lines, all of which must be good.
fn corpus(name: &str, text: &str) -> Result<Vec<Notification>, Failure> {
    let defaults = Defaults {
        publisher_id: "oslomsg.demo".to_owned(),
        event_type: "demo".to_owned(),
        priority: Priority::Info,
        context: Context::empty(),
    };
    let mut corpus = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read = defaults.read(line).map_err(|reason| {
            Failure::new(Exit::Data, format!("{name}:{}: {reason}", index + 1))
        })?;
        corpus.push(read);
    }
    if corpus.is_empty() {
        return Err(Failure::new(Exit::Data, format!("{name} has no notification")));
    }
    Ok(corpus)
}

#[cfg(test)]
mod tests {
    use super::{CORPUS, corpus};

    #[test]
    fn the_built_in_corpus_is_whole() {
        assert_eq!(corpus("it", CORPUS).unwrap().len(), 147);
    }

    #[test]
    fn a_bad_line_of_a_corpus_is_named() {
        let failure = corpus("f", "{\"payload\": 1}\n\nx\n").unwrap_err();
        assert!(format!("{failure:?}").contains("f:3: not JSON"), "{failure:?}");
        assert!(corpus("f", "\n").is_err());
    }
}
