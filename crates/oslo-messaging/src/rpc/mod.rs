//! Remote calls: a client that calls methods of a server, whoever it is and wherever it runs.
//!
//! Nothing here knows a broker: a driver carries requests and answers, see
//! [`driver::RpcDriver`](crate::driver::RpcDriver). A call goes this way:
//!
//! ```text
//! client:  RpcClient::call ─▶ RpcDriver::call ═══▶ broker        CallReport ─▶ PendingCall
//! server:  broker ═══▶ RpcSubscription::recv ─▶ Dispatcher ─▶ RpcEndpoint ─▶ ReplyTo::answer
//! ```
//!
//! A request is given to an endpoint at most once. Mirrors `oslo_messaging/rpc/`.

mod call;
mod client;
mod dispatcher;
mod endpoint;
mod error;
mod fault;
mod heartbeats;
mod request;
mod server;
mod timer;
mod version;
mod workers;

pub use call::{CallReport, PendingCall, PendingCast};
pub use client::{RpcClient, RpcClientBuilder};
pub use endpoint::{EndpointTarget, Methods, RpcEndpoint};
pub use error::RpcError;
pub use fault::RemoteError;
pub use request::RpcRequest;
pub use server::{RpcServer, RpcServerBuilder};
