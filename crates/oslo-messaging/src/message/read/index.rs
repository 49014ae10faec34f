//! An index of a JSON text: its parts in a flat list, each knowing where the next one starts.

use std::collections::HashMap;

use crate::message::json::{Fault, MAX_VALUE_DEPTH, Visit, check, string_value};

/// The parts of a text in their order: of an object its keys and values in turn.
pub(super) struct Index<'a> {
    text: &'a str,
    parts: Vec<Part>,
}

struct Part {
    start: usize,
    end: usize,
    /// The part behind this one and all that is in it.
    next: usize,
}

impl<'a> Index<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, Fault> {
        let mut build = Build { parts: Vec::new(), open: Vec::new() };
        check(text, MAX_VALUE_DEPTH, &mut build)?;
        Ok(Self { text, parts: build.parts })
    }

    /// The text of a part.
    pub(super) fn raw(&self, part: usize) -> &'a str {
        let Part { start, end, .. } = self.parts[part];
        &self.text[start..end]
    }

    /// The values of a list.
    pub(super) fn elements(&self, list: usize) -> impl Iterator<Item = usize> {
        let end = self.parts[list].next;
        let mut part = list + 1;
        std::iter::from_fn(move || {
            let here = (part < end).then_some(part)?;
            part = self.parts[here].next;
            Some(here)
        })
    }

    /// The keys of an object, each with its value.
    fn entries(&self, object: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut parts = self.elements(object);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    /// The keys of an object, each with its last value, in the order of their first appearance.
    pub(super) fn last_entries(&self, object: usize) -> Vec<(usize, usize)> {
        let mut entries: Vec<(usize, usize)> = Vec::new();
        let mut places = HashMap::new();
        for (key, value) in self.entries(object) {
            let place = *places.entry(string_value(self.raw(key))).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        entries
    }

    /// Where a part is, such as `servers[3].load`; empty for the whole text.
    pub(super) fn path_of(&self, part: usize) -> String {
        let mut path = String::new();
        let mut here = 0;
        while here != part {
            let inside = |&(_, value): &(usize, usize)| part < self.parts[value].next;
            if self.raw(here).starts_with('{') {
                let Some((key, value)) = self.entries(here).find(inside) else { break };
                let dot = if path.is_empty() { "" } else { "." };
                path.push_str(&format!("{dot}{}", string_value(self.raw(key)).escape_debug()));
                here = if part == key { key } else { value };
            } else {
                let Some((at, value)) = self.elements(here).enumerate().find(inside) else { break };
                path.push_str(&format!("[{at}]"));
                here = value;
            }
        }
        path
    }
}

struct Build {
    parts: Vec<Part>,
    open: Vec<usize>,
}

impl Visit for Build {
    fn open(&mut self, at: usize) {
        self.open.push(self.parts.len());
        self.parts.push(Part { start: at, end: at, next: 0 });
    }

    fn close(&mut self, end: usize) {
        let next = self.parts.len();
        if let Some(part) = self.open.pop().and_then(|open| self.parts.get_mut(open)) {
            part.end = end;
            part.next = next;
        }
    }

    fn scalar(&mut self, start: usize, end: usize) {
        self.parts.push(Part { start, end, next: self.parts.len() + 1 });
    }
}
