//! The role `naive`: what a service does that uses librdkafka as it comes, as a control beside this
//! library: `latest` without a pinned start, and offsets that are committed every five seconds.

use std::{process::ExitCode, thread, time::Duration};

use rdkafka::{
    Message,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};

use crate::{
    job::{Listening, Told},
    journal::{Event, Journal},
};

pub(crate) fn run(job: &Listening, told: &Told) -> ExitCode {
    let journal = Journal::create(&job.journal).expect("the folder is there");
    let hosts = job.url.trim_start_matches("kafka://");
    let hosts = hosts.split('/').next().unwrap_or(hosts);
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", hosts)
        .set("group.id", &job.group)
        .set("auto.offset.reset", "latest")
        .set("session.timeout.ms", "6000")
        .set("max.poll.interval.ms", if job.work_micros > 0 { "10000" } else { "300000" })
        .set("topic.metadata.refresh.interval.ms", "30000")
        .create()
        .expect("the properties are right");
    consumer.subscribe(&[&format!("{}.info", job.topic)]).expect("the name is right");
    let mut ready = false;
    while !told.to_stop() {
        let message = consumer.poll(Duration::from_millis(100));
        let assigned = consumer.assignment().map_or(0, |list| list.count());
        if !ready && assigned > 0 {
            ready = true;
            let event = Event::Assigned { partition: 0, period: 1, start: -1 };
            journal.line(format_args!("{event}"));
        }
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PollExceeded) {
                    journal.line(format_args!("{}", Event::Lost { partition: 0 }));
                }
                continue;
            }
            None => continue,
        };
        let (partition, offset, period) = (message.partition(), message.offset(), 1);
        journal.line(format_args!("{}", Event::Begun { partition, offset, period }));
        thread::sleep(Duration::from_micros(job.work_micros));
        journal.line(format_args!("{}", Event::Ended { partition, offset, period }));
    }
    ExitCode::SUCCESS
}
