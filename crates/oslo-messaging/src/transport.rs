//! From a transport URL to a driver: the only match on the scheme.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Error,
    config::{Config, DEFAULT, Options},
    driver::{Driver, MessageKey, Outgoing, Retry, Subscribe, Subscription, Waiting},
    message::Priority,
    receipt::{FinalOutcome, Receipt, Subject},
    reload::{self, Mutable, Reloaded},
    stats::{Observer, Stats},
    target::Target,
    url::TransportUrl,
    wire,
};

const NOTIFICATIONS_GROUP: &str = "oslo_messaging_notifications";

/// A way to a broker, shared by any number of notifiers and listeners. Cheap to clone.
///
/// ```
/// use oslo_messaging::Transport;
/// let transport = Transport::for_notifications("fake:")?;
/// assert_eq!(transport.stats().delivered.get(), 0);
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
///
/// Opening one does no I/O and starts no thread: the brokers are asked at the first notification
/// and at the start of a listener. Mirrors `oslo_messaging/transport.py` and
/// `get_notification_transport`.
#[derive(Clone, Debug)]
pub struct Transport {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    driver: Box<dyn Driver>,
    /// As it was opened.
    url: TransportUrl,
    /// Whether the program gave it; else the configuration did.
    is_given: bool,
    state: Mutex<State>,
    stats: Arc<Stats>,
}

/// What a configuration that is read again takes the place of.
struct State {
    config: Config,
    /// With the users and passwords that count now.
    url: TransportUrl,
    /// What is built on this transport, while it lives.
    mutables: Vec<Weak<dyn Mutable>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Inner {
    fn new(
        driver: Box<dyn Driver>,
        url: TransportUrl,
        is_given: bool,
        config: Config,
        stats: Arc<Stats>,
    ) -> Arc<Self> {
        let state = State { config, url: url.clone(), mutables: Vec::new() };
        Arc::new(Self { driver, url, is_given, state: Mutex::new(state), stats })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A notification as its record's body, and what is said of it when it does not arrive.
#[derive(Clone, Debug)]
pub struct EncodedNotification {
    /// The notification's message id.
    pub message_id: String,
    /// The notification's event type.
    pub event_type: String,
    /// The notification's priority.
    pub priority: Priority,
    /// What [`wire::encode`] or [`wire::envelope`] gives.
    pub body: Bytes,
}

/// What a transport is opened for; a driver may carry one and not the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Notifications,
    Rpc,
}

impl Transport {
    /// Opens a transport for notifications, with the options of its URL alone.
    ///
    /// # Errors
    ///
    /// As [`TransportBuilder::for_notifications`].
    pub fn for_notifications(url: &str) -> Result<Self, Error> {
        Self::builder().url(url).for_notifications()
    }

    /// Begins a transport with a configuration.
    #[must_use]
    pub fn builder() -> TransportBuilder {
        TransportBuilder { url: None, config: Config::new(), observer: None }
    }

    /// What has been done through this transport since it was opened.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.inner.stats
    }

    /// The URL that was opened; its `Display` masks the passwords. Users and passwords that a
    /// [`reload`](Self::reload) brought are not in it.
    #[must_use]
    pub fn url(&self) -> &TransportUrl {
        &self.inner.url
    }

    /// Begins at once what otherwise the first notification begins: connections, threads, and with
    /// `delivery = spooled` the sending of what an earlier process has left on disk. For services
    /// that seldom notify; to be called after the last fork. May be called again.
    ///
    /// # Errors
    ///
    /// [`Error::Broker`] when the client library refuses, [`Error::Spool`] when the spool's folder
    /// cannot be used.
    pub fn start(&self) -> Result<(), Error> {
        self.inner.driver.start()
    }

    /// Sends a notification that is encoded already, to one topic: for bindings, whose notifiers
    /// are written in another language. Returns as a notifier does. A record's key (option
    /// `message_key`) is read from the encoded text.
    ///
    /// Mirrors `_send_notification` of `oslo_messaging/transport.py`.
    pub fn send_notification(
        &self,
        target: &Arc<Target>,
        notification: EncodedNotification,
        retry: Retry,
    ) -> Receipt {
        let EncodedNotification { message_id, event_type, priority, body } = notification;
        let receipt = Receipt::new(
            Subject { message_id, event_type, priority },
            Arc::clone(&self.inner.stats),
        );
        let report = receipt.expect(body.len());
        let driver = self.driver();
        let key = match driver.message_key() {
            MessageKey::None => None,
            key => wire::decode(&body).ok().and_then(|notification| key.of(&notification)),
        };
        let target = Arc::clone(target);
        driver.send(Outgoing { target, priority, key, headers: Vec::new(), body, retry }, report);
        receipt
    }

    /// Takes records as they are, for those who pass them on: each is settled for itself, in any
    /// order and number, and goes back to its queue when it is settled as not done or the
    /// subscription is closed first. `targets` are joined with each of their priorities; `pool` is a
    /// queue or group of its own, see [`ListenerBuilder::pool`](crate::ListenerBuilder::pool).
    ///
    /// Returns within about a second, whether or not a broker answers. A
    /// [`Listener`](crate::Listener) is for those who handle notifications.
    ///
    /// # Errors
    ///
    /// As [`ListenerBuilder::start`](crate::ListenerBuilder::start); [`Error::Unsupported`] where
    /// records cannot be settled so, as on Kafka.
    pub fn subscribe(
        &self,
        targets: Vec<(Target, Priority)>,
        pool: Option<&str>,
    ) -> Result<Arc<dyn Subscription>, Error> {
        let capabilities = self.driver().capabilities();
        if !capabilities.queues {
            return Err(Error::Unsupported {
                driver: capabilities.name,
                what: "taking records one by one".to_owned(),
                instead: "take them from a rabbit:// transport URL".to_owned(),
            });
        }
        self.driver().subscribe(raw(targets, pool))
    }

    /// Looks how much waits for such a [`subscribe`](Self::subscribe), queue by queue, at most for
    /// `timeout`. Nothing is taken or made.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when no broker can be asked; [`Error::Unsupported`] on Kafka.
    pub fn waiting(
        &self,
        targets: Vec<(Target, Priority)>,
        pool: Option<&str>,
        timeout: Duration,
    ) -> Result<Vec<Waiting>, Error> {
        self.driver().waiting(&raw(targets, pool), timeout)
    }

    /// Whether a listener's notification comes again when its endpoint asks for that (option
    /// `commit = after_dispatch`).
    #[must_use]
    pub fn redelivers(&self) -> bool {
        self.inner.driver.redelivers()
    }

    /// Takes a configuration that was read again, as on SIGHUP: what is mutable in the table of options
    /// counts at once, for this transport and all notifiers on it, where the program itself has not
    /// decided it. Of the transport URL, that are users and passwords, for connections that come.
    /// All that has changed and needs a restart is named, in the log, too.
    ///
    /// ```
    /// use oslo_messaging::{Notifier, Transport, config::{Config, NOTIFICATIONS}};
    ///
    /// # fn main() -> Result<(), oslo_messaging::Error> {
    /// let mut config = Config::new();
    /// config.set(NOTIFICATIONS, "transport_url", "fake:");
    /// let transport = Transport::builder().config(config.clone()).for_notifications()?;
    /// let notifier = Notifier::builder(&transport).build()?;
    /// // Later, from the files again:
    /// config.set(NOTIFICATIONS, "topics", "notifications,billing");
    /// let reloaded = transport.reload(&config)?;
    /// assert_eq!(reloaded.applied[0].name, "topics");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Mirrors `mutate_config_files` of oslo.config.
    ///
    /// # Errors
    ///
    /// As [`TransportBuilder::for_notifications`] and [`NotifierBuilder::build`](crate::NotifierBuilder::build)
    /// with that configuration. Nothing has changed then.
    pub fn reload(&self, config: &Config) -> Result<Reloaded, Error> {
        let mut state = self.inner.state();
        let url: TransportUrl = match self.inner.is_given {
            true => state.url.clone(),
            false => url_from(config, Purpose::Notifications)?.parse()?,
        };
        let driver = self.driver();
        let group = driver.options_group();
        if let Some(group) = group {
            Options::resolve(group, config, url.query())?;
        }
        Options::resolve(DEFAULT, config, &[])?;
        let notifications = Options::resolve(NOTIFICATIONS_GROUP, config, &[])?;
        state.mutables.retain(|mutable| mutable.strong_count() > 0);
        let mutables: Vec<_> = state.mutables.iter().filter_map(Weak::upgrade).collect();
        let prepared = mutables.iter().map(|mutable| mutable.prepare(&notifications));
        let prepared = prepared.collect::<Result<Vec<_>, _>>()?;

        let mut reloaded = Reloaded::default();
        let named =
            if notifications.is_set("transport_url") { NOTIFICATIONS_GROUP } else { DEFAULT };
        if let Some((change, credentials_alone)) = reload::of_url(named, &state.url, &url) {
            if credentials_alone && driver.take_credentials(&url) {
                reloaded.applied.push(change);
            } else {
                reloaded.needs_restart.push(change);
            }
        }
        prepared.into_iter().for_each(|put_in_place| put_in_place());
        let configs = (&state.config, config);
        let mut changes = reload::changes(&[DEFAULT, NOTIFICATIONS_GROUP], configs, &[]);
        if let Some(group) = group {
            changes.extend(reload::changes(&[group], configs, url.query()));
        }
        for (change, mutable) in changes {
            let of = if mutable { &mut reloaded.applied } else { &mut reloaded.needs_restart };
            of.push(change);
        }
        for change in &reloaded.applied {
            tracing::info!("configuration read again: {change}");
        }
        for change in &reloaded.needs_restart {
            tracing::warn!("configuration read again: {change} needs a restart");
        }
        (state.config, state.url) = (config.clone(), url);
        Ok(reloaded)
    }

    /// Tells what is built on this transport of configurations that are read again.
    pub(crate) fn watch(&self, mutable: Weak<dyn Mutable>) {
        let mut state = self.inner.state();
        state.mutables.retain(|mutable| mutable.strong_count() > 0);
        state.mutables.push(mutable);
    }

    /// Takes no more notifications, and waits until those that were handed over are confirmed or
    /// refused, at most `deadline`.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] with the number and the ids of those that did not arrive, or may have: they
    /// are given up and reported so. What is spooled is kept, and no error.
    pub fn close(&self, deadline: Duration) -> Result<(), Error> {
        self.inner.driver.close(deadline)
    }

    /// A transport over a driver that no URL names.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn over(driver: Box<dyn Driver>, stats: Arc<Stats>) -> Self {
        let url = TransportUrl::parse("fuzzing://").expect("a scheme is a URL");
        Self { inner: Inner::new(driver, url, true, Config::new(), stats) }
    }

    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.inner.driver
    }

    pub(crate) fn shared_stats(&self) -> &Arc<Stats> {
        &self.inner.stats
    }

    /// The options of a group of the configuration.
    pub(crate) fn options(&self, group: &'static str) -> Result<Options, Error> {
        Options::resolve(group, &self.inner.state().config, &[])
    }

    /// `[oslo_messaging_notifications]`.
    pub(crate) fn notification_options(&self) -> Result<Options, Error> {
        self.options(NOTIFICATIONS_GROUP)
    }
}

/// Collects what a [`Transport`] is opened with.
#[derive(Clone)]
pub struct TransportBuilder {
    url: Option<String>,
    config: Config,
    observer: Option<Observer>,
}

impl fmt::Debug for TransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold passwords.
        f.debug_struct("TransportBuilder")
            .field("has_url", &self.url.is_some())
            .field("config", &self.config)
            .field("has_observer", &self.observer.is_some())
            .finish()
    }
}

impl TransportBuilder {
    /// The transport URL, such as `kafka://host1:9092,host2:9092/`. Without it the configuration
    /// names one: `[oslo_messaging_notifications] transport_url`, else `[DEFAULT] transport_url`.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The configuration, usually read from a service's files. The URL's query wins over it.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Calls `observer` with what finally became of each record, delivered or not: for senders that
    /// do not wait for receipts, or whose receipts say only that a notification was accepted
    /// (`delivery = queued` and `spooled`). Default: nobody.
    ///
    /// It runs on a thread of the driver, which waits for it: it should be quick, and must not
    /// wait for a receipt.
    #[must_use]
    pub fn on_outcome(mut self, observer: impl Fn(&FinalOutcome) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Opens the transport for notifications.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`], [`Error::UnknownScheme`] and [`Error::NotBuilt`] for the URL,
    /// [`Error::UnknownOption`] and [`Error::InvalidOption`] for what stands in it or in the
    /// configuration.
    pub fn for_notifications(self) -> Result<Transport, Error> {
        self.open(Purpose::Notifications)
    }

    /// Opens the transport for RPC.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] at once for a driver that carries notifications only, as `kafka`
    /// does; it names one that can. Else as [`for_notifications`](Self::for_notifications).
    pub fn for_rpc(self) -> Result<Transport, Error> {
        self.open(Purpose::Rpc)
    }

    fn open(self, purpose: Purpose) -> Result<Transport, Error> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => url_from(&self.config, purpose)?,
        };
        let url: TransportUrl = url.parse()?;
        let stats = Arc::new(Stats::default());
        if let Some(observer) = self.observer {
            stats.set_observer(observer);
        }
        let driver = open_driver(&url, &self.config, &stats)?;
        let capabilities = driver.capabilities();
        if purpose == Purpose::Rpc && !capabilities.rpc {
            return Err(Error::Unsupported {
                driver: capabilities.name,
                what: "RPC, it carries notifications only".to_owned(),
                instead: "open a rabbit:// or amqp:// transport URL for RPC and keep this one in \
                          [oslo_messaging_notifications] transport_url"
                    .to_owned(),
            });
        }
        let is_given = self.url.is_some();
        Ok(Transport { inner: Inner::new(driver, url, is_given, self.config, stats) })
    }
}

fn raw(targets: Vec<(Target, Priority)>, pool: Option<&str>) -> Subscribe {
    let pool = pool.map(str::to_owned);
    Subscribe { targets, pool, batch_size: 1, requeue: true, raw: true }
}

fn url_from(config: &Config, purpose: Purpose) -> Result<String, Error> {
    if purpose == Purpose::Notifications {
        let options = Options::resolve(NOTIFICATIONS_GROUP, config, &[])?;
        if options.is_set("transport_url") {
            return Ok(options.str("transport_url").to_owned());
        }
    }
    let options = Options::resolve(DEFAULT, config, &[])?;
    if options.is_set("transport_url") {
        return Ok(options.str("transport_url").to_owned());
    }
    Err(Error::InvalidSetting {
        name: "transport_url",
        reason: "no transport URL: give one, or set [oslo_messaging_notifications] transport_url \
                 or [DEFAULT] transport_url"
            .to_owned(),
    })
}

/// The schemes that this build can open.
const BUILT: &[&str] = &[
    #[cfg(feature = "fake")]
    crate::drivers::fake::SCHEME,
    #[cfg(feature = "kafka")]
    crate::drivers::kafka::SCHEME,
    #[cfg(feature = "rabbit")]
    crate::drivers::rabbit::SCHEME,
];

fn open_driver(
    url: &TransportUrl,
    config: &Config,
    stats: &Arc<Stats>,
) -> Result<Box<dyn Driver>, Error> {
    #[cfg(not(any(feature = "fake", feature = "kafka", feature = "rabbit")))]
    let _ = (config, stats);
    match url.scheme() {
        #[cfg(feature = "fake")]
        "fake" => {
            let stats = Arc::clone(stats);
            Ok(Box::new(crate::drivers::fake::FakeDriver::open(url, config, stats)?))
        }
        #[cfg(feature = "kafka")]
        "kafka" => {
            let stats = Arc::clone(stats);
            Ok(Box::new(crate::drivers::kafka::KafkaDriver::open(url, config, stats)?))
        }
        // The reference's other name for it.
        #[cfg(feature = "rabbit")]
        "rabbit" | "kombu" => {
            let stats = Arc::clone(stats);
            Ok(Box::new(crate::drivers::rabbit::RabbitDriver::open(url, config, stats)?))
        }
        #[cfg(not(feature = "fake"))]
        "fake" => Err(Error::NotBuilt { driver: "fake", built: BUILT.to_vec() }),
        #[cfg(not(feature = "kafka"))]
        "kafka" => Err(Error::NotBuilt { driver: "kafka", built: BUILT.to_vec() }),
        #[cfg(not(feature = "rabbit"))]
        "rabbit" | "kombu" => Err(Error::NotBuilt { driver: "rabbit", built: BUILT.to_vec() }),
        other => Err(Error::UnknownScheme { scheme: other.to_owned(), built: BUILT.to_vec() }),
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use super::Transport;
    use crate::{Error, config::Config};

    #[test]
    fn an_unknown_scheme_lists_the_built_drivers() {
        let error = Transport::for_notifications("kafak://h/").unwrap_err();
        let Error::UnknownScheme { built, .. } = &error else { panic!("{error}") };
        assert!(built.contains(&"fake"));
        assert!(error.to_string().contains("\"kafak\""), "{error}");
    }

    #[test]
    fn without_a_url_the_configuration_names_one() {
        let mut config = Config::new();
        config.set("DEFAULT", "transport_url", "rabbit://h/");
        config.set("oslo_messaging_notifications", "transport_url", "fake:");
        let transport = Transport::builder().config(config).for_notifications().unwrap();
        assert_eq!(transport.url().scheme(), "fake");
    }

    #[test]
    fn without_any_url_the_error_names_both_options() {
        let error = Transport::builder().for_notifications().unwrap_err().to_string();
        assert!(error.contains("[DEFAULT] transport_url"), "{error}");
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn rpc_on_kafka_is_refused_at_once_and_the_error_names_a_driver_that_can() {
        let error = Transport::builder().url("kafka://h/").for_rpc().unwrap_err();
        assert!(matches!(error, Error::Unsupported { driver: "kafka", .. }));
        assert!(error.to_string().contains("rabbit://"), "{error}");
    }

    #[cfg(not(feature = "kafka"))]
    #[test]
    fn a_driver_that_was_not_built_is_named() {
        let error = Transport::for_notifications("kafka://h/").unwrap_err();
        assert!(matches!(error, Error::NotBuilt { driver: "kafka", .. }));
    }
}
