//! 3 · The rules choose.
//!
//! Host name → site → [`Plan`]: everything that later phases need to know, decided once. Nobody
//! reads configuration after this. Pure: no I/O, no time.
//!
//! Knows nothing of the cache's contents, of origins' addresses or of sockets.

use std::sync::Arc;

use http::uri::PathAndQuery;
use selvedge_cache::CacheKey;
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
    /// Where the cache looks.
    pub key: CacheKey,
    /// Method and directives, as the cache sees them.
    pub facts: RequestFacts,
    /// Path, and query as the site folds it: in the key, in purges and on the way to the origin.
    pub target: PathAndQuery,
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
        Self { site, key, facts, target }
    }

    /// What purges can select of this target on `host`.
    pub fn scopes<'a>(&'a self, host: &'a str) -> TargetScopes<'a> {
        TargetScopes {
            site: &self.site.name,
            host,
            path: self.target.path(),
            query: self.target.query(),
        }
    }
}
