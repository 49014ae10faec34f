//! Eight bytes at a time: where the first one is that cannot be copied as it is.
//!
//! Each function takes eight bytes as a little-endian word and sets the top bit of the first byte
//! it looks for; bits above that one may be wrong.

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const TOPS: u64 = u64::from_le_bytes([0x80; 8]);

/// Marks the first zero byte.
#[inline]
fn first_zero(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// How many bytes stand before the first mark; eight without a mark.
#[inline]
pub(crate) fn clean(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// Marks the first byte that ends a run inside a string: `"`, `\` or a control character.
#[inline]
pub(crate) fn to_unescape(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (first_zero(word ^ (ONES * 0x22)) | first_zero(word ^ (ONES * 0x5c)) | control) & TOPS
}

/// Marks the first byte that Python's `ensure_ascii` does not copy into a string: as
/// [`to_unescape`] and [`not_printable`].
#[inline]
pub(crate) fn to_escape(word: u64) -> u64 {
    to_unescape(word) | not_printable(word)
}

/// Marks the first byte above `~`: DEL and what is not ASCII.
///
/// The byte 0xff, which no UTF-8 text holds, would mark its neighbour.
#[inline]
pub(crate) fn not_printable(word: u64) -> u64 {
    (word | word.wrapping_add(ONES)) & TOPS
}
