//! One spooled record and its bytes.
//!
//! ```text
//! magic "\xa5os1" | length u32 | crc32 of length and payload | payload
//! payload: version 1 | priority u8 | topic | message id | event type | key | headers | body
//! ```
//!
//! Numbers are little-endian; a text is a u32 length and its bytes; an absent key is the length
//! `u32::MAX`; headers are their number, then name and value of each.

use bytes::Bytes;

use crate::message::Priority;

pub(super) const MAGIC: [u8; 4] = *b"\xa5os1";
/// Magic, length and checksum.
pub(super) const FRAME_BYTES: usize = 12;
/// A longer payload is a damaged length: librdkafka's own limit is a gigabyte.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1 << 30;
const VERSION: u8 = 1;
const NONE: u32 = u32::MAX;

/// A record as it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) message_id: String,
    pub(crate) event_type: String,
    pub(crate) priority: Priority,
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: Vec<(String, Bytes)>,
    pub(crate) body: Bytes,
}

impl Entry {
    /// The bytes of the record with its frame.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_BYTES + 128 + self.body.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 8]);
        out.push(VERSION);
        out.push(Priority::ALL.iter().position(|p| *p == self.priority).map_or(0, |p| p as u8));
        let text = |out: &mut Vec<u8>, bytes: &[u8]| {
            out.extend_from_slice(&length(bytes).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        for name in [&self.topic, &self.message_id, &self.event_type] {
            text(&mut out, name.as_bytes());
        }
        match &self.key {
            Some(key) => text(&mut out, key),
            None => out.extend_from_slice(&NONE.to_le_bytes()),
        }
        out.extend_from_slice(&u32::try_from(self.headers.len()).unwrap_or(NONE).to_le_bytes());
        for (name, value) in &self.headers {
            text(&mut out, name.as_bytes());
            text(&mut out, value);
        }
        text(&mut out, &self.body);
        let length = length(&out[FRAME_BYTES..]).to_le_bytes();
        out[4..8].copy_from_slice(&length);
        let crc = checksum(length, &out[FRAME_BYTES..]).to_le_bytes();
        out[8..12].copy_from_slice(&crc);
        out
    }

    /// Reads a payload whose checksum was right; `None` when it is of another version.
    pub(super) fn from_payload(payload: &[u8]) -> Option<Self> {
        let mut read = Read { rest: payload };
        if read.byte()? != VERSION {
            return None;
        }
        let priority = *Priority::ALL.get(usize::from(read.byte()?))?;
        let (topic, message_id, event_type) = (read.string()?, read.string()?, read.string()?);
        let key = match read.number()? {
            NONE => None,
            length => Some(read.take(length)?),
        };
        let count = read.number()?;
        let mut headers = Vec::new();
        for _ in 0..count {
            headers.push((read.string()?, Bytes::copy_from_slice(read.text()?)));
        }
        let key = key.map(Bytes::copy_from_slice);
        let body = Bytes::copy_from_slice(read.text()?);
        let entry = Self { topic, message_id, event_type, priority, key, headers, body };
        read.rest.is_empty().then_some(entry)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(NONE)
}

/// The checksum of a frame.
pub(super) fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

struct Read<'a> {
    rest: &'a [u8],
}

impl<'a> Read<'a> {
    fn take(&mut self, length: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn number(&mut self) -> Option<u32> {
        let taken = self.take(4)?;
        Some(u32::from_le_bytes(taken.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Entry, FRAME_BYTES};
    use crate::message::Priority;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (priority, key) in
            [(Priority::Info, None), (Priority::Sample, Some("")), (Priority::Error, Some("k"))]
        {
            let entry = Entry {
                topic: "notifications.info".into(),
                message_id: "m-1".into(),
                event_type: "é.b".into(),
                priority,
                key: key.map(|key| Bytes::from_static(key.as_bytes())),
                headers: vec![
                    ("a".into(), Bytes::from_static(b"\x00\xff")),
                    ("b".into(), Bytes::new()),
                ],
                body: Bytes::from_static(b"{}"),
            };
            let bytes = entry.to_bytes();
            assert_eq!(Entry::from_payload(&bytes[FRAME_BYTES..]), Some(entry));
            for end in FRAME_BYTES..bytes.len() {
                assert_eq!(Entry::from_payload(&bytes[FRAME_BYTES..end]), None, "{end}");
            }
        }
    }
}
