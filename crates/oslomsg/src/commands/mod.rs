//! The commands: each resolves its arguments and does its work in one function.

#[cfg(all(feature = "kafka", feature = "rabbit"))]
mod bridge;
#[cfg(feature = "kafka")]
mod broker;
mod config;
#[cfg(feature = "kafka")]
mod demo;
#[cfg(feature = "kafka")]
mod doctor;
mod input;
#[cfg(feature = "rabbit")]
mod rpc;
mod send;
#[cfg(feature = "kafka")]
mod tail;
#[cfg(feature = "kafka")]
mod topics;

use crate::{
    args::Command,
    exit::{Exit, Failure},
    session::Session,
};

/// Runs a command to its end.
///
/// # Errors
///
/// What is to be told to the user, with the exit code.
pub(crate) fn run(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Send(args) => send::run(*args, session),
        Command::Config(args) => config::run(args.command, session),
        #[cfg(feature = "kafka")]
        Command::Tail(args) => tail::run(args, session),
        #[cfg(feature = "kafka")]
        Command::Doctor(args) => doctor::run(&args, session),
        #[cfg(all(feature = "kafka", feature = "rabbit"))]
        Command::Bridge(args) => bridge::run(args, session),
        #[cfg(feature = "rabbit")]
        Command::Rpc(args) => rpc::run(args.command, session),
        #[cfg(feature = "kafka")]
        Command::Broker(args) => broker::run(&args, session),
        #[cfg(feature = "kafka")]
        Command::Demo(args) => demo::run(&args, session),
    }
}
