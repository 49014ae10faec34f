//! A search for secrets in whatever a program has written.

use openssl::base64::encode_block;

/// How a secret shows in a text, if it does: as it is in any case, as base64 at each place of three bytes,
/// in hexadecimal. Empty: there is no trace of it.
///
/// It should be long, and the same in each encoding of a URL: letters and digits.
///
/// ```
/// use testkit::traces;
///
/// assert!(traces("Q7w9Geheim4tzK", "kafka://user:***@h/").is_empty());
/// // base64 of "user:Q7w9Geheim4tzK"
/// assert!(!traces("Q7w9Geheim4tzK", "Basic dXNlcjpRN3c5R2VoZWltNHR6Sw==").is_empty());
/// ```
pub fn traces(secret: &str, text: &str) -> Vec<String> {
    let mut needles = vec![secret.to_ascii_lowercase()];
    for at in 0..3 {
        let bytes = [&b"   "[..at], secret.as_bytes()].concat();
        let encoded = encode_block(&bytes);
        // Without what its neighbours decide.
        needles.push(encoded[4..encoded.len() - 4].to_owned());
    }
    needles.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
    let lower = text.to_ascii_lowercase();
    needles.retain(|needle| text.contains(needle.as_str()) || lower.contains(needle.as_str()));
    needles
}
