//! A proxy before a mock cluster of one node that damages what the broker answers.
//!
//! It knows frames, so that a damaged byte is somewhere inside an answer, and it puts its own
//! port in the place of the broker's, so that clients stay with it.
//!
//! Only answers with records are damaged. Others librdkafka (2.12.1) does not always survive: it tries
//! a wrong address of a coordinator for ever, and now and then it overruns its memory or ends by an
//! assertion of its own.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    thread,
};

/// Numbers that look random and are the same for a seed (xorshift64*).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// What the proxy does at the moment, and has done.
#[derive(Default)]
pub(crate) struct Mood {
    /// One answer in so many is damaged; 0: none.
    pub(crate) one_in: AtomicU32,
    /// Only answers that are longer than this.
    pub(crate) longer_than: AtomicUsize,
    /// Only the last half of an answer, where the records are.
    pub(crate) in_records: AtomicBool,
    /// Answers to where a coordinator is name a port where nobody listens.
    pub(crate) misdirects: AtomicBool,
    pub(crate) misdirected: AtomicUsize,
    pub(crate) damaged: AtomicUsize,
    pub(crate) answers: AtomicUsize,
}

pub(crate) struct Proxy {
    pub(crate) mood: Arc<Mood>,
    port: u16,
    closing: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens before `bootstrap`, such as `127.0.0.1:40001`.
    pub(crate) fn start(bootstrap: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, closing) = (Arc::<Mood>::default(), Arc::<AtomicBool>::default());
        let upstream = bootstrap.to_owned();
        let (shared, ends) = (Arc::clone(&mood), Arc::clone(&closing));
        thread::spawn(move || {
            for (nth, client) in listener.incoming().enumerate() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&upstream)) else {
                    continue;
                };
                let numbers = Numbers::new(seed.wrapping_mul(1000) + nth as u64);
                join(client, server, port, &shared, numbers);
            }
        });
        Self { mood, port, closing }
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Requests pass as they are, answers by way of [`damage`]. Either end ends both.
fn join(client: TcpStream, server: TcpStream, port: u16, mood: &Arc<Mood>, mut numbers: Numbers) {
    let theirs = server.peer_addr().unwrap().port();
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let asked_for = Arc::<Mutex<HashMap<[u8; 4], [u8; 2]>>>::default();
    let asked = Arc::clone(&asked_for);
    thread::spawn(move || {
        while let Some(frame) = read_frame(&mut from) {
            let kind = frame[4..6].try_into().unwrap();
            if [FIND_COORDINATOR, FETCH].contains(&kind) {
                asked.lock().unwrap().insert(frame[8..12].try_into().unwrap(), kind);
            }
            if to.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    let (mut from, mut to, mood) = (server, client, Arc::clone(mood));
    thread::spawn(move || {
        while let Some(mut frame) = read_frame(&mut from) {
            readdress(&mut frame, theirs, port);
            let kind = asked_for.lock().unwrap().remove(&frame[4..8]);
            match kind {
                Some(FIND_COORDINATOR) if mood.misdirects.load(Ordering::Relaxed) => {
                    readdress(&mut frame, port, 1);
                    mood.misdirected.fetch_add(1, Ordering::Relaxed);
                }
                Some(FETCH) => damage(&mut frame, &mood, &mut numbers),
                _ => {}
            }
            if to.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

/// The requests whose answers are touched. In a request kind, version and number follow the length, in
/// an answer the number alone.
const FIND_COORDINATOR: [u8; 2] = [0, 10];
const FETCH: [u8; 2] = [0, 1];

/// A request or an answer with its length before it.
fn read_frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut frame = vec![0; 4 + u32::from_be_bytes(length) as usize];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

/// Brokers name themselves as a text and a port of four bytes.
fn readdress(frame: &mut [u8], theirs: u16, ours: u16) {
    const HOST: &[u8] = b"127.0.0.1";
    let theirs = [HOST, &u32::from(theirs).to_be_bytes()].concat();
    let mut at = 0;
    while let Some(found) = frame[at..].windows(theirs.len()).position(|w| w == theirs) {
        at += found + theirs.len();
        frame[at - 4..at].copy_from_slice(&u32::from(ours).to_be_bytes());
    }
}

fn damage(frame: &mut [u8], mood: &Mood, numbers: &mut Numbers) {
    mood.answers.fetch_add(1, Ordering::Relaxed);
    let one_in = mood.one_in.load(Ordering::Relaxed) as usize;
    let is_meant = frame.len() > mood.longer_than.load(Ordering::Relaxed);
    if one_in == 0 || !is_meant || numbers.below(one_in) > 0 {
        return;
    }
    mood.damaged.fetch_add(1, Ordering::Relaxed);
    let from = if mood.in_records.load(Ordering::Relaxed) { frame.len() / 2 } else { 0 };
    for _ in 0..=numbers.below(3) {
        let at = from + numbers.below(frame.len() - from);
        frame[at] ^= 1 << numbers.below(8);
    }
}
