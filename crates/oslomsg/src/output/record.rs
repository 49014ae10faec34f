//! The writer of records: one format, its masks, and how many were written.

use std::io::{self, BufWriter, Write};

use oslo_messaging::{
    Notification,
    kafka::Record,
    wire::{self, ContextStyle, DecodeError},
};

use super::{jsonl, line::line, mask};
use crate::args::Format;

/// Writes records to standard output, or to whatever stands for it.
#[derive(Debug)]
pub(crate) struct RecordWriter<W: Write> {
    out: BufWriter<W>,
    format: Format,
    masks: Vec<String>,
    styled: bool,
    written: u64,
}

impl<W: Write> RecordWriter<W> {
    pub(crate) fn new(out: W, format: Format, masks: Vec<String>, styled: bool) -> Self {
        Self { out: BufWriter::new(out), format, masks, styled, written: 0 }
    }

    /// How many records were written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Writes one record; `record` is `None` where only the notification is known.
    pub(crate) fn write(
        &mut self,
        record: Option<&Record>,
        original: Result<&Notification, &DecodeError>,
    ) -> io::Result<()> {
        let masked = original.map(|notification| mask::masked(notification, &self.masks));
        let content = masked.as_ref().map_err(|error| *error);
        match self.format {
            Format::Line => writeln!(self.out, "{}", line(record, content, self.styled))?,
            Format::Jsonl => writeln!(self.out, "{}", self.object(record, content))?,
            Format::Json => {
                let before = if self.written == 0 { "[" } else { "," };
                write!(self.out, "{before}\n{}", self.object(record, content))?;
            }
            Format::Raw => {
                let bytes = record.and_then(|record| record.body.as_deref()).unwrap_or_default();
                match (original, content) {
                    (Ok(original), Ok(masked)) if original != masked => {
                        self.out.write_all(&wire::encode(masked, ContextStyle::Nested))?;
                    }
                    // Nobody can say what is in it.
                    (Err(_), _) if !self.masks.is_empty() => {
                        self.out.write_all(mask::MASK.as_bytes())?;
                    }
                    _ => self.out.write_all(bytes)?,
                }
                self.out.write_all(b"\n")?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes what stands after the last record.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Json {
            let open = if self.written == 0 { "[" } else { "" };
            writeln!(self.out, "{open}\n]")?;
        }
        self.out.flush()
    }

    fn object(
        &self,
        record: Option<&Record>,
        content: Result<&Notification, &DecodeError>,
    ) -> String {
        jsonl::object(record, content, self.masks.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::RecordWriter;
    use crate::args::Format;
    use oslo_messaging::{Context, Notification, Payload, Priority, wire};

    fn written(format: Format, masks: &[&str], payloads: &[&str]) -> String {
        let masks = masks.iter().map(|&mask| mask.to_owned()).collect();
        let mut out = Vec::new();
        let mut writer = RecordWriter::new(&mut out, format, masks, false);
        for payload in payloads {
            let payload = Payload::from_json(*payload).unwrap();
            let context = Context::empty();
            let notification = Notification::new("p", "e", Priority::Info, payload, context);
            writer.write(None, Ok(&notification)).unwrap();
        }
        writer.write(None, Err(&wire::decode(b"x").unwrap_err())).unwrap();
        assert_eq!(writer.written(), payloads.len() as u64 + 1);
        writer.finish().unwrap();
        drop(writer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_one_list_and_jsonl_one_line_each() {
        let list = written(Format::Json, &[], &["1", "{\n\"a\":\n2}"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
        assert_eq!((list.len(), &list[1]["payload"]["a"]), (3, &2.into()));
        let lines = written(Format::Jsonl, &[], &["1", "{\n\"a\":\n2}"]);
        let all_json = lines.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok());
        assert!(all_json && lines.lines().count() == 3, "{lines}");
    }

    #[test]
    fn masks_hold_in_every_format_and_hide_what_cannot_be_decoded() {
        for format in [Format::Json, Format::Jsonl, Format::Line, Format::Raw] {
            let text = written(format, &["payload.a"], &["{\"a\": \"hunter2\", \"b\": 1}"]);
            assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
        }
    }
}
