//! One connection through a proxy, and the thread that passes on the bytes of one direction.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_socket_linger;

use super::{Direction, Faults, Flips, Shared};

/// How long a thread may not notice that its connection is to end, or that faults have changed.
const NOTICE: Duration = Duration::from_millis(20);
/// Most bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// Most bytes under way in one direction; then the sender has to wait.
const UNDER_WAY: usize = 1024 * 1024;

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With what was read passed on or not (FIN).
    Close = 1,
    /// RST to both sides.
    Reset = 2,
}

#[derive(Debug)]
pub(super) struct Connection {
    /// By direction: who gets its bytes.
    ends: [TcpStream; 2],
    client: SocketAddr,
    end: AtomicU8,
    lost_bytes: AtomicBool,
}

impl Connection {
    pub(super) fn new(client: TcpStream, broker: TcpStream) -> io::Result<Self> {
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(NOTICE))?;
        }
        Ok(Self {
            client: client.peer_addr()?,
            ends: [broker, client],
            end: AtomicU8::new(0),
            lost_bytes: AtomicBool::new(false),
        })
    }

    pub(super) fn end(&self, end: End) {
        if end == End::Reset {
            // An error says that it is gone already.
            let _ = self.ends.iter().try_for_each(reset_at_close);
        }
        self.end.fetch_max(end as u8, Ordering::Relaxed);
    }

    /// Where the client connected from.
    pub(super) fn client(&self) -> SocketAddr {
        self.client
    }

    pub(super) fn has_lost_bytes(&self) -> bool {
        self.lost_bytes.load(Ordering::Relaxed)
    }

    fn ends(&self) -> bool {
        self.end.load(Ordering::Relaxed) > 0
    }
}

/// The last close of the socket sends RST.
pub(super) fn reset_at_close(stream: &TcpStream) -> io::Result<()> {
    Ok(set_socket_linger(stream, Some(Duration::ZERO))?)
}

pub(super) struct Pump {
    connection: Arc<Connection>,
    direction: Direction,
    /// Pieces, with the time at which they arrive.
    under_way: VecDeque<(Instant, Vec<u8>)>,
    bytes_under_way: usize,
    /// No piece overtakes another one.
    last_arrival: Instant,
    /// Not written before that.
    next_write: Instant,
    /// For times.
    random: Random,
    /// For bytes: how many pieces a text comes in must make no difference to them.
    flips: Random,
    /// Which connection and direction this is.
    number: u64,
    /// Of the switches that `left` and `until_flip` are about.
    version: Option<u64>,
    /// Bytes until the connection is cut.
    left: Option<u64>,
    until_flip: u64,
    swallows: bool,
}

impl Pump {
    pub(super) fn new(connection: Arc<Connection>, direction: Direction, number: u64) -> Self {
        let now = Instant::now();
        Self {
            connection,
            direction,
            under_way: VecDeque::new(),
            bytes_under_way: 0,
            last_arrival: now,
            next_write: now,
            random: Random(number * 2 + direction as u64 + 1),
            flips: Random(0),
            number: number * 2 + direction as u64 + 1,
            version: None,
            left: None,
            until_flip: 0,
            swallows: false,
        }
    }

    /// Passes bytes on until the connection ends.
    pub(super) fn run(mut self, shared: &Shared) {
        // An error is the end of the connection, and the other side must learn of it.
        if self.pass(shared).is_err() {
            self.connection.end(End::Close);
        }
    }

    fn pass(&mut self, shared: &Shared) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut read_all = false;
        while !self.connection.ends() {
            let faults = self.faults(shared);
            self.write_what_is_due(&faults, shared)?;
            if read_all && self.under_way.is_empty() {
                return self.writer().shutdown(Shutdown::Write);
            }
            let wait = self.time_to_next_write();
            if read_all || self.bytes_under_way >= UNDER_WAY {
                thread::sleep(wait);
                continue;
            }
            // Zero would mean for ever.
            self.reader().set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
            match self.reader().read(&mut buffer) {
                Ok(0) => read_all = true,
                Ok(count) => {
                    let faults = self.faults(shared);
                    self.take(&buffer[..count], &faults)?;
                }
                Err(error) if waits(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The faults now; after a change, counts start anew.
    fn faults(&mut self, shared: &Shared) -> Faults {
        let switches = *shared.switches();
        let faults = switches.faults[self.direction as usize];
        if self.version.replace(switches.version) != Some(switches.version) {
            self.left = faults.cut_after;
            if let Some(Flips { every, seed }) = faults.flips {
                self.flips = Random(self.number ^ seed);
                self.until_flip = every.max(1);
            }
        }
        faults
    }

    fn take(&mut self, bytes: &[u8], faults: &Faults) -> io::Result<()> {
        self.swallows |= faults.black_hole;
        if self.swallows {
            self.connection.lost_bytes.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let mut bytes = bytes.to_vec();
        if let Some(Flips { every, .. }) = faults.flips {
            for byte in &mut bytes {
                self.until_flip -= 1;
                if self.until_flip == 0 {
                    // Never by 0, which would change nothing.
                    *byte ^= (self.flips.next() % 255 + 1) as u8;
                    self.until_flip = every.max(1);
                }
            }
        }
        let jitter = u64::try_from(faults.jitter.as_micros()).unwrap_or(u64::MAX / 4);
        let spread = Duration::from_micros(self.random.next() % (2 * jitter + 1));
        let arrival = Instant::now() + (faults.latency + spread).saturating_sub(faults.jitter);
        self.last_arrival = self.last_arrival.max(arrival);
        self.bytes_under_way += bytes.len();
        self.under_way.push_back((self.last_arrival, bytes));
        Ok(())
    }

    fn write_what_is_due(&mut self, faults: &Faults, shared: &Shared) -> io::Result<()> {
        while let Some((arrival, bytes)) = self.under_way.front() {
            let now = Instant::now();
            if *arrival > now || self.next_write > now || self.connection.ends() {
                break;
            }
            let most = self.most_at_once(faults).min(bytes.len());
            if most == 0 {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let written = match self.writer().write(&bytes[..most]) {
                Ok(written) => written,
                // The other end does not read.
                Err(error) if waits(&error) => break,
                Err(error) => return Err(error),
            };
            self.wrote(written, faults);
            shared.passed[self.direction as usize].fetch_add(written as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn most_at_once(&self, faults: &Faults) -> usize {
        let slice = faults.slices.map_or(usize::MAX, |(bytes, _)| bytes.max(1));
        // Twenty writes a second are smooth enough.
        let rate = faults.bytes_per_second.map_or(u64::MAX, |rate| (rate / 20).max(1));
        let rate = rate.min(self.left.unwrap_or(u64::MAX));
        slice.min(usize::try_from(rate).unwrap_or(usize::MAX))
    }

    fn wrote(&mut self, written: usize, faults: &Faults) {
        let mut pause = faults.slices.map_or(Duration::ZERO, |(_, pause)| pause);
        if let Some(rate) = faults.bytes_per_second {
            pause = pause.max(Duration::from_secs_f64(written as f64 / rate.max(1) as f64));
        }
        self.next_write = self.next_write.max(Instant::now()) + pause;
        self.left = self.left.map(|left| left - written as u64);
        self.bytes_under_way -= written;
        if let Some((_, bytes)) = self.under_way.front_mut() {
            bytes.drain(..written);
            if bytes.is_empty() {
                self.under_way.pop_front();
            }
        }
    }

    fn time_to_next_write(&self) -> Duration {
        let due = self.under_way.front().map(|(arrival, _)| (*arrival).max(self.next_write));
        due.map_or(NOTICE, |due| due.saturating_duration_since(Instant::now()).min(NOTICE))
    }

    fn writer(&self) -> &TcpStream {
        &self.connection.ends[self.direction as usize]
    }

    fn reader(&self) -> &TcpStream {
        &self.connection.ends[1 - self.direction as usize]
    }
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// SplitMix64: the same seed gives the same faults.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
