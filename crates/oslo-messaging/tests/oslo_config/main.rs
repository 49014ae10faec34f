//! Configurations beside the real oslo.config: the same files and variables, read by both.
//!
//! `OSLOMSG_CONFIG_CASES` says how many are made up (2000), `OSLOMSG_CONFIG_SEED` which.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod cases;
mod dice;
mod options;
mod reference;
mod table;
mod values;

use std::{env, fs, path::Path, thread};

use cases::{Case, SERVICES};
use oslo_messaging::{
    Error,
    config::{Origin, Setting, Value},
};
use reference::Reference;
use serde_json::{Value as Json, json};

/// Differences that are shown.
const SHOWN: usize = 5;
/// Cases that are made before they are compared.
const AHEAD: usize = 64;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The setting as the reference's script writes it.
fn written(setting: &Setting) -> Json {
    let value = match &setting.value {
        Ok(Value::Text(text)) => json!({"str": text}),
        Ok(Value::Integer(value)) => json!({"int": value.to_string()}),
        Ok(value @ Value::Float(_)) => json!({"float": value.to_string()}),
        Ok(Value::Boolean(true)) => json!({"bool": "True"}),
        Ok(Value::Boolean(false)) => json!({"bool": "False"}),
        Ok(Value::List(items)) => json!({"list": items}),
        Ok(Value::Dict(pairs)) => json!({"dict": pairs}),
        Ok(_) => panic!("a new kind of value"),
        Err(Error::InvalidOption { expected, .. }) => {
            let refers = ["refers to known options", "not refer to itself"];
            let is_reference = refers.iter().any(|words| expected.contains(words));
            return json!({"error": if is_reference { "reference" } else { "value" }});
        }
        Err(error) => panic!("{error}"),
    };
    let from = match setting.origin {
        Origin::Default => "default",
        Origin::Environment { .. } => "environment",
        _ => "file",
    };
    json!({"value": value, "from": from})
}

fn ours(case: &Case) -> Json {
    let config = match case.sources().read() {
        Ok(config) => config,
        Err(Error::InvalidConfig { .. }) => return json!({"error": "syntax"}),
        Err(Error::File { .. }) => return json!({"error": "missing"}),
        Err(error) => panic!("{error}"),
    };
    let groups = options::SCHEMA.groups().into_iter();
    let settings = groups.flat_map(|group| options::SCHEMA.settings(group, &config, &[]));
    json!({"values": settings.map(|setting| written(&setting)).collect::<Vec<_>>()})
}

/// What differs, in words; nothing where all is the same.
fn difference(case: &Case, reference: &Json, ours: &Json) -> Option<String> {
    if reference == ours {
        return None;
    }
    let mut text = format!("{case}");
    match (reference["values"].as_array(), ours["values"].as_array()) {
        (Some(reference), Some(ours)) => {
            for ((opt, reference), ours) in options::SCHEMA.opts().iter().zip(reference).zip(ours) {
                if reference != ours {
                    let place = format!("[{}] {}", opt.group, opt.name);
                    text += &format!("{place}: oslo.config {reference}\n{place}: here {ours}\n");
                }
            }
        }
        _ => text += &format!("oslo.config {reference}\nhere {ours}\n"),
    }
    Some(text)
}

#[test]
fn made_up_configurations_are_read_as_oslo_config_reads_them() {
    let (count, seed) = (number("OSLOMSG_CONFIG_CASES", 2000), number("OSLOMSG_CONFIG_SEED", 1));
    let folder = env::temp_dir().join(format!("oslomsg-config-{}", std::process::id()));
    let mut reference =
        Reference::start("reference_config.py", &options::described(options::SCHEMA));
    let (sender, cases) = std::sync::mpsc::sync_channel(AHEAD);
    let root = folder.clone();
    let mut questions = reference.questions();
    let maker = thread::spawn(move || {
        for number in 0..count {
            let case = Case::make(seed, number, &root.join(number.to_string()));
            questions.ask(&case.question());
            if sender.send(case).is_err() {
                return;
            }
        }
    });
    let (mut different, mut refused, mut set) = (Vec::new(), 0, 0);
    for case in cases {
        let (answer, ours) = (reference.answer(), ours(&case));
        refused += u64::from(ours.get("error").is_some());
        let values = ours["values"].as_array().into_iter().flatten();
        set += values.filter(|value| value["from"] != "default").count();
        different.extend(difference(&case, &answer, &ours));
        fs::remove_dir_all(&case.root).unwrap();
    }
    maker.join().unwrap();
    let _ = fs::remove_dir(&folder);
    println!(
        "{count} configurations, {refused} of them refused as a whole, {set} values or errors that \
         are no defaults, {} configurations different",
        different.len()
    );
    assert!(different.is_empty(), "{}", different[..different.len().min(SHOWN)].join("\n---\n"));
    assert!(count < 1000 || (refused > count / 50 && refused < count / 2), "{refused} refused");
    assert!(count < 1000 || set as u64 > count * 5, "{set} values");
}

#[test]
fn services_are_no_options_of_the_table() {
    for (group, name) in SERVICES {
        assert!(options::SCHEMA.group(group).all(|opt| opt.name != *name));
    }
    assert!(Path::new(reference::INTEROP).is_dir());
}
