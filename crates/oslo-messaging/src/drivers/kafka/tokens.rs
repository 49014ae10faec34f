//! Tokens of OAUTHBEARER: asked for where the options say, and kept as long as they are good.
//!
//! Clients that live on ask by [`Tokens::current`] when librdkafka wants a token, before the old one
//! ends. Those that ask one question and go are given theirs at once: nobody serves their callbacks.

use std::{
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rdkafka::client::{Client, ClientContext, OAuthToken};
use serde::Deserialize;

use super::{
    login::{Credentials, Login},
    native,
};
use crate::Secret;

/// How long the token server has for an answer: the thread that waits for it also serves the client.
const ANSWER: Duration = Duration::from_secs(3);
/// Largest answer that is read.
const LONGEST_ANSWER: u64 = 64 * 1024;
/// A server may say anything; after this time it is asked again.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// What is left of a token that is still handed out: librdkafka refuses one that has ended.
const SHORTEST_LIFE: Duration = Duration::from_millis(500);
/// What a token without `expires_in` is taken for.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);

/// Gives a token to a client that asks a question and goes. Without one its question fails, with the
/// words of the broker: why there is none is in the log.
pub(super) fn give<C: ClientContext>(tokens: Option<&Arc<Tokens>>, client: &Client<C>) {
    let Some(tokens) = tokens else { return };
    let given = tokens.current().map_err(|error| error.to_string());
    if let Err(error) = given.and_then(|token| native::set_token(client, &token)) {
        tracing::error!("no token for a question to the brokers: {error}");
    }
}

/// Where tokens come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A token server: the client credentials grant of OAuth 2.0.
    Server { url: String, login: Arc<Login>, scope: String },
    /// Unsigned ones that this process makes, for tests: `sasl.oauthbearer.config` of librdkafka.
    Unsigned { principal: String, scope: String },
}

/// The tokens of one transport.
#[derive(Debug)]
pub(super) struct Tokens {
    source: Source,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    token: Secret,
    /// Until then it is given out. librdkafka asks for the next one after four fifths of a life.
    fresh_until: SystemTime,
    ends: SystemTime,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<f64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Tokens {
    pub(super) fn new(source: Source) -> Self {
        Self { source, kept: Mutex::new(None) }
    }

    /// A token that is good for some time: the one there is, or a new one, for which the token server
    /// has three seconds.
    pub(super) fn current(&self) -> Result<OAuthToken, Box<dyn StdError>> {
        // One question at a time: whoever comes second finds its answer.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let kept = match kept.take() {
            Some(fresh) if fresh.fresh_until > now => kept.insert(fresh),
            old => match (self.fetch(), old) {
                (Ok(new), _) => kept.insert(new),
                // It is good for a while yet. The question took time.
                (Err(error), Some(old)) if old.ends > SystemTime::now() + SHORTEST_LIFE => {
                    tracing::warn!("{error}; the last token is used as long as it lasts");
                    kept.insert(old)
                }
                (Err(error), _) => return Err(error),
            },
        };
        let ends = kept.ends.duration_since(UNIX_EPOCH)?.as_millis();
        Ok(OAuthToken {
            token: kept.token.expose().to_owned(),
            principal_name: self.principal(),
            lifetime_ms: i64::try_from(ends)?,
        })
    }

    fn principal(&self) -> String {
        match &self.source {
            Source::Server { login, .. } => {
                login.get().map_or_else(String::new, |login| login.user)
            }
            Source::Unsigned { principal, .. } => principal.clone(),
        }
    }

    fn fetch(&self) -> Result<Kept, Box<dyn StdError>> {
        let begun = SystemTime::now();
        match &self.source {
            Source::Unsigned { principal, scope } => {
                let token = unsigned(principal, scope, begun, begun + DEFAULT_LIFE)?;
                Ok(Kept::new(token, begun, DEFAULT_LIFE))
            }
            Source::Server { url, login, scope } => {
                let Credentials { user: client, password: secret } =
                    login.get().ok_or("no client id and secret")?;
                let answer = ask(url, &client, &secret, scope)
                    .map_err(|error| format!("the token server {url} gives no token: {error}"))?;
                let life = answer.expires_in.and_then(|s| Duration::try_from_secs_f64(s).ok());
                let token = answer.access_token.map(Secret::new);
                let token = token.ok_or_else(|| {
                    let error = answer.error.as_deref().unwrap_or("no access_token in its answer");
                    let more = answer.error_description.unwrap_or_default();
                    let more = if more.is_empty() { more } else { format!(" ({more})") };
                    format!(
                        "the token server {url} refuses {client}: {error}{more}: check the user and the \
                         password of the transport URL, which are its client id and secret"
                    )
                })?;
                Ok(Kept::new(token, begun, life.unwrap_or(DEFAULT_LIFE)))
            }
        }
    }
}

impl Kept {
    fn new(token: Secret, begun: SystemTime, life: Duration) -> Self {
        let life = life.min(LONGEST_LIFE);
        Self { token, fresh_until: begun + life / 4 * 3, ends: begun + life }
    }
}

fn ask(url: &str, client: &str, secret: &Secret, scope: &str) -> Result<Answer, Box<dyn StdError>> {
    let tls = ureq::tls::TlsConfig::builder()
        .provider(ureq::tls::TlsProvider::NativeTls)
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .build();
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER))
        // A refusal says why in its body.
        .http_status_as_error(false)
        .max_redirects(0)
        .tls_config(tls)
        .build()
        .new_agent();
    let mut form = vec![("grant_type", "client_credentials")];
    if !scope.is_empty() {
        form.push(("scope", scope));
    }
    let quoted = crate::url::quote_plus;
    let login = format!("{}:{}", quoted(client), quoted(secret.expose()));
    let login = openssl::base64::encode_block(login.as_bytes());
    let mut response =
        agent.post(url).header("Authorization", format!("Basic {login}")).send_form(form)?;
    let status = response.status();
    let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string()?;
    // Not the reason of the failure: it may quote the body.
    let answer = serde_json::from_str::<Answer>(&body).ok();
    answer.ok_or_else(|| format!("status {status}, and no JSON with a token").into())
}

/// A token that says of itself who it is.
fn unsigned(
    principal: &str,
    scope: &str,
    from: SystemTime,
    until: SystemTime,
) -> Result<Secret, Box<dyn StdError>> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map(|d| d.as_secs());
    let scopes: Vec<&str> = scope.split(',').filter(|scope| !scope.is_empty()).collect();
    let claims = serde_json::json!({
        "sub": principal, "iat": seconds(from)?, "exp": seconds(until)?, "scope": scopes,
    });
    let part = |text: &str| {
        let text = openssl::base64::encode_block(text.as_bytes());
        text.trim_end_matches('=').replace('+', "-").replace('/', "_")
    };
    Ok(Secret::new(format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims.to_string()))))
}
