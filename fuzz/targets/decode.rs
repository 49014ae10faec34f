//! A record's bytes as a notification: `oslo_messaging::wire`.
//!
//! Nothing panics or overflows the stack; what was decoded can be encoded, and is the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oslo_messaging::{
    Context, Notification, Payload,
    wire::{ContextStyle, decode, decode_flattened, encode, encode_bare},
};

fn same(one: &Notification, other: &Notification) {
    assert_eq!(one.message_id, other.message_id);
    assert_eq!(one.publisher_id, other.publisher_id);
    assert_eq!(one.event_type, other.event_type);
    assert_eq!(one.timestamp, other.timestamp);
    assert_eq!(one.priority, other.priority);
}

/// What listeners and filters do with a text.
fn read(notification: &Notification) {
    Payload::from_json(notification.payload.as_json()).expect("a payload is JSON");
    Context::from_json(notification.context.as_json()).expect("a context is an object");
    let _ = notification.payload.value();
    let _ = notification.context.value();
    for key in ["", "a", "instance_id", "nova_object.data"] {
        let _ = (notification.payload.string_at(key), notification.context.string_at(key));
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(first) = decode(data) {
        read(&first);
        let bytes = encode(&first, ContextStyle::Nested);
        assert!(bytes.is_ascii());
        let second = decode(&bytes).expect("what was encoded is decoded");
        same(&first, &second);
        read(&second);
        assert_eq!(encode(&second, ContextStyle::Nested), bytes, "the second time is the same");
        let bare = decode(&encode_bare(&first, ContextStyle::Nested)).expect("bare, too");
        assert_eq!(encode(&bare, ContextStyle::Nested), bytes);
    }
    if let Ok(first) = decode_flattened(data) {
        let second = decode_flattened(&encode(&first, ContextStyle::Flattened))
            .expect("what was flattened is decoded");
        same(&first, &second);
        assert!(decode_flattened(&encode_bare(&first, ContextStyle::Flattened)).is_ok());
    }
});
