//! What the security options mean to librdkafka, and which of them cannot be meant.

#[cfg(feature = "oidc")]
use std::sync::Arc;

use rdkafka::ClientConfig;

use super::{GROUP, KafkaOptions};
#[cfg(feature = "oidc")]
use crate::drivers::kafka::{
    login::Login,
    tokens::{Source, Tokens},
};
use crate::{
    Error, Secret,
    config::{Mechanism, Options, STRATEGIES, mechanism, mechanisms},
    drivers::kafka::login::Credentials,
    url::TransportUrl,
};

/// How librdkafka gets a ticket, in a shell's words: without a word of its own, and not for ever.
const KINIT: &str = "timeout 4 kinit -k -t '%{sasl.kerberos.keytab}' '%{sasl.kerberos.principal}' \
     > /dev/null 2>&1";

impl KafkaOptions {
    /// The one place where security settings become librdkafka properties.
    pub(super) fn security(&self, config: &mut ClientConfig) {
        let o = &self.options;
        let protocol = o.str("security_protocol");
        config.set("security.protocol", protocol.to_ascii_lowercase());
        if protocol.ends_with("SSL") {
            for (option, property) in [
                ("ssl_cafile", "ssl.ca.location"),
                ("ssl_client_cert_file", "ssl.certificate.location"),
                ("ssl_client_key_file", "ssl.key.location"),
                ("ssl_client_key_password", "ssl.key.password"),
            ] {
                if !o.str(option).is_empty() {
                    config.set(property, o.str(option));
                }
            }
        }
        if protocol.starts_with("SASL") {
            config.set("sasl.mechanism", o.str("sasl_mechanism"));
            let mechanism = mechanism(o.str("sasl_mechanism"));
            if mechanism == Some(Mechanism::Ticket) {
                ticket(o, config);
            }
            if mechanism == Some(Mechanism::Password)
                && let Some(Credentials { user, password }) = self.login.get()
            {
                config.set("sasl.username", user).set("sasl.password", password.expose());
            }
        }
    }
}

/// What librdkafka itself would refuse only later, or in other words.
pub(super) fn can_be_meant(options: &Options) -> Result<(), Error> {
    let invalid = |name: &str, value: String, expected| Error::InvalidOption {
        group: GROUP,
        name: name.to_owned(),
        value,
        origin: options.origin(name).to_string(),
        expected,
    };
    let strategies = options.list("partition_assignment_strategy");
    if strategies.iter().any(|name| !STRATEGIES.contains(&name.as_str())) {
        let expected = format!("some of {}", STRATEGIES.join(", "));
        return Err(invalid("partition_assignment_strategy", strategies.join(","), expected));
    }
    let wrong = |name: &str, expected| invalid(name, options.str(name).to_owned(), expected);
    if !options.str("security_protocol").starts_with("SASL") {
        return Ok(());
    }
    match mechanism(options.str("sasl_mechanism")) {
        None => return Err(wrong("sasl_mechanism", format!("one of {}", mechanisms()))),
        Some(Mechanism::Ticket) if !cfg!(feature = "gssapi") => {
            let expected = "another mechanism: this build has no Kerberos, for which oslo-messaging \
                            and oslomsg have the feature gssapi";
            return Err(wrong("sasl_mechanism", expected.to_owned()));
        }
        Some(Mechanism::Ticket) => {}
        Some(Mechanism::Password | Mechanism::Token) => return Ok(()),
    }
    let (keytab, principal) = ("sasl_kerberos_keytab", "sasl_kerberos_principal");
    // They stand between these in a shell's command.
    if let Some(name) =
        [keytab, principal].into_iter().find(|name| options.str(name).contains('\''))
    {
        return Err(wrong(name, "no ' in it".to_owned()));
    }
    if options.str(principal).is_empty() && !options.str(keytab).is_empty() {
        return Err(wrong(principal, format!("whose key it is in the {keytab}")));
    }
    Ok(())
}

/// The properties of a login by Kerberos.
fn ticket(options: &Options, config: &mut ClientConfig) {
    config.set("sasl.kerberos.service.name", options.str("sasl_kerberos_service_name"));
    if !options.str("sasl_kerberos_principal").is_empty() {
        config.set("sasl.kerberos.principal", options.str("sasl_kerberos_principal"));
    }
    match options.str("sasl_kerberos_keytab") {
        // Somebody else sees to the ticket.
        "" => config.set("sasl.kerberos.min.time.before.relogin", "0"),
        keytab => config.set("sasl.kerberos.keytab", keytab).set("sasl.kerberos.kinit.cmd", KINIT),
    };
}

/// Where the tokens come from, for the mechanism that needs them.
#[cfg(feature = "oidc")]
pub(super) fn tokens(options: &Options, login: &Arc<Login>) -> Result<Option<Tokens>, Error> {
    if !options.str("security_protocol").starts_with("SASL")
        || mechanism(options.str("sasl_mechanism")) != Some(Mechanism::Token)
    {
        return Ok(None);
    }
    let property = |name| {
        let all = options.dict("librdkafka_properties").iter();
        all.filter(|(of, _)| of == name).map(|(_, value)| value.as_str()).next_back()
    };
    let url = options.str("sasl_oauth_url");
    let source = match (url, login.get()) {
        ("", _) if property("enable.sasl.oauthbearer.unsecure.jwt") == Some("true") => {
            let config = property("sasl.oauthbearer.config").unwrap_or_default();
            let word = |name| {
                let words = config.split_whitespace().filter_map(|word| word.split_once('='));
                words.filter(|(of, _)| *of == name).map(|(_, value)| value.to_owned()).next_back()
            };
            let principal = word("principal").unwrap_or_default();
            Source::Unsigned { principal, scope: word("scope").unwrap_or_default() }
        }
        ("", _) | (_, None) => {
            let expected = match url {
                "" => "the address of a token server, for sasl_mechanism = OAUTHBEARER",
                _ => "client id and secret as the user and the password of the transport URL",
            };
            return Err(Error::InvalidOption {
                group: GROUP,
                name: "sasl_oauth_url".to_owned(),
                value: url.to_owned(),
                origin: options.origin("sasl_oauth_url").to_string(),
                expected: expected.to_owned(),
            });
        }
        (url, Some(_)) => Source::Server {
            url: url.to_owned(),
            login: Arc::clone(login),
            scope: options.str("sasl_oauth_scope").to_owned(),
        },
    };
    Ok(Some(Tokens::new(source)))
}

/// The first user of the URL, with his password.
pub(super) fn credentials(url: &TransportUrl) -> Option<Credentials> {
    url.hosts().iter().find_map(|host| {
        let user = host.username.clone()?;
        let password = host.password.clone().unwrap_or_else(|| Secret::new(""));
        Some(Credentials { user, password })
    })
}

#[cfg(test)]
mod tests {
    use crate::drivers::kafka::config::{Config, KafkaOptions};

    fn error(query: &str) -> String {
        let url = format!("kafka://u:p@h/?security_protocol=SASL_SSL&{query}").parse().unwrap();
        KafkaOptions::resolve(&url, &Config::new())
            .map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn what_cannot_be_meant_names_the_option_and_what_is_valid() {
        for (query, words) in [
            ("sasl_mechanism=SCRAM", "one of PLAIN, SCRAM-SHA-256"),
            ("partition_assignment_strategy=sticky", "some of range, roundrobin"),
            #[cfg(feature = "gssapi")]
            ("sasl_mechanism=GSSAPI&sasl_kerberos_keytab=/k", "whose key it is"),
            #[cfg(feature = "gssapi")]
            ("sasl_mechanism=GSSAPI&sasl_kerberos_principal=a'b", "no ' in it"),
        ] {
            assert!(error(query).contains(words), "{query}: {}", error(query));
        }
    }

    #[cfg(not(feature = "gssapi"))]
    #[test]
    fn kerberos_without_its_feature_names_the_feature() {
        assert!(error("sasl_mechanism=GSSAPI").contains("have the feature gssapi"));
    }
}
