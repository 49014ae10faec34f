//! Passwords out of what the sink `log` writes, as oslo.utils' `mask_dict_password` takes them out.
//!
//! A value whose key contains one of [`WORDS`] becomes `***`, unless it is an object; every other
//! string goes through what `mask_password` looks for. Works on JSON text: what is not masked
//! stays as it stands there. Called by the sink `log` alone.

use std::{borrow::Cow, sync::OnceLock};

use regex::Regex;

use crate::message::json::{self, MAX_DEPTH, Visit, write_string};

const MASK: &str = "***";

/// The secret words of oslo.utils 10.2.0, in its order. Keys and texts are compared in lower case.
const WORDS: [&str; 35] = [
    "adminpass",
    "admin_pass",
    "password",
    "admin_password",
    "auth_token",
    "new_pass",
    "auth_password",
    "secret_uuid",
    "secret",
    "sys_pswd",
    "token",
    "configdrive",
    "chappassword",
    "encrypted_key",
    "private_key",
    "fernetkey",
    "sslkey",
    "passphrase",
    "cephclusterfsid",
    "octaviaheartbeatkey",
    "rabbitcookie",
    "cephmanilaclientkey",
    "pacemakerremoteauthkey",
    "designaterndckey",
    "cephadminkey",
    "heatauthencryptionkey",
    "cephclientkey",
    "keystonecredential",
    "barbicansimplecryptokek",
    "cephrgwkey",
    "swifthashsuffix",
    "migrationsshkey",
    "cephmdskey",
    "cephmonkey",
    "chapsecret",
];

/// What stands around a secret, and what is put there, in the order in which they are applied.
///
/// `KEY` is the word and digits, `SPACE` Python's white space inside a class; the other names are
/// of what is usual in Rust too.
const PATTERNS: [(&str, &str); 12] = [
    // key = 'value'
    (r#"(KEY[SPACE]*=[SPACE]*["'])[^"']*(["'])"#, "${1}***${2}"),
    (r#"(KEY[SPACE]*=[SPACE]*")[^"]*(")"#, "${1}***${2}"),
    (r#"(KEY[SPACE]*=[SPACE]*')[^']*(')"#, "${1}***${2}"),
    // key 'value'
    (r#"(KEY[SPACE]+["'])[^"']*(["'])"#, "${1}***${2}"),
    // --key value
    (r#"(--KEY[SPACE]+)[^'"^=SPACE]+([SPACE]*)"#, "${1}***${2}"),
    // <key>value</key>
    (r#"(<KEY>)[^<]*(</KEY>)"#, "${1}***${2}"),
    // 'key': 'value', also with something before the word
    (r#"(["']KEY["'][SPACE]*:[SPACE]*["'])[^"']*(["'])"#, "${1}***${2}"),
    (r#"(['"][^"']*KEY['"][SPACE]*:[SPACE]*u?['"])[^"']*(['"])"#, "${1}***${2}"),
    // 'key', '--option', 'value'
    (
        r#"(['"][^'"]*KEY['"][SPACE]*,[SPACE]*'--?[A-z]+'[SPACE]*,[SPACE]*u?['"])[^"']*(['"])"#,
        "${1}***${2}",
    ),
    // key --option value
    (r#"(KEY[SPACE]*--?[A-z]+[SPACE]*)[^SPACE]+([SPACE]*)"#, "${1}***${2}"),
    // key=value
    (r#"(KEY[SPACE]*=[SPACE]*)[^SPACE^'"]+"#, "${1}***"),
    // What quotes inside a quoted value have left over of it.
    (r#"(['"][^"']*KEY['"][SPACE]*:[SPACE]*u?['"].*['"])[^"']*(['"])"#, "${1}"),
];

/// The JSON text with its secrets masked; borrowed when there are none.
///
/// `text` is one JSON value of at most [`MAX_DEPTH`] levels.
pub(super) fn mask_json(text: &str) -> Cow<'_, str> {
    let mut masker = Masker {
        text,
        out: String::new(),
        copied: 0,
        containers: Vec::new(),
        place: Place::Value,
        hidden: None,
    };
    // A text that is none was refused when the payload was made.
    if json::check(text, MAX_DEPTH, &mut masker).is_err() {
        return Cow::Borrowed("null");
    }
    if masker.copied == 0 {
        return Cow::Borrowed(text);
    }
    masker.out.push_str(&text[masker.copied..]);
    Cow::Owned(masker.out)
}

/// What a scalar or a container is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    /// A value of a list, of a key without a secret word, or of nothing.
    Value,
    /// The value of a key with a secret word.
    Secret,
}

struct Masker<'a> {
    text: &'a str,
    out: String,
    /// How much of `text` is in `out` already.
    copied: usize,
    /// Of each open container whether it is an object.
    containers: Vec<bool>,
    place: Place,
    /// A list that is masked as a whole: its depth and where it starts.
    hidden: Option<(usize, usize)>,
}

impl Masker<'_> {
    fn replace(&mut self, start: usize, end: usize, said: &str, aliases: Aliases) {
        self.out.push_str(&self.text[self.copied..start]);
        aliases.write(said, &mut self.out);
        self.copied = end;
    }

    /// What comes next in the container that is open now.
    fn next_place(&mut self) {
        let in_object = self.containers.last().is_some_and(|object| *object);
        self.place = if in_object { Place::Key } else { Place::Value };
    }
}

impl Visit for Masker<'_> {
    fn open(&mut self, at: usize) {
        let object = self.text.as_bytes()[at] == b'{';
        if self.hidden.is_none() && !object && self.place == Place::Secret {
            self.hidden = Some((self.containers.len(), at));
        }
        self.containers.push(object);
        self.next_place();
    }

    fn close(&mut self, end: usize) {
        self.containers.pop();
        if let Some((depth, start)) = self.hidden
            && depth == self.containers.len()
        {
            self.hidden = None;
            self.replace(start, end, MASK, Aliases::NONE);
        }
        self.next_place();
    }

    fn scalar(&mut self, start: usize, end: usize) {
        if self.hidden.is_some() {
            return;
        }
        let raw = &self.text[start..end];
        match self.place {
            Place::Key => {
                let key = json::string_value(raw).to_lowercase();
                let secret = WORDS.iter().any(|word| key.contains(word));
                self.place = if secret { Place::Secret } else { Place::Value };
                return;
            }
            Place::Secret => self.replace(start, end, MASK, Aliases::NONE),
            Place::Value if raw.starts_with('"') => {
                let (said, aliases) = read(raw);
                if let Some(masked) = mask_text(&said) {
                    self.replace(start, end, &masked, aliases);
                }
            }
            Place::Value => {}
        }
        self.next_place();
    }
}

/// The text without what looks like the value of a secret; `None` when nothing does.
fn mask_text(text: &str) -> Option<String> {
    let mut masked: Option<String> = None;
    let mut lower = text.to_lowercase();
    for (index, word) in WORDS.iter().enumerate() {
        if !lower.contains(word) {
            continue;
        }
        for (pattern, replacement) in patterns(index) {
            let current = masked.as_deref().unwrap_or(text);
            if let Cow::Owned(changed) = pattern.replace_all(current, *replacement) {
                lower = changed.to_lowercase();
                masked = Some(changed);
            }
        }
    }
    masked.filter(|masked| masked != text)
}

/// The patterns of one word, made when the first text contains it.
fn patterns(word: usize) -> &'static [(Regex, &'static str)] {
    static PATTERNS_BY_WORD: [OnceLock<Vec<(Regex, &'static str)>>; WORDS.len()] =
        [const { OnceLock::new() }; WORDS.len()];
    PATTERNS_BY_WORD[word].get_or_init(|| {
        let made = |(pattern, replacement): &(&str, &'static str)| {
            let key = format!("{}[0-9]*", WORDS[word]);
            let pattern = pattern.replace("KEY", &key).replace("SPACE", r"\s\x1c-\x1f");
            let pattern = Regex::new(&format!("(?is){pattern}"));
            (pattern.expect("a pattern of the table is valid with every word"), *replacement)
        };
        PATTERNS.iter().map(made).collect()
    })
}

/// Which characters stand for lone surrogates while a text is masked: `None` when it has none,
/// else those from here on. They are of the private planes, and the text has none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Aliases(Option<u32>);

const SURROGATES: u32 = 0xd800;
const SURROGATE_COUNT: u32 = 0x800;

impl Aliases {
    const NONE: Self = Self(None);

    fn of(text: &str) -> Self {
        let free = |start: &u32| {
            let range = *start..*start + SURROGATE_COUNT;
            !text.chars().any(|character| range.contains(&u32::from(character)))
        };
        Self((0xf_0000..0x10_f000).step_by(SURROGATE_COUNT as usize).find(free))
    }

    fn stand_in(self, unit: u32) -> char {
        let alias = self.0.and_then(|start| char::from_u32(start + unit - SURROGATES));
        alias.unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Appends what is said as a string literal, with the surrogates that it had.
    fn write(self, said: &str, out: &mut String) {
        let Some(start) = self.0 else { return write_string(said, out) };
        let range = start..start + SURROGATE_COUNT;
        out.push('"');
        for part in said.split_inclusive(|c| range.contains(&u32::from(c))) {
            let last = part.chars().next_back().filter(|c| range.contains(&u32::from(*c)));
            let plain = &part[..part.len() - last.map_or(0, char::len_utf8)];
            let mut literal = String::with_capacity(plain.len() + 2);
            write_string(plain, &mut literal);
            out.push_str(&literal[1..literal.len() - 1]);
            if let Some(alias) = last {
                out.push_str(&format!("\\u{:04x}", u32::from(alias) - start + SURROGATES));
            }
        }
        out.push('"');
    }
}

/// What a string literal says, with a character of its own for each lone surrogate.
fn read(raw: &str) -> (Cow<'_, str>, Aliases) {
    if !raw.contains("\\ud") && !raw.contains("\\uD") {
        return (json::string_value(raw), Aliases::NONE);
    }
    let aliases = Aliases::of(&json::string_value(raw));
    let mut literal = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut any = false;
    while let Some(at) = rest.find('\\') {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        let first = unit(rest);
        let paired = matches!(first, Some(0xd800..0xdc00))
            && matches!(rest.get(6..).and_then(unit), Some(0xdc00..0xe000));
        let length = match first {
            Some(_) if paired => 12,
            Some(lone @ 0xd800..0xe000) => {
                literal.push(aliases.stand_in(lone));
                any = true;
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            None => 2,
        };
        literal.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    literal.push_str(rest);
    let said = json::string_value(&literal).into_owned();
    (Cow::Owned(said), if any { aliases } else { Aliases::NONE })
}

/// The UTF-16 unit of the escape that a text starts with.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{MAX_DEPTH, WORDS, mask_json};

    /// What the reference says; see `tests/data/mask.py`.
    #[derive(serde::Deserialize)]
    struct Recorded {
        words: Vec<String>,
        cases: Vec<(String, String)>,
    }

    fn recorded() -> Recorded {
        serde_json::from_str(include_str!("../../tests/data/mask.json")).unwrap()
    }

    #[test]
    fn every_recorded_text_is_masked_as_the_reference_masks_it() {
        let recorded = recorded();
        assert!(recorded.cases.len() > 700);
        let mut changed = 0;
        for (given, masked) in recorded.cases {
            assert_eq!(mask_json(&given), masked, "given {given}");
            changed += usize::from(given != masked);
        }
        assert!(changed > 150, "{changed}");
    }

    #[test]
    fn the_words_are_those_of_the_reference() {
        assert_eq!(WORDS.to_vec(), recorded().words);
    }

    #[test]
    fn what_is_not_masked_stays_as_it_stands() {
        let cases = [
            (
                r#" { "a" : [ 1.50 , "é\/\u00E9" ] , "token" : 1e400 } "#,
                Some(r#" { "a" : [ 1.50 , "é\/\u00E9" ] , "token" : "***" } "#),
            ),
            (r#"{"a": "\ud83d\ude00", "b": 1E+2}"#, None),
            (r#"{"a": 1, "a": 2, "secret": {"a": [NaN]}}"#, None),
            (r#"{"secret": [ {"a": [1]}, 2 ] , "b": []}"#, Some(r#"{"secret": "***" , "b": []}"#)),
        ];
        for (given, masked) in cases {
            assert_eq!(mask_json(given), masked.unwrap_or(given));
        }
    }

    #[test]
    fn the_deepest_text_is_masked() {
        let deep = |inner: &str| "[".repeat(MAX_DEPTH - 1) + inner + &"]".repeat(MAX_DEPTH - 1);
        assert_eq!(mask_json(&deep(r#"{"token": 1}"#)), deep(r#"{"token": "***"}"#));
    }
}
