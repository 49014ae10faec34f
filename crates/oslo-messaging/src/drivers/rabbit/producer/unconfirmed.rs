//! What was published over a channel and not confirmed.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use lapin::{Channel, Confirmation, message::BasicReturnMessage, options::BasicPublishOptions};

use super::{
    super::{config::Compression, error::cause, message::packed},
    End,
    task::Queued,
};
use crate::error::Cause;

/// The broker's answer to a publish, by its number.
pub(super) type Answer = (u64, lapin::Result<Confirmation>);

type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The publishes of one channel that have no answer, in their order.
pub(super) struct Unconfirmed {
    channel: Channel,
    next: u64,
    queued: BTreeMap<u64, Queued>,
    pending: FuturesUnordered<Pending>,
    /// When something was answered last, or the first was sent.
    answered: Instant,
}

impl Unconfirmed {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            next: 0,
            queued: BTreeMap::new(),
            pending: FuturesUnordered::new(),
            answered: Instant::now(),
        }
    }

    /// An empty one of the same channel.
    pub(super) fn renewed(&self) -> Self {
        Self::new(self.channel.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.queued.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Queued> {
        self.queued.values_mut()
    }

    pub(super) fn into_queued(self) -> impl DoubleEndedIterator<Item = Queued> {
        self.queued.into_values()
    }

    /// Counts the wait for an answer from now on.
    pub(super) fn wait_anew(&mut self) {
        self.answered = Instant::now();
    }

    pub(super) fn waits_longer_than(&self, limit: Duration) -> bool {
        !self.is_empty() && self.answered.elapsed() > limit
    }

    /// Sends one message. The order of the calls is that on the wire: each is polled once here.
    pub(super) fn publish(&mut self, mut queued: Queued, compression: Option<Compression>) {
        queued.may_be_there = true;
        if self.is_empty() {
            self.wait_anew();
        }
        let publish = &queued.publish;
        let (properties, body) = packed(publish.body.clone(), compression, publish.expires);
        let exchange = publish.exchange.as_ref().map_or("", |exchange| &*exchange.name).to_owned();
        let key = publish.routing_key.clone();
        let options = BasicPublishOptions { mandatory: publish.mandatory, ..Default::default() };
        let (number, channel) = (self.next, self.channel.clone());
        self.next += 1;
        self.queued.insert(number, queued);
        let mut pending: Pending = Box::pin(async move {
            let sent = channel.basic_publish(
                exchange.as_str().into(),
                key.as_str().into(),
                options,
                &body,
                properties,
            );
            let confirmed = match sent.await {
                Ok(confirm) => confirm.await,
                Err(error) => Err(error),
            };
            (number, confirmed)
        });
        self.pending.push(match pending.as_mut().now_or_never() {
            // Refused before it was sent: it is settled with the others.
            Some(ended) => Box::pin(std::future::ready(ended)),
            None => pending,
        });
    }

    /// Waits for answers: the next one, and what has come with it. Never ends while there is nothing to
    /// wait for.
    pub(super) async fn answers(&mut self) -> Vec<Answer> {
        let Some(first) = self.pending.next().await else {
            return std::future::pending().await;
        };
        let mut answers = vec![first];
        answers.append(&mut self.answers_now());
        answers
    }

    /// The answers that have come.
    pub(super) fn answers_now(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(Some(next)) = self.pending.next().now_or_never() {
            answers.push(next);
        }
        answers
    }

    /// What of it was confirmed, returned or refused by itself, and the error of the channel; what
    /// failed with that stays.
    ///
    /// `packs`: bodies on the wire are not those that were given.
    pub(super) fn settle(
        &mut self,
        answers: Vec<Answer>,
        packs: bool,
    ) -> (Vec<(Queued, End)>, Option<lapin::Error>) {
        self.wait_anew();
        let mut ended = Vec::new();
        let mut error = None;
        let mut returned: Vec<BasicReturnMessage> = Vec::new();
        let mut confirmed = Vec::new();
        for (number, result) in answers {
            match result {
                Ok(Confirmation::Nack(message)) => {
                    returned.extend(message);
                    let words = "the broker could not store it".to_owned();
                    let end = End::Failed { cause: Cause::Refused, is_unknown: false, words };
                    ended.extend(self.queued.remove(&number).map(|queued| (queued, end)));
                }
                Ok(confirmation) => {
                    returned.extend(confirmation.take_message());
                    confirmed.extend(self.queued.remove(&number));
                }
                Err(why) => error = Some(why),
            }
        }
        for message in returned {
            // The confirmation that brings it may be that of another one.
            let is_it = |queued: &Queued| {
                queued.publish.routing_key == message.routing_key.as_str()
                    && (packs || queued.publish.body[..] == message.delivery.data[..])
            };
            if let Some(found) = confirmed.iter().position(is_it) {
                let queued = confirmed.remove(found);
                let exchange = message.exchange.to_string();
                let routing_key = message.routing_key.to_string();
                ended.push((queued, End::Returned { exchange, routing_key }));
            }
        }
        ended.extend(confirmed.into_iter().map(|queued| (queued, End::Confirmed)));
        if let Some(why) = error.as_ref().filter(|why| why.is_amqp_soft_error()) {
            ended.extend(self.culprit(why).map(|queued| (queued, End::refused(why))));
        }
        (ended, error)
    }

    /// The channel closes because of one publish, which the words name. One must go in any case, or it
    /// would go on like this.
    fn culprit(&mut self, why: &lapin::Error) -> Option<Queued> {
        let words = why.to_string();
        let is_size = cause(why) == Cause::TooLarge;
        let is_it = |queued: &Queued| {
            let publish = &queued.publish;
            let exchange = publish.exchange.as_ref().map_or("", |exchange| &exchange.name);
            if is_size {
                words.contains(&publish.body.len().to_string())
            } else {
                words.contains(&format!("'{exchange}'"))
            }
        };
        let found = self.queued.iter().find(|(_, queued)| is_it(queued));
        let number = *found.or_else(|| self.queued.first_key_value())?.0;
        self.queued.remove(&number)
    }
}

impl End {
    pub(super) fn refused(error: &lapin::Error) -> Self {
        Self::Failed { cause: cause(error), is_unknown: false, words: error.to_string() }
    }
}
