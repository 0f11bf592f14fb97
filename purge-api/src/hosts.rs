//! Which `Host` a caller that changes something must name.
//!
//! A browser on the operator's machine can be led to send requests to loopback under a name of
//! the attacker's (DNS rebinding). It then sends that name as `Host`; a name that we do not know
//! is refused.

use http::HeaderMap;
use http::header::HOST;

/// Names under which the surface may be called, beside those of loopback.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts(Vec<String>);

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl KnownHosts {
    /// The names of loopback and these; ports are not looked at.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether the one `Host` of a request is known.
    pub fn knows(&self, fields: &HeaderMap) -> bool {
        let mut lines = fields.get_all(HOST).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return false };
        let Ok(text) = line.to_str() else { return false };
        let name = without_port(text).to_ascii_lowercase();
        LOOPBACK.contains(&name.as_str()) || self.0.contains(&name)
    }
}

/// A host without its port; an IPv6 address keeps its brackets.
fn without_port(authority: &str) -> &str {
    let from = authority.rfind(']').map_or(0, |at| at + 1);
    authority[from..].find(':').map_or(authority, |at| &authority[..from + at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_configured_names_are_known_with_any_port() {
        let known = KnownHosts::new(["Edge.example".to_owned()]);
        let knows = |host: &str| {
            known.knows(&HeaderMap::from_iter([(HOST, host.parse().expect("a value"))]))
        };
        for host in
            ["localhost", "LOCALHOST:9901", "127.0.0.1:1", "[::1]:9901", "[::1]", "edge.example"]
        {
            assert!(knows(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "::1"] {
            assert!(!knows(host), "{host}");
        }
        assert!(!known.knows(&HeaderMap::new()));
    }
}
