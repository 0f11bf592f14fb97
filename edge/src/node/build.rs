//! Configuration → world: the one place where what an operator said becomes what phases use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use selvedge_cache::policy::Options;

use super::World;
use super::gauges::Observer;
use crate::admit;
use crate::decide::{Site, Sites};
use crate::filter::{Filter, Filters};
use crate::lookup::ramp::Ramp;
use crate::origin::balance::Policy;
use crate::origin::{Pool, PoolConfig, PoolError, Trust};
use crate::telemetry::Telemetry;
use crate::upkeep::config::{self, Config};

/// Requests that an origin is given at once at least, however slow it is.
const IN_FLIGHT_MIN: usize = 2;

/// Why a world cannot be built: one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A pool that cannot be made.
    #[error("site {site:?}: {source}")]
    Pool {
        /// The site.
        site: String,
        /// What is wrong.
        source: PoolError,
    },
}

/// Filters by the name of their site.
pub type SiteFilters = HashMap<String, Vec<Arc<dyn Filter>>>;

/// Builds a world. Pools of `old` whose configuration is the same are kept, with their
/// connections, health and counters.
pub fn world(
    config: &Config,
    old: Option<&World>,
    filters: &SiteFilters,
    telemetry: &Arc<Telemetry>,
) -> Result<World, BuildError> {
    let mut sites = Vec::with_capacity(config.sites.len());
    let mut pools = HashMap::new();
    let mut ramps = HashMap::new();
    for written in &config.sites {
        let index = telemetry.metrics().site(&written.name).index();
        let wanted = pool_config(written);
        let kept =
            old.and_then(|old| old.pools.get(&index)).filter(|pool| *pool.config() == wanted);
        let pool = if let Some(pool) = kept {
            Arc::clone(pool)
        } else {
            let names = wanted.origins.iter().map(|origin| origin.address.to_string());
            let observer = Arc::new(Observer::new(telemetry.metrics(), &wanted.name, names));
            let pool = Pool::new(wanted, observer)
                .map_err(|source| BuildError::Pool { site: written.name.clone(), source })?;
            if let Some(known) = old.and_then(|old| old.pools.get(&index)) {
                pool.inherit(known);
            }
            pool
        };
        pools.insert(index, pool);
        let per_s = written.stale.refreshes_per_second;
        let ramp = match old.and_then(|old| old.ramps.get(&index)) {
            Some(ramp) => {
                ramp.change(per_s);
                Arc::clone(ramp)
            }
            None => Arc::new(Ramp::new(per_s)),
        };
        ramps.insert(index, ramp);
        let filters = filters.get(&written.name).cloned().unwrap_or_default();
        sites.push(Site {
            name: written.name.as_str().into(),
            index,
            hosts: written.hosts.iter().map(ToString::to_string).collect(),
            cache: options(written),
            rules: written.rules.clone(),
            key: written.query.clone(),
            origin_host: written.origin_host.clone(),
            affinity: (written.origin.balance.policy == Policy::Hash)
                .then(|| written.origin.hash_by.clone()),
            sticky: written.origin.sticky.clone(),
            purge_from: written.purge_from.networks.clone(),
            purge_from_unix: written.purge_from.unix,
            keep_tags: written.keep_tags,
            body_bytes_max: config.limits.body_bytes_max,
            filters: Filters::new(filters),
        });
    }
    let admission = admit::Config {
        trusted_proxies: config.node.trusted_proxies.networks.clone(),
        limits: config.limits.head,
        // A reload must know again what was sent before it.
        cdn_loop: old.map(|old| old.admission.cdn_loop.clone()).unwrap_or_default(),
    };
    let has_filters = !filters.is_empty();
    Ok(World { admission, sites: Sites::new(sites), pools, ramps, has_filters })
}

fn options(site: &config::Site) -> Options {
    Options {
        default_ttl_s: site.ttl.default_s,
        ttl_min_s: site.ttl.min_s.unwrap_or(0),
        ttl_max_s: site.ttl.max_s.unwrap_or(u32::MAX),
        heuristic_max_s: site.ttl.heuristic_max_s,
        default_swr_s: site.stale.while_revalidate_s,
        default_sie_s: site.stale.if_error_s,
        ignore_request_cache_control: site.ignore_request_cache_control,
        no_vary_search: site.no_vary_search,
        forward_ranges: site.ranges.forward,
        trust: site.ranges.trust,
        select_by_language: site.select_by_language,
        targeted_fields: site.targeted_fields.clone(),
        cookies: site.cookies,
        stale_beside_s_maxage: site.stale.beside_s_maxage,
        ..Options::default()
    }
}

fn pool_config(site: &config::Site) -> PoolConfig {
    let said = &site.origin;
    let mut config = PoolConfig::new(site.name.clone(), []);
    config.origins.clone_from(&site.origins);
    config.deadlines = said.deadlines;
    config.limits = said.limits;
    config.retry.attempts_max = said.attempts_max;
    config.retry.share_percent = said.retry_share_percent;
    config.retry.hedge = said.hedge;
    config.limits.in_flight_min = said.adaptive.then_some(IN_FLIGHT_MIN);
    config.balance = said.balance;
    config.health = said.health;
    config.check.clone_from(&said.check);
    config.trust = said.ca.clone().map_or(Trust::System, |file: PathBuf| Trust::File(file));
    config.host = site.origin_host.as_deref().and_then(|host| host.parse().ok());
    config
}
