//! Origins as sites name them, and the `Host` that each is sent.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::address::socket_path;
use super::host::host_name;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// One origin of a site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Spoken with TLS.
    pub tls: bool,
    /// Where it is.
    pub target: OriginTarget,
}

/// Where an origin is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OriginTarget {
    /// TCP: a name or address (without brackets) and a port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// `Host` that an origin is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostField {
    /// The client's.
    Client,
    /// Always this one.
    Fixed(String),
}

impl Origin {
    /// Reads `http://host:port`, `https://host:port` or `unix:/path`.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        const SAMPLE: &str =
            "write \"http://10.0.0.1:8000\", \"https://origin.example\" or \"unix:/run/app.sock\"";
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self { tls: false, target: OriginTarget::Unix(socket_path(path)?) });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            let help = format!("write \"http://{}\" or \"https://{0}\"", short(text));
            return Err(Wrong::new(
                "the origin has no scheme",
                if text.is_empty() { SAMPLE.to_owned() } else { help },
            ));
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => {
                return Err(Wrong::new(
                    format!("\"{}\" is no scheme of an origin", short(scheme)),
                    SAMPLE,
                ));
            }
        };
        let (authority, path) =
            rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(Wrong::new("an origin has no user name", SAMPLE));
        }
        if !matches!(path, "" | "/") {
            let help = format!(
                "write \"{}://{}\"; the path comes from the request",
                short(scheme),
                short(authority)
            );
            return Err(Wrong::new("an origin has no path", help));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port.map(str::parse::<u16>) {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return Err(Wrong::new("the port is not a number from 1 to 65535", SAMPLE)),
        };
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(literal) => match literal.parse::<std::net::Ipv6Addr>() {
                Ok(address) => address.to_string(),
                Err(_) => {
                    return Err(Wrong::new(
                        "this is no IPv6 address",
                        "write \"http://[::1]:8000\"",
                    ));
                }
            },
            None => host_name(host)?,
        };
        Ok(Self { tls, target: OriginTarget::Tcp { host, port } })
    }

    /// The `Host` this origin is sent when the site names none: over TLS to a name, that name, as
    /// its certificate expects; else the client's.
    pub fn host_field(&self, origin_host: Option<&str>) -> HostField {
        match (&self.target, origin_host) {
            (_, Some(fixed)) => HostField::Fixed(fixed.to_owned()),
            (OriginTarget::Tcp { host, port }, None)
                if self.tls && host.parse::<IpAddr>().is_err() =>
            {
                let port = if *port == 443 { String::new() } else { format!(":{port}") };
                HostField::Fixed(format!("{host}{port}"))
            }
            _ => HostField::Client,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        match &self.target {
            OriginTarget::Tcp { host, port } if host.contains(':') => {
                write!(f, "{scheme}://[{host}]:{port}")
            }
            OriginTarget::Tcp { host, port } => write!(f, "{scheme}://{host}:{port}"),
            OriginTarget::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_and_shown() {
        for (text, shown) in [
            ("http://10.0.0.1:8000", "http://10.0.0.1:8000"),
            ("HTTP://A.example/", "http://a.example:80"),
            ("https://a.example", "https://a.example:443"),
            ("http://[::1]:81", "http://[::1]:81"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(Origin::parse(text).expect(text).to_string(), shown);
        }
        for text in [
            "",
            "10.0.0.1:80",
            "ftp://a",
            "http://",
            "http://u@a",
            "http://a/b",
            "http://a?x",
            "http://a:0",
            "http://a:x",
            "unix:x",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tls_origin_by_name_is_sent_its_own_host() {
        let host = |text: &str, fixed| Origin::parse(text).expect("an origin").host_field(fixed);
        assert_eq!(host("https://a.example", None), HostField::Fixed("a.example".into()));
        assert_eq!(host("https://a.example:8443", None), HostField::Fixed("a.example:8443".into()));
        assert_eq!(host("https://10.0.0.1", None), HostField::Client);
        assert_eq!(host("http://a.example", None), HostField::Client);
        assert_eq!(host("http://a.example", Some("b")), HostField::Fixed("b".into()));
    }
}
