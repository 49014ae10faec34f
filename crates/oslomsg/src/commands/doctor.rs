//! `doctor`: from the configuration to a topic, step by step, and what to do where it fails.
//!
//! The first failure that keeps the later steps from being tried ends it. Nothing is written
//! unless `--send` asks for it; no group is joined and no topic is made.

mod report;

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use oslo_messaging::{
    Context, Notifier, Payload, Priority, Transport,
    config::{KAFKA, NOTIFICATIONS, Options},
    kafka::{ClusterView, Probe, Read, ReadFrom, Reader, Stage, TopicView},
};

use self::report::Report;
use super::topics::{is_whole, virtual_host, whole_names};
use crate::{
    args::DoctorArgs,
    exit::{Exit, Failure, chain},
    session::Session,
};

/// How long each question may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// A record that is so much newer than now was stamped by another clock.
const CLOCK: i64 = 2_000;
/// The share of the largest notification that services usually send.
const USUAL_MAX: usize = 1_000_000;

/// Runs all steps. The exit code is that of the first failure.
pub(crate) fn run(args: &DoctorArgs, session: &Session) -> Result<Exit, Failure> {
    let mut report = Report::new(io::stdout().lock());
    steps(args, session, &mut report)?;
    Ok(report.end()?)
}

fn steps(
    args: &DoctorArgs,
    session: &Session,
    report: &mut Report<impl io::Write>,
) -> io::Result<()> {
    let files: Vec<String> =
        session.config.files().iter().map(|file| file.path().display().to_string()).collect();
    if files.is_empty() {
        report.ok("configuration", "no file: --config-file or --project names some")?;
    } else {
        report.ok("configuration", files.join(", "))?;
    }
    let transport = match session.transport(None, &session.config) {
        Ok(transport) => transport,
        Err(failure) => return report.failure("transport URL", failure),
    };
    let url = transport.url().clone();
    report.ok("transport URL", &url)?;
    if url.scheme().split('+').next() != Some("kafka") {
        return report
            .note("brokers", format!("only kafka:// is looked at, not {}://", url.scheme()));
    }
    let probe = match Probe::open(&url, &session.config) {
        Ok(probe) => probe,
        Err(error) => {
            let advice =
                "correct the option that is named; oslomsg config show tells where it stands";
            return report.fail("options", chain(&error), Exit::Config, advice);
        }
    };
    report.ok("options", security(&probe))?;
    let mut reached = 0;
    for (host, port) in probe.hosts() {
        reached += usize::from(reach(&host, port, report)?);
    }
    if reached == 0 {
        return Ok(());
    }
    let patience = session.timeout.unwrap_or(PATIENCE);
    let cluster = match probe.connect(patience) {
        Ok(cluster) => cluster,
        Err(refusal) => {
            let (step, exit, advice) = refused(refusal.stage, &probe);
            return report.fail(step, refusal, exit, advice);
        }
    };
    let login = match probe.sasl_mechanism() {
        Some(mechanism) => format!("{} with {mechanism}", probe.security_protocol()),
        None => probe.security_protocol().to_owned(),
    };
    report.ok("login", login)?;
    report.ok("metadata", format!("brokers {}", cluster.brokers.join(", ")))?;
    let names = topics(args, session, &transport, &probe, &cluster, report)?;
    group(args, session, &transport, &probe, report)?;
    clock(session, &transport, &names, report)?;
    if args.send {
        send(args, session, &transport, report)?;
    } else {
        report.note(
            "sending",
            "not tried: --send sends one notification, event type oslomsg.doctor",
        )?;
    }
    Ok(())
}

fn security(probe: &Probe) -> String {
    let mechanism = probe.sasl_mechanism().map_or(String::new(), |name| format!(", {name}"));
    format!("security_protocol {}{mechanism}", probe.security_protocol())
}

/// Name lookup and TCP of one host.
fn reach(host: &str, port: u16, report: &mut Report<impl io::Write>) -> io::Result<bool> {
    let addresses = match look_up(host, port) {
        Ok(addresses) => addresses,
        Err(words) => {
            report.fail(
                "name lookup",
                format!("{host}: {words}"),
                Exit::Unreachable,
                "the name stands in the transport URL: correct it, or add it to DNS or /etc/hosts",
            )?;
            return Ok(false);
        }
    };
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.ok("name lookup", format!("{host} is {}", shown.join(", ")))?;
    let mut trouble = String::new();
    for address in &addresses {
        match TcpStream::connect_timeout(address, Duration::from_secs(5)) {
            Ok(_) => {
                report.ok("TCP", address)?;
                return Ok(true);
            }
            Err(error) => trouble = format!("{address}: {error}"),
        }
    }
    report.fail(
        "TCP",
        trouble,
        Exit::Unreachable,
        "is a broker listening there, and does a firewall let it through?",
    )?;
    Ok(false)
}

/// The system's lookup has no limit of its own.
fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let (found, answer) = mpsc::channel();
    let host = host.to_owned();
    thread::spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody waits any more after the limit.
        let _ = found.send(addresses);
    });
    match answer.recv_timeout(PATIENCE) {
        Ok(Ok(addresses)) if addresses.is_empty() => Err("it has no address".to_owned()),
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

fn refused(stage: Stage, probe: &Probe) -> (&'static str, Exit, &'static str) {
    match stage {
        Stage::Tls => (
            "TLS",
            Exit::Denied,
            "ssl_cafile must hold the CA of the brokers' certificates, the name in the URL must be \
             in them, and brokers that ask for a client certificate need ssl_client_cert_file and \
             ssl_client_key_file",
        ),
        Stage::Sasl if probe.sasl_mechanism() == Some("GSSAPI") => (
            "SASL",
            Exit::Denied,
            "kinit -k -t KEYTAB PRINCIPAL, with sasl_kerberos_keytab and sasl_kerberos_principal, must \
             give a ticket (klist), and the brokers must be sasl_kerberos_service_name/HOST in the realm",
        ),
        Stage::Sasl => (
            "SASL",
            Exit::Denied,
            "user and password stand in the transport URL; sasl_mechanism must be one that the \
             brokers offer",
        ),
        Stage::Connection if probe.security_protocol().ends_with("PLAINTEXT") => (
            "metadata",
            Exit::Unreachable,
            "the port is open, but no Kafka answers in plain text: does the listener want TLS \
             (security_protocol SSL or SASL_SSL), or is it another service?",
        ),
        Stage::Connection => (
            "TLS",
            Exit::Unreachable,
            "the port is open, but the connection breaks: does the listener speak TLS, and does it \
             ask for a client certificate?",
        ),
        _ => ("metadata", Exit::Unreachable, "the broker's log says more"),
    }
}

/// The topics of the configuration, at each priority; gives those that are there.
fn topics(
    args: &DoctorArgs,
    session: &Session,
    transport: &Transport,
    probe: &Probe,
    cluster: &ClusterView,
    report: &mut Report<impl io::Write>,
) -> io::Result<Vec<String>> {
    let options = match Options::resolve(NOTIFICATIONS, &session.config, &[]) {
        Ok(options) => options,
        Err(error) => return report.failure("topics", error.into()).map(|()| Vec::new()),
    };
    let bases = if args.topics.is_empty() { options.list("topics") } else { &args.topics };
    let names = whole_names(bases, &Priority::ALL, virtual_host(transport.url()));
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        let view = match probe.topic(&name, session.timeout.unwrap_or(PATIENCE)) {
            Ok(view) => view,
            Err(refusal) => {
                let text = format!("{name}: {refusal}");
                report.fail("topic", text, Exit::Unreachable, "the broker's log says more")?;
                continue;
            }
        };
        if !view.exists && !view.refused {
            missing.push(name);
            continue;
        }
        topic(&name, &view, probe, report)?;
        there.push(name);
    }
    if !missing.is_empty() {
        let creates = Options::resolve(KAFKA, &session.config, transport.url().query())
            .is_ok_and(|options| options.boolean("create_topics"));
        let text = format!("not there yet: {}", missing.join(", "));
        match (creates, cluster.may_create_topics) {
            (true, Some(false)) => report.fail(
                "topics",
                format!("{text}; this user may not make them"),
                Exit::Denied,
                "make them, or allow ACL operation Create on the topics or on the cluster",
            )?,
            (true, _) => report.note("topics", format!("{text}; the first use makes them"))?,
            (false, _) => report.warn("topics", text, "make them, or set create_topics = true")?,
        }
    }
    Ok(there)
}

fn topic(
    name: &str,
    view: &TopicView,
    probe: &Probe,
    report: &mut Report<impl io::Write>,
) -> io::Result<()> {
    if view.refused {
        let text = format!("{name}: this user may not even see it");
        let advice = "allow ACL operations Write (to notify) or Read (to listen) on the topic";
        return report.fail("topic", text, Exit::Denied, advice);
    }
    let mut facts = format!("{name}: {} partitions, {} copies", view.partitions, view.replicas);
    for (may, word) in [(view.may_write, "write"), (view.may_read, "read")] {
        match may {
            Some(true) => facts.push_str(&format!(", may {word}")),
            Some(false) => facts.push_str(&format!(", may NOT {word}")),
            None => {}
        }
    }
    if view.may_write == Some(false) && view.may_read == Some(false) {
        let advice = "allow ACL operations Write (to notify) or Read (to listen) on the topic";
        return report.fail("topic", facts, Exit::Denied, advice);
    }
    if view.may_write == Some(false) || view.may_read == Some(false) {
        let advice = "notifiers need ACL operation Write, listeners Read";
        return report.warn("topic", facts, advice);
    }
    if view.without_leader > 0 {
        let text = format!("{facts}; {} partitions have no leader", view.without_leader);
        return report.fail("topic", text, Exit::Unreachable, "brokers are down: start them");
    }
    if view.min_insync_replicas.is_some_and(|least| least > view.replicas) {
        let text = format!("{facts}; min.insync.replicas is more than there are copies");
        let advice = "nothing can be stored: lower min.insync.replicas or add copies";
        return report.fail("topic", text, Exit::Config, advice);
    }
    if view.replicas > 1 && view.min_insync_replicas == Some(1) {
        let text = format!("{facts}, min.insync.replicas 1");
        let advice = "one broker's end may lose what was confirmed: set min.insync.replicas to 2";
        return report.warn("topic", text, advice);
    }
    match view.max_message_bytes {
        Some(most) if most < probe.max_record_bytes().min(USUAL_MAX) => report.warn(
            "topic",
            format!(
                "{facts}; at most {most} bytes each, this client sends up to {}",
                probe.max_record_bytes()
            ),
            "larger notifications are refused: raise max.message.bytes of the topic",
        ),
        _ => report.ok("topic", facts),
    }
}

fn group(
    args: &DoctorArgs,
    session: &Session,
    transport: &Transport,
    probe: &Probe,
    report: &mut Report<impl io::Write>,
) -> io::Result<()> {
    let options = match Options::resolve(KAFKA, &session.config, transport.url().query()) {
        Ok(options) => options,
        Err(error) => return report.failure("group", error.into()),
    };
    let group = args.group.as_deref().unwrap_or_else(|| options.str("consumer_group"));
    match probe.may_use_group(group, session.timeout.unwrap_or(PATIENCE)) {
        Ok(true) => report.ok("group", format!("{group}: may read and commit")),
        Ok(false) => report.fail(
            "group",
            format!("{group}: this user may not use it"),
            Exit::Denied,
            "a listener needs ACL operation Read on the group",
        ),
        Err(refusal) => report.fail(
            "group",
            format!("{group}: {refusal}"),
            Exit::Unreachable,
            "the group's coordinator is a broker: is each of them reachable by the address that \
             the metadata tell?",
        ),
    }
}

/// Records are stamped by their publishers: one from the future says that a clock is wrong.
fn clock(
    session: &Session,
    transport: &Transport,
    names: &[String],
    report: &mut Report<impl io::Write>,
) -> io::Result<()> {
    let newest = match newest(session, transport, names) {
        Ok(Some(newest)) => newest,
        Ok(None) => return report.note("clock", "no record to compare with"),
        Err(words) => return report.note("clock", format!("no record can be read: {words}")),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ahead = newest - i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    if ahead <= CLOCK {
        return report.ok("clock", "no record is from the future");
    }
    report.warn(
        "clock",
        format!("the newest record is {:.1} s from the future", ahead as f64 / 1_000.0),
        "this machine's clock or a publisher's is wrong: look at NTP",
    )
}

/// The latest time of the last records, in milliseconds.
fn newest(
    session: &Session,
    transport: &Transport,
    names: &[String],
) -> Result<Option<i64>, String> {
    let words = |error: oslo_messaging::Error| chain(&error);
    let from = ReadFrom::Last(1);
    let mut reader =
        Reader::open(transport.url(), &session.config, names, from, PATIENCE).map_err(words)?;
    let mut newest = None;
    while let Read::Record(record) = reader.next(Duration::from_secs(1)).map_err(words)? {
        newest = newest.max(record.origin.timestamp_millis);
    }
    Ok(newest)
}

fn send(
    args: &DoctorArgs,
    session: &Session,
    transport: &Transport,
    report: &mut Report<impl io::Write>,
) -> io::Result<()> {
    // A notifier adds priority and virtual host itself.
    let host = virtual_host(transport.url());
    let end = host.map_or_else(|| ".info".to_owned(), |host| format!(".info.{host}"));
    let bases: Vec<&str> = args
        .topics
        .iter()
        .filter_map(|topic| match is_whole(topic, host) {
            true => topic.strip_suffix(&end),
            false => Some(topic),
        })
        .collect();
    if bases.is_empty() && !args.topics.is_empty() {
        return report.note("sending", "not tried: none of the topics is of priority info");
    }
    let mut notifier = Notifier::builder(transport).publisher_id("oslomsg").driver("messagingv2");
    for base in bases {
        notifier = notifier.topic(base);
    }
    let patience = session.timeout.unwrap_or(PATIENCE);
    let sent = notifier.build().and_then(|notifier| {
        notifier.info(&Context::empty(), "oslomsg.doctor", Payload::null()).wait(patience)
    });
    match sent {
        Ok(_) => report.ok("sending", "one notification was confirmed"),
        Err(error) => report.failure("sending", error.into()),
    }
}
