//! `make bench`: raw librdkafka, this library, and the Python library with its own driver and with
//! this project's, side by side on one real broker.
//!
//! | file | has |
//! |---|---|
//! | `main` | starts the broker, runs the rounds in turn, prints the table |
//! | `measure` | what one program measured, and what is made of several |
//! | `goals` | which ratio is compared with which goal |
//! | `work` | what every Rust program does: the corpus, its clock, its memory |
//! | `raw` | a program on librdkafka alone, with ready-made bytes |
//! | `ours` | the same on this library |
//! | `calls` | remote calls on RabbitMQ, on lapin alone and on this library |
//! | `python.py` | the same on Python's oslo.messaging, with either driver |
//! | `count` | what is done to each notification without a broker |
//! | `counts` | `make counts`: its instructions, by callgrind, beside those that are kept |
//!
//! Each measurement is a process of its own, so that CPU and memory are its own. The programs
//! take turns within a round: what the machine does meanwhile hits all of them.

mod calls;
mod count;
mod counts;
mod goals;
mod measure;
mod ours;
mod raw;
mod work;

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Instant,
};

use kafka_testkit::{Kafka, Layout, unique};
use rabbitmq_testkit::Rabbit;
use rustix::process::{Pid, Signal, kill_process};

use goals::GOALS;
use measure::{DRIVER, Measured, OURS, PROGRAMS, RAW, RAW_DECODING, REFERENCE, Rounds, STUB};
use work::{Job, LIMIT, What};

/// How much is done.
struct Size {
    rounds: usize,
    pipelined: usize,
    one_by_one: usize,
    threads: usize,
    listened: usize,
    slow_ticks: usize,
    fast_ticks: usize,
    calls: usize,
}

const FULL: Size = Size {
    rounds: 5,
    pipelined: 40_000,
    one_by_one: 2_000,
    threads: 40_000,
    listened: 100_000,
    slow_ticks: 100,
    fast_ticks: 4_000,
    calls: 8_000,
};

const SHORT: Size = Size {
    rounds: 3,
    pipelined: 10_000,
    one_by_one: 300,
    threads: 6_000,
    listened: 12_000,
    slow_ticks: 0,
    fast_ticks: 600,
    calls: 1_600,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["job", program, json] => {
            let job: Job = serde_json::from_str(json).expect("the bench writes its own jobs");
            let measured = match program {
                RAW => raw::run(&job),
                RAW_DECODING => raw::run_decoding(&job),
                _ => ours::run(&job),
            };
            println!("{}", serde_json::to_string(&measured).expect("numbers have a JSON form"));
            ExitCode::SUCCESS
        }
        ["serve", program, json] => {
            let job: Job = serde_json::from_str(json).expect("the bench writes its own jobs");
            calls::serve(program, &job);
            ExitCode::SUCCESS
        }
        ["count", kind, passes] => {
            let passes = passes.parse().expect("the number of passes is a number");
            ExitCode::from(u8::from(!count::run(kind, passes)))
        }
        ["counts", file] => counts::run(Path::new(file), false),
        ["counts", file, "renew"] => counts::run(Path::new(file), true),
        ["full", ref only @ ..] => bench(&FULL, 1.0, only),
        // A short run is noisy: it only catches what went badly wrong.
        ["short", ref only @ ..] => bench(&SHORT, 2.0, only),
        _ => {
            eprintln!(
                "usage: bench full|short [pipelined|one-by-one|threads|listen|end-to-end|calls]...\n       \
                 bench counts FILE [renew]"
            );
            ExitCode::from(2)
        }
    }
}

/// Runs all measurements, or only those that are named.
fn bench(size: &Size, tolerance: f64, only: &[&str]) -> ExitCode {
    let begun = Instant::now();
    let kafka = Kafka::with(Layout::Single, &[]);
    // Both drivers of Python's library are in one environment: what is compared is the driver.
    let python =
        env::var("BENCH_PYTHON").expect("tools/bench.sh names the Python with both drivers");
    let rabbit = Rabbit::start();
    let run = |program: &str, what: What, count: usize, topic: &str| -> Measured {
        let (url, bootstrap) = match what {
            What::Calls { .. } => (rabbit.url("/"), rabbit.address()),
            _ => (kafka.transport_url(), kafka.bootstrap()),
        };
        let job = Job {
            url,
            bootstrap: bootstrap.to_owned(),
            what,
            count,
            topic: topic.to_owned(),
            group: unique("bench"),
        };
        job_process(&python, program, &job)
    };
    let mut rounds = Rounds::default();
    for round in 0..=size.rounds {
        eprintln!("round {round} of {} ({:.0} s)", size.rounds, begun.elapsed().as_secs_f64());
        let backlog = unique("backlog");
        if only.is_empty() || only.contains(&"listen") {
            run(RAW, What::Pipelined, size.listened, &backlog);
        }
        let steps = [
            (What::Pipelined, size.pipelined, &[RAW, OURS, REFERENCE, DRIVER][..]),
            (What::OneByOne, size.one_by_one, &[RAW, OURS]),
            (What::Threads { number: 16 }, size.threads, &[RAW, DRIVER]),
            (What::Threads { number: 64 }, size.threads, &[DRIVER]),
            (What::Listen, size.listened, &PROGRAMS),
            (What::EndToEnd { per_second: 20 }, size.slow_ticks, &[RAW, OURS, DRIVER]),
            (
                What::EndToEnd { per_second: 1_000 },
                size.fast_ticks,
                &[RAW, OURS, REFERENCE, DRIVER],
            ),
            (What::Calls { callers: 8 }, size.calls, &[RAW, OURS, REFERENCE]),
            (What::Calls { callers: 1 }, size.calls / 4, &[RAW, OURS, REFERENCE]),
        ];
        for (what, count, programs) in steps {
            if count == 0 || !(only.is_empty() || only.contains(&what.name())) {
                continue;
            }
            for &program in programs {
                // They take seconds to start, and the first round is only for the broker.
                if [REFERENCE, DRIVER, STUB].contains(&program) && round == 0 {
                    continue;
                }
                // The long form has it, and a short one has little time.
                let is_end_to_end = matches!(what, What::EndToEnd { .. });
                if program == DRIVER && is_end_to_end && size.slow_ticks == 0 {
                    continue;
                }
                let own = unique("bench");
                let topic = if what == What::Listen { &backlog } else { &own };
                let measured = run(program, what, count, topic);
                // The first round warms up the broker.
                if round > 0 {
                    rounds.add(what, program, measured);
                }
            }
        }
    }
    let table = rounds.table(GOALS, tolerance);
    println!("{}", table.text);
    println!("{} rounds, {:.0} s", size.rounds, begun.elapsed().as_secs_f64());
    if let Some(path) = env::var_os("BENCH_JSON") {
        fs::write(&path, &table.json).expect("BENCH_JSON names a file that can be written");
        println!("figures: {}", Path::new(&path).display());
    }
    if table.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one program on one job; what it measured is its last line.
fn job_process(python: &str, program: &str, job: &Job) -> Measured {
    let json = serde_json::to_string(job).expect("a job has a JSON form");
    let mut command = if [REFERENCE, DRIVER, STUB].contains(&program) {
        let mut command = Command::new(python);
        command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/src/python.py"), program]);
        command
    } else {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.args(["job", program]);
        command
    };
    let child = command.arg(&json).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child.expect("a program of the bench starts");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (ended, end) = mpsc::channel::<()>();
    let guard = thread::spawn(move || {
        if end.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            // It has ended meanwhile, or it never will.
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
    });
    let output = child.wait_with_output().expect("a program of the bench ends");
    drop(ended);
    guard.join().expect("the guard does not panic");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    match serde_json::from_str(last) {
        Ok(measured) if output.status.success() => measured,
        _ => panic!("{program} {json}: {}: {text}", output.status),
    }
}
