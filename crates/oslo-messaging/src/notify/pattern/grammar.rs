//! From a pattern to its tree, refusing what CPython 3.11's `re` refuses.
//!
//! Reasons and positions are Python's own, so that a user finds the same words in both worlds.
//! Mirrors the checks of `re/_parser.py` and, for look-behind, of `re/_compiler.py`.

mod groups;

use std::collections::HashMap;

use super::class::Class;
use super::escape;
use super::flags::Flags;
use super::tokens::{Refusal, Token, Tokens};
use super::tree::{Greed, Node, Place, Width};

/// Python's `MAXREPEAT`: what a repetition must stay below.
const MAX_REPEAT: u32 = u32::MAX;

/// Reads a whole pattern.
pub(super) fn parse(pattern: &str) -> Result<Node, Refusal> {
    let mut grammar = Grammar {
        tokens: Tokens::new(pattern)?,
        flags: Flags::default(),
        names: HashMap::new(),
        widths: Vec::new(),
        behind: None,
        promised: Vec::new(),
        later: None,
        depth: 0,
    };
    let node = grammar.alternatives(Flags::default())?;
    if grammar.flags.has(Flags::TYPES) {
        let reason = "ASCII and UNICODE flags are incompatible".to_owned();
        return Err(Refusal { at: 0, reason });
    }
    if grammar.tokens.peek().is_some() {
        return Err(grammar.tokens.refuse("unbalanced parenthesis", 0));
    }
    for (number, at) in grammar.promised {
        if number as usize > grammar.widths.len() {
            return Err(Refusal { at, reason: format!("invalid group reference {number}") });
        }
    }
    grammar.later.map_or(Ok(node), Err)
}

/// The numbers of a quantifier; without the second, any number of times.
type Bounds = (u32, Option<u32>);

#[derive(Debug)]
struct Grammar {
    tokens: Tokens,
    /// The flags of the whole pattern, which stand at its start.
    flags: Flags,
    names: HashMap<String, u32>,
    /// Of each group from number 1 on; `None` while it is open.
    widths: Vec<Option<Width>>,
    /// Inside of a look-behind, how many groups were open or closed before it.
    behind: Option<usize>,
    /// Groups of `(?(1)...)`, which may come later, and where they were named.
    promised: Vec<(u32, usize)>,
    /// What Python refuses only when it has read the whole pattern.
    later: Option<Refusal>,
    depth: usize,
}

/// What a quantifier needs to know of the part before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Place,
    Repeat,
    Other,
}

/// A sequence that is being read.
#[derive(Debug, Default)]
struct Parts {
    nodes: Vec<Node>,
    last: Option<Kind>,
}

impl Parts {
    fn push(&mut self, node: Node) {
        self.last = Some(match node {
            Node::Place(_) => Kind::Place,
            Node::Repeat { .. } => Kind::Repeat,
            _ => Kind::Other,
        });
        self.nodes.push(node);
    }

    /// Adds a group: whatever is in it, a quantifier may follow.
    fn push_group(&mut self, node: Node) {
        self.nodes.push(node);
        self.last = Some(Kind::Other);
    }
}

impl Grammar {
    /// `a|b|c`
    fn alternatives(&mut self, mut flags: Flags) -> Result<Node, Refusal> {
        let mut nodes = Vec::new();
        loop {
            nodes.push(self.sequence(&mut flags, self.depth == 0 && nodes.is_empty())?);
            if !self.tokens.eat('|')? {
                break;
            }
        }
        Ok(match nodes.pop() {
            Some(node) if nodes.is_empty() => node,
            last => {
                nodes.extend(last);
                Node::Either(nodes)
            }
        })
    }

    /// Parts up to `|`, `)` or the end. `first` says that the flags of the whole may stand here.
    fn sequence(&mut self, flags: &mut Flags, first: bool) -> Result<Node, Refusal> {
        let mut parts = Parts::default();
        while let Some(token) = self.tokens.peek() {
            if matches!(token, Token::Plain('|' | ')')) {
                break;
            }
            self.tokens.take()?;
            if flags.has(Flags::VERBOSE) && self.is_blank(token)? {
                continue;
            }
            match token {
                Token::Escaped(letter) => {
                    let node = self.escaped(letter, *flags)?;
                    parts.push(node);
                }
                Token::Plain('[') => {
                    parts.push(Node::Class(Class::parse(&mut self.tokens, *flags)?));
                }
                Token::Plain('.') => parts.push(Node::Class(Class::dot(*flags))),
                Token::Plain('^') if flags.has(Flags::MULTI_LINE) => {
                    parts.push(Node::Place(Place::LineStart));
                }
                Token::Plain('^') => parts.push(Node::Place(Place::TextStart)),
                Token::Plain('$') if flags.has(Flags::MULTI_LINE) => {
                    parts.push(Node::Place(Place::LineEnd));
                }
                Token::Plain('$') => parts.push(Node::Place(Place::LastLineEnd)),
                Token::Plain('(') => self.group(&mut parts, flags, first)?,
                Token::Plain(sign @ ('*' | '+' | '?' | '{')) => {
                    self.quantifier(&mut parts, sign, *flags)?;
                }
                Token::Plain(character) => parts.push(literal(character, *flags)),
            }
        }
        Ok(Node::sequence(parts.nodes))
    }

    /// Whether a token means nothing under `(?x)`; a comment is taken to its end.
    fn is_blank(&mut self, token: Token) -> Result<bool, Refusal> {
        match token {
            Token::Plain(' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') => Ok(true),
            Token::Plain('#') => {
                while !matches!(self.tokens.take()?, None | Some(Token::Plain('\n'))) {}
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn escaped(&mut self, letter: char, flags: Flags) -> Result<Node, Refusal> {
        let ascii = flags.has(Flags::ASCII);
        if let Some(class) = Class::shorthand(letter, flags) {
            return Ok(Node::Class(class));
        }
        let code = match letter {
            'A' => return Ok(Node::Place(Place::TextStart)),
            'Z' => return Ok(Node::Place(Place::TextEnd)),
            'b' => return Ok(Node::Place(Place::WordEdge { ascii })),
            'B' => return Ok(Node::Place(Place::NoWordEdge { ascii })),
            '0' => {
                let digits = format!("0{}", self.tokens.eat_while(2, escape::is_octal)?);
                escape::octal(&self.tokens, &digits)?
            }
            '1'..='9' => {
                let mut digits = letter.to_string();
                digits += &self.tokens.eat_while(1, |digit| digit.is_ascii_digit())?;
                if digits.len() == 2 && digits.chars().all(escape::is_octal) {
                    digits += &self.tokens.eat_while(1, escape::is_octal)?;
                }
                if digits.len() < 3 {
                    return self.same_by_number(&digits, flags);
                }
                escape::octal(&self.tokens, &digits)?
            }
            _ => escape::character(&mut self.tokens, letter)?,
        };
        Ok(Node::Class(Class::of(code, flags)))
    }

    fn same_by_number(&self, digits: &str, flags: Flags) -> Result<Node, Refusal> {
        let number = digits.parse().expect("one or two decimal digits are a number");
        match self.widths.get(number as usize - 1) {
            Some(Some(width)) => self.same(number, *width, flags),
            Some(None) => {
                Err(self.tokens.refuse("cannot refer to an open group", 1 + digits.len()))
            }
            None => {
                let reason = format!("invalid group reference {number}");
                Err(self.tokens.refuse(reason, digits.len()))
            }
        }
    }

    fn same(&self, number: u32, width: Width, flags: Flags) -> Result<Node, Refusal> {
        self.check_behind(number)?;
        let ignore_case = flags.has(Flags::IGNORE_CASE);
        Ok(Node::Same { number, ignore_case, width })
    }

    fn quantifier(&mut self, parts: &mut Parts, sign: char, flags: Flags) -> Result<(), Refusal> {
        let begin = self.tokens.at() - 1;
        let (least, most) = match sign {
            '?' => (0, Some(1)),
            '*' => (0, None),
            '+' => (1, None),
            _ => match self.bounds()? {
                Some(bounds) => bounds,
                None => {
                    parts.push(literal(sign, flags));
                    return Ok(());
                }
            },
        };
        let refuse = |reason: &str| Refusal { at: begin, reason: reason.to_owned() };
        match parts.last {
            None | Some(Kind::Place) => return Err(refuse("nothing to repeat")),
            Some(Kind::Repeat) => return Err(refuse("multiple repeat")),
            Some(Kind::Other) => {}
        }
        if self.flags.has(Flags::TEMPLATE) {
            self.later.get_or_insert(refuse("no repetition under the flag \"t\""));
        }
        let greed = if self.tokens.eat('?')? {
            Greed::Lazy
        } else if self.tokens.eat('+')? {
            Greed::Possessive
        } else {
            Greed::Greedy
        };
        let node = parts.nodes.pop().expect("the last part has a kind, so there is one");
        parts.push(Node::Repeat { node: Box::new(node), least, most, greed });
        Ok(())
    }

    /// The numbers of `{1,2}` behind the `{`, or `None`, and nothing taken, if they are not such.
    fn bounds(&mut self) -> Result<Option<Bounds>, Refusal> {
        let begin = self.tokens.at();
        if self.tokens.peek() == Some(Token::Plain('}')) {
            return Ok(None);
        }
        let least = self.tokens.eat_while(usize::MAX, |digit| digit.is_ascii_digit())?;
        let most = if self.tokens.eat(',')? {
            self.tokens.eat_while(usize::MAX, |digit| digit.is_ascii_digit())?
        } else {
            least.clone()
        };
        if !self.tokens.eat('}')? {
            self.tokens.seek(begin)?;
            return Ok(None);
        }
        let number = |digits: &str| match digits.parse() {
            _ if digits.is_empty() => Ok(None),
            Ok(number) if number < MAX_REPEAT => Ok(Some(number)),
            _ => {
                let reason = "the repetition number is too large".to_owned();
                Err(Refusal { at: begin, reason })
            }
        };
        let (least, most) = (number(&least)?.unwrap_or(0), number(&most)?);
        if most.is_some_and(|most| most < least) {
            let reason = "min repeat greater than max repeat".to_owned();
            return Err(Refusal { at: begin, reason });
        }
        Ok(Some((least, most)))
    }
}

fn literal(character: char, flags: Flags) -> Node {
    Node::Class(Class::of(u32::from(character), flags))
}
