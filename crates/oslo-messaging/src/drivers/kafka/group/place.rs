//! How far a partition was read, and whether the record that came is the one that comes next.

use std::time::{Duration, Instant};

/// Between two looks at one partition for gaps. Compacted topics and those with transactions have
/// gaps everywhere, and the answer to a look waits for the fetch before it, half a second and more.
const NEXT_LOOK: Duration = Duration::from_secs(1);

/// A place in a partition.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The offset that comes next if none is missing; none before the first record of a start
    /// without an offset.
    next: Option<i64>,
    /// Records from before `next` come again, and it was looked why: the one that comes next.
    again: Option<i64>,
    gap_seen: Option<Instant>,
}

/// What a record's offset says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the next one, or comes again as was seen before: nothing to look at.
    Known,
    /// Offsets are missing before it; the first of them.
    Gap(i64),
    /// It is from before the offset that comes next, which is this one.
    Return(i64),
}

impl Place {
    pub(super) fn at(next: i64) -> Self {
        Self { next: Some(next), ..Self::default() }
    }

    /// Takes the offset of a record that came.
    pub(super) fn take(&mut self, now: Instant, offset: i64) -> Step {
        let next = self.next.unwrap_or(offset);
        self.next = Some(next.max(offset + 1));
        if offset < next {
            let again = self.again.replace(offset + 1);
            return match again {
                Some(again) if offset >= again => Step::Known,
                _ => Step::Return(next),
            };
        }
        self.again = None;
        if offset == next || self.gap_seen.is_some_and(|seen| now < seen + NEXT_LOOK) {
            return Step::Known;
        }
        self.gap_seen = Some(now);
        Step::Gap(next)
    }

    /// Nobody could say why a record comes again: the next one is looked at.
    pub(super) fn ask_again(&mut self) {
        self.again = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(place: &mut Place, now: Instant, offsets: &[i64]) -> Vec<Step> {
        offsets.iter().map(|offset| place.take(now, *offset)).collect()
    }

    #[test]
    fn a_start_without_an_offset_has_no_gap() {
        let taken = steps(&mut Place::default(), Instant::now(), &[7, 8]);
        assert_eq!(taken, [Step::Known, Step::Known]);
    }

    #[test]
    fn records_that_come_again_are_looked_at_once() {
        let (mut place, now) = (Place::at(100), Instant::now());
        let taken = steps(&mut place, now, &[0, 1, 5, 99, 100, 101]);
        let mut expected = vec![Step::Return(100)];
        expected.resize_with(6, || Step::Known);
        assert_eq!(taken, expected);
        // Once more from the beginning is another return.
        assert_eq!(
            steps(&mut place, now, &[0, 1, 0]),
            [Step::Return(102), Step::Known, Step::Return(102)]
        );
    }

    #[test]
    fn a_return_that_could_not_be_looked_at_is_looked_at_again() {
        let (mut place, now) = (Place::at(100), Instant::now());
        assert_eq!(place.take(now, 3), Step::Return(100));
        place.ask_again();
        assert_eq!(place.take(now, 4), Step::Return(100));
        assert_eq!(place.take(now, 5), Step::Known);
    }

    #[test]
    fn gaps_are_looked_at_once_a_second() {
        let (mut place, now) = (Place::at(0), Instant::now());
        assert_eq!(steps(&mut place, now, &[2, 4, 5]), [Step::Gap(0), Step::Known, Step::Known]);
        assert_eq!(place.take(now + NEXT_LOOK, 9), Step::Gap(6));
    }
}
