//! `config check`: what is wrong, by the library's eyes and by the driver's.

use std::io::{self, Write};

use oslo_messaging::{
    Error, Transport, TransportUrl,
    config::{
        Config, DEFAULT, Finding, KAFKA, NOTIFICATIONS, Origin, Setting, Severity, Value,
        contradictions, driver_group, messaging,
    },
};
use serde_json::json;

use super::{
    show::{origin, settings},
    write_json,
};
use crate::{
    args::config::{CheckArgs, ListFormat},
    exit::{Exit, Failure, chain},
    output,
    session::Session,
};

pub(super) fn run(args: &CheckArgs, session: &Session) -> Result<Exit, Failure> {
    let findings = findings(session);
    match args.format {
        ListFormat::Table => {
            let mut out = io::stdout().lock();
            for finding in &findings {
                writeln!(out, "{}", line(finding))?;
            }
        }
        ListFormat::Json => write_json(&findings.iter().map(object).collect::<Vec<_>>())?,
    }
    let count = |severity| findings.iter().filter(|found| found.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    output::note(session.verbosity, format_args!("errors {errors}, warnings {warnings}"));
    let is_bad = errors > 0 || (args.fatal_warnings && warnings > 0);
    Ok(if is_bad { Exit::Config } else { Exit::Ok })
}

/// Everything, in the order of the files.
fn findings(session: &Session) -> Vec<Finding> {
    let config = &session.config;
    let url = session.url();
    let parsed = url.as_deref().map(TransportUrl::parse);
    let known = parsed.as_ref().and_then(|parsed| parsed.as_ref().ok());
    let (group, query) = known
        .and_then(|url| Some((driver_group(url.scheme())?, url.query())))
        .unwrap_or((KAFKA, &[]));
    let mut findings = messaging().check(config, group, query);
    findings.extend(contradictions(config, known));
    let place = url_place(session);
    match parsed {
        None => {
            let text = "no transport URL: nothing can be sent to a broker";
            findings.push(Finding::new(
                Severity::Warning,
                &place.0,
                (place.1, "transport_url"),
                text,
            ));
        }
        Some(Err(error)) => findings.push(url_error(&place, &error)),
        Some(Ok(url)) => by_driver(session, &url, &place, &mut findings),
    }
    findings.sort_by_key(|finding| match &finding.origin {
        Origin::File { path, line } => (1, path.clone(), *line),
        _ => (0, "".into(), 0),
    });
    findings
}

/// Who names the transport URL.
fn url_place(session: &Session) -> (Origin, &'static str) {
    if session.given_url().is_some() {
        return (Origin::Override, NOTIFICATIONS);
    }
    let origin = |group| session.config.value(group, "transport_url").map(|found| found.origin);
    let named =
        [NOTIFICATIONS, DEFAULT].into_iter().find_map(|group| Some((origin(group)?, group)));
    named.unwrap_or((Origin::Default, NOTIFICATIONS))
}

fn url_error(place: &(Origin, &'static str), error: &Error) -> Finding {
    Finding::new(Severity::Error, &place.0, (place.1, "transport_url"), chain(error))
}

/// What the driver refuses of that which is valid: it is opened, and asks no broker.
fn by_driver(
    session: &Session,
    url: &TransportUrl,
    place: &(Origin, &'static str),
    findings: &mut Vec<Finding>,
) {
    let settings = settings(session);
    let mut config = Config::new();
    for setting in &settings {
        give(&mut config, setting);
    }
    // Whether there is a folder for it was looked at before.
    config.set(KAFKA, "delivery", "confirmed");
    // The settings have the query already, as far as it is valid.
    let whole = url.expose();
    let bare = whole.split_once('?').map_or(whole.as_str(), |(bare, _)| bare);
    // Each refusal hides those behind it.
    for _ in 0..settings.len() {
        let opened = Transport::builder().url(bare).config(config.clone()).for_notifications();
        let Err(error) = opened else { return };
        let Error::InvalidOption { group, name, value, expected, .. } = &error else {
            return findings.push(url_error(place, &error));
        };
        let setting = settings.iter().find(|s| s.opt.group == *group && s.opt.name == name);
        let is_known = findings.iter().any(|found| found.group == *group && found.name == *name);
        if let Some(setting) = setting.filter(|_| !is_known) {
            let text = format!("{value:?} is refused: expected {expected}");
            let finding = Finding::new(Severity::Error, &setting.origin, (group, name), text);
            findings.push(finding);
        }
        config.set_values::<String>(group, name, []);
    }
}

fn give(config: &mut Config, setting: &Setting) {
    match &setting.value {
        Ok(_) if setting.origin == Origin::Default => {}
        Ok(Value::List(items)) if setting.opt.is_multi() => {
            config.set_values(setting.opt.group, setting.opt.name, items);
        }
        Ok(value) => {
            config.set(setting.opt.group, setting.opt.name, value.to_string());
        }
        Err(_) => {}
    }
}

fn line(finding: &Finding) -> String {
    let name = [finding.group.as_str(), finding.name.as_str()];
    let place = format!("[{}] {}", name[0], name[1]);
    let Finding { severity, text, .. } = finding;
    format!("{}: {}: {}: {text}", severity.as_str(), origin(&finding.origin), place.trim_end())
}

fn object(finding: &Finding) -> serde_json::Value {
    json!({
        "severity": finding.severity.as_str(),
        "from": origin(&finding.origin),
        "group": finding.group,
        "name": finding.name,
        "text": finding.text,
    })
}
