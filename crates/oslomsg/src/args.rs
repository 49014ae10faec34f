//! The command line as it was written: names, shapes and defaults, nothing looked up.
//!
//! What it means is decided in `session` (the global part) and in each command's `resolve`.

#[cfg(all(feature = "kafka", feature = "rabbit"))]
pub(crate) mod bridge;
pub(crate) mod config;
mod global;
#[cfg(feature = "rabbit")]
pub(crate) mod rpc;
pub(crate) mod sources;
pub(crate) mod values;

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use oslo_messaging::Priority;

#[cfg(all(feature = "kafka", feature = "rabbit"))]
use bridge::BridgeArgs;
use config::ConfigArgs;
pub(crate) use global::{Color, GlobalArgs, Verbosity};
#[cfg(feature = "rabbit")]
use rpc::RpcArgs;
#[cfg(feature = "kafka")]
use values::{Offset, Since};

/// Sends, watches and moves OpenStack notifications over Kafka, and tries out calls over RabbitMQ.
#[derive(Debug, Parser)]
#[command(name = "oslomsg", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(disable_help_subcommand = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 nothing matched (--exit-code) or demo lost something, 2 usage, 3 some failed, \
4 the called method failed, 65 bad data, 66 file missing, 69 broker unreachable, 70 bug, 75 timed out, 77 authentication or \
ACL, 78 configuration, 130 interrupted.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send notifications and say whether the broker has them
    Send(Box<SendArgs>),
    /// Look at the configuration: what counts and from where, and what is wrong with it
    Config(ConfigArgs),
    /// Show notifications as they come, without a trace on the broker
    #[cfg(feature = "kafka")]
    Tail(TailArgs),
    /// Find out, step by step, what keeps a service from its broker, and what to do
    #[cfg(feature = "kafka")]
    Doctor(DoctorArgs),
    /// Move notifications from RabbitMQ to Kafka; each is taken off its queue when Kafka has it
    #[cfg(all(feature = "kafka", feature = "rabbit"))]
    Bridge(BridgeArgs),
    /// Call methods over RabbitMQ, and serve some for checks
    #[cfg(feature = "rabbit")]
    Rpc(RpcArgs),
    /// Run a Kafka broker in memory, for tests and demos, and print its transport URL
    #[cfg(feature = "kafka")]
    Broker(BrokerArgs),
    /// Send a corpus to two pools of two members each, and count what is lost or repeated
    #[cfg(feature = "kafka")]
    Demo(DemoArgs),
}

/// `send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The payload: JSON, `-` for standard input, or `@FILE`
    #[arg(allow_negative_numbers = true, conflicts_with = "input")]
    pub(crate) payload: Option<String>,

    /// Who notifies [default: oslomsg.HOSTNAME]
    #[arg(long, value_name = "ID")]
    pub(crate) publisher_id: Option<String>,

    /// What happened
    #[arg(long, value_name = "TYPE", default_value = "test")]
    pub(crate) event_type: String,

    /// Topics, without priority; each gets the notification [default: the configuration's topics]
    #[arg(long = "topic", value_name = "TOPIC", num_args = 1.., allow_negative_numbers = true)]
    pub(crate) topics: Vec<String>,

    /// How urgent it is
    #[arg(long, default_value = "info", ignore_case = true, value_parser = priorities())]
    pub(crate) priority: Priority,

    /// Where it goes: messagingv2 and messaging to the broker, log to stderr, noop and test
    /// nowhere; may be repeated
    #[arg(long = "driver", value_name = "DRIVER", default_value = "messagingv2")]
    #[arg(value_parser = ["messagingv2", "messaging", "log", "noop", "routing", "test"])]
    pub(crate) drivers: Vec<String>,

    /// Send the payload's text as a JSON string, as oslo-messaging-send-notification does
    #[arg(long, conflicts_with = "input")]
    pub(crate) raw_string: bool,

    /// The request context: a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) context_json: Option<String>,

    /// Further hand-overs of what was surely not stored: 0 none, -1 until the timeout [default:
    /// the configuration's retry]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..))]
    pub(crate) retry: Option<i64>,

    /// Send each line of FILE (- for standard input): JSON as `tail --output jsonl` writes it.
    /// Keys that a line lacks come from the flags; a bad line is reported and left out
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Send that many, each with its own message id
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "input")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,

    /// At most that many per second
    #[arg(long, value_name = "R", value_parser = values::rate)]
    pub(crate) rate: Option<f64>,

    /// Print the bytes that would be sent, a line each, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// The topics by occurrence of `--topic`, to find a payload that one of them swallowed.
    #[arg(skip)]
    pub(crate) topic_groups: Vec<Vec<String>>,
}

/// `tail`.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Topics; one that ends in a priority (notifications.info) is taken as it is, any other is
    /// joined with all priorities [default: the configuration's topics]
    #[arg(value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,

    /// Where to begin: beginning, end, an offset N, -N from the end, or s@MS since 1970
    /// [default: end; with --no-follow: beginning]
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["lines", "since"])]
    pub(crate) offset: Option<Offset>,

    /// Begin with the last N records of each partition
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "since")]
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) lines: Option<i64>,

    /// Begin with what came at this time: 90s, 15m, 6h, 2d ago, or 2026-11-22T07:51:26Z
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Since>,

    /// Exit at the end instead of waiting for more
    #[arg(short = 'e', long)]
    pub(crate) no_follow: bool,

    /// Exit after N notifications were shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: Option<u64>,

    /// Only event types that match, such as 'compute.instance.*'
    #[arg(long, value_name = "GLOB")]
    pub(crate) event_type: Option<String>,

    /// Only publishers in which this regular expression is found, such as host1
    #[arg(long, value_name = "RE")]
    pub(crate) publisher: Option<String>,

    /// Only these priorities, separated by commas
    #[arg(long, value_delimiter = ',', ignore_case = true, value_parser = priorities())]
    pub(crate) priority: Vec<Priority>,

    /// How to show them: line for people, jsonl one object a line, json one list, raw the bytes
    #[arg(long, value_name = "FORMAT", default_value = "line")]
    pub(crate) output: Format,

    /// Join this consumer group and commit, instead of reading without a trace
    #[arg(long, value_name = "GROUP")]
    #[arg(conflicts_with_all = ["offset", "lines", "since", "no_follow"])]
    pub(crate) group: Option<String>,

    /// Show *** in place of this value, such as payload.user.email; `*` is any one key; may be
    /// repeated. The line output masks passwords, tokens and secrets by itself
    #[arg(long, value_name = "PATH", value_parser = values::mask)]
    pub(crate) mask: Vec<String>,

    /// Exit with 1 when nothing was shown
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// How records are shown.
#[cfg(feature = "kafka")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Line,
    Jsonl,
    Json,
    Raw,
}

/// `doctor`.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Look at this topic, without priority; may be repeated [default: the configuration's topics]
    #[arg(long = "topic", value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,

    /// Look at this consumer group [default: the configuration's consumer_group]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,

    /// Also send one notification, event type oslomsg.doctor, priority info
    #[arg(long)]
    pub(crate) send: bool,
}

/// `broker`.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// How many brokers the cluster has
    #[arg(short = 'n', long, value_name = "NODES", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) nodes: u16,

    /// Make these topics at the start; one that ends in a priority is taken as it is, any other
    /// is joined with all priorities
    #[arg(long, value_name = "TOPIC", num_args = 1.., value_delimiter = ',')]
    pub(crate) topics: Vec<String>,
}

/// `demo`.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Notifications to send, as JSON lines [default: a busy hour of a cloud that does not exist]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Send them that often, each time with new message ids
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
}

impl Cli {
    /// Reads arguments.
    ///
    /// # Errors
    ///
    /// What clap says, also for `--help` and `--version`.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let matches = Self::command().try_get_matches_from(&arguments)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.global.named = sources::named(&arguments);
        if let (Command::Send(send), Some(matches)) =
            (&mut cli.command, matches.subcommand_matches("send"))
        {
            let groups = matches.get_occurrences::<String>("topics").into_iter().flatten();
            send.topic_groups = groups.map(|group| group.cloned().collect()).collect();
            send.release_payload();
        }
        Ok(cli)
    }
}

impl SendArgs {
    /// `--topic` takes several values but stops at the payload, which need not look different:
    /// when the payload is missing, the last value of an occurrence that has more than one is it.
    fn release_payload(&mut self) {
        if self.payload.is_some() || self.input.is_some() {
            return;
        }
        let several = |group: &&mut Vec<String>| group.len() > 1;
        let found = self.topic_groups.iter_mut().filter(several).last();
        if let Some(payload) = found.and_then(Vec::pop) {
            self.payload = Some(payload);
            self.topics = self.topic_groups.concat();
        }
    }
}

fn priorities() -> impl TypedValueParser<Value = Priority> {
    PossibleValuesParser::new(Priority::ALL.map(Priority::as_str))
        .try_map(|word| word.parse::<Priority>())
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, SendArgs};
    use clap::CommandFactory;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(Into::into))
    }

    fn send(line: &str) -> SendArgs {
        match read(&format!("oslomsg send {line}")).unwrap().command {
            Command::Send(send) => *send,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_of_the_flags_has_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn topics_stop_at_the_payload() {
        for (line, topics, payload) in [
            ("--topic t {}", &["t"][..], Some("{}")),
            ("--topic t u {}", &["t", "u"], Some("{}")),
            ("--topic t --topic u {}", &["t", "u"], Some("{}")),
            ("--topic t {} --topic u", &["t", "u"], Some("{}")),
            ("--topic t --priority warn {}", &["t"], Some("{}")),
            ("{} --topic t u", &["t", "u"], Some("{}")),
            ("--topic t -", &["t"], Some("-")),
            ("--topic t -5", &["t"], Some("-5")),
            ("--topic t u --input f", &["t", "u"], None),
            ("--topic t --topic u", &["t", "u"], None),
            ("{}", &[], Some("{}")),
        ] {
            let send = send(line);
            assert_eq!(send.topics, topics, "{line}");
            assert_eq!(send.payload.as_deref(), payload, "{line}");
        }
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for line in [
            "oslomsg --transport-url fake: -X a=b -d send 1",
            "oslomsg send --transport-url fake: -X a=b -d 1",
        ] {
            let cli = read(line).unwrap();
            assert_eq!(cli.global.transport_url.as_deref(), Some("fake:"));
            assert_eq!(cli.global.properties.len(), 1);
            assert!(cli.global.debug);
        }
    }

    #[test]
    fn flags_that_exclude_each_other_are_refused() {
        for line in ["send 1 --input f", "send --count 0 1", "-q -v send 1", "sned 1", ""] {
            assert!(read(&format!("oslomsg {line}")).is_err(), "{line}");
        }
    }
}
