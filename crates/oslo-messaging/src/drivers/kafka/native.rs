//! What librdkafka can do and its Rust wrapper does not offer: the only unsafe code of the crate.
//!
//! - commits whose results come per partition, and a look at topics, both
//!   without blocking ([`ReplyQueue`]);
//! - what a cluster and a topic are and what a user may do with them ([`describe_cluster`],
//!   [`describe_topic`]);
//! - whether a consumer is a member of its group ([`is_member`]);
//! - whether an unconfirmed record may be on the broker ([`may_be_persisted`]);
//! - the metadata of committed offsets, which the wrapper reads only when it is UTF-8
//!   ([`offset_metadata`]);
//! - headers whose names are not UTF-8, on which the wrapper panics ([`headers`]);
//! - a token for a client that nobody polls ([`set_token`]), and another user and password for one that
//!   runs ([`set_credentials`]);
//! - the mock cluster's first rebalance delay ([`no_rebalance_delay`]).
#![allow(
    unsafe_code,
    reason = "the wrapper leaves no other way; each block states why it is sound"
)]

mod describe;

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_void},
    ptr, slice,
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    TopicPartitionList,
    bindings::{self, rd_kafka_resp_err_t as NativeError},
    client::{Client, ClientContext},
    error::RDKafkaErrorCode,
    message::BorrowedMessage,
};

pub(super) use self::describe::{Operation, describe_cluster, describe_topic};
use super::login::Credentials;

/// Lets a client log in with a token at once, without its callbacks.
#[cfg(feature = "oidc")]
pub(super) fn set_token<C: ClientContext>(
    client: &Client<C>,
    token: &rdkafka::client::OAuthToken,
) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let (value, principal) = (text(&token.token)?, text(&token.principal_name)?);
    let mut words = [0; 512];
    // SAFETY: the client lives through the call; both texts end with a NUL and outlive it; no
    // extensions are given, so their array is not read; librdkafka writes at most the size that it
    // is told into `words`, the NUL included.
    let code = unsafe {
        bindings::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            words.as_mut_ptr(),
            words.len(),
        )
    };
    if code == NativeError::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: an error leaves a text that ends with a NUL within the array.
    let words = unsafe { CStr::from_ptr(words.as_ptr()) };
    Err(words.to_string_lossy().into_owned())
}

/// Lets a client log in as somebody else from now on. Connections that are up stay.
pub(super) fn set_credentials<C: ClientContext>(
    client: &Client<C>,
    credentials: &Credentials,
) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let (user, password) = (text(&credentials.user)?, text(credentials.password.expose())?);
    // SAFETY: the client lives through the call; both texts end with a NUL and are copied; an error is
    // read before it is destroyed, once.
    unsafe {
        let error = bindings::rd_kafka_sasl_set_credentials(
            client.native_ptr(),
            user.as_ptr(),
            password.as_ptr(),
        );
        if error.is_null() {
            return Ok(());
        }
        let words = CStr::from_ptr(bindings::rd_kafka_error_string(error));
        let words = words.to_string_lossy().into_owned();
        bindings::rd_kafka_error_destroy(error);
        Err(words)
    }
}

/// What comes out of a [`ReplyQueue`].
#[derive(Debug)]
pub(super) enum Reply {
    Commit(CommitReply),
    /// Partitions by topic; 0 where the broker knows no such topic.
    Topics(Result<HashMap<String, i32>, RDKafkaErrorCode>),
}

/// The answer to one commit request.
#[derive(Debug)]
pub(super) struct CommitReply {
    pub(super) id: u64,
    pub(super) partitions: Vec<PartitionReply>,
}

/// The answer for one partition of a commit request.
#[derive(Debug)]
pub(super) struct PartitionReply {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) result: Result<(), RDKafkaErrorCode>,
}

type Waker = Box<dyn Fn() + Send + Sync>;

/// A queue of answers, with a callback that says when it has one.
///
/// It must be dropped before its client.
pub(super) struct ReplyQueue {
    queue: *mut bindings::rd_kafka_queue_t,
    /// Boxed twice: librdkafka keeps a thin pointer to the inner box.
    _waker: Box<Waker>,
}

// SAFETY: librdkafka's queues may be used from any thread; the waker is Send and Sync.
unsafe impl Send for ReplyQueue {}

impl ReplyQueue {
    /// Makes a queue for `client`; `waker` is called, from a thread of librdkafka, when the queue
    /// is no longer empty.
    pub(super) fn new<C: ClientContext>(client: &Client<C>, waker: Waker) -> Self {
        unsafe extern "C" fn wake(_: *mut bindings::rd_kafka_t, opaque: *mut c_void) {
            // SAFETY: `opaque` is the address of the waker that the queue keeps until the
            // callback is taken off in `drop`.
            let waker = unsafe { &*opaque.cast::<Waker>() };
            waker();
        }
        let waker = Box::new(waker);
        // SAFETY: the client is alive; the queue holds its own reference to what it needs.
        let queue = unsafe { bindings::rd_kafka_queue_new(client.native_ptr()) };
        let opaque = ptr::from_ref::<Waker>(&waker).cast_mut().cast();
        // SAFETY: `queue` was just made; `waker` outlives the callback.
        unsafe { bindings::rd_kafka_queue_cb_event_enable(queue, Some(wake), opaque) };
        Self { queue, _waker: waker }
    }

    /// Sends one commit request. The answer comes through [`poll`](Self::poll).
    pub(super) fn commit<C: ClientContext>(
        &self,
        client: &Client<C>,
        offsets: &TopicPartitionList,
        id: u64,
    ) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client, list and queue are alive; librdkafka copies the list; the opaque is a
        // number that nobody dereferences; without a callback the answer is an event.
        let code = unsafe {
            bindings::rd_kafka_commit_queue(
                client.native_ptr(),
                offsets.ptr(),
                self.queue,
                None,
                ptr::without_provenance_mut(usize::try_from(id).unwrap_or(usize::MAX)),
            )
        };
        match code {
            NativeError::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(code.into()),
        }
    }

    /// Asks a broker how many partitions topics have. The answer comes through
    /// [`poll`](Self::poll).
    ///
    /// The wrapper's own question blocks, and for longer than it need: it waits on a connection
    /// behind a fetch that waits for records.
    pub(super) fn look_at_topics<C: ClientContext>(
        &self,
        client: &Client<C>,
        topics: &[CString],
        timeout: Duration,
    ) {
        let kind = bindings::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let mut names: Vec<_> = topics.iter().map(|topic| topic.as_ptr()).collect();
        // SAFETY: client, names and queue are alive; librdkafka copies names and options before it
        // returns; the collection is destroyed once.
        self.ask(client, kind, timeout, |options| unsafe {
            let topics =
                bindings::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            bindings::rd_kafka_DescribeTopics(client.native_ptr(), topics, options, self.queue);
            bindings::rd_kafka_TopicCollection_destroy(topics);
        });
    }

    fn ask<C: ClientContext>(
        &self,
        client: &Client<C>,
        kind: bindings::rd_kafka_admin_op_t,
        timeout: Duration,
        question: impl FnOnce(*const bindings::rd_kafka_AdminOptions_t),
    ) {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is alive; the options are destroyed once, after their use. A timeout
        // that librdkafka refuses leaves its own.
        unsafe {
            let options = bindings::rd_kafka_AdminOptions_new(client.native_ptr(), kind);
            let (words, room) = (ptr::null_mut(), 0);
            bindings::rd_kafka_AdminOptions_set_request_timeout(options, millis, words, room);
            question(options);
            bindings::rd_kafka_AdminOptions_destroy(options);
        }
    }

    /// The next answer that is there already.
    pub(super) fn poll(&self) -> Option<Reply> {
        loop {
            // SAFETY: the queue is alive; a null event means that it is empty.
            let event = unsafe { bindings::rd_kafka_queue_poll(self.queue, 0) };
            if event.is_null() {
                return None;
            }
            // SAFETY: the event is ours until it is destroyed, once, after the last use of it.
            let reply = unsafe { reply(event) };
            unsafe { bindings::rd_kafka_event_destroy(event) };
            if reply.is_some() {
                return reply;
            }
        }
    }
}

impl Drop for ReplyQueue {
    fn drop(&mut self) {
        // SAFETY: the callback is taken off before its waker goes; the queue is destroyed once.
        unsafe {
            bindings::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            bindings::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// # Safety
///
/// `event` must be alive.
unsafe fn reply(event: *mut bindings::rd_kafka_event_t) -> Option<Reply> {
    // SAFETY: the event is alive.
    unsafe {
        match bindings::rd_kafka_event_type(event) {
            bindings::RD_KAFKA_EVENT_OFFSET_COMMIT => commit_reply(event).map(Reply::Commit),
            bindings::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT => {
                Some(Reply::Topics(topic_counts(event)))
            }
            _ => None,
        }
    }
}

/// # Safety
///
/// `event` must be alive, and the answer to a question for topics.
unsafe fn topic_counts(
    event: *mut bindings::rd_kafka_event_t,
) -> Result<HashMap<String, i32>, RDKafkaErrorCode> {
    // SAFETY: the event is alive and owns all that is read here until it is destroyed; arrays have
    // the lengths that librdkafka says.
    unsafe {
        let code = bindings::rd_kafka_event_error(event);
        if is_error(code) {
            return Err(code.into());
        }
        let result = bindings::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = bindings::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut counts = HashMap::new();
        for index in 0..count {
            let topic = *topics.add(index);
            let name = CStr::from_ptr(bindings::rd_kafka_TopicDescription_name(topic));
            let mut partitions = 0;
            bindings::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
            let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            counts.insert(name.to_string_lossy().into_owned(), partitions);
        }
        Ok(counts)
    }
}

/// # Safety
///
/// `event` must be alive.
unsafe fn commit_reply(event: *mut bindings::rd_kafka_event_t) -> Option<CommitReply> {
    // SAFETY: the event is alive, and owns the list until it is destroyed.
    let (overall, list, id) = unsafe {
        (
            bindings::rd_kafka_event_error(event),
            bindings::rd_kafka_event_topic_partition_list(event),
            bindings::rd_kafka_event_opaque(event),
        )
    };
    if list.is_null() {
        return None;
    }
    // SAFETY: as above; the list is not changed while it is read.
    let entries = unsafe { entries(list) };
    // An error of the whole is either the summary of the partitions' errors, in which case the
    // others were committed, or the request never got an answer.
    let summary = entries.iter().any(|entry| is_error(entry.err));
    let partitions = entries
        .iter()
        .map(|entry| {
            let code = if summary { entry.err } else { overall };
            // SAFETY: librdkafka's topic names are C strings that live as long as the list.
            let topic = unsafe { CStr::from_ptr(entry.topic) };
            PartitionReply {
                topic: topic.to_string_lossy().into_owned(),
                partition: entry.partition,
                result: if is_error(code) { Err(code.into()) } else { Ok(()) },
            }
        })
        .collect();
    Some(CommitReply { id: id.addr() as u64, partitions })
}

fn is_error(code: NativeError) -> bool {
    code != NativeError::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// # Safety
///
/// `list` must be alive and unchanged for `'a`.
unsafe fn entries<'a>(
    list: *const bindings::rd_kafka_topic_partition_list_t,
) -> &'a [bindings::rd_kafka_topic_partition_t] {
    // SAFETY: `elems` points to `cnt` elements, and is null only when there are none.
    unsafe {
        match usize::try_from((*list).cnt) {
            Ok(count) if count > 0 => slice::from_raw_parts((*list).elems, count),
            _ => &[],
        }
    }
}

/// The metadata bytes of each entry of a list, in the order of its elements.
pub(super) fn offset_metadata(list: &TopicPartitionList) -> Vec<Vec<u8>> {
    // SAFETY: the list is borrowed and so alive and unchanged.
    unsafe { entries(list.ptr()).iter().map(|entry| metadata(entry)).collect() }
}

/// # Safety
///
/// The list of `entry` must be alive and unchanged.
unsafe fn metadata(entry: &bindings::rd_kafka_topic_partition_t) -> Vec<u8> {
    if entry.metadata.is_null() {
        return Vec::new();
    }
    // SAFETY: what is not null points to `metadata_size` bytes of the list.
    unsafe { slice::from_raw_parts(entry.metadata.cast::<u8>(), entry.metadata_size).to_vec() }
}

/// Whether a consumer has told its group's coordinator of itself and has not left since.
pub(super) fn is_member<C: ClientContext>(client: &Client<C>) -> bool {
    // SAFETY: the client is alive; the name is a C string or null, and is freed once.
    unsafe {
        let name = bindings::rd_kafka_memberid(client.native_ptr());
        if name.is_null() {
            return false;
        }
        let has_name = *name != 0;
        bindings::rd_kafka_mem_free(client.native_ptr(), name.cast());
        has_name
    }
}

/// Asks who leads the partitions of the topics that a client knows; the client goes by the answer.
/// `false`: none came within `timeout`.
pub(super) fn refresh_leaders<C: ClientContext>(client: &Client<C>, timeout: Duration) -> bool {
    let timeout = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut found = ptr::null();
    // SAFETY: the client is alive; what it answers is freed once, and not read.
    unsafe {
        let code = bindings::rd_kafka_metadata(
            client.native_ptr(),
            0,
            ptr::null_mut(),
            &mut found,
            timeout,
        );
        if !found.is_null() {
            bindings::rd_kafka_metadata_destroy(found);
        }
        code == NativeError::RD_KAFKA_RESP_ERR_NO_ERROR
    }
}

/// Whether a record that was not confirmed may be on the broker all the same.
pub(super) fn may_be_persisted(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is borrowed and so alive.
    let status = unsafe { bindings::rd_kafka_message_status(message.ptr()) };
    status != bindings::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// Names and values of a message's headers. Bytes of a name that are not UTF-8 become U+FFFD.
pub(super) fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Bytes)> {
    let mut list = ptr::null_mut();
    // SAFETY: the message is borrowed and so alive; it owns the list that it lends here.
    unsafe {
        match bindings::rd_kafka_message_headers(message.ptr(), &mut list) {
            NativeError::RD_KAFKA_RESP_ERR_NO_ERROR => header_list(list),
            _ => Vec::new(),
        }
    }
}

/// # Safety
///
/// `list` must be alive and unchanged meanwhile.
unsafe fn header_list(list: *const bindings::rd_kafka_headers_t) -> Vec<(String, Bytes)> {
    let mut headers = Vec::new();
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list is alive; an index past its end is an error, which ends the loop.
        let code = unsafe {
            bindings::rd_kafka_header_get_all(list, headers.len(), &mut name, &mut value, &mut size)
        };
        if is_error(code) {
            return headers;
        }
        // SAFETY: names are C strings, values have `size` bytes where they are not null.
        let (name, value) = unsafe {
            let value = match value.is_null() {
                true => Bytes::new(),
                false => Bytes::copy_from_slice(slice::from_raw_parts(value.cast::<u8>(), size)),
            };
            (CStr::from_ptr(name).to_string_lossy().into_owned(), value)
        };
        headers.push((name, value));
    }
}

/// Lets the groups of a client's mock cluster assign partitions at once.
///
/// Its default, like Kafka's, is to wait three seconds for more members.
pub(super) fn no_rebalance_delay<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the client is alive and owns its mock cluster, which is null if it has none.
    unsafe {
        let cluster = bindings::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}

/// Makes a client fail for good, as an idempotence error does.
#[cfg(test)]
pub(super) fn fail_for_good<C: ClientContext>(client: &Client<C>) {
    let code = NativeError::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: the client is alive; librdkafka copies the words.
    unsafe {
        bindings::rd_kafka_test_fatal_error(client.native_ptr(), code, c"a test's".as_ptr());
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, bindings, header_list};

    #[test]
    fn header_names_need_not_be_utf_8_nor_values_be_there() {
        // SAFETY: the list is made, filled and destroyed here; librdkafka copies the bytes.
        let headers = unsafe {
            let list = bindings::rd_kafka_headers_new(2);
            for (name, value) in [(&b"trace"[..], Some(&b"\x00\xff"[..])), (b"a\xffb", None)] {
                let (data, size) = value.map_or((std::ptr::null(), 0), |v| (v.as_ptr(), v.len()));
                let (name, length) = (name.as_ptr().cast(), name.len() as isize);
                bindings::rd_kafka_header_add(list, name, length, data.cast(), size as isize);
            }
            let headers = header_list(list);
            bindings::rd_kafka_headers_destroy(list);
            headers
        };
        let expected = [("trace", Bytes::from_static(b"\x00\xff")), ("a\u{fffd}b", Bytes::new())];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
