//! Notifications: sending them, listening for them, and what lies between. Names no broker.

mod dispatcher;
mod endpoint;
mod filter;
mod keeper;
mod listener;
#[cfg(feature = "log-handler")]
mod log_handler;
mod mask;
mod notifier;
mod pattern;
mod poll;
mod routing;
mod run;
mod serializer;
mod sink;
mod workers;

pub use endpoint::{BatchEndpoint, Endpoint, EndpointError, endpoint_fn};
pub use filter::{NotificationFilter, NotificationFilterBuilder};
pub use listener::{Listener, ListenerBuilder};
#[cfg(feature = "log-handler")]
pub use log_handler::NotificationLayer;
pub use notifier::{Notifier, NotifierBuilder};
pub use poll::{IncomingMessage, PollListener, PollListenerBuilder};
pub use serializer::{NoOpSerializer, Serializer, SerializerError};
#[cfg(feature = "kafka")]
pub(crate) use sink::masked_line;
pub use sink::recorded_notifications;
