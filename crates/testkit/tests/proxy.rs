//! The proxy on plain TCP servers: each fault does what its name says, and nothing stays behind.

#![allow(clippy::unwrap_used, reason = "a failure of a test is a panic")]

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{
    Direction::{ToBroker, ToClient},
    Faults, Flips, Proxy,
};

/// Longest wait for what must come.
const LIMIT: Duration = Duration::from_secs(60);

/// A server that sends back what it gets, and its port. It lives as long as the test process.
fn echo() -> u16 {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in server.incoming() {
            let mut client = client.unwrap();
            thread::spawn(move || {
                let mut writer = client.try_clone().unwrap();
                // A reset connection ends it, too.
                let _ = std::io::copy(&mut client, &mut writer);
                let _ = writer.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

/// A server of one connection that tells what it got in all, at the end of that.
fn sink() -> (u16, Receiver<Vec<u8>>) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let (sender, got) = channel();
    thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        let mut bytes = Vec::new();
        // What came before an error is in there.
        let _ = client.read_to_end(&mut bytes);
        sender.send(bytes).unwrap();
    });
    (port, got)
}

fn client(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

/// Sends bytes and reads as many.
fn round_trip(client: &mut TcpStream, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = client.try_clone()?;
    let sent = bytes.to_vec();
    let sending = thread::spawn(move || writer.write_all(&sent));
    let mut answer = vec![0; bytes.len()];
    client.read_exact(&mut answer)?;
    sending.join().unwrap()?;
    Ok(answer)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 7 + n / 251) as u8).collect()
}

fn comes(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn bytes_pass_unchanged_in_both_directions_and_their_end_does_too() {
    let proxy = Proxy::between(0, echo());
    let mut client = client(&proxy);
    let sent = bytes(3_000_000);
    assert!(round_trip(&mut client, &sent).unwrap() == sent);
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
    assert_eq!((proxy.passed(ToBroker), proxy.passed(ToClient)), (3_000_000, 3_000_000));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    comes("the connection is over", || proxy.connections() == 0);
}

#[test]
fn latency_delays_each_byte_and_not_one_after_the_other() {
    let proxy = Proxy::between(0, echo());
    let mut client = client(&proxy);
    round_trip(&mut client, b"x").unwrap();
    let latency = Duration::from_millis(300);
    proxy.set_both(Faults { latency, jitter: latency / 3, ..Faults::default() });
    let begun = Instant::now();
    let sent = bytes(1_000_000);
    assert!(round_trip(&mut client, &sent).unwrap() == sent);
    // 61 pieces in each direction: 37 s if they waited for one another.
    assert!((latency..latency * 30).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    proxy.heal();
    round_trip(&mut client, b"x").unwrap();
}

#[test]
fn bandwidth_and_slices_take_their_time() {
    let proxy = Proxy::between(0, echo());
    let mut client = client(&proxy);
    proxy.set(ToClient, Faults { bytes_per_second: Some(40_000), ..Faults::default() });
    let begun = Instant::now();
    let sent = bytes(40_000);
    assert!(round_trip(&mut client, &sent).unwrap() == sent);
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    proxy.heal();
    let pause = Duration::from_millis(1);
    proxy.set(ToBroker, Faults { slices: Some((7, pause)), ..Faults::default() });
    let begun = Instant::now();
    assert!(round_trip(&mut client, &sent[..7 * 500]).unwrap() == sent[..7 * 500]);
    assert!(begun.elapsed() >= pause * 499, "{:?}", begun.elapsed());
}

#[test]
fn a_black_hole_takes_requests_keeps_the_connection_and_lets_answers_come() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::between(0, server.local_addr().unwrap().port());
    let mut client = client(&proxy);
    let (mut broker, _) = server.accept().unwrap();
    client.write_all(b"seen").unwrap();
    broker.read_exact(&mut [0; 4]).unwrap();
    proxy.set(ToBroker, Faults { black_hole: true, ..Faults::default() });
    client.write_all(&bytes(3_000_000)).unwrap();
    broker.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = broker.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    broker.write_all(b"answer").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    assert_eq!((proxy.passed(ToBroker), proxy.connections()), (4, 1));
    // It has a hole: healing cannot but end it.
    proxy.heal();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_reaches_both_ends_and_new_connections_are_taken() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::between(0, server.local_addr().unwrap().port());
    let mut first = client(&proxy);
    let (mut broker, _) = server.accept().unwrap();
    comes("it is open", || proxy.connections() == 1);
    proxy.reset();
    assert_eq!(first.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(broker.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let _second = client(&proxy);
    server.accept().unwrap();
}

#[test]
fn a_cut_lets_exactly_so_many_bytes_pass_on_each_connection() {
    for count in [0, 1, 20_001] {
        let (port, got) = sink();
        let proxy = Proxy::between(0, port);
        proxy.set(ToBroker, Faults { cut_after: Some(count), ..Faults::default() });
        let mut client = client(&proxy);
        let sent = bytes(50_000);
        // What is too much may fail or not.
        let _ = client.write_all(&sent);
        let got = got.recv_timeout(LIMIT).unwrap();
        assert!(got == sent[..count as usize], "{} of {count} bytes", got.len());
    }
}

#[test]
fn every_tenth_byte_is_changed_and_the_same_seed_changes_the_same() {
    let sent = bytes(100_000);
    let through = |seed| {
        let proxy = Proxy::between(0, echo());
        proxy.set(ToClient, Faults { flips: Some(Flips { every: 10, seed }), ..Faults::default() });
        round_trip(&mut client(&proxy), &sent).unwrap()
    };
    let got = through(1);
    let changed: Vec<usize> = (0..sent.len()).filter(|&n| sent[n] != got[n]).collect();
    assert!(changed.iter().copied().eq((9..sent.len()).step_by(10)), "{}", changed.len());
    assert!(got == through(1) && got != through(2));
}

#[test]
fn refused_connections_are_refused_and_open_ones_go_on() {
    let proxy = Proxy::between(0, echo());
    let mut open = client(&proxy);
    round_trip(&mut open, b"x").unwrap();
    proxy.refuse(true);
    let address = (Ipv4Addr::LOCALHOST, proxy.port());
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(round_trip(&mut open, b"still there").unwrap(), b"still there");
    proxy.refuse(false);
    round_trip(&mut client(&proxy), b"x").unwrap();
}

#[test]
fn a_server_that_is_down_resets_its_clients() {
    let port = {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        server.local_addr().unwrap().port()
    };
    let proxy = Proxy::between(0, port);
    let error = client(&proxy).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_connections_of_a_shunned_process_are_reset_and_no_others() {
    let proxy = Proxy::between(0, echo());
    let mut open = client(&proxy);
    round_trip(&mut open, b"x").unwrap();
    proxy.shun(&[1]);
    assert_eq!(round_trip(&mut open, b"not mine").unwrap(), b"not mine");
    proxy.shun(&[1, std::process::id()]);
    assert_eq!(open.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(client(&proxy).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.heal();
    round_trip(&mut client(&proxy), b"x").unwrap();
}

#[test]
fn nothing_outlives_the_proxy() {
    let proxy = Proxy::between(0, echo());
    let mut clients: Vec<_> = (0..10).map(|_| client(&proxy)).collect();
    for client in &mut clients {
        round_trip(client, b"x").unwrap();
    }
    // Bytes under way do not hold it up.
    proxy.set_both(Faults { latency: LIMIT * 60, ..Faults::default() });
    clients[0].write_all(b"x").unwrap();
    let port = proxy.port();
    drop(proxy);
    for client in &mut clients {
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
}
