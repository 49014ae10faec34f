//! Messages that cannot be moved: kept in a file, or left in their queues.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use oslo_messaging::driver::Token;
use serde_json::json;

use super::carrier::Key;
use crate::{
    exit::{Exit, Failure},
    output,
};

/// Those that are told one by one; the rest is counted.
const MOST_TOLD: u64 = 20;

/// See the module's head.
pub(super) struct Refused {
    file: Option<File>,
    /// Those that are left. One that RabbitMQ gives out again is known.
    held: HashMap<Key, Token>,
    most_held: usize,
    /// How many there were.
    pub(super) count: u64,
    /// How many of them are in the file.
    pub(super) filed: u64,
}

impl Refused {
    pub(super) fn open(path: Option<&Path>, most_held: usize) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|error| Failure::file(path, &error))
        };
        let file = path.map(open).transpose()?;
        Ok(Self { file, held: HashMap::new(), most_held, count: 0, filed: 0 })
    }

    /// Whether it was refused before, and is left. Its new token counts from now on.
    pub(super) fn knows(&mut self, key: &Key, token: Token) -> bool {
        self.held.get_mut(key).map(|held| *held = token).is_some()
    }

    /// Takes what cannot be moved. `true`: it may leave its queue.
    pub(super) fn take(&mut self, key: Key, token: Token, reason: &str) -> bool {
        self.count += 1;
        let is_filed = self.keep(&key, reason);
        if self.count <= MOST_TOLD {
            let end = if is_filed { "kept in the file" } else { "left in its queue" };
            output::error(format_args!("{}: {reason}; {end}", key.topic));
        }
        if is_filed {
            self.filed += 1;
        } else {
            self.held.insert(key, token);
        }
        is_filed
    }

    /// Too many are left for the others to pass.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.held.len() <= self.most_held {
            return Ok(());
        }
        let text =
            format!("{} messages cannot be moved: too many to leave behind", self.held.len());
        let hint = "--dead-letter-file takes them off their queues";
        Err(Failure::new(Exit::Data, text).with_hint(hint))
    }

    /// Those that are left.
    pub(super) fn give_back(&mut self) -> Vec<Token> {
        std::mem::take(&mut self.held).into_values().collect()
    }

    fn keep(&mut self, key: &Key, reason: &str) -> bool {
        let Some(file) = &mut self.file else { return false };
        let value = BASE64_STANDARD.encode(&key.body);
        let line = json!({"topic": &*key.topic, "error": reason, "value_base64": value});
        let kept = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_data());
        if let Err(error) = &kept {
            output::error(format_args!("the dead-letter file cannot be written: {error}"));
        }
        kept.is_ok()
    }
}
