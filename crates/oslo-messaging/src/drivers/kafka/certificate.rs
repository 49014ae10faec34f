//! What is wrong with a broker's certificate: librdkafka has the same words for all of it.
//!
//! Called once librdkafka has refused a certificate: connects to that broker again, with the same
//! trust, and reads why OpenSSL refuses. Nothing is sent over that connection.

use std::{
    fmt::Write,
    net::{IpAddr, TcpStream, ToSocketAddrs},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openssl::{
    error::ErrorStack,
    nid::Nid,
    ssl::{Ssl, SslContext, SslMethod, SslVerifyMode},
    x509::{X509NameRef, X509Ref, X509StoreContextRef},
};
use rdkafka::ClientConfig;

/// How long a broker has for each step of its handshake.
const ANSWER: Duration = Duration::from_secs(3);

// OpenSSL's numbers for what can be wrong: x509_vfy.h.
const NOT_YET_VALID: i32 = 9;
const HAS_EXPIRED: i32 = 10;
const UNKNOWN_ISSUER: [i32; 4] = [18, 19, 20, 21];
const OTHER_NAME: [i32; 2] = [62, 64];

/// What a client trusts, as it was told to.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    /// Empty for the system's.
    authorities: String,
    checks_name: bool,
}

/// The first thing that OpenSSL found wrong, in words of its certificate.
struct Fault {
    number: i32,
    words: String,
    /// Whom the broker says to be.
    leaf: String,
    /// Whose certificate it is that was found wrong: the broker's, or one of those that signed it.
    subject: String,
    issuer: String,
    names: String,
    from: String,
    until: String,
}

impl Trust {
    /// What a client of these properties trusts; `None` when it speaks no TLS.
    pub(super) fn of(config: &ClientConfig) -> Option<Self> {
        if !config.get("security.protocol")?.ends_with("ssl") {
            return None;
        }
        let name = config.get("ssl.endpoint.identification.algorithm");
        Some(Self {
            authorities: config.get("ssl.ca.location").unwrap_or_default().to_owned(),
            checks_name: name != Some("none"),
        })
    }

    /// Why the broker at `address`, such as `kafka1:9093`, is not trusted; `None` when that cannot
    /// be found out, or is over.
    pub(super) fn fault(&self, address: &str) -> Option<String> {
        let (host, _) = address.rsplit_once(':')?;
        let host = host.trim_matches(['[', ']']);
        let found = Arc::new(Mutex::new(None));
        // An error says only that the handshake failed, which is what was asked for.
        let handshake = self.shake_hands(address, host, &found);
        let fault = found.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Err(error), None) = (handshake, &fault) {
            tracing::debug!("another look at the certificate of {address}: {error}");
        }
        fault.map(|fault| self.words(&fault, address, host))
    }

    fn shake_hands(
        &self,
        address: &str,
        host: &str,
        found: &Arc<Mutex<Option<Fault>>>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut ssl = self.session(host, Arc::clone(found))?;
        if host.parse::<IpAddr>().is_err() {
            ssl.set_hostname(host)?;
        }
        let address = address.to_socket_addrs()?.next().ok_or("the name has no address")?;
        let stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        ssl.connect(stream).map(drop).map_err(|error| error.to_string().into())
    }

    fn session(&self, host: &str, found: Arc<Mutex<Option<Fault>>>) -> Result<Ssl, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        let authorities = Path::new(&self.authorities);
        match (self.authorities.is_empty(), authorities.is_dir()) {
            (true, _) => context.set_default_verify_paths()?,
            (false, true) => context.load_verify_locations(None, Some(authorities))?,
            (false, false) => context.load_verify_locations(Some(authorities), None)?,
        }
        context.set_verify_callback(SslVerifyMode::PEER, move |good, chain| {
            if !good {
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.get_or_insert_with(|| Fault::of(chain));
            }
            good
        });
        let mut ssl = Ssl::new(&context.build())?;
        if self.checks_name {
            match host.parse() {
                Ok(address) => ssl.param_mut().set_ip(address)?,
                Err(_) => ssl.param_mut().set_host(host)?,
            }
        }
        Ok(ssl)
    }

    fn words(&self, fault: &Fault, address: &str, host: &str) -> String {
        let Fault { number, words, leaf, subject, issuer, names, from, until } = fault;
        let authorities = match self.authorities.as_str() {
            "" => "the system's authorities (ssl_cafile is empty)".to_owned(),
            file => format!("ssl_cafile = {file}"),
        };
        let what = match subject == leaf {
            true => format!("the certificate of {address} ({leaf})"),
            false => format!("the certificate {subject} behind that of {address} ({leaf})"),
        };
        match *number {
            HAS_EXPIRED => format!("{what} has expired on {until}: the broker needs a new one"),
            NOT_YET_VALID => format!("{what} is not valid before {from}: look at the clocks"),
            number if OTHER_NAME.contains(&number) => format!(
                "{what} is for {names}, not for {host}: name the broker so in the transport URL \
                 and in its advertised.listeners, or give it a certificate for {host}"
            ),
            number if UNKNOWN_ISSUER.contains(&number) => format!(
                "the certificate of {address} ({leaf}) is signed by {issuer}, which is not in {authorities}: set ssl_cafile to \
                 the authority that signs the brokers' certificates"
            ),
            _ => format!("{what} is not trusted by {authorities}: {words}"),
        }
    }
}

impl Fault {
    fn of(chain: &X509StoreContextRef) -> Self {
        let certificate = chain.current_cert();
        let name = |name: fn(&X509Ref) -> &X509NameRef| {
            certificate.map_or_else(String::new, |certificate| text(name(certificate)))
        };
        let time = |time: fn(&X509Ref) -> String| certificate.map_or_else(String::new, time);
        let leaf =
            chain.chain().and_then(|chain| chain.get(0)).map(|leaf| text(leaf.subject_name()));
        let subject = name(X509Ref::subject_name);
        Self {
            leaf: leaf.unwrap_or_else(|| subject.clone()),
            subject,
            number: chain.error().as_raw(),
            words: chain.error().error_string().to_owned(),
            issuer: name(X509Ref::issuer_name),
            names: certificate.map_or_else(String::new, names),
            from: time(|certificate| certificate.not_before().to_string()),
            until: time(|certificate| certificate.not_after().to_string()),
        }
    }
}

/// A name as `O=example, CN=kafka1`.
fn text(name: &X509NameRef) -> String {
    let mut text = String::new();
    for entry in name.entries() {
        let Ok(value) = entry.data().to_string() else { continue };
        let kind = entry.object().nid().short_name().unwrap_or("?");
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = write!(text, "{comma}{kind}={value}");
    }
    if text.is_empty() { "without a name".to_owned() } else { text }
}

/// The hosts that a certificate is good for.
fn names(certificate: &X509Ref) -> String {
    let alternatives = certificate.subject_alt_names();
    let mut names: Vec<String> = Vec::new();
    for name in alternatives.iter().flatten() {
        if let Some(name) = name.dnsname() {
            names.push(name.to_owned());
        } else if let Some(bytes) = name.ipaddress() {
            let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
            names.extend(address.map(|address| address.to_string()));
        }
    }
    if names.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        let common = common.filter_map(|entry| entry.data().to_string().ok());
        names.extend(common);
    }
    if names.is_empty() { "no host".to_owned() } else { names.join(", ") }
}
