//! Which notification was sent, what became of it, and how often each listener dispatched it.

/// What the notifier was told of one notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answer {
    #[default]
    None,
    Delivered,
    Refused,
    Unknown,
}

/// Counts by sequence number, for two listeners.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    answers: Vec<Answer>,
    dispatched: [Vec<u8>; 2],
}

/// What a tally comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: usize,
    pub(crate) delivered: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
    pub(crate) unanswered: usize,
    pub(crate) listeners: [Seen; 2],
}

/// What one listener has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Different notifications.
    pub(crate) dispatched: usize,
    /// Delivered and not dispatched: lost at the end, on its way before that.
    pub(crate) missing: usize,
    /// Dispatched more than once.
    pub(crate) twice: usize,
    /// Dispatched, though the notifier was told that it is not on the broker.
    pub(crate) ghosts: usize,
}

impl Tally {
    pub(crate) fn sent(&mut self, seq: usize) {
        self.answer(seq, Answer::None);
    }

    pub(crate) fn answer(&mut self, seq: usize, answer: Answer) {
        *entry(&mut self.answers, seq) = answer;
    }

    pub(crate) fn dispatched(&mut self, listener: usize, seq: usize) {
        let count = entry(&mut self.dispatched[listener], seq);
        *count = count.saturating_add(1);
    }

    pub(crate) fn counts(&self) -> Counts {
        let number = |answer| self.answers.iter().filter(|&&other| other == answer).count();
        Counts {
            sent: self.answers.len(),
            delivered: number(Answer::Delivered),
            refused: number(Answer::Refused),
            unknown: number(Answer::Unknown),
            unanswered: number(Answer::None),
            listeners: [0, 1].map(|listener| self.seen(listener)),
        }
    }

    fn seen(&self, listener: usize) -> Seen {
        let counts = &self.dispatched[listener];
        let times = |seq: usize| counts.get(seq).copied().unwrap_or(0);
        let number = |is: fn(Answer, u8) -> bool| {
            self.answers.iter().enumerate().filter(|&(seq, &answer)| is(answer, times(seq))).count()
        };
        Seen {
            dispatched: counts.iter().filter(|&&times| times > 0).count(),
            missing: number(|answer, times| answer == Answer::Delivered && times == 0),
            twice: counts.iter().filter(|&&times| times > 1).count(),
            ghosts: number(|answer, times| answer == Answer::Refused && times > 0),
        }
    }
}

fn entry<T: Clone + Default>(values: &mut Vec<T>, index: usize) -> &mut T {
    if values.len() <= index {
        values.resize(index + 1, T::default());
    }
    &mut values[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivered_notification_must_be_dispatched_once_by_each_listener() {
        let mut tally = Tally::default();
        for seq in 0..5 {
            tally.sent(seq);
        }
        for seq in 0..3 {
            tally.answer(seq, Answer::Delivered);
            tally.dispatched(0, seq);
        }
        tally.dispatched(1, 0);
        tally.dispatched(1, 2);
        tally.dispatched(1, 2);
        tally.answer(3, Answer::Refused);
        tally.dispatched(1, 3);
        let well = Seen { dispatched: 3, ..Seen::default() };
        let ill = Seen { dispatched: 3, missing: 1, twice: 1, ghosts: 1 };
        let expected = Counts {
            sent: 5,
            delivered: 3,
            refused: 1,
            unknown: 0,
            unanswered: 1,
            listeners: [well, ill],
        };
        assert_eq!(tally.counts(), expected);
    }

    #[test]
    fn an_unknown_notification_may_come_or_not() {
        let mut tally = Tally::default();
        tally.answer(0, Answer::Unknown);
        tally.answer(1, Answer::Unknown);
        tally.dispatched(0, 1);
        let counts = tally.counts();
        assert_eq!((counts.unknown, counts.unanswered), (2, 0));
        assert_eq!(counts.listeners[0], Seen { dispatched: 1, ..Seen::default() });
        assert_eq!(counts.listeners[1], Seen::default());
    }
}
