//! The key rules that a selector borrows from whoever makes keys.

use super::{AbsoluteUrl, TEXT_BYTES_MAX};

/// Host, path and query as the key of a stored response has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Lower-case host, with the port when it is not the scheme's default.
    pub host: String,
    /// Path, beginning with `/`.
    pub path: String,
    /// Query as the site folds it.
    pub query: Option<String>,
}

/// How keys are made. The edge lends its own rules, so that keys, the scopes of records and
/// selectors agree. Errors are sentences for the caller.
pub trait KeyRules: Send + Sync {
    /// The target of a request for `url`.
    fn url(&self, url: &AbsoluteUrl<'_>) -> Result<Target, String>;

    /// Host and path below which a prefix selects; the query is ignored.
    fn prefix(&self, url: &AbsoluteUrl<'_>) -> Result<Target, String> {
        if url.query.is_some() {
            return Err("A prefix has no query.".to_owned());
        }
        self.url(url)
    }

    /// A second query of a URL's target under which the same responses are kept, because they said
    /// that they do not depend on the rest (`No-Vary-Search`).
    fn folded(&self, _scheme: &str, _target: &Target) -> Option<Option<String>> {
        None
    }

    /// The host of a request with this scheme and authority.
    fn host(&self, scheme: &str, authority: &str) -> Result<String, String>;

    /// Whether a site of this name is configured.
    fn knows_site(&self, site: &str) -> bool;
}

/// The readings of a host selector, which has no scheme: the port may be the default of one
/// scheme and not of the other.
pub(super) fn hosts(rules: &dyn KeyRules, authority: &str) -> Result<Vec<String>, String> {
    Ok(vec![rules.host("http", authority)?, rules.host("https", authority)?])
}

/// Rules of a node without sites: lower-case host, no default port, path and query as written.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainRules;

impl KeyRules for PlainRules {
    fn url(&self, url: &AbsoluteUrl<'_>) -> Result<Target, String> {
        Ok(Target {
            host: self.host(url.scheme, url.authority)?,
            path: url.path.to_owned(),
            query: url.query.map(str::to_owned),
        })
    }

    fn host(&self, scheme: &str, authority: &str) -> Result<String, String> {
        if authority.is_empty() || authority.len() > TEXT_BYTES_MAX {
            return Err("The host is missing or too long.".to_owned());
        }
        let is_odd = |byte: u8| !byte.is_ascii_graphic() || b"/?#@\\".contains(&byte);
        if authority.bytes().any(is_odd) {
            return Err("Must be a host, or HOST:PORT, and nothing else.".to_owned());
        }
        let default = if scheme == "https" { ":443" } else { ":80" };
        let host = authority.strip_suffix(default).unwrap_or(authority);
        Ok(host.to_ascii_lowercase())
    }

    fn knows_site(&self, _site: &str) -> bool {
        true
    }
}
