//! The certificates of a secure broker, its clients and its impostors. Elliptic-curve keys: six RSA keys would take
//! longer than the broker's start.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use openssl::{
    base64::encode_block,
    bn::BigNumContext,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{Ssl, SslContext, SslMethod, SslVerifyMode},
    symm::Cipher,
    x509::X509,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The password of `client-enc.key`.
pub const KEY_PASSWORD: &str = "client-pass";
/// The name that `wronghost.crt` is made out to.
const ELSEWHERE: &str = "wrong.example";

/// An authority: what signs.
type Authority = Issuer<'static, KeyPair>;

/// When a certificate is good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Term {
    /// From 2020 to 2120.
    Good,
    /// In 2020.
    Over,
}

/// Writes all files, in PEM. `NAME.crt` has its key in `NAME.key`.
///
/// | file | is |
/// |---|---|
/// | `ca.pem`, `ca.d` | the authority, as a file and as a folder |
/// | `other-ca.pem` | an authority that no client should trust |
/// | `server.crt`, `wronghost.crt`, `expired.crt`, `other.crt` | of brokers; `other.crt` is of the other authority |
/// | `client.crt` | of `client-alice`; `client-enc.key` is its key under [`KEY_PASSWORD`] |
/// | `stranger.crt`, `client-expired.crt` | of clients that a broker must refuse |
/// | `server.pem`, `wronghost.pem`, `expired.pem`, `other.pem` | key stores for Kafka |
/// | `token.key`, `jwks.json` | what signs tokens, and by what Kafka verifies them |
pub fn write(folder: &Path) {
    fs::create_dir_all(folder).expect("the data folder can be written");
    let ca = authority(folder, "ca");
    let other = authority(folder, "other-ca");
    let here = ["localhost", "127.0.0.1", "::1"];
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    for (name, subject, names, purpose, issuer, term) in [
        ("server", "localhost", &here[..], ServerAuth, &ca, Term::Good),
        ("wronghost", ELSEWHERE, &[ELSEWHERE], ServerAuth, &ca, Term::Good),
        ("expired", "localhost", &here, ServerAuth, &ca, Term::Over),
        ("other", "localhost", &here, ServerAuth, &other, Term::Good),
        ("client", "client-alice", &[], ClientAuth, &ca, Term::Good),
        ("stranger", "client-mallory", &[], ClientAuth, &other, Term::Good),
        ("client-expired", "client-alice", &[], ClientAuth, &ca, Term::Over),
    ] {
        let (certificate, key) = leaf(subject, names, purpose, issuer, term);
        put(folder, &format!("{name}.crt"), &certificate);
        put(folder, &format!("{name}.key"), &key);
        if !names.is_empty() {
            // Kafka's key store in PEM: the key, then the chain.
            let authority = if name == "other" { "other-ca.pem" } else { "ca.pem" };
            let authority = read(folder, authority);
            put(folder, &format!("{name}.pem"), &format!("{key}{certificate}{authority}"));
        }
        if name == "client" {
            put(folder, "client-enc.key", &encrypted(&key));
        }
    }
    hash_folder(folder);
    token_key(folder);
}

fn authority(folder: &Path, name: &str) -> Authority {
    let mut params = params(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = params.self_signed(&key).expect("an authority signs itself");
    put(folder, &format!("{name}.pem"), &certificate.pem());
    Issuer::new(params, key)
}

/// The certificate and the key, in PEM.
fn leaf(
    subject: &str,
    names: &[&str],
    purpose: ExtendedKeyUsagePurpose,
    issuer: &Authority,
    term: Term,
) -> (String, String) {
    let mut params = params(subject, names);
    params.extended_key_usages = vec![purpose];
    if term == Term::Over {
        params.not_after = date_time_ymd(2020, 12, 31);
    }
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = params.signed_by(&key, issuer).expect("an authority signs");
    (certificate.pem(), key.serialize_pem())
}

fn params(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are of a host");
    params.distinguished_name.push(DnType::CommonName, subject);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
    params
}

fn encrypted(key: &str) -> String {
    let key = PKey::private_key_from_pem(key.as_bytes()).expect("the key was just made");
    let password = KEY_PASSWORD.as_bytes();
    let pem = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), password);
    String::from_utf8(pem.expect("a key can be encrypted")).expect("PEM is text")
}

/// `ca.d`: the authority in a file named after its subject's hash, as OpenSSL looks for it in a folder.
fn hash_folder(folder: &Path) {
    let pem = read(folder, "ca.pem");
    let ca = X509::from_pem(pem.as_bytes()).expect("the certificate was just made");
    let hashed = folder.join("ca.d");
    fs::create_dir(&hashed).expect("the data folder can be written");
    put(&hashed, &format!("{:08x}.0", ca.subject_name_hash()), &pem);
}

/// `token.key`, which signs tokens, and `jwks.json`, by which the broker verifies them.
fn token_key(folder: &Path) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("OpenSSL has P-256");
    let key = EcKey::generate(&group).expect("a key can be made");
    let mut context = BigNumContext::new().expect("memory");
    let number = || openssl::bn::BigNum::new().expect("memory");
    let (mut x, mut y) = (number(), number());
    let point = key.public_key().affine_coordinates(&group, &mut x, &mut y, &mut context);
    point.expect("the point is on the curve");
    let coordinate = |n: &openssl::bn::BigNum| {
        base64_url(&n.to_vec_padded(32).expect("a coordinate of P-256 has 32 bytes"))
    };
    let (x, y) = (coordinate(&x), coordinate(&y));
    put(
        folder,
        "jwks.json",
        &format!(
            r#"{{"keys":[{{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"kit","x":"{x}","y":"{y}"}}]}}"#
        ),
    );
    let pem = key.private_key_to_pem().expect("a key can be written");
    put(folder, "token.key", &String::from_utf8(pem).expect("PEM is text"));
}

/// A signed token with these claims, for the listener with a token verifier.
pub fn token(folder: &Path, claims: &str) -> String {
    let key = PKey::private_key_from_pem(read(folder, "token.key").as_bytes());
    let key: PKey<Private> = key.expect("the kit's own key");
    let head = base64_url(br#"{"alg":"ES256","kid":"kit","typ":"JWT"}"#);
    let signed = format!("{head}.{}", base64_url(claims.as_bytes()));
    let hash = openssl::hash::hash(MessageDigest::sha256(), signed.as_bytes()).expect("SHA-256");
    let key = key.ec_key().expect("an elliptic-curve key");
    let signature = openssl::ecdsa::EcdsaSig::sign(&hash, &key).expect("a key signs");
    let half = |n: &openssl::bn::BigNumRef| n.to_vec_padded(32).expect("a number below the order");
    let signature = [half(signature.r()), half(signature.s())].concat();
    format!("{signed}.{}", base64_url(&signature))
}

/// Waits until a listener shows the certificate of a key store.
pub fn await_shown(address: &str, key_store: &Path) {
    let pem = fs::read(key_store).expect("a key store of the kit");
    let wanted = X509::from_pem(&pem).expect("a key store has a certificate");
    let deadline = Instant::now() + Duration::from_secs(20);
    while shown(address).is_none_or(|shown| shown != wanted) {
        assert!(Instant::now() < deadline, "{address} does not show {}", key_store.display());
        thread::sleep(Duration::from_millis(20));
    }
}

fn shown(address: &str) -> Option<X509> {
    let mut context = SslContext::builder(SslMethod::tls_client()).ok()?;
    context.set_verify(SslVerifyMode::NONE);
    let stream = TcpStream::connect(address).ok()?;
    let stream = Ssl::new(&context.build()).ok()?.connect(stream).ok()?;
    stream.ssl().peer_certificate()
}

fn base64_url(bytes: &[u8]) -> String {
    encode_block(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn read(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
