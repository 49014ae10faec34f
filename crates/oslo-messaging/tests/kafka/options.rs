//! Options of a listener that change what is handled when: their effect on a real broker.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use oslo_messaging::{
    Context, Endpoint, EndpointError, Error, Listener, Notification, Payload, Priority, Target,
    Transport,
};

use crate::support::{LIMIT, Seen, listen, notifier, topic, transport};

/// One partition, so that only the option decides what is handled beside what.
const ONE: &str = "topic_partitions=1&topic_replication_factor=1&auto_offset_reset=earliest";

/// What endpoints have begun and ended, as text, and a place to wait for it.
#[derive(Default)]
struct Diary {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Diary {
    fn add(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.changed.notify_all();
    }

    /// Waits until so many lines begin with `start`; whether they came.
    fn wait_for(&self, start: &str, count: usize) -> bool {
        let few = |lines: &mut Vec<String>| {
            lines.iter().filter(|line| line.starts_with(start)).count() < count
        };
        let waited = self.changed.wait_timeout_while(self.lines.lock().unwrap(), LIMIT, few);
        !waited.unwrap().1.timed_out()
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

type Between = dyn Fn(&Diary, &str) + Send + Sync;

/// Writes "begin KEY SEQ" and "end KEY SEQ", and between them waits for what the test says.
struct Writer {
    diary: Arc<Diary>,
    between: Box<Between>,
}

impl Endpoint for Writer {
    fn priorities(&self) -> &[Priority] {
        &[Priority::Info]
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        let key = notification.payload.string_at("key").unwrap_or_default();
        let what = format!("{key} {}", notification.event_type);
        self.diary.add(format!("begin {what}"));
        (self.between)(&self.diary, &key);
        self.diary.add(format!("end {what}"));
        Ok(())
    }
}

/// Sends a record for each key, numbered by its event type, to a topic of one partition.
fn send(topic: &str, keys: &[&str]) {
    let transport = transport(&format!("?{ONE}&message_key=payload:key"));
    let notifier = notifier(&transport, topic);
    for (number, key) in keys.iter().enumerate() {
        let payload = Payload::from(serde_json::json!({"key": key}));
        notifier.info(&Context::empty(), &number.to_string(), payload).wait(LIMIT).unwrap();
    }
}

fn write(
    query: &str,
    topic: &str,
    between: impl Fn(&Diary, &str) + Send + Sync + 'static,
) -> (Transport, Listener, Arc<Diary>) {
    let (transport, diary) = (transport(&format!("?{ONE}&{query}")), Arc::<Diary>::default());
    let listener = Listener::builder(&transport)
        .target(Target::new(topic))
        .pool(topic)
        .endpoint(Writer { diary: Arc::clone(&diary), between: Box::new(between) })
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    (transport, listener, diary)
}

#[test]
fn with_dispatch_order_key_other_keys_go_past_one_that_is_slow() {
    for mode in ["", "&commit=after_dispatch"] {
        let topic = topic();
        send(&topic, &["slow", "fast", "fast", "fast", "slow"]);
        let query = format!("dispatch_order=key{mode}");
        let (_transport, listener, diary) = write(&query, &topic, |diary, key| {
            assert!(key == "fast" || diary.wait_for("end fast", 3), "{:?}", diary.lines());
        });
        assert!(diary.wait_for("end ", 5), "{:?}", diary.lines());
        let lines = diary.lines();
        let of = |key: &str| -> Vec<&String> {
            lines.iter().filter(|line| line.contains(key)).collect()
        };
        let slow = ["begin slow 0", "end slow 0", "begin slow 4", "end slow 4"];
        assert_eq!(of("slow"), slow, "{mode}");
        let fast = [1, 2, 3].map(|n| [format!("begin fast {n}"), format!("end fast {n}")]).concat();
        assert_eq!(of("fast"), fast.iter().collect::<Vec<_>>(), "{mode}");
        listener.close(LIMIT).unwrap();
    }
}

#[test]
fn with_dispatch_order_none_records_of_one_partition_run_beside_each_other() {
    let topic = topic();
    send(&topic, &["a", "a", "a"]);
    let (_transport, listener, diary) = write("dispatch_order=none", &topic, |diary, _| {
        assert!(diary.wait_for("begin", 3), "{:?}", diary.lines());
    });
    assert!(diary.wait_for("end", 3), "{:?}", diary.lines());
    listener.close(LIMIT).unwrap();
}

#[test]
fn a_member_with_another_strategy_than_its_group_is_told_what_to_set() {
    let (topic, seen) = (topic(), Seen::new());
    let range = transport("?partition_assignment_strategy=range");
    let first = listen(&range, &topic, &topic, &seen);
    let other = transport("?partition_assignment_strategy=cooperative-sticky");
    let second = Listener::builder(&other)
        .target(Target::new(&topic))
        .pool(&topic)
        .endpoint(crate::support::Counter(Arc::clone(&seen)))
        .start()
        .unwrap();
    let refused = second.ready(Duration::from_secs(5)).unwrap_err();
    assert!(matches!(refused, Error::NotReady { .. }), "{refused}");
    let words = refused.to_string();
    assert!(words.contains("partition_assignment_strategy"), "{words}");
    assert!(words.contains("range,roundrobin"), "{words}");
    second.close(LIMIT).unwrap();
    first.close(LIMIT).unwrap();
}

#[test]
fn enable_auto_commit_commits_what_was_handled_and_loses_and_repeats_nothing_in_order() {
    let (topic, handled) = (topic(), ["a"; 20]);
    send(&topic, &handled);
    let (_transport, listener, diary) = write("enable_auto_commit=true", &topic, |_, _| {});
    assert!(diary.wait_for("end", handled.len()), "{:?}", diary.lines());
    listener.close(LIMIT).unwrap();
    assert_eq!(diary.lines().len(), 2 * handled.len());
    // The next one begins behind them.
    send(&topic, &["b"]);
    let (_transport, listener, diary) = write("enable_auto_commit=true", &topic, |_, _| {});
    assert!(diary.wait_for("end b", 1), "{:?}", diary.lines());
    assert_eq!(diary.lines(), ["begin b 0", "end b 0"]);
    listener.close(LIMIT).unwrap();
}
