//! The letters of `(?aimsx)` and `(?i-x:...)`.

use super::tokens::{Refusal, Token, Tokens};

/// A set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const IGNORE_CASE: Self = Self(1);
    pub(super) const MULTI_LINE: Self = Self(1 << 1);
    pub(super) const DOT_ALL: Self = Self(1 << 2);
    pub(super) const VERBOSE: Self = Self(1 << 3);
    pub(super) const ASCII: Self = Self(1 << 4);
    const UNICODE: Self = Self(1 << 5);
    /// The letter `t`: no repetition may follow. Python 3.13 dropped it.
    pub(super) const TEMPLATE: Self = Self(1 << 6);
    /// Those of which only one can hold.
    pub(super) const TYPES: Self = Self(Self::ASCII.0 | Self::UNICODE.0);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn touches(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What holds inside of `(?on-off:...)` where `self` holds outside.
    pub(super) fn inside(self, on: Self, off: Self) -> Self {
        let kept = if on.touches(Self::TYPES) { self.without(Self::TYPES) } else { self };
        kept.with(on).without(off)
    }

    fn of(token: Token) -> Option<Self> {
        Some(match token.plain()? {
            'i' => Self::IGNORE_CASE,
            'm' => Self::MULTI_LINE,
            's' => Self::DOT_ALL,
            'x' => Self::VERBOSE,
            'a' => Self::ASCII,
            'u' => Self::UNICODE,
            't' => Self::TEMPLATE,
            _ => return None,
        })
    }
}

/// What a group of flags is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inline {
    /// `(?i)`: the whole pattern.
    Global(Flags),
    /// `(?i-x:`: up to the closing bracket.
    Scoped { on: Flags, off: Flags },
}

/// Whether `(?` with this token behind it is a group of flags.
pub(super) fn begins(token: Token) -> bool {
    matches!(token, Token::Plain('L' | '-')) || Flags::of(token).is_some()
}

/// Reads the flags from `first`, which has been taken already, up to `)` or `:`.
pub(super) fn parse(tokens: &mut Tokens, first: Token) -> Result<Inline, Refusal> {
    let mut on = Flags::default();
    let mut token = first;
    if first != Token::Plain('-') {
        loop {
            let flag = flag(tokens, token, "missing -, : or )")?;
            on = on.with(flag);
            if flag.touches(Flags::TYPES) && on.has(Flags::TYPES) {
                let reason = "bad inline flags: flags 'a', 'u' and 'L' are incompatible";
                return Err(tokens.refuse(reason, 0));
            }
            token = tokens.need("missing -, : or )")?;
            if matches!(token, Token::Plain(')' | '-' | ':')) {
                break;
            }
        }
    }
    if token == Token::Plain(')') {
        return Ok(Inline::Global(on));
    }
    if on.has(Flags::TEMPLATE) {
        return Err(tokens.refuse("bad inline flags: cannot turn on global flag", 1));
    }
    let mut off = Flags::default();
    if token == Token::Plain('-') {
        token = tokens.need("missing flag")?;
        let mut missing = "missing flag";
        loop {
            let flag = flag(tokens, token, missing)?;
            if flag.touches(Flags::TYPES) {
                let reason = "bad inline flags: cannot turn off flags 'a', 'u' and 'L'";
                return Err(tokens.refuse(reason, 0));
            }
            off = off.with(flag);
            missing = "missing :";
            token = tokens.need(missing)?;
            if token == Token::Plain(':') {
                break;
            }
        }
    }
    if off.has(Flags::TEMPLATE) {
        return Err(tokens.refuse("bad inline flags: cannot turn off global flag", 1));
    }
    if on.touches(off) {
        return Err(tokens.refuse("bad inline flags: flag turned on and off", 1));
    }
    Ok(Inline::Scoped { on, off })
}

/// The flag that `token` stands for; `missing` is the refusal of what is not even a letter.
fn flag(tokens: &Tokens, token: Token, missing: &str) -> Result<Flags, Refusal> {
    if let Some(flag) = Flags::of(token) {
        return Ok(flag);
    }
    match token.plain() {
        Some('L') => {
            let reason = "bad inline flags: cannot use 'L' flag with a str pattern";
            Err(tokens.refuse(reason, 0))
        }
        Some(letter) if letter.is_alphabetic() => Err(tokens.refuse("unknown flag", token.len())),
        _ => Err(tokens.refuse(missing, token.len())),
    }
}
