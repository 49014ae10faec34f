//! One request: which method, with what, on whose behalf.

use crate::message::{Context, Payload};

/// What a client asks of a server.
///
/// ```
/// use oslo_messaging::{Context, Payload, rpc::RpcRequest};
/// let request = RpcRequest::new("add", Payload::from(serde_json::json!({"a": 1, "b": 2})));
/// assert_eq!(request.method, "add");
/// assert_eq!(request.context, Context::empty());
/// ```
///
/// Mirrors the message that `_BaseCallContext._make_message` of `oslo_messaging/rpc/client.py` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RpcRequest {
    /// The method's name, such as `reboot_instance`.
    pub method: String,
    /// The named arguments: an object, such as `{"instance": "i-1", "reboot_type": "HARD"}`.
    pub args: Payload,
    /// The namespace of the method. `None`: that of endpoints without one.
    pub namespace: Option<String>,
    /// The least version that serves it, such as `1.4`. `None`: `1.0`.
    pub version: Option<String>,
    /// Who asks.
    pub context: Context,
}

impl RpcRequest {
    /// A request without namespace, version and context.
    pub fn new(method: impl Into<String>, args: impl Into<Payload>) -> Self {
        Self {
            method: method.into(),
            args: args.into(),
            namespace: None,
            version: None,
            context: Context::empty(),
        }
    }
}
