//! Who is let in, who is not and how they learn of it, and that no secret is written down: on a real,
//! secured Kafka.
//!
//! One broker is started for the whole binary and dies with it. Cases wait more than they work:
//! each test runs its own at the same time.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod accepted;
#[cfg(feature = "gssapi")]
mod kerberos;
#[path = "../log/mod.rs"]
mod log;
mod mended;
mod refused;
#[cfg(feature = "conformance")]
mod secrets;
mod support;
#[cfg(feature = "oidc")]
mod tokens;
