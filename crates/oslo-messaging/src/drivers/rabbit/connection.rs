//! One connection to one of the hosts: TCP, TLS and login, each with a limit; and which host is next.

use std::{
    fmt,
    net::{Shutdown, TcpStream},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::BoxStream};
use lapin::{
    Channel, ConnectionProperties,
    options::ConfirmSelectOptions,
    tcp::AsyncTcpStream,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism},
};
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode, SslVersion};
use uuid::Uuid;

use super::{
    config::{Broker, RabbitOptions, Tls, program_name},
    error::{Refused, cause, is_login},
};
use crate::error::{Cause, Error};

/// Longest for TCP and TLS together.
const REACH: Duration = Duration::from_secs(5);
/// Longest for all of it: what answers TCP may be frozen.
const LOGIN: Duration = Duration::from_secs(10);
/// Longest for an orderly close.
const CLOSE: Duration = Duration::from_secs(2);

/// A connection, and its socket, by which it ends even when nobody answers.
pub(super) struct Connection {
    inner: lapin::Connection,
    socket: Socket,
}

/// The same socket as the client library's, once there is one.
#[derive(Clone, Default)]
struct Socket(Arc<OnceLock<TcpStream>>);

impl Socket {
    fn shut(&self) {
        if let Some(socket) = self.0.get() {
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Connection {
    /// A channel whose publishes are confirmed.
    pub(super) async fn confirming_channel(&self) -> lapin::Result<Channel> {
        let channel = self.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.inner.create_channel().await
    }

    /// What happens to the connection as a whole, such as a broker that is low on memory.
    pub(super) fn events(&self) -> BoxStream<'static, lapin::Event> {
        self.inner.events_listener().boxed()
    }

    pub(super) async fn close(self) {
        let close = self.inner.close(200, "OK".into());
        // Who does not answer is left anyway.
        let _ = tokio::time::timeout(CLOSE, close).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.socket.shut();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// The hosts in the order in which they are tried, and how long to wait before the next.
#[derive(Debug)]
pub(super) struct Hosts {
    options: Arc<RabbitOptions>,
    tls: Option<Arc<SslConnector>>,
    order: Vec<Broker>,
    next: usize,
    wait: Duration,
}

impl Hosts {
    pub(super) fn new(options: &Arc<RabbitOptions>, tls: Option<Arc<SslConnector>>) -> Self {
        let mut order = options.brokers.clone();
        shuffle(&mut order);
        Self { options: Arc::clone(options), tls, order, next: 0, wait: Duration::ZERO }
    }

    /// Tries the next host. `role` names the connection, such as `producer`.
    pub(super) async fn connect(&mut self, role: &str) -> Result<Connection, Refused> {
        let broker = self.order[self.next % self.order.len()].clone();
        match connect(&self.options, self.tls.as_deref(), &broker, role).await {
            Ok(connection) => {
                self.wait = Duration::ZERO;
                Ok(connection)
            }
            Err(refused) => {
                self.next += 1;
                if self.next.is_multiple_of(self.order.len()) {
                    let step = match self.wait {
                        Duration::ZERO => self.options.retry_interval,
                        _ => self.options.retry_backoff,
                    };
                    self.wait = (self.wait + step).min(self.options.interval_max);
                    if self.options.shuffle_again {
                        shuffle(&mut self.order);
                    }
                }
                Err(refused)
            }
        }
    }

    /// How long to wait before the next [`connect`](Self::connect): nothing while there are hosts
    /// that were not tried.
    pub(super) fn pause(&self) -> Duration {
        let is_round = self.next.is_multiple_of(self.order.len());
        if is_round { self.wait } else { Duration::ZERO }
    }

    /// A connection was lost: the next host, after the pause that spreads clients.
    pub(super) fn lost(&mut self) -> Duration {
        self.next += usize::from(self.order.len() > 1);
        let splay = self.options.reconnect_splay.mul_f64(random_part());
        self.options.reconnect_delay + splay
    }
}

/// A number from 0 to 1, for spreading.
fn random_part() -> f64 {
    f64::from(u32::try_from(Uuid::new_v4().as_u128() >> 96).unwrap_or(0)) / f64::from(u32::MAX)
}

fn shuffle(brokers: &mut [Broker]) {
    for end in (1..brokers.len()).rev() {
        let other = usize::try_from(Uuid::new_v4().as_u128() % (end as u128 + 1)).unwrap_or(end);
        brokers.swap(end, other);
    }
}

async fn connect(
    options: &RabbitOptions,
    tls: Option<&SslConnector>,
    broker: &Broker,
    role: &str,
) -> Result<Connection, Refused> {
    let address = format!("{}:{}", broker.host, broker.port);
    let socket = Socket::default();
    let failure: Arc<Mutex<Option<Refused>>> = Arc::default();
    let name = format!("{}:{}:{}:{role}", program_name(), std::process::id(), Uuid::new_v4());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime()
        .map_err(|error| Refused::new(&address, Cause::Other, error))?;
    let reach = {
        let (socket, failure, tls) = (socket.clone(), Arc::clone(&failure), tls.cloned());
        let (broker, address, heartbeat) = (broker.clone(), address.clone(), options.heartbeat);
        async move |_: AMQPUri, runtime: _| {
            let reached = tokio::time::timeout(
                REACH,
                reach(&runtime, &broker, tls.as_ref(), &socket, heartbeat),
            );
            let refused = match reached.await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => tls_words(&address, error),
                Err(_) => Refused::new(&address, Cause::Unreachable, "no answer within 5 s"),
            };
            let error = std::io::Error::other(refused.words.clone());
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
            Err(error.into())
        }
    };
    let uri = uri(options, broker);
    let connected = lapin::Connection::connector(uri, runtime, reach, properties);
    match tokio::time::timeout(LOGIN, connected).await {
        Ok(Ok(inner)) => Ok(Connection { inner, socket }),
        Ok(Err(error)) => {
            socket.shut();
            let known = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(known.unwrap_or_else(|| login_words(&address, options, broker, &error)))
        }
        Err(_) => {
            socket.shut();
            let words = "connected, but the broker does not answer: frozen, or no AMQP broker";
            Err(Refused::new(&address, Cause::Unreachable, words))
        }
    }
}

fn login_words(
    address: &str,
    options: &RabbitOptions,
    broker: &Broker,
    error: &lapin::Error,
) -> Refused {
    if is_login(error) {
        let words = format!(
            "the broker refused the login of user \"{}\" by {}: {error}",
            broker.username, options.login_method
        );
        return Refused::new(address, Cause::Authentication, words);
    }
    if options.tls.is_some() && error.to_string().contains("alert") {
        // With TLS 1.3 the broker says what it thinks of a client's certificate only now.
        return Refused::new(address, Cause::Authentication, format!("TLS: {error}"));
    }
    match cause(error) {
        Cause::Authorization => {
            let words = format!("virtual host \"{}\": {error}", options.virtual_host);
            Refused::new(address, Cause::Authorization, words)
        }
        cause => {
            let hint = match &options.tls {
                None => " (a TLS port needs ssl=true)",
                Some(tls) if tls.cert_file.is_none() => {
                    " (a broker that hangs up so soon may want a client's certificate: ssl_cert_file)"
                }
                Some(_) => "",
            };
            Refused::new(address, cause, format!("{error}{hint}"))
        }
    }
}

fn tls_words(address: &str, error: std::io::Error) -> Refused {
    let words = error.to_string();
    let is_certificate = words.contains("certificate") || words.contains("alert");
    if is_certificate {
        return Refused::new(address, Cause::Authentication, format!("TLS: {words}"));
    }
    Refused::new(address, Cause::Unreachable, words)
}

fn uri(options: &RabbitOptions, broker: &Broker) -> AMQPUri {
    let mechanism = match &*options.login_method {
        "PLAIN" => SASLMechanism::Plain,
        "EXTERNAL" => SASLMechanism::External,
        "RABBIT-CR-DEMO" => SASLMechanism::RabbitCrDemo,
        _ => SASLMechanism::AMQPlain,
    };
    AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: broker.username.clone(),
                password: broker.password.expose().to_owned(),
            },
            host: broker.host.clone(),
            port: broker.port,
        },
        vhost: options.virtual_host.clone(),
        query: AMQPQueryString {
            heartbeat: Some(u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX)),
            auth_mechanism: Some(mechanism),
            ..AMQPQueryString::default()
        },
    }
}

type Runtime = async_rs::TokioRuntime;
type Stream = AsyncTcpStream<<Runtime as async_rs::traits::Reactor>::TcpStream>;

/// TCP, and TLS over it.
async fn reach(
    runtime: &Runtime,
    broker: &Broker,
    tls: Option<&SslConnector>,
    socket: &Socket,
    heartbeat: Duration,
) -> std::io::Result<Stream> {
    let addresses = tokio::net::lookup_host((broker.host.as_str(), broker.port)).await?;
    let mut last = std::io::Error::other("the host has no address");
    for address in addresses {
        match async_rs::traits::Reactor::tcp_connect_addr(runtime, address).await {
            Ok(stream) => {
                if !heartbeat.is_zero() {
                    let millis = u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX);
                    rustix::net::sockopt::set_tcp_user_timeout(stream.get_ref(), millis)?;
                }
                let same = rustix::io::dup(stream.get_ref())?;
                // Each attempt has a socket of its own, and makes one.
                let _ = socket.0.set(TcpStream::from(same));
                let stream = AsyncTcpStream::Plain(stream);
                return match tls {
                    Some(connector) => stream.into_openssl(connector, &broker.host).await,
                    None => Ok(stream),
                };
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads the files of the TLS options, once.
pub(super) fn connector(tls: &Tls) -> Result<SslConnector, Error> {
    let wrong = |name: &'static str, path: &Path, error: openssl::error::ErrorStack| {
        let reason = format!("{}: {}", path.display(), first_words(&error));
        Error::InvalidSetting { name, reason }
    };
    let other = |error: openssl::error::ErrorStack| Error::Broker {
        driver: "rabbit",
        operation: "set up TLS".to_owned(),
        source: Box::new(error),
    };
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(other)?;
    if let Some(path) = &tls.ca_file {
        builder.set_ca_file(path).map_err(|error| wrong("ssl_ca_file", path, error))?;
    } else {
        builder.set_default_verify_paths().map_err(other)?;
    }
    if let Some(path) = &tls.cert_file {
        builder
            .set_certificate_chain_file(path)
            .map_err(|error| wrong("ssl_cert_file", path, error))?;
    }
    if let Some(path) = &tls.key_file {
        builder
            .set_private_key_file(path, SslFiletype::PEM)
            .map_err(|error| wrong("ssl_key_file", path, error))?;
    }
    let version = match &*tls.version.to_ascii_lowercase() {
        "" | "sslv23" => None,
        "tlsv1" => Some(SslVersion::TLS1),
        "tlsv1_1" => Some(SslVersion::TLS1_1),
        "tlsv1_2" => Some(SslVersion::TLS1_2),
        _ => {
            let reason =
                format!("\"{}\"; expected TLSv1, SSLv23, TLSv1_1, TLSv1_2 or nothing", tls.version);
            return Err(Error::InvalidSetting { name: "ssl_version", reason });
        }
    };
    builder.set_min_proto_version(version).map_err(other)?;
    builder.set_max_proto_version(version).map_err(other)?;
    builder.set_verify(SslVerifyMode::PEER);
    Ok(builder.build())
}

fn first_words(error: &openssl::error::ErrorStack) -> String {
    let first = error.errors().first();
    first.and_then(openssl::error::Error::reason).unwrap_or("cannot be read").to_owned()
}
