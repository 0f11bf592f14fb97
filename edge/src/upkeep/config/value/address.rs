//! Where something listens: `host:port`, `[::]:port`, `unix:/path`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::host::host_name;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Longest path of a Unix socket, in bytes: `sun_path` without its final zero, on the narrowest
/// system we build for.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Port; 0 lets the system choose.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix);
        }
        let help = "write \"127.0.0.1:8080\", \"[::]:8080\" or \"unix:/run/selvedge.sock\"";
        let wrong = |message: String| Wrong::new(message, help);
        if text.contains("://") {
            return Err(wrong(format!("\"{}\" is a URL, not an address", short(text))));
        }
        if text.starts_with('/') {
            return Err(Wrong::new(
                "this is a path",
                format!("write \"unix:{}\" for a Unix socket", short(text)),
            ));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let message = format!("\"{}\" has no port", short(text));
            if text.parse::<u16>().is_ok() {
                return Err(Wrong::new(
                    message,
                    format!("write \"127.0.0.1:{text}\" or \"[::]:{text}\""),
                ));
            }
            return Err(Wrong::new(message, format!("write \"{}:8080\"", short(text))));
        };
        let port: u16 =
            port.parse().map_err(|_| wrong(format!("\"{}\" is no port", short(port))))?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(literal) => match literal.parse::<std::net::Ipv6Addr>() {
                Ok(address) => address.to_string(),
                Err(_) => {
                    return Err(wrong(format!("\"[{}]\" is no IPv6 address", short(literal))));
                }
            },
            None if host.is_empty() => {
                let help =
                    format!("write \"0.0.0.0:{port}\", or \"[::]:{port}\" for IPv6 and IPv4");
                return Err(Wrong::new("the host is missing", help));
            }
            None if host == "*" => {
                return Err(Wrong::new(
                    "`*` is no address",
                    format!("write \"[::]:{port}\" or \"0.0.0.0:{port}\""),
                ));
            }
            None if host.contains(':') => {
                let help = format!("write \"[{}]:{port}\"", short(host));
                return Err(Wrong::new("an IPv6 address stands in brackets", help));
            }
            None => host_name(host).map_err(|wrong| Wrong::new(wrong.message, help))?,
        };
        Ok(Self::Tcp { host, port })
    }

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

/// A path of a Unix socket: absolute, and short enough for the system.
pub fn socket_path(path: &str) -> Result<PathBuf, Wrong> {
    if !path.starts_with('/') {
        return Err(Wrong::new(
            "the path of a Unix socket begins with a slash",
            "write \"unix:/run/selvedge.sock\"",
        ));
    }
    if path.len() > SOCKET_PATH_BYTES_MAX || path.contains('\0') {
        let message =
            format!("the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes");
        return Err(Wrong::new(message, "write a shorter path"));
    }
    Ok(PathBuf::from(path))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for text in ["127.0.0.1:8080", "[::]:0", "[::1]:443", "localhost:80", "unix:/run/s.sock"] {
            assert_eq!(Address::parse(text).expect(text).to_string(), text);
        }
        for (text, help) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("::1:80", "[::1]:80"),
            ("*:80", "[::]:80"),
            ("localhost", "localhost:8080"),
            ("/run/s.sock", "unix:/run/s.sock"),
            ("unix:run/s.sock", "unix:/run/"),
            ("http://127.0.0.1:80", "127.0.0.1:8080"),
            ("127.0.0.1:99999", "127.0.0.1:8080"),
            ("[::zz]:80", "[::]:8080"),
        ] {
            let wrong = Address::parse(text).expect_err(text);
            assert!(wrong.help.contains(help), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn local_is_loopback_and_unix() {
        let local = |text| Address::parse(text).expect("an address").is_local();
        assert!(
            local("127.0.0.1:1") && local("[::1]:1") && local("unix:/s") && local("localhost:1")
        );
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("edge.example:1"));
    }
}
