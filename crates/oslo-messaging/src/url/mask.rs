//! Masking of a URL that could not be read: better too much hidden than a password shown.
//!
//! Texts only; a URL that was read masks itself by its parts. Called by `read` for its faults.

use std::ops::Range;

use super::encoding;
use crate::secret::{MASK, names_secret};

/// A URL as it may be shown.
pub(super) struct Masked<'a> {
    url: &'a str,
    hidden: Vec<Range<usize>>,
}

impl<'a> Masked<'a> {
    pub(super) fn new(url: &'a str) -> Self {
        let mut hidden = authority_secrets(url);
        let from = hidden.last().map_or(0, |span| span.end);
        hidden.extend(query_secrets(url, from));
        // The last `@` may be one of the query's.
        hidden.extend(query_secrets(url, 0));
        Self { url, hidden: apart(hidden) }
    }

    /// The text with `***` for each secret.
    pub(super) fn text(&self) -> String {
        self.before(self.url.len())
    }

    /// The character of [`Masked::text`] that stands for byte `at` of the URL.
    pub(super) fn position(&self, at: usize) -> usize {
        let at = match self.hidden.iter().find(|span| span.contains(&at)) {
            Some(span) => span.start,
            None => at,
        };
        self.before(at).chars().count()
    }

    /// A part of the URL in quotation marks, or the mask when the part touches a secret.
    pub(super) fn quoted(&self, part: Range<usize>) -> String {
        if self.hidden.iter().any(|span| span.start < part.end && part.start < span.end) {
            MASK.to_owned()
        } else {
            format!("\"{}\"", &self.url[part])
        }
    }

    fn before(&self, end: usize) -> String {
        let mut text = String::new();
        let mut shown = 0;
        for span in self.hidden.iter().filter(|span| span.start < end) {
            text += &self.url[shown..span.start];
            text += MASK;
            shown = span.end;
        }
        text + &self.url[shown..end.max(shown)]
    }
}

/// Spans in their order, those that touch each other as one.
fn apart(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|span| span.start);
    let mut apart: Vec<Range<usize>> = Vec::new();
    for span in spans {
        match apart.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => apart.push(span),
        }
    }
    apart
}

/// Passwords, or whatever might be one, between the scheme and the last `@`.
fn authority_secrets(url: &str) -> Vec<Range<usize>> {
    let start = match url.find(':') {
        Some(colon) if url[colon..].starts_with("://") => colon + 3,
        _ => 0,
    };
    let Some(last_at) = url[start..].rfind('@').map(|at| start + at) else {
        return Vec::new();
    };
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let mut spans = Vec::new();
    let mut orderly = last_at < end && start > 0;
    let mut from = start;
    for segment in url[start..end].split(',') {
        if let Some(at) = segment.rfind('@') {
            if let Some(colon) = segment[..at].find(':') {
                spans.push(from + colon + 1..from + at);
            }
        } else if from < last_at && !segment.is_empty() {
            // Perhaps the first half of a password with a raw comma in it.
            orderly = false;
        }
        from += segment.len() + 1;
    }
    if !orderly {
        // A raw `/`, `?`, `#` or `,` in a password: hide all that could belong to it.
        spans.clear();
        if let Some(colon) = url[start..last_at].find(':') {
            spans.push(start + colon + 1..last_at);
        }
    }
    spans
}

/// Values of secret query options, from byte `from` on.
fn query_secrets(url: &str, from: usize) -> Vec<Range<usize>> {
    let Some(mark) = url[from..].find('?') else {
        return Vec::new();
    };
    let mut spans = Vec::new();
    let mut at = from + mark + 1;
    let mut after_secret = false;
    for item in url[at..].split('&') {
        let (name, value) = item.split_once('=').unwrap_or(("", item));
        let name = encoding::unquote_plus(name).unwrap_or_else(|_| name.to_owned());
        // An item without `=` after a secret may be the rest of a secret with a raw `&` in it.
        let secret = names_secret(&name)
            || names_secret(value)
            || (after_secret && value.len() == item.len());
        if secret && !value.is_empty() {
            spans.push(at + item.len() - value.len()..at + item.len());
        }
        after_secret = secret;
        at += item.len() + 1;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::Masked;

    #[test]
    fn what_might_be_a_password_is_hidden() {
        for (url, expected) in [
            ("kafka://h:9092/v", "kafka://h:9092/v"),
            ("kafka://u:p@h:90x2/", "kafka://u:***@h:90x2/"),
            ("kafka://u@h:90x2/", "kafka://u@h:90x2/"),
            ("kafka://u:p@h1:9,v:q@h2:x", "kafka://u:***@h1:9,v:***@h2:x"),
            ("kafka://u:p@h1:9,h2:x", "kafka://u:***@h1:9,h2:x"),
            ("kafka://u@REALM:p@ss@h:x", "kafka://u@REALM:***@h:x"),
            ("kafka://u:pa,ss@h", "kafka://u:***@h"),
            ("kafka://h/?password=p&kafka:q@h/", "kafka://h/?password=***&***"),
            ("kafka://h/?password=p@q:r@h", "kafka://h/?password=***"),
            ("kafka://u:12,34@h:x", "kafka://u:***@h:x"),
            ("kafka://u:pa/ss@h/v", "kafka://u:***@h/v"),
            ("kafka://u:pa?ss@h/v", "kafka://u:***@h/v"),
            ("kafka://u:pa#ss@h/v", "kafka://u:***@h/v"),
            ("kafka:u:p@h", "kafka:***@h"),
            ("kafka:/u:p://q@h", "kafka:***@h"),
            ("u:p@h", "u:***@h"),
            ("u@h", "u@h"),
            ("kafka://h:x?key_password=p&a=b", "kafka://h:x?key_password=***&a=b"),
            ("kafka://h:x?key_passw%6frd=p", "kafka://h:x?key_passw%6frd=***"),
            ("kafka://h:x?key_password=p&q&a=b", "kafka://h:x?key_password=***&***&a=b"),
            ("kafka://h:x?l=ssl.key.password:p", "kafka://h:x?l=***"),
            ("kafka://h:x?password", "kafka://h:x?***"),
            ("kafka://u:p@h:x?token=t@u", "kafka://u:***"),
        ] {
            assert_eq!(Masked::new(url).text(), expected, "{url}");
        }
    }

    #[test]
    fn positions_count_characters_of_the_masked_text() {
        let masked = Masked::new("kafka://é:secret@h:x");
        assert_eq!(masked.text(), "kafka://é:***@h:x");
        for (at, expected) in [(0, 0), (11, 10), (13, 10), (17, 13), (20, 16), (21, 17)] {
            assert_eq!(masked.position(at), expected, "{at}");
        }
    }

    #[test]
    fn a_quoted_part_never_shows_a_secret() {
        let masked = Masked::new("kafka://u:pa/ss@h");
        assert_eq!(masked.quoted(10..12), "***");
        assert_eq!(masked.quoted(8..9), "\"u\"");
    }
}
