//! Notifications: sending them, listening for them, and what lies between. Names no broker.

mod dispatcher;
mod endpoint;
mod filter;
mod listener;
mod mask;
mod notifier;
mod pattern;
mod routing;
mod serializer;
mod sink;

pub use endpoint::{BatchEndpoint, Endpoint, EndpointError, endpoint_fn};
pub use filter::{NotificationFilter, NotificationFilterBuilder};
pub use listener::{Listener, ListenerBuilder};
pub use notifier::{Notifier, NotifierBuilder};
pub use serializer::{NoOpSerializer, Serializer, SerializerError};
pub use sink::recorded_notifications;
