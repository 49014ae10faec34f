//! What a node is asked in Erlang, by `erl_call`: `rabbitmqctl` would need a second and an Erlang for each question.

use std::fs::{read, remove_file};
use std::io::{Write, pipe};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use testkit::{guardian::try_output, unique};

/// How often a connection to the node is tried, and what is between the attempts.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);
/// Calls that come together are told apart by too little: they refuse each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A queue as the broker has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// `classic`, `quorum` or `stream`.
    pub kind: String,
    /// `x-expires` and the like.
    pub arguments: Map<String, Value>,
    /// How many messages it has, delivered and not acknowledged or not delivered.
    pub messages: u64,
    /// How many of them are not delivered.
    pub ready: u64,
    /// How many consumers it has.
    pub consumers: u64,
}

/// An exchange as the broker has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// `topic`, `fanout`, `direct`, ...
    pub kind: String,
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it goes with its last binding.
    pub auto_delete: bool,
}

/// What routes from an exchange to a queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Binding {
    /// The exchange's name.
    pub exchange: String,
    /// The queue's name.
    pub queue: String,
    /// The routing key.
    pub key: String,
}

/// A connection of a client.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Connection {
    /// Who logged in.
    pub user: String,
    /// Which virtual host it uses.
    pub vhost: String,
    /// `running`, `blocked`, ...
    pub state: String,
    /// How many channels it has.
    pub channels: u64,
    /// The agreed heartbeat in seconds; 0 is none.
    pub heartbeat: u64,
    /// What the client tells of itself, `connection_name` among it.
    pub properties: Map<String, Value>,
}

pub(crate) fn queues(vhost: &str) -> String {
    format!(
        "[#{{name => N, durable => D, auto_delete => A, kind => T,
             arguments => rabbit_misc:amqp_table(Args), messages => M, ready => R, consumers => C}}
          || [{{name, {{resource, _, queue, N}}}}, {{durable, D}}, {{auto_delete, A}}, {{type, T}}, {{arguments, Args}},
              {{messages, M}}, {{messages_ready, R}}, {{consumers, C}}]
             <- rabbit_amqqueue:info_all({},
                  [name, durable, auto_delete, type, arguments, messages, messages_ready, consumers])]",
        binary(vhost)
    )
}

pub(crate) fn exchanges(vhost: &str) -> String {
    format!(
        "[#{{name => N, kind => K, durable => D, auto_delete => A}}
          || [{{name, {{resource, _, exchange, N}}}}, {{type, K}}, {{durable, D}}, {{auto_delete, A}}]
             <- rabbit_exchange:info_all({}, [name, type, durable, auto_delete])]",
        binary(vhost)
    )
}

pub(crate) fn bindings(vhost: &str) -> String {
    format!(
        "[#{{exchange => E, queue => Q, key => K}}
          || [{{source_name, E}}, {{destination_name, Q}}, {{routing_key, K}}]
             <- rabbit_binding:info_all({}, [source_name, destination_name, routing_key])]",
        binary(vhost)
    )
}

pub(crate) fn connections() -> String {
    // One that ends meanwhile has no answer, one that has not logged in no properties.
    "[#{user => U, vhost => V, state => S, channels => C, heartbeat => H, properties => rabbit_misc:amqp_table(P)}
      || Pid <- rabbit_networking:local_connections(),
         [{user, U}, {vhost, V}, {state, S}, {channels, C}, {timeout, H}, {client_properties, P}]
           <- [try rabbit_reader:info(Pid, [user, vhost, state, channels, timeout, client_properties])
               catch _:_ -> gone end],
         is_list(P)]"
        .to_owned()
}

pub(crate) fn close_connections() -> String {
    "[rabbit_networking:close_connection(Pid, \"closed by the test\") || Pid <- rabbit_networking:local_connections()]"
        .to_owned()
}

pub(crate) fn delete_queue(vhost: &str, name: &str) -> String {
    format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r({}, queue, {})),
         {{ok, _}} = rabbit_amqqueue:delete(Q, false, false, <<\"test\">>)",
        binary(vhost),
        binary(name)
    )
}

pub(crate) fn memory_alarm(on: bool) -> String {
    let limit = if on { "0.0" } else { "0.4" };
    // The monitor looks at once when it is told; the alarm's server may still have to hear of it.
    format!(
        "vm_memory_monitor:set_vm_memory_high_watermark({limit}),
         Until = fun(_, 0) -> error(alarm_does_not_follow);
                    (F, N) -> case lists:any(fun({{{{resource_limit, memory, _}}, _}}) -> true; (_) -> false end,
                                            rabbit_alarm:get_alarms()) of
                                {on} -> ok;
                                _ -> timer:sleep(20), F(F, N - 1)
                              end
                 end,
         Until(Until, 500)"
    )
}

/// The value of an expression, in Erlang's words.
pub(crate) fn text(folder: &Path, address: &str, expression: &str) -> String {
    let bytes = call(
        folder,
        address,
        &format!("unicode:characters_to_binary(io_lib:format(\"~tp\", [begin {expression} end]))"),
    );
    String::from_utf8(bytes).expect("Erlang made UTF-8 of it")
}

/// The value of an expression that is good for JSON.
pub(crate) fn json<T: DeserializeOwned>(folder: &Path, address: &str, expression: &str) -> T {
    let bytes = call(folder, address, &format!("rabbit_json:encode({expression})"));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        panic!("RabbitMQ answered {}: {error}", String::from_utf8_lossy(&bytes))
    })
}

/// The value of an expression, which is a binary.
fn call(folder: &Path, address: &str, expression: &str) -> Vec<u8> {
    // `erl_call` shortens what it prints.
    let file = folder.join(unique("answer"));
    let expression = &escaped(expression);
    let name = file.to_str().expect("the folder's name is UTF-8");
    let mut attempt = 1;
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = loop {
        match ask(folder, address, expression, name) {
            Ok(answer) => break answer,
            // Nothing was asked yet; another process may ask at the same time.
            Err(failure) if failure.contains("failed to connect") && attempt < ATTEMPTS => {
                attempt += 1;
                std::thread::sleep(PAUSE);
            }
            Err(failure) => panic!("{failure}"),
        }
    };
    drop(turn);
    assert_eq!(answer.trim(), "{ok, ok}", "RabbitMQ: {expression}");
    let value = read(&file).unwrap_or_else(|error| panic!("RabbitMQ wrote no {name}: {error}"));
    // What is left would go with the folder.
    let _ = remove_file(&file);
    value
}

/// Writes the value of an expression to a file.
fn ask(folder: &Path, address: &str, expression: &str, file: &str) -> Result<String, String> {
    // The input fits into the pipe, so nobody need read meanwhile.
    let (input, mut to_input) = pipe().expect("a pipe can be made");
    writeln!(to_input, "ok = file:write_file({}, {expression}).", binary(file))
        .expect("the pipe is open at both ends");
    drop(to_input);
    let mut command = Command::new("erl_call");
    // The cookie is in that home; -r is a name of its own, for another call may run.
    command.args(["-r", "-address", address, "-e"]).env("HOME", folder.join("home")).stdin(input);
    try_output(&format!("RabbitMQ: {expression}"), command)
}

/// `erl_call` takes bytes for characters: what is not ASCII is written as Erlang's escapes, which strings may have.
fn escaped(expression: &str) -> String {
    expression.chars().fold(String::new(), |mut out, c| {
        match c {
            '\0'..='\x7f' => out.push(c),
            _ => out.push_str(&format!("\\x{{{:x}}}", u32::from(c))),
        }
        out
    })
}

/// A binary with this text, whatever is in it.
fn binary(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}
