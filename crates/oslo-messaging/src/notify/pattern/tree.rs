//! A pattern as a tree, with the flags already applied to its leaves.

use super::class::Class;

/// How a repetition chooses how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greed {
    /// `a*`: often, giving back.
    Greedy,
    /// `a*?`: seldom, taking more.
    Lazy,
    /// `a*+`: often, giving nothing back.
    Possessive,
}

/// A place that takes no characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `^`, `\A`.
    TextStart,
    /// `^` under `(?m)`.
    LineStart,
    /// `$`: the end, or the newline that ends the text.
    LastLineEnd,
    /// `$` under `(?m)`.
    LineEnd,
    /// `\Z`.
    TextEnd,
    /// `\b`.
    WordEdge { ascii: bool },
    /// `\B`, which Python finds nowhere in an empty text.
    NoWordEdge { ascii: bool },
}

/// One part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Class(Class),
    Place(Place),
    Sequence(Vec<Node>),
    Either(Vec<Node>),
    Group {
        number: u32,
        node: Box<Node>,
    },
    Atomic(Box<Node>),
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
        greed: Greed,
    },
    Ahead {
        node: Box<Node>,
        negated: bool,
    },
    Behind {
        node: Box<Node>,
        negated: bool,
        width: u32,
    },
    /// `\1`: what the group took.
    Same {
        number: u32,
        ignore_case: bool,
        width: Width,
    },
    /// `(?(1)then|otherwise)`.
    Whether {
        number: u32,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
}

/// The smallest and the largest number of characters that a part can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Width {
    pub(super) least: u128,
    pub(super) most: u128,
}

impl Width {
    /// As good as without limit; above everything that two lengths can give.
    const UNLIMITED: u128 = 1 << 64;

    fn limited(self) -> Self {
        Self { least: self.least.min(Self::UNLIMITED), most: self.most.min(Self::UNLIMITED) }
    }

    fn plus(self, other: Self) -> Self {
        Self { least: self.least + other.least, most: self.most + other.most }.limited()
    }

    fn or(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
}

impl Node {
    /// A sequence, or its only part.
    pub(super) fn sequence(mut nodes: Vec<Self>) -> Self {
        match nodes.pop() {
            Some(node) if nodes.is_empty() => node,
            last => {
                nodes.extend(last);
                Self::Sequence(nodes)
            }
        }
    }

    /// How many characters it takes, as Python counts them for look-behind.
    pub(super) fn width(&self) -> Width {
        match self {
            Self::Class(_) => Width { least: 1, most: 1 },
            Self::Place(_) | Self::Ahead { .. } | Self::Behind { .. } => Width::default(),
            Self::Sequence(nodes) => {
                nodes.iter().map(Self::width).fold(Width::default(), Width::plus)
            }
            Self::Either(nodes) => {
                nodes.iter().map(Self::width).reduce(Width::or).unwrap_or_default()
            }
            Self::Group { node, .. } | Self::Atomic(node) => node.width(),
            Self::Repeat { node, least, most, .. } => {
                let once = node.width();
                let most = match most {
                    Some(most) => once.most * u128::from(*most),
                    None if once.most == 0 => 0,
                    None => Width::UNLIMITED,
                };
                Width { least: once.least * u128::from(*least), most }.limited()
            }
            Self::Same { width, .. } => *width,
            Self::Whether { then, otherwise, .. } => {
                let otherwise = otherwise.as_ref().map(|node| node.width());
                then.width().or(otherwise.unwrap_or_default())
            }
        }
    }
}
