//! The options that made-up configurations are read by: every type, older names, references.

use oslo_messaging::config::{DEFAULT, DefaultValue, Kind, Opt, Schema};
use serde_json::{Value as Json, json};

const fn opt(group: &'static str, name: &'static str, kind: Kind, default: &'static str) -> Opt {
    Opt::new(group, name, kind, default, "")
}

const INTEGER: Kind = Kind::Integer { min: -100, max: 100_000 };
const FLOAT: Kind = Kind::Float { min: -10.0, max: 1e9 };
const CHOICE: Kind = Kind::Choice(&["one", "two", "x y", ""]);

pub(crate) const SCHEMA: Schema = Schema::new(&[
    opt(DEFAULT, "text", Kind::String, "plain"),
    opt(DEFAULT, "nothing", Kind::String, "").default(DefaultValue::Unset),
    opt(DEFAULT, "count", INTEGER, "7"),
    opt(DEFAULT, "share", FLOAT, "0.5"),
    opt(DEFAULT, "flag", Kind::Boolean, "true"),
    opt(DEFAULT, "several", Kind::MultiString, "").default(DefaultValue::Unset),
    opt(DEFAULT, "made", Kind::String, "${alpha.text}-$count/$flag"),
    opt(DEFAULT, "renamed", Kind::String, "r")
        .deprecated(&[(DEFAULT, "before"), ("alpha", "moved")]),
    opt("alpha", "text", Kind::String, "of alpha"),
    opt("alpha", "count", INTEGER, "-1"),
    opt("alpha", "share", FLOAT, "1"),
    opt("alpha", "flag", Kind::Boolean, "false"),
    opt("alpha", "port", Kind::Port, "80"),
    opt("alpha", "host", Kind::Host, "localhost"),
    opt("alpha", "choice", CHOICE, "one"),
    opt("alpha", "items", Kind::List, "a,b"),
    opt("alpha", "pairs", Kind::Dict, "k:v"),
    opt("alpha", "several", Kind::MultiString, "").default(DefaultValue::Unset),
    opt("alpha", "password", Kind::String, "pw").secret(),
    opt("alpha", "level", INTEGER, "3").deprecated(&[("alpha", "old_level"), ("beta", "level")]),
    opt("alpha", "drivers", Kind::MultiString, "")
        .default(DefaultValue::Unset)
        .deprecated(&[("alpha", "old_drivers"), (DEFAULT, "drivers")]),
    opt("beta", "text", Kind::String, "$made"),
    opt("beta", "wait", Kind::Seconds { min: 0.0, max: 3600.0 }, "30"),
    opt("beta", "items", Kind::List, ""),
    opt("beta", "pairs", Kind::Dict, ""),
    opt("beta", "host", Kind::Host, "::1"),
]);

/// A table for the reference's scripts.
pub(crate) fn described(schema: Schema) -> Json {
    let described = schema.opts().iter().map(|opt| {
        let text = match opt.default {
            DefaultValue::Text(text) => Some(text),
            _ => None,
        };
        let parsed = |text: &str| text.parse::<Json>().unwrap();
        let items = |text: &str| {
            let items = text.split(',').filter(|item| !item.is_empty());
            items.map(str::to_owned).collect::<Vec<_>>()
        };
        let (kind, default) = match opt.kind {
            Kind::Integer { .. } | Kind::IntegerOrMinusOne { .. } => ("integer", text.map(parsed)),
            Kind::Port => ("port", text.map(parsed)),
            Kind::Float { .. } | Kind::Seconds { .. } => {
                ("float", text.map(|text| json!(text.parse::<f64>().unwrap())))
            }
            Kind::Boolean => ("boolean", text.map(parsed)),
            Kind::Host => ("host", text.map(Json::from)),
            Kind::List => ("list", text.map(|text| json!(items(text)))),
            Kind::MultiString => ("multi", Some(json!([]))),
            Kind::Dict => {
                let pairs = |text| {
                    items(text)
                        .iter()
                        .map(|item| {
                            let (name, value) = item.split_once(':').unwrap();
                            (name.to_owned(), Json::from(value))
                        })
                        .collect()
                };
                ("dict", text.map(|text| Json::Object(pairs(text))))
            }
            _ => ("string", text.map(Json::from)),
        };
        let (min, max) = match opt.kind {
            Kind::Integer { min, max } => (json!(min), json!(max)),
            Kind::IntegerOrMinusOne { max, .. } => (json!(-1), json!(max)),
            Kind::Float { min, max } | Kind::Seconds { min, max } => (json!(min), json!(max)),
            _ => (Json::Null, Json::Null),
        };
        let choices = match opt.kind {
            Kind::Choice(choices) => json!(choices),
            _ => Json::Null,
        };
        json!({
            "group": opt.group, "name": opt.name, "kind": kind, "default": default,
            "secret": opt.secret, "deprecated": opt.deprecated, "choices": choices,
            "min": min, "max": max, "help": opt.help,
        })
    });
    described.collect()
}
