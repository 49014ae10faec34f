//! What a cluster and a topic are, and what a user may do with them. Both questions go to any
//! broker; those of librdkafka's admin interface that go to a coordinator are not safe (see
//! [`group_view`](super::super::group_view)).

use std::{
    ffi::{CStr, CString, c_char},
    ptr, slice,
    time::Duration,
};

use rdkafka::{
    bindings::{self, rd_kafka_AclOperation_t as NativeOperation},
    client::{Client, ClientContext},
    error::RDKafkaErrorCode,
};

use super::is_error;
use crate::drivers::kafka::probe::TopicView;

/// An operation of ACLs, of those that a service needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Operation {
    Read,
    Write,
    Create,
    IdempotentWrite,
}

/// The brokers' addresses, and what the user may do with the cluster, where the broker tells.
pub(in super::super) fn describe_cluster<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Result<(Vec<String>, Option<Vec<Operation>>), RDKafkaErrorCode> {
    let kind = bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
    // SAFETY: client, options and queue are alive while they are used; the event owns what is read
    // of it until it is destroyed; arrays have the lengths that librdkafka says, strings end in 0.
    ask(
        client,
        kind,
        timeout,
        |options, queue| unsafe {
            bindings::rd_kafka_DescribeCluster(client.native_ptr(), options, queue);
        },
        |event| unsafe {
            let result = bindings::rd_kafka_event_DescribeCluster_result(event);
            let mut count = 0;
            let nodes = bindings::rd_kafka_DescribeCluster_result_nodes(result, &mut count);
            let address = |index| {
                let node = *nodes.add(index);
                let host = text(bindings::rd_kafka_Node_host(node));
                format!("{host}:{}", bindings::rd_kafka_Node_port(node))
            };
            let brokers = (0..count).map(address).collect();
            let mut count = 0;
            let allowed =
                bindings::rd_kafka_DescribeCluster_result_authorized_operations(result, &mut count);
            Ok((brokers, operations(allowed, count)))
        },
    )
}

/// What a topic is, without its settings.
pub(in super::super) fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<TopicView, RDKafkaErrorCode> {
    let kind = bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: as above; librdkafka copies the name, and the collection is destroyed once.
    ask(
        client,
        kind,
        timeout,
        |options, queue| unsafe {
            let mut names = [name.as_ptr()];
            let topics =
                bindings::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            bindings::rd_kafka_DescribeTopics(client.native_ptr(), topics, options, queue);
            bindings::rd_kafka_TopicCollection_destroy(topics);
        },
        |event| unsafe {
            let result = bindings::rd_kafka_event_DescribeTopics_result(event);
            let mut count = 0;
            let topics = bindings::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            if count == 0 {
                return Ok(TopicView::default());
            }
            topic_view(*topics)
        },
    )
}

/// # Safety
///
/// `topic` must be alive.
unsafe fn topic_view(
    topic: *const bindings::rd_kafka_TopicDescription_t,
) -> Result<TopicView, RDKafkaErrorCode> {
    // SAFETY: what is read here is the topic's; arrays have the lengths that librdkafka says.
    unsafe {
        let error = bindings::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let code = bindings::rd_kafka_error_code(error);
            return match RDKafkaErrorCode::from(code) {
                RDKafkaErrorCode::NoError => Ok(TopicView::default()),
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                    Ok(TopicView::default())
                }
                RDKafkaErrorCode::TopicAuthorizationFailed => {
                    Ok(TopicView { refused: true, ..TopicView::default() })
                }
                code => Err(code),
            };
        }
        let mut view = TopicView { exists: true, ..TopicView::default() };
        let partitions =
            bindings::rd_kafka_TopicDescription_partitions(topic, &mut view.partitions);
        for index in 0..view.partitions {
            let partition = *partitions.add(index);
            if bindings::rd_kafka_TopicPartitionInfo_leader(partition).is_null() {
                view.without_leader += 1;
            }
            if index == 0 {
                bindings::rd_kafka_TopicPartitionInfo_replicas(partition, &mut view.replicas);
            }
        }
        let mut count = 0;
        let allowed = bindings::rd_kafka_TopicDescription_authorized_operations(topic, &mut count);
        let allowed = operations(allowed, count);
        let may = |operation| allowed.as_ref().map(|allowed| allowed.contains(&operation));
        view.may_read = may(Operation::Read);
        view.may_write = may(Operation::Write);
        Ok(view)
    }
}

/// Asks one question and waits for its answer.
fn ask<C: ClientContext, T>(
    client: &Client<C>,
    kind: bindings::rd_kafka_admin_op_t,
    timeout: Duration,
    question: impl FnOnce(*const bindings::rd_kafka_AdminOptions_t, *mut bindings::rd_kafka_queue_t),
    read: impl FnOnce(*mut bindings::rd_kafka_event_t) -> Result<T, RDKafkaErrorCode>,
) -> Result<T, RDKafkaErrorCode> {
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive; queue, options, errors and the event are destroyed once, after
    // their last use; librdkafka answers within the timeout or a little later, and after that the
    // queue, which it holds a reference to, takes the answer with it.
    unsafe {
        let queue = bindings::rd_kafka_queue_new(client.native_ptr());
        let options = bindings::rd_kafka_AdminOptions_new(client.native_ptr(), kind);
        let (words, room) = (ptr::null_mut(), 0);
        bindings::rd_kafka_AdminOptions_set_request_timeout(options, millis, words, room);
        let error = bindings::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !error.is_null() {
            bindings::rd_kafka_error_destroy(error);
        }
        question(options, queue);
        bindings::rd_kafka_AdminOptions_destroy(options);
        let event = bindings::rd_kafka_queue_poll(queue, millis.saturating_add(1_000));
        let answer = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let code = bindings::rd_kafka_event_error(event);
            let answer = if is_error(code) { Err(code.into()) } else { read(event) };
            bindings::rd_kafka_event_destroy(event);
            answer
        };
        bindings::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
///
/// `allowed` must have `count` elements, or be null.
unsafe fn operations(allowed: *const NativeOperation, count: usize) -> Option<Vec<Operation>> {
    if allowed.is_null() {
        return None;
    }
    // SAFETY: the caller's.
    let allowed = unsafe { slice::from_raw_parts(allowed, count) };
    let known = |operation: &NativeOperation| match operation {
        NativeOperation::RD_KAFKA_ACL_OPERATION_READ => Some(Operation::Read),
        NativeOperation::RD_KAFKA_ACL_OPERATION_WRITE => Some(Operation::Write),
        NativeOperation::RD_KAFKA_ACL_OPERATION_CREATE => Some(Operation::Create),
        NativeOperation::RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE => {
            Some(Operation::IdempotentWrite)
        }
        _ => None,
    };
    Some(allowed.iter().filter_map(known).collect())
}

/// # Safety
///
/// `text` must end in 0, or be null.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
