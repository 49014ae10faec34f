//! `config show`: every option, what it is, and who says so.

use oslo_messaging::{
    TransportUrl,
    config::{NOTIFICATIONS, Origin, Setting, Value, driver_group, messaging},
};
use serde_json::json;

use super::{write_json, write_table};
use crate::{
    args::config::{ListFormat, ShowArgs},
    exit::{Exit, Failure},
    session::Session,
};

const URL: &str = "transport_url";

pub(super) fn run(args: &ShowArgs, session: &Session) -> Result<Exit, Failure> {
    let settings = settings(session).into_iter().filter(|setting| {
        let is_set = setting.origin != Origin::Default;
        let has = |word: &String| {
            setting.opt.name.contains(word.as_str()) || setting.opt.group.contains(word.as_str())
        };
        (is_set || !args.set) && (args.words.is_empty() || args.words.iter().any(has))
    });
    match args.format {
        ListFormat::Table => {
            let mut rows = Vec::new();
            let mut group = "";
            for setting in settings {
                if setting.opt.group != group {
                    group = setting.opt.group;
                    rows.push(vec![format!("[{group}]")]);
                }
                let value = match shown(&setting, args.show_secrets) {
                    Ok(value) => value.to_string().replace('\n', "\\n"),
                    Err(error) => format!("(not valid: {error})"),
                };
                rows.push(vec![
                    format!("  {}", setting.opt.name),
                    value,
                    format!("  {}", origin(&setting.origin)),
                ]);
            }
            // Headings are no cells.
            write_sections(&rows)?;
        }
        ListFormat::Json => {
            let list: Vec<_> =
                settings.map(|setting| object(&setting, args.show_secrets)).collect();
            write_json(&list)?;
        }
    }
    Ok(Exit::Ok)
}

fn write_sections(rows: &[Vec<String>]) -> std::io::Result<()> {
    for section in rows.chunk_by(|_, next| next.len() > 1) {
        write_table(&section[..1])?;
        write_table(&section[1..])?;
    }
    Ok(())
}

/// All settings, the query of the transport URL and the command line included.
pub(super) fn settings(session: &Session) -> Vec<Setting> {
    let mut config = session.config.clone();
    if let Some(url) = session.given_url() {
        config.set(NOTIFICATIONS, URL, url);
    }
    let url = session.url().and_then(|url| TransportUrl::parse(&url).ok());
    let of_url = url.as_ref().and_then(|url| Some((driver_group(url.scheme())?, url.query())));
    let groups = messaging().groups().into_iter();
    groups
        .flat_map(|group| {
            let query = of_url.filter(|(of, _)| *of == group).map_or(&[][..], |(_, query)| query);
            messaging().settings(group, &config, query)
        })
        .collect()
}

/// Where it comes from; what is set in this program was said on its command line.
pub(super) fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Override => "command line".to_owned(),
        origin => origin.to_string(),
    }
}

/// The value as it may be shown, or the error's words.
fn shown(setting: &Setting, show_secrets: bool) -> Result<Value, String> {
    let value = setting.value.as_ref().map_err(ToString::to_string)?;
    match value {
        value if show_secrets => Ok(value.clone()),
        Value::Text(url) if setting.opt.name == URL && !url.is_empty() => {
            // Without its passwords a URL is worth showing.
            let masked = TransportUrl::parse(url).map(|url| Value::Text(url.to_string()));
            Ok(masked.unwrap_or_else(|_| setting.masked(value)))
        }
        value => Ok(setting.masked(value)),
    }
}

fn object(setting: &Setting, show_secrets: bool) -> serde_json::Value {
    let mut object = json!({
        "group": setting.opt.group,
        "name": setting.opt.name,
        "from": origin(&setting.origin),
        "is_set": setting.origin != Origin::Default,
    });
    match shown(setting, show_secrets) {
        Ok(value) => object["value"] = json(&value),
        Err(error) => object["error"] = error.into(),
    }
    object
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => json!(text),
        Value::Integer(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Boolean(value) => json!(value),
        Value::List(items) => json!(items),
        Value::Dict(pairs) => {
            pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
        }
        other => json!(other.to_string()),
    }
}
