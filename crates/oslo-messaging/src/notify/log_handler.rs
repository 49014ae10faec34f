//! Log events as notifications: a layer for `tracing-subscriber`, and the queue behind it.
//!
//! The layer runs on whatever thread logs, so it only writes the event down; a thread of its own
//! hands it to the notifier. Made by programs; nothing in the library calls it.

mod queue;
mod record;

use std::{cell::Cell, fmt, sync::Arc, time::Duration};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer};

use self::{
    queue::{Queue, Waiting},
    record::Record,
};
use crate::{Error, message::Priority, notify::Notifier};

/// Where the library and what it is built on log from: events of these never become notifications.
const OWN: [&str; 4] = ["oslo_messaging", "oslo.messaging", "rdkafka", "librdkafka"];

/// Sends log events as notifications: a layer for a `tracing-subscriber` registry.
///
/// By default events at level error become notifications `logrecord` at priority error, whose
/// payload has the keys of a Python log record: `{"name": "nova::compute", "levelno": 40,
/// "levelname": "ERROR", "exc_info": null, "pathname": "src/compute.rs", "lineno": 12, "msg": "no
/// host", "funcName": null, "thread": 1, "processName": "nova-compute", "process": 4711, "extra":
/// {"host": "h1"}}`. `name` is the event's target, `extra` its other fields, `exc_info` the text of
/// a field that is an error, with its sources.
///
/// It never blocks and never recurses: at most 1000 events wait for the notifier, further ones are
/// dropped and counted; what the library, its sinks and its client library log is left out, and so
/// is all that is logged while an event is sent. A clone is another handle of the same queue, to
/// close it with.
///
/// ```
/// use oslo_messaging::{NotificationLayer, Notifier, Transport, recorded_notifications};
/// use std::time::Duration;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// # fn main() -> Result<(), oslo_messaging::Error> {
/// let transport = Transport::for_notifications("fake:")?;
/// let notifier = Notifier::builder(&transport).publisher_id("compute.h1").driver("test").build()?;
/// let layer = NotificationLayer::new(notifier);
/// let subscriber = tracing_subscriber::registry().with(layer.clone());
/// tracing::subscriber::with_default(subscriber, || {
///     tracing::error!(host = "h1", "no valid host");
/// });
/// layer.close(Duration::from_secs(10))?;
///
/// let [sent] = &recorded_notifications()[..] else { panic!("one event, one notification") };
/// assert_eq!(sent.event_type, "logrecord");
/// assert_eq!(sent.payload.string_at("msg").as_deref(), Some("no valid host"));
/// # Ok(())
/// # }
/// ```
///
/// Mirrors `LoggingNotificationHandler` of `oslo_messaging/notify/logger.py`, which sends on the
/// thread that logs; [`error_notifications`](Self::error_notifications) mirrors
/// `LoggingErrorNotificationHandler` of `notify/log_handler.py`.
#[derive(Clone)]
pub struct NotificationLayer {
    queue: Arc<Queue>,
    max_level: Level,
    form: Form,
}

/// Which of the reference's handlers is meant.
#[derive(Clone, Copy, Debug)]
enum Form {
    LogRecord,
    ErrorNotification,
}

impl NotificationLayer {
    /// A layer that sends `logrecord` notifications. Its thread starts with the first event.
    #[must_use]
    pub fn new(notifier: Notifier) -> Self {
        Self { queue: Queue::new(notifier), max_level: Level::ERROR, form: Form::LogRecord }
    }

    /// A layer that sends errors as notifications `error_notification` with the message alone:
    /// `{"error": "no host"}`.
    ///
    /// The reference's has the publisher id `error.publisher`; here it is the notifier's.
    #[must_use]
    pub fn error_notifications(notifier: Notifier) -> Self {
        Self { form: Form::ErrorNotification, ..Self::new(notifier) }
    }

    /// The most verbose level that is sent. Default `Level::ERROR`.
    ///
    /// Warn, info and debug go to the priorities of their names. There is none for trace, which is
    /// never sent.
    #[must_use]
    pub fn with_max_level(mut self, level: Level) -> Self {
        self.max_level = level;
        self
    }

    /// How many events were dropped because too many waited, or because the layer was closed.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.queue.dropped()
    }

    /// Takes no more events, and waits until those that wait are handed to the notifier, at most
    /// `deadline`. Whether the broker gets them is the transport's: close that next.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] with the number that still waits; their sending goes on.
    pub fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.queue.close(deadline)
    }
}

impl fmt::Debug for NotificationLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationLayer")
            .field("max_level", &self.max_level)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for NotificationLayer {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let metadata = event.metadata();
        let Some(priority) = priority(*metadata.level()) else { return };
        if *metadata.level() > self.max_level || is_own(metadata.target()) {
            return;
        }
        let Some(_inside) = Inside::enter() else { return };
        let record = Record::of(event);
        // Events of the `log` crate have their target in a field.
        if is_own(record.name()) {
            return;
        }
        let (event_type, payload) = match self.form {
            Form::LogRecord => ("logrecord", record.payload()),
            Form::ErrorNotification => ("error_notification", record.error_payload()),
        };
        self.queue.push(payload.ok().map(|payload| Waiting { priority, event_type, payload }));
    }
}

fn priority(level: Level) -> Option<Priority> {
    match level {
        Level::ERROR => Some(Priority::Error),
        Level::WARN => Some(Priority::Warn),
        Level::INFO => Some(Priority::Info),
        Level::DEBUG => Some(Priority::Debug),
        _ => None,
    }
}

fn is_own(target: &str) -> bool {
    OWN.iter().any(|own| {
        target.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '.']))
    })
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, nothing that this thread logs becomes a notification.
struct Inside;

impl Inside {
    /// `None` when this thread is inside already, or ending.
    fn enter() -> Option<Self> {
        let entered = INSIDE.try_with(|inside| !inside.replace(true)).unwrap_or(false);
        entered.then(|| Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A thread that is ending logs no more.
        let _ = INSIDE.try_with(|inside| inside.set(false));
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
mod tests {
    use std::{
        sync::{Arc, Mutex, OnceLock, mpsc},
        time::Duration,
    };

    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt;

    use super::{NotificationLayer, is_own, queue::MAX_WAITING};
    use crate::{
        Context, Error, Listener, Notification, Notifier, Payload, Priority, Serializer,
        SerializerError, Target, Transport, endpoint_fn,
    };

    const LIMIT: Duration = Duration::from_secs(10);

    /// What comes out of a layer while `log` runs.
    fn sent(
        make: impl FnOnce(Notifier) -> NotificationLayer,
        log: impl FnOnce(),
    ) -> Vec<Notification> {
        let transport = Transport::for_notifications("fake:").unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (into, (last, is_last)) = (Arc::clone(&received), mpsc::channel());
        let listener = Listener::builder(&transport)
            .target(Target::new("t"))
            .max_workers(1)
            .endpoint(endpoint_fn(Priority::ALL, move |notification| {
                if notification.event_type == "last" {
                    return Ok(last.send(())?);
                }
                into.lock().unwrap().push(notification.clone());
                Ok(())
            }))
            .start()
            .unwrap();
        listener.ready(LIMIT).unwrap();
        let builder = Notifier::builder(&transport).driver("messagingv2").topic("t");
        let notifier = builder.driver("log").publisher_id("p").build().unwrap();
        let layer = make(notifier.clone());
        let subscriber = tracing_subscriber::registry().with(layer.clone());
        tracing::subscriber::with_default(subscriber, log);
        layer.close(LIMIT).unwrap();
        for priority in Priority::ALL {
            let receipt = notifier.notify(priority, &Context::empty(), "last", Payload::null());
            receipt.wait(LIMIT).unwrap();
        }
        for _ in Priority::ALL {
            is_last.recv_timeout(LIMIT).unwrap();
        }
        listener.close(LIMIT).unwrap();
        let received = received.lock().unwrap();
        received.clone()
    }

    #[test]
    fn an_error_becomes_a_notification_with_the_keys_of_a_log_record() {
        let line = line!() + 4;
        let sent = sent(NotificationLayer::new, || {
            let error = std::io::Error::other("disk");
            let error = &error as &dyn std::error::Error;
            tracing::error!(target: "nova", n = 1, load = f64::NAN, error, "no {}", "host");
            tracing::warn!("not sent");
        });
        let [sent] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((sent.event_type.as_str(), sent.priority), ("logrecord", Priority::Error));
        assert_eq!(sent.publisher_id, "p");
        let program = std::env::current_exe().unwrap();
        let program = program.file_name().unwrap().to_str().unwrap().to_owned();
        let text = sent.payload.as_json();
        let (before, after) =
            text.split_once("\"thread\": ").or(text.split_once("\"thread\":")).unwrap();
        let squeezed = |text: &str| text.replace("\": ", "\":").replace(", \"", ",\"");
        assert_eq!(
            squeezed(before),
            format!(
                concat!(
                    r#"{{"name":"nova","levelno":40,"levelname":"ERROR","exc_info":"disk","#,
                    r#""pathname":"{}","lineno":{},"msg":"no host","funcName":null,"#,
                ),
                file!(),
                line
            )
        );
        let (thread, after) = after.split_once(',').unwrap();
        assert!(thread.trim().parse::<u64>().unwrap() > 0);
        assert_eq!(
            squeezed(&format!(",{after}")).trim_start_matches([',', ' ']),
            format!(
                concat!(
                    r#""processName":"{}","process":{},"#,
                    r#""extra":{{"n":1,"load":NaN,"error":"disk"}}}}"#,
                ),
                program,
                std::process::id()
            )
        );
    }

    #[test]
    fn levels_go_to_the_priorities_of_their_names_and_trace_to_none() {
        let sent = sent(
            |n| NotificationLayer::new(n).with_max_level(Level::TRACE),
            || {
                tracing::trace!(target: "nova", "t");
                tracing::debug!(target: "nova", "d");
                tracing::info!(target: "nova", "i");
                tracing::warn!(target: "nova", "w");
                tracing::error!(target: "nova", "e");
            },
        );
        let found: Vec<_> = sent
            .iter()
            .map(|n| (n.priority, n.payload.string_at("levelname").unwrap().into_owned()))
            .collect();
        let expected = [
            (Priority::Debug, "DEBUG"),
            (Priority::Info, "INFO"),
            (Priority::Warn, "WARNING"),
            (Priority::Error, "ERROR"),
        ];
        let mut found = found;
        found.sort();
        assert_eq!(found, expected.map(|(priority, name)| (priority, name.to_owned())));
    }

    #[test]
    fn error_notifications_have_the_message_alone() {
        let sent = sent(NotificationLayer::error_notifications, || {
            tracing::error!(target: "nova", n = 1, "no host");
        });
        let [sent] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(sent.event_type, "error_notification");
        assert_eq!(sent.payload.value().unwrap(), serde_json::json!({"error": "no host"}));
    }

    #[test]
    fn what_the_library_logs_is_left_out() {
        let sent = sent(NotificationLayer::new, || {
            for _ in 0..3 {
                tracing::error!(target: "oslo_messaging::receipt", "own");
                tracing::error!(target: "oslo.messaging.notification", "own");
                tracing::error!(target: "librdkafka", "own");
                tracing::error!(target: "log", { log.target = "rdkafka::client" }, "own");
            }
            tracing::error!(target: "log", { log.target = "cinder::volume", log.line = 7 }, "kept");
        });
        let [sent] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(sent.payload.string_at("name").as_deref(), Some("cinder::volume"));
        assert!(!is_own("oslo_messaging_extras") && is_own("oslo_messaging"));
    }

    /// Logs an error for each notification into the layer that sends it, and waits until it may
    /// go on.
    struct Noisy {
        go_on: Mutex<mpsc::Receiver<()>>,
        layer: Arc<OnceLock<NotificationLayer>>,
    }

    impl Serializer for Noisy {
        fn serialize_context(&self, context: Context) -> Result<Context, SerializerError> {
            self.go_on.lock().unwrap().recv()?;
            let layer = self.layer.get().unwrap().clone();
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!(target: "nova", "while sending");
            });
            Ok(context)
        }
    }

    #[test]
    fn it_neither_blocks_nor_recurses_and_counts_what_it_drops() {
        let transport = Transport::for_notifications("fake:").unwrap();
        let (go_on, wait) = mpsc::channel();
        let slot = Arc::new(OnceLock::new());
        let notifier = Notifier::builder(&transport)
            .driver("messagingv2")
            .serializer(Noisy { go_on: Mutex::new(wait), layer: Arc::clone(&slot) })
            .build()
            .unwrap();
        let layer = NotificationLayer::new(notifier);
        slot.set(layer.clone()).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer.clone());
        let logged = MAX_WAITING + 10;
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..logged {
                tracing::error!(target: "nova", n, "many");
            }
        });
        let Err(Error::Unfinished { left, .. }) = layer.close(Duration::ZERO) else {
            panic!("nothing may have been sent")
        };
        assert_eq!(left + layer.dropped(), logged);
        let dropped = layer.dropped();
        assert!(dropped >= 9, "{dropped}");
        for _ in 0..left {
            go_on.send(()).unwrap();
        }
        layer.close(LIMIT).unwrap();
        assert_eq!(layer.dropped(), dropped, "an event of the sending thread came back");
        assert_eq!(usize::try_from(transport.stats().sent.get()).unwrap(), left);
    }
}
