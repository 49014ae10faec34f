//! The transport URL: which driver, which brokers, whose credentials, which options.
//!
//! Here live the parsed URL and its two texts, one masked and one whole. Reading is in `read`,
//! masking of texts that could not be read in `mask`, percent-encoding in `encoding`. Default
//! ports, the meaning of a virtual host and the check of option names are not here: they are the
//! drivers' affair. Called by `transport`, which hands the URL to the driver of its scheme.

mod encoding;
mod mask;
mod read;

use std::{fmt, str::FromStr};

#[cfg(feature = "oidc")]
pub(crate) use encoding::quote_plus;

use crate::{
    error::Error,
    secret::{MASK, Secret, names_secret, shown},
};

/// A transport URL, such as `kafka://user:pass@host1:9092,user:pass@host2:9092/vhost?client_id=x`:
/// scheme, hosts with their credentials, virtual host, options.
///
/// It accepts what oslo.messaging's `TransportURL.parse` accepts, and gives the same parts, but
/// refuses what that function drops in silence or stumbles over later: text after a scheme without
/// `//`, a fragment, an option without `=`, a raw `@` in the virtual host, a port outside 1 to
/// 65535, text between `]` and the port, escapes that are not UTF-8.
///
/// `Display` and `Debug` mask passwords and secret options; [`TransportUrl::expose`] does not.
///
/// ```
/// use oslo_messaging::TransportUrl;
///
/// let text = "kafka://nova:s%40fe@[::1]:9092,kafka2/cell1?max_poll_records=50";
/// let url: TransportUrl = text.parse()?;
/// assert_eq!(url.scheme(), "kafka");
/// assert_eq!(url.hosts()[0].hostname, "::1");
/// assert_eq!(url.hosts()[1].port, None);
/// assert_eq!(url.virtual_host(), Some("cell1"));
/// assert_eq!(url.to_string(), "kafka://nova:***@[::1]:9092,kafka2/cell1?max_poll_records=50");
/// # Ok::<(), oslo_messaging::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TransportUrl {
    scheme: String,
    hosts: Vec<Host>,
    virtual_host: Option<String>,
    query: Vec<(String, String)>,
}

/// One broker address of a transport URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Host {
    /// Name or address without brackets, such as `kafka1` or `::1`, in the case as written.
    /// Empty when the URL has only credentials or a port there: the driver's default host is meant.
    pub hostname: String,
    /// Port from 1 to 65535; `None` means the driver's default (9092 for Kafka).
    pub port: Option<u16>,
    /// User, percent-decoded. `None` when there is no `@`; `Some("")` for `:pass@host`.
    pub username: Option<String>,
    /// Password, percent-decoded. `None` when the credentials have no `:`.
    pub password: Option<Secret>,
}

impl TransportUrl {
    /// Reads a URL. White space before it, and tabs and line ends in it, are skipped, so that a
    /// URL folded over several lines of a configuration file is one URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`], with the URL masked and the character of that masked text at which
    /// reading stopped.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text: String = text
            .trim_start_matches(|c: char| c <= ' ')
            .chars()
            .filter(|c| !matches!(c, '\t' | '\r' | '\n'))
            .collect();
        read::read(&text).map_err(|fault| fault.into_error(&text))
    }

    /// The whole scheme in lower case, such as `kafka` or `kafka+ssl`. Never empty.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The addresses in the order of the URL. Empty for `kafka://`: the driver's default is meant.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The virtual host, percent-decoded and without the first `/`; `None` when it is empty.
    ///
    /// `kafka://host//` has the virtual host `/`, as with oslo.messaging.
    pub fn virtual_host(&self) -> Option<&str> {
        self.virtual_host.as_deref()
    }

    /// The options after `?`, percent-decoded, each name once, in the order of first appearance.
    ///
    /// As with oslo.messaging, the values of a repeated name are joined by commas, and an option
    /// with an empty value (`name=`) counts as not given. Names are not checked here:
    /// [`Options::resolve`](crate::config::Options::resolve) does.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The whole URL with its secrets, for handing it to another process. Do not log it.
    ///
    /// Parsing it again gives an equal URL; it is the text that oslo.messaging's
    /// `str(TransportURL)` writes.
    pub fn expose(&self) -> String {
        self.text(|secret| encoding::quote(secret, ""), |_, value| encoding::quote_plus(value))
    }

    /// The same without users and passwords.
    pub(crate) fn without_credentials(&self) -> Self {
        let mut bare = self.clone();
        for host in &mut bare.hosts {
            (host.username, host.password) = (None, None);
        }
        bare
    }

    /// Writes the URL with passwords and the values of query options as the caller shows them.
    fn text(
        &self,
        show_password: impl Fn(&str) -> String,
        show_value: impl Fn(&str, &str) -> String,
    ) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|host| host.text(&show_password)).collect();
        let mut text = format!("{}://{}/", self.scheme, hosts.join(","));
        if let Some(virtual_host) = &self.virtual_host {
            text += &encoding::quote(virtual_host, "/");
        }
        for (index, (name, value)) in self.query.iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text += &encoding::quote_plus(name);
            text.push('=');
            text += &show_value(name, value);
        }
        text
    }
}

impl Host {
    fn text(&self, show_password: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        if let Some(username) = &self.username {
            text += &encoding::quote(username, "");
            if let Some(password) = &self.password {
                text.push(':');
                text += &show_password(password.expose());
            }
            text.push('@');
        }
        if self.hostname.contains(':') {
            text += &format!("[{}]", self.hostname);
        } else {
            text += &self.hostname;
        }
        if let Some(port) = self.port {
            text += &format!(":{port}");
        }
        text
    }
}

impl FromStr for TransportUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(
            |password| match shown(password) {
                MASK => MASK.to_owned(),
                password => encoding::quote(password, ""),
            },
            |name, value| {
                if names_secret(name) || names_secret(value) {
                    MASK.to_owned()
                } else {
                    encoding::quote_plus(value)
                }
            },
        ))
    }
}

impl fmt::Debug for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportUrl(\"{self}\")")
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, TransportUrl};

    /// Left the URL, right what `str(TransportURL.parse(conf, url))` of oslo.messaging 18.3.1
    /// gives on Python 3.11: host names, ports, credentials (`@h` has an empty user, `u:@h` an
    /// empty password), virtual host and query, each told apart by the text.
    #[test]
    fn urls_are_read_as_the_reference_reads_them() {
        for (text, expected) in [
            ("kafka://", "kafka:///"),
            ("kafka:///", "kafka:///"),
            ("kafka:", "kafka:///"),
            ("kafka:/cell1", "kafka:///cell1"),
            ("kafka:?consumer_group=g", "kafka:///?consumer_group=g"),
            ("kafka://h", "kafka://h/"),
            ("kafka://h/", "kafka://h/"),
            ("kafka://h:9092", "kafka://h:9092/"),
            ("kafka://h:9092/", "kafka://h:9092/"),
            ("kafka://h:1/", "kafka://h:1/"),
            ("kafka://h:65535/", "kafka://h:65535/"),
            ("kafka://H.Example.org:9092/", "kafka://H.Example.org:9092/"),
            ("KAFKA://h", "kafka://h/"),
            ("kafka+ssl://h", "kafka+ssl://h/"),
            ("Amqp1.0-x://h", "amqp1.0-x://h/"),
            ("kafka://h1:9092,h2:9093,h3/", "kafka://h1:9092,h2:9093,h3/"),
            ("kafka://,h1,,h2,/", "kafka://h1,h2/"),
            ("kafka://192.0.2.7:9092", "kafka://192.0.2.7:9092/"),
            ("kafka://[::1]", "kafka://[::1]/"),
            ("kafka://[::1]:9092", "kafka://[::1]:9092/"),
            (
                "kafka://[2001:DB8::1]:9092,[2001:db8::2]:9093/v",
                "kafka://[2001:DB8::1]:9092,[2001:db8::2]:9093/v",
            ),
            ("kafka://2001:db8::1/v", "kafka://[2001:db8::1]/v"),
            ("kafka://::1", "kafka://[::1]/"),
            ("kafka://[fe80::1%eth0]:9092", "kafka://[fe80::1%eth0]:9092/"),
            ("kafka://u:p@[::1]:9092", "kafka://u:p@[::1]:9092/"),
            ("kafka://u:p@::1", "kafka://u:p@[::1]/"),
            ("kafka://:9092", "kafka://:9092/"),
            ("kafka://u:p@", "kafka://u:p@/"),
            ("kafka://u:p@:9092/v", "kafka://u:p@:9092/v"),
            ("kafka://@h", "kafka://@h/"),
            ("kafka://u@h", "kafka://u@h/"),
            ("kafka://u:@h", "kafka://u:@h/"),
            ("kafka://:p@h", "kafka://:p@h/"),
            ("kafka://:@h", "kafka://:@h/"),
            ("kafka://u:p:q@h", "kafka://u:p%3Aq@h/"),
            ("kafka://user@REALM:pass@h:9092", "kafka://user%40REALM:pass@h:9092/"),
            ("kafka://u:p@ss@h:9092", "kafka://u:p%40ss@h:9092/"),
            ("kafka://u%40x:p%3Aq%2Fr%2Cs@h", "kafka://u%40x:p%3Aq%2Fr%2Cs@h/"),
            ("kafka://%C3%A9:%E2%82%AC@h", "kafka://%C3%A9:%E2%82%AC@h/"),
            ("kafka://é:€@h", "kafka://%C3%A9:%E2%82%AC@h/"),
            ("kafka://u:100%@h", "kafka://u:100%25@h/"),
            ("kafka://u:%zz%4@h", "kafka://u:%25zz%254@h/"),
            ("kafka://u:a+b@h", "kafka://u:a%2Bb@h/"),
            ("kafka://u:a%20b@h", "kafka://u:a%20b@h/"),
            ("kafka://u:p@h1:9092,v:q@h2:9092/", "kafka://u:p@h1:9092,v:q@h2:9092/"),
            ("kafka://u:p@h1:9092,h2:9092/", "kafka://u:p@h1:9092,h2:9092/"),
            ("kafka://my_host.local-1:9092", "kafka://my_host.local-1:9092/"),
            ("kafka://h//", "kafka://h//"),
            ("kafka://h///", "kafka://h///"),
            ("kafka://h/%2F", "kafka://h//"),
            ("kafka://h/a/b", "kafka://h/a/b"),
            ("kafka://h/a%2Fb%3Fc", "kafka://h/a/b%3Fc"),
            ("kafka://h/cell one", "kafka://h/cell%20one"),
            ("kafka://h/%C3%A9", "kafka://h/%C3%A9"),
            ("kafka://h/nova_cell1?consumer_group=g", "kafka://h/nova_cell1?consumer_group=g"),
            ("kafka://h?consumer_group=g", "kafka://h/?consumer_group=g"),
            ("kafka://h/?a=1&b=2&a=3", "kafka://h/?a=1%2C3&b=2"),
            ("kafka://h/?b=2&&a=1&", "kafka://h/?b=2&a=1"),
            ("kafka://h/?a=&b=2", "kafka://h/?b=2"),
            ("kafka://h/?a=1&a=&a=2", "kafka://h/?a=1%2C2"),
            ("kafka://h/?", "kafka://h/"),
            ("kafka://h/v?a=b?c/d", "kafka://h/v?a=b%3Fc%2Fd"),
            ("kafka://h/?a=b=c", "kafka://h/?a=b%3Dc"),
            ("kafka://h/?a=x+y%2Bz%20w", "kafka://h/?a=x+y%2Bz+w"),
            ("kafka://h/?a%20b=1", "kafka://h/?a+b=1"),
            ("kafka://h/?a=u@v", "kafka://h/?a=u%40v"),
            ("kafka://h/?a=%zz", "kafka://h/?a=%25zz"),
            ("kafka://h/?a=1;b=2", "kafka://h/?a=1%3Bb%3D2"),
            (
                "kafka://h/?partition_assignment_strategy=range,roundrobin",
                "kafka://h/?partition_assignment_strategy=range%2Croundrobin",
            ),
            (
                "kafka://h/?librdkafka_properties=a.b:1,c.d:2",
                "kafka://h/?librdkafka_properties=a.b%3A1%2Cc.d%3A2",
            ),
            ("kafka://h/?dead_letter_topic=%C3%A9", "kafka://h/?dead_letter_topic=%C3%A9"),
            ("  kafka://h:9092/", "kafka://h:9092/"),
            ("kafka://h1:9092,\r\n\th2:9092/", "kafka://h1:9092,h2:9092/"),
            (
                "rabbit://openstack:s3cret@10.0.0.1:5672,openstack:s3cret@10.0.0.2:5672//?ssl=1",
                "rabbit://openstack:s3cret@10.0.0.1:5672,openstack:s3cret@10.0.0.2:5672//?ssl=1",
            ),
            ("fake://", "fake:///"),
            ("fake:///v", "fake:///v"),
            ("fake:", "fake:///"),
        ] {
            let url = TransportUrl::parse(text).unwrap();
            assert_eq!(url.expose(), expected, "{text}");
            assert_eq!(url.expose().parse::<TransportUrl>().unwrap(), url, "{text}");
        }
    }

    #[test]
    fn each_part_can_be_asked_for() {
        let url = TransportUrl::parse(
            "Kafka+SSL://u%40R:p%2Fq@h1:9092,[::1]:9093,:p@h3//?b=x+y&a=1&b=z&c=",
        )
        .unwrap();
        assert_eq!(url.scheme(), "kafka+ssl");
        let parts: Vec<_> = url
            .hosts()
            .iter()
            .map(|host| {
                let password = host.password.as_ref().map(|password| password.expose());
                (host.hostname.as_str(), host.port, host.username.as_deref(), password)
            })
            .collect();
        assert_eq!(
            parts,
            [
                ("h1", Some(9092), Some("u@R"), Some("p/q")),
                ("::1", Some(9093), None, None),
                ("h3", None, Some(""), Some("p")),
            ]
        );
        assert_eq!(url.virtual_host(), Some("/"));
        let query: Vec<_> = url.query().iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(query, [("b", "x y,z"), ("a", "1")]);

        let bare = TransportUrl::parse("fake:").unwrap();
        assert!(bare.hosts().is_empty());
        assert_eq!((bare.virtual_host(), bare.query()), (None, &[][..]));
    }

    /// URL, the masked URL of the error, the character in it, a word of the reason.
    #[test]
    fn what_cannot_be_read_is_refused_at_its_character() {
        for (text, shown, at, word) in [
            ("", "", 0, "no scheme"),
            ("kafka", "kafka", 0, "no scheme"),
            ("kafka//h", "kafka//h", 0, "no scheme"),
            ("://h", "://h", 0, "scheme is empty"),
            ("a_b://h", "a_b://h", 1, "\"_\""),
            ("1a://h", "1a://h", 0, "\"1\""),
            ("ka fka://h", "ka fka://h", 2, "\" \""),
            ("h:9092", "h:9092", 2, "not followed by \"//\""),
            ("kafka:h:9092", "kafka:h:9092", 6, "not followed by \"//\""),
            ("kafka:u:p@h", "kafka:***@h", 6, "not followed by \"//\""),
            ("kafka://h:", "kafka://h:", 10, "no port"),
            ("kafka://h:,g", "kafka://h:,g", 10, "no port"),
            ("kafka://h:0", "kafka://h:0", 10, "port \"0\" is out of range"),
            ("kafka://h:65536", "kafka://h:65536", 10, "port \"65536\" is out of range"),
            ("kafka://h:90x2", "kafka://h:90x2", 10, "port \"90x2\" is not a number"),
            ("kafka://h:-1", "kafka://h:-1", 10, "port \"-1\" is not a number"),
            ("kafka://h:9_0", "kafka://h:9_0", 10, "not a number"),
            ("kafka://u:p@h:90x2/", "kafka://u:***@h:90x2/", 16, "port \"90x2\""),
            ("kafka://u:päss@h:90x2/", "kafka://u:***@h:90x2/", 16, "port \"90x2\""),
            ("kafka://u:p@a:1,u:p@b:x", "kafka://u:***@a:1,u:***@b:x", 26, "port \"x\""),
            ("kafka://u:pa/ss@h", "kafka://u:***@h", 10, "port *** is not"),
            ("kafka://u:pa?ss@h", "kafka://u:***@h", 10, "port *** is not"),
            ("kafka://u:pa,ss@h", "kafka://u:***@h", 10, "port *** is not"),
            ("kafka://u:12/ss@h", "kafka://u:***@h", 13, "\"@\" after"),
            ("kafka://u:12?ss@h", "kafka://u:***@h", 10, "option *** has no value"),
            ("kafka://u:%41%FF@h", "kafka://u:***@h", 10, "not UTF-8"),
            ("kafka://u%FFx@h", "kafka://u%FFx@h", 9, "not UTF-8"),
            ("kafka://h/%41%FF", "kafka://h/%41%FF", 13, "not UTF-8"),
            ("kafka://h/?a=%C3", "kafka://h/?a=%C3", 13, "not UTF-8"),
            ("kafka://[::1", "kafka://[::1", 12, "not closed"),
            ("kafka://[::1]9092", "kafka://[::1]9092", 13, "text after the bracket"),
            ("kafka://[::1]:", "kafka://[::1]:", 14, "no port"),
            ("kafka://[::g]", "kafka://[::g]", 9, "\"::g\" is not an IPv6"),
            ("kafka://[]", "kafka://[]", 9, "\"\" is not an IPv6"),
            ("kafka://[h]:1", "kafka://[h]:1", 9, "\"h\" is not an IPv6"),
            ("kafka://[192.0.2.7]", "kafka://[192.0.2.7]", 9, "is not an IPv6"),
            ("kafka://[fe80::1%]", "kafka://[fe80::1%]", 9, "is not an IPv6"),
            ("kafka://h:1:2", "kafka://h:1:2", 8, "\"h:1:2\" is not an IPv6"),
            ("kafka://a h", "kafka://a h", 9, "\" \" cannot stand in a host name"),
            ("kafka://a:1, b:1", "kafka://a:1, b:1", 12, "\" \" cannot stand"),
            ("kafka://a]", "kafka://a]", 9, "\"]\" cannot stand"),
            ("kafka://h/#v", "kafka://h/#v", 10, "fragment"),
            ("kafka://h#v", "kafka://h#v", 9, "fragment"),
            ("kafka://u:p#q@h", "kafka://u:***@h", 10, "fragment"),
            ("kafka://h/a@b", "kafka://h/a@b", 11, "\"@\" after"),
            ("kafka://h/?a", "kafka://h/?a", 11, "option \"a\" has no value"),
            ("kafka://h/?b=1&a", "kafka://h/?b=1&a", 15, "option \"a\" has no value"),
            ("kafka://h/?=1", "kafka://h/?=1", 11, "no name"),
            ("kafka://h/?token=t&x", "kafka://h/?token=***&***", 21, "option *** has no"),
            (" \nkafka://h:x", "kafka://h:x", 10, "port \"x\""),
        ] {
            match TransportUrl::parse(text) {
                Err(Error::InvalidUrl { url, at: found, reason, expected }) => {
                    assert_eq!((url.as_str(), found), (shown, at), "{text}: {reason}");
                    assert!(reason.contains(word), "{text}: {reason}");
                    assert!(!expected.is_empty(), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn shown_urls_hide_passwords_and_secret_options() {
        for (text, expected) in [
            ("kafka://u:hunter2@h:1/v", "kafka://u:***@h:1/v"),
            ("kafka://u:@h", "kafka://u:***@h/"),
            ("kafka://u@h", "kafka://u@h/"),
            ("kafka://a:b@g,c:d@h", "kafka://a:***@g,c:***@h/"),
            (
                "kafka://h/?ssl_client_key_password=x&client_id=y",
                "kafka://h/?ssl_client_key_password=***&client_id=y",
            ),
            (
                "kafka://h/?librdkafka_properties=ssl.key.password:x",
                "kafka://h/?librdkafka_properties=***",
            ),
            ("kafka://h/?Access_TOKEN=x", "kafka://h/?Access_TOKEN=***"),
        ] {
            let url = TransportUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), expected);
            assert_eq!(format!("{url:?}"), format!("TransportUrl(\"{expected}\")"));
            assert!(!format!("{:?}", url.hosts()).contains("hunter2"));
        }
    }

    #[test]
    fn reading_never_panics() {
        let pieces = [
            "kafka:", "//", "/", "@", ":", ",", "[", "]", "?", "#", "&", "=", "%", "%C3", "é", "u",
            "9", " ", "password", "::1",
        ];
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..seed % 12 {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                text += pieces[usize::try_from(seed >> 33).unwrap() % pieces.len()];
            }
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match TransportUrl::parse(&text) {
                Ok(url) => assert_eq!(TransportUrl::parse(&url.expose()).unwrap(), url, "{text}"),
                Err(Error::InvalidUrl { url, at, .. }) => {
                    assert!(at <= url.chars().count(), "{text}");
                }
                Err(other) => panic!("{text}: {other}"),
            }
        }
    }
}
