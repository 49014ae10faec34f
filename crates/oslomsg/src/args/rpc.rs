//! `rpc`, as it was written.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::values;

/// `rpc`.
#[derive(Debug, Args)]
pub(crate) struct RpcArgs {
    #[command(subcommand)]
    pub(crate) command: RpcCommand,
}

/// What `rpc` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum RpcCommand {
    /// Call a method of a server and print its result as JSON
    Call(CallArgs),
    /// Call a method without an answer; ends when the broker has the request
    Cast(CastArgs),
    /// Serve echo, ping, sleep and fail, for checks, and print each request as a line of JSON
    Serve(ServeArgs),
}

/// Which method, and with what.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Topic of the servers, such as compute
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,

    /// The method, such as ping
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,

    /// Named arguments: a JSON object
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) args: String,

    /// Only this server of the topic, such as host1
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,

    /// The request context: a JSON object
    #[arg(long, visible_alias = "context", value_name = "JSON")]
    pub(crate) context_json: Option<String>,

    #[command(flatten)]
    pub(crate) interface: InterfaceArgs,
}

/// Where it is, and of which interface.
#[derive(Debug, Args)]
pub(crate) struct InterfaceArgs {
    /// Exchange of the service, such as nova [default: the configuration's control_exchange]
    #[arg(long, value_name = "EXCHANGE")]
    pub(crate) exchange: Option<String>,

    /// Namespace of the methods [default: none]
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,

    /// Version of the interface, such as 1.4 [default: 1.0]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
}

/// `rpc call`.
#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,

    /// Ask the server for signs of life, and give up when none came for so long: whole seconds
    #[arg(long, value_name = "SECONDS", value_parser = values::seconds)]
    pub(crate) call_monitor_timeout: Option<Duration>,
}

/// `rpc cast`.
#[derive(Debug, Args)]
pub(crate) struct CastArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,

    /// To all servers of the topic
    #[arg(long, conflicts_with = "server")]
    pub(crate) fanout: bool,
}

/// `rpc serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Topic to serve, such as check
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: String,

    /// This server's name [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,

    #[command(flatten)]
    pub(crate) interface: InterfaceArgs,
}
