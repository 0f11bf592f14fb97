//! 3 · The rules choose.
//!
//! Host name → site → [`Plan`]: everything that later phases need to know, decided once. Nobody
//! reads configuration after this. Pure: no I/O, no time.
//!
//! Knows nothing of the cache's contents, of origins' addresses or of sockets.

use std::sync::Arc;

use http::uri::PathAndQuery;
use selvedge_cache::CacheKey;
use selvedge_cache::cache::Folded;
use selvedge_cache::invalidate::TargetScopes;
use selvedge_cache::key::KeyParts;
use selvedge_cache::policy::RequestFacts;
use selvedge_cache::policy::cache_control::request_facts;

use crate::admit::Admitted;

pub mod affinity;
pub mod key;
pub mod site;

pub use affinity::Affinity;
pub use key::KeyRules;
pub use site::{Site, Sites};

/// What was decided for one request.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The site that answers.
    pub site: Arc<Site>,
    /// The key of this very URL.
    pub key: CacheKey,
    /// Method and directives, as the cache sees them.
    pub facts: RequestFacts,
    /// Path, and query as the site folds it: in the key, in purges and on the way to the origin.
    pub target: PathAndQuery,
    /// Where the cache looks instead, when responses of this path said that they do not depend on
    /// all of the query; the origin is asked for all of it.
    pub folded: Option<Box<Folded>>,
}

impl Plan {
    /// Decides for a request that `site` answers.
    pub fn make(site: Arc<Site>, admitted: &Admitted) -> Self {
        let target = site.key.fold(admitted.target());
        let key = CacheKey::of(&KeyParts {
            site: &site.name,
            scheme: admitted.scheme,
            host: admitted.host(),
            path: target.path(),
            query: target.query(),
        });
        let facts =
            request_facts(&admitted.method, &admitted.headers, admitted.has_body, &site.cache);
        Self { site, key, facts, target, folded: None }
    }

    /// Where the cache looks.
    pub fn cache_key(&self) -> &CacheKey {
        self.folded.as_ref().map_or(&self.key, |folded| &folded.key)
    }

    /// What the key is made of.
    pub fn key_parts<'a>(&'a self, scheme: &'a str, host: &'a str) -> KeyParts<'a> {
        let (path, query) = (self.target.path(), self.target.query());
        KeyParts { site: &self.site.name, scheme, host, path, query }
    }

    /// What purges can select of this target on `host`.
    pub fn scopes<'a>(&'a self, host: &'a str) -> TargetScopes<'a> {
        TargetScopes {
            site: &self.site.name,
            host,
            path: self.target.path(),
            query: match &self.folded {
                Some(folded) => folded.query.as_deref(),
                None => self.target.query(),
            },
        }
    }
}
