//! GSSAPI: a realm of the test's own, keytabs and tickets, and what is told when there are none.
//!
//! Kerberos reads the environment of its process: each case has a process of its own, with its own
//! cache of tickets.

use std::{env, fs, net::TcpListener, path::PathBuf, process::Command, sync::OnceLock};

use kafka_testkit::{Kafka, Layout, Listener, Operation, Resource, unique};

use crate::{
    refused::{Case, both_are_told},
    support::{accepted, each, passes},
};

const URL: &str = "OSLOMSG_TEST_KERBEROS_URL";
/// The name of a refusal, or nothing for what is let in.
const REFUSAL: &str = "OSLOMSG_TEST_KERBEROS_REFUSAL";
const CHILD: &str = "kerberos::one_way_of_a_ticket";

/// Each refusal, and what both sides are told of it.
const REFUSALS: &[(&str, &[&str])] = &[
    ("keytab of somebody else", &["bob.keytab", "alice", "sasl_kerberos_keytab"]),
    ("keytab with an old key", &["carol.keytab", "carol", "sasl_kerberos_keytab"]),
    ("principal that the realm lacks", &["mallory", "not found", "sasl_kerberos_principal"]),
    ("no such keytab", &["/nowhere/nova.keytab", "sasl_kerberos_keytab"]),
    ("realm that is down", &["Cannot contact any KDC", "krb5.conf"]),
    ("realm that does not answer", &["did not answer", "krb5.conf"]),
    ("another service's name", &["not found", "sasl_kerberos_service_name"]),
    ("neither keytab nor ticket", &["sasl_kerberos_keytab", "KRB5CCNAME"]),
    ("no kinit", &["kinit", "krb5-user"]),
    ("a broker without Kerberos", &["sasl_mechanism", "SCRAM"]),
];

fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Kafka> = OnceLock::new();
    KAFKA.get_or_init(|| {
        let kafka = Kafka::with(Layout::Kerberos, &[]);
        kafka.allow("alice", Resource::Topics("open"), Operation::All);
        kafka.allow("alice", Resource::Groups("open"), Operation::All);
        kafka
    })
}

/// What the child does.
#[test]
fn one_way_of_a_ticket() {
    let Ok(url) = env::var(URL) else { return };
    let name = env::var(REFUSAL).unwrap();
    match REFUSALS.iter().find(|(refusal, _)| *refusal == name) {
        Some((name, says)) => both_are_told(&[Case { name, url, topic: unique("open"), says }]),
        None => println!("{}", accepted(&name, &url, passes(&url))),
    }
}

/// A process with its own view of Kerberos.
struct Way {
    name: &'static str,
    url: String,
    krb5_conf: PathBuf,
    /// In place of where programs usually are.
    path: Option<&'static str>,
    /// Of whom there is a ticket before.
    ticket_of: Option<&'static str>,
}

impl Way {
    fn new(name: &'static str, url: String) -> Self {
        let krb5_conf = kafka().realm().join("krb5.conf");
        Self { name, url, krb5_conf, path: None, ticket_of: None }
    }

    /// Goes it; the lines of the table.
    fn go(&self) -> String {
        let cache = env::temp_dir().join(unique("tickets"));
        if let Some(user) = self.ticket_of {
            let kinit = Command::new("kinit")
                .args(["-k", "-t", &keytab(user), user])
                .env("KRB5_CONFIG", &self.krb5_conf)
                .env("KRB5CCNAME", &cache)
                .status();
            assert!(kinit.unwrap().success());
        }
        let mut child = Command::new(env::current_exe().unwrap());
        child
            .args(["--exact", CHILD, "--nocapture"])
            .env(URL, &self.url)
            .env(REFUSAL, self.name)
            .env("KRB5_CONFIG", &self.krb5_conf)
            .env("KRB5CCNAME", &cache);
        if let Some(path) = self.path {
            child.env("PATH", path);
        }
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let _ = fs::remove_file(cache);
        assert!(output.status.success(), "{}: {output:?}", self.name);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(!rows.is_empty(), "{}: {text}", self.name);
        rows.join("\n")
    }
}

fn keytab(user: &str) -> String {
    kafka().realm().join(format!("{user}.keytab")).to_str().unwrap().to_owned()
}

/// A transport URL for a listener; `query` follows what all have.
fn url(listener: Listener, query: &str) -> String {
    let protocol = match listener {
        Listener::KerberosTls => {
            format!("SASL_SSL&ssl_cafile={}", kafka().certs().join("ca.pem").display())
        }
        _ => "SASL_PLAINTEXT".to_owned(),
    };
    let at = kafka().listener(listener);
    format!("kafka://{at}/?security_protocol={protocol}&sasl_mechanism=GSSAPI&{query}")
}

fn by_keytab(file: &str, principal: &str) -> String {
    format!("sasl_kerberos_keytab={file}&sasl_kerberos_principal={principal}")
}

#[test]
fn a_keytab_or_a_ticket_lets_notifiers_and_listeners_in() {
    let alice = by_keytab(&keytab("alice"), "alice");
    let whole = by_keytab(&keytab("alice"), "alice@OSLOMSG.TEST");
    let ticket = Way::new("ticket of the cache", url(Listener::Kerberos, ""));
    let ways = [
        Way::new("keytab", url(Listener::Kerberos, &alice)),
        Way::new("keytab", url(Listener::KerberosTls, &whole)),
        Way { ticket_of: Some("alice"), ..ticket },
    ];
    each(&ways, Way::go);
}

#[test]
fn what_kerberos_refuses_is_told_on_both_sides_within_fifteen_seconds() {
    let alice = by_keytab(&keytab("alice"), "alice");
    let at = |query: &str| url(Listener::Kerberos, query);
    // Takes connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let realm = kafka().realm();
    let elsewhere = |name: &str, kdc: &str| {
        let conf = fs::read_to_string(realm.join("krb5.conf")).unwrap();
        let lines = conf.lines().map(|line| match line.contains("kdc = 127") {
            true => format!("    kdc = {kdc}\n"),
            false => format!("{line}\n"),
        });
        let path = realm.join(name);
        fs::write(&path, lines.collect::<String>()).unwrap();
        path
    };
    let queries = [
        by_keytab(&keytab("bob"), "alice"),
        by_keytab(&keytab("carol"), "carol"),
        by_keytab(&keytab("mallory"), "mallory"),
        by_keytab("/nowhere/nova.keytab", "alice"),
        alice.clone(),
        alice.clone(),
        format!("{alice}&sasl_kerberos_service_name=other"),
        String::new(),
        alice.clone(),
    ];
    let mut ways: Vec<Way> =
        REFUSALS.iter().zip(&queries).map(|((name, _), query)| Way::new(name, at(query))).collect();
    ways[4].krb5_conf = elsewhere("down.conf", &unused.to_string());
    ways[5].krb5_conf = elsewhere("silent.conf", &silent.local_addr().unwrap().to_string());
    ways[8].path = Some("/nonexistent");
    ways.push(Way::new(REFUSALS[9].0, url(Listener::Sasl, &alice)));
    assert_eq!(ways.len(), REFUSALS.len());
    each(&ways, Way::go);
}
