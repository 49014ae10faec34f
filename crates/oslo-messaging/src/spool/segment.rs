//! Reading a file of records that may be damaged.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::entry::{Entry, FRAME_BYTES, MAGIC, MAX_PAYLOAD_BYTES, checksum};

/// What is at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, and where the next one begins.
    Entry(Entry, u64),
    /// Bytes that are no record, before one that is or before the end.
    Damage(Vec<u8>, u64),
    /// The beginning of a record whose end was never written.
    Torn,
    End,
}

/// Reads what is at `at` of a segment that ends at `end`.
pub(super) fn read(file: &File, at: u64, end: u64) -> io::Result<Found> {
    let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    if left == 0 {
        return Ok(Found::End);
    }
    let mut frame = [0; FRAME_BYTES];
    if left >= FRAME_BYTES {
        file.read_exact_at(&mut frame, at)?;
        if let Some(length) = payload_length(&frame).filter(|length| *length <= left - FRAME_BYTES)
        {
            let mut payload = vec![0; length];
            file.read_exact_at(&mut payload, at + FRAME_BYTES as u64)?;
            if let Some(entry) = entry(&frame, &payload) {
                return Ok(Found::Entry(entry, at + (FRAME_BYTES + length) as u64));
            }
        }
    }
    let mut rest = vec![0; left];
    file.read_exact_at(&mut rest, at)?;
    // The next whole record, if there is one.
    for start in 1..rest.len() {
        if rest[start..].starts_with(&MAGIC) && is_record(&rest[start..]) {
            rest.truncate(start);
            return Ok(Found::Damage(rest, at + start as u64));
        }
    }
    // A file system may leave zeros behind what it has not written yet.
    let torn = left < FRAME_BYTES
        || rest.iter().all(|byte| *byte == 0)
        || payload_length(&frame).is_some_and(|length| length > left - FRAME_BYTES);
    Ok(if torn { Found::Torn } else { Found::Damage(rest, end) })
}

fn payload_length(frame: &[u8; FRAME_BYTES]) -> Option<usize> {
    let length = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
    let length = usize::try_from(length).ok()?;
    (frame.starts_with(&MAGIC) && length <= MAX_PAYLOAD_BYTES).then_some(length)
}

fn entry(frame: &[u8; FRAME_BYTES], payload: &[u8]) -> Option<Entry> {
    let length = [frame[4], frame[5], frame[6], frame[7]];
    let crc = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]);
    if checksum(length, payload) != crc {
        return None;
    }
    Entry::from_payload(payload)
}

fn is_record(bytes: &[u8]) -> bool {
    let Some((frame, rest)) = bytes.split_first_chunk::<FRAME_BYTES>() else { return false };
    let payload = payload_length(frame).and_then(|length| rest.get(..length));
    payload.is_some_and(|payload| entry(frame, payload).is_some())
}
