//! From the tree to the notation of `regex` and of `fancy-regex`.
//!
//! A pattern becomes one or two expressions. What has look-around, references, conditionals or
//! atomic parts needs `fancy-regex` always. `$`, `\b` and `\B` need it only for some texts: for
//! the others the plain expression says the same, in time that grows with the text alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::tree::{Greed, Node, Place};

/// How deep the plain expression may be nested: above what the deepest tree is written as.
pub(super) const MAX_DEPTH: u32 = 2_000;

/// What a text must be for the plain expression to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// `$` was written as the very end.
    pub(super) no_final_newline: bool,
    /// `\b` or `\B` was written with the word characters of `regex`.
    pub(super) ascii: bool,
    /// `\B` was written as one that an empty text has.
    pub(super) not_empty: bool,
}

impl Needs {
    pub(super) fn are_met_by(self, text: &str) -> bool {
        !(self.no_final_newline && text.ends_with('\n')
            || self.not_empty && text.is_empty()
            || self.ascii && !text.is_ascii())
    }
}

/// The expression for `regex` and what it needs, unless the pattern is beyond it.
pub(super) fn plain(tree: &Node) -> Option<(String, Needs)> {
    if !is_plain(tree) {
        return None;
    }
    let mut writer = Writer::new(tree, Dialect::Plain);
    writer.whole(tree);
    Some((writer.out, writer.needs))
}

/// The expression for `fancy-regex`.
pub(super) fn exact(tree: &Node) -> String {
    let mut writer = Writer::new(tree, Dialect::Fancy);
    writer.whole(tree);
    writer.out
}

fn is_plain(node: &Node) -> bool {
    match node {
        Node::Class(_) | Node::Place(_) => true,
        Node::Sequence(nodes) | Node::Either(nodes) => nodes.iter().all(is_plain),
        Node::Group { node, .. } => is_plain(node),
        Node::Repeat { node, greed, .. } => *greed != Greed::Possessive && is_plain(node),
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Plain,
    Fancy,
}

struct Writer {
    dialect: Dialect,
    out: String,
    needs: Needs,
    /// New numbers of the groups that are referred to; the others need not capture.
    numbers: BTreeMap<u32, usize>,
}

impl Writer {
    fn new(tree: &Node, dialect: Dialect) -> Self {
        let mut referred = BTreeMap::new();
        collect_referred(tree, &mut referred);
        for (index, number) in referred.values_mut().enumerate() {
            *number = index + 1;
        }
        Self { dialect, out: String::new(), needs: Needs::default(), numbers: referred }
    }

    fn whole(&mut self, tree: &Node) {
        self.out.push_str(r"\A");
        self.part(tree);
    }

    fn bracketed(&mut self, open: &str, node: &Node) {
        self.out.push_str(open);
        self.node(node);
        self.out.push(')');
    }

    /// Something that stays one, and that a quantifier may follow.
    fn part(&mut self, node: &Node) {
        match self.peeled(node) {
            // `fancy-regex` refuses to repeat these; there is nothing in them to give back.
            node if self.dialect == Dialect::Fancy && self.takes_nothing(node) => {
                self.bracketed("(?>", node);
            }
            node @ (Node::Class(_) | Node::Group { .. } | Node::Atomic(_)) => self.node(node),
            node => self.bracketed("(?:", node),
        }
    }

    /// What is in a group that need not capture.
    fn peeled<'n>(&self, mut node: &'n Node) -> &'n Node {
        while let Node::Group { number, node: inner } = node
            && !self.numbers.contains_key(number)
        {
            node = inner;
        }
        node
    }

    fn takes_nothing(&self, node: &Node) -> bool {
        match self.peeled(node) {
            Node::Ahead { .. } | Node::Behind { .. } | Node::Place(_) => true,
            Node::Sequence(nodes) => nodes.iter().all(|node| self.takes_nothing(node)),
            node => self.says_nothing(node),
        }
    }

    fn says_nothing(&self, node: &Node) -> bool {
        match self.peeled(node) {
            Node::Sequence(nodes) => nodes.iter().all(|node| self.says_nothing(node)),
            Node::Whether { then, otherwise, .. } => {
                let otherwise = otherwise.as_ref();
                self.says_nothing(then) && otherwise.is_none_or(|node| self.says_nothing(node))
            }
            _ => false,
        }
    }

    fn node(&mut self, node: &Node) {
        match self.peeled(node) {
            Node::Class(class) => class.write(&mut self.out),
            Node::Place(place) => self.place(*place),
            Node::Sequence(nodes) => {
                for node in nodes {
                    match self.peeled(node) {
                        Node::Either(_) => self.bracketed("(?:", node),
                        _ => self.node(node),
                    }
                }
            }
            Node::Either(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    if index > 0 {
                        self.out.push('|');
                    }
                    self.node(node);
                }
            }
            Node::Group { node, .. } => self.bracketed("(", node),
            Node::Atomic(node) => self.bracketed("(?>", node),
            Node::Repeat { node, least, most, greed: Greed::Possessive } => {
                // Python gives nothing back from any of the rounds either.
                self.out.push_str("(?>");
                match self.peeled(node) {
                    Node::Class(class) => class.write(&mut self.out),
                    node => self.bracketed("(?>", node),
                }
                self.bounds(*least, *most);
                self.out.push(')');
            }
            Node::Repeat { node, least, most, greed } => {
                self.part(node);
                self.bounds(*least, *most);
                if *greed == Greed::Lazy {
                    self.out.push('?');
                }
            }
            Node::Ahead { node, negated } => {
                self.bracketed(if *negated { "(?!" } else { "(?=" }, node);
            }
            Node::Behind { node, negated, width } => {
                // As Python does it: so many characters back, and from there on.
                self.out.push_str(if *negated { "(?<!" } else { "(?<=" });
                self.bracketed("(?=", node);
                self.write(format_args!("(?s:.){{{width}}})"));
            }
            Node::Same { number, ignore_case, .. } => {
                let (open, number) =
                    (if *ignore_case { "(?i:" } else { "(?:" }, self.numbers[number]);
                self.write(format_args!(r"{open}\{number})"));
            }
            // `fancy-regex` would take a conditional without branches for a test of the group.
            Node::Whether { .. } if self.says_nothing(node) => {}
            Node::Whether { number, then, otherwise } => {
                let number = self.numbers[number];
                self.write(format_args!("(?({number})"));
                self.bracketed("(?:", then);
                self.out.push('|');
                match otherwise {
                    Some(otherwise) => self.bracketed("(?:", otherwise),
                    None => self.out.push_str("(?:)"),
                }
                self.out.push(')');
            }
        }
    }

    fn bounds(&mut self, least: u32, most: Option<u32>) {
        match (least, most) {
            (0, None) => self.out.push('*'),
            (1, None) => self.out.push('+'),
            (0, Some(1)) => self.out.push('?'),
            (_, None) => self.write(format_args!("{{{least},}}")),
            (_, Some(most)) => self.write(format_args!("{{{least},{most}}}")),
        }
    }

    fn place(&mut self, place: Place) {
        let plain = self.dialect == Dialect::Plain;
        self.out.push_str(match place {
            Place::TextStart => r"\A",
            Place::TextEnd => r"\z",
            Place::LineStart => "(?m:^)",
            Place::LineEnd => "(?m:$)",
            Place::LastLineEnd if plain => {
                self.needs.no_final_newline = true;
                r"\z"
            }
            Place::LastLineEnd => r"(?=\n?\z)",
            Place::WordEdge { ascii } | Place::NoWordEdge { ascii } => {
                return self.edge(ascii, matches!(place, Place::NoWordEdge { .. }));
            }
        });
    }

    fn edge(&mut self, ascii: bool, negated: bool) {
        if self.dialect == Dialect::Plain {
            self.needs.ascii |= !ascii || negated;
            self.needs.not_empty |= negated;
            self.out.push_str(match (negated, ascii) {
                (true, _) => r"\B",
                (false, true) => r"(?-u:\b)",
                (false, false) => r"\b",
            });
            return;
        }
        let word = if ascii { "[0-9A-Z_a-z]" } else { r"[\p{L}\p{N}_]" };
        if negated {
            self.write(format_args!(r"(?!\A\z)(?:(?<={word})(?={word})|(?<!{word})(?!{word}))"));
        } else {
            self.write(format_args!("(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"));
        }
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = self.out.write_fmt(arguments);
    }
}

fn collect_referred(node: &Node, referred: &mut BTreeMap<u32, usize>) {
    match node {
        Node::Class(_) | Node::Place(_) => {}
        Node::Sequence(nodes) | Node::Either(nodes) => {
            for node in nodes {
                collect_referred(node, referred);
            }
        }
        Node::Group { node, .. }
        | Node::Atomic(node)
        | Node::Repeat { node, .. }
        | Node::Ahead { node, .. }
        | Node::Behind { node, .. } => collect_referred(node, referred),
        Node::Same { number, .. } => {
            referred.insert(*number, 0);
        }
        Node::Whether { number, then, otherwise } => {
            referred.insert(*number, 0);
            collect_referred(then, referred);
            if let Some(otherwise) = otherwise {
                collect_referred(otherwise, referred);
            }
        }
    }
}
