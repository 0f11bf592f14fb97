//! Host name → site.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use selvedge_cache::policy::Options;
use selvedge_cache::policy::rules::Rule;

use super::{Affinity, KeyRules};
use crate::filter::Filters;
use crate::journal::SiteIndex;

/// One configured site.
#[derive(Clone, Debug)]
pub struct Site {
    /// Identity: part of every key, of metrics and of purges.
    pub name: Arc<str>,
    /// Place in the tables of the world and of metrics.
    pub index: SiteIndex,
    /// Host patterns that this site answers: exact, `*.example`, or `*`.
    pub hosts: Vec<String>,
    /// Rules of the cache.
    pub cache: Options,
    /// Lifetimes by path, status and type; the first that fits counts.
    pub rules: Vec<Rule>,
    /// What happens to the query.
    pub key: KeyRules,
    /// `Host` towards the origin; `None` passes the client's on.
    pub origin_host: Option<String>,
    /// What requests are told apart by, where origins are chosen by hash.
    pub affinity: Option<Affinity>,
    /// The cookie that binds a client to an origin.
    pub sticky: Option<String>,
    /// Who may send `PURGE`; nobody if empty.
    pub purge_from: Vec<IpNet>,
    /// `PURGE` over Unix sockets is allowed.
    pub purge_from_unix: bool,
    /// Pass tag fields and targeted fields on to clients.
    pub keep_tags: bool,
    /// Longest request body, in bytes.
    pub body_bytes_max: u64,
    /// Code at the phases.
    pub filters: Filters,
}

impl Site {
    /// The rules of the cache for one response.
    pub fn options_for(
        &self,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Cow<'_, Options> {
        match self.rules.iter().find(|rule| rule.fits(path, status, headers)) {
            Some(rule) => Cow::Owned(rule.apply(&self.cache)),
            None => Cow::Borrowed(&self.cache),
        }
    }
}

/// All sites, by host.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    all: Vec<Arc<Site>>,
    exact: HashMap<String, usize>,
    /// Suffix beginning with a dot, longest first.
    wildcard: Vec<(String, usize)>,
    fallback: Option<usize>,
}

impl Sites {
    /// Indexes the sites; hosts are already checked to be unique.
    pub fn new(sites: Vec<Site>) -> Self {
        let mut made = Self::default();
        for (at, site) in sites.into_iter().enumerate() {
            for host in &site.hosts {
                match host.strip_prefix('*') {
                    Some("") => made.fallback = Some(at),
                    Some(suffix) => made.wildcard.push((suffix.to_ascii_lowercase(), at)),
                    None => drop(made.exact.insert(host.to_ascii_lowercase(), at)),
                }
            }
            made.all.push(Arc::new(site));
        }
        made.wildcard.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        made
    }

    /// The site for a normalised host (a port is ignored): exact, then the longest wildcard, then
    /// the default site.
    pub fn find(&self, host: &str) -> Option<&Arc<Site>> {
        let name = without_port(host);
        let wildcard = || {
            self.wildcard
                .iter()
                .find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(suffix.as_str()))
                .map(|(_, at)| *at)
        };
        let at = self.exact.get(name).copied().or_else(wildcard).or(self.fallback)?;
        self.all.get(at)
    }

    /// Every site.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.all.iter()
    }
}

fn without_port(host: &str) -> &str {
    match memchr::memrchr2(b':', b']', host.as_bytes()) {
        // The last colon of `[::1]` stands inside the brackets.
        Some(at) if host.as_bytes()[at] == b':' => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, hosts: &[&str]) -> Site {
        Site {
            name: name.into(),
            index: SiteIndex(0),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            cache: Options::default(),
            rules: Vec::new(),
            key: KeyRules::Exact,
            origin_host: None,
            affinity: None,
            sticky: None,
            purge_from: Vec::new(),
            purge_from_unix: false,
            keep_tags: false,
            body_bytes_max: u64::MAX,
            filters: Filters::default(),
        }
    }

    #[test]
    fn exact_before_wildcard_before_default() {
        let sites = Sites::new(vec![
            site("all", &["*"]),
            site("wild", &["*.shop.example"]),
            site("deep", &["*.eu.shop.example"]),
            site("exact", &["www.shop.example", "[::1]"]),
        ]);
        let name = |host: &str| sites.find(host).map(|site| site.name.to_string());
        assert_eq!(name("www.shop.example:8080").as_deref(), Some("exact"));
        assert_eq!(name("img.shop.example").as_deref(), Some("wild"));
        assert_eq!(name("a.eu.shop.example").as_deref(), Some("deep"));
        assert_eq!(name("shop.example").as_deref(), Some("all"));
        assert_eq!(name("[::1]:80").as_deref(), Some("exact"));
    }

    #[test]
    fn without_a_default_an_unknown_host_has_no_site() {
        assert!(Sites::new(vec![site("one", &["a.example"])]).find("b.example").is_none());
    }
}
