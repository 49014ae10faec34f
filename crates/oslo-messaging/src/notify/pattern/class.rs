//! Sets of characters: `[a-z\d]`, `\w`, `.` and single characters, from Python's notation to a
//! class that `regex` and `fancy-regex` read in the same way.
//!
//! Nothing of the pattern's own notation is passed on: a class is written as ranges of code
//! points, so that `[[]`, `&&`, `--` and `~~` cannot be taken for operators on sets.

use std::fmt::Write;

use super::escape;
use super::flags::Flags;
use super::fold;
use super::tokens::{Refusal, Token, Tokens};

const LAST: u32 = 0x10_ffff;

/// White space of Python's `str.isspace`: Unicode's, and the separators U+001C to U+001F.
const SPACES: [(u32, u32); 10] = [
    (0x09, 0x0d),
    (0x1c, 0x20),
    (0x85, 0x85),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x2000, 0x200a),
    (0x2028, 0x2029),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
];
const ASCII_SPACES: [(u32, u32); 2] = [(0x09, 0x0d), (0x20, 0x20)];
const ASCII_DIGITS: [(u32, u32); 1] = [(0x30, 0x39)];
const ASCII_WORDS: [(u32, u32); 4] = [(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)];

/// Python's `str.isdecimal`.
const DIGIT: &str = r"\p{Nd}";
/// Python's `str.isalnum` and the low line: without marks and joiners, with all numbers.
const WORD: &str = r"\p{L}\p{N}_";

/// A set of characters.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    ranges: Vec<(u32, u32)>,
    /// Further members in the notation of `regex`, such as `\p{Nd}`.
    properties: String,
    negated: bool,
}

/// What stands for one member of a class or for one end of a range.
#[derive(Debug)]
enum Member {
    Character(u32),
    /// The letter of `\d`, `\W` and so on.
    Shorthand(char),
}

impl Class {
    /// One character, as it stands in a pattern.
    pub(super) fn of(code: u32, flags: Flags) -> Self {
        let mut class = Self { ranges: vec![(code, code)], ..Self::default() };
        class.fold(flags);
        class
    }

    /// What `.` matches.
    pub(super) fn dot(flags: Flags) -> Self {
        let ranges = if flags.has(Flags::DOT_ALL) { vec![] } else { vec![(0x0a, 0x0a)] };
        Self { ranges, negated: true, ..Self::default() }
    }

    /// What `\d`, `\D`, `\s`, `\S`, `\w` or `\W` matches; `None` for other letters.
    pub(super) fn shorthand(letter: char, flags: Flags) -> Option<Self> {
        let mut class = Self::default();
        class.add_shorthand(letter, flags).then_some(class)
    }

    /// Reads a class behind its `[`.
    pub(super) fn parse(tokens: &mut Tokens, flags: Flags) -> Result<Self, Refusal> {
        let begin = tokens.at() - 1;
        let mut class = Self { negated: tokens.eat('^')?, ..Self::default() };
        let mut empty = true;
        loop {
            let token = Self::need(tokens, begin)?;
            if token == Token::Plain(']') && !empty {
                break;
            }
            empty = false;
            let first = member(tokens, token)?;
            if !tokens.eat('-')? {
                class.add(&first, flags);
                continue;
            }
            let other = Self::need(tokens, begin)?;
            if other == Token::Plain(']') {
                class.add(&first, flags);
                class.add(&Member::Character(u32::from('-')), flags);
                break;
            }
            match (first, member(tokens, other)?) {
                (Member::Character(from), Member::Character(to)) if from <= to => {
                    class.ranges.push((from, to));
                }
                _ => {
                    let reason = format!("bad character range {token}-{other}");
                    return Err(tokens.refuse(reason, token.len() + 1 + other.len()));
                }
            }
        }
        class.fold(flags);
        Ok(class)
    }

    fn need(tokens: &mut Tokens, begin: usize) -> Result<Token, Refusal> {
        match tokens.take()? {
            Some(token) => Ok(token),
            None => Err(Refusal { at: begin, reason: "unterminated character set".to_owned() }),
        }
    }

    fn add(&mut self, member: &Member, flags: Flags) {
        match *member {
            Member::Character(code) => self.ranges.push((code, code)),
            Member::Shorthand(letter) => {
                self.add_shorthand(letter, flags);
            }
        }
    }

    fn add_shorthand(&mut self, letter: char, flags: Flags) -> bool {
        let ascii = flags.has(Flags::ASCII);
        match letter {
            'd' if ascii => self.ranges.extend(ASCII_DIGITS),
            'D' if ascii => self.ranges.extend(complement(&ASCII_DIGITS)),
            'd' => self.properties.push_str(DIGIT),
            'D' => self.properties.push_str(r"\P{Nd}"),
            's' if ascii => self.ranges.extend(ASCII_SPACES),
            'S' if ascii => self.ranges.extend(complement(&ASCII_SPACES)),
            's' => self.ranges.extend(SPACES),
            'S' => self.ranges.extend(complement(&SPACES)),
            'w' if ascii => self.ranges.extend(ASCII_WORDS),
            'W' if ascii => self.ranges.extend(complement(&ASCII_WORDS)),
            'w' => self.properties.push_str(WORD),
            'W' => {
                self.properties.push_str("[^");
                self.properties.push_str(WORD);
                self.properties.push(']');
            }
            _ => return false,
        }
        true
    }

    fn fold(&mut self, flags: Flags) {
        if flags.has(Flags::IGNORE_CASE) {
            fold::widen(&mut self.ranges, flags.has(Flags::ASCII));
        }
        self.ranges = merged(std::mem::take(&mut self.ranges));
    }

    /// Writes the set in the notation of `regex`.
    pub(super) fn write(&self, out: &mut String) {
        if let (&[(from, to)], "", false) = (&self.ranges[..], &*self.properties, self.negated)
            && from == to
            && let Some(character) = char::from_u32(from)
        {
            write_character(character, out);
            return;
        }
        // Lone surrogates can stand in a pattern (`\ud800`) but not in a text.
        let ranges: Vec<_> = self
            .ranges
            .iter()
            .flat_map(|&(from, to)| [(from, to.min(0xd7ff)), (from.max(0xe000), to)])
            .filter(|(from, to)| from <= to)
            .collect();
        if ranges.is_empty() && self.properties.is_empty() {
            out.push_str(if self.negated { r"[\x{0}-\x{10ffff}]" } else { r"[^\x{0}-\x{10ffff}]" });
            return;
        }
        out.push_str(if self.negated { "[^" } else { "[" });
        for (from, to) in ranges {
            write_bound(from, out);
            if from < to {
                out.push('-');
                write_bound(to, out);
            }
        }
        out.push_str(&self.properties);
        out.push(']');
    }
}

fn member(tokens: &mut Tokens, token: Token) -> Result<Member, Refusal> {
    match token {
        Token::Plain(character) => Ok(Member::Character(u32::from(character))),
        Token::Escaped(letter @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
            Ok(Member::Shorthand(letter))
        }
        Token::Escaped(letter) => escape::in_class(tokens, letter).map(Member::Character),
    }
}

fn write_character(character: char, out: &mut String) {
    if character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | ' ' | '/' | ':' | '@') {
        out.push(character);
    } else {
        write_bound(u32::from(character), out);
    }
}

fn write_bound(code: u32, out: &mut String) {
    // Writing to a `String` cannot fail.
    let _ = write!(out, r"\x{{{code:x}}}");
}

/// Sorted ranges that neither overlap nor touch.
fn merged(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// What is not in sorted ranges.
fn complement(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut complement = Vec::with_capacity(ranges.len() + 1);
    let mut from = 0;
    for &(first, last) in ranges {
        if from < first {
            complement.push((from, first - 1));
        }
        from = last + 1;
    }
    complement.push((from, LAST));
    complement
}
