//! Which characters Python's `re` takes for the same under `(?i)`.
//!
//! The rule is Python's, not Unicode's case folding: two characters are the same when their
//! lower-case forms are, or when those have one upper-case form in common. So `i` is the same as
//! `I`, `ı` and `İ`, and `s` as `S` and `ſ`. Under `(?a)` only the ASCII letters have two cases.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// Behind the last character that has two cases in any version of Unicode so far (U+1E943).
const CASELESS_FROM: u32 = 0x1_f000;

/// Each character that has others like it, with all of them, itself included.
static ALIKE: LazyLock<BTreeMap<u32, Vec<u32>>> = LazyLock::new(|| {
    let mut by_upper: HashMap<String, Vec<u32>> = HashMap::new();
    for character in (0..CASELESS_FROM).filter_map(char::from_u32) {
        let lower = lower(character);
        let upper: String = lower.to_uppercase().collect();
        if lower != character || !upper.chars().eq([lower]) {
            by_upper.entry(upper).or_default().push(u32::from(character));
        }
    }
    let mut alike = BTreeMap::new();
    for group in by_upper.into_values() {
        for &member in &group {
            alike.insert(member, group.clone());
        }
    }
    alike
});

/// The lower-case form in one character: of `İ`, whose full form has two, the first.
fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// Adds to a set of ranges the characters that differ from its own by their case only.
pub(super) fn widen(ranges: &mut Vec<(u32, u32)>, ascii: bool) {
    let mut found = Vec::new();
    for &(from, to) in ranges.iter() {
        if ascii {
            let letters = (from..=to.min(0x7f)).filter_map(|code| u8::try_from(code).ok());
            for letter in letters.filter(u8::is_ascii_alphabetic) {
                found.push(u32::from(letter ^ b' '));
            }
        } else {
            for alike in ALIKE.range(from..=to).map(|(_, alike)| alike) {
                found.extend(alike.iter().copied());
            }
        }
    }
    ranges.extend(found.into_iter().map(|code| (code, code)));
}
