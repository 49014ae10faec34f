//! `broker`: an embedded Kafka until a signal comes.

use std::{
    io::{self, Write},
    time::Duration,
};

use oslo_messaging::{Priority, kafka::EmbeddedBroker};

use super::topics::whole_names;
use crate::{
    args::BrokerArgs,
    exit::{Exit, Failure},
    interrupt::Interrupt,
    output,
    session::Session,
};

const PARTITIONS: i32 = 4;
const LIMITS: &str = "\
A Kafka in memory, on this machine's loopback only: no TLS, no SASL, no ACLs, no disk. Topics are
made on demand with four partitions; of each partition about the last 5 MiB are kept, and what is
older is dropped silently. All is lost when it ends, which Ctrl-C or SIGTERM makes it do.";

pub(crate) fn run(args: &BrokerArgs, session: &Session) -> Result<Exit, Failure> {
    let interrupt = Interrupt::install()?;
    let broker = EmbeddedBroker::start(args.nodes)?;
    for name in whole_names(&args.topics, &Priority::ALL, None) {
        broker.create_topic(&name, PARTITIONS)?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", broker.transport_url())?;
    out.flush()?;
    drop(out);
    output::note(session.verbosity, LIMITS);
    interrupt.wait(session.timeout.unwrap_or(Duration::MAX));
    Ok(Exit::Ok)
}
