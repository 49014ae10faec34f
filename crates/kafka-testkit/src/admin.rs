//! What an operator does to a secure Kafka while it runs, in Kafka's own requests: its tools would need a second and a
//! Java for each, and the tests change rights and passwords often.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use openssl::{hash::MessageDigest, pkcs5::pbkdf2_hmac, rand::rand_bytes};

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The topic of this name.
    Topic(&'a str),
    /// All topics whose names begin so.
    Topics(&'a str),
    /// The group of this name.
    Group(&'a str),
    /// All groups whose names begin so.
    Groups(&'a str),
    /// The whole cluster.
    Cluster,
}

/// What a right allows, by Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are Kafka's")]
pub enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Create = 5,
    Describe = 8,
}

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);
const ITERATIONS: usize = 4096;
const SALT_BYTES: usize = 16;
const SUCCESS: i16 = 0;
const TOPIC_EXISTS: i16 = 36;

/// A request as it grows. Strings of this class have their length in front.
struct Request(Vec<u8>);

impl Request {
    fn new(api: i16, version: i16, flexible: bool) -> Self {
        let mut request = Self(Vec::new());
        request.i16(api).i16(version).i32(0).text("oslomsg-kit");
        if flexible { request.tags() } else { request }
    }

    fn i8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.i16(i16::try_from(text.len()).expect("a short text"));
        self.0.extend(text.bytes());
        self
    }

    /// As newer requests have it: a length of one byte, plus one.
    fn compact(&mut self, bytes: &[u8]) -> &mut Self {
        self.i8(u8::try_from(bytes.len() + 1).ok().filter(|n| *n < 128).expect("a short text"));
        self.0.extend(bytes);
        self
    }

    fn tags(mut self) -> Self {
        self.i8(0);
        self
    }

    /// Sends it; what the answer has after its first `head` bytes.
    fn ask(&self, address: &str, head: usize) -> io::Result<Vec<u8>> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(ANSWER))?;
        let size = i32::try_from(self.0.len()).expect("a short request");
        connection.write_all(&[&size.to_be_bytes(), &self.0[..]].concat())?;
        let mut size = [0; 4];
        connection.read_exact(&mut size)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap_or(0)];
        connection.read_exact(&mut answer)?;
        Ok(answer.split_off(head.min(answer.len())))
    }
}

/// The connection's number, and the time for which a client is to wait.
const HEAD: usize = 8;

fn error_code(answer: &[u8], at: usize) -> i16 {
    let bytes = answer.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    i16::from_be_bytes(bytes.unwrap_or_else(|| panic!("Kafka answers {answer:?}")))
}

fn done(what: &str, answer: io::Result<Vec<u8>>, error_at: usize) {
    let answer = answer.unwrap_or_else(|error| panic!("Kafka: {what}: {error}"));
    let code = error_code(&answer, error_at);
    let words = String::from_utf8_lossy(&answer);
    assert!(code == SUCCESS || code == TOPIC_EXISTS, "Kafka: {what}: error {code}: {words}");
}

impl Resource<'_> {
    /// Kafka's numbers for the kind and for the pattern, and the name.
    fn parts(&self) -> (u8, u8, &str) {
        const LITERAL: u8 = 3;
        const PREFIX: u8 = 4;
        match *self {
            Self::Topic(name) => (2, LITERAL, name),
            Self::Topics(prefix) => (2, PREFIX, prefix),
            Self::Group(name) => (3, LITERAL, name),
            Self::Groups(prefix) => (3, PREFIX, prefix),
            Self::Cluster => (4, LITERAL, "kafka-cluster"),
        }
    }
}

/// Adds or removes "`user` may `operation` on `resource`"; returns when the authorizer knows it.
pub(crate) fn right(
    address: &str,
    add: bool,
    user: &str,
    resource: Resource<'_>,
    operation: Operation,
) {
    const DESCRIBE_ACLS: i16 = 29;
    const CREATE_ACLS: i16 = 30;
    const DELETE_ACLS: i16 = 31;
    const ALLOW: u8 = 3;
    let (kind, pattern, name) = resource.parts();
    // The three requests end in the same: one right, or what fits just this one.
    let one = |request: &mut Request| {
        request.i8(kind).text(name).i8(pattern).text(&format!("User:{user}")).text("*");
        request.i8(operation as u8).i8(ALLOW);
    };
    let what = format!("{user} on {resource:?}");
    let mut change = Request::new(if add { CREATE_ACLS } else { DELETE_ACLS }, 1, false);
    change.i32(1);
    one(&mut change);
    done(&what, change.ask(address, HEAD), 4);
    let mut look = Request::new(DESCRIBE_ACLS, 1, false);
    one(&mut look);
    let deadline = Instant::now() + ANSWER;
    loop {
        let answer =
            look.ask(address, HEAD).unwrap_or_else(|error| panic!("Kafka: {what}: {error}"));
        // An error's code, no words, and the number of resources.
        let found = answer.get(4..8).is_some_and(|count| count != [0; 4]);
        if error_code(&answer, 0) == SUCCESS && found == add {
            return;
        }
        assert!(Instant::now() < deadline, "Kafka: {what}: the authorizer does not know it");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Gives a user of SCRAM a password, new or other.
pub(crate) fn password(address: &str, user: &str, password: &str) {
    const ALTER_USER_SCRAM_CREDENTIALS: i16 = 51;
    for (mechanism, digest) in [(1, MessageDigest::sha256()), (2, MessageDigest::sha512())] {
        let mut salt = [0; SALT_BYTES];
        rand_bytes(&mut salt).expect("random bytes");
        let mut salted = vec![0; digest.size()];
        pbkdf2_hmac(password.as_bytes(), &salt, ITERATIONS, digest, &mut salted).expect("PBKDF2");
        let mut request = Request::new(ALTER_USER_SCRAM_CREDENTIALS, 0, true);
        let iterations = i32::try_from(ITERATIONS).expect("a small number");
        // Nothing to delete, one to set.
        request.i8(1).i8(2).compact(user.as_bytes()).i8(mechanism).i32(iterations);
        request.compact(&salt).compact(&salted).i8(0).i8(0);
        // Before the error stand the tags of the head, the number of results and the user's name.
        let error_at = 1 + 1 + user.len() + 1;
        done(&format!("a password for {user}"), request.ask(address, HEAD), error_at);
    }
}

/// Makes a topic, unless it is there.
pub(crate) fn topic(address: &str, name: &str, partitions: i32) {
    const CREATE_TOPICS: i16 = 19;
    let mut request = Request::new(CREATE_TOPICS, 2, false);
    request.i32(1).text(name).i32(partitions).i16(1).i32(0).i32(0);
    request.i32(20_000).i8(0);
    done(&format!("topic {name}"), request.ask(address, HEAD), 4 + 2 + name.len());
}

/// Sets a property of the broker that can change while it runs.
pub(crate) fn property(address: &str, name: &str, value: &str) {
    const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
    const BROKER: u8 = 4;
    const SET: u8 = 0;
    let mut request = Request::new(INCREMENTAL_ALTER_CONFIGS, 0, false);
    request.i32(1).i8(BROKER).text("1").i32(1).text(name).i8(SET).text(value).i8(0);
    done(name, request.ask(address, HEAD), 4);
}
