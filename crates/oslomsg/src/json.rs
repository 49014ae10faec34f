//! The parts of a JSON text that was checked before, as they stand in it.
//!
//! Values pass through this program as text: `serde_json` would refuse `NaN` and round large
//! integers. Nothing here checks; the library's `Payload` and `wire` have done so.

use std::{borrow::Cow, ops::Range};

/// The members of an object, or the elements of a list, in their order.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    text: &'a str,
    at: usize,
}

/// One member or element.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The key; `None` in a list.
    pub(crate) key: Option<Cow<'a, str>>,
    /// Where the value stands in the text.
    pub(crate) range: Range<usize>,
}

/// Splits an object or a list; of any other value there are no parts.
pub(crate) fn parts(text: &str) -> Parts<'_> {
    let at = skip_space(text.as_bytes(), 0);
    let at = if matches!(text.as_bytes().get(at), Some(b'{' | b'[')) { at } else { text.len() };
    Parts { text, at }
}

/// The value under a key of an object; of repeated keys the last one.
pub(crate) fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let is = |part: &Part<'_>| part.key.as_deref() == Some(key);
    parts(text).filter(is).last().map(|part| &text[part.range])
}

/// What a string literal says; lone surrogates become U+FFFD. `None` for any other value.
pub(crate) fn string(literal: &str) -> Option<Cow<'_, str>> {
    let inside = literal.strip_prefix('"')?.strip_suffix('"')?;
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    let payload = oslo_messaging::Payload::from_json(literal).ok()?;
    payload.deserialize::<String>().ok().map(Cow::Owned)
}

/// A text as a string literal.
pub(crate) fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let bytes = self.text.as_bytes();
        // At the opening bracket, or at the comma or bracket after the part before.
        let open = self.at;
        let mut start = skip_space(bytes, open + 1);
        if matches!(bytes.get(open), None | Some(b'}' | b']'))
            || matches!(bytes.get(start), None | Some(b'}' | b']'))
        {
            self.at = bytes.len();
            return None;
        }
        let mut key = None;
        let mut end = skip_value(bytes, start);
        let after = skip_space(bytes, end);
        if bytes.get(after) == Some(&b':') {
            key = string(&self.text[start..end]).or(Some(Cow::Borrowed(&self.text[start..end])));
            start = skip_space(bytes, after + 1);
            end = skip_value(bytes, start);
        }
        self.at = skip_space(bytes, end);
        Some(Part { key, range: start..end })
    }
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The end of the value that starts at `from`.
fn skip_value(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = skip_string(bytes, at) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
        if depth == 0 && matches!(byte, b'"' | b'}' | b']') {
            return at;
        }
    }
    bytes.len()
}

/// The end of the string literal that starts at `from`.
fn skip_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::{literal, member, parts, string};

    fn split(text: &str) -> Vec<String> {
        let shown = |part: super::Part<'_>| {
            let key = part.key.map_or(String::new(), |key| format!("{key}="));
            format!("{key}{}", &text[part.range])
        };
        parts(text).map(shown).collect()
    }

    #[test]
    fn values_keep_their_text() {
        for (text, expected) in [
            ("{}", &[][..]),
            (" [ ] ", &[]),
            ("12", &[]),
            ("\"{}\"", &[]),
            (r#"{"a": NaN, "b":1e400}"#, &["a=NaN", "b=1e400"]),
            (
                "\n{ \"a\" : [1, {\"b\":\"]\"}] , \"c\":\"\\\"}\" }",
                &["a=[1, {\"b\":\"]\"}]", "c=\"\\\"}\""],
            ),
            (r#"[-Infinity,"x:y",null,[],{}]"#, &["-Infinity", "\"x:y\"", "null", "[]", "{}"]),
            (r#"{"\u0061\n": "\ud800"}"#, &["a\n=\"\\ud800\""]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_of_repeated_keys_counts() {
        assert_eq!(member(r#"{"a":1,"b":2,"a":3}"#, "a"), Some("3"));
        assert_eq!(member("{}", "a"), None);
    }

    #[test]
    fn literals_are_read_and_written() {
        assert_eq!(string(r#""a\u00e9\ud800""#).as_deref(), Some("aé\u{fffd}"));
        assert_eq!(string("12"), None);
        assert_eq!(literal("a\"\n"), "\"a\\\"\\n\"");
    }
}
