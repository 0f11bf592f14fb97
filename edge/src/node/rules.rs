//! The key rules that the purge surface borrows, so that keys, scopes and selectors agree.

use std::sync::Arc;

use http::uri::PathAndQuery;
use selvedge_purge_api::KeyRules;
use selvedge_purge_api::selector::{AbsoluteUrl, Target};

use super::World;
use crate::admit;

/// The rules of one world.
#[derive(Debug)]
pub struct WorldRules(pub Arc<World>);

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
