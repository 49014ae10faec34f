//! Files and folders of the configuration, in the order in which they were written.
//!
//! `--config-file` and `--config-dir` count in one order, before and after the command; the parser
//! keeps one list for each and forgets what stands before the command when more stands behind it.

use std::{ffi::OsString, path::PathBuf};

/// What was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    File(PathBuf),
    Folder(PathBuf),
}

/// Finds them in arguments that the parser has taken.
pub(crate) fn named(arguments: &[OsString]) -> Vec<Named> {
    let mut named = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == "--" {
            break;
        }
        let (option, value) = match text.split_once('=') {
            Some((option, value)) => (option, Some(PathBuf::from(value))),
            None => (&*text, None),
        };
        let kind: fn(PathBuf) -> Named = match option {
            "--config-file" => Named::File,
            "--config-dir" => Named::Folder,
            _ => continue,
        };
        named.extend(value.or_else(|| arguments.next().map(PathBuf::from)).map(kind));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::{Named, named};

    #[test]
    fn files_and_folders_keep_their_order() {
        let words = [
            "--config-dir",
            "d",
            "send",
            "--config-file=f",
            "--config-file",
            "g",
            "--",
            "--config-file",
            "h",
        ];
        let found = named(&words.map(Into::into));
        assert_eq!(
            found,
            [Named::Folder("d".into()), Named::File("f".into()), Named::File("g".into())]
        );
    }
}
