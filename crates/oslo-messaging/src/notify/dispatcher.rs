//! From records to endpoints: decodes, filters, calls, and survives what endpoints do.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    driver::Incoming,
    message::{Notification, Priority},
    notify::{
        endpoint::{BatchEndpoint, Endpoint, EndpointError},
        filter::NotificationFilter,
        serializer::{Serializer, inward},
    },
    stats::Stats,
    wire::{self, ContextStyle},
};

/// The endpoints of one listener.
pub(super) enum Endpoints {
    Single(Vec<Arc<dyn Endpoint>>),
    Batch(Vec<Arc<dyn BatchEndpoint>>),
}

/// How often a notification is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Once, whatever the endpoints say.
    Only,
    /// For the first time of perhaps several: an endpoint that fails ends the round.
    First,
    /// Once more.
    Again,
}

/// Hands records to the endpoints that want them.
pub(super) struct Dispatcher {
    endpoints: Endpoints,
    serializer: Option<Arc<dyn Serializer>>,
    stats: Arc<Stats>,
}

impl Dispatcher {
    pub(super) fn new(
        endpoints: Endpoints,
        serializer: Option<Arc<dyn Serializer>>,
        stats: Arc<Stats>,
    ) -> Self {
        Self { endpoints, serializer, stats }
    }

    /// What a record says, or why it says nothing.
    pub(super) fn decode(&self, record: &Incoming) -> Result<Notification, String> {
        decode(record).and_then(|notification| self.deserialize(notification))
    }

    /// Offers notifications to the endpoints that want them: each by itself, or all to batch
    /// endpoints. Returns when the endpoints have.
    ///
    /// `Err` has the words of the first endpoint that failed; failures are logged and counted
    /// here. Only with [`Round::Only`] the other endpoints are called all the same.
    pub(super) fn offer(&self, notifications: &[Notification], round: Round) -> Result<(), String> {
        match &self.endpoints {
            Endpoints::Single(endpoints) => notifications
                .iter()
                .map(|one| self.offer_one(endpoints, one, round))
                .fold(Ok(()), Result::and),
            Endpoints::Batch(endpoints) => self.offer_batch(endpoints, notifications, round),
        }
    }

    fn offer_one(
        &self,
        endpoints: &[Arc<dyn Endpoint>],
        notification: &Notification,
        round: Round,
    ) -> Result<(), String> {
        let (mut wanted, mut result) = (false, Ok(()));
        for endpoint in endpoints {
            if !wants(endpoint.priorities(), endpoint.filter(), notification) {
                continue;
            }
            wanted = true;
            let one = std::slice::from_ref(notification);
            result = result.and(self.call(one, || endpoint.handle(notification)));
            if result.is_err() && round != Round::Only {
                break;
            }
        }
        if !wanted && round != Round::Again {
            self.stats.filtered.add(1);
        }
        result
    }

    fn offer_batch(
        &self,
        endpoints: &[Arc<dyn BatchEndpoint>],
        batch: &[Notification],
        round: Round,
    ) -> Result<(), String> {
        let mut unwanted = vec![true; batch.len()];
        let mut result = Ok(());
        for endpoint in endpoints {
            let mut part = Vec::with_capacity(batch.len());
            for (notification, unwanted) in batch.iter().zip(&mut unwanted) {
                if wants(endpoint.priorities(), endpoint.filter(), notification) {
                    *unwanted = false;
                    part.push(notification.clone());
                }
            }
            if !part.is_empty() {
                result = result.and(self.call(&part, || endpoint.handle(&part)));
            }
            if result.is_err() && round != Round::Only {
                return result;
            }
        }
        if round != Round::Again {
            self.stats.filtered.add(unwanted.iter().filter(|unwanted| **unwanted).count());
        }
        result
    }

    fn deserialize(&self, notification: Notification) -> Result<Notification, String> {
        let Some(serializer) = self.serializer.as_deref() else { return Ok(notification) };
        let reason = match catch_unwind(AssertUnwindSafe(|| inward(serializer, notification))) {
            Ok(Ok(notification)) => return Ok(notification),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panic: {}", panic_text(&*panic)),
        };
        Err(format!("that the serializer refused: {reason}"))
    }

    fn call(
        &self,
        notifications: &[Notification],
        endpoint: impl FnOnce() -> Result<(), EndpointError>,
    ) -> Result<(), String> {
        // Whatever state the panic left behind is the endpoint's own.
        let reason = match catch_unwind(AssertUnwindSafe(endpoint)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panic: {}", panic_text(&*panic)),
        };
        self.stats.endpoint_failures.add(notifications.len());
        for notification in notifications {
            tracing::error!(
                message_id = %notification.message_id,
                event_type = %notification.event_type,
                publisher_id = %notification.publisher_id,
                "an endpoint failed: {reason}"
            );
        }
        Err(reason)
    }
}

/// What a record says before any serializer, or why it says nothing.
pub(super) fn decode(record: &Incoming) -> Result<Notification, String> {
    let body = record.body.as_ref();
    let decode = match record.context_style {
        ContextStyle::Nested => wire::decode,
        ContextStyle::Flattened => wire::decode_flattened,
    };
    let decoded = body.ok_or(wire::DecodeError::Empty).and_then(|body| decode(body));
    decoded.map_err(|error| format!("that is no notification: {error}"))
}

fn wants(
    priorities: &[Priority],
    filter: Option<&NotificationFilter>,
    notification: &Notification,
) -> bool {
    priorities.contains(&notification.priority)
        && filter.is_none_or(|filter| filter.matches(notification))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
