//! Percent-encoding as Python's `urllib.parse` does it. Pure; called by `url`, `read` and `mask`.

use std::fmt::Write;

/// Encodes all but letters, digits, `_.-~` and the characters of `safe`.
pub(super) fn quote(text: &str, safe: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "_.-~".contains(c) || c.is_ascii() && safe.contains(c) {
            quoted.push(c);
        } else {
            // Writing to a String does not fail.
            let _ = write!(quoted, "%{byte:02X}");
        }
    }
    quoted
}

/// As [`quote`] with nothing safe, but a space becomes `+`: the form of query strings.
pub(crate) fn quote_plus(text: &str) -> String {
    quote(text, " ").replace(' ', "+")
}

/// Decodes `%41` to `A`. What is no escape stays as it is (`100%`).
///
/// # Errors
///
/// The offset in `text` from which the decoded bytes are not UTF-8.
pub(super) fn unquote(text: &str) -> Result<String, usize> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut starts = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        starts.push(at);
        let escape = match bytes[at..] {
            [b'%', high, low, ..] => hex(high).zip(hex(low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            decoded.push(high * 16 + low);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).map_err(|error| starts[error.utf8_error().valid_up_to()])
}

/// As [`unquote`], but `+` is a space: the form of query strings.
pub(super) fn unquote_plus(text: &str) -> Result<String, usize> {
    unquote(&text.replace('+', " "))
}

fn hex(digit: u8) -> Option<u8> {
    // A hexadecimal digit fits a byte.
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{quote, quote_plus, unquote, unquote_plus};

    #[test]
    fn encodes_as_urllib_does() {
        for (text, safe, expected) in [
            ("a b", "", "a%20b"),
            ("a/b@c:d", "", "a%2Fb%40c%3Ad"),
            ("a/b", "/", "a/b"),
            ("é", "", "%C3%A9"),
            ("é", "/", "%C3%A9"),
            ("A-z_0.9~", "", "A-z_0.9~"),
            ("", "", ""),
        ] {
            assert_eq!(quote(text, safe), expected);
        }
        assert_eq!(quote_plus("a b+c/~"), "a+b%2Bc%2F~");
    }

    #[test]
    fn decodes_as_urllib_does() {
        for (text, expected) in [
            ("a%20b", Ok("a b")),
            ("%C3%A9%c3%a9", Ok("éé")),
            ("100%", Ok("100%")),
            ("%zz%4", Ok("%zz%4")),
            ("%%41", Ok("%A")),
            ("a+b", Ok("a+b")),
            ("ab%FFc", Err(2)),
            ("%41%C3", Err(3)),
        ] {
            assert_eq!(unquote(text), expected.map(str::to_owned), "{text}");
        }
        assert_eq!(unquote_plus("a+b%2Bc"), Ok("a b+c".to_owned()));
    }
}
