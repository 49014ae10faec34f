//! `rpc serve`: methods for checks, until a signal comes.

use std::{
    fs,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use oslo_messaging::{
    Payload,
    rpc::{EndpointTarget, RemoteError, RpcEndpoint, RpcRequest, RpcServer},
};

use super::{target, transport};
use crate::{
    args::rpc::ServeArgs,
    exit::{Exit, Failure},
    interrupt::Interrupt,
    json::{literal, member},
    output,
    session::Session,
};

/// How long the broker gets at the start.
const READY: Duration = Duration::from_secs(12);
/// How long a signal goes unnoticed meanwhile.
const SLICE: Duration = Duration::from_millis(100);
/// What accepted calls get at the end.
const CLOSE: Duration = Duration::from_secs(60);
/// The longest that `sleep` sleeps, in seconds.
const LONGEST: f64 = 3_600.0;

pub(super) fn run(args: ServeArgs, session: &Session) -> Result<Exit, Failure> {
    let ServeArgs { topic, server, interface } = args;
    let transport = transport(session)?;
    let interrupt = Interrupt::install()?;
    let name = server.unwrap_or_else(host_name);
    let mut of = EndpointTarget::default();
    of.namespace.clone_from(&interface.namespace);
    if let Some(version) = &interface.version {
        of.version.clone_from(version);
    }
    let server = RpcServer::builder(&transport, target(topic.clone(), &interface), &name)
        .endpoint(Checks { target: of })
        .start()?;
    let deadline = Instant::now() + READY;
    while let Err(error) = server.ready(SLICE) {
        if interrupt.came() {
            return Ok(Exit::Ok);
        }
        let failure = Failure::from(error);
        let is_final = matches!(&failure, Failure::Told { exit: Exit::Denied, .. });
        if is_final || Instant::now() >= deadline {
            return Err(failure);
        }
    }
    output::note(
        session.verbosity,
        format_args!("serving echo, ping, sleep and fail: topic {topic}, server {name}"),
    );
    interrupt.wait(session.timeout.unwrap_or(Duration::MAX));
    server.close(CLOSE)?;
    Ok(Exit::Ok)
}

/// The methods.
struct Checks {
    target: EndpointTarget,
}

impl RpcEndpoint for Checks {
    fn target(&self) -> &EndpointTarget {
        &self.target
    }

    fn has(&self, method: &str) -> bool {
        matches!(method, "echo" | "ping" | "sleep" | "fail")
    }

    fn call(&self, request: &RpcRequest) -> Result<Payload, RemoteError> {
        print(request);
        match request.method.as_str() {
            "ping" => Ok(Payload::serialize("pong")?),
            "sleep" => {
                let given = member(request.args.as_json(), "seconds").unwrap_or("1");
                let seconds = given.parse::<f64>().ok().filter(|s| (0.0..=LONGEST).contains(s));
                let Some(seconds) = seconds else {
                    let reason = format!("seconds: {given}; expected a number from 0 to {LONGEST}");
                    return Err(RemoteError::new("ValueError", reason));
                };
                thread::sleep(Duration::from_secs_f64(seconds));
                Ok(Payload::null())
            }
            "fail" => {
                let word =
                    |name: &str| request.args.string_at(name).map(std::borrow::Cow::into_owned);
                let class = word("class").unwrap_or_else(|| "ValueError".to_owned());
                let message = word("message").unwrap_or_else(|| "on purpose".to_owned());
                let error = RemoteError::new(class, message);
                Err(match word("module") {
                    Some(module) => error.with_module(module),
                    None => error,
                })
            }
            _ => Ok(request.args.clone()),
        }
    }
}

/// A request as a line of JSON. Who has stopped reading is told nothing.
fn print(request: &RpcRequest) {
    let word = |word: &Option<String>| word.as_deref().map_or_else(|| "null".to_owned(), literal);
    let line = format!(
        "{{\"method\":{},\"args\":{},\"namespace\":{},\"version\":{},\"context\":{}}}\n",
        literal(&request.method),
        request.args.as_json(),
        word(&request.namespace),
        word(&request.version),
        request.context.as_json()
    );
    // Outside of strings JSON may have line ends, and in them it has none.
    let line = line.trim_end().replace(['\n', '\r'], " ") + "\n";
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
