//! The soak itself: broker, roles, restarts, the lines that are printed, and the verdict.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kafka_testkit::{Kafka, unique};

use crate::{
    fault::Fault,
    judge,
    process::{Process, Told},
    samples::{after_warm_up, slopes},
    tally::{Answer, Counts, Tally},
};

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const PRINT_EVERY: Duration = Duration::from_secs(60);
/// The broker restarts as often, or once in the middle of a shorter soak.
/// By default; another number of seconds by `SOAK_RESTART`, to tell what a restart costs from what time
/// does.
const RESTART_EVERY: Duration = Duration::from_secs(600);
/// Longest wait for the roles to be ready, and for the last notifications.
const LIMIT: Duration = Duration::from_secs(120);
const NOTIFIER: usize = 0;
/// By index of the process, less one: the tally's listeners.
pub(crate) const LISTENERS: [&str; 2] = ["before", "after"];

/// Runs for `time` and says what was wrong.
pub(crate) fn soak(time: Duration, fault: Option<Fault>) -> Result<(), String> {
    let mut soak = Soak::start(fault)?;
    soak.run(time)?;
    soak.end()?;
    soak.verdict(time)
}

struct Soak {
    kafka: Arc<Kafka>,
    /// The notifier and the listeners.
    processes: Vec<Process>,
    events: Receiver<(usize, Told)>,
    /// Kept, so that the end of all roles is told by them, not by the channel.
    _sender: Sender<(usize, Told)>,
    tally: Tally,
    /// By process, whether it said so.
    ready: [bool; 3],
    /// By process, what it said at its end.
    last_words: [String; 3],
    restarts: usize,
    begun: Instant,
}

impl Soak {
    /// Returns when the listeners are ready and the notifier sends.
    fn start(fault: Option<Fault>) -> Result<Self, String> {
        let kafka = Arc::new(Kafka::single());
        let (url, topic) = (kafka.transport_url(), unique("soak"));
        let (sender, events) = mpsc::channel();
        let fault = fault.map_or("none", Fault::name);
        let listener = |index: usize| {
            let name = LISTENERS[index - 1];
            let url = format!("{url}?topic_partitions=4&commit={name}_dispatch");
            let words = ["listener", &url, &topic, &unique("soak"), fault];
            Process::start(name, &words, index, sender.clone())
        };
        let mut soak = Self {
            processes: vec![listener(1)?, listener(2)?],
            kafka,
            events,
            _sender: sender.clone(),
            tally: Tally::default(),
            ready: [false; 3],
            last_words: [const { String::new() }; 3],
            restarts: 0,
            begun: Instant::now(),
        };
        soak.listen_until("the listeners are ready", |soak| soak.ready[1] && soak.ready[2])?;
        let notifier = Process::start("notifier", &["notifier", &url, &topic], NOTIFIER, sender)?;
        soak.processes.insert(NOTIFIER, notifier);
        soak.listen_until("the notifier is ready", |soak| soak.ready[NOTIFIER])?;
        soak.begun = Instant::now();
        Ok(soak)
    }

    fn run(&mut self, time: Duration) -> Result<(), String> {
        let given = std::env::var("SOAK_RESTART").ok().and_then(|given| given.parse().ok());
        let restart_every = given.map_or(RESTART_EVERY, Duration::from_secs).min(time / 2);
        let mut restart: Option<JoinHandle<()>> = None;
        let (mut sample, mut print, mut next_restart) =
            (Duration::ZERO, PRINT_EVERY, restart_every);
        while self.begun.elapsed() < time {
            self.listen(Duration::from_millis(100))?;
            let now = self.begun.elapsed();
            if now >= sample {
                for process in &mut self.processes {
                    process.sample(now.as_secs_f64())?;
                }
                sample += SAMPLE_EVERY;
            }
            if now >= print {
                self.print();
                print += PRINT_EVERY;
            }
            // The last restart leaves time to see what it did.
            if now >= next_restart && now + restart_every / 2 < time {
                finish(restart.take())?;
                let kafka = Arc::clone(&self.kafka);
                // Beside the samples: it takes some seconds.
                restart = Some(thread::spawn(move || {
                    kafka.stop(1);
                    kafka.start(1);
                }));
                self.restarts += 1;
                next_restart += restart_every;
            }
        }
        finish(restart)
    }

    /// Ends the notifier, then the listeners, which first dispatch what is still on its way.
    fn end(&mut self) -> Result<(), String> {
        self.processes[NOTIFIER].close();
        self.listen_until("the notifier has its answers", |soak| {
            !soak.last_words[NOTIFIER].is_empty()
        })?;
        // What is lost never comes, and the verdict will say so.
        let _ = self.listen_until("all is dispatched", |soak| {
            soak.tally.counts().listeners.iter().all(|seen| seen.missing == 0)
        });
        // A second one may be on its way.
        self.listen(Duration::from_secs(1))?;
        for process in &mut self.processes {
            process.close();
        }
        self.listen_until("the listeners have ended", |soak| {
            soak.last_words.iter().all(|words| !words.is_empty())
        })?;
        self.processes.iter_mut().try_for_each(Process::wait)
    }

    /// Takes what comes within `time`, or the first of it.
    fn listen(&mut self, time: Duration) -> Result<(), String> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok((index, told)) => self.take(index, &told)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err("all roles are gone".into()),
            }
        }
    }

    fn listen_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + LIMIT;
        while !done(self) {
            if Instant::now() > deadline {
                return Err(format!("not within {LIMIT:?}: {what}"));
            }
            self.listen(Duration::from_millis(200))?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize, told: &Told) -> Result<(), String> {
        let name = if index == NOTIFIER { "notifier" } else { LISTENERS[index - 1] };
        let line = match told {
            Told::Line(line) => line,
            Told::End if self.last_words[index].is_empty() => {
                return Err(format!("the {name} ended too soon"));
            }
            Told::End => return Ok(()),
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest.parse()) {
            ("ready", _) => self.ready[index] = true,
            ("end", _) => self.last_words[index] = rest.to_owned(),
            ("heap", Ok(kib)) => {
                // Not before all of them are known.
                if let Some(process) = self.processes.get_mut(index) {
                    process.heap_kib = kib as f64;
                }
            }
            ("sent", Ok(seq)) => self.tally.sent(seq),
            ("delivered", Ok(seq)) => self.tally.answer(seq, Answer::Delivered),
            ("refused", Ok(seq)) => self.tally.answer(seq, Answer::Refused),
            ("unknown", Ok(seq)) => self.tally.answer(seq, Answer::Unknown),
            ("dispatched", Ok(seq)) => self.tally.dispatched(index - 1, seq),
            _ => return Err(format!("the {name} says `{line}`")),
        }
        Ok(())
    }

    fn print(&self) {
        let Counts { sent, delivered, refused, unknown, listeners, .. } = self.tally.counts();
        let minutes = self.begun.elapsed().as_secs_f64() / 60.0;
        print!(
            "{minutes:5.1} min  sent {sent} delivered {delivered} refused {refused} unknown \
             {unknown}  restarts {}",
            self.restarts
        );
        for (name, seen) in LISTENERS.iter().zip(listeners) {
            print!(
                "  {name}: dispatched {} missing {} twice {}",
                seen.dispatched, seen.missing, seen.twice
            );
        }
        println!();
        for process in &self.processes {
            let Some(last) = process.samples.last() else { continue };
            let slopes = slopes(after_warm_up(&process.samples));
            println!(
                "           {:8}  {:6.1} MiB {:+7.2} MB/h  heap {:5.1} MiB {:+6.2} MB/h  {:3} \
                 descriptors {:+6.2}/h  {:3} \
                 threads {:+6.2}/h",
                process.name,
                last.resident_kib / 1024.0,
                slopes.resident,
                last.heap_kib / 1024.0,
                slopes.heap,
                last.descriptors,
                slopes.descriptors,
                last.threads,
                slopes.threads
            );
        }
    }

    fn verdict(&self, time: Duration) -> Result<(), String> {
        self.print();
        for (process, words) in self.processes.iter().zip(&self.last_words) {
            println!("           {:8}  {words}", process.name);
        }
        let mut wrong = judge::notifications(&self.tally.counts(), &self.last_words[1..]);
        for process in &self.processes {
            wrong.extend(judge::process(process.name, &process.samples, time));
        }
        if wrong.is_empty() {
            println!("ok");
            return Ok(());
        }
        Err(wrong.join("; "))
    }
}

fn finish(restart: Option<JoinHandle<()>>) -> Result<(), String> {
    let ended = restart.map_or(Ok(()), JoinHandle::join);
    ended.map_err(|_| "the broker did not restart; its reason is above".into())
}
