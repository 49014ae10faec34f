//! What a program writes to be called.

use std::{any::TypeId, collections::BTreeMap, fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{RemoteError, RpcRequest, version::FIRST};
use crate::{
    Error,
    message::{Context, Payload},
};

/// Which requests an endpoint serves. Mirrors the attribute `target` of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointTarget {
    /// The namespace of its methods, such as `baseapi`. `None`: requests without one.
    pub namespace: Option<String>,
    /// Further namespaces that it serves; `None` stands for requests without one.
    pub legacy_namespaces: Vec<Option<String>>,
    /// The version of its interface, such as `1.4`: it serves requests for its major and a minor
    /// that is no higher. Default `1.0`.
    pub version: String,
}

impl Default for EndpointTarget {
    fn default() -> Self {
        Self { namespace: None, legacy_namespaces: Vec::new(), version: FIRST.to_owned() }
    }
}

/// Methods that a server offers. [`Methods`] makes one of closures.
///
/// Called on the server's workers, for several requests at once. A panic is caught and travels as
/// an error.
pub trait RpcEndpoint: Send + Sync + 'static {
    /// Which requests it serves. Asked at each request.
    fn target(&self) -> &EndpointTarget;

    /// Whether it has the method.
    fn has(&self, method: &str) -> bool;

    /// Runs the method of a request, which it has.
    ///
    /// # Errors
    ///
    /// What the caller shall get instead of a result.
    fn call(&self, request: &RpcRequest) -> Result<Payload, RemoteError>;
}

type Method = Box<dyn Fn(&RpcRequest) -> Result<Payload, RemoteError> + Send + Sync>;

/// An endpoint made of closures, each a method: only what is listed can be called.
///
/// ```
/// use oslo_messaging::{Context, rpc::{Methods, RemoteError}};
///
/// #[derive(serde::Deserialize)]
/// struct Add {
///     a: i64,
///     b: i64,
/// }
///
/// let calculator = Methods::new()
///     .version("1.1")
///     .method("add", |_: &Context, Add { a, b }| Ok(a + b))
///     .method("fail", |_: &Context, (): ()| -> Result<(), _> {
///         Err(RemoteError::new("ValueError", "no good"))
///     });
/// ```
#[derive(Default)]
pub struct Methods {
    target: EndpointTarget,
    methods: BTreeMap<String, Method>,
}

impl Methods {
    /// No methods yet, version `1.0`, no namespace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The version of the interface, such as `1.4`.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.target.version = version.into();
        self
    }

    /// The namespace of the methods.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.target.namespace = Some(namespace.into());
        self
    }

    /// A further namespace; `None` for requests without one.
    #[must_use]
    pub fn legacy_namespace(mut self, namespace: Option<&str>) -> Self {
        self.target.legacy_namespaces.push(namespace.map(str::to_owned));
        self
    }

    /// Adds a method of typed arguments. They are read by their names from the request; `()` takes
    /// whatever comes. Arguments that do not fit travel back as a `TypeError`.
    #[must_use]
    pub fn method<A, R, F>(self, name: impl Into<String>, run: F) -> Self
    where
        A: DeserializeOwned + 'static,
        R: Serialize,
        F: Fn(&Context, A) -> Result<R, RemoteError> + Send + Sync + 'static,
    {
        self.raw_method(name, move |request| {
            let misfit = |what: &str, error: Error| {
                let reason = RemoteError::from(error).message;
                RemoteError::new("TypeError", format!("{}: {what}: {reason}", request.method))
            };
            // For serde an object is no unit.
            let is_unit = TypeId::of::<A>() == TypeId::of::<()>();
            let args = if is_unit { Payload::null() } else { request.args.clone() };
            let args = args.deserialize().map_err(|error| misfit("arguments", error))?;
            let result = run(&request.context, args)?;
            Payload::serialize(&result).map_err(|error| misfit("result", error))
        })
    }

    /// Adds a method that gets the request as it came and gives its result as JSON.
    #[must_use]
    pub fn raw_method<F>(mut self, name: impl Into<String>, run: F) -> Self
    where
        F: Fn(&RpcRequest) -> Result<Payload, RemoteError> + Send + Sync + 'static,
    {
        self.methods.insert(name.into(), Box::new(run));
        self
    }
}

impl RpcEndpoint for Methods {
    fn target(&self) -> &EndpointTarget {
        &self.target
    }

    fn has(&self, method: &str) -> bool {
        self.methods.contains_key(method)
    }

    fn call(&self, request: &RpcRequest) -> Result<Payload, RemoteError> {
        self.methods[&request.method](request)
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Methods")
            .field("target", &self.target)
            .field("methods", &self.methods.keys())
            .finish()
    }
}

/// Endpoints are shared by the workers.
pub(super) type Endpoints = Vec<Arc<dyn RpcEndpoint>>;
