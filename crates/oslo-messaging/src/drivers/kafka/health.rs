//! What librdkafka says of a client's health, in its log and by its errors: kept as the cause of what
//! fails, and told to the log, thinned out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicU64},
    thread,
    time::{Duration, Instant},
};

#[cfg(feature = "oidc")]
use rdkafka::client::OAuthToken;
use rdkafka::{
    ClientConfig,
    client::{Client, ClientContext},
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

#[cfg(feature = "gssapi")]
use super::kerberos::Kerberos;
#[cfg(feature = "oidc")]
use super::tokens::Tokens;
#[cfg(feature = "ssl")]
use super::{certificate::Trust, error::UNTRUSTED};
use super::{
    config::{KafkaOptions, LOG},
    error::{ClientError, NO_TICKET, address, explain, is_authentication},
    login::Login,
    native,
    zstd::Zstd,
};

/// How often the same words of librdkafka reach the log.
const SAME_WORDS_EVERY: Duration = Duration::from_secs(60);

/// How long what a second look has found counts.
const SAME_FAULT_FOR: Duration = Duration::from_secs(10);
/// A look that finds nothing is tried again.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// What librdkafka says of one client's health; the log lines are thinned out.
#[derive(Debug, Default)]
pub(super) struct Health {
    known: Arc<Known>,
    /// Where the client begins.
    brokers: OnceLock<String>,
    /// What is trusted, where TLS is spoken.
    #[cfg(feature = "ssl")]
    trust: OnceLock<Trust>,
    /// What GSSAPI logs in with, where that is a keytab.
    #[cfg(feature = "gssapi")]
    kerberos: OnceLock<Kerberos>,
    /// What OAUTHBEARER logs in with.
    #[cfg(feature = "oidc")]
    tokens: OnceLock<Arc<Tokens>>,
    /// The user and the password, and which of them this client has.
    login: OnceLock<Arc<Login>>,
    login_seen: AtomicU64,
    /// When a connection was last lost, or an answer not waited for any longer.
    trouble: Mutex<Option<Instant>>,
    /// Which brokers are too old for zstd.
    pub(super) zstd: Zstd,
}

/// A second look at what librdkafka has few words for: it says what is wrong.
struct Look {
    /// A broker such as `kafka1:9093`, or [`REALM`].
    at: String,
    ask: Box<dyn Fn() -> Option<String> + Send>,
}

/// What gives the tickets of Kerberos.
const REALM: &str = "the realm";

/// What a second look, on a thread of its own, tells later.
#[derive(Debug, Default)]
struct Known {
    last_error: Mutex<Option<ClientError>>,
    said: Mutex<HashMap<String, Instant>>,
    /// When a broker or the realm was looked at again, and what is wrong.
    faults: Mutex<HashMap<String, (Instant, Option<String>)>>,
}

impl Health {
    /// For a client of these properties.
    pub(super) fn of(options: &KafkaOptions, config: &ClientConfig) -> Self {
        let health = Self::default();
        health.knows(options, config);
        health
    }

    /// Takes note of what a client of these properties trusts and logs in with. One that is made anew
    /// has the same.
    pub(super) fn knows(&self, options: &KafkaOptions, config: &ClientConfig) {
        #[cfg(feature = "ssl")]
        if let Some(trust) = Trust::of(config) {
            let _ = self.trust.set(trust);
        }
        #[cfg(feature = "gssapi")]
        if let Some(kerberos) = Kerberos::of(config) {
            // At once: librdkafka asks for one client after the other, and says nothing of why.
            if self.kerberos.set(kerberos.clone()).is_ok() {
                self.begin(ticket(&kerberos));
            }
        }
        #[cfg(feature = "oidc")]
        if let Some(tokens) = &options.tokens {
            let _ = self.tokens.set(Arc::clone(tokens));
        }
        let _ = self.login.set(Arc::clone(&options.login));
        if let Some(brokers) = config.get("bootstrap.servers") {
            let _ = self.brokers.set(brokers.to_owned());
        }
    }

    #[cfg(feature = "oidc")]
    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.tokens.get().ok_or("this client logs in without tokens")?.current()
    }

    /// Gives a client the user and the password that have come since it was made.
    pub(super) fn log_in<C: ClientContext>(&self, client: &Client<C>) {
        let Some(news) = self.login.get().and_then(|login| login.news(&self.login_seen)) else {
            return;
        };
        if let Err(words) = native::set_credentials(client, &news) {
            tracing::error!(target: LOG, "another user and password were not taken: {words}");
        }
    }

    pub(super) fn last_error(&self) -> Option<ClientError> {
        self.known.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes an error; `true` when it is new or was last said a minute ago.
    pub(super) fn note(&self, code: RDKafkaErrorCode, reason: &str) -> bool {
        self.known.note(code, reason)
    }

    /// The connection is good again: what was wrong before is no cause any more.
    pub(super) fn recovered(&self) {
        *self.known.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn may_say(&self, words: String) -> bool {
        self.known.may_say(words)
    }

    /// Whether an answer may have been lost since.
    pub(super) fn had_trouble_since(&self, begun: Instant) -> bool {
        lock(&self.trouble).is_some_and(|trouble| trouble >= begun)
    }

    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, words: &str) {
        match facility {
            "APIVERSION" => self.zstd.note(words),
            "REQTMOUT" => *lock(&self.trouble) = Some(Instant::now()),
            _ => {}
        }
        // A record went to a broker without its codec before that was known: librdkafka then leaves
        // the compression out, which an operator must learn although nothing is lost.
        let level = match (level, facility) {
            (RDKafkaLogLevel::Notice, "COMPRESSION") => RDKafkaLogLevel::Warning,
            _ => level,
        };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                // Each broker connection says the same again and again, with other numbers.
                if self.may_say(facility.to_owned()) {
                    tracing::warn!(target: LOG, "{facility}: {words}");
                }
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: LOG, "{facility}: {words}");
            }
        }
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        *lock(&self.trouble) = Some(Instant::now());
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let ClientError { code, mut reason } = explain(code, reason);
        if code == RDKafkaErrorCode::AllBrokersDown
            && let Some(brokers) = self.brokers.get()
        {
            // librdkafka says no more where a broker hangs up, as on a client of another protocol.
            reason = format!(
                "{brokers}: {reason}: they take no connection or end it at once; look at the \
                 addresses, and at security_protocol"
            );
        }
        let look = if is_authentication(code) { self.look(&reason) } else { None };
        if let Some(fault) = look.as_ref().and_then(|look| self.found(&look.at)) {
            reason = fault;
        }
        if self.note(code, &reason) {
            tracing::error!(target: LOG, "{reason}");
        }
        // Not before: it puts better words in the place of what was noted.
        if let Some(look) = look {
            self.begin_if_due(look);
        }
    }

    /// What a second look has found, if that is known by now.
    fn found(&self, at: &str) -> Option<String> {
        lock(&self.known.faults).get(at).and_then(|(_, fault)| fault.clone())
    }

    /// Looks, unless that was done a moment ago.
    fn begin_if_due(&self, look: Look) {
        let last = lock(&self.known.faults).get(&look.at).cloned();
        if last.is_none_or(|(at, _)| at.elapsed() > SAME_FAULT_FOR) {
            self.begin(look);
        }
    }

    /// On a thread of its own.
    fn begin(&self, Look { at, ask }: Look) {
        let mut faults = lock(&self.known.faults);
        let fault = faults.remove(&at).and_then(|(_, fault)| fault);
        faults.insert(at.clone(), (Instant::now(), fault));
        let known = Arc::clone(&self.known);
        let look = move || {
            // A busy broker may not answer at once, and librdkafka does not say the same again soon.
            let fault = (0..LOOKS).find_map(|look: u32| {
                thread::sleep(BETWEEN_LOOKS * look.min(1));
                ask()
            });
            known.was_looked_at(&at, fault);
        };
        if let Err(error) = thread::Builder::new().name("kafka-look".into()).spawn(look) {
            tracing::error!("could not start a thread: {error}");
        }
    }

    /// Who may know better why a login has failed for this reason.
    fn look(&self, reason: &str) -> Option<Look> {
        #[cfg(feature = "ssl")]
        if reason.contains(UNTRUSTED) {
            let (trust, at) = (self.trust.get()?.clone(), address(reason)?.to_owned());
            let broker = at.clone();
            return Some(Look { at, ask: Box::new(move || trust.fault(&broker)) });
        }
        #[cfg(feature = "gssapi")]
        if reason.contains(NO_TICKET) {
            return self.kerberos.get().map(ticket);
        }
        let _ = reason;
        None
    }
}

/// Whether the realm gives a ticket.
#[cfg(feature = "gssapi")]
fn ticket(kerberos: &Kerberos) -> Look {
    let kerberos = kerberos.clone();
    Look { at: REALM.to_owned(), ask: Box::new(move || kerberos.fault()) }
}

impl Known {
    fn note(&self, code: RDKafkaErrorCode, reason: &str) -> bool {
        let mut last = lock(&self.last_error);
        // "All brokers are down" says less than what was said of the last of them.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some(ClientError { code, reason: reason.to_owned() });
        }
        drop(last);
        self.may_say(code.to_string())
    }

    fn may_say(&self, words: String) -> bool {
        let mut said = lock(&self.said);
        let now = Instant::now();
        said.retain(|_, at| now.duration_since(*at) < SAME_WORDS_EVERY);
        said.insert(words, now).is_none()
    }

    /// Keeps what is wrong, which is the cause as long as it is the last word.
    fn was_looked_at(&self, at: &str, fault: Option<String>) {
        lock(&self.faults).insert(at.to_owned(), (Instant::now(), fault.clone()));
        let Some(fault) = fault else { return };
        let mut last = lock(&self.last_error);
        match last.as_mut() {
            None if at == REALM => {
                let code = RDKafkaErrorCode::Authentication;
                *last = Some(ClientError { code, reason: fault.clone() });
            }
            Some(last) if at == REALM && last.reason.contains(NO_TICKET) => {
                last.reason.clone_from(&fault);
            }
            Some(last) if address(&last.reason) == Some(at) => last.reason.clone_from(&fault),
            _ => {}
        }
        drop(last);
        if self.may_say(fault.clone()) {
            tracing::error!(target: LOG, "{fault}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
