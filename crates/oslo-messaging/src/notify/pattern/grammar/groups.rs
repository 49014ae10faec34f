//! What stands in brackets: groups, references by name, look-around, conditionals, flags.

use std::sync::LazyLock;

use super::super::flags::{self, Flags, Inline};
use super::super::tokens::{Refusal, Token};
use super::super::tree::{Node, Width};
use super::{Grammar, Parts};

/// How deep groups may be nested. Python's own limit is its recursion limit, about 490.
const MAX_DEPTH: usize = 200;

/// Python's `MAXGROUPS`: what the number of a group must stay below.
const MAX_GROUPS: u32 = (1 << 30) - 1;

impl Grammar {
    /// What begins with `(`, which has been taken.
    pub(super) fn group(
        &mut self,
        parts: &mut Parts,
        flags: &mut Flags,
        first: bool,
    ) -> Result<(), Refusal> {
        let begin = self.tokens.at() - 1;
        if !self.tokens.eat('?')? {
            let node = self.capture(begin, None, *flags)?;
            parts.push_group(node);
            return Ok(());
        }
        let token = self.tokens.need("unexpected end of pattern")?;
        let node = match token {
            Token::Plain('P') => self.named(begin, *flags)?,
            Token::Plain(':') => self.enclosed(begin, *flags)?,
            Token::Plain('>') => Node::Atomic(Box::new(self.enclosed(begin, *flags)?)),
            Token::Plain('#') => return self.comment(begin),
            Token::Plain('=') => self.ahead(begin, *flags, false)?,
            Token::Plain('!') => self.ahead(begin, *flags, true)?,
            Token::Plain('<') => self.behind(begin, *flags)?,
            Token::Plain('(') => self.whether(begin, *flags)?,
            _ if flags::begins(token) => match flags::parse(&mut self.tokens, token)? {
                Inline::Scoped { on, off } => self.enclosed(begin, flags.inside(on, off))?,
                Inline::Global(_) if !first || !parts.nodes.is_empty() => {
                    let reason = "global flags not at the start of the expression".to_owned();
                    return Err(Refusal { at: begin, reason });
                }
                Inline::Global(added) => {
                    self.flags = self.flags.with(added);
                    *flags = self.flags;
                    return Ok(());
                }
            },
            _ => {
                let reason = format!("unknown extension ?{token}");
                return Err(self.tokens.refuse(reason, 1 + token.len()));
            }
        };
        parts.push_group(node);
        Ok(())
    }

    /// Alternatives up to the bracket that closes the one at `begin`, which is taken too.
    fn enclosed(&mut self, begin: usize, flags: Flags) -> Result<Node, Refusal> {
        self.deeper(begin)?;
        let node = self.alternatives(flags)?;
        self.close(begin)?;
        Ok(node)
    }

    fn deeper(&mut self, begin: usize) -> Result<(), Refusal> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let reason = format!("groups are nested deeper than {MAX_DEPTH}");
            return Err(Refusal { at: begin, reason });
        }
        Ok(())
    }

    fn close(&mut self, begin: usize) -> Result<(), Refusal> {
        if !self.tokens.eat(')')? {
            let reason = "missing ), unterminated subpattern".to_owned();
            return Err(Refusal { at: begin, reason });
        }
        self.depth -= 1;
        Ok(())
    }

    /// `(...)` or `(?P<name>...)` behind what opens it.
    fn capture(
        &mut self,
        begin: usize,
        name: Option<String>,
        flags: Flags,
    ) -> Result<Node, Refusal> {
        self.widths.push(None);
        let index = self.widths.len() - 1;
        let number = u32::try_from(index + 1).expect("a pattern has fewer groups than characters");
        if let Some(name) = name {
            if let Some(other) = self.names.get(&name) {
                let reason = format!(
                    "redefinition of group name '{name}' as group {number}; was group {other}"
                );
                return Err(self.tokens.refuse(reason, name.chars().count() + 1));
            }
            self.names.insert(name, number);
        }
        let node = self.enclosed(begin, flags)?;
        self.widths[index] = Some(node.width());
        Ok(Node::Group { number, node: Box::new(node) })
    }

    /// `(?P<name>...)` or `(?P=name)` behind the `P`.
    fn named(&mut self, begin: usize, flags: Flags) -> Result<Node, Refusal> {
        if self.tokens.eat('<')? {
            let name = self.tokens.until('>', "group name")?;
            self.check_name(&name)?;
            return self.capture(begin, Some(name), flags);
        }
        if self.tokens.eat('=')? {
            let name = self.tokens.until(')', "group name")?;
            self.check_name(&name)?;
            let number = self.named_before(&name)?;
            return match self.widths[number as usize - 1] {
                Some(width) => self.same(number, width, flags),
                None => {
                    let back = name.chars().count() + 1;
                    Err(self.tokens.refuse("cannot refer to an open group", back))
                }
            };
        }
        let token = self.tokens.need("unexpected end of pattern")?;
        Err(self.tokens.refuse(format!("unknown extension ?P{token}"), 2 + token.len()))
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        if is_identifier(name) {
            return Ok(());
        }
        let reason = format!("bad character in group name '{name}'");
        Err(self.tokens.refuse(reason, name.chars().count() + 1))
    }

    fn named_before(&self, name: &str) -> Result<u32, Refusal> {
        self.names.get(name).copied().ok_or_else(|| {
            let reason = format!("unknown group name '{name}'");
            self.tokens.refuse(reason, name.chars().count() + 1)
        })
    }

    fn comment(&mut self, begin: usize) -> Result<(), Refusal> {
        loop {
            if self.tokens.peek().is_none() {
                let reason = "missing ), unterminated comment".to_owned();
                return Err(Refusal { at: begin, reason });
            }
            if self.tokens.take()? == Some(Token::Plain(')')) {
                return Ok(());
            }
        }
    }

    fn ahead(&mut self, begin: usize, flags: Flags, negated: bool) -> Result<Node, Refusal> {
        Ok(Node::Ahead { node: Box::new(self.enclosed(begin, flags)?), negated })
    }

    /// `(?<=...)` or `(?<!...)` behind the `<`.
    fn behind(&mut self, begin: usize, flags: Flags) -> Result<Node, Refusal> {
        let token = self.tokens.need("unexpected end of pattern")?;
        let negated = match token {
            Token::Plain('=') => false,
            Token::Plain('!') => true,
            _ => {
                let reason = format!("unknown extension ?<{token}");
                return Err(self.tokens.refuse(reason, 2 + token.len()));
            }
        };
        let outer = self.behind;
        self.behind = outer.or(Some(self.widths.len()));
        let node = self.enclosed(begin, flags)?;
        self.behind = outer;
        let Width { least, most } = node.width();
        let width = u32::try_from(least);
        let reason = match width {
            Err(_) => Some("looks too much behind"),
            Ok(_) if least < most => Some("look-behind requires fixed-width pattern"),
            Ok(_) => None,
        };
        if let Some(reason) = reason {
            self.later.get_or_insert(Refusal { at: begin, reason: reason.to_owned() });
        }
        Ok(Node::Behind { node: Box::new(node), negated, width: width.unwrap_or_default() })
    }

    /// `(?(1)then|otherwise)` behind its second `(`.
    fn whether(&mut self, begin: usize, mut flags: Flags) -> Result<Node, Refusal> {
        let name = self.tokens.until(')', "group name")?;
        let number = if is_identifier(&name) {
            self.named_before(&name)?
        } else {
            let back = name.chars().count() + 1;
            let number = match number(&name) {
                None => Err(format!("bad character in group name '{name}'")),
                Some(0) => Err("bad group number".to_owned()),
                Some(number) if number >= MAX_GROUPS => {
                    Err(format!("invalid group reference {number}"))
                }
                Some(number) => Ok(number),
            };
            let number = number.map_err(|reason| self.tokens.refuse(reason, back))?;
            self.promised.push((number, self.tokens.at() - back));
            number
        };
        self.check_behind(number)?;
        self.deeper(begin)?;
        let then = Box::new(self.sequence(&mut flags, false)?);
        let mut otherwise = None;
        if self.tokens.eat('|')? {
            otherwise = Some(Box::new(self.sequence(&mut flags, false)?));
            if self.tokens.peek() == Some(Token::Plain('|')) {
                let reason = "conditional backref with more than two branches";
                return Err(self.tokens.refuse(reason, 0));
            }
        }
        self.close(begin)?;
        Ok(Node::Whether { number, then, otherwise })
    }

    /// A look-behind refers only to groups that were closed before it.
    pub(super) fn check_behind(&self, number: u32) -> Result<(), Refusal> {
        let Some(before) = self.behind else { return Ok(()) };
        let index = number as usize - 1;
        if !matches!(self.widths.get(index), Some(Some(_))) {
            return Err(self.tokens.refuse("cannot refer to an open group", 0));
        }
        if index >= before {
            let reason = "cannot refer to group defined in the same lookbehind subpattern";
            return Err(self.tokens.refuse(reason, 0));
        }
        Ok(())
    }
}

/// Python's `str.isidentifier`.
fn is_identifier(name: &str) -> bool {
    static IDENTIFIER: LazyLock<regex::Regex> = LazyLock::new(|| {
        regex::Regex::new(r"\A[\p{XID_Start}_]\p{XID_Continue}*\z")
            .expect("the expression is constant and tested")
    });
    IDENTIFIER.is_match(name)
}

/// What Python's `int` makes of a text of ASCII characters, as far as it is not negative.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let groups = || digits.split('_');
    if groups().any(|group| group.is_empty() || !group.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let number = groups().collect::<String>().parse().unwrap_or(u32::MAX);
    (!negative || number == 0).then_some(number)
}
