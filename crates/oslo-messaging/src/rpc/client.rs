//! Calling: what a program has to call the methods of servers.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    CallReport, PendingCall, PendingCast, RpcError, RpcRequest,
    call::{Call, Deadlines},
    version::{FIRST, is_version, serves},
};
use crate::{
    Error,
    driver::{Destination, Retry, RpcOutgoing},
    message::{Context, Payload, json::Entries},
    notify::Serializer,
    target::Target,
    transport::Transport,
};

/// Calls methods of the servers of a topic. Cheap to clone.
///
/// ```
/// use oslo_messaging::{Context, Payload, Target, Transport};
/// use oslo_messaging::rpc::{Methods, RpcClient, RpcServer};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = Transport::builder().url("fake:").for_rpc()?;
/// let server = RpcServer::builder(&transport, Target::new("compute"), "host1")
///     .endpoint(Methods::new().method("ping", |_: &Context, (): ()| Ok("pong")))
///     .start()?;
///
/// let client = RpcClient::builder(&transport, Target::new("compute")).build()?;
/// let answer = client.call(&Context::empty(), "ping", Payload::null());
/// assert_eq!(answer.wait()?.deserialize::<String>()?, "pong");
/// // To one server, and to all of them:
/// client.with_server("host1").cast(&Context::empty(), "ping", Payload::null()).wait()?;
/// client.with_fanout().cast(&Context::empty(), "ping", Payload::null()).wait()?;
/// server.close(Duration::from_secs(10))?;
/// # Ok(())
/// # }
/// ```
///
/// What `prepare` of the reference changes for some calls, the methods `with_...` change for a clone.
/// Mirrors `RPCClient` of `oslo_messaging/rpc/client.py`.
#[derive(Clone)]
pub struct RpcClient {
    transport: Transport,
    target: Arc<Target>,
    allowed: Arc<[String]>,
    serializer: Option<Arc<dyn Serializer>>,
    version_cap: Option<String>,
    at_least_once: bool,
    destination: Destination,
    namespace: Option<String>,
    version: Option<String>,
    timeout: Duration,
    monitor: Option<Duration>,
    retry: Retry,
}

impl RpcClient {
    /// Begins a client of the servers of `target`.
    pub fn builder(transport: &Transport, target: Target) -> RpcClientBuilder {
        RpcClientBuilder {
            transport: transport.clone(),
            target,
            namespace: None,
            version: None,
            version_cap: None,
            timeout: None,
            monitor: None,
            retry: Retry::UntilTimeout,
            allowed: Vec::new(),
            at_least_once: false,
            serializer: None,
        }
    }

    /// For one server of the topic, such as `host1`.
    #[must_use]
    pub fn with_server(&self, server: impl Into<String>) -> Self {
        Self { destination: Destination::Server(server.into()), ..self.clone() }
    }

    /// For all servers of the topic: casts only.
    #[must_use]
    pub fn with_fanout(&self) -> Self {
        Self { destination: Destination::Fanout, ..self.clone() }
    }

    /// With another namespace; `None` for methods without one.
    #[must_use]
    pub fn with_namespace(&self, namespace: Option<&str>) -> Self {
        Self { namespace: namespace.map(str::to_owned), ..self.clone() }
    }

    /// For at least this version of the interface, such as `1.4`.
    #[must_use]
    pub fn with_version(&self, version: impl Into<String>) -> Self {
        Self { version: Some(version.into()), ..self.clone() }
    }

    /// With another timeout.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// With signs of life asked of the server, at least this often; whole seconds. `None`: without.
    #[must_use]
    pub fn with_call_monitor(&self, timeout: Option<Duration>) -> Self {
        Self { monitor: timeout, ..self.clone() }
    }

    /// With other further attempts to send: negative until the timeout, 0 for a single one.
    #[must_use]
    pub fn with_retry(&self, retry: i64) -> Self {
        Self { retry: Retry::from(retry), ..self.clone() }
    }

    /// Whether a call with this version would be sent: it is no higher than the cap.
    #[must_use]
    pub fn can_send_version(&self, version: &str) -> bool {
        self.version_cap.as_deref().is_none_or(|cap| serves(cap, version))
    }

    /// Calls a method of one server, and returns at once. `args` is an object of named arguments;
    /// `null` stands for none.
    ///
    /// The call ends in a result or an error within its timeout, whatever happens to brokers and
    /// servers. The errors of [`PendingCall::wait`] say which.
    pub fn call(&self, context: &Context, method: &str, args: impl Into<Payload>) -> PendingCall {
        let (call, report) = self.begin(method, self.monitor);
        match self.outgoing(context, method, args.into()) {
            _ if self.destination == Destination::Fanout => {
                let reason = format!("{method}: a fanout has many answers or none: cast it");
                call.end(Err(RpcError::Invalid { reason }));
            }
            Ok(outgoing) => match self.transport.driver().rpc() {
                Some(driver) => driver.call(outgoing, report),
                None => call.end(Err(self.unsupported())),
            },
            Err(error) => call.end(Err(error)),
        }
        PendingCall::new(call)
    }

    /// Calls a method of one server, or of all ([`with_fanout`](Self::with_fanout)), without an
    /// answer; else as [`call`](Self::call).
    pub fn cast(&self, context: &Context, method: &str, args: impl Into<Payload>) -> PendingCast {
        let (call, report) = self.begin(method, None);
        match self.outgoing(context, method, args.into()) {
            Ok(outgoing) => match self.transport.driver().rpc() {
                Some(driver) => driver.cast(outgoing, report),
                None => call.end(Err(self.unsupported())),
            },
            Err(error) => call.end(Err(error)),
        }
        PendingCast::new(call)
    }

    fn unsupported(&self) -> RpcError {
        let driver = self.transport.driver().capabilities().name;
        RpcError::Transport(Error::Unsupported {
            driver,
            what: "RPC".to_owned(),
            instead: "open the transport with for_rpc".to_owned(),
        })
    }

    fn begin(&self, method: &str, monitor: Option<Duration>) -> (Arc<Call>, CallReport) {
        let to = self.destination.describe(&self.target);
        let deadlines = Deadlines { timeout: self.timeout, monitor };
        let call = Call::new(method.to_owned(), to, Arc::clone(&self.allowed), deadlines);
        let report = CallReport::new(Arc::clone(&call));
        (call, report)
    }

    fn outgoing(
        &self,
        context: &Context,
        method: &str,
        args: Payload,
    ) -> Result<RpcOutgoing, RpcError> {
        let version = self.version.as_deref().unwrap_or(FIRST);
        if !is_version(version) {
            let reason = format!("{method}: version \"{version}\"; expected one such as 1.4");
            return Err(RpcError::Invalid { reason });
        }
        if let Some(cap) = self.version_cap.as_ref().filter(|cap| !serves(cap, version)) {
            let (method, version) = (method.to_owned(), version.to_owned());
            return Err(RpcError::VersionCap { method, version, cap: cap.clone() });
        }
        let mut request = RpcRequest::new(method, self.serialized(context, method, args)?);
        request.namespace.clone_from(&self.namespace);
        request.version.clone_from(&self.version);
        request.context = match &self.serializer {
            Some(serializer) => {
                serializer.serialize_context(context.clone()).map_err(refused("context"))?
            }
            None => context.clone(),
        };
        Ok(RpcOutgoing {
            target: Arc::clone(&self.target),
            destination: self.destination.clone(),
            request,
            timeout: self.timeout,
            monitor: self.monitor,
            retry: self.retry,
            at_least_once: self.at_least_once,
        })
    }

    fn serialized(
        &self,
        context: &Context,
        method: &str,
        args: Payload,
    ) -> Result<Payload, RpcError> {
        let args = if args.as_json().trim() == "null" { Payload::empty() } else { args };
        if !args.as_json().trim_start().starts_with('{') {
            let reason = format!("{method}: arguments are an object, such as {{\"a\": 1}}");
            return Err(RpcError::Invalid { reason });
        }
        match &self.serializer {
            None => Ok(args),
            Some(serializer) => each_value(&args, |value| {
                serializer.serialize_entity(context, value).map_err(refused("argument"))
            }),
        }
    }
}

/// The same object with each of its values replaced.
pub(super) fn each_value<E>(
    object: &Payload,
    mut replace: impl FnMut(Payload) -> Result<Payload, E>,
) -> Result<Payload, E> {
    let text = object.as_json();
    let mut out = String::with_capacity(text.len());
    out.push('{');
    for entry in Entries::new(text).map_while(Result::ok) {
        let value = Payload::of_json(text[entry.start..entry.end].to_owned());
        out.push_str(if out.len() == 1 { "" } else { ", " });
        out.push_str(entry.key);
        out.push_str(": ");
        out.push_str(replace(value)?.as_json());
    }
    out.push('}');
    Ok(Payload::of_json(out))
}

fn refused(what: &'static str) -> impl Fn(crate::SerializerError) -> RpcError {
    move |source| RpcError::Conversion(Error::Conversion { what, source })
}

impl fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClient")
            .field("target", &self.target)
            .field("destination", &self.destination)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Collects what an [`RpcClient`] is made with.
#[must_use]
pub struct RpcClientBuilder {
    transport: Transport,
    target: Target,
    namespace: Option<String>,
    version: Option<String>,
    version_cap: Option<String>,
    timeout: Option<Duration>,
    monitor: Option<Duration>,
    retry: Retry,
    allowed: Vec<String>,
    at_least_once: bool,
    serializer: Option<Arc<dyn Serializer>>,
}

impl RpcClientBuilder {
    /// The namespace of the methods. Default: none.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The version that calls need, such as `1.0`, where they name no other. Default `1.0`.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The highest version that may be sent, such as `1.4`. Default: any.
    pub fn version_cap(mut self, cap: impl Into<String>) -> Self {
        self.version_cap = Some(cap.into());
        self
    }

    /// Longest wait for an answer, or for a cast's confirmation. Default: option
    /// `rpc_response_timeout`, 60 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks servers for signs of life while they run a method; a call ends when none came for so
    /// long. Whole seconds, 2 at least to have an effect. Default: none.
    pub fn call_monitor_timeout(mut self, timeout: Duration) -> Self {
        self.monitor = Some(timeout);
        self
    }

    /// Further attempts to send: negative for as many as the timeout allows, 0 for a single one.
    /// Default -1.
    pub fn retry(mut self, retry: i64) -> Self {
        self.retry = Retry::from(retry);
        self
    }

    /// Python modules whose exceptions are relied on, such as `nova.exception`. Python's own always
    /// are. Default: none. Mirrors `allowed_remote_exmods`.
    pub fn allow_modules<S: Into<String>>(mut self, modules: impl IntoIterator<Item = S>) -> Self {
        self.allowed.extend(modules.into_iter().map(Into::into));
        self
    }

    /// Whether to be told when nobody listens there, instead of a timeout. Not for fanouts. Default
    /// no. Mirrors `TransportOptions.at_least_once`.
    pub fn at_least_once(mut self, at_least_once: bool) -> Self {
        self.at_least_once = at_least_once;
        self
    }

    /// What makes of arguments, results and contexts what travels, and back. Default: nothing does.
    pub fn serializer(mut self, serializer: impl Serializer) -> Self {
        self.serializer = Some(Arc::new(serializer));
        self
    }

    /// Makes the client. No broker is asked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for `rpc_response_timeout`; [`Error::InvalidSetting`] for a version,
    /// a cap or a topic that is none; [`Error::Unsupported`] when the driver carries no RPC.
    pub fn build(self) -> Result<RpcClient, Error> {
        let options = self.transport.options("DEFAULT")?;
        if self.target.topic().is_empty() {
            let reason = "an RPC client needs a topic".to_owned();
            return Err(Error::InvalidSetting { name: "target", reason });
        }
        for (name, version) in [("version", &self.version), ("version_cap", &self.version_cap)] {
            if let Some(version) = version.as_ref().filter(|version| !is_version(version)) {
                let reason = format!("\"{version}\"; expected a version such as 1.4");
                return Err(Error::InvalidSetting { name, reason });
            }
        }
        if self.transport.driver().rpc().is_none() {
            return Err(Error::Unsupported {
                driver: self.transport.driver().capabilities().name,
                what: "RPC, it carries notifications only".to_owned(),
                instead: "use a rabbit:// transport URL for RPC".to_owned(),
            });
        }
        Ok(RpcClient {
            timeout: self.timeout.unwrap_or_else(|| {
                Duration::from_secs(options.int("rpc_response_timeout").unsigned_abs())
            }),
            transport: self.transport,
            target: Arc::new(self.target),
            allowed: self.allowed.into(),
            serializer: self.serializer,
            version_cap: self.version_cap,
            at_least_once: self.at_least_once,
            destination: Destination::Topic,
            namespace: self.namespace,
            version: self.version,
            monitor: self.monitor,
            retry: self.retry,
        })
    }
}

impl fmt::Debug for RpcClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClientBuilder").field("target", &self.target).finish_non_exhaustive()
    }
}
