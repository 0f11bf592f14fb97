//! Where an origin listens, as people write it: `http://host:port`, `https://host`, `unix:/path`.
//!
//! An address names a place and nothing more: a path, a query or credentials in it would promise
//! something that nobody keeps, so they are refused with a sentence that says so.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Longest path of a Unix socket, in bytes: `sun_path` holds 108 with its final zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest host name, in bytes (RFC 1035 §2.3.4, without the final dot).
const NAME_BYTES_MAX: usize = 253;

/// The place of one origin.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum OriginAddress {
    /// TCP, with TLS over it when `tls` is set.
    Net {
        /// `https://`.
        tls: bool,
        /// Name or IP literal.
        host: OriginHost,
        /// Port; 80 or 443 when none was written.
        port: u16,
    },
    /// A Unix stream socket that speaks plain HTTP.
    Unix(PathBuf),
}

/// The host part of an address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum OriginHost {
    /// A name, in lower case.
    Name(String),
    /// An address literal.
    Ip(IpAddr),
}

/// Why a text is not the address of an origin: one sentence for people.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is not an origin: {reason}")]
pub struct AddressError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub reason: Flaw,
}

/// What can be wrong with the text of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// No scheme.
    #[error("it must begin with http://, https:// or unix:")]
    NoScheme,
    /// A scheme that origins do not have.
    #[error("its scheme must be http, https or unix")]
    OtherScheme,
    /// More than a place.
    #[error("it must not have a path, a query or a fragment")]
    HasPath,
    /// Credentials.
    #[error("it must not carry a user name or a password")]
    HasUser,
    /// Nothing where the host should be.
    #[error("it has no host")]
    NoHost,
    /// Neither a name nor an address.
    #[error("its host is not a valid name or address")]
    BadHost,
    /// IPv6 without brackets.
    #[error("an IPv6 address must stand in [ ]")]
    NoBrackets,
    /// Something else in brackets, or brackets that are not closed.
    #[error("in [ ] must stand an IPv6 address, and only a port may follow")]
    BadBrackets,
    /// The port is no number, or out of range.
    #[error("its port must be a number from 1 to 65535")]
    BadPort,
    /// A socket's path that depends on where the process runs.
    #[error("the path of a Unix socket must begin with /")]
    RelativePath,
    /// A socket's path that the system does not take.
    #[error("the path of a Unix socket is at most 107 bytes long and holds no zero byte")]
    BadPath,
}

impl OriginAddress {
    /// Whether TLS is spoken.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Net { tls: true, .. })
    }

    /// `host` or `host:port` as a Host field names it (RFC 9110 §7.2): the port is left out when
    /// it is the scheme's own. `None` for Unix sockets, which have no name.
    pub fn authority(&self) -> Option<String> {
        match self {
            Self::Net { tls, host, port } if *port == default_port(*tls) => Some(host.to_string()),
            Self::Net { host, port, .. } => Some(format!("{host}:{port}")),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for OriginAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|reason| AddressError { text: text.to_owned(), reason })
    }
}

impl fmt::Display for OriginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net { tls, host, port } => {
                write!(f, "{}://{host}:{port}", if *tls { "https" } else { "http" })
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for OriginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

// === parsing ===

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn parse(text: &str) -> Result<OriginAddress, Flaw> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_socket(path);
    }
    let (scheme, rest) = text.split_once("://").ok_or(Flaw::NoScheme)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err(Flaw::OtherScheme),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let place = authority.split(['/', '?', '#']).next().unwrap_or("");
    if place.contains('@') {
        return Err(Flaw::HasUser);
    }
    if place != authority {
        return Err(Flaw::HasPath);
    }
    let (host, port) = split_port(authority)?;
    let host = if authority.starts_with('[') {
        let ip: Ipv6Addr = host.parse().map_err(|_| Flaw::BadBrackets)?;
        OriginHost::Ip(ip.into())
    } else {
        parse_host(host)?
    };
    let port = match port {
        None => default_port(tls),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or(Flaw::BadPort)?
        }
        Some(_) => return Err(Flaw::BadPort),
    };
    Ok(OriginAddress::Net { tls, host, port })
}

fn parse_socket(path: &str) -> Result<OriginAddress, Flaw> {
    if !path.starts_with('/') {
        return Err(Flaw::RelativePath);
    }
    if path.len() > SOCKET_PATH_BYTES_MAX || path.contains('\0') {
        return Err(Flaw::BadPath);
    }
    Ok(OriginAddress::Unix(PathBuf::from(path)))
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), Flaw> {
    if let Some(inner) = authority.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(Flaw::BadBrackets)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(Flaw::BadBrackets),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(Flaw::NoBrackets),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn parse_host(host: &str) -> Result<OriginHost, Flaw> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(OriginHost::Ip(ip));
    }
    let bare = host.strip_suffix('.').unwrap_or(host);
    let label_is_fine = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if bare.is_empty() {
        return Err(Flaw::NoHost);
    }
    if bare.len() > NAME_BYTES_MAX || !bare.split('.').all(label_is_fine) {
        return Err(Flaw::BadHost);
    }
    Ok(OriginHost::Name(bare.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<OriginAddress>().expect(text).to_string()
    }

    #[test]
    fn addresses_are_read_and_shown_with_their_port() {
        assert_eq!(shown("http://127.0.0.1:8000"), "http://127.0.0.1:8000");
        assert_eq!(shown("HTTPS://Example.COM./"), "https://example.com:443");
        assert_eq!(shown("http://[::1]"), "http://[::1]:80");
        assert_eq!(shown("unix:/run/app.sock"), "unix:/run/app.sock");
        assert_eq!(shown("http://my_service:81"), "http://my_service:81");
    }

    #[test]
    fn the_authority_leaves_out_the_schemes_own_port() {
        let authority = |text: &str| text.parse::<OriginAddress>().expect(text).authority();
        assert_eq!(authority("https://a.example").as_deref(), Some("a.example"));
        assert_eq!(authority("https://a.example:80").as_deref(), Some("a.example:80"));
        assert_eq!(authority("unix:/s"), None);
    }

    #[test]
    fn what_is_not_an_address_is_refused_with_a_sentence() {
        for text in [
            "",
            "example.com",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:65536",
            "http://a:",
            "http://a:+1",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
            "http://::1",
            "http://[::1",
            "http://[::1]x",
            "http://a b",
            "http://a..b",
            "http://[zz]",
            "unix:relative",
            "unix:",
        ] {
            let error = text.parse::<OriginAddress>().expect_err(text);
            assert!(error.to_string().contains("is not an origin: "), "{error}");
        }
        assert!(format!("unix:/{}", "a".repeat(107)).parse::<OriginAddress>().is_err());
    }
}
