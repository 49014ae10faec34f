//! Text that may not reach a log: the type that carries it, and the mask that stands for it.
//!
//! Nothing else lives here. Called by `url` (passwords, query options) and `config` (option
//! values); drivers take a [`Secret`] and expose it where the client library needs the text.

use std::fmt;

/// What is shown in the place of a secret.
pub(crate) const MASK: &str = "***";

/// What is shown for a secret: the mask, or the secret itself in the control run of the test that
/// searches all output for secrets.
pub(crate) fn shown(secret: &str) -> &str {
    #[cfg(feature = "conformance")]
    if unmasked::is_on() {
        return secret;
    }
    let _ = secret;
    MASK
}

#[cfg(feature = "conformance")]
pub(crate) mod unmasked {
    //! A search for secrets proves nothing unless it finds one that is there.

    use std::sync::atomic::{AtomicBool, Ordering};

    static ON: AtomicBool = AtomicBool::new(false);

    pub(crate) fn turn_on() {
        ON.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_on() -> bool {
        ON.load(Ordering::Relaxed)
    }
}

/// Parts of words that make a name, or a text with names in it, secret: a misspelt name is no reason to
/// show what it names.
const WORDS: [&str; 7] = ["pass", "pasw", "pwd", "secret", "token", "credential", "key.pem"];

/// Whether a name, such as `ssl_client_key_password` or `ssl.key.password`, names a secret.
///
/// Also used on values that hold names themselves, such as `sasl.oauthbearer.client.secret:x`.
pub(crate) fn names_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

/// A text that `Debug` and `Display` show as `***`.
///
/// ```
/// use oslo_messaging::Secret;
///
/// let password = Secret::new("hunter2");
/// assert_eq!(format!("{password} {password:?}"), "*** ***");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text, such as a password after percent-decoding. It may be empty.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it. Do not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(shown(&self.0))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(shown(&self.0))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, names_secret};

    #[test]
    fn a_secret_shows_only_its_mask() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret}|{secret:?}|{:?}", Some(&secret)), "***|***|Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn names_of_secrets_are_known_in_any_case() {
        for (name, expected) in [
            ("ssl_client_key_password", true),
            ("SSL.Key.Password", true),
            ("sasl.oauthbearer.client.secret", true),
            ("access_Token", true),
            ("sasl.pasword", true),
            ("ssl.key.pem", true),
            ("message_key", false),
            ("ssl_client_key_file", false),
            ("", false),
        ] {
            assert_eq!(names_secret(name), expected, "{name}");
        }
    }
}
