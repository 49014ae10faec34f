//! What is under way from RabbitMQ to Kafka, and the count of what became of it.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use oslo_messaging::{
    Cause, Error, Notification, Notifier, Outcome, Priority, Receipt, Target, Transport,
    driver::{Incoming, Settled, Subscription, Token},
    wire::{self, ContextStyle},
};

use super::{Intake, Refused, TICK};
use crate::{
    exit::{Exit, Failure, chain},
    output,
};

/// Notifications that Kafka has not confirmed, at most.
const WINDOW: usize = 1_000;
/// What Kafka did not take is handed over again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long Kafka may refuse everything for a reason that does not pass by itself.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// For RabbitMQ to take the last answers.
const CLOSE: Duration = Duration::from_secs(10);

/// Which message it is: RabbitMQ may give out the same one again, after it came back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Topic and priority, such as `notifications.info`.
    pub(super) topic: Arc<str>,
    pub(super) body: bytes::Bytes,
}

/// See the module's head.
pub(super) struct Carrier {
    to: Transport,
    subscription: Arc<dyn Subscription>,
    notifiers: HashMap<String, Notifier>,
    under_way: HashMap<Key, Parcel>,
    refused: Refused,
    /// Kafka takes nothing: a single one tries whether that is over, and no more are taken.
    is_away: bool,
    /// Topics that somebody must mend, since when and why.
    blocked: HashMap<String, (Instant, Failure)>,
    tally: Tally,
}

/// One notification.
struct Parcel {
    notification: Notification,
    topic: String,
    /// By which RabbitMQ knows it; the last one, should it have come more than once.
    token: Token,
    stage: Stage,
}

enum Stage {
    Sent(Receipt),
    /// Kafka did not take it; when it is handed over again.
    Waits(Instant),
}

/// What became of all. `Display` is the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Handed to Kafka, each time counted.
    pub(super) sent: u64,
    /// Kafka has them, and RabbitMQ is told.
    pub(super) moved: u64,
    /// Handed over once more.
    again: u64,
    /// Of those: Kafka may have had them already.
    maybe_twice: u64,
    refused: u64,
    /// Of those: in the dead-letter file.
    filed: u64,
    /// Sent and not confirmed at the end: Kafka may have them, RabbitMQ has.
    unconfirmed: u64,
}

impl Carrier {
    pub(super) fn new(
        to: Transport,
        subscription: Arc<dyn Subscription>,
        refused: Refused,
    ) -> Self {
        Self {
            to,
            subscription,
            notifiers: HashMap::new(),
            under_way: HashMap::new(),
            refused,
            is_away: false,
            blocked: HashMap::new(),
            tally: Tally::default(),
        }
    }

    pub(super) fn tally(&self) -> Tally {
        Tally { refused: self.refused.count, filed: self.refused.filed, ..self.tally }
    }

    pub(super) fn under_way(&self) -> u64 {
        self.under_way.len() as u64
    }

    /// Whether no more may be taken now.
    pub(super) fn is_full(&self) -> bool {
        self.is_away || self.under_way.len() >= WINDOW
    }

    /// Sends a record on.
    pub(super) fn take(&mut self, record: Incoming) {
        let Incoming { origin, body, context_style, token, .. } = record;
        let key = Key { topic: origin.topic, body: body.unwrap_or_default() };
        if self.refused.knows(&key, token) {
            return;
        }
        if let Some(parcel) = self.under_way.get_mut(&key) {
            parcel.token = token;
            return;
        }
        let read = topic_of(&key.topic).and_then(|topic| {
            let read = match context_style {
                ContextStyle::Flattened => wire::decode_flattened(&key.body),
                _ => wire::decode(&key.body),
            };
            Ok((topic, read.map_err(|error| format!("cannot be read: {error}"))?))
        });
        let sent = read.and_then(|(topic, notification)| {
            let receipt = self.send(&topic, &notification)?;
            Ok(Parcel { notification, topic, token, stage: Stage::Sent(receipt) })
        });
        match sent {
            Ok(parcel) => {
                self.under_way.insert(key, parcel);
            }
            Err(reason) => {
                if self.refused.take(key, token, &reason) {
                    self.answer(&[token], true);
                }
            }
        }
    }

    /// Takes Kafka's answers, and hands over again what is due.
    ///
    /// # Errors
    ///
    /// When there is no use in going on.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let (mut done, mut due, mut asked) = (Vec::new(), Vec::new(), 0_usize);
        for (key, parcel) in &self.under_way {
            match &parcel.stage {
                Stage::Sent(receipt) if receipt.is_resolved() => done.push(key.clone()),
                Stage::Sent(_) => asked += 1,
                Stage::Waits(at) if *at <= now => due.push((*at, key.clone())),
                Stage::Waits(_) => {}
            }
        }
        let mut answers = Vec::with_capacity(done.len());
        for key in done {
            if let Some(token) = self.judge(key) {
                answers.push(token);
            }
        }
        self.answer(&answers, true);
        due.sort_by_key(|(at, _)| *at);
        if self.is_away {
            due.truncate(usize::from(asked == 0));
        }
        for (_, key) in due {
            self.send_again(key);
        }
        self.refused.check()?;
        match self.blocked.extract_if(|_, (since, _)| since.elapsed() >= REFUSED_FOR).next() {
            Some((_, (_, failure))) => Err(failure),
            None => Ok(()),
        }
    }

    /// Waits for what is under way, and gives everything else back.
    pub(super) fn finish(&mut self, intake: &Intake, patience: Duration) -> Result<(), Failure> {
        intake.stop();
        let deadline = Instant::now() + patience;
        let mut ended = Ok(());
        loop {
            let waits = |parcel: &Parcel| matches!(parcel.stage, Stage::Waits(_));
            let given_up: Vec<Token> = self.take_off(waits);
            self.answer(&given_up, false);
            if self.under_way.is_empty() || Instant::now() >= deadline || ended.is_err() {
                break;
            }
            std::thread::sleep(TICK);
            ended = self.settle();
        }
        let unconfirmed = self.take_off(|_| true);
        self.tally.unconfirmed = unconfirmed.len() as u64;
        self.answer(&unconfirmed, false);
        let left = self.refused.give_back();
        self.answer(&left, false);
        intake.close(CLOSE)?;
        ended
    }

    fn send(&mut self, topic: &str, notification: &Notification) -> Result<Receipt, String> {
        let notifier = match self.notifiers.entry(topic.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let builder = Notifier::builder(&self.to).driver("messagingv2").retry(-1);
                let built = builder.target(Target::new(topic)).build();
                new.insert(built.map_err(|error| chain(&error))?)
            }
        };
        self.tally.sent += 1;
        Ok(notifier.send(notification))
    }

    fn send_again(&mut self, key: Key) {
        let Some(mut parcel) = self.under_way.remove(&key) else { return };
        self.tally.again += 1;
        match self.send(&parcel.topic, &parcel.notification) {
            Ok(receipt) => {
                parcel.stage = Stage::Sent(receipt);
                self.under_way.insert(key, parcel);
            }
            Err(reason) => {
                if self.refused.take(key, parcel.token, &reason) {
                    self.answer(&[parcel.token], true);
                }
            }
        }
    }

    /// What the answer to one means. Gives the token of one that may leave its queue.
    fn judge(&mut self, key: Key) -> Option<Token> {
        let parcel = self.under_way.get_mut(&key)?;
        let Stage::Sent(receipt) = &parcel.stage else { return None };
        let Err(error) = receipt.wait(Duration::ZERO) else {
            self.tally.moved += 1;
            self.blocked.remove(&parcel.topic);
            if std::mem::take(&mut self.is_away) {
                output::error("Kafka takes notifications again");
            }
            return self.under_way.remove(&key).map(|parcel| parcel.token);
        };
        let (outcome, cause) = match &error {
            Error::Undelivered(failures) => {
                failures.first().map_or((Outcome::Unknown, Cause::Other), |failure| {
                    (failure.outcome, failure.cause)
                })
            }
            _ => (Outcome::Unknown, Cause::Other),
        };
        let is_sure = outcome == Outcome::NotDelivered;
        if is_sure && matches!(cause, Cause::TooLarge | Cause::Encoding | Cause::Refused) {
            let parcel = self.under_way.remove(&key)?;
            return self.refused.take(key, parcel.token, &chain(&error)).then_some(parcel.token);
        }
        self.tally.maybe_twice += u64::from(!is_sure);
        parcel.stage = Stage::Waits(Instant::now() + AGAIN_AFTER);
        let must_be_mended = matches!(
            cause,
            Cause::Authentication
                | Cause::Authorization
                | Cause::UnknownTopic
                | Cause::InvalidTopic
                | Cause::Unsupported
        );
        let is_known = if must_be_mended {
            self.blocked.contains_key(&parcel.topic)
        } else {
            std::mem::replace(&mut self.is_away, true)
        };
        if !is_known {
            output::error(format_args!("{}; it is tried again", chain(&error)));
        }
        if must_be_mended && !is_known {
            self.blocked.insert(parcel.topic.clone(), (Instant::now(), error.into()));
        }
        None
    }

    fn take_off(&mut self, is_one: impl Fn(&Parcel) -> bool) -> Vec<Token> {
        let taken = self.under_way.extract_if(|_, parcel| is_one(parcel));
        taken.map(|(_, parcel)| parcel.token).collect()
    }

    fn answer(&self, tokens: &[Token], done: bool) {
        if tokens.is_empty() {
            return;
        }
        let settled = |token: &Token| Settled { token: *token, done, took: Duration::ZERO };
        let settled: Vec<Settled> = tokens.iter().map(settled).collect();
        self.subscription.advance(&[], &settled);
    }
}

/// The topic of a queue or routing key such as `notifications.info`.
fn topic_of(name: &str) -> Result<String, String> {
    let parts = name.rsplit_once('.');
    let found = parts.filter(|(topic, word)| {
        !topic.is_empty() && Priority::ALL.iter().any(|priority| priority.as_str() == *word)
    });
    let (topic, _) = found.ok_or_else(|| {
        format!("the routing key \"{name}\" is no topic and priority such as notifications.info")
    })?;
    Ok(topic.to_owned())
}

impl Tally {
    /// The exit code: 0 only when everything that was taken arrived.
    pub(super) fn exit(&self) -> Exit {
        match (self.refused, self.unconfirmed) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::TimedOut,
            _ if self.moved > 0 => Exit::Partial,
            _ => Exit::Data,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, again, maybe_twice, refused, filed, unconfirmed, .. } = self;
        write!(f, "moved {moved}")?;
        if *again > 0 {
            write!(f, ", sent again {again} ({maybe_twice} of them may be twice)")?;
        }
        if *refused > 0 {
            let left = refused - filed;
            write!(f, ", refused {refused} ({filed} in the file, {left} left in their queues)")?;
        }
        if *unconfirmed > 0 {
            write!(f, ", unconfirmed {unconfirmed}: left in their queues, Kafka may have them")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, topic_of};
    use crate::exit::Exit;

    #[test]
    fn a_topic_is_what_stands_before_the_priority() {
        for (name, expected) in [
            ("notifications.info", Some("notifications")),
            ("versioned.notifications.critical", Some("versioned.notifications")),
            ("notifications", None),
            (".info", None),
            ("notifications.INFO", None),
            ("notifications.information", None),
        ] {
            assert_eq!(topic_of(name).ok().as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_code_is_ok_only_when_everything_arrived() {
        let tally =
            |moved, refused, unconfirmed| Tally { moved, refused, unconfirmed, ..Tally::default() };
        for (tally, expected) in [
            (tally(0, 0, 0), Exit::Ok),
            (tally(5, 0, 0), Exit::Ok),
            (tally(5, 1, 0), Exit::Partial),
            (tally(0, 1, 1), Exit::Data),
            (tally(5, 0, 1), Exit::TimedOut),
        ] {
            assert_eq!(tally.exit(), expected, "{tally:?}");
        }
    }

    #[test]
    fn the_summary_names_only_what_happened() {
        let all = Tally {
            sent: 9,
            moved: 3,
            again: 2,
            maybe_twice: 1,
            refused: 3,
            filed: 1,
            unconfirmed: 4,
        };
        assert_eq!(
            all.to_string(),
            "moved 3, sent again 2 (1 of them may be twice), refused 3 (1 in the file, 2 left in \
             their queues), unconfirmed 4: left in their queues, Kafka may have them"
        );
        assert_eq!(Tally { moved: 7, ..Tally::default() }.to_string(), "moved 7");
    }
}
