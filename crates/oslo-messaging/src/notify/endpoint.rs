//! What a program writes to receive notifications.

use std::error::Error;

use crate::{
    message::{Notification, Priority},
    notify::filter::NotificationFilter,
};

/// What an endpoint may fail with: logged with the notification's ids, counted, gone on.
pub type EndpointError = Box<dyn Error + Send + Sync>;

/// Receives notifications one by one.
///
/// Called on the listener's workers, from several threads at once but never for two
/// notifications of one partition at a time (option `dispatch_order`). A panic is caught and
/// counts as an error.
///
/// ```
/// use oslo_messaging::{Endpoint, EndpointError, Notification, Priority};
///
/// struct Audit;
///
/// impl Endpoint for Audit {
///     fn priorities(&self) -> &[Priority] {
///         &[Priority::Info, Priority::Error]
///     }
///     fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
///         let state = notification.payload.string_at("state");
///         println!("{} {state:?}", notification.event_type);
///         Ok(())
///     }
/// }
/// ```
///
/// Mirrors an endpoint object of `oslo_messaging/notify/listener.py`, whose methods are named
/// after the priorities.
pub trait Endpoint: Send + Sync + 'static {
    /// The priorities to subscribe to. Asked once, when the listener starts.
    fn priorities(&self) -> &[Priority];

    /// What must match for [`handle`](Self::handle) to be called. `None`: everything.
    fn filter(&self) -> Option<&NotificationFilter> {
        None
    }

    /// Handles one notification.
    ///
    /// # Errors
    ///
    /// Anything; see [`EndpointError`].
    fn handle(&self, notification: &Notification) -> Result<(), EndpointError>;
}

/// Receives notifications in batches, in the order in which they came.
pub trait BatchEndpoint: Send + Sync + 'static {
    /// The priorities to subscribe to. Asked once, when the listener starts.
    fn priorities(&self) -> &[Priority];

    /// What a notification must match to be in a batch. `None`: everything.
    fn filter(&self) -> Option<&NotificationFilter> {
        None
    }

    /// Handles 1 to `batch_size` notifications.
    ///
    /// # Errors
    ///
    /// Anything; see [`EndpointError`].
    fn handle(&self, notifications: &[Notification]) -> Result<(), EndpointError>;
}

/// An [`Endpoint`] of a closure.
///
/// ```
/// use oslo_messaging::{Priority, endpoint_fn};
/// let endpoint = endpoint_fn([Priority::Info], |notification| {
///     println!("{}", notification.event_type);
///     Ok(())
/// });
/// ```
pub fn endpoint_fn<F>(priorities: impl Into<Vec<Priority>>, handle: F) -> impl Endpoint
where
    F: Fn(&Notification) -> Result<(), EndpointError> + Send + Sync + 'static,
{
    EndpointFn { priorities: priorities.into(), handle }
}

struct EndpointFn<F> {
    priorities: Vec<Priority>,
    handle: F,
}

impl<F> Endpoint for EndpointFn<F>
where
    F: Fn(&Notification) -> Result<(), EndpointError> + Send + Sync + 'static,
{
    fn priorities(&self) -> &[Priority] {
        &self.priorities
    }

    fn handle(&self, notification: &Notification) -> Result<(), EndpointError> {
        (self.handle)(notification)
    }
}
