//! From a request to the method that serves it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    RemoteError, RpcRequest,
    call::DISPATCHER,
    client::each_value,
    endpoint::Endpoints,
    version::{FIRST, serves},
};
use crate::{message::Payload, notify::Serializer};

/// Which methods may be called at all.
pub(super) type AccessPolicy = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// See the module's head.
pub(super) struct Dispatcher {
    pub(super) endpoints: Endpoints,
    pub(super) policy: AccessPolicy,
    pub(super) serializer: Option<Arc<dyn Serializer>>,
}

impl Dispatcher {
    /// Runs the request's method. Mirrors `RPCDispatcher.dispatch`.
    pub(super) fn dispatch(&self, mut request: RpcRequest) -> Result<Payload, RemoteError> {
        let wanted = request.version.as_deref().unwrap_or(FIRST);
        let mut is_served = false;
        for endpoint in &self.endpoints {
            let target = endpoint.target();
            let namespace = &request.namespace;
            if target.namespace != *namespace && !target.legacy_namespaces.contains(namespace) {
                continue;
            }
            if !serves(&target.version, wanted) {
                continue;
            }
            is_served = true;
            if endpoint.has(&request.method) && (self.policy)(&request.method) {
                self.deserialize(&mut request)?;
                let run = AssertUnwindSafe(|| endpoint.call(&request));
                let result = catch_unwind(run).unwrap_or_else(|panic| Err(panicked(&*panic)))?;
                return self.serialize(&request, result);
            }
        }
        let method = &request.method;
        Err(if is_served {
            of_dispatcher("NoSuchMethod", format!("Endpoint does not support RPC method {method}"))
        } else {
            let words = format!(
                "Endpoint does not support RPC version {wanted}. Attempted method: {method}"
            );
            of_dispatcher("UnsupportedVersion", words)
        })
    }

    fn deserialize(&self, request: &mut RpcRequest) -> Result<(), RemoteError> {
        let Some(serializer) = &self.serializer else { return Ok(()) };
        let refused = |what: &str, error: crate::SerializerError| {
            RemoteError::new("ValueError", format!("{}: {what}: {error}", request.method))
        };
        let context = serializer
            .deserialize_context(request.context.clone())
            .map_err(|error| refused("context", error))?;
        let args = each_value(&request.args, |value| {
            serializer
                .deserialize_entity(&context, value)
                .map_err(|error| refused("argument", error))
        })?;
        request.context = context;
        request.args = args;
        Ok(())
    }

    fn serialize(&self, request: &RpcRequest, result: Payload) -> Result<Payload, RemoteError> {
        let Some(serializer) = &self.serializer else { return Ok(result) };
        serializer.serialize_entity(&request.context, result).map_err(|error| {
            RemoteError::new("ValueError", format!("{}: result: {error}", request.method))
        })
    }
}

fn of_dispatcher(class: &str, message: String) -> RemoteError {
    RemoteError::new(class, message).with_module(DISPATCHER)
}

fn panicked(panic: &(dyn Any + Send)) -> RemoteError {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    RemoteError::new("RuntimeError", format!("the method panicked: {words}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::Dispatcher;
    use crate::{
        message::{Context, Payload},
        rpc::{Methods, RemoteError, RpcRequest},
    };

    fn dispatcher() -> Dispatcher {
        let named = |name: &'static str| move |_: &Context, (): ()| Ok(name);
        Dispatcher {
            endpoints: vec![
                Arc::new(Methods::new().method("who", named("plain 1.0")).method("_x", named("x"))),
                Arc::new(Methods::new().version("1.5").method("who", named("plain 1.5"))),
                Arc::new(
                    Methods::new()
                        .namespace("n")
                        .legacy_namespace(Some("old"))
                        .version("2.1")
                        .method("who", named("n 2.1"))
                        .method("panics", |_: &Context, (): ()| -> Result<(), RemoteError> {
                            panic!("on purpose")
                        }),
                ),
            ],
            policy: Arc::new(|method| !method.starts_with('_')),
            serializer: None,
        }
    }

    fn ask(method: &str, namespace: Option<&str>, version: Option<&str>) -> String {
        let mut request = RpcRequest::new(method, json!({}));
        request.namespace = namespace.map(str::to_owned);
        request.version = version.map(str::to_owned);
        match dispatcher().dispatch(request) {
            Ok(result) => result.deserialize().unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_endpoint_of_namespace_and_version_that_has_the_method_serves() {
        let no_version = "oslo_messaging.rpc.dispatcher.UnsupportedVersion: Endpoint does not \
                          support RPC version";
        let no_method = "oslo_messaging.rpc.dispatcher.NoSuchMethod: Endpoint does not support RPC \
                         method";
        let cases = [
            ("who", None, None, "plain 1.0".to_owned()),
            ("who", None, Some("1.0"), "plain 1.0".to_owned()),
            ("who", None, Some("1.3"), "plain 1.5".to_owned()),
            ("who", None, Some("1.6"), format!("{no_version} 1.6. Attempted method: who")),
            ("who", Some("n"), Some("2.0"), "n 2.1".to_owned()),
            ("who", Some("old"), Some("2.1"), "n 2.1".to_owned()),
            ("who", Some("n"), None, format!("{no_version} 1.0. Attempted method: who")),
            ("who", Some("other"), None, format!("{no_version} 1.0. Attempted method: who")),
            ("nothing", None, None, format!("{no_method} nothing")),
            ("_x", None, None, format!("{no_method} _x")),
            (
                "panics",
                Some("n"),
                Some("2.0"),
                "RuntimeError: the method panicked: on purpose".to_owned(),
            ),
        ];
        for (method, namespace, version, expected) in cases {
            assert_eq!(
                ask(method, namespace, version),
                expected,
                "{method} {namespace:?} {version:?}"
            );
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_a_type_error() {
        #[derive(serde::Deserialize)]
        struct Args {
            a: i64,
        }
        let mut dispatcher = dispatcher();
        dispatcher.endpoints =
            vec![Arc::new(Methods::new().method("twice", |_: &Context, Args { a }| Ok(a * 2)))];
        let ask = |args| dispatcher.dispatch(RpcRequest::new("twice", args));
        assert_eq!(ask(json!({"a": 21})).unwrap(), Payload::from(json!(42)));
        let error = ask(json!({"b": 1})).unwrap_err();
        assert_eq!(&*error.class, "TypeError");
        assert!(error.message.contains("missing field `a`"), "{error}");
    }
}
