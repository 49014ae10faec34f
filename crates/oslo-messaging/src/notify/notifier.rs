//! Sending: a notifier makes notifications and gives each to its sinks.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, Weak},
};

use crate::{
    Error,
    config::Options,
    driver::Retry,
    error::{Cause, Outcome},
    message::{Context, Notification, Payload, Priority},
    notify::{
        serializer::{Serializer, outward},
        sink::{Sink, sink},
    },
    receipt::{Failure, Receipt, Subject},
    reload::{Mutable, Prepared},
    target::Target,
    transport::Transport,
};

/// Sends notifications. Cheap to clone, may be used from any thread.
///
/// ```
/// use oslo_messaging::{Context, Notifier, Payload, Transport};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), oslo_messaging::Error> {
/// let transport = Transport::for_notifications("fake:")?;
/// let notifier = Notifier::builder(&transport)
///     .publisher_id("compute.host1")
///     .driver("messagingv2")
///     .build()?;
/// let payload = Payload::from(serde_json::json!({"instance_id": "42", "state": "active"}));
/// let receipt = notifier.info(&Context::empty(), "compute.instance.create.end", payload);
/// receipt.wait(Duration::from_secs(30))?; // the broker has it
/// # Ok(())
/// # }
/// ```
///
/// Mirrors `oslo_messaging/notify/notifier.py`; there a failed notification is logged and
/// forgotten, here its receipt says so too.
#[derive(Clone)]
pub struct Notifier {
    /// Of all notifiers that come from one builder.
    shared: Arc<Shared>,
    serializer: Option<Arc<dyn Serializer>>,
    transport: Transport,
    publisher_id: Arc<str>,
    /// In place of the shared one.
    retry: Option<Retry>,
}

/// What a configuration that is read again may change.
struct Shared {
    route: Arc<RwLock<Route>>,
    given: Given,
    transport: Transport,
}

/// Where notifications go.
#[derive(Clone, Debug)]
struct Route {
    sinks: Arc<[Box<dyn Sink>]>,
    retry: Retry,
}

/// What the program has decided; the rest is the configuration's.
#[derive(Clone, Debug, Default)]
struct Given {
    drivers: Option<Vec<String>>,
    topics: Option<Vec<Target>>,
    retry: Option<i64>,
}

impl Given {
    fn route(&self, transport: &Transport, options: &Options) -> Result<Route, Error> {
        let drivers = self.drivers.as_deref().unwrap_or_else(|| options.list("driver"));
        let topics = self.topics.clone().unwrap_or_else(|| {
            options.list("topics").iter().map(|topic| Target::new(topic.as_str())).collect()
        });
        let topics: Vec<Arc<Target>> = topics.into_iter().map(Arc::new).collect();
        let sinks = drivers
            .iter()
            // A blank `driver =` in a file is no sink.
            .filter(|name| !name.is_empty())
            .map(|name| sink(name, transport, &topics, options))
            .collect::<Result<Vec<_>, _>>()?;
        if sinks.is_empty() {
            tracing::info!(
                "[oslo_messaging_notifications] driver names no sink: notifications go nowhere"
            );
        }
        let retry = Retry::from(self.retry.unwrap_or_else(|| options.int("retry")));
        Ok(Route { sinks: sinks.into(), retry })
    }
}

impl Mutable for Shared {
    fn prepare(&self, options: &Options) -> Result<Prepared, Error> {
        let new = self.given.route(&self.transport, options)?;
        let route = Arc::clone(&self.route);
        Ok(Box::new(move || *route.write().unwrap_or_else(PoisonError::into_inner) = new))
    }
}

impl Notifier {
    /// Begins a notifier on a transport.
    pub fn builder(transport: &Transport) -> NotifierBuilder {
        NotifierBuilder {
            transport: transport.clone(),
            publisher_id: None,
            given: Given::default(),
            serializer: None,
        }
    }

    /// The same notifier under another publisher id, such as `compute.host2`.
    #[must_use]
    pub fn prepare_publisher_id(&self, publisher_id: &str) -> Self {
        Self { publisher_id: Arc::from(publisher_id), ..self.clone() }
    }

    /// The same notifier with another number of further hand-overs after a notification was
    /// surely not stored: -1 until the delivery timeout, 0 none.
    #[must_use]
    pub fn prepare_retry(&self, retry: i64) -> Self {
        Self { retry: Some(Retry::from(retry)), ..self.clone() }
    }

    /// Sends a notification of any priority, made of its parts.
    ///
    /// Returns as soon as the notification is handed over; the receipt resolves when the broker
    /// has accepted it. Blocks only while the driver's queue is full.
    pub fn notify(
        &self,
        priority: Priority,
        context: &Context,
        event_type: &str,
        payload: impl Into<Payload>,
    ) -> Receipt {
        let notification = Notification::new(
            &*self.publisher_id,
            event_type,
            priority,
            payload.into(),
            context.clone(),
        );
        self.send(&notification)
    }

    /// Sends a notification as it is, with its own ids and time: for forwarding. Only a serializer
    /// that is set makes another payload and context of its own, as everywhere.
    pub fn send(&self, notification: &Notification) -> Receipt {
        let subject = Subject {
            message_id: notification.message_id.clone(),
            event_type: notification.event_type.clone(),
            priority: notification.priority,
        };
        let receipt = Receipt::new(subject, Arc::clone(self.transport.shared_stats()));
        let serialized = match self.serializer.as_deref() {
            None => None,
            Some(serializer) => match outward(serializer, notification) {
                Ok(serialized) => Some(serialized),
                Err(error) => {
                    receipt.expect(0).failed(Failure {
                        outcome: Outcome::NotDelivered,
                        cause: Cause::Encoding,
                        detail: format!("the serializer refused it: {error}"),
                    });
                    return receipt;
                }
            },
        };
        let notification = serialized.as_ref().unwrap_or(notification);
        let Route { sinks, retry } = self.route();
        for sink in sinks.iter() {
            sink.send(notification, retry, &receipt);
        }
        receipt
    }

    /// Where notifications go now.
    fn route(&self) -> Route {
        let mut route = self.shared.route.read().unwrap_or_else(PoisonError::into_inner).clone();
        route.retry = self.retry.unwrap_or(route.retry);
        route
    }

    /// Sends at priority debug. See [`notify`](Self::notify).
    pub fn debug(&self, context: &Context, event: &str, payload: impl Into<Payload>) -> Receipt {
        self.notify(Priority::Debug, context, event, payload)
    }

    /// Sends at priority info. See [`notify`](Self::notify).
    pub fn info(&self, context: &Context, event: &str, payload: impl Into<Payload>) -> Receipt {
        self.notify(Priority::Info, context, event, payload)
    }

    /// Sends at priority warn. See [`notify`](Self::notify).
    pub fn warn(&self, context: &Context, event: &str, payload: impl Into<Payload>) -> Receipt {
        self.notify(Priority::Warn, context, event, payload)
    }

    /// Sends at priority error. See [`notify`](Self::notify).
    pub fn error(&self, context: &Context, event: &str, payload: impl Into<Payload>) -> Receipt {
        self.notify(Priority::Error, context, event, payload)
    }

    /// Sends at priority critical. See [`notify`](Self::notify).
    pub fn critical(&self, context: &Context, event: &str, payload: impl Into<Payload>) -> Receipt {
        self.notify(Priority::Critical, context, event, payload)
    }

    /// Sends at priority audit. See [`notify`](Self::notify).
    pub fn audit(&self, context: &Context, event: &str, payload: impl Into<Payload>) -> Receipt {
        self.notify(Priority::Audit, context, event, payload)
    }

    /// Sends at priority sample: metering data. See [`notify`](Self::notify).
    pub fn sample(&self, context: &Context, event: &str, payload: impl Into<Payload>) -> Receipt {
        self.notify(Priority::Sample, context, event, payload)
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("route", &self.route())
            .field("transport", &self.transport)
            .field("publisher_id", &self.publisher_id)
            .finish_non_exhaustive()
    }
}

/// Collects what a [`Notifier`] is built with; what is not given comes from the transport's
/// configuration, group `oslo_messaging_notifications`.
#[derive(Clone)]
#[must_use]
pub struct NotifierBuilder {
    transport: Transport,
    publisher_id: Option<String>,
    given: Given,
    serializer: Option<Arc<dyn Serializer>>,
}

impl NotifierBuilder {
    /// Who notifies, such as `compute.host1`. Default: empty.
    pub fn publisher_id(mut self, publisher_id: impl Into<String>) -> Self {
        self.publisher_id = Some(publisher_id.into());
        self
    }

    /// Adds a sink: `messaging`, `messagingv2`, `log`, `noop`, `test` or `routing`. Default: the
    /// option `driver`, whose own default is none at all: notifications go nowhere, as in
    /// oslo.messaging. `routing` needs the option `routing_config`: the file that says which of the
    /// others a notification goes to, read by [`build`](Self::build) and by
    /// [`Transport::reload`].
    pub fn driver(mut self, driver: impl Into<String>) -> Self {
        self.given.drivers.get_or_insert_default().push(driver.into());
        self
    }

    /// Adds a topic. Each notification goes to every one. Default: the option `topics`.
    pub fn topic(self, topic: impl Into<String>) -> Self {
        self.target(Target::new(topic))
    }

    /// Adds a topic in an exchange.
    pub fn target(mut self, target: Target) -> Self {
        self.given.topics.get_or_insert_default().push(target);
        self
    }

    /// How often a notification is handed over again after it was surely not stored: -1 until the
    /// delivery timeout, 0 never. Default: the option `retry`. What may have been stored is never
    /// sent again.
    pub fn retry(mut self, retry: i64) -> Self {
        self.given.retry = Some(retry);
        self
    }

    /// What payloads and contexts go through before they are sent. Default: nothing.
    pub fn serializer(mut self, serializer: impl Serializer) -> Self {
        self.serializer = Some(Arc::new(serializer));
        self
    }

    /// Builds the notifier. No broker is asked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a sink's name, [`Error::InvalidOption`] for the configuration,
    /// [`Error::File`] and [`Error::InvalidConfig`] for the routing file.
    pub fn build(self) -> Result<Notifier, Error> {
        let options = self.transport.notification_options()?;
        let route = Arc::new(RwLock::new(self.given.route(&self.transport, &options)?));
        let transport = self.transport.clone();
        let shared = Arc::new(Shared { route, given: self.given, transport });
        let watched: Weak<dyn Mutable> = Arc::downgrade(&(Arc::clone(&shared) as Arc<dyn Mutable>));
        self.transport.watch(watched);
        Ok(Notifier {
            shared,
            serializer: self.serializer,
            publisher_id: self.publisher_id.unwrap_or_default().into(),
            retry: None,
            transport: self.transport,
        })
    }
}

impl fmt::Debug for NotifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierBuilder")
            .field("transport", &self.transport)
            .field("publisher_id", &self.publisher_id)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}
