//! What is let in: each protocol with each mechanism, on both sides, and what can be set about TLS.

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use kafka_testkit::{KEY_PASSWORD, Listener, unique};
use oslo_messaging::Transport;

use crate::support::{
    LIMIT, SESSION, accepted, cert, each, listen, notifier, passes, sasl, send, url,
};

const ALICE: &str = "alice:alice-secret";
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Notifier and listener of each URL, with a line for each.
fn all_pass(cases: &[(String, String)]) {
    each(cases, |(name, url)| accepted(name, url, passes(url)));
}

#[test]
fn each_protocol_and_mechanism_lets_notifiers_and_listeners_in() {
    let ca = cert("ca.pem");
    let mut cases = vec![
        ("no login".to_owned(), url("", Listener::Internal, "")),
        (
            "no login".to_owned(),
            url("", Listener::Tls, &format!("security_protocol=SSL&ssl_cafile={ca}")),
        ),
    ];
    for mechanism in MECHANISMS {
        cases.push(("password".to_owned(), url(ALICE, Listener::Sasl, &sasl(mechanism))));
        let query =
            format!("security_protocol=SASL_SSL&sasl_mechanism={mechanism}&ssl_cafile={ca}");
        cases.push(("password".to_owned(), url(ALICE, Listener::SaslTls, &query)));
    }
    all_pass(&cases);
}

#[test]
fn a_client_certificate_opens_a_broker_that_wants_one_also_by_an_encrypted_key() {
    let (ca, certificate) = (cert("ca.pem"), cert("client.crt"));
    let tls = format!("security_protocol=SSL&ssl_cafile={ca}&ssl_client_cert_file={certificate}");
    let key = |query: &str| url("", Listener::Mtls, &format!("{tls}&ssl_client_key_file={query}"));
    all_pass(&[
        ("client certificate".to_owned(), key(&cert("client.key"))),
        (
            "client certificate, encrypted key".to_owned(),
            key(&format!("{}&ssl_client_key_password={KEY_PASSWORD}", cert("client-enc.key"))),
        ),
    ]);
}

#[test]
fn authorities_can_stand_in_a_folder() {
    let query = format!("security_protocol=SSL&ssl_cafile={}", cert("ca.d"));
    all_pass(&[("folder of authorities".to_owned(), url("", Listener::Tls, &query))]);
}

/// OpenSSL's own variable says where the system's authorities are: in a process of its own.
#[test]
fn without_ssl_cafile_the_authorities_of_the_system_count() {
    const TOLD: &str = "OSLOMSG_TEST_SYSTEM_AUTHORITIES";
    if let Ok(url) = env::var(TOLD) {
        println!("{}", accepted("authorities of the system", &url, passes(&url)));
        return;
    }
    let this = "accepted::without_ssl_cafile_the_authorities_of_the_system_count";
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env("SSL_CERT_FILE", cert("ca.pem"))
        .env(TOLD, url("", Listener::Tls, "security_protocol=SSL"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("accepted"), "{output:?}");
    text.lines().filter(|line| line.starts_with('|')).for_each(|line| println!("{line}"));
}

#[test]
fn the_check_of_the_hosts_name_and_the_ciphers_can_be_set() {
    let ca = cert("ca.pem");
    let tls = |properties: &str| {
        format!("security_protocol=SSL&ssl_cafile={ca}&librdkafka_properties={properties}")
    };
    let unnamed = tls("ssl.endpoint.identification.algorithm:none");
    let ciphers = tls("ssl.cipher.suites:ECDHE-ECDSA-AES256-GCM-SHA384");
    all_pass(&[
        ("name not checked".to_owned(), url("", Listener::WrongHost, &unnamed)),
        ("one cipher".to_owned(), url("", Listener::Tls, &ciphers)),
    ]);
}

#[test]
fn traffic_goes_on_while_sessions_end_and_clients_log_in_again() {
    let transport =
        Transport::for_notifications(&url(ALICE, Listener::Sasl, &sasl("SCRAM-SHA-512"))).unwrap();
    let (topic, group) = (unique("open"), unique("open"));
    let (listener, told) = listen(&transport, &topic, &group).unwrap();
    listener.ready(LIMIT).unwrap();
    let (notifier, begun, mut sent) = (notifier(&transport, &topic), Instant::now(), 0);
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < SESSION * 3 {
        let at = Instant::now();
        send(&notifier, &sent.to_string()).unwrap();
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), sent.to_string());
        slowest = slowest.max(at.elapsed());
        sent += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("{sent} sent and handled in {:?}, the slowest in {slowest:?}", begun.elapsed());
    // A connection that is lost and made anew costs more on a machine that does all tests at once.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    listener.close(LIMIT).unwrap();
}
