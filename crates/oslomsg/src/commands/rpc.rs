//! `rpc`: calls and casts, and a server for checks.

mod serve;

use std::io::{self, Write};

use oslo_messaging::{
    Context, Error, Payload, Target, Transport,
    rpc::{RpcClient, RpcError},
};

use crate::{
    args::rpc::{CallArgs, CastArgs, InterfaceArgs, RequestArgs, RpcCommand},
    exit::{Exit, Failure},
    output,
    session::Session,
};

pub(crate) fn run(command: RpcCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        RpcCommand::Call(args) => call(args, session),
        RpcCommand::Cast(args) => cast(args, session),
        RpcCommand::Serve(args) => serve::run(args, session),
    }
}

fn call(args: CallArgs, session: &Session) -> Result<Exit, Failure> {
    let CallArgs { request, call_monitor_timeout } = args;
    let request = Request::resolve(request, session)?;
    let client = request.client.with_call_monitor(call_monitor_timeout);
    let result = client.call(&request.context, &request.method, request.args).wait()?;
    writeln!(io::stdout(), "{}", result.as_json())?;
    Ok(Exit::Ok)
}

fn cast(args: CastArgs, session: &Session) -> Result<Exit, Failure> {
    let CastArgs { request, fanout } = args;
    let request = Request::resolve(request, session)?;
    let client = if fanout { request.client.with_fanout() } else { request.client };
    client.cast(&request.context, &request.method, request.args).wait()?;
    output::note(session.verbosity, "the broker has it");
    Ok(Exit::Ok)
}

/// What is asked, and by whom.
struct Request {
    client: RpcClient,
    method: String,
    args: Payload,
    context: Context,
}

impl Request {
    fn resolve(args: RequestArgs, session: &Session) -> Result<Self, Failure> {
        let RequestArgs { topic, method, args, server, context_json, interface } = args;
        let context = context_json.map_or(Ok(Context::empty()), Context::from_json)?;
        let args = Payload::from_json(args)?;
        let transport = transport(session)?;
        let mut client = RpcClient::builder(&transport, target(topic, &interface))
            // Who asks by hand wants to know at once that nobody listens, or that no broker is there.
            .at_least_once(true)
            .retry(0);
        if let Some(namespace) = interface.namespace {
            client = client.namespace(namespace);
        }
        if let Some(version) = interface.version {
            client = client.version(version);
        }
        if let Some(timeout) = session.timeout {
            client = client.timeout(timeout);
        }
        let client = client.build()?;
        let client = match server {
            Some(server) => client.with_server(server),
            None => client,
        };
        Ok(Self { client, method, args, context })
    }
}

/// The transport for calls: the URL that was given, else that of `[DEFAULT]`.
fn transport(session: &Session) -> Result<Transport, Failure> {
    let builder = Transport::builder().config(session.config.clone());
    let builder = match session.given_url() {
        Some(url) => builder.url(url),
        None => builder,
    };
    Ok(builder.for_rpc()?)
}

fn target(topic: String, interface: &InterfaceArgs) -> Target {
    let target = Target::new(topic);
    match &interface.exchange {
        Some(exchange) => target.with_exchange(exchange),
        None => target,
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let text = error.to_string();
        match error {
            RpcError::Remote(error) => {
                // Without frames it says the same once more.
                let has_frames = error.traceback.iter().any(|line| line.starts_with(' '));
                let lines = if has_frames { error.traceback.concat() } else { String::new() };
                Self::new(Exit::Remote, format!("{text}\n{lines}").trim_end())
            }
            RpcError::NoSuchMethod { .. } | RpcError::UnsupportedVersion { .. } => {
                let hint = "--namespace and --version choose the interface";
                Self::new(Exit::Remote, text).with_hint(hint)
            }
            RpcError::Undeliverable { .. } => {
                let hint = "is the server running, with this topic, name and --exchange?";
                Self::new(Exit::Unreachable, text).with_hint(hint)
            }
            RpcError::Timeout { ref detail, .. } => match detail {
                // What stands in the way says more than the time that it took.
                Some(words) => Self::of_words(words, text),
                None => Self::new(Exit::TimedOut, text)
                    .with_hint("the method may run, have run, or never run"),
            },
            RpcError::NotSent { is_unknown: true, .. } => Self::new(Exit::TimedOut, text),
            RpcError::NotSent { detail, .. } => Self::of_words(&detail, text),
            RpcError::VersionCap { .. } | RpcError::Invalid { .. } => Self::usage(text),
            RpcError::Conversion(error) | RpcError::Transport(error) => Error::into(error),
            _ => Self::new(Exit::Bug, text),
        }
    }
}
