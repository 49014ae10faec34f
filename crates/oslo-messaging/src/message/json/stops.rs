//! Sixty-four bytes at a time: where the bytes are that end a run of plain ones.
//!
//! Each block of a text is looked at once, without a branch, in a form that compilers turn into
//! vector instructions; after that the next stop is found by counting bits.

use std::marker::PhantomData;

const BLOCK: usize = 64;

/// Which bytes cannot be copied as they are.
pub(crate) trait Class {
    fn stops(byte: u8) -> bool;
}

/// What ends a run inside a string literal: `"`, `\` or a control character.
pub(crate) struct InString;

/// What Python's `ensure_ascii` does not copy into a string: as [`InString`] and [`Odd`].
pub(crate) struct ToEscape;

/// What is not printable ASCII.
pub(crate) struct Odd;

impl Class for InString {
    #[inline]
    fn stops(byte: u8) -> bool {
        (byte == b'"') | (byte == b'\\') | (byte < b' ')
    }
}

impl Class for ToEscape {
    #[inline]
    fn stops(byte: u8) -> bool {
        InString::stops(byte) | Odd::stops(byte)
    }
}

impl Class for Odd {
    #[inline]
    fn stops(byte: u8) -> bool {
        !(b' '..=b'~').contains(&byte)
    }
}

/// Finds stops in a text, best from its start to its end.
pub(crate) struct Stops<'a, C> {
    bytes: &'a [u8],
    /// The number of the block that `marks` belongs to.
    block: usize,
    /// A bit for each byte of the block, the first one lowest.
    marks: u64,
    class: PhantomData<C>,
}

impl<'a, C: Class> Stops<'a, C> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, block: usize::MAX, marks: 0, class: PhantomData }
    }

    /// The offset of the first stop from `at` on, or one at the end of the text or behind it.
    #[inline]
    pub(crate) fn next(&mut self, mut at: usize) -> usize {
        loop {
            if self.block != at / BLOCK {
                self.look_at(at / BLOCK);
            }
            let marks = self.marks >> (at % BLOCK);
            if marks != 0 {
                return at + marks.trailing_zeros() as usize;
            }
            at = (self.block + 1) * BLOCK;
        }
    }

    #[inline]
    fn look_at(&mut self, block: usize) {
        let rest = self.bytes.get(block * BLOCK..).unwrap_or_default();
        self.block = block;
        self.marks = match rest.first_chunk::<BLOCK>() {
            Some(whole) => marks::<C>(whole),
            None => last_marks::<C>(rest),
        };
    }
}

/// The marks of a text's last bytes; what is not there is a stop.
#[cold]
fn last_marks<C: Class>(rest: &[u8]) -> u64 {
    let mut block = [0; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    marks::<C>(&block)
}

#[inline]
fn marks<C: Class>(block: &[u8; BLOCK]) -> u64 {
    // The product's top byte has the lowest bit of each of the eight bytes, in their order.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut flags = [0; BLOCK];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(C::stops(*byte));
    }
    let (words, _) = flags.as_chunks::<8>();
    words
        .iter()
        .rev()
        .fold(0, |marks, word| marks << 8 | u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56)
}

/// Appends `bytes[from..to]`, a run that is short more often than not.
#[inline]
pub(crate) fn copy_run(out: &mut Vec<u8>, bytes: &[u8], from: usize, to: usize) {
    const SHORT: usize = 16;
    match bytes.get(from..from + SHORT).and_then(<[u8]>::first_chunk::<SHORT>) {
        // A fixed number is copied without a call, and what is past the run taken back.
        Some(chunk) if to - from <= SHORT => {
            out.extend_from_slice(chunk);
            out.truncate(out.len() - SHORT + (to - from));
        }
        _ => out.extend_from_slice(&bytes[from..to]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<C: Class>(bytes: &[u8]) -> Vec<usize> {
        let (mut stops, mut at, mut found) = (Stops::<C>::new(bytes), 0, Vec::new());
        loop {
            at = stops.next(at);
            if at >= bytes.len() {
                return found;
            }
            found.push(at);
            at += 1;
        }
    }

    #[test]
    fn every_stop_is_found_whatever_is_before_and_behind_it() {
        let bytes = [0, 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', b'~', 0x7f, 0x80, 0xff];
        for byte in bytes {
            for length in [1, 2, 8, 63, 64, 65, 127, 128, 130] {
                for at in 0..length {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    let expected = |stops: bool| if stops { vec![at] } else { Vec::new() };
                    assert_eq!(all::<InString>(&bytes), expected(InString::stops(byte)));
                    assert_eq!(all::<ToEscape>(&bytes), expected(ToEscape::stops(byte)));
                    assert_eq!(all::<Odd>(&bytes), expected(Odd::stops(byte)));
                }
            }
        }
    }

    #[test]
    fn stops_side_by_side_are_all_found() {
        for length in 0..3 * BLOCK {
            assert_eq!(all::<InString>(&vec![b'"'; length]), Vec::from_iter(0..length));
        }
    }

    #[test]
    fn one_can_go_back_and_forth() {
        let mut bytes = vec![b'x'; 200];
        (bytes[10], bytes[150]) = (b'"', b'\\');
        let mut stops = Stops::<InString>::new(&bytes);
        assert_eq!([stops.next(11), stops.next(0), stops.next(150)], [150, 10, 150]);
        assert!(stops.next(151) >= bytes.len());
        assert!(stops.next(1_000) >= bytes.len());
    }

    #[test]
    fn runs_of_every_length_are_copied() {
        let bytes: Vec<u8> = (0..64).collect();
        for from in 0..=bytes.len() {
            for to in from..=bytes.len() {
                let mut out = vec![1, 2];
                copy_run(&mut out, &bytes, from, to);
                assert_eq!(out, [&[1, 2], &bytes[from..to]].concat());
            }
        }
    }
}
