//! The key rules that the purge surface borrows, so that keys, scopes and selectors agree.

use std::sync::Arc;

use http::uri::PathAndQuery;
use selvedge_cache::CacheKey;
use selvedge_cache::key::KeyParts;
use selvedge_purge_api::KeyRules;
use selvedge_purge_api::selector::{AbsoluteUrl, Target};

use super::World;
use crate::admit;

/// The rules of one world.
#[derive(Debug)]
pub struct WorldRules(pub Arc<World>);

impl WorldRules {
    /// Under which keys the responses of a URL are stored; narrowed to a site, if one is named.
    pub fn keys(&self, url: &str, site: Option<&str>) -> Vec<CacheKey> {
        let target = AbsoluteUrl::parse(url).ok().and_then(|url| self.url(&url).ok());
        let Some(Target { host, path, query }) = target else { return Vec::new() };
        let Some(found) = self.0.sites.find(&host) else { return Vec::new() };
        if site.is_some_and(|site| site != &*found.name) {
            return Vec::new();
        }
        let key = |scheme| {
            let query = query.as_deref();
            CacheKey::of(&KeyParts { site: &found.name, scheme, host: &host, path: &path, query })
        };
        ["http", "https"].map(key).into()
    }
}

impl KeyRules for WorldRules {
    fn url(&self, url: &AbsoluteUrl<'_>) -> Result<Target, String> {
        let host = self.host(url.scheme, url.authority)?;
        let text = match url.query {
            Some(query) => format!("{}?{query}", url.path),
            None => url.path.to_owned(),
        };
        let target: PathAndQuery =
            text.parse().map_err(|_| "The path is not valid in a URL.".to_owned())?;
        let target = admit::normal_target(&target)
            .map_err(|_| "The path is not valid in a URL.".to_owned())?;
        let site = self.0.sites.find(&host);
        let folded = site.map_or_else(|| target.clone(), |site| site.key.fold(&target));
        Ok(Target {
            host,
            path: folded.path().to_owned(),
            query: folded.query().map(ToOwned::to_owned),
        })
    }

    fn host(&self, scheme: &str, authority: &str) -> Result<String, String> {
        admit::normal_host(authority.as_bytes(), scheme)
            .map_err(|_| "Must be a host, or HOST:PORT, and nothing else.".to_owned())
    }

    fn knows_site(&self, name: &str) -> bool {
        self.0.sites.iter().any(|site| &*site.name == name)
    }
}
