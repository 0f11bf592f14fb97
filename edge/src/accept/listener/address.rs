//! Where to listen, as text and as a value.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest path of a Unix socket, in bytes: what `sockaddr_un` holds on Linux, less its end.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Longest host name, in bytes (RFC 1035 §2.3.4, without the final dot).
const NAME_BYTES_MAX: usize = 253;

/// `host:port`, `[::]:port` or `unix:/path`. Port 0 lets the system choose.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenAddress {
    /// TCP.
    Tcp {
        /// An address without brackets, or a name in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// What is wrong with the text of an address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    /// No `:port`.
    #[error("`{0}` has no port: write host:port, [::]:port or unix:/path")]
    NoPort(String),
    /// The port is not one.
    #[error("`{0}` ends with no valid port (0 to 65535)")]
    BadPort(String),
    /// Nothing before the port.
    #[error("`{0}` has no host: write 127.0.0.1{0} for this machine only, [::]{0} for all")]
    NoHost(String),
    /// IPv6 without brackets, or something else in them.
    #[error("`{0}` is not valid: an IPv6 address is written in brackets, as in [::1]:8080")]
    Brackets(String),
    /// A host that cannot be one.
    #[error("`{0}` has an invalid host")]
    BadHost(String),
    /// Not an absolute path.
    #[error("`{0}` must name an absolute path: unix:/run/selvedge.sock")]
    RelativePath(String),
    /// Longer than the system allows.
    #[error("`{0}` is too long for a Unix socket (at most 107 bytes of path)")]
    LongPath(String),
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |error: fn(String) -> AddressError| Err(error(text.to_owned()));
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                _ if !path.starts_with('/') || path.contains('\0') => {
                    wrong(AddressError::RelativePath)
                }
                _ if path.len() > UNIX_PATH_BYTES_MAX => wrong(AddressError::LongPath),
                _ => Ok(Self::Unix(path.into())),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return wrong(AddressError::Brackets); // else its last group would be the port
        }
        let Some((host, port)) = text.rsplit_once(':') else { return wrong(AddressError::NoPort) };
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return wrong(AddressError::BadPort);
        }
        let Ok(port) = port.parse() else { return wrong(AddressError::BadPort) };
        let host = match host.strip_prefix('[') {
            Some(rest) => match rest.strip_suffix(']') {
                // Its shortest form, so that one place has one spelling.
                Some(inner) => match inner.parse::<Ipv6Addr>() {
                    Ok(ip) => return Ok(Self::Tcp { host: ip.to_string(), port }),
                    Err(_) => return wrong(AddressError::Brackets),
                },
                None => return wrong(AddressError::Brackets),
            },
            None if host.contains(':') => return wrong(AddressError::Brackets),
            None => host,
        };
        if host.is_empty() {
            return wrong(AddressError::NoHost);
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_plain);
        if host.len() > NAME_BYTES_MAX || !host.split('.').all(is_label) {
            return wrong(AddressError::BadHost);
        }
        Ok(Self::Tcp { host: host.to_ascii_lowercase(), port })
    }
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host == "localhost"
                    || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_read_as_they_are_written() {
        for text in ["127.0.0.1:8080", "[::]:443", "[::1]:0", "localhost:80", "unix:/run/x.sock"] {
            assert_eq!(text.parse::<ListenAddress>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn one_place_has_one_spelling() {
        let shown = |text: &str| text.parse::<ListenAddress>().expect(text).to_string();
        assert_eq!(shown("[0:0::1]:80"), "[::1]:80");
        assert_eq!(shown("Edge.Example:80"), "edge.example:80");
    }

    #[test]
    fn local_is_loopback_and_unix() {
        let local = |text: &str| text.parse::<ListenAddress>().expect(text).is_local();
        assert!(
            local("127.0.0.1:1") && local("[::1]:1") && local("unix:/s") && local("localhost:1")
        );
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("edge.example:1"));
    }

    #[test]
    fn bad_addresses_say_why() {
        type Reason = fn(String) -> AddressError;
        let cases: [(&str, Reason); 17] = [
            ("", AddressError::NoPort),
            ("8080", AddressError::NoPort),
            ("localhost", AddressError::NoPort),
            (":8080", AddressError::NoHost),
            ("localhost:", AddressError::BadPort),
            ("localhost:65536", AddressError::BadPort),
            ("localhost:+80", AddressError::BadPort),
            ("::1", AddressError::Brackets),
            ("::1:x:8080", AddressError::Brackets),
            ("[::1:8080", AddressError::Brackets),
            ("[localhost]:80", AddressError::Brackets),
            ("[::zz]:80", AddressError::Brackets),
            ("a..b:80", AddressError::BadHost),
            ("a.:80", AddressError::BadHost),
            ("http//a b:80", AddressError::BadHost),
            ("unix:run/x.sock", AddressError::RelativePath),
            ("unix:", AddressError::RelativePath),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<ListenAddress>(), Err(reason(text.to_owned())), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert_eq!(long.parse::<ListenAddress>(), Err(AddressError::LongPath(long)));
    }
}
