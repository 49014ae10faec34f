//! String literals: their ends, what they say, and how Python writes them.

use std::borrow::Cow;

use super::{
    Fault,
    stops::{InString, Stops},
};

const CONTROL: &str = "control character in a string; expected a \\u escape";
const ESCAPE: &str = "unknown escape; expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX";
const HEX: &str = "expected four hexadecimal digits after \\u";
const UNTERMINATED: &str = "string without an end; expected '\"'";

/// The offset behind the string whose opening quote is at `at`, by the stops of `bytes`.
///
/// Inlined always: a call costs a third of the time that most strings take.
#[inline(always)]
pub(super) fn skip_string(
    bytes: &[u8],
    at: usize,
    stops: &mut Stops<'_, InString>,
) -> Result<usize, Fault> {
    let mut here = at + 1;
    loop {
        here = stops.next(here);
        match bytes.get(here) {
            Some(b'"') => return Ok(here + 1),
            Some(b'\\') => here = skip_escape(bytes, here)?,
            Some(_) => return Err(Fault::syntax(here, CONTROL)),
            None => return Err(Fault::syntax(at, UNTERMINATED)),
        }
    }
}

/// The offset behind the escape whose backslash is at `at`.
fn skip_escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => code_unit(bytes, at).map(|_| at + 6),
        _ => Err(Fault::syntax(at, ESCAPE)),
    }
}

/// The UTF-16 unit of the escape `\uXXXX` whose backslash is at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    let digits = bytes.get(at + 2..at + 6).unwrap_or_default();
    if digits.len() < 4 {
        return Err(Fault::syntax(at, HEX));
    }
    digits.iter().try_fold(0, |unit: u16, &digit| {
        let value = char::from(digit).to_digit(16).ok_or_else(|| Fault::syntax(at, HEX))?;
        Ok(unit << 4 | value as u16)
    })
}

/// What to do with a `\u` escape that is half of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lone {
    /// Write U+FFFD.
    Replace,
    /// Write the escape as it stands, for a string that is itself JSON text.
    Keep,
}

/// Reads the string whose opening quote is at `at`: what it says, and the offset behind it.
///
/// `bytes` are those of a `str`; so is what is read.
pub(crate) fn read_string(bytes: &[u8], at: usize, lone: Lone) -> Result<(String, usize), Fault> {
    let mut out = Said::with_room(bytes.len() - at);
    let mut stops = Stops::<InString>::new(bytes);
    // What is before `from` was read; a run goes from there to the first stop from `here` on.
    let (mut from, mut here) = (at + 1, at + 1);
    loop {
        here = stops.next(here);
        let Some(byte) = bytes.get(here) else { return Err(Fault::syntax(at, UNTERMINATED)) };
        out.run(bytes, from, here);
        if *byte == b'\\' {
            if let Some(b'"' | b'\\' | b'/') = bytes.get(here + 1) {
                // The next run begins with what stands for itself.
                (from, here) = (here + 1, here + 2);
            } else {
                here = read_escape(bytes, here, lone, &mut out)?;
                from = here;
            }
        } else if *byte == b'"' {
            break;
        } else {
            return Err(Fault::syntax(here, CONTROL));
        }
    }
    let said = out.into_string().ok_or_else(|| Fault::syntax(at, "not UTF-8"))?;
    Ok((said, here + 1))
}

/// What was read of a string so far.
struct Said {
    /// Longer than needed, so that a run can be copied with what is behind it.
    bytes: Vec<u8>,
    length: usize,
}

impl Said {
    /// Ids of 32 digits are short.
    const SHORT: usize = 32;

    /// With room for `length` bytes.
    #[expect(
        clippy::slow_vector_initialization,
        reason = "where memory comes back used, as here, `vec![0; length]`, a calloc, is slower"
    )]
    fn with_room(length: usize) -> Self {
        let mut bytes = Vec::with_capacity(length + Self::SHORT);
        bytes.resize(length + Self::SHORT, 0);
        Self { bytes, length: 0 }
    }

    /// Appends `bytes[from..to]`.
    #[inline]
    fn run(&mut self, bytes: &[u8], from: usize, to: usize) {
        let length = to - from;
        if length <= Self::SHORT
            && let Some(chunk) = bytes.get(from..from + Self::SHORT)
            && let Some(room) = self.bytes.get_mut(self.length..self.length + Self::SHORT)
        {
            // A fixed number is copied without a call; what is past the run is written over.
            room.copy_from_slice(chunk);
            self.length += length;
        } else {
            self.long_run(&bytes[from..to]);
        }
    }

    /// As [`run`](Self::run). Not inlined: compilers would make one call of both copies.
    #[inline(never)]
    fn long_run(&mut self, run: &[u8]) {
        let end = self.length + run.len();
        self.bytes[self.length..end].copy_from_slice(run);
        self.length = end;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn into_string(self) -> Option<String> {
        let Self { mut bytes, length } = self;
        bytes.truncate(length);
        String::from_utf8(bytes).ok()
    }
}

/// Reads the escape whose backslash is at `at` and gives the offset behind it.
///
/// Not `\"`, `\\` and `\/`: what they say stands in them.
#[inline(never)]
fn read_escape(bytes: &[u8], at: usize, lone: Lone, out: &mut Said) -> Result<usize, Fault> {
    let byte = match bytes.get(at + 1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'u') => return read_unicode(bytes, at, lone, out),
        _ => return Err(Fault::syntax(at, ESCAPE)),
    };
    out.run(&[byte], 0, 1);
    Ok(at + 2)
}

fn read_unicode(bytes: &[u8], at: usize, lone: Lone, out: &mut Said) -> Result<usize, Fault> {
    let first = code_unit(bytes, at)?;
    let pair = matches!(first, 0xd800..0xdc00) && bytes[at + 6..].starts_with(b"\\u");
    let second = if pair { Some(code_unit(bytes, at + 6)?) } else { None };
    let read = char::decode_utf16(std::iter::once(first).chain(second)).next();
    let (said, end) = match read {
        Some(Ok(said)) => (said, at + 6 * said.len_utf16()),
        _ if lone == Lone::Replace => (char::REPLACEMENT_CHARACTER, at + 6),
        _ => {
            let backslashes = out.as_bytes().iter().rev().take_while(|&&byte| byte == b'\\');
            if backslashes.count() % 2 == 1 {
                return Err(Fault::syntax(at, "lone surrogate behind a backslash"));
            }
            out.run(bytes, at, at + 6);
            return Ok(at + 6);
        }
    };
    let mut utf8 = [0; 4];
    let utf8 = said.encode_utf8(&mut utf8).as_bytes();
    out.run(utf8, 0, utf8.len());
    Ok(end)
}

/// What the string literal `raw` says, its quotes included; lone surrogates become U+FFFD.
///
/// `raw` was checked before: an escape that is none reads as the text itself.
pub(crate) fn string_value(raw: &str) -> Cow<'_, str> {
    let inside = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    match read_string(raw.as_bytes(), 0, Lone::Replace) {
        Ok((said, _)) => Cow::Owned(said),
        Err(_) => Cow::Borrowed(inside),
    }
}

/// The digits of a UTF-16 unit in an escape, such as `00e9`.
pub(crate) fn unit_digits(unit: u16) -> [u8; 4] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [12, 8, 4, 0].map(|shift| DIGITS[usize::from(unit >> shift & 0xf)])
}

/// Appends `said` as a string literal in ASCII, as Python's `ensure_ascii` writes it.
pub(crate) fn write_string(said: &str, out: &mut String) {
    out.push('"');
    let mut rest = said;
    while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = special.chars();
        if let Some(character) = characters.next() {
            write_special(character, out);
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn write_special(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str("\\u");
                out.extend(unit_digits(*unit).map(char::from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_as_python_reads_them() {
        let replacement = "\u{fffd}";
        let cases = [
            (r#""""#, ""),
            (r#""plain""#, "plain"),
            (r#""exactly8""#, "exactly8"),
            (r#""sixteen bytes at""#, "sixteen bytes at"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\u00E9é""#, "ééé"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\uD83D\uDE00!""#, "😀!"),
            (r#""\ud800""#, replacement),
            (r#""\ud800x\udc00""#, "\u{fffd}x\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\udc00\ud800""#, "\u{fffd}\u{fffd}"),
            (r#""\ud800\n""#, "\u{fffd}\n"),
            (r#""\u0000""#, "\0"),
        ];
        for (raw, said) in cases {
            assert_eq!(string_value(raw), said, "{raw}");
            let (read, end) = read_string(raw.as_bytes(), 0, Lone::Replace).unwrap();
            assert_eq!((read.as_str(), end), (said, raw.len()), "{raw}");
        }
    }

    #[test]
    fn lone_surrogates_can_be_kept_as_escapes() {
        let cases = [
            (r#""\"\ud800\"""#, Some(r#""\ud800""#)),
            (r#""\uDC00\ud83d\ude00""#, Some(r"\uDC00😀")),
            (r#""\\\\\ud800""#, Some(r"\\\ud800")),
            // A backslash and a surrogate are no escape; kept, they would read as \\ and text.
            (r#""\\\ud800""#, None),
        ];
        for (raw, kept) in cases {
            let read = read_string(raw.as_bytes(), 0, Lone::Keep).ok().map(|(read, _)| read);
            assert_eq!(read.as_deref(), kept, "{raw}");
        }
    }

    #[test]
    fn strings_are_written_as_python_writes_them() {
        let cases = [
            ("", r#""""#),
            ("a/b", r#""a/b""#),
            ("\"\\", r#""\"\\""#),
            ("\u{8}\u{c}\n\r\t\0\u{1f}", r#""\b\f\n\r\t\u0000\u001f""#),
            ("\u{7f}\u{80}é\u{2028}", r#""\u007f\u0080\u00e9\u2028""#),
            ("😀\u{10ffff}", r#""\ud83d\ude00\udbff\udfff""#),
        ];
        for (said, literal) in cases {
            let mut out = String::new();
            write_string(said, &mut out);
            assert_eq!(out, literal);
        }
    }
}
