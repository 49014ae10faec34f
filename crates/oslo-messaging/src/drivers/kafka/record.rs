//! From librdkafka's message to a record that outlives it.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::{Message, message::BorrowedMessage};

use super::native;
use crate::driver::{Incoming, Origin, Token};

/// Copies what the library needs of a message.
pub(super) fn incoming(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Incoming {
    Incoming {
        origin: Origin {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp_millis: message.timestamp().to_millis(),
        },
        key: message.key().map(Bytes::copy_from_slice),
        headers: native::headers(message),
        body: message.payload().map(Bytes::copy_from_slice),
        // Named when the record is dispatched.
        token: Token { lane: 0, slot: 0, period: 0, offset: message.offset() },
    }
}
