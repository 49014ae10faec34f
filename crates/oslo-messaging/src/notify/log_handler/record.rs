//! One log event as the payload of a notification, with the keys of Python's log records.

use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Serialize, Serializer};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

use crate::{config::program_name, error::Error, message::Payload};

/// Keys and their order are those of `notify/logger.py`.
#[derive(Serialize)]
pub(super) struct Record {
    name: Cow<'static, str>,
    levelno: u8,
    levelname: &'static str,
    exc_info: Option<String>,
    pathname: Option<Cow<'static, str>>,
    lineno: Option<u64>,
    msg: String,
    #[serde(rename = "funcName")]
    func_name: Option<&'static str>,
    thread: u64,
    #[serde(rename = "processName")]
    process_name: String,
    process: u32,
    #[serde(serialize_with = "as_object")]
    extra: Vec<(&'static str, Value)>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Signed(i128),
    Unsigned(u128),
    Float(f64),
    Text(String),
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let (levelno, levelname) = match *metadata.level() {
            Level::ERROR => (40, "ERROR"),
            Level::WARN => (30, "WARNING"),
            Level::INFO => (20, "INFO"),
            _ => (10, "DEBUG"),
        };
        let mut record = Self {
            name: metadata.target().into(),
            levelno,
            levelname,
            exc_info: None,
            pathname: metadata.file().map(Cow::Borrowed),
            lineno: metadata.line().map(u64::from),
            msg: String::new(),
            func_name: None,
            thread: thread_number(),
            process_name: program_name(),
            process: std::process::id(),
            extra: Vec::new(),
        };
        event.record(&mut record);
        record
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn payload(&self) -> Result<Payload, Error> {
        Payload::serialize(self)
    }

    pub(super) fn error_payload(&self) -> Result<Payload, Error> {
        #[derive(Serialize)]
        struct Message<'a> {
            error: &'a str,
        }
        Payload::serialize(&Message { error: &self.msg })
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.msg),
            // What `tracing-log` tells of an event of the `log` crate.
            "log.target" => self.name = value.to_owned().into(),
            "log.file" => self.pathname = Some(value.to_owned().into()),
            "log.module_path" => {}
            name => self.extra.push((name, Value::Text(value.to_owned()))),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        self.record_str(field, &text);
        self.exc_info = Some(text);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.lineno = Some(value);
        } else {
            self.record_u128(field, value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_i128(field, value.into());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.extra.push((field.name(), Value::Unsigned(value)));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        // `log.line = 7` in a program is signed.
        match (field.name(), u64::try_from(value)) {
            ("log.line", Ok(line)) => self.lineno = Some(line),
            (name, _) => self.extra.push((name, Value::Signed(value))),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.extra.push((field.name(), Value::Float(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.extra.push((field.name(), Value::Bool(value)));
    }
}

/// `null` when there is none, as in the reference.
fn as_object<S: Serializer>(
    fields: &[(&'static str, Value)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if fields.is_empty() {
        return serializer.serialize_none();
    }
    serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
}

/// A number that no other thread of the process has, as Python's thread identifier.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or_default()
}
