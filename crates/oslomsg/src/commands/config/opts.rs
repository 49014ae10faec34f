//! `config opts`: the table of options itself.

use oslo_messaging::config::{DefaultValue, Kind, Opt, table};
use serde_json::json;

use super::{write_json, write_table};
use crate::{
    args::config::{ListFormat, OptsArgs},
    exit::{Exit, Failure},
};

pub(super) fn run(args: &OptsArgs) -> Result<Exit, Failure> {
    match args.format {
        ListFormat::Table => {
            let row = |opt: &Opt| {
                let name = format!("[{}] {}", opt.group, opt.name);
                vec![name, opt.kind.to_string(), default(opt).unwrap_or("-").to_owned()]
            };
            let heading = ["OPTION", "VALUE", "DEFAULT"].map(str::to_owned).to_vec();
            let rows: Vec<_> = std::iter::once(heading).chain(table().iter().map(row)).collect();
            write_table(&rows)?;
        }
        ListFormat::Json => write_json(&table().iter().map(object).collect::<Vec<_>>())?,
    }
    Ok(Exit::Ok)
}

fn default(opt: &Opt) -> Option<&'static str> {
    match opt.default {
        DefaultValue::Text(text) => Some(text),
        _ => None,
    }
}

fn object(opt: &Opt) -> serde_json::Value {
    let (min, max) = match opt.kind {
        Kind::Integer { min, max } => (json!(min), json!(max)),
        Kind::IntegerOrMinusOne { max, .. } => (json!(-1), json!(max)),
        Kind::Float { min, max } | Kind::Seconds { min, max } => (json!(min), json!(max)),
        _ => (json!(null), json!(null)),
    };
    let choices = match opt.kind {
        Kind::Choice(choices) | Kind::ChoiceOrPrefix { choices, .. } => json!(choices),
        _ => json!(null),
    };
    let older = opt.deprecated.iter().map(|(group, name)| json!({"group": group, "name": name}));
    json!({
        "group": opt.group,
        "name": opt.name,
        "type": opt.kind.sample_name(),
        "expected": opt.kind.to_string(),
        "default": default(opt),
        "choices": choices,
        "min": min,
        "max": max,
        "secret": opt.secret,
        "mutable": opt.mutable,
        "deprecated_opts": older.collect::<Vec<_>>(),
        "in_oslo_messaging": !opt.ours,
        "help": opt.help,
    })
}
