//! The keys and values of one object, one after the other, without building it.

use super::{
    Fault, MAX_DEPTH,
    scan::{self, at_end, key_end, skip_colon, skip_space},
    stops::{InString, Stops},
};

/// One key of an object and its value, as they stand in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The key with its quotes and escapes.
    pub(crate) key: &'a str,
    /// Where the value is in the text.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Walks the entries of the object that a text is, and checks the text on the way.
///
/// As an iterator it checks values and gives each with its key; with [`Self::next_key`] the caller
/// skips or reads the value and says where it ended. After an error it ends.
pub(crate) struct Entries<'a> {
    text: &'a str,
    at: usize,
    state: State,
    stops: Stops<'a, InString>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    Later,
    Done,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, state: State::First, stops: Stops::new(text.as_bytes()) }
    }

    /// The next key with its quotes and escapes, and where its value starts.
    pub(crate) fn next_key(&mut self) -> Result<Option<(&'a str, usize)>, Fault> {
        let bytes = self.text.as_bytes();
        let at = skip_space(bytes, self.at);
        let at = match (std::mem::replace(&mut self.state, State::Done), bytes.get(at)) {
            (State::Done, _) => return Ok(None),
            (State::First, Some(b'{')) => {
                let at = skip_space(bytes, at + 1);
                if bytes.get(at) == Some(&b'}') {
                    return at_end(bytes, at + 1).map(|()| None);
                }
                at
            }
            (State::Later, Some(b',')) => skip_space(bytes, at + 1),
            (State::Later, Some(b'}')) => return at_end(bytes, at + 1).map(|()| None),
            (State::First, _) => return Err(Fault::syntax(at, "expected '{'")),
            (State::Later, _) => return Err(Fault::syntax(at, "expected ',' or '}'")),
        };
        let end = key_end(bytes, at, &mut self.stops)?;
        let start = skip_colon(bytes, end)?;
        self.resume(start);
        Ok(Some((&self.text[at..end], start)))
    }

    /// Skips the value at `start`, nested to `max_depth` at most, and gives the offset behind it.
    pub(crate) fn skip_value(&mut self, start: usize, max_depth: usize) -> Result<usize, Fault> {
        self.state = State::Done;
        let end =
            scan::skip_value(self.text.as_bytes(), start, max_depth, &mut self.stops, &mut ())?;
        self.resume(end);
        Ok(end)
    }

    /// Goes on behind the value that ends at `end`.
    pub(crate) fn resume(&mut self, end: usize) {
        self.at = end;
        self.state = State::Later;
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, start) = match self.next_key() {
            Ok(found) => found?,
            Err(fault) => return Some(Err(fault)),
        };
        Some(self.skip_value(start, MAX_DEPTH).map(|end| Entry { key, start, end }))
    }
}
