//! Looks at a group: who reads which partitions, and what is committed. The group thread asks for
//! the first some time after each rebalance ([`coverage`](super::coverage) says what follows), and for
//! the second after a commit that was not answered.
//!
//! Asked on a thread and by a client of its own, with librdkafka's older calls, which block. Those
//! of its admin interface that go to a group's coordinator do not, but when that is away or its
//! connection breaks before the answer is there, an assertion of librdkafka 2.12 (`eonce->refcnt > 0`)
//! ends the process.

use std::{str, thread, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    admin::AdminClient,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    config::KafkaOptions,
    context::{AdminContext, GroupContext},
    native,
};

/// What came of a question.
#[derive(Debug)]
pub(super) enum Looked {
    Group(Result<GroupView, RDKafkaErrorCode>),
    /// Without the partitions that could not be looked at.
    Offsets(Vec<CommittedOffset>),
}

/// The group as its coordinator sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GroupView {
    /// It has members, and none is joining or leaving at this moment.
    pub(super) stable: bool,
    /// Nobody is joining or leaving, or there is nobody.
    pub(super) at_rest: bool,
    /// The partitions of all members.
    pub(super) assigned: Vec<(String, i32)>,
}

/// What a group has committed of one partition.
#[derive(Debug)]
pub(super) struct CommittedOffset {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Below zero where there is none.
    pub(super) offset: i64,
    pub(super) metadata: Vec<u8>,
}

/// Asks who reads what, and calls `answer` from another thread, within `timeout` or little more.
pub(super) fn group(
    options: &KafkaOptions,
    group: &str,
    timeout: Duration,
    answer: impl FnOnce(Looked) + Send + 'static,
) {
    let (config, group) = (options.admin(), group.to_owned());
    #[cfg(feature = "oidc")]
    let tokens = options.tokens.clone();
    ask(move || {
        let look = || -> Result<GroupView, KafkaError> {
            let context = AdminContext::default();
            let admin = AdminClient::from_config_and_context(&config, context)?;
            #[cfg(feature = "oidc")]
            super::tokens::give(tokens.as_ref(), admin.inner());
            let list = admin.inner().fetch_group_list(Some(&group), timeout)?;
            // A broker that has not heard of the group lists none.
            let Some(found) = list.groups().iter().find(|found| found.name() == group) else {
                return Ok(GroupView { stable: false, at_rest: true, assigned: Vec::new() });
            };
            let members = found.members().iter();
            let assigned = members.filter_map(|member| partitions(member.assignment()?)).flatten();
            let stable = found.state() == "Stable";
            let at_rest = stable || matches!(found.state(), "Empty" | "Dead");
            Ok(GroupView { stable, at_rest, assigned: assigned.collect() })
        };
        let code = |error: KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        answer(Looked::Group(look().map_err(code)));
    });
}

/// Asks what the group has committed of these partitions; as [`group`].
pub(super) fn offsets(
    options: &KafkaOptions,
    group: &str,
    partitions: TopicPartitionList,
    timeout: Duration,
    answer: impl FnOnce(Looked) + Send + 'static,
) {
    let mut config = options.consumer(group);
    // It does not join, and may not take a member's place.
    config.remove("group.instance.id");
    #[cfg(feature = "oidc")]
    let tokens = options.tokens.clone();
    ask(move || {
        let look = || -> Result<Vec<CommittedOffset>, KafkaError> {
            let consumer = BaseConsumer::from_config_and_context(&config, GroupContext::default())?;
            #[cfg(feature = "oidc")]
            super::tokens::give(tokens.as_ref(), consumer.client());
            let found = consumer.committed_offsets(partitions, timeout)?;
            let (entries, metadata) = (found.elements(), native::offset_metadata(&found));
            let known = entries.iter().zip(metadata).filter(|(entry, _)| entry.error().is_ok());
            let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { -1 };
            let read = |(entry, metadata): (
                &rdkafka::topic_partition_list::TopicPartitionListElem<'_>,
                _,
            )| CommittedOffset {
                topic: entry.topic().to_owned(),
                partition: entry.partition(),
                offset: offset(entry.offset()),
                metadata,
            };
            Ok(known.map(read).collect())
        };
        let found = look().unwrap_or_else(|error| {
            tracing::debug!("what is committed cannot be looked at: {error}");
            Vec::new()
        });
        answer(Looked::Offsets(found));
    });
}

fn ask(question: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name("group-view".to_owned()).spawn(question) {
        // The system has no thread left. A rebalance looks again; what is in doubt stays so.
        tracing::warn!("the group cannot be looked at: {error}");
    }
}

/// What a member was dealt out, in the format of Kafka's classic consumer groups: version, then for
/// each topic its name and its partitions. `None` where it is cut short.
fn partitions(mut bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    // A member that was dealt out nothing may have nothing at all.
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let _version = take::<2>(&mut bytes)?;
    let topics = i32::from_be_bytes(take(&mut bytes)?);
    let mut found = Vec::new();
    for _ in 0..topics {
        let length = usize::try_from(i16::from_be_bytes(take(&mut bytes)?)).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let name = str::from_utf8(name).ok()?;
        for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
            found.push((name.to_owned(), i32::from_be_bytes(take(&mut bytes)?)));
        }
    }
    Some(found)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::partitions;

    #[test]
    fn an_assignment_is_read_and_one_that_is_cut_short_is_none() {
        let bytes =
            b"\0\x01\0\0\0\x02\0\x03a.b\0\0\0\x02\0\0\0\0\0\0\0\x07\0\x01c\0\0\0\0\xff\xff\xff\xff";
        let expected = vec![("a.b".to_owned(), 0), ("a.b".to_owned(), 7)];
        assert_eq!(partitions(bytes), Some(expected));
        assert_eq!(partitions(b""), Some(Vec::new()));
        // The user data at the end are nobody's concern.
        for length in 1..bytes.len() - 4 {
            assert_eq!(partitions(&bytes[..length]), None, "{length} bytes");
        }
        assert_eq!(partitions(b"\0\x01\0\0\0\x01\xff\xff"), None);
    }
}
