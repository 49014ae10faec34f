//! Names and addresses of hosts, by the rules of `oslo_config/types.py` (`HostAddress`).
//!
//! Pure. Called by `value`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The host as it is kept: without the last dot of a name. Nothing when it is neither an address
/// nor a name.
pub(super) fn read(text: &str) -> Option<String> {
    if text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok() {
        return Some(text.to_owned());
    }
    let is_short = !text.is_empty() && text.chars().count() <= 253;
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or(name);
    // What ends in a number is a mistyped address.
    let is_name = last.contains(|c: char| c.is_ascii_alphabetic() || c == '-');
    (is_short && is_name && name.split('.').all(is_label)).then(|| name.to_owned())
}

fn is_label(label: &str) -> bool {
    // To Python's `$` the end is also before a last line feed.
    let label = label.strip_suffix('\n').unwrap_or(label);
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn addresses_and_names_are_hosts() {
        let long = "a".repeat(63);
        let longest = format!("{long}.{long}.{long}.{}", "a".repeat(61));
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("::1", Some("::1")),
            ("::ffff:10.0.0.1", Some("::ffff:10.0.0.1")),
            ("nova-1.Example.ORG", Some("nova-1.Example.ORG")),
            ("localhost.", Some("localhost")),
            ("1a", Some("1a")),
            (&longest, Some(&*longest)),
            (&format!("{longest}a"), None),
            (&format!("a{long}"), None),
            ("10.0.0.256", None),
            ("10.0.0.1.", None),
            ("010.0.0.1", None),
            ("a..b", None),
            ("a.", Some("a")),
            ("a..", None),
            ("-a", None),
            ("a-", None),
            ("a.b\n", Some("a.b\n")),
            ("a.b\n\n", None),
            ("a_b", None),
            ("a b", None),
            ("[::1]", None),
            ("::1%eth0", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
    }
}
