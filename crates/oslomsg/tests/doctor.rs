//! `doctor` on a secured Apache Kafka: whatever is refused, it names the step.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use kafka_testkit::{Kafka, Listener, Operation, Resource, unique};

/// What is wrong, what `doctor` is asked, and what it answers.
#[derive(Default)]
struct Case<'a> {
    name: &'static str,
    url: String,
    arguments: Vec<String>,
    /// The line of the step begins like this.
    step: &'static str,
    says: &'a str,
    code: i32,
    environment: Vec<(&'static str, String)>,
}

fn check(case: &Case<'_>) -> String {
    let begun = Instant::now();
    let run = Command::new(env!("CARGO_BIN_EXE_oslomsg"))
        .args(["--quiet", "--transport-url", &case.url, "doctor"])
        .args(&case.arguments)
        .envs(case.environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let (out, took) = (String::from_utf8_lossy(&run.stdout).into_owned(), begun.elapsed());
    let line = out.lines().find(|line| line.starts_with(case.step) && line.contains(case.says));
    assert!(line.is_some(), "{}: no {:?} with {:?}:\n{out}", case.name, case.step, case.says);
    assert_eq!(run.status.code(), Some(case.code), "{}:\n{out}", case.name);
    // All cases start at once, on a broker that has just begun.
    assert!(took < Duration::from_secs(25), "{}: {took:?}", case.name);
    format!("{:<32} {:>6} ms  {}", case.name, took.as_millis(), line.unwrap_or_default())
}

#[test]
fn doctor_names_the_step_of_each_refusal() {
    let kafka = Kafka::secure();
    let cert = |name: &str| kafka.certs().join(name).to_str().unwrap().to_owned();
    let at = |user: &str, listener, query: &str| {
        let at = if user.is_empty() { "" } else { "@" };
        format!("kafka://{user}{at}{}/?{query}", kafka.listener(listener))
    };
    let sasl =
        |mechanism: &str| format!("security_protocol=SASL_PLAINTEXT&sasl_mechanism={mechanism}");
    let tls = |listener, query: &str| at("", listener, &format!("security_protocol=SSL&{query}"));
    let trusted = format!("ssl_cafile={}", cert("ca.pem"));
    let client = |name: &str| {
        let (certificate, key) = (cert(&format!("{name}.crt")), cert(&format!("{name}.key")));
        let files = format!("ssl_client_cert_file={certificate}&ssl_client_key_file={key}");
        tls(Listener::Mtls, &format!("{trusted}&{files}"))
    };

    // A user who may see one topic and write to it, read another one, and use one group.
    let (user, write, read, group) =
        (unique("erin"), unique("write"), unique("read"), unique("group"));
    let (write, read) = (format!("{write}.info"), format!("{read}.info"));
    kafka.set_password(&user, "erin-secret");
    for (topic, operation) in [(&write, Operation::Write), (&read, Operation::Read)] {
        kafka.create_topic(topic, 1);
        kafka.allow(&user, Resource::Topic(topic), operation);
    }
    kafka.allow(&user, Resource::Group(&group), Operation::Read);
    let scram = sasl("SCRAM-SHA-256");
    let erin = at(&format!("{user}:erin-secret"), Listener::Sasl, &scram);
    let on = |topic: &str, group: &str| -> Vec<String> {
        ["--topic", topic, "--group", group].map(str::to_owned).into()
    };

    let case = |name, url: &str, step, says, code| Case {
        name,
        url: url.to_owned(),
        arguments: on(&write, &group),
        step,
        says,
        code,
        ..Case::default()
    };
    let cases = [
        case("nothing wrong", &erin, "ok    group", &group, 0),
        case(
            "wrong password",
            &at("alice:wrong", Listener::Sasl, &sasl("PLAIN")),
            "FAIL  SASL",
            "user or password",
            77,
        ),
        case(
            "unknown user",
            &at("mallory:x", Listener::Sasl, &scram),
            "FAIL  SASL",
            "user or password",
            77,
        ),
        case(
            "mechanism that the broker lacks",
            &at("alice:alice-secret", Listener::Token, &sasl("PLAIN")),
            "FAIL  SASL",
            "sasl_mechanism",
            77,
        ),
        case(
            "wrong CA",
            &tls(Listener::Tls, &format!("ssl_cafile={}", cert("other-ca.pem"))),
            "FAIL  TLS",
            "ssl_cafile",
            77,
        ),
        case(
            "wrong host name",
            &tls(Listener::WrongHost, &trusted),
            "FAIL  TLS",
            "wrong.example",
            77,
        ),
        case("expired certificate", &tls(Listener::Expired, &trusted), "FAIL  TLS", "expired", 77),
        case(
            "no client certificate",
            &tls(Listener::Mtls, &trusted),
            "FAIL  TLS",
            "ssl_client_cert_file",
            77,
        ),
        case(
            "client certificate of another CA",
            &client("stranger"),
            "FAIL  TLS",
            "ssl_client_cert_file",
            77,
        ),
        case(
            "expired client certificate",
            &client("client-expired"),
            "FAIL  TLS",
            "ssl_client_cert_file",
            77,
        ),
        case("TLS to a plain listener", &tls(Listener::Internal, &trusted), "FAIL  TLS", "", 69),
        case("no TLS to a TLS listener", &at("", Listener::Tls, ""), "FAIL  metadata", "", 69),
        case(
            "no such CA file",
            &tls(Listener::Tls, "ssl_cafile=/nowhere/ca.pem"),
            "FAIL  options",
            "/nowhere/ca.pem",
            78,
        ),
        Case {
            arguments: [&on(&read, &group)[..], &["--send".to_owned()]].concat(),
            ..case("no right to write", &erin, "WARN  topic", "may NOT write", 77)
        },
        case("no right to read", &erin, "WARN  topic", "may NOT read", 0),
        Case {
            arguments: on("hidden.info", &group),
            ..case("no right to see or make a topic", &erin, "FAIL  topic", "hidden.info", 77)
        },
        Case {
            arguments: on(&write, "another"),
            ..case("no right to use the group", &erin, "FAIL  group", "another", 77)
        },
    ];
    check_all(&cases);
}

/// Kerberos reads the environment of its process: each has a cache of tickets of its own.
#[cfg(feature = "gssapi")]
#[test]
fn doctor_names_the_step_of_each_refusal_of_kerberos() {
    let kafka = Kafka::with(kafka_testkit::Layout::Kerberos, &[]);
    let (realm, group) = (kafka.realm(), unique("group"));
    kafka.create_topic("seen.info", 1);
    kafka.allow("alice", Resource::Topic("seen.info"), Operation::All);
    kafka.allow("alice", Resource::Group(&group), Operation::Read);
    let caches = realm.join("caches");
    std::fs::create_dir(&caches).unwrap();
    let case = |name, keytab: &str, principal: &str, step, says, code| Case {
        name,
        url: format!(
            "kafka://{}/?security_protocol=SASL_PLAINTEXT&sasl_mechanism=GSSAPI\
             &sasl_kerberos_keytab={}&sasl_kerberos_principal={principal}",
            kafka.listener(Listener::Kerberos),
            realm.join(keytab).display()
        ),
        arguments: ["--topic", "seen.info", "--group", &group].map(str::to_owned).into(),
        step,
        says,
        code,
        environment: vec![
            ("KRB5_CONFIG", realm.join("krb5.conf").display().to_string()),
            ("KRB5CCNAME", caches.join(unique("cache")).display().to_string()),
        ],
    };
    let alice = |name, says| case(name, "alice.keytab", "alice", "FAIL  SASL", says, 77);
    let mut cases = [
        case("nothing wrong", "alice.keytab", "alice", "ok    login", "GSSAPI", 0),
        case(
            "key of somebody else",
            "bob.keytab",
            "alice",
            "FAIL  SASL",
            "sasl_kerberos_keytab",
            77,
        ),
        case("old key", "carol.keytab", "carol", "FAIL  SASL", "sasl_kerberos_keytab", 77),
        case("unknown", "mallory.keytab", "mallory", "FAIL  SASL", "sasl_kerberos_principal", 77),
        case(
            "no principal",
            "alice.keytab",
            "",
            "FAIL  transport URL",
            "sasl_kerberos_principal",
            78,
        ),
        alice("no realm", "krb5.conf"),
        alice("no such service", "sasl_kerberos_service_name"),
    ];
    cases[5].environment[0].1 = {
        let conf = std::fs::read_to_string(realm.join("krb5.conf")).unwrap();
        let (before, _) = conf.split_once("    kdc = ").unwrap();
        let path = realm.join("down.conf");
        std::fs::write(&path, format!("{before}    kdc = 127.0.0.1:1\n  }}\n")).unwrap();
        path.display().to_string()
    };
    cases[6].url += "&sasl_kerberos_service_name=other";
    check_all(&cases);
}

/// All at the same time.
fn check_all(cases: &[Case<'_>]) {
    let failed: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(move || check(case))).collect();
        let ends = running.into_iter().map(thread::ScopedJoinHandle::join);
        ends.filter_map(|end| match end {
            Ok(line) => {
                println!("{line}");
                None
            }
            Err(panic) => Some(panic.downcast_ref::<String>().cloned().unwrap_or_default()),
        })
        .collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
