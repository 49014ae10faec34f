//! Record batches written by hand, and a Produce request around them: what a client library would
//! never write.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// Codes in a batch's attributes.
pub(crate) const SNAPPY: i16 = 2;
pub(crate) const ZSTD: i16 = 4;

/// A batch of version 2 with `count` records, whose text is `records`, compressed as `codec` says.
pub(crate) fn batch(codec: i16, count: i32, records: &[u8]) -> Vec<u8> {
    let mut covered = Vec::new();
    covered.extend(codec.to_be_bytes());
    covered.extend((count - 1).to_be_bytes());
    for timestamp in [1_764_000_000_000_i64; 2] {
        covered.extend(timestamp.to_be_bytes());
    }
    // No producer's id, epoch and sequence.
    covered.extend([0xff; 8 + 2 + 4]);
    covered.extend(count.to_be_bytes());
    covered.extend(records);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend(i32::try_from(4 + 1 + 4 + covered.len()).unwrap().to_be_bytes());
    batch.extend(0_i32.to_be_bytes());
    batch.push(2);
    batch.extend(crc32c(&covered).to_be_bytes());
    batch.extend(covered);
    batch
}

/// One record of a batch. A value of `None` is null.
pub(crate) fn record(
    offset: i32,
    timestamp_delta: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&[u8], Option<&[u8]>)],
) -> Vec<u8> {
    let mut body = vec![0];
    varint(&mut body, timestamp_delta);
    varint(&mut body, offset.into());
    for part in [key, value] {
        bytes(&mut body, part);
    }
    varint(&mut body, headers.len() as i64);
    for (name, value) in headers {
        bytes(&mut body, Some(name));
        bytes(&mut body, *value);
    }
    let mut record = Vec::new();
    varint(&mut record, body.len() as i64);
    record.extend(body);
    record
}

fn bytes(to: &mut Vec<u8>, part: Option<&[u8]>) {
    varint(to, part.map_or(-1, |part| part.len() as i64));
    to.extend(part.unwrap_or_default());
}

/// Zigzag, seven bits at a time.
fn varint(to: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest > 0x7f {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

/// Produces a batch to partition 0, and reads the answer's error code.
pub(crate) fn produce(bootstrap: &str, topic: &str, batch: &[u8]) -> i16 {
    let mut body = Vec::new();
    let string = |to: &mut Vec<u8>, text: &str| {
        to.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
        to.extend(text.as_bytes());
    };
    // Produce, version 3, with a correlation id.
    body.extend([0, 0, 0, 3, 0, 0, 0, 7]);
    string(&mut body, "raw");
    // No transaction, acks of all, 10 s; one topic.
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend(10_000_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    string(&mut body, topic);
    // One partition, the first.
    body.extend(1_i32.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(i32::try_from(batch.len()).unwrap().to_be_bytes());
    body.extend(batch);
    let mut broker = TcpStream::connect(bootstrap).unwrap();
    broker.write_all(&i32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
    broker.write_all(&body).unwrap();
    let mut length = [0; 4];
    broker.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    broker.read_exact(&mut answer).unwrap();
    // Correlation id, topics, the name, partitions, the partition.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    i16::from_be_bytes([answer[at], answer[at + 1]])
}
