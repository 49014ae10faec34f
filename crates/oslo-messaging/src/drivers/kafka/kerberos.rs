//! What is wrong with a login by Kerberos: librdkafka has few words for it, and none for a keytab.
//!
//! Called once a login has failed: asks `kinit`, as librdkafka did, for a ticket that nobody keeps,
//! and reads why there is none.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rdkafka::ClientConfig;

/// How long a realm has for a ticket, in seconds.
const ANSWER_SECONDS: u64 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A cache that goes with its process.
const NOWHERE: &str = "MEMORY:oslo-messaging";

/// Whom a client logs in as, and by which keytab.
#[derive(Clone, Debug)]
pub(super) struct Kerberos {
    principal: String,
    keytab: String,
}

impl Kerberos {
    /// What a client of these properties logs in with; `None` when that is no keytab of Kerberos.
    pub(super) fn of(config: &ClientConfig) -> Option<Self> {
        let property = |name| config.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        property("sasl.mechanism").filter(|mechanism| mechanism == "GSSAPI")?;
        Some(Self {
            principal: property("sasl.kerberos.principal")?,
            keytab: property("sasl.kerberos.keytab")?,
        })
    }

    /// Why the realm gives no ticket; `None` when it does, or that cannot be found out.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { principal, keytab } = self;
        let asked = format!("no ticket for {principal} by the keytab {keytab}");
        let mut kinit = Command::new("kinit");
        kinit.args(["-c", NOWHERE, "-k", "-t", keytab, principal]);
        kinit.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = match kinit.spawn() {
            Ok(child) => child,
            Err(error) => {
                return Some(format!("{asked}: kinit (Debian's krb5-user) does not run: {error}"));
            }
        };
        let Some(is_good) = end(&mut child) else {
            return Some(format!(
                "{asked}: the realm did not answer within {ANSWER_SECONDS} s: look at kdc in \
                 krb5.conf (KRB5_CONFIG), and whether that is reached"
            ));
        };
        if is_good {
            return None;
        }
        let mut words = String::new();
        // What it did not write is left out.
        let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut words));
        let words = words.trim().trim_start_matches("kinit: ");
        Some(format!("{asked}: {words}{}", advice(words)))
    }
}

/// Whether it ended well; `None` when it was killed for its time was over.
fn end(child: &mut Child) -> Option<bool> {
    let limit = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
    while Instant::now() < limit {
        match child.try_wait() {
            Ok(None) => thread::sleep(LOOK_EVERY),
            Ok(Some(status)) => return Some(status.success()),
            Err(_) => break,
        }
    }
    // It has ended by itself, or does now.
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Which option to look at.
fn advice(words: &str) -> &'static str {
    let has = |part| words.contains(part);
    if has("not found in Kerberos database") {
        ": check sasl_kerberos_principal"
    } else if has("Preauthentication failed") || has("Password incorrect") {
        ": the keytab's key is not that of the principal: check sasl_kerberos_keytab, or get a new one"
    } else if has("eytab") || has("Key table") {
        ": check sasl_kerberos_keytab and sasl_kerberos_principal"
    } else if has("Cannot contact any KDC") || has("Cannot find KDC") || has("Cannot resolve") {
        ": look at the realm of sasl_kerberos_principal and at kdc in krb5.conf (KRB5_CONFIG)"
    } else if has("Clock skew") {
        ": look at the clocks"
    } else {
        ""
    }
}

/// What to look at when a login failed that had a ticket, or nothing to get one by.
pub(super) fn explained(words: &str) -> &'static str {
    let has = |part: &str| words.contains(part);
    if has("no kerberos credentials") || has("no credentials cache") || has("credentials expired") {
        "set sasl_kerberos_keytab and sasl_kerberos_principal, or have a ticket in the cache that \
         KRB5CCNAME names"
    } else if has("not found in kerberos database") {
        "the realm has no such service: check sasl_kerberos_service_name, and that the host in the \
         transport URL and in advertised.listeners is that of the broker's principal"
    } else if has("gssapi module") {
        "install Debian's libsasl2-modules-gssapi-mit"
    } else {
        "check sasl_kerberos_service_name, the broker's keytab, and the clocks"
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientConfig, Kerberos, advice, explained};

    #[test]
    fn only_a_keytab_is_asked_about() {
        let mut config = ClientConfig::new();
        config.set("sasl.mechanism", "GSSAPI").set("sasl.kerberos.principal", "nova");
        assert!(Kerberos::of(&config).is_none());
        config.set("sasl.kerberos.keytab", "/etc/nova/nova.keytab");
        assert!(Kerberos::of(&config).is_some());
        config.set("sasl.mechanism", "PLAIN");
        assert!(Kerberos::of(&config).is_none());
    }

    #[test]
    fn what_kerberos_says_names_the_option_to_look_at() {
        for (words, option) in [
            ("Client 'x@R' not found in Kerberos database", "sasl_kerberos_principal"),
            ("Preauthentication failed while getting", "sasl_kerberos_keytab"),
            ("Password incorrect while getting", "sasl_kerberos_keytab"),
            ("Keytab contains no suitable keys for x@R", "sasl_kerberos_keytab"),
            ("Key table file '/x' not found", "sasl_kerberos_keytab"),
            ("Cannot contact any KDC for realm 'R'", "krb5.conf"),
            ("Clock skew too great", "clocks"),
        ] {
            assert!(advice(words).contains(option), "{words}");
        }
        assert!(explained("no kerberos credentials available").contains("KRB5CCNAME"));
        let unknown = "server kafka/h@R not found in kerberos database";
        assert!(explained(unknown).contains("sasl_kerberos_service_name"));
    }
}
