//! What a listener gets.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kafka_testkit::Proxy;
use oslo_messaging::{
    BatchEndpoint, Context, EndpointError, Error, Listener, Notification, NotificationFilter,
    Payload, Priority, Target, Transport, endpoint_fn,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::{Counter, LIMIT, Seen, corpus, listen, notifier, topic, transport, url};

#[test]
fn each_pool_gets_everything_and_its_members_share() {
    let topic = topic();
    let transports: Vec<Transport> = (0..4).map(|_| transport("")).collect();
    let pools = [Seen::new(), Seen::new()];
    let shares: Vec<Arc<Seen>> = (0..4).map(|_| Seen::new()).collect();
    let listeners: Vec<Listener> = (0..4)
        .map(|n| {
            let listener = Listener::builder(&transports[n])
                .target(Target::new(&topic))
                .pool(format!("{topic}-{}", n / 2))
                .endpoint(Counter(Arc::clone(&pools[n / 2])))
                .endpoint(Counter(Arc::clone(&shares[n])))
                .start()
                .unwrap();
            listener.ready(LIMIT).unwrap();
            listener
        })
        .collect();
    let sender = notifier(&transport(""), &topic);
    let sent = corpus();
    for _ in 0..3 {
        let receipts: Vec<_> = sent
            .iter()
            .map(|n| sender.notify(n.priority, &n.context, &n.event_type, n.payload.clone()))
            .collect();
        receipts.into_iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
    }
    for pool in &pools {
        assert_eq!(pool.wait_for(sent.len() * 3, LIMIT), sent.len() * 3);
    }
    for listener in listeners {
        listener.close(LIMIT).unwrap();
    }
    for (n, share) in shares.iter().enumerate() {
        assert!(share.count() > 0, "member {n} got nothing");
        assert_eq!(share.twice(), 0);
    }
    assert!(pools.iter().all(|pool| pool.twice() == 0));
}

#[test]
fn nothing_that_is_sent_after_start_is_lost_to_the_join() {
    for _ in 0..3 {
        let (transport, topic, seen) = (transport(""), topic(), Seen::new());
        let sender = notifier(&transport, &topic);
        // The topic exists and has records that a new group must not get.
        for _ in 0..20 {
            sender.info(&Context::empty(), "before", Payload::null()).wait(LIMIT).unwrap();
        }
        let listener = Listener::builder(&transport)
            .target(Target::new(&topic))
            .pool(&topic)
            .endpoint(Counter(Arc::clone(&seen)))
            .start()
            .unwrap();
        let sent: Vec<String> = (0..200)
            .map(|_| {
                let receipt = sender.info(&Context::empty(), "after", Payload::null());
                receipt.wait(LIMIT).unwrap();
                receipt.message_id().to_owned()
            })
            .collect();
        seen.wait_for(sent.len(), LIMIT);
        listener.close(LIMIT).unwrap();
        assert_eq!((seen.lost(&sent), seen.count()), (0, sent.len()));
    }
}

/// The start returns before a broker was reached.
#[test]
fn nothing_that_is_sent_after_a_start_without_a_broker_is_lost() {
    let (topic, seen, direct) = (topic(), Seen::new(), transport(""));
    let sender = notifier(&direct, &topic);
    let send = |count: usize| {
        let receipts: Vec<_> =
            (0..count).map(|_| sender.info(&Context::empty(), "e", Payload::null())).collect();
        receipts.iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
    };
    send(20);
    let broker = kafka_testkit::shared().bootstrap().rsplit(':').next().unwrap().parse().unwrap();
    let way = Proxy::between(0, broker);
    way.refuse(true);
    let behind = Transport::for_notifications(&format!("kafka://127.0.0.1:{}/", way.port()));
    let listener = Listener::builder(&behind.unwrap())
        .target(Target::new(&topic))
        .pool(&topic)
        .endpoint(Counter(Arc::clone(&seen)))
        .start()
        .unwrap();
    send(30);
    assert_eq!(way.accepted(), 0);
    way.refuse(false);
    listener.ready(LIMIT).unwrap();
    send(10);
    assert_eq!(seen.wait_for(40, LIMIT), 40);
    listener.close(LIMIT).unwrap();
    assert_eq!((seen.count(), seen.twice()), (40, 0), "and nothing of what was there before");
}

#[test]
fn a_group_that_never_got_anything_keeps_its_place_over_a_restart() {
    let (transport, topic, seen) = (transport(""), topic(), Seen::new());
    let sender = notifier(&transport, &topic);
    sender.info(&Context::empty(), "before", Payload::null()).wait(LIMIT).unwrap();
    listen(&transport, &topic, &topic, &seen).close(LIMIT).unwrap();
    let receipt = sender.info(&Context::empty(), "while.away", Payload::null());
    receipt.wait(LIMIT).unwrap();
    let listener = listen(&transport, &topic, &topic, &seen);
    assert_eq!(seen.wait_for(1, LIMIT), 1);
    listener.close(LIMIT).unwrap();
    assert_eq!(seen.lost(&[receipt.message_id().to_owned()]), 0);
}

#[test]
fn earliest_reads_what_was_there_before_the_group() {
    let (transport, topic, seen) = (transport("?auto_offset_reset=earliest"), topic(), Seen::new());
    let sender = notifier(&transport, &topic);
    for _ in 0..20 {
        sender.warn(&Context::empty(), "before", Payload::null()).wait(LIMIT).unwrap();
    }
    let listener = listen(&transport, &topic, &topic, &seen);
    assert_eq!(seen.wait_for(20, LIMIT), 20);
    listener.close(LIMIT).unwrap();
}

#[test]
fn the_virtual_host_is_part_of_the_topic_on_both_sides() {
    let (topic, seen, other) = (topic(), Seen::new(), Seen::new());
    let inside = Transport::for_notifications(&format!("{}cell1", url())).unwrap();
    let outside = transport("");
    let listeners =
        [listen(&inside, &topic, &topic, &seen), listen(&outside, &topic, &topic, &other)];
    for _ in 0..5 {
        notifier(&inside, &topic)
            .info(&Context::empty(), "a.b", Payload::null())
            .wait(LIMIT)
            .unwrap();
    }
    assert_eq!(seen.wait_for(5, LIMIT), 5);
    for listener in listeners {
        listener.close(LIMIT).unwrap();
    }
    assert_eq!(other.count(), 0);
}

#[test]
fn targets_that_differ_only_in_their_exchange_are_subscribed_once() {
    let (transport, topic, seen) = (transport(""), topic(), Seen::new());
    let listener = Listener::builder(&transport)
        .target(Target::new(&topic).with_exchange("nova"))
        .target(Target::new(&topic).with_exchange("cinder"))
        .pool(&topic)
        .endpoint(Counter(Arc::clone(&seen)))
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    notifier(&transport, &topic)
        .audit(&Context::empty(), "a.b", Payload::null())
        .wait(LIMIT)
        .unwrap();
    assert_eq!(seen.wait_for(1, LIMIT), 1);
    listener.close(LIMIT).unwrap();
    assert_eq!(seen.twice(), 0);
}

#[test]
fn records_of_one_partition_are_handled_in_order() {
    let (transport, topic) = (transport("?topic_partitions=1&topic_replication_factor=1"), topic());
    let seqs = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seqs);
    let listener = Listener::builder(&transport)
        .target(Target::new(&topic))
        .pool(&topic)
        .endpoint(endpoint_fn([Priority::Info], move |n: &Notification| {
            into.lock().unwrap().push(n.payload.value()?.as_u64().unwrap());
            Ok(())
        }))
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    let sender = notifier(&transport, &topic);
    let receipts: Vec<_> = (0..2_000_u64)
        .map(|seq| sender.info(&Context::empty(), "seq", Payload::from(serde_json::json!(seq))))
        .collect();
    receipts.into_iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
    let begun = Instant::now();
    while seqs.lock().unwrap().len() < 2_000 && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(5));
    }
    listener.close(LIMIT).unwrap();
    assert_eq!(*seqs.lock().unwrap(), (0..2_000).collect::<Vec<_>>());
}

struct Batches(Arc<Mutex<Vec<usize>>>, Arc<Seen>, NotificationFilter);

impl BatchEndpoint for Batches {
    fn priorities(&self) -> &[Priority] {
        &[Priority::Info, Priority::Sample]
    }

    fn filter(&self) -> Option<&NotificationFilter> {
        Some(&self.2)
    }

    fn handle(&self, batch: &[Notification]) -> Result<(), EndpointError> {
        self.0.lock().unwrap().push(batch.len());
        batch.iter().for_each(|notification| self.1.add(notification));
        Ok(())
    }
}

#[test]
fn batches_are_full_under_load_and_wait_no_longer_than_their_timeout() {
    let (transport, topic, seen) = (transport(""), topic(), Seen::new());
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let filter = NotificationFilter::builder().event_type("^wanted").build().unwrap();
    let listener = Listener::builder(&transport)
        .target(Target::new(&topic))
        .pool(&topic)
        .batch_endpoint(Batches(Arc::clone(&sizes), Arc::clone(&seen), filter))
        .batch_size(50)
        .batch_timeout(Duration::from_millis(300))
        .max_workers(1)
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    let sender = notifier(&transport, &topic);
    let receipts: Vec<_> = (0..500)
        .flat_map(|_| {
            [
                sender.info(&Context::empty(), "wanted.info", Payload::null()),
                sender.sample(&Context::empty(), "unwanted", Payload::null()),
            ]
        })
        .collect();
    receipts.into_iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
    assert_eq!(seen.wait_for(500, LIMIT), 500);
    listener.close(LIMIT).unwrap();
    assert_eq!(seen.twice(), 0);
    assert!(sizes.lock().unwrap().iter().all(|size| *size <= 50));
    assert!(sizes.lock().unwrap().iter().any(|size| *size >= 10), "{sizes:?}");
}

/// What others may write to a topic of notifications.
fn poison() -> Vec<Option<Vec<u8>>> {
    let good = r#"{\"message_id\": \"m\", \"publisher_id\": \"p\", \"event_type\": \"e\", \"priority\": \"INFO\", \"payload\": 1, \"timestamp\": \"t\", \"_context\": {}}"#;
    let inner = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        format!(r#"{{"oslo.version": "2.0", "oslo.message": "{}"}}"#, good.replace(from, to))
    };
    let texts = [
        String::new(),
        " ".into(),
        "not json".into(),
        "null".into(),
        "[1, 2]".into(),
        "\"text\"".into(),
        "{}".into(),
        "{\"a\": 1".into(),
        "{} {}".into(),
        "\u{feff}{}".into(),
        r#"{"oslo.version": "3.0", "oslo.message": "{}"}"#.into(),
        r#"{"oslo.version": 2.0, "oslo.message": "{}"}"#.into(),
        r#"{"oslo.version": "2.0", "oslo.message": 5}"#.into(),
        r#"{"oslo.version": "2.0", "oslo.message": {}}"#.into(),
        r#"{"oslo.version": "2.0", "oslo.message": ""}"#.into(),
        r#"{"oslo.version": "2.0", "oslo.message": "{\\"a\\""}"#.replace("\\\\", "\\"),
        inner(r#", \"_context\": {}"#, ""),
        inner(r#"\"_context\": {}"#, r#"\"_context\": null"#),
        inner("INFO", "NOISE"),
        inner(r#"\"INFO\""#, "null"),
        inner(r#"\"event_type\": \"e\""#, r#"\"event_type\": 7"#),
        inner(": 1,", &format!(": {}{},", "[".repeat(10_001), "]".repeat(10_001))),
    ];
    let bytes = [&b"\xff\xfe\x00"[..], b"{\"a\": \"\xc3\"}", b"\0"];
    let texts = texts.into_iter().map(String::into_bytes);
    let all = texts.chain(bytes.map(<[u8]>::to_vec)).map(Some);
    all.chain([None]).collect()
}

#[test]
fn records_that_are_no_notifications_are_skipped_and_their_neighbours_arrive() {
    for mode in ["before_dispatch", "after_dispatch"] {
        let (topic, seen, dead) = (topic(), Seen::new(), kafka_testkit::unique("dead"));
        let settings = format!(
            "?topic_partitions=1&topic_replication_factor=1&commit={mode}&dead_letter_topic={dead}&\
             dead_letter_max_ratio=0"
        );
        let listening = transport(&settings);
        let listener = listen(&listening, &topic, &topic, &seen);
        let sending = transport("");
        let sender = notifier(&sending, &topic);
        let good = || sender.info(&Context::empty(), "good", Payload::null()).wait(LIMIT).unwrap();
        let raw: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", kafka_testkit::shared().bootstrap())
            .create()
            .unwrap();
        let (name, bad) = (format!("{topic}.info"), poison());
        assert!(bad.len() >= 20);
        for body in &bad {
            good();
            let mut record = BaseRecord::<[u8], [u8]>::to(&name).key(b"k\xff");
            record.payload = body.as_deref();
            raw.send(record).map_err(|(error, _)| error).unwrap();
            raw.flush(LIMIT).unwrap();
        }
        good();
        assert_eq!(seen.wait_for(bad.len() + 1, LIMIT), bad.len() + 1, "{mode}");
        listener.close(LIMIT).unwrap();
        assert_eq!(listening.stats().undecodable.get(), bad.len() as u64, "{mode}");
        assert_eq!(listening.stats().dead_letters.get(), bad.len() as u64, "{mode}");
        // Nothing of it comes again, and what follows does.
        let listening = transport(&settings);
        let listener = listen(&listening, &topic, &topic, &seen);
        good();
        assert_eq!(seen.wait_for(bad.len() + 2, LIMIT), bad.len() + 2, "{mode}");
        listener.close(LIMIT).unwrap();
        assert_eq!((listening.stats().undecodable.get(), seen.twice()), (0, 0), "{mode}");
    }
}

#[test]
fn an_endpoint_that_fails_or_panics_does_not_stop_the_listener() {
    let (transport, topic, seen) = (transport(""), topic(), Seen::new());
    let listener = Listener::builder(&transport)
        .target(Target::new(&topic))
        .pool(&topic)
        .endpoint(endpoint_fn(Priority::ALL, |n: &Notification| match n.event_type.as_str() {
            "fails" => Err("no".into()),
            "panics" => panic!("oh"),
            _ => Ok(()),
        }))
        .endpoint(Counter(Arc::clone(&seen)))
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    let sender = notifier(&transport, &topic);
    for event in ["fails", "panics", "works"] {
        sender.info(&Context::empty(), event, Payload::null()).wait(LIMIT).unwrap();
    }
    assert_eq!(seen.wait_for(3, LIMIT), 3, "the next endpoint gets each of them");
    listener.close(LIMIT).unwrap();
    assert_eq!(transport.stats().endpoint_failures.get(), 2);
}

#[test]
fn a_slow_endpoint_commits_a_few_records_ahead_and_no_more() {
    let (transport, topic) = (transport("?topic_partitions=1&topic_replication_factor=1"), topic());
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let listener = Listener::builder(&transport)
        .target(Target::new(&topic))
        .pool(&topic)
        .endpoint(endpoint_fn([Priority::Info], move |_| {
            std::thread::sleep(Duration::from_millis(50));
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }))
        .start()
        .unwrap();
    listener.ready(LIMIT).unwrap();
    let sender = notifier(&transport, &topic);
    let receipts: Vec<_> =
        (0..300).map(|_| sender.info(&Context::empty(), "slow", Payload::null())).collect();
    receipts.into_iter().for_each(|receipt| receipt.wait(LIMIT).unwrap());
    let begun = Instant::now();
    while handled.load(Ordering::SeqCst) < 20 && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(10));
    }
    let before = handled.load(Ordering::SeqCst);
    listener.close(LIMIT).unwrap();
    // The orderly stop has handled what was committed: 100 ms of work at 50 ms each, and what ran.
    let ahead = handled.load(Ordering::SeqCst) - before;
    assert!(ahead <= 6, "{ahead} were committed ahead");
    assert_eq!(transport.stats().dispatched.get() as usize, handled.load(Ordering::SeqCst));
}

#[test]
fn a_listener_without_a_broker_starts_at_once_and_says_what_is_wrong() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let transport = Transport::for_notifications(&format!("kafka://{free}/")).unwrap();
    let begun = Instant::now();
    let listener = Listener::builder(&transport)
        .target(Target::new("notifications"))
        .endpoint(Counter(Seen::new()))
        .start()
        .unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    let Err(Error::NotReady { cause }) = listener.ready(Duration::from_secs(5)) else { panic!() };
    assert!(cause.contains("127.0.0.1"), "{cause}");
    let begun = Instant::now();
    listener.close(LIMIT).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let transport = transport("");
    let refused = |builder: oslo_messaging::ListenerBuilder| builder.start().unwrap_err();
    let base = || Listener::builder(&transport).endpoint(Counter(Seen::new()));
    assert!(matches!(refused(base()), Error::InvalidSetting { name: "target", .. }));
    let error = refused(base().target(Target::new("no blanks")));
    assert!(matches!(error, Error::InvalidTopic { .. }), "{error}");
    let filter = NotificationFilter::builder().build().unwrap();
    let batch = Batches(Arc::default(), Seen::new(), filter);
    let error = refused(
        Listener::builder(&transport)
            .target(Target::new("t"))
            .batch_endpoint(batch)
            .batch_size(501),
    );
    assert!(error.to_string().contains("max_poll_records"), "{error}");
}

#[test]
fn what_the_broker_deleted_before_it_was_read_is_said_and_counted() {
    let (topic, seen) = (topic(), Seen::new());
    let one = "?topic_partitions=1&topic_replication_factor=1";
    listen(&transport(one), &topic, &topic, &seen).close(LIMIT).unwrap();
    let sending = transport(one);
    let notifier = notifier(&sending, &topic);
    for n in 0..10 {
        let payload = Payload::from(serde_json::json!({ "n": n }));
        notifier.info(&Context::empty(), "test.deleted", payload).wait(LIMIT).unwrap();
    }
    let config = [("bootstrap.servers", kafka_testkit::shared().bootstrap())];
    let config: rdkafka::ClientConfig =
        config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let admin: rdkafka::admin::AdminClient<_> = config.create().unwrap();
    let mut upto = rdkafka::TopicPartitionList::new();
    let name = format!("{topic}.info");
    upto.add_partition_offset(&name, 0, rdkafka::Offset::Offset(7)).unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    let deleted = futures_executor::block_on(admin.delete_records(&upto, &options)).unwrap();
    deleted.elements().iter().for_each(|partition| partition.error().unwrap());
    let listening = transport(one);
    let listener = listen(&listening, &topic, &topic, &seen);
    assert_eq!(seen.wait_for(3, LIMIT), 3, "the rest comes");
    assert_eq!(listening.stats().deleted_unread.get(), 7);
    listener.close(LIMIT).unwrap();
}
