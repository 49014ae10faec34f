//! Names of topics, and making those that are missing.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext,
    error::{KafkaResult, RDKafkaErrorCode},
};

use super::{config::KafkaOptions, context::AdminContext};
use crate::{Error, driver::Target, message::Priority};

const LONGEST_NAME: usize = 249;

/// `<topic>.<priority>[.<virtual host>]`, on the sending and on the listening side.
///
/// # Errors
///
/// [`Error::InvalidTopic`] when Kafka would refuse the name.
pub(super) fn name(
    target: &Target,
    priority: Priority,
    virtual_host: Option<&str>,
) -> Result<String, Error> {
    let mut topic = format!("{}.{}", target.topic(), priority.as_str());
    if let Some(host) = virtual_host {
        topic.push('.');
        topic.push_str(host);
    }
    let checked = match target.topic() {
        "" => Err("the topic is empty".to_owned()),
        _ => check(&topic),
    };
    match checked {
        Ok(()) => Ok(topic),
        Err(reason) => Err(Error::InvalidTopic { topic, reason }),
    }
}

/// The name, for a fuzz target.
///
/// # Errors
///
/// As [`name`].
#[cfg(feature = "fuzzing")]
pub fn fuzz_name(topic: &str, priority: Priority, host: Option<&str>) -> Result<String, Error> {
    name(&Target::new(topic), priority, host)
}

/// Why Kafka would refuse a topic's name.
pub(super) fn check(topic: &str) -> Result<(), String> {
    if let Some(bad) =
        topic.chars().find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-'))
    {
        return Err(format!("{bad:?} is not allowed; valid are a-z A-Z 0-9 . _ -"));
    }
    if topic.len() > LONGEST_NAME {
        return Err(format!("{} bytes; at most {LONGEST_NAME} are allowed", topic.len()));
    }
    Ok(())
}

/// Creates topics with the options' partitions and replication, and waits for the answer. A topic
/// that exists already is no error. Returns those that failed, each with its reason.
pub(super) fn create(
    options: &KafkaOptions,
    topics: &[&str],
    timeout: Duration,
) -> Vec<(String, String)> {
    match try_create(options, topics, timeout) {
        Ok(failed) => failed.into_iter().map(|(topic, code)| (topic, code.to_string())).collect(),
        Err(error) => {
            let all = topics.iter();
            all.map(|topic| ((*topic).to_owned(), error.to_string())).collect()
        }
    }
}

fn try_create(
    options: &KafkaOptions,
    topics: &[&str],
    timeout: Duration,
) -> KafkaResult<Vec<(String, RDKafkaErrorCode)>> {
    let timeout = timeout.min(Duration::from_secs(10));
    let admin = AdminClient::from_config_and_context(&options.admin(), AdminContext::default())?;
    #[cfg(feature = "oidc")]
    super::tokens::give(options.tokens.as_ref(), admin.inner());
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            let replication = TopicReplication::Fixed(options.topic_replication_factor);
            NewTopic::new(topic, options.topic_partitions, replication)
        })
        .collect();
    let limits =
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
    let begun = Instant::now();
    let results = block_on(admin.create_topics(&new, &limits))?;
    tracing::debug!(?topics, took = ?begun.elapsed(), "asked the brokers to create topics");
    let failed = results.into_iter().filter_map(Result::err);
    Ok(failed.filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists).collect())
}

#[cfg(test)]
mod tests {
    use super::name;
    use crate::{driver::Target, message::Priority};

    #[test]
    fn the_priority_and_the_virtual_host_are_part_of_the_name() {
        let target = Target::new("notifications").with_exchange("nova");
        assert_eq!(name(&target, Priority::Info, None).unwrap(), "notifications.info");
        assert_eq!(name(&target, Priority::Error, Some("v")).unwrap(), "notifications.error.v");
    }

    #[test]
    fn a_name_that_kafka_would_refuse_is_refused_with_the_reason() {
        let refused = |topic: &str, host| {
            name(&Target::new(topic), Priority::Info, host).unwrap_err().to_string()
        };
        assert_eq!(
            refused("a b", None),
            "topic \"a b.info\" is not valid: ' ' is not allowed; valid are a-z A-Z 0-9 . _ -"
        );
        assert!(refused("a", Some("x/y")).contains("'/' is not allowed"));
        assert!(refused("", None).contains("empty"));
        assert!(name(&Target::new("a".repeat(244)), Priority::Info, None).is_ok());
        assert!(refused(&"a".repeat(245), None).contains("250 bytes"));
    }
}
