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
    wire,
};

/// The endpoints of one listener.
pub(super) enum Endpoints {
    Single(Vec<Arc<dyn Endpoint>>),
    Batch(Vec<Arc<dyn BatchEndpoint>>),
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

    /// Handles what a worker took at once. Returns when every endpoint has.
    pub(super) fn dispatch(&self, records: &[Incoming]) {
        match &self.endpoints {
            Endpoints::Single(endpoints) => {
                for record in records {
                    let Some(notification) = self.decode(record) else { continue };
                    let mut wanted = false;
                    for endpoint in endpoints {
                        if wants(endpoint.priorities(), endpoint.filter(), &notification) {
                            wanted = true;
                            self.call(std::slice::from_ref(&notification), || {
                                endpoint.handle(&notification)
                            });
                        }
                    }
                    if !wanted {
                        self.stats.filtered.add(1);
                    }
                }
            }
            Endpoints::Batch(endpoints) => {
                let batch: Vec<Notification> =
                    records.iter().filter_map(|record| self.decode(record)).collect();
                let mut unwanted = vec![true; batch.len()];
                for endpoint in endpoints {
                    let mut part = Vec::with_capacity(batch.len());
                    for (notification, unwanted) in batch.iter().zip(&mut unwanted) {
                        if wants(endpoint.priorities(), endpoint.filter(), notification) {
                            *unwanted = false;
                            part.push(notification.clone());
                        }
                    }
                    if !part.is_empty() {
                        self.call(&part, || endpoint.handle(&part));
                    }
                }
                self.stats.filtered.add(unwanted.iter().filter(|unwanted| **unwanted).count());
            }
        }
    }

    fn decode(&self, record: &Incoming) -> Option<Notification> {
        let body = record.body.as_ref();
        let decoded = body.ok_or(wire::DecodeError::Empty).and_then(|body| wire::decode(body));
        let notification = decoded.map_err(|error| format!("that is no notification: {error}"));
        match notification.and_then(|notification| self.deserialize(notification)) {
            Ok(notification) => Some(notification),
            Err(reason) => {
                self.stats.undecodable.add(1);
                tracing::error!(
                    topic = %record.origin.topic,
                    partition = record.origin.partition,
                    offset = record.origin.offset,
                    "skipped a record {reason}"
                );
                None
            }
        }
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
    ) {
        // Whatever state the panic left behind is the endpoint's own.
        let reason = match catch_unwind(AssertUnwindSafe(endpoint)) {
            Ok(Ok(())) => return,
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
    }
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
