//! What the processes of a soak do. Each tells its parent what happens in lines on standard output,
//! and ends in order when its standard input does, which it also does when the parent dies.
//!
//! | line | says |
//! |---|---|
//! | `ready` | the parent may go on |
//! | `sent SEQ`, `delivered SEQ`, `refused SEQ`, `unknown SEQ` | the notifier's |
//! | `dispatched SEQ` | a listener's endpoint has the notification |
//! | `heap KIB` | once a second, what it holds of its allocator |
//! | `end NAME=VALUE...` | counters of the library, at the end |

use std::{
    fmt::Display,
    io::{Read, Write, stdin, stdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::{
    Context, Error, Listener, Notifier, Outcome, Payload, Priority, Receipt, Target, Transport,
    endpoint_fn,
};
use serde_json::{Value, json};

use crate::{fault::Fault, samples::heap_kib};

/// Notifications a second.
const RATE: u32 = 200;
/// Longest wait for what should come at once; a broker may be restarting meanwhile.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends at a steady rate until the parent closes this process's input.
pub(crate) fn notifier(url: &str, topic: &str) -> Result<(), String> {
    let transport = Transport::for_notifications(url).map_err(text)?;
    let notifier = Notifier::builder(&transport)
        .publisher_id("compute.soak")
        .driver("messagingv2")
        .topic(topic)
        .build()
        .map_err(text)?;
    let ended = input_ended();
    let (sender, receipts) = mpsc::channel::<(u64, Receipt)>();
    let answers = thread::spawn(move || {
        for (seq, receipt) in receipts {
            tell(format_args!("{} {seq}", outcome(&receipt)));
        }
    });
    tell("ready");
    let begun = Instant::now();
    for seq in 0.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let due = begun + Duration::from_secs(seq) / RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        tell(format_args!("sent {seq}"));
        let receipt = notifier.info(&Context::empty(), "soak.tick", payload(seq));
        if sender.send((seq, receipt)).is_err() {
            break;
        }
    }
    drop(sender);
    answers.join().map_err(|_| "the thread of the receipts panicked")?;
    transport.close(LIMIT).map_err(text)?;
    let stats = transport.stats();
    tell(format_args!(
        "end breaker_opened={:?} producer_rebuilt={:?}",
        stats.breaker_opened, stats.producer_rebuilt
    ));
    Ok(())
}

fn outcome(receipt: &Receipt) -> &'static str {
    match receipt.wait(Duration::MAX) {
        Ok(()) => "delivered",
        Err(Error::Undelivered(failures))
            if failures.iter().all(|failure| failure.outcome == Outcome::NotDelivered) =>
        {
            "refused"
        }
        Err(_) => "unknown",
    }
}

/// From some bytes to some kilobytes, as notifications are.
fn payload(seq: u64) -> Payload {
    let size = [20, 300, 1_500, 2_000, 8_000][usize::try_from(seq % 5).unwrap_or(0)];
    Payload::from(json!({"seq": seq, "text": "x".repeat(size)}))
}

/// Listens, with an endpoint of mixed speed, until the parent closes this process's input.
pub(crate) fn listener(
    url: &str,
    topic: &str,
    group: &str,
    fault: Option<Fault>,
) -> Result<(), String> {
    let transport = Transport::for_notifications(url).map_err(text)?;
    let ended = input_ended();
    let endpoint = endpoint_fn([Priority::Info], move |notification| {
        let payload: Value = serde_json::from_str(notification.payload.as_json())?;
        let seq = payload["seq"].as_u64().ok_or("a payload without its number")?;
        for _ in 0..Fault::told(fault, seq) {
            tell(format_args!("dispatched {seq}"));
        }
        if let Some(fault) = fault {
            fault.leak(seq);
        }
        thread::sleep(pace(seq));
        Ok(())
    });
    let listener = Listener::builder(&transport)
        .target(Target::new(topic))
        .pool(group)
        .endpoint(endpoint)
        .start()
        .map_err(text)?;
    listener.ready(LIMIT).map_err(text)?;
    tell("ready");
    while !ended.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
    listener.close(LIMIT).map_err(text)?;
    let stats = transport.stats();
    tell(format_args!(
        "end rebalances={:?} unknown_commit={:?} returned={:?} commits={:?} commit_failures={:?} \
         endpoint_failures={:?}",
        stats.rebalances,
        stats.unknown_commit,
        stats.returned,
        stats.commits,
        stats.commit_failures,
        stats.endpoint_failures
    ));
    Ok(())
}

/// Mostly fast, sometimes slow, now and then very slow; 2 ms on average.
fn pace(seq: u64) -> Duration {
    Duration::from_millis(match seq {
        _ if seq % 1_000 == 999 => 300,
        _ if seq % 50 == 49 => 20,
        _ => seq % 4,
    })
}

/// Becomes true when standard input has ended. Tells the heap until then.
fn input_ended() -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    thread::spawn(move || {
        // An error is an end, too.
        let _ = stdin().read(&mut [0]);
        flag.store(true, Ordering::Relaxed);
    });
    let flag = Arc::clone(&ended);
    thread::spawn(move || {
        while !flag.load(Ordering::Relaxed) {
            tell(format_args!("heap {:.0}", heap_kib()));
            thread::sleep(Duration::from_secs(1));
        }
    });
    ended
}

fn tell(line: impl Display) {
    // A parent that is gone has closed our input as well.
    let _ = writeln!(stdout(), "{line}");
}

fn text(error: impl Display) -> String {
    error.to_string()
}
