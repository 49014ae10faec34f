//! From librdkafka's message to a record that outlives it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rdkafka::{Message, message::BorrowedMessage};

use super::native;
use crate::{
    driver::{Incoming, Origin, Token},
    wire::ContextStyle,
};

/// Room for the bodies of some records: one allocation of this size for all of them, since a
/// body is freed on another thread than its own, which costs more than to copy it.
const ROOM_BYTES: usize = 32 * 1024;

/// Where the bodies of records are copied to.
#[derive(Debug, Default)]
pub(super) struct Bodies(BytesMut);

impl Bodies {
    pub(super) fn copy(&mut self, body: &[u8]) -> Bytes {
        // A large one would waste what is left of the room.
        if body.len() > ROOM_BYTES / 4 {
            return Bytes::copy_from_slice(body);
        }
        if self.0.capacity() < body.len() {
            // Takes the same room again once nobody else has a part of it.
            self.0.reserve(ROOM_BYTES);
        }
        self.0.extend_from_slice(body);
        self.0.split().freeze()
    }
}

/// Copies what the library needs of a message, its body as the caller says.
pub(super) fn incoming(
    message: &BorrowedMessage<'_>,
    topic: Arc<str>,
    copy: impl FnOnce(&[u8]) -> Bytes,
) -> Incoming {
    Incoming {
        origin: Origin {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp_millis: message.timestamp().to_millis(),
        },
        key: message.key().map(Bytes::copy_from_slice),
        headers: native::headers(message),
        body: message.payload().map(copy),
        context_style: ContextStyle::Nested,
        // Named when the record is dispatched.
        token: Token { lane: 0, slot: 0, period: 0, offset: message.offset() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_stay_as_they_were_when_their_room_is_used_again() {
        let mut bodies = Bodies::default();
        let body = |n: usize| vec![n as u8; n * 37 % (ROOM_BYTES / 3)];
        let mut kept = Vec::new();
        for n in 0..2_000 {
            kept.push((n, bodies.copy(&body(n))));
            kept.retain(|(m, _)| m % 7 == 0 || n - m < 20);
            assert!(kept.iter().all(|(m, copy)| *copy == body(*m)));
        }
    }
}
