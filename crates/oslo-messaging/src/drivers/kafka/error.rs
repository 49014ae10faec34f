//! librdkafka's error codes in the library's words.

use rdkafka::error::RDKafkaErrorCode as Code;

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

/// An operation that failed, with librdkafka's words as its source.
pub(super) fn broker_error(
    operation: impl Into<String>,
    source: rdkafka::error::KafkaError,
) -> Error {
    Error::Broker { driver: "kafka", operation: operation.into(), source: Box::new(source) }
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
            "the user may not write to the topic (ACL operation Write)".to_owned(),
        ),
        Code::ClusterAuthorizationFailed => refused(
            Cause::Authorization,
            "the user may not write idempotently (ACL operation IdempotentWrite on the cluster, \
             needed by brokers before 2.8): allow it, or set enable_idempotence = false"
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
    use super::{ClientError, Code, failure};
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
}
