//! librdkafka's error codes in the library's words.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::{
    Error,
    error::{Cause, Outcome},
    receipt::Failure,
};

/// What librdkafka last said about the connections of one client.
#[derive(Clone, Debug)]
pub(super) struct ClientError {
    pub(super) code: Code,
    pub(super) reason: String,
}

/// A client of these properties that cannot be made.
pub(super) fn client_error(
    operation: &str,
    source: KafkaError,
    properties: &rdkafka::ClientConfig,
) -> Error {
    match source {
        KafkaError::ClientCreation(words) => Error::Broker {
            driver: "kafka",
            operation: operation.to_owned(),
            source: creation_words(&words, properties).into(),
        },
        source => broker_error(operation, source),
    }
}

/// An operation that failed, with librdkafka's words as its source.
pub(super) fn broker_error(operation: impl Into<String>, source: KafkaError) -> Error {
    let source: Box<dyn std::error::Error + Send + Sync> = match source {
        // It has the value of the property, which may be a secret whatever its name.
        KafkaError::ClientConfig(_, words, name, _) => setting_words(&words, &name).into(),
        source => Box::new(source),
    };
    Error::Broker { driver: "kafka", operation: operation.into(), source }
}

fn setting_words(words: &str, name: &str) -> String {
    format!("{words} (librdkafka_properties, {name})")
}

/// Which option to look at when librdkafka makes no client of its properties.
fn creation_words(words: &str, properties: &rdkafka::ClientConfig) -> String {
    for (property, option) in [
        ("ssl.ca.location", "ssl_cafile"),
        ("ssl.certificate.location", "ssl_client_cert_file"),
        ("ssl.key.location", "ssl_client_key_password and ssl_client_key_file"),
        ("sasl.mechanism", "sasl_mechanism"),
        ("sasl.username", "the user and the password of the transport URL, for sasl_mechanism"),
    ] {
        if words.contains(property) {
            // None of these is a secret.
            let value = properties.get(property).unwrap_or("not set");
            return format!("{words}: check {option} ({value})");
        }
    }
    words.to_owned()
}

/// What librdkafka says of a connection, with what to do about it.
///
/// Its own hints name its properties, and some refusals it takes for a lost connection: those get
/// the code that they deserve.
pub(super) fn explain(code: Code, reason: &str) -> ClientError {
    // Of the hints, what comes before them is enough.
    let hints = [": broker certificate could not", ": client SSL auth", ": connecting to a PLAIN"];
    let end = hints.iter().filter_map(|hint| reason.find(hint)).min().unwrap_or(reason.len());
    let tail = reason.rfind(" (after ").map_or("", |at| &reason[at..]);
    let said = if end < reason.len() { format!("{}{tail}", &reason[..end]) } else { reason.into() };
    // Without the address, whose name may be any word.
    let named = reason.split_once(": ").filter(|(broker, _)| broker.contains("://"));
    let lower = named.map_or(reason, |(_, words)| words).to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    let is_handshake = has(&["in state ssl_handshake"]);
    // What the first step of a handshake fails with, librdkafka takes for a lost connection.
    let code = match code {
        Code::BrokerTransportFailure if is_handshake && has(&["ssl routines"]) => Code::SSL,
        code => code,
    };
    let (code, advice) = if has(&["unsupported sasl mechanism"]) {
        (code, "set sasl_mechanism to one of the broker's")
    } else if code == Code::SSL && has(&["certificate verify failed"]) {
        (code, "the broker's certificate is not trusted: check ssl_cafile")
    } else if has(&["alert", "unexpected message"]) && has(&["ssl"]) {
        (
            Code::SSL,
            "the broker refuses this client's certificate, or the lack of one: set \
             ssl_client_cert_file and ssl_client_key_file to one that the broker's authority has \
             signed and that is still valid",
        )
    } else if has(&["wrong version number", "connecting to a plaintext", "to a ssl listener"])
        || has(&["security.protocol"])
        || is_handshake && has(&["ssl connection closed by peer"])
    {
        (code, "the listener may want another security_protocol")
    } else if code == Code::BrokerTransportFailure && ends_at_once(&lower) {
        (code, "a broker that hangs up so soon may want another security_protocol")
    } else if is_authentication(code) && has(&["gssapi"]) {
        (code, kerberos_advice(&lower))
    } else if is_authentication(code) && code != Code::SSL && !has(&["oauthbearer token"]) {
        (
            code,
            "the broker refuses the user or password of the transport URL, or has this user for \
             another sasl_mechanism",
        )
    } else {
        return ClientError { code, reason: said };
    };
    ClientError { code, reason: format!("{said}: {advice}") }
}

/// What a login by Kerberos lacks.
fn kerberos_advice(words: &str) -> &'static str {
    #[cfg(feature = "gssapi")]
    return super::kerberos::explained(words);
    #[cfg(not(feature = "gssapi"))]
    {
        let _ = words;
        "this build has no Kerberos: set sasl_mechanism to another one"
    }
}

/// What a second look, on a thread of its own, may know better.
pub(super) fn is_looked_at_again(reason: &str) -> bool {
    [UNTRUSTED, NO_TICKET].into_iter().any(|words| reason.contains(words))
}

/// librdkafka's words for each certificate that is not trusted.
pub(super) const UNTRUSTED: &str = "certificate verify failed";
/// libsasl's words for each failure of Kerberos.
pub(super) const NO_TICKET: &str = "GSSAPI Error";

/// Whether a connection came up and was lost within a second, by librdkafka's `(after 3ms in state UP)`.
fn ends_at_once(words: &str) -> bool {
    let age = words.rsplit_once("(after ").and_then(|(_, rest)| rest.split_once("ms in state up"));
    age.and_then(|(age, _)| age.parse::<u64>().ok()).is_some_and(|age| age < 1_000)
}

/// Why a topic cannot be seen, which a broker tells in the same way whether it exists or not.
pub(super) const HIDDEN_TOPIC: &str = "the user may not see the topic (ACL operation Describe, which \
     comes with Read and Write), or it does not exist and the user may not create it (ACL operation \
     Create)";

/// What a listener lacks, where librdkafka's words are of a right.
pub(super) fn right_to_listen(code: Code, reason: &str) -> Option<&'static str> {
    match code {
        Code::GroupAuthorizationFailed => {
            Some("the user may not read as this group (ACL operation Read on the group)")
        }
        Code::TopicAuthorizationFailed if reason.contains("not available") => Some(HIDDEN_TOPIC),
        Code::TopicAuthorizationFailed => {
            Some("the user may not read the topic (ACL operation Read on the topic)")
        }
        _ => None,
    }
}

/// The broker that librdkafka's words are of, as `HOST:PORT`.
pub(super) fn address(reason: &str) -> Option<&str> {
    let (_, rest) = reason.split_once("://")?;
    rest.split_once('/').map(|(address, _)| address)
}

/// What a failed delivery means to its sender.
///
/// `may_be_persisted` is librdkafka's own word for the record; `last` is what it last said about
/// its connections, which is the cause of most timeouts.
pub(super) fn failure(code: Code, may_be_persisted: bool, last: Option<&ClientError>) -> Failure {
    let refused = |cause, detail: String| Failure { outcome: Outcome::NotDelivered, cause, detail };
    let outcome = if may_be_persisted { Outcome::Unknown } else { Outcome::NotDelivered };
    match code {
        Code::MessageSizeTooLarge => refused(
            Cause::TooLarge,
            "larger than message.max.bytes of the client (librdkafka_properties), the broker or \
             the topic allows"
                .to_owned(),
        ),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => refused(
            Cause::UnknownTopic,
            "the topic does not exist: create it, or set create_topics".to_owned(),
        ),
        Code::InvalidTopic => refused(Cause::InvalidTopic, words(code)),
        Code::TopicAuthorizationFailed => refused(
            Cause::Authorization,
            "the user may not write to the topic (ACL operation Write on the topic)".to_owned(),
        ),
        Code::ClusterAuthorizationFailed => refused(
            Cause::Authorization,
            "the user may not write to any topic (ACL operation Write on the topic) or, on brokers \
             before 2.8, not idempotently (ACL operation IdempotentWrite on the cluster: allow it, or \
             set enable_idempotence = false)"
                .to_owned(),
        ),
        Code::UnsupportedCompressionType => refused(
            Cause::Unsupported,
            "the broker does not take this compression_codec (zstd needs Kafka 2.1 or later)"
                .to_owned(),
        ),
        Code::InvalidRecord | Code::PolicyViolation => refused(Cause::Refused, words(code)),
        Code::QueueFull => refused(
            Cause::QueueFull,
            "the producer's queue stayed full (queue_max_messages, queue_max_kbytes)".to_owned(),
        ),
        Code::MessageTimedOut | Code::PurgeQueue | Code::PurgeInflight => {
            let cause = match last.map(|last| last.code) {
                Some(code) if is_authentication(code) => Cause::Authentication,
                Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve)
                    if !may_be_persisted =>
                {
                    Cause::Unreachable
                }
                _ => Cause::TimedOut,
            };
            let since = match code {
                Code::MessageTimedOut => "no answer within delivery_timeout",
                _ => "the producer was closed first",
            };
            let detail = match last {
                Some(last) => format!("{since}; last word of the client: {}", last.reason),
                None => since.to_owned(),
            };
            Failure { outcome, cause, detail }
        }
        code => {
            let cause = if is_authentication(code) { Cause::Authentication } else { Cause::Other };
            Failure { outcome, cause, detail: words(code) }
        }
    }
}

/// Whether the broker, or the TLS layer, refused who we are.
pub(super) fn is_authentication(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SSL
    )
}

/// The code's own words, such as `Broker: Policy violation`.
pub(super) fn words(code: Code) -> String {
    code.to_string()
}

#[cfg(test)]
mod tests {
    use super::{ClientError, Code, address, broker_error, explain, failure};
    use crate::error::{Cause, Outcome};

    #[test]
    fn a_refused_record_is_never_unknown() {
        for code in [
            Code::MessageSizeTooLarge,
            Code::UnknownTopicOrPartition,
            Code::TopicAuthorizationFailed,
            Code::InvalidRecord,
            Code::UnsupportedCompressionType,
        ] {
            assert_eq!(failure(code, true, None).outcome, Outcome::NotDelivered, "{code}");
        }
    }

    #[test]
    fn a_timeout_is_unknown_only_when_the_record_was_sent() {
        assert_eq!(failure(Code::MessageTimedOut, true, None).outcome, Outcome::Unknown);
        assert_eq!(failure(Code::MessageTimedOut, false, None).outcome, Outcome::NotDelivered);
    }

    #[test]
    fn the_cause_of_a_timeout_is_what_the_client_last_said() {
        let last = |code| ClientError { code, reason: "words".into() };
        let cause = |code| failure(Code::MessageTimedOut, false, Some(&last(code))).cause;
        assert_eq!(cause(Code::AllBrokersDown), Cause::Unreachable);
        assert_eq!(cause(Code::Authentication), Cause::Authentication);
        assert_eq!(cause(Code::Fail), Cause::TimedOut);
    }

    #[test]
    fn what_the_client_says_of_a_connection_names_the_option_to_look_at() {
        let broker = "ssl://kafka1:9093/1";
        for (code, words, wanted, mentions) in [
            (
                Code::Authentication,
                "SASL authentication error: x",
                Code::Authentication,
                "password",
            ),
            (
                Code::Authentication,
                "Unsupported SASL mechanism: broker's supported mechanisms: GSSAPI",
                Code::Authentication,
                "sasl_mechanism",
            ),
            (Code::SSL, "SSL handshake failed: certificate verify failed", Code::SSL, "ssl_cafile"),
            (
                Code::BrokerTransportFailure,
                "SSL transport error: tlsv13 alert certificate required",
                Code::SSL,
                "ssl_client_cert_file",
            ),
            (
                Code::BrokerTransportFailure,
                "Disconnected: connecting to a PLAINTEXT broker listener?",
                Code::BrokerTransportFailure,
                "security_protocol",
            ),
            (
                Code::BrokerTransportFailure,
                "Receive failed: Connection reset by peer",
                Code::BrokerTransportFailure,
                "security_protocol",
            ),
            (
                Code::BrokerTransportFailure,
                "Connection refused",
                Code::BrokerTransportFailure,
                "refused",
            ),
        ] {
            let tail = "(after 1ms in state UP)";
            let said = explain(code, &format!("{broker}: {words} {tail}"));
            assert!(said.code == wanted && said.reason.contains(mentions), "{said:?}");
            assert_eq!(address(&said.reason), Some("kafka1:9093"), "{said:?}");
            assert!(said.reason.contains(tail), "{said:?}");
            assert!(!said.reason.contains("PLAINTEXT broker"), "{said:?}");
        }
    }

    #[test]
    fn a_property_that_is_refused_is_told_without_its_value() {
        use rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN as UNKNOWN;
        let source = rdkafka::error::KafkaError::ClientConfig(
            UNKNOWN,
            "No such configuration property".into(),
            "sasl.pasword".into(),
            "hunter2".into(),
        );
        let error = broker_error("create the producer", source);
        let text = format!("{error:?} {}", std::error::Error::source(&error).unwrap());
        assert!(text.contains("sasl.pasword") && !text.contains("hunter2"), "{text}");
    }
}
