//! Shell patterns with the meaning of Python's `fnmatch.fnmatchcase`. Called by `file`.

/// What a text as a whole is compared with: `*` is any text, `?` any character, `[a-z]` and
/// `[!a-z]` one of them and one of all others. Dots, slashes and line ends are ordinary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShellPattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Literal(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl ShellPattern {
    /// Any text is a pattern: a `[` without its `]` stands for itself.
    pub(super) fn new(text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(&character) = text.get(at) {
            at += 1;
            pieces.push(match character {
                '*' => Piece::Any,
                '?' => Piece::One,
                '[' => match class_end(&text, at) {
                    Some(end) => {
                        let class = class(&text[at..end]);
                        at = end + 1;
                        class
                    }
                    None => Piece::Literal('['),
                },
                other => Piece::Literal(other),
            });
        }
        pieces.dedup_by(|one, other| *one == Piece::Any && *other == Piece::Any);
        Self(pieces)
    }

    /// Whether the whole text is what the pattern describes.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut piece = 0;
        let mut rest = text;
        // The last `*`, and the shortest text after what it has taken so far.
        let mut retry: Option<(usize, &str)> = None;
        loop {
            let mut after = rest.chars();
            match (self.0.get(piece), after.next()) {
                (Some(Piece::Any), _) => {
                    piece += 1;
                    retry = Some((piece, rest));
                    continue;
                }
                (Some(wanted), Some(character)) if wanted.takes(character) => {
                    piece += 1;
                    rest = after.as_str();
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((start, taken)) = retry else { return false };
            let mut longer = taken.chars();
            if longer.next().is_none() {
                return false;
            }
            (piece, rest) = (start, longer.as_str());
            retry = Some((start, rest));
        }
    }
}

impl Piece {
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Literal(literal) => *literal == character,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated
            }
        }
    }
}

/// Where the class that starts at `start` has its `]`; the first character may be one.
fn class_end(text: &[char], start: usize) -> Option<usize> {
    let first = start + usize::from(text.get(start) == Some(&'!'));
    let from = first + usize::from(text.get(first) == Some(&']'));
    let length = text.get(from..)?.iter().position(|character| *character == ']')?;
    Some(from + length)
}

fn class(inside: &[char]) -> Piece {
    let (negated, mut rest) = match inside {
        ['!', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut ranges = Vec::new();
    while let [low, after @ ..] = rest {
        // A range that ends before it starts is empty.
        let (high, after) = match after {
            ['-', high, after @ ..] => (high, after),
            _ => (low, after),
        };
        ranges.push((*low, *high));
        rest = after;
    }
    Piece::Class { negated, ranges }
}

#[cfg(test)]
mod tests {
    use super::ShellPattern;

    /// What CPython says; see `tests/data/routing.py`.
    #[derive(serde::Deserialize)]
    struct Recorded {
        pairs: Vec<(String, String, bool)>,
    }

    #[test]
    fn every_recorded_pair_matches_as_in_python() {
        let recorded: Recorded =
            serde_json::from_str(include_str!("../../../tests/data/routing.json")).unwrap();
        assert!(recorded.pairs.len() > 1500);
        for (pattern, text, matches) in recorded.pairs {
            assert_eq!(ShellPattern::new(&pattern).matches(&text), matches, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = ShellPattern::new(&"*a".repeat(200));
        assert!(!pattern.matches(&("a".repeat(10_000) + "b")));
    }
}
