//! A notification's bytes: the JSON that oslo.messaging writes and reads, in both directions.
//!
//! Pure functions of bytes and [`Notification`](crate::message::Notification): no I/O, no topics,
//! no headers. Called once for each notification: [`encode`] by the sinks, [`decode`] by the
//! listeners, with the [`ContextStyle`] that the driver's capabilities name.
//!
//! Version 2.0 is an envelope around the inner object:
//!
//! ```json
//! {"oslo.version": "2.0", "oslo.message": "{\"message_id\": \"...\", \"publisher_id\": ...}"}
//! ```
//!
//! Version 1.0 is the inner object alone. Payload and context are copied through as text, never
//! parsed into a tree. Mirrors `serialize_msg` and `deserialize_msg` of
//! `oslo_messaging/_drivers/common.py`, and the packing of contexts in `impl_kafka.py` and
//! `amqp.py` beside it.

mod decode;
mod encode;
mod error;

#[cfg(feature = "rabbit")]
pub(crate) use decode::open;
pub use decode::{decode, decode_flattened};
pub use encode::{encode, encode_bare, envelope, write_string};
pub use error::DecodeError;

/// How a notification's context travels inside its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextStyle {
    /// As one object, `"_context": {"user_id": "u"}`: what the Kafka driver writes.
    Nested,
    /// As one key for each of the context's, `"_context_user_id": "u"`: what the rabbit driver
    /// writes. An empty context leaves no trace.
    Flattened,
}

/// The key of the envelope's version, and of what it holds.
const VERSION_KEY: &str = "oslo.version";
const MESSAGE_KEY: &str = "oslo.message";
/// The key of a nested context.
const CONTEXT_KEY: &str = "_context";
/// What the keys of a flattened context start with.
const CONTEXT_PREFIX: &str = "_context_";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Context, Notification, Payload, Priority};

    /// Numbers that look random and are the same in each run (xorshift64*).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
        }

        fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
            of[self.below(of.len())]
        }

        fn space(&mut self) -> &'static str {
            self.one_of(&["", "", " ", "\n", "\t \r"])
        }
    }

    const STRINGS: [&str; 14] = [
        "",
        "a",
        "key",
        "nova_object.data",
        "0123456",
        "01234567",
        "012345678901234",
        r"\n\t\r\b\f",
        r#"\"\\\/"#,
        r"\u00e9\ud83d\ude00",
        r"\ud800",
        r"x\udc00\ud800y",
        "é😀\u{7f}",
        "\u{2028}мир",
    ];
    const WORDS: [&str; 14] = [
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-1",
        "1.5",
        "1E-7",
        "1e400",
        "18446744073709551616",
        "-99999999999999999999999999",
        "2.0",
    ];

    fn value(numbers: &mut Numbers, depth: usize) -> String {
        let kind = if depth == 0 { numbers.below(2) } else { numbers.below(4) };
        match kind {
            0 => numbers.one_of(&WORDS).to_owned(),
            1 => format!("\"{}\"", numbers.one_of(&STRINGS)),
            2 => {
                let items: Vec<_> =
                    (0..numbers.below(4)).map(|_| value(numbers, depth - 1)).collect();
                format!("[{}{}]", numbers.space(), items.join(numbers.one_of(&[",", " ,\n", ", "])))
            }
            _ => object(numbers, depth),
        }
    }

    fn object(numbers: &mut Numbers, depth: usize) -> String {
        let entries: Vec<_> = (0..numbers.below(5))
            .map(|_| {
                let key = numbers.one_of(&STRINGS);
                let (before, after) = (numbers.space(), numbers.space());
                format!("{before}\"{key}\"{after}:{}", value(numbers, depth.saturating_sub(1)))
            })
            .collect();
        format!("{{{}}}", entries.join(","))
    }

    fn notification(numbers: &mut Numbers) -> Notification {
        let name = |numbers: &mut Numbers| {
            let literal = format!("\"{}\"", numbers.one_of(&STRINGS));
            crate::message::json::string_value(&literal).into_owned()
        };
        let mut made = Notification::new(
            name(numbers),
            name(numbers),
            Priority::ALL[numbers.below(7)],
            Payload::from_json(value(numbers, 4)).unwrap(),
            Context::from_json(object(numbers, 3)).unwrap(),
        );
        made.message_id = name(numbers);
        made.timestamp = name(numbers);
        made
    }

    /// A text as Python would write it: white space between values gone, strings in ASCII.
    fn canonical(text: &str) -> String {
        let mut out = String::new();
        let mut in_string = false;
        let mut escaped = false;
        for character in text.chars() {
            if !in_string && character.is_ascii_whitespace() {
                continue;
            }
            if matches!(character, ' '..='~') {
                out.push(character);
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            in_string ^= character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
        }
        out
    }

    #[test]
    fn what_was_encoded_is_decoded_with_the_same_json() {
        let mut numbers = Numbers(1);
        for _ in 0..3000 {
            let sent = notification(&mut numbers);
            for bytes in [
                encode(&sent, ContextStyle::Nested),
                encode_bare(&sent, ContextStyle::Nested),
                encode(&sent, ContextStyle::Flattened),
                encode_bare(&sent, ContextStyle::Flattened),
            ] {
                assert!(bytes.is_ascii());
                let read = decode_flattened(&bytes).unwrap();
                assert_eq!(read.message_id, sent.message_id);
                assert_eq!(read.publisher_id, sent.publisher_id);
                assert_eq!(read.event_type, sent.event_type);
                assert_eq!(read.priority, sent.priority);
                assert_eq!(read.timestamp, sent.timestamp);
                assert_eq!(canonical(read.payload.as_json()), canonical(sent.payload.as_json()));
                assert_eq!(canonical(read.context.as_json()), canonical(sent.context.as_json()));
                // What has been through once stays as it is, byte for byte.
                let again = encode(&read, ContextStyle::Nested);
                assert_eq!(encode(&decode(&again).unwrap(), ContextStyle::Nested), again);
            }
        }
    }

    #[test]
    fn no_damage_makes_decoding_panic_or_give_what_cannot_be_read() {
        const PIECES: [&[u8]; 16] = [
            b"\"",
            b"\\",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\\u",
            b"\\ud800",
            b"\\\\\\ud800",
            b"\x00",
            b"\xff",
            b"\xc3\xa9",
            b"NaN",
            b"0",
        ];
        let mut numbers = Numbers(2);
        let mut decoded = 0;
        let mut record = Vec::new();
        for round in 0..100_000 {
            if round % 10 == 0 {
                let style = [ContextStyle::Nested, ContextStyle::Flattened][numbers.below(2)];
                let sent = notification(&mut numbers);
                let write = [encode, encode_bare][numbers.below(2)];
                record = write(&sent, style).to_vec();
            }
            let mut damaged = record.clone();
            for _ in 0..=numbers.below(3) {
                let start = numbers.below(damaged.len());
                let end = (start + numbers.below(4)).min(damaged.len());
                let piece = PIECES[numbers.below(PIECES.len())];
                damaged.splice(start..end, piece.iter().copied());
            }
            let Ok(read) = decode(&damaged) else { continue };
            decoded += 1;
            for text in [read.payload.as_json(), read.context.as_json()] {
                assert!(Payload::from_json(text).is_ok(), "{text}");
                let _ = Payload::from_json(text).unwrap().value();
            }
            assert!(decode_flattened(&encode(&read, ContextStyle::Flattened)).is_ok());
            assert!(decode(&encode(&read, ContextStyle::Nested)).is_ok());
        }
        assert!(decoded > 1000, "{decoded}");
    }
}
