//! Processes that spool and are killed: what they had accepted arrives all the same.
#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::HashMap,
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{Broker, Folder, oslomsg, run};

/// Nobody listens there.
const NOWHERE: &str = "kafka://127.0.0.1:1/";
const LIMIT: Duration = Duration::from_secs(60);

fn spooled(url: &str, folder: &Folder) -> String {
    format!("{url}?delivery=spooled&spool_dir={}", folder.path().display())
}

/// A process that spools what it is fed.
struct Spooler {
    child: Child,
    input: Option<ChildStdin>,
}

impl Spooler {
    fn start(url: &str) -> Self {
        let mut command =
            oslomsg(&["send", "--transport-url", url, "--topic", "t", "--input", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        Self { input: child.stdin.take(), child }
    }

    /// Feeds notifications with the ids `NAME-0`, `NAME-1` and so on, on a thread of its own, since
    /// the process may be killed meanwhile.
    fn feed(&mut self, name: &str, count: usize, gap: Duration) -> thread::JoinHandle<ChildStdin> {
        let mut input = self.input.take().unwrap();
        let name = name.to_owned();
        thread::spawn(move || {
            for n in 0..count {
                let line = format!("{{\"message_id\": \"{name}-{n}\", \"payload\": {n}}}\n");
                if input.write_all(line.as_bytes()).is_err() {
                    break;
                }
                thread::sleep(gap);
            }
            input
        })
    }

    /// SIGKILL, and the end.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The end of its input, and a success.
    fn finish(mut self) {
        drop(self.input.take());
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < LIMIT, "no end");
            thread::sleep(Duration::from_millis(20));
        }
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Spooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of all segments.
fn segments(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(found) = std::fs::read_dir(dir) else { return bytes };
    for path in found.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            bytes.extend(segments(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}

/// The largest number of an id `NAME-n` in the spool.
fn last_spooled(dir: &Path, name: &str) -> Option<usize> {
    let bytes = segments(dir);
    let text = String::from_utf8_lossy(&bytes);
    let number = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    text.split(&format!("{name}-")).skip(1).filter_map(number).max()
}

fn wait_until_spooled(dir: &Path, name: &str, number: usize) {
    let begun = Instant::now();
    while last_spooled(dir, name).is_none_or(|last| last < number) {
        assert!(begun.elapsed() < LIMIT, "{name}-{number} is not in the spool");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How often each message id is in the topic.
fn arrived(broker: &Broker) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    for line in broker.run(&["tail", "-e", "t", "--output", "jsonl"]).with(0).json() {
        *found.entry(line["message_id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    found
}

fn wait_until_arrived(broker: &Broker, name: &str, count: usize) -> HashMap<String, usize> {
    let begun = Instant::now();
    loop {
        let found = arrived(broker);
        if (0..count).all(|n| found.contains_key(&format!("{name}-{n}"))) {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "not all of {name} arrived: {}", found.len());
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn what_processes_spooled_until_they_were_killed_without_a_broker_arrives_once() {
    let folder = Folder::new("killed");
    let nowhere = spooled(NOWHERE, &folder);
    let mut accepted = Vec::new();
    for round in 0..5 {
        let name = format!("r{round}");
        let mut spooler = Spooler::start(&nowhere);
        let feeder = spooler.feed(&name, 100_000, Duration::ZERO);
        wait_until_spooled(folder.path(), &name, 50 + 400 * round);
        spooler.kill();
        drop(feeder.join().unwrap());
        // The last record may be torn: it was not accepted then.
        let last = last_spooled(folder.path(), &name).unwrap();
        accepted.push((name, last));
    }
    let broker = Broker::start();
    let sent =
        run(&["send", "--transport-url", &spooled(&broker.url, &folder), "--topic", "t", "1"]);
    assert!(sent.with(0).err.contains("sent 1, confirmed 1"));
    let found = arrived(&broker);
    for (name, last) in &accepted {
        for n in 0..*last {
            assert_eq!(found.get(&format!("{name}-{n}")), Some(&1), "{name}-{n} of {last}");
        }
    }
    println!("5 processes killed with {accepted:?} spooled: {} records arrived", found.len());
    assert!(found.values().all(|times| *times == 1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the spool is empty");
}

#[test]
fn a_process_that_is_killed_while_it_sends_loses_nothing_and_repeats_only_by_message_id() {
    let folder = Folder::new("sending");
    let broker = Broker::start();
    let url = spooled(&broker.url, &folder);
    let mut sent_before = 0;
    for round in 0..3 {
        let name = format!("r{round}");
        let mut spooler = Spooler::start(&url);
        let feeder = spooler.feed(&name, 100_000, Duration::from_micros(200));
        // After a second or so the broker has some of them, and the spool still grows.
        wait_until_spooled(folder.path(), &name, 5_000 + 501 * round);
        spooler.kill();
        drop(feeder.join().unwrap());
        let last = last_spooled(folder.path(), &name).unwrap();
        let before = arrived(&broker).keys().filter(|id| id.starts_with(&name)).count();
        run(&["send", "--transport-url", &url, "--topic", "t", "1"]).with(0);
        let found = arrived(&broker);
        let of_round: Vec<_> = found.iter().filter(|(id, _)| id.starts_with(&name)).collect();
        let missing: Vec<_> =
            (0..last).filter(|n| !found.contains_key(&format!("{name}-{n}"))).collect();
        assert!(missing.is_empty(), "{missing:?} of {last}");
        let repeated = of_round.iter().filter(|(_, times)| **times > 1).count();
        println!(
            "killed with {last} spooled: {before} arrived before that, {} in all, {repeated} twice",
            of_round.len()
        );
        assert!(of_round.iter().all(|(_, times)| **times <= 2), "one end, one repetition");
        // What is done is written down twenty times a second.
        assert!(repeated < before / 2, "{repeated} of {before} came twice");
        sent_before += before;
    }
    assert!(sent_before > 0, "no process was killed while it sent");
}

#[test]
fn two_processes_share_a_spool_and_the_living_one_takes_over_from_the_dead() {
    let folder = Folder::new("shared");
    let broker = Broker::start();
    let mut dying = Spooler::start(&spooled(NOWHERE, &folder));
    let _dying_input = dying.feed("dying", 300, Duration::ZERO).join().unwrap();
    wait_until_spooled(folder.path(), "dying", 299);
    let mut living = Spooler::start(&spooled(&broker.url, &folder));
    let input = living.feed("living", 200, Duration::ZERO).join().unwrap();
    living.input = Some(input);
    let found = wait_until_arrived(&broker, "living", 200);
    assert!(!found.keys().any(|id| id.starts_with("dying")), "its owner lives");
    dying.kill();
    // Looked for every 30 s.
    let found = wait_until_arrived(&broker, "dying", 300);
    assert!(found.values().all(|times| *times == 1), "some came twice");
    assert_eq!(found.len(), 500);
    living.finish();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the spool is empty");
}
