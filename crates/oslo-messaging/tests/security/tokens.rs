//! OAUTHBEARER: tokens of a server that this test is, signed and verified; and unsigned ones.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use kafka_testkit::{Listener, Operation, Resource, unique};
use oslo_messaging::{Error, Transport};

use crate::support::{
    LIMIT, TOLD_WITHIN, accepted, cert, each, failure, kafka, listen, logged, note_errors,
    notifier, passes, row, send, url,
};

/// A token server: client credentials in, signed tokens of `life` out. It ends with the test process.
struct TokenServer {
    url: String,
    /// While it is set, whoever asks is hung up on.
    is_away: Arc<AtomicBool>,
    given: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl TokenServer {
    /// Takes `client` with the secret `s3cret+/` alone.
    fn start(client: &'static str, life: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let (given, refused) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (gives, refuses) = (Arc::clone(&given), Arc::clone(&refused));
        let is_away = Arc::<AtomicBool>::default();
        let away = Arc::clone(&is_away);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if away.load(Ordering::Relaxed) {
                    continue;
                }
                let counter =
                    if answer(connection.unwrap(), client, life) { &gives } else { &refuses };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { url, is_away, given, refused }
    }
}

/// `CLIENT:s3cret%2B%2F` in base64, as RFC 6749 wants it of a client called `nova`.
const NOVA: &str = "bm92YTpzM2NyZXQlMkIlMkY=";

/// Answers one request; whether with a token.
fn answer(connection: TcpStream, client: &str, life: Duration) -> bool {
    let mut reader = BufReader::new(&connection);
    let (mut length, mut known, mut line) = (0, false, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap(),
            "authorization" => known = value.trim() == format!("Basic {NOVA}"),
            _ => {}
        }
        line.clear();
    }
    let mut form = vec![0; length];
    reader.read_exact(&mut form).unwrap();
    let form = String::from_utf8(form).unwrap();
    let asked = form.contains("grant_type=client_credentials") && form.contains("scope=kafka");
    let (status, body) = if known && asked {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(
            r#"{{"iss":"oslomsg-kit","aud":"kafka","sub":"{client}","iat":{now},"exp":{},"scope":"kafka"}}"#,
            now + life.as_secs()
        );
        let token = kafka().token(&claims);
        let life = life.as_secs();
        (
            "200 OK",
            format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{life}}}"#),
        )
    } else {
        ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned())
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
    let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
    (&connection).write_all(format!("{head}{body}").as_bytes()).unwrap();
    status.starts_with("200")
}

fn oauth(user: &str, server: &str) -> String {
    let query = "security_protocol=SASL_PLAINTEXT&sasl_mechanism=OAUTHBEARER";
    url(user, Listener::Token, &format!("{query}&sasl_oauth_url={server}&sasl_oauth_scope=kafka"))
}

fn open_to_nova() {
    kafka().allow("nova", Resource::Topics("open"), Operation::All);
    kafka().allow("nova", Resource::Groups("open"), Operation::All);
}

#[test]
fn a_token_server_lets_both_sides_in_and_tokens_are_renewed_before_they_end() {
    const LIFE: Duration = Duration::from_secs(5);
    open_to_nova();
    let server = TokenServer::start("nova", LIFE);
    let transport = Transport::for_notifications(&oauth("nova:s3cret%2B%2F", &server.url)).unwrap();
    let (topic, group) = (unique("open"), unique("open"));
    let (listener, told) = listen(&transport, &topic, &group).unwrap();
    listener.ready(LIMIT).unwrap();
    let notifier = notifier(&transport, &topic);
    let (begun, mut sent, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < LIFE * 2 + Duration::from_secs(1) {
        let at = Instant::now();
        send(&notifier, &sent.to_string()).unwrap();
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), sent.to_string());
        slowest = slowest.max(at.elapsed());
        sent += 1;
        thread::sleep(Duration::from_millis(50));
    }
    let tokens = server.given.load(Ordering::Relaxed);
    println!("OAUTHBEARER, token server: {sent} sent, {tokens} tokens, the slowest {slowest:?}");
    assert!(tokens >= 3, "{tokens} tokens in two lives");
    assert!(slowest < LIFE, "{slowest:?}");
    listener.close(LIMIT).unwrap();
    assert_eq!(server.refused.load(Ordering::Relaxed), 0);
}

#[test]
fn tokens_let_notifiers_and_listeners_in_with_and_without_tls() {
    open_to_nova();
    let server = TokenServer::start("nova", Duration::from_secs(60));
    let plain = oauth("nova:s3cret%2B%2F", &server.url);
    let address = |listener| kafka().listener(listener);
    let tls = plain
        .replace(address(Listener::Token), address(Listener::TokenTls))
        .replace("SASL_PLAINTEXT", &format!("SASL_SSL&ssl_cafile={}", cert("ca.pem")));
    each(&[plain, tls], |url| accepted("token server", url, passes(url)));
}

/// Sessions end with their tokens.
#[test]
fn a_token_that_ends_while_the_server_is_away_is_told_and_both_sides_come_back_with_it() {
    const LIFE: Duration = Duration::from_secs(4);
    const BACK_WITHIN: Duration = Duration::from_secs(15);
    open_to_nova();
    let server = TokenServer::start("nova", LIFE);
    let at = oauth("nova:s3cret%2B%2F", &server.url);
    let transport = Transport::for_notifications(&format!("{at}&connect_timeout=4")).unwrap();
    let (topic, group) = (unique("open"), unique("open"));
    let (listener, told) = listen(&transport, &topic, &group).unwrap();
    listener.ready(LIMIT).unwrap();
    let notifier = notifier(&transport, &topic);
    send(&notifier, "before").unwrap();
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), "before");

    server.is_away.store(true, Ordering::Relaxed);
    let away = Instant::now();
    let failed = loop {
        match send(&notifier, "meanwhile") {
            Ok(()) => assert!(away.elapsed() < TOLD_WITHIN, "a token of {LIFE:?} goes on"),
            failed => {
                // The broker's hanging up may come first; what follows says why nobody gets in again.
                let failed = failure(failed);
                if failed.detail.contains(&server.url) || away.elapsed() > TOLD_WITHIN {
                    break failed;
                }
            }
        }
        thread::sleep(Duration::from_millis(100));
    };
    let (refused, words) = (away.elapsed(), &failed.detail);
    println!("{}", row("token ended, no new one", &at, "notifier", refused, words));
    assert!(refused < TOLD_WITHIN && words.contains(&server.url), "{refused:?} {words}");
    server.is_away.store(false, Ordering::Relaxed);
    let back = Instant::now();
    while let Err(error) = send(&notifier, "after") {
        assert!(back.elapsed() < BACK_WITHIN, "{error}");
        thread::sleep(Duration::from_millis(100));
    }
    let sends = back.elapsed();
    while told.recv_timeout(LIMIT).unwrap() != "after" {}
    println!("the token server is back: sends after {sends:?}, listens after {:?}", back.elapsed());
    listener.close(LIMIT).unwrap();
}

#[test]
fn a_token_server_that_refuses_or_is_away_is_told_on_both_sides() {
    note_errors();
    let server = TokenServer::start("nova", Duration::from_secs(60));
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away_url = format!("http://{away}/token");
    for (user, server, words) in [
        ("nova:wrong", server.url.clone(), &["refuses nova", "invalid_client", "password"][..]),
        ("nova:x", away_url.clone(), &["gives no token"]),
    ] {
        let transport = Transport::for_notifications(&oauth(user, &server)).unwrap();
        let (topic, group, begun) = (unique("open"), unique("open"), Instant::now());
        let (listener, _told) = listen(&transport, &topic, &group).unwrap();
        let failed = failure(send(&notifier(&transport, &topic), "never.arrives"));
        let told = begun.elapsed();
        let error = logged(&[&group, "no partitions"], LIMIT).unwrap_or_default();
        let complained = begun.elapsed();
        for text in [&failed.detail, &error] {
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
            assert!(!text.contains("another sasl_mechanism"), "{text}");
            assert!(text.contains(&server) && !text.contains("wrong"), "{text}");
        }
        let at = transport.url().to_string();
        let name = if server == away_url { "token server away" } else { "wrong client secret" };
        println!("{}", row(name, &at, "notifier", told, &failed.detail));
        println!("{}", row(name, &at, "listener", complained, &error));
        assert!(told < TOLD_WITHIN && complained < TOLD_WITHIN);
        let _ = listener.close(Duration::from_secs(3));
    }
}

#[test]
fn a_token_that_the_broker_does_not_verify_is_told() {
    let server = TokenServer::start("stranger", Duration::ZERO);
    let at = oauth("nova:s3cret%2B%2F", &server.url);
    let (transport, begun) = (Transport::for_notifications(&at).unwrap(), Instant::now());
    let failed = failure(send(&notifier(&transport, &unique("open")), "never.arrives"));
    let took = begun.elapsed();
    println!("{}", row("token that is over", &at, "notifier", took, &failed.detail));
    assert!(failed.detail.contains("token"), "{failed}");
}

#[test]
fn unsigned_tokens_are_for_brokers_that_take_them() {
    let properties = "enable.sasl.oauthbearer.unsecure.jwt:true,\
                      sasl.oauthbearer.config:principal=alice+scope=kafka";
    let query = "security_protocol=SASL_PLAINTEXT&sasl_mechanism=OAUTHBEARER";
    let at = url("", Listener::Sasl, &format!("{query}&librdkafka_properties={properties}"));
    println!("{}", accepted("unsigned token", &at, passes(&at)));
}

#[test]
fn oauthbearer_without_a_token_server_says_what_is_missing() {
    let query = "security_protocol=SASL_PLAINTEXT&sasl_mechanism=OAUTHBEARER";
    let missing = [query.to_owned(), format!("{query}&sasl_oauth_url=http://127.0.0.1:1/")];
    for (query, words) in missing.iter().zip(["token server", "client id"]) {
        let at = url("", Listener::Token, query);
        let error = Transport::for_notifications(&at).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
