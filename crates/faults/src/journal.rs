//! What the roles write down, line by line, and how it is read again.
//!
//! Each process has a file of its own. A line is one `write`: what was written before a `kill -9`
//! is with the kernel. Roles write, the harness reads; the checker sees only the parsed lines.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use rustix::time::{ClockId, clock_gettime};

/// Microseconds of the machine's monotonic clock, the same in all processes.
pub(crate) fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(path).map(Self)
    }

    /// Writes one line; the time is added at its end.
    pub(crate) fn line(&self, what: fmt::Arguments<'_>) {
        let line = format!("{what} {}\n", now());
        (&self.0).write_all(line.as_bytes()).expect("the folder of the journals has room");
    }
}

/// A step of one send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Intent,
    Delivered,
    NotDelivered,
    Unknown,
}

/// A line of a publisher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendLine {
    pub(crate) publisher: u32,
    pub(crate) seq: u64,
    pub(crate) step: Step,
    pub(crate) at: i64,
}

/// A line of a listener.
#[derive(Clone, Debug)]
pub(crate) struct MemberLine {
    pub(crate) what: Event,
    pub(crate) at: i64,
}

/// What a listener's process saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Assigned {
        partition: i32,
        period: u32,
        start: i64,
    },
    Revoked {
        partition: i32,
    },
    Lost {
        partition: i32,
    },
    /// A revocation was answered.
    Released {
        partition: i32,
    },
    /// `position` is behind the last record that the client library had handed over.
    Commit {
        id: u64,
        partition: i32,
        offset: i64,
        position: i64,
        period: u32,
    },
    Committed {
        id: u64,
        partition: i32,
    },
    NotCommitted {
        id: u64,
        partition: i32,
    },
    /// What the group has committed, found to be this member's after a commit without an answer.
    Found {
        partition: i32,
        offset: i64,
    },
    Begun {
        partition: i32,
        offset: i64,
        period: u32,
    },
    Ended {
        partition: i32,
        offset: i64,
        period: u32,
    },
    /// A counter of the library at the orderly end.
    Stat {
        name: String,
        value: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assigned { partition, period, start } => {
                write!(f, "assigned {partition} {period} {start}")
            }
            Self::Revoked { partition } => write!(f, "revoked {partition}"),
            Self::Lost { partition } => write!(f, "lost {partition}"),
            Self::Released { partition } => write!(f, "released {partition}"),
            Self::Commit { id, partition, offset, position, period } => {
                write!(f, "commit {id} {partition} {offset} {position} {period}")
            }
            Self::Committed { id, partition } => write!(f, "committed {id} {partition}"),
            Self::NotCommitted { id, partition } => write!(f, "not-committed {id} {partition}"),
            Self::Found { partition, offset } => write!(f, "found {partition} {offset}"),
            Self::Begun { partition, offset, period } => {
                write!(f, "begun {partition} {offset} {period}")
            }
            Self::Ended { partition, offset, period } => {
                write!(f, "ended {partition} {offset} {period}")
            }
            Self::Stat { name, value } => write!(f, "stat {name} {value}"),
        }
    }
}

/// The lines of all publishers' files.
pub(crate) fn read_sends(paths: &[PathBuf]) -> Vec<SendLine> {
    paths.iter().flat_map(|path| parsed(path, send_line)).collect()
}

/// The lines of one listener's file.
pub(crate) fn read_member(path: &Path) -> Vec<MemberLine> {
    parsed(path, member_line)
}

fn parsed<T>(path: &Path, parse: fn(&str) -> Option<T>) -> Vec<T> {
    // A role that was killed before its first line has no file.
    let text = fs::read_to_string(path).unwrap_or_default();
    // What has no end was being written at a kill.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line| parse(line).unwrap_or_else(|| panic!("{}: {line}", path.display()));
    whole.lines().map(line).collect()
}

fn send_line(line: &str) -> Option<SendLine> {
    let mut words = line.split(' ');
    let step = match words.next()? {
        "intent" => Step::Intent,
        "delivered" => Step::Delivered,
        "not-delivered" => Step::NotDelivered,
        "unknown" => Step::Unknown,
        _ => return None,
    };
    let (publisher, seq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(SendLine { publisher, seq, step, at: words.next_back()?.parse().ok()? })
}

fn member_line(line: &str) -> Option<MemberLine> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    if kind == "stat" {
        let (name, value) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let at = words.next()?.parse().ok()?;
        return Some(MemberLine { what: Event::Stat { name, value }, at });
    }
    let mut numbers = [0_i64; 6];
    let mut count = 0;
    for word in words {
        *numbers.get_mut(count)? = word.parse().ok()?;
        count += 1;
    }
    let partition = |n: usize| i32::try_from(numbers[n]).ok();
    let period = |n: usize| u32::try_from(numbers[n]).ok();
    let id = || u64::try_from(numbers[0]).ok();
    let what = match (kind, count) {
        ("assigned", 4) => {
            Event::Assigned { partition: partition(0)?, period: period(1)?, start: numbers[2] }
        }
        ("revoked", 2) => Event::Revoked { partition: partition(0)? },
        ("lost", 2) => Event::Lost { partition: partition(0)? },
        ("released", 2) => Event::Released { partition: partition(0)? },
        ("commit", 6) => Event::Commit {
            id: id()?,
            partition: partition(1)?,
            offset: numbers[2],
            position: numbers[3],
            period: period(4)?,
        },
        ("committed", 3) => Event::Committed { id: id()?, partition: partition(1)? },
        ("not-committed", 3) => Event::NotCommitted { id: id()?, partition: partition(1)? },
        ("found", 3) => Event::Found { partition: partition(0)?, offset: numbers[1] },
        ("begun", 4) => {
            Event::Begun { partition: partition(0)?, offset: numbers[1], period: period(2)? }
        }
        ("ended", 4) => {
            Event::Ended { partition: partition(0)?, offset: numbers[1], period: period(2)? }
        }
        _ => return None,
    };
    Some(MemberLine { what, at: numbers[count - 1] })
}

/// Follows a file that a role is still writing.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    read: u64,
    rest: String,
}

impl Tail {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read: 0, rest: String::new() }
    }

    /// The lines that came since the last call.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let Ok(mut file) = File::open(&self.path) else { return Vec::new() };
        let mut text = std::mem::take(&mut self.rest);
        if file.seek(SeekFrom::Start(self.read)).is_ok() {
            self.read += file.read_to_string(&mut text).unwrap_or(0) as u64;
        }
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        self.rest = text.split_off(end);
        text.lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Step, member_line, send_line};

    #[test]
    fn what_a_listener_writes_is_read_again() {
        let events = [
            Event::Assigned { partition: 1, period: 2, start: -2 },
            Event::Revoked { partition: 1 },
            Event::Lost { partition: 1 },
            Event::Released { partition: 1 },
            Event::Commit { id: 7, partition: 1, offset: 5, position: 6, period: 2 },
            Event::Committed { id: 7, partition: 1 },
            Event::NotCommitted { id: 7, partition: 1 },
            Event::Found { partition: 1, offset: 12 },
            Event::Begun { partition: 1, offset: 4, period: 2 },
            Event::Ended { partition: 1, offset: 4, period: 2 },
            Event::Stat { name: "unknown_commit".to_owned(), value: 3 },
        ];
        for event in events {
            let read = member_line(&format!("{event} 99")).unwrap();
            assert_eq!((read.what, read.at), (event, 99));
        }
    }

    #[test]
    fn a_send_line_may_have_a_cause_before_its_time() {
        let read = send_line("not-delivered 3 17 no broker at all 42").unwrap();
        assert_eq!((read.publisher, read.seq, read.step, read.at), (3, 17, Step::NotDelivered, 42));
        assert!(send_line("handed-over 3 17 42").is_none());
    }
}
