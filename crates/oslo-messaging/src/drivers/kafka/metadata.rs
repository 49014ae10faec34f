//! The few bytes that go with each committed offset: what later members of the group must know.
//!
//! `partitions-at-pin=4 member=1f0a9c33e5d24b7f`: how many partitions the topic had at the group's
//! first pin (`start.rs`), and who committed. By its own name beside an offset a member knows that a
//! commit whose answer it never got has succeeded; the offset says which one. Members of the Python
//! library write nothing here.

/// What the metadata of a committed offset says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Partitions of the topic at the group's first pin.
    pub(super) pin: Option<i32>,
    /// The name of the member that committed.
    pub(super) member: Option<String>,
}

const PIN: &str = "partitions-at-pin=";
const MEMBER: &str = "member=";

impl Metadata {
    /// Reads what is known; what others wrote says nothing.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let value = |key| text.split(' ').find_map(|part| part.strip_prefix(key));
        Self {
            pin: value(PIN).and_then(|count| count.parse().ok()),
            member: value(MEMBER).map(str::to_owned),
        }
    }

    pub(super) fn write(&self) -> String {
        let pin = self.pin.map(|count| format!("{PIN}{count}"));
        let member = self.member.as_ref().map(|member| format!("{MEMBER}{member}"));
        pin.into_iter().chain(member).collect::<Vec<_>>().join(" ")
    }
}

/// A name for a member that nobody else has.
pub(super) fn new_member() -> String {
    let mut name = uuid::Uuid::new_v4().simple().to_string();
    name.truncate(16);
    name
}

#[cfg(test)]
mod tests {
    use super::{Metadata, new_member};

    #[test]
    fn what_is_written_is_read_and_what_others_wrote_says_nothing() {
        let member = Some(new_member());
        for metadata in [
            Metadata { pin: Some(4), member: member.clone() },
            Metadata { pin: None, member },
            Metadata { pin: Some(0), member: None },
            Metadata::default(),
        ] {
            assert_eq!(Metadata::read(metadata.write().as_bytes()), metadata);
        }
        assert_eq!(Metadata::read(b"partitions-at-pin=4").pin, Some(4), "a pin alone");
        for foreign in [&b""[..], b"partitions-at-pin=x", b"\xff\xfe", b"{}", b"members=1"] {
            assert_eq!(Metadata::read(foreign), Metadata::default());
        }
    }
}
