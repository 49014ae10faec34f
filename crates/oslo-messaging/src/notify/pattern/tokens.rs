//! The characters of a pattern, taken as Python's tokenizer takes them: one by one, a backslash
//! together with what follows it, one token ahead.
//!
//! Only positions and characters are known here; what they mean is the grammar's affair
//! ([`super::grammar`]). The one token of lookahead decides which of two faults is reported
//! first, so it is kept.

/// Why a pattern is refused: a character position and a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Zero-based character of the pattern.
    pub(super) at: usize,
    /// What is wrong there, in the words of Python's `re` where it has any.
    pub(super) reason: String,
}

/// One character, or a backslash and one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Plain(char),
    Escaped(char),
}

impl Token {
    /// How many characters it takes in the pattern.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::Escaped(_) => 2,
        }
    }

    /// The character, unless a backslash stands before it.
    pub(super) fn plain(self) -> Option<char> {
        match self {
            Self::Plain(character) => Some(character),
            Self::Escaped(_) => None,
        }
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(character) => write!(f, "{character}"),
            Self::Escaped(character) => write!(f, "\\{character}"),
        }
    }
}

/// A pattern and the place up to which it has been read.
#[derive(Debug)]
pub(super) struct Tokens {
    characters: Vec<char>,
    /// First character behind `next`.
    behind: usize,
    next: Option<Token>,
}

impl Tokens {
    pub(super) fn new(pattern: &str) -> Result<Self, Refusal> {
        let mut tokens = Self { characters: pattern.chars().collect(), behind: 0, next: None };
        tokens.advance()?;
        Ok(tokens)
    }

    fn advance(&mut self) -> Result<(), Refusal> {
        let Some(&first) = self.characters.get(self.behind) else {
            self.next = None;
            return Ok(());
        };
        let token = if first == '\\' {
            let Some(&second) = self.characters.get(self.behind + 1) else {
                return Err(Refusal {
                    at: self.behind,
                    reason: "bad escape (end of pattern)".to_owned(),
                });
            };
            Token::Escaped(second)
        } else {
            Token::Plain(first)
        };
        self.behind += token.len();
        self.next = Some(token);
        Ok(())
    }

    /// The next token, which stays there.
    pub(super) fn peek(&self) -> Option<Token> {
        self.next
    }

    /// The next token, which is taken.
    pub(super) fn take(&mut self) -> Result<Option<Token>, Refusal> {
        let token = self.next;
        self.advance()?;
        Ok(token)
    }

    /// The next token, which is taken; `reason` is the refusal when there is none.
    pub(super) fn need(&mut self, reason: &str) -> Result<Token, Refusal> {
        match self.take()? {
            Some(token) => Ok(token),
            None => Err(self.refuse(reason, 0)),
        }
    }

    /// Whether the next token is `wanted`, without a backslash; if so it is taken.
    pub(super) fn eat(&mut self, wanted: char) -> Result<bool, Refusal> {
        let found = self.next == Some(Token::Plain(wanted));
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// At most `most` characters that fit `wanted`.
    pub(super) fn eat_while(
        &mut self,
        most: usize,
        wanted: impl Fn(char) -> bool,
    ) -> Result<String, Refusal> {
        let mut eaten = String::new();
        for _ in 0..most {
            match self.next.and_then(Token::plain) {
                Some(character) if wanted(character) => eaten.push(character),
                _ => break,
            }
            self.advance()?;
        }
        Ok(eaten)
    }

    /// What stands before `terminator`, which is taken too; `what` names it, such as `group name`.
    pub(super) fn until(&mut self, terminator: char, what: &str) -> Result<String, Refusal> {
        let mut name = String::new();
        loop {
            let token = self.take()?;
            match token {
                Some(Token::Plain(character)) if character == terminator => break,
                Some(token) => name.push_str(&token.to_string()),
                None if name.is_empty() => return Err(self.refuse(format!("missing {what}"), 0)),
                None => {
                    let reason = format!("missing {terminator}, unterminated name");
                    return Err(self.refuse(reason, name.chars().count()));
                }
            }
        }
        if name.is_empty() {
            return Err(self.refuse(format!("missing {what}"), 1));
        }
        Ok(name)
    }

    /// Zero-based character at which the next token begins.
    pub(super) fn at(&self) -> usize {
        self.behind - self.next.map_or(0, Token::len)
    }

    /// Goes back to the token that begins at character `at`.
    pub(super) fn seek(&mut self, at: usize) -> Result<(), Refusal> {
        self.behind = at;
        self.advance()
    }

    /// A refusal that points `back` characters before the next token.
    pub(super) fn refuse(&self, reason: impl Into<String>, back: usize) -> Refusal {
        Refusal { at: self.at().saturating_sub(back), reason: reason.into() }
    }
}
