//! Reading of a transport URL, part by part, by hand: generic URL libraries misread host lists.
//!
//! Pure. What is wrong becomes a private [`Fault`] with the byte at which reading stopped, which
//! turns into the public error together with the masked URL. Called by `url` alone.

use std::{net::Ipv6Addr, ops::Range};

use super::{Host, TransportUrl, encoding, mask::Masked};
use crate::{error::Error, secret::Secret};

const PORT: &str = "a number from 1 to 65535";

/// Why a URL cannot be read.
pub(super) struct Fault {
    at: usize,
    /// What is wrong: text, an offending part of the URL if it helps, text.
    reason: (&'static str, Option<Range<usize>>, &'static str),
    expected: &'static str,
}

impl Fault {
    fn new(at: usize, reason: &'static str, expected: &'static str) -> Self {
        Self { at, reason: (reason, None, ""), expected }
    }

    /// A fault that shows the offending part, as in `port "90x2" is not a number`.
    fn showing(
        part: Range<usize>,
        before: &'static str,
        after: &'static str,
        expected: &'static str,
    ) -> Self {
        Self { at: part.start, reason: (before, Some(part), after), expected }
    }

    pub(super) fn into_error(self, url: &str) -> Error {
        let masked = Masked::new(url);
        let (before, part, after) = self.reason;
        Error::InvalidUrl {
            url: masked.text(),
            at: masked.position(self.at),
            reason: match part {
                Some(part) => format!("{before}{}{after}", masked.quoted(part)),
                None => before.to_owned(),
            },
            expected: self.expected.to_owned(),
        }
    }
}

/// A part of the URL that knows where it stands in it.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Part<'a> {
    fn span(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    fn slice(self, range: Range<usize>) -> Part<'a> {
        Part { start: self.start + range.start, text: &self.text[range] }
    }

    /// The text before and after byte `at`, without the `width` bytes there.
    fn split_at(self, at: usize, width: usize) -> (Part<'a>, Part<'a>) {
        (self.slice(0..at), self.slice(at + width..self.text.len()))
    }

    fn split(self, separator: char) -> impl Iterator<Item = Part<'a>> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let part = Part { text, start };
            start += text.len() + separator.len_utf8();
            part
        })
    }

    fn decode(self, unquote: fn(&str) -> Result<String, usize>) -> Result<String, Fault> {
        unquote(self.text).map_err(|at| {
            Fault::new(
                self.start + at,
                "the percent-encoded bytes are not UTF-8",
                "UTF-8, such as %C3%A9 for é",
            )
        })
    }
}

/// Reads a URL without white space around it.
pub(super) fn read(url: &str) -> Result<TransportUrl, Fault> {
    let (scheme, rest) = split_scheme(Part { text: url, start: 0 })?;
    let (authority, rest) = split_authority(rest)?;
    if let Some(at) = rest.text.find('#') {
        return Err(Fault::new(
            rest.start + at,
            "\"#\" starts a fragment, which a transport URL does not have",
            "%23 where the character itself is meant",
        ));
    }
    let (path, query) = match rest.text.find('?') {
        Some(at) => rest.split_at(at, 1),
        None => rest.split_at(rest.text.len(), 0),
    };
    let hosts = authority
        .split(',')
        .filter(|part| !part.text.is_empty())
        .map(read_host)
        .collect::<Result<_, _>>()?;
    Ok(TransportUrl {
        scheme: scheme.text.to_ascii_lowercase(),
        hosts,
        virtual_host: read_virtual_host(path)?,
        query: read_query(query)?,
    })
}

fn split_scheme(url: Part<'_>) -> Result<(Part<'_>, Part<'_>), Fault> {
    const EXPECTED: &str = "a scheme and ://, such as kafka://host:9092/";
    let Some(colon) = url.text.find(':') else {
        return Err(Fault::new(0, "the URL has no scheme", EXPECTED));
    };
    let (scheme, rest) = url.split_at(colon, 1);
    let valid = |(at, c): (usize, char)| {
        c.is_ascii_alphabetic() || at > 0 && (c.is_ascii_digit() || "+-.".contains(c))
    };
    if scheme.text.is_empty() {
        return Err(Fault::new(0, "the scheme is empty", EXPECTED));
    }
    match scheme.text.char_indices().find(|&place| !valid(place)) {
        None => Ok((scheme, rest)),
        Some((at, c)) => Err(Fault::showing(
            at..at + c.len_utf8(),
            "",
            " cannot stand there in a scheme",
            "a letter, then letters, digits, +, - and . before the first colon",
        )),
    }
}

/// The hosts with their credentials, and what follows them.
fn split_authority(rest: Part<'_>) -> Result<(Part<'_>, Part<'_>), Fault> {
    if let Some(text) = rest.text.strip_prefix("//") {
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        return Ok(rest.slice(2..rest.text.len()).split_at(end, 0));
    }
    if rest.text.is_empty() || rest.text.starts_with(['/', '?', '#']) {
        return Ok(rest.split_at(0, 0));
    }
    Err(Fault::new(
        rest.start,
        "the scheme is not followed by \"//\"",
        "// and the hosts, such as kafka://host:9092/",
    ))
}

fn read_host(part: Part<'_>) -> Result<Host, Fault> {
    let mut host = Host { hostname: String::new(), port: None, username: None, password: None };
    let mut address = part;
    if let Some(at) = part.text.rfind('@') {
        let (credentials, rest) = part.split_at(at, 1);
        address = rest;
        let username = match credentials.text.find(':') {
            Some(colon) => {
                let (username, password) = credentials.split_at(colon, 1);
                host.password = Some(Secret::new(password.decode(encoding::unquote)?));
                username
            }
            None => credentials,
        };
        host.username = Some(username.decode(encoding::unquote)?);
    }
    let (hostname, port) = split_port(address)?;
    host.hostname = hostname.text.to_owned();
    host.port = port.map(read_port).transpose()?;
    Ok(host)
}

/// The name or address without brackets, and the text after its colon.
fn split_port(address: Part<'_>) -> Result<(Part<'_>, Option<Part<'_>>), Fault> {
    let length = address.text.len();
    if address.text.starts_with('[') {
        let Some(bracket) = address.text.find(']') else {
            return Err(Fault::new(
                address.start + length,
                "the bracket around an IPv6 address is not closed",
                "], as in [2001:db8::1]:9092",
            ));
        };
        let hostname = address.slice(1..bracket);
        let after = address.slice(bracket + 1..length);
        check_ipv6(hostname)?;
        return match after.text.strip_prefix(':') {
            Some(_) => Ok((hostname, Some(after.slice(1..after.text.len())))),
            None if after.text.is_empty() => Ok((hostname, None)),
            None => Err(Fault::new(
                after.start,
                "there is text after the bracket",
                "a colon and a port, as in [2001:db8::1]:9092",
            )),
        };
    }
    let (hostname, port) = match address.text.match_indices(':').collect::<Vec<_>>()[..] {
        [] => (address, None),
        [(colon, _)] => {
            let (hostname, port) = address.split_at(colon, 1);
            (hostname, Some(port))
        }
        _ => {
            // Several colons: an IPv6 address without brackets, which cannot have a port.
            check_ipv6(address)?;
            (address, None)
        }
    };
    let refused = |c: char| c.is_whitespace() || c.is_control() || "[]\"<>\\".contains(c);
    match hostname.text.char_indices().find(|&(_, c)| refused(c)) {
        None => Ok((hostname, port)),
        Some((at, c)) => Err(Fault::showing(
            hostname.slice(at..at + c.len_utf8()).span(),
            "",
            " cannot stand in a host name",
            "a host name, an IPv4 address, or an IPv6 address in brackets",
        )),
    }
}

fn check_ipv6(address: Part<'_>) -> Result<(), Fault> {
    let (ip, zone) = address.text.rsplit_once('%').unwrap_or((address.text, "eth0"));
    // The kernel's interface names have at most 15 bytes.
    if ip.parse::<Ipv6Addr>().is_ok() && (1..=15).contains(&zone.len()) {
        return Ok(());
    }
    Err(Fault::showing(
        address.span(),
        "",
        " is not an IPv6 address",
        "an IPv6 address in brackets, as in [2001:db8::1]:9092, or one host name and one port",
    ))
}

fn read_port(part: Part<'_>) -> Result<u16, Fault> {
    if part.text.is_empty() {
        return Err(Fault::new(part.start, "there is no port after the colon", PORT));
    }
    if !part.text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::showing(part.span(), "port ", " is not a number", PORT));
    }
    match part.text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Fault::showing(part.span(), "port ", " is out of range", PORT)),
    }
}

fn read_virtual_host(path: Part<'_>) -> Result<Option<String>, Fault> {
    if let Some(at) = path.text.find('@') {
        return Err(Fault::new(
            path.start + at,
            "there is an \"@\" after the first \"/\"",
            "%40 for it in a virtual host, and %2F for a \"/\" in a password",
        ));
    }
    // The path is empty or starts with a slash: the authority ends there.
    let name = path.slice(path.text.len().min(1)..path.text.len()).decode(encoding::unquote)?;
    Ok(Some(name).filter(|name| !name.is_empty()))
}

fn read_query(query: Part<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut options: Vec<(String, String)> = Vec::new();
    for item in query.split('&').filter(|item| !item.text.is_empty()) {
        let Some(at) = item.text.find('=') else {
            return Err(Fault::showing(
                item.span(),
                "option ",
                " has no value",
                "name=value, with & between two options",
            ));
        };
        if at == 0 {
            return Err(Fault::new(item.start, "the option has no name", "name=value"));
        }
        let (name, value) = item.split_at(at, 1);
        let name = name.decode(encoding::unquote_plus)?;
        let value = value.decode(encoding::unquote_plus)?;
        if value.is_empty() {
            continue;
        }
        match options.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => *values = format!("{values},{value}"),
            None => options.push((name, value)),
        }
    }
    Ok(options)
}
