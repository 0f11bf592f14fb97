//! 3 · The rules choose.
//!
//! Host name → site → [`Plan`]: everything that later phases need to know, decided once. Nobody
//! reads configuration after this. Pure: no I/O, no time.
//!
//! Knows nothing of the cache's contents, of origins' addresses or of sockets.

use std::sync::Arc;

use http::HeaderMap;
use selvedge_cache::CacheKey;
use selvedge_cache::invalidate::TargetScopes;
use selvedge_cache::key::KeyParts;
use selvedge_cache::policy::cache_control::request_facts;
use selvedge_cache::policy::RequestFacts;

use crate::admit::Admitted;

pub mod key;
pub mod site;

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
    /// Query as the site folds it: in the key, in purges and on the way to the origin.
    pub query: Option<String>,
}

impl Plan {
    /// Decides for a request that `site` answers.
    pub fn make(site: Arc<Site>, admitted: &mut Admitted) -> Self {
        let query = site.key.fold(admitted.query.take());
        let key = CacheKey::of(&KeyParts {
            site: &site.name,
            scheme: admitted.scheme,
            host: &admitted.host,
            path: &admitted.path,
            query: query.as_deref(),
        });
        let facts = Self::facts(&site, admitted);
        Self { site, key, facts, query }
    }

    fn facts(site: &Site, admitted: &Admitted) -> RequestFacts {
        let headers: &HeaderMap = &admitted.headers;
        request_facts(&admitted.method, headers, !admitted.body.is_empty(), &site.cache)
    }

    /// What purges can select of this request's target.
    pub fn target<'a>(&'a self, admitted: &'a Admitted) -> TargetScopes<'a> {
        TargetScopes {
            site: &self.site.name,
            host: &admitted.host,
            path: &admitted.path,
            query: self.query.as_deref(),
        }
    }
}
