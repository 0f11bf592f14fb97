//! The key rules that the purge surface borrows, so that keys, scopes and selectors agree.

use std::sync::Arc;

use http::uri::PathAndQuery;
use selvedge_cache::cache::{Cache, Searches};
use selvedge_cache::key::KeyParts;
use selvedge_cache::{CacheKey, Clock};
use selvedge_purge_api::KeyRules;
use selvedge_purge_api::selector::{AbsoluteUrl, Target};

use super::World;
use crate::admit;

/// The rules of one world.
pub struct WorldRules {
    /// Sites and their rules.
    pub world: Arc<World>,
    /// What origins said about the queries of their paths.
    pub searches: Arc<Searches>,
    /// The cache's time.
    pub clock: Arc<dyn Clock>,
}

impl WorldRules {
    /// The rules of a world over what a cache knows.
    pub fn of(world: Arc<World>, cache: &Cache) -> Self {
        let (searches, clock) = (Arc::clone(&cache.searches), Arc::clone(&cache.clock));
        Self { world, searches, clock }
    }

    /// Under which keys the responses of a URL are stored; narrowed to a site, if one is named.
    pub fn keys(&self, url: &str, site: Option<&str>) -> Vec<CacheKey> {
        let target = AbsoluteUrl::parse(url).ok().and_then(|url| self.url(&url).ok());
        let Some(target) = target else { return Vec::new() };
        let Some(found) = self.world.sites.find(&target.host) else { return Vec::new() };
        if site.is_some_and(|site| site != &*found.name) {
            return Vec::new();
        }
        let keys = |scheme| {
            let parts = parts(&found.name, scheme, &target);
            let folded = self.searches.folded(&parts).map(|folded| folded.key);
            std::iter::once(CacheKey::of(&parts)).chain(folded)
        };
        ["http", "https"].into_iter().flat_map(keys).collect()
    }
}

fn parts<'a>(site: &'a str, scheme: &'a str, target: &'a Target) -> KeyParts<'a> {
    let query = target.query.as_deref();
    KeyParts { site, scheme, host: &target.host, path: &target.path, query }
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
        let site = self.world.sites.find(&host);
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

    fn folded(&self, scheme: &str, target: &Target) -> Option<Option<String>> {
        let site = self.world.sites.find(&target.host)?;
        let parts = parts(&site.name, scheme, target);
        let folded = self.searches.folded_for_purge(&parts, self.clock.now());
        folded.map(|folded| folded.query)
    }

    fn knows_site(&self, name: &str) -> bool {
        self.world.sites.iter().any(|site| &*site.name == name)
    }
}
