//! Which versions of an interface serve which requests.

/// What a request without a version asks for, and an endpoint without one has.
pub(crate) const FIRST: &str = "1.0";

/// Whether an implementation of version `has` serves a request for version `wanted`: the same major,
/// at least the minor, and with the same minor at least the revision.
///
/// What is no version serves nothing and is served by nothing. Mirrors `version_is_compatible` of
/// `oslo_messaging/_utils.py`.
pub(super) fn serves(has: &str, wanted: &str) -> bool {
    match (parts(has), parts(wanted)) {
        (Some(has), Some(wanted)) => {
            has.major == wanted.major
                && (has.minor > wanted.minor
                    || has.minor == wanted.minor && has.revision >= wanted.revision)
        }
        _ => false,
    }
}

struct Version {
    major: u64,
    minor: u64,
    revision: u64,
}

fn parts(version: &str) -> Option<Version> {
    let mut parts = version.split('.').map(|part| part.trim().parse().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    let revision = match parts.next() {
        Some(revision) => revision?,
        None => 0,
    };
    Some(Version { major, minor, revision })
}

/// Whether a text is a version, such as `1.4`.
pub(super) fn is_version(text: &str) -> bool {
    parts(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::serves;

    #[test]
    fn an_implementation_serves_its_major_up_to_its_minor() {
        let cases = [
            ("1.0", "1.0", true),
            ("1.4", "1.0", true),
            ("1.0", "1.1", false),
            ("2.0", "1.0", false),
            ("1.0", "2.0", false),
            ("1.5.2", "1.5.1", true),
            ("1.5.1", "1.5.2", false),
            ("1.6", "1.5.2", true),
            ("1.5", "1.5.0", true),
            ("1", "1.0", false),
            ("1.x", "1.0", false),
            ("1.0", "", false),
        ];
        for (has, wanted, expected) in cases {
            assert_eq!(serves(has, wanted), expected, "{has} for {wanted}");
        }
    }
}
