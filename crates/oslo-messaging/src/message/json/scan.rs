//! The scanner: checks values and finds their ends, with a bit for each open container.
//!
//! It builds nothing itself; what wants the parts implements [`Visit`].

use super::{
    Fault, FaultKind,
    literal::skip_string,
    stops::{InString, Stops},
};

const NO_KEY: &str = "expected a key in double quotes";

/// What the scanner meets, in the order of the text.
///
/// Offsets are bytes of the whole text; a string's include its quotes.
pub(crate) trait Visit {
    /// A `{` or a `[`.
    fn open(&mut self, at: usize);
    /// A `}` or a `]`, and the offset behind it.
    fn close(&mut self, end: usize);
    /// A key, a string, a number or a word.
    fn scalar(&mut self, start: usize, end: usize);
}

impl Visit for () {
    fn open(&mut self, _at: usize) {}
    fn close(&mut self, _end: usize) {}
    fn scalar(&mut self, _start: usize, _end: usize) {}
}

/// Checks that `text` is one JSON value with nothing but white space around it.
pub(crate) fn check(text: &str, max_depth: usize, visit: &mut impl Visit) -> Result<(), Fault> {
    let bytes = text.as_bytes();
    let start = skip_space(bytes, 0);
    let end = skip_value(bytes, start, max_depth, &mut Stops::new(bytes), visit)?;
    at_end(bytes, end)
}

/// Refuses anything but white space from `at` on.
pub(crate) fn at_end(bytes: &[u8], at: usize) -> Result<(), Fault> {
    let at = skip_space(bytes, at);
    if at == bytes.len() { Ok(()) } else { Err(Fault::syntax(at, "expected the end of the text")) }
}

/// The offset of the first byte from `at` on that is no white space.
#[inline]
pub(crate) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    // Most bytes are asked once: what is above the space is none.
    while let Some(b'\0'..=b' ') = bytes.get(at) {
        let (b' ' | b'\n' | b'\t' | b'\r') = bytes[at] else { break };
        at += 1;
    }
    at
}

/// The offset behind the value that starts at `at`, which is checked on the way. `stops` are those
/// of `bytes`.
pub(crate) fn skip_value(
    bytes: &[u8],
    mut at: usize,
    max_depth: usize,
    stops: &mut Stops<'_, InString>,
    visit: &mut impl Visit,
) -> Result<usize, Fault> {
    let mut stack = Stack::default();
    let mut is_key = false;
    loop {
        // A key or a value starts here.
        match bytes.get(at) {
            Some(b'"') => {
                let end = skip_string(bytes, at, stops)?;
                visit.scalar(at, end);
                at = end;
                if is_key {
                    at = skip_colon(bytes, end)?;
                    is_key = false;
                    continue;
                }
            }
            _ if is_key => return Err(Fault::syntax(at, NO_KEY)),
            Some(&open @ (b'{' | b'[')) => {
                if stack.depth == max_depth {
                    return Err(Fault { at, kind: FaultKind::TooDeep(max_depth) });
                }
                visit.open(at);
                stack.push(open == b'{');
                at = skip_space(bytes, at + 1);
                match (open, bytes.get(at)) {
                    (b'{', Some(b'}')) | (b'[', Some(b']')) => {
                        at += 1;
                        stack.pop();
                        visit.close(at);
                    }
                    _ => {
                        is_key = open == b'{';
                        continue;
                    }
                }
            }
            _ => {
                let end = skip_bare(bytes, at)?;
                visit.scalar(at, end);
                at = end;
            }
        }
        // A value ended here.
        loop {
            if stack.depth == 0 {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            match (bytes.get(at), stack.in_object()) {
                (Some(b','), in_object) => {
                    at = skip_space(bytes, at + 1);
                    is_key = in_object;
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    at += 1;
                    stack.pop();
                    visit.close(at);
                }
                (_, true) => return Err(Fault::syntax(at, "expected ',' or '}'")),
                (_, false) => return Err(Fault::syntax(at, "expected ',' or ']'")),
            }
        }
    }
}

/// Which of the open containers are objects: a bit each, those of the innermost 64 at hand.
#[derive(Default)]
struct Stack {
    depth: usize,
    inner: u64,
    outer: Vec<u64>,
}

impl Stack {
    #[inline]
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.inner = self.outer.pop().unwrap_or_default();
        }
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.inner & 1 == 1
    }
}

/// The offset behind the key at `at`.
#[inline]
pub(super) fn key_end(
    bytes: &[u8],
    at: usize,
    stops: &mut Stops<'_, InString>,
) -> Result<usize, Fault> {
    if bytes.get(at) != Some(&b'"') {
        return Err(Fault::syntax(at, NO_KEY));
    }
    skip_string(bytes, at, stops)
}

/// The offset of the value behind the colon at `at`.
#[inline]
pub(super) fn skip_colon(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let at = skip_space(bytes, at);
    if bytes.get(at) != Some(&b':') {
        return Err(Fault::syntax(at, "expected ':'"));
    }
    Ok(skip_space(bytes, at + 1))
}

/// The offset behind the number or word at `at`.
fn skip_bare(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    const RARE_WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let rest = bytes.get(at..).unwrap_or_default();
    let digits = |from: usize| {
        let rest = rest.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    match rest {
        [b'n', b'u', b'l', b'l', ..] | [b't', b'r', b'u', b'e', ..] => return Ok(at + 4),
        [b'f', b'a', b'l', b's', b'e', ..] => return Ok(at + 5),
        _ => {}
    }
    let mut end = usize::from(rest.first() == Some(&b'-'));
    match rest.get(end) {
        Some(b'0') => end += 1,
        Some(b'1'..=b'9') => end += digits(end),
        _ => {
            let word = RARE_WORDS.iter().find(|word| rest.starts_with(word));
            return word
                .map(|word| at + word.len())
                .ok_or_else(|| Fault::syntax(at, "expected a value"));
        }
    }
    if rest.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if let Some(b'e' | b'E') = rest.get(end) {
        let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
        if digits(end + 1 + sign) > 0 {
            end += 1 + sign + digits(end + 1 + sign);
        }
    }
    Ok(at + end)
}

#[cfg(test)]
mod tests {
    use super::{super::MAX_DEPTH, *};

    /// Texts, and for those that Python 3.11's `json.loads` refuses, where we see the fault.
    const DIALECT: [(&str, Option<usize>); 78] = [
        ("null", None),
        (" \t\r\n[ 1 , 2 ] \n", None),
        ("{}", None),
        ("[]", None),
        ("{\"a\" : {\"b\" : [ ] } }", None),
        ("{\"a\":1,\"a\":2}", None),
        ("NaN", None),
        ("[NaN, Infinity, -Infinity]", None),
        ("[0, -0, 10, -1.5, 1e5, 1E+5, 1e-5, 0.0e0, 1e400]", None),
        ("123456789012345678901234567890123456789012345678901234567890", None),
        ("\"\"", None),
        ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uABCD\"", None),
        ("\"\\ud800\"", None),
        ("\"\\udc00\\ud800\"", None),
        ("\"\\ud83d\\ude00\"", None),
        ("\"é😀\u{7f}\u{85}\u{2028}\u{feff}\"", None),
        ("\"12345678\\\"12345678\"", None),
        ("", Some(0)),
        ("   ", Some(3)),
        ("\u{feff}{}", Some(0)),
        ("\u{a0}[1]", Some(0)),
        ("\u{c}[1]", Some(0)),
        ("nul", Some(0)),
        ("nan", Some(0)),
        ("Nan", Some(0)),
        ("inf", Some(0)),
        ("Infinit", Some(0)),
        ("-Infinit", Some(0)),
        ("-NaN", Some(0)),
        ("+1", Some(0)),
        ("-", Some(0)),
        ("--1", Some(0)),
        (".5", Some(0)),
        ("01", Some(1)),
        ("-01", Some(2)),
        ("1.", Some(1)),
        ("1.e3", Some(1)),
        ("1e", Some(1)),
        ("1e+", Some(1)),
        ("1_0", Some(1)),
        ("0x10", Some(1)),
        ("１", Some(0)),
        ("True", Some(0)),
        ("None", Some(0)),
        ("truefalse", Some(4)),
        ("null null", Some(5)),
        ("1 2", Some(2)),
        ("[1,]", Some(3)),
        ("[,1]", Some(1)),
        ("[1 2]", Some(3)),
        ("[1", Some(2)),
        ("[", Some(1)),
        ("]", Some(0)),
        ("[}", Some(1)),
        ("{]", Some(1)),
        ("[1}", Some(2)),
        ("{\"a\":1]", Some(6)),
        ("[[[1]]", Some(6)),
        ("[1]]", Some(3)),
        ("{\"a\":1}}", Some(7)),
        ("{", Some(1)),
        ("{\"a\"", Some(4)),
        ("{\"a\":", Some(5)),
        ("{\"a\" 1}", Some(5)),
        ("{\"a\":1,}", Some(7)),
        ("{,}", Some(1)),
        ("{1:2}", Some(1)),
        ("{'a':1}", Some(1)),
        ("'a'", Some(0)),
        ("\"abc", Some(0)),
        ("\"abc\\", Some(4)),
        ("\"abc\\\"", Some(0)),
        ("\"\\x41\"", Some(1)),
        ("\"\\u12\"", Some(1)),
        ("\"\\u+123\"", Some(1)),
        ("\"\\ud83d\\u00g0\"", Some(7)),
        ("\"a\nb\"", Some(2)),
        ("\"a\0b\"", Some(2)),
    ];

    #[test]
    fn texts_are_taken_and_refused_as_by_python() {
        for (text, fault) in DIALECT {
            let found = check(text, MAX_DEPTH, &mut ()).err().map(|fault| fault.at);
            assert_eq!(found, fault, "{text:?}");
        }
    }

    #[test]
    fn a_fault_is_found_where_it_is_whatever_the_length_before_it() {
        for length in 0..40 {
            let text = format!("[\"{}\u{1}\"]", "x".repeat(length));
            let found = check(&text, MAX_DEPTH, &mut ()).map_err(|fault| fault.at);
            assert_eq!(found, Err(2 + length));
        }
    }

    #[test]
    fn nesting_is_taken_to_its_limit_and_refused_beyond_it_without_recursion() {
        let nested = |depth: usize| "[{\"a\":".repeat(depth / 2) + "1" + &"}]".repeat(depth / 2);
        assert_eq!(check(&nested(MAX_DEPTH), MAX_DEPTH, &mut ()), Ok(()));
        for depth in [MAX_DEPTH + 2, 1_000_000] {
            let fault = check(&nested(depth), MAX_DEPTH, &mut ());
            assert_eq!(
                fault,
                Err(Fault { at: 3 * MAX_DEPTH, kind: FaultKind::TooDeep(MAX_DEPTH) })
            );
        }
        assert!(check(&"[".repeat(1_000_000), MAX_DEPTH, &mut ()).is_err());
        assert_eq!(check("[[1], [1]]", 2, &mut ()), Ok(()));
        assert!(check("[[[1]], []]", 2, &mut ()).is_err());
    }
}
