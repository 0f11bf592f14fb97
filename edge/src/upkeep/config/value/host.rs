//! Hosts: names as they are compared, patterns that sites answer for.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Longest host name, in bytes (RFC 1035 §2.3.4, without the root).
const HOST_BYTES_MAX: usize = 253;
/// Longest label of a name, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// Which hosts a site answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host, in lower case; an IPv6 address stands in brackets.
    Exact(String),
    /// Every host that ends so, at any depth: `.shop.example` (the dot is kept; `shop.example`
    /// itself does not fit).
    Suffix(String),
    /// Every host that no other pattern names.
    Any,
}

impl HostPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let sample = "write \"shop.example\", \"*.shop.example\" or \"*\"";
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or("");
            return Err(Wrong::new(
                "this is a URL, not a host",
                format!("write \"{}\"", short(host)),
            ));
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            let name = host_name(suffix)?;
            if name.parse::<Ipv4Addr>().is_ok() {
                return Err(Wrong::new("an address has no subdomains", sample));
            }
            return Ok(Self::Suffix(format!(".{name}")));
        }
        if text.contains('*') {
            return Err(Wrong::new("`*` stands alone, or as the whole first label", sample));
        }
        if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address: Ipv6Addr = literal
                .parse()
                .map_err(|_| Wrong::new("this is no IPv6 address", "write \"[::1]\""))?;
            return Ok(Self::Exact(format!("[{address}]")));
        }
        if let Some((host, port)) = text.rsplit_once(':')
            && port.bytes().all(|c| c.is_ascii_digit())
            && !host.contains(':')
        {
            let help = format!("write \"{}\"; a site answers on every port", short(host));
            return Err(Wrong::new("a host pattern has no port", help));
        }
        host_name(text).map(Self::Exact)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A host name or IPv4 address in lower case.
pub fn host_name(text: &str) -> Result<String, Wrong> {
    let wrong = |message: &str, help: String| Err(Wrong::new(message, help));
    if text.is_empty() {
        return wrong("the host is missing", "write a name, such as \"shop.example\"".to_owned());
    }
    if !text.is_ascii() {
        return wrong(
            "a host is written in ASCII",
            "write the form with xn--, which browsers send".to_owned(),
        );
    }
    if let Some(name) = text.strip_suffix('.') {
        return wrong(
            "a host is written without the final dot",
            format!("write \"{}\"", short(name)),
        );
    }
    if text.len() > HOST_BYTES_MAX {
        return wrong("the host is too long", format!("names have at most {HOST_BYTES_MAX} bytes"));
    }
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    for label in text.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            let help = format!("between two dots stand 1 to {LABEL_BYTES_MAX} characters");
            return wrong(&format!("\"{}\" is no host", short(text)), help);
        }
        if !label.bytes().all(allowed) {
            let help = "names consist of letters, digits, `-` and `.`".to_owned();
            return wrong(&format!("\"{}\" is no host", short(text)), help);
        }
    }
    Ok(text.to_ascii_lowercase())
}

/// `host` or `host:port` in lower case, as a `Host` field carries it.
pub fn authority(text: &str) -> Result<String, Wrong> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or("");
        return Err(Wrong::new("this is a URL, not a host", format!("write \"{}\"", short(host))));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => match literal.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => return Err(Wrong::new("this is no IPv6 address", "write \"[::1]:8000\"")),
        },
        None => host_name(host)?,
    };
    match port.map(str::parse::<u16>) {
        None => Ok(host),
        Some(Ok(port)) if port > 0 => Ok(format!("{host}:{port}")),
        Some(_) => Err(Wrong::new("this is no port", "write a port from 1 to 65535, or none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_shown() {
        for (text, shown) in [
            ("Shop.Example", "shop.example"),
            ("*.x.test", "*.x.test"),
            ("*", "*"),
            ("[::1]", "[::1]"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(HostPattern::parse(text).expect(text).to_string(), shown);
        }
        for text in [
            "",
            "a..b",
            "shop.example:80",
            "*shop",
            "a.*.b",
            "http://x/",
            "bücher.de",
            "x.",
            "a b",
            "[::z]",
            "*.10.0.0.1",
            "-/",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_authority_may_have_a_port() {
        assert_eq!(authority("A.example:8080").expect("valid"), "a.example:8080");
        assert_eq!(authority("[::1]").expect("valid"), "[::1]");
        assert!(
            authority("a:0").is_err()
                && authority("a:x").is_err()
                && authority("http://a").is_err()
        );
    }
}
