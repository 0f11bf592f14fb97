//! `[[site]]` and its tables.

use selvedge_cache::policy::CookieRule;
use selvedge_cache::range::Trust;

use super::node::count;
use super::{ReadSite, origin, rule};
use crate::origin::OriginConfig;
use crate::upkeep::config::model::{RangeOptions, Site, StaleOptions, TtlOptions};
use crate::upkeep::config::options as o;
use crate::upkeep::config::problem::{Place, Wrong};
use crate::upkeep::config::reader::{Reader, text};
use crate::upkeep::config::surroundings::Surroundings;
use crate::upkeep::config::value::{
    HostPattern, authority, field_name, name, parse_origin, parse_peer, parse_query, show_origin,
};

/// Origins of one site.
const ORIGINS_MAX: usize = 256;

/// One site.
pub(super) fn site(reader: &mut Reader<'_>, surroundings: &dyn Surroundings) -> Option<ReadSite> {
    let name = reader.one(&o::SITE_NAME, |s| name(text(s, "shop")?), Clone::clone);
    let hosts = reader.list(
        &o::SITE_HOSTS,
        |s| HostPattern::parse(text(s, "shop.example")?),
        ToString::to_string,
    );
    let origins = reader.list(&o::SITE_ORIGINS, parse_origin, show_origin);
    check_origins(reader, &origins);
    let origin_host =
        reader.one(&o::SITE_ORIGIN_HOST, |s| authority(text(s, "origin.example")?), Clone::clone);
    let query = reader.one(&o::KEY_QUERY, parse_query, ToString::to_string).unwrap_or_default();
    let no_vary_search = reader.switch(&o::KEY_NO_VARY_SEARCH);
    let select_by_language = reader.choice(&o::KEY_LANGUAGE) == 0;
    let targeted_fields = reader.list(
        &o::SITE_TARGETED_FIELDS,
        |s| field_name(text(s, "CDN-Cache-Control")?),
        ToString::to_string,
    );
    let cookies = match reader.choice(&o::SITE_COOKIES) {
        1 => CookieRule::Strip,
        2 => CookieRule::Refuse,
        _ => CookieRule::Default,
    };
    let ttl = ttl(reader);
    let rules = rule::rules(reader, &ttl);
    let stale = StaleOptions {
        while_revalidate_s: reader.lifetime_s(&o::STALE_WHILE_REVALIDATE).unwrap_or(0),
        if_error_s: reader.lifetime_s(&o::STALE_IF_ERROR).unwrap_or(0),
        refreshes_per_second: count(reader, &o::STALE_REFRESHES_PER_SECOND) as u32,
        beside_s_maxage: reader.switch(&o::STALE_BESIDE_S_MAXAGE),
    };
    // The card's words: honour, ignore.
    let ignore_request_cache_control = reader.choice(&o::SITE_REQUEST_CACHE_CONTROL) == 1;
    let purge_from = reader.list(
        &o::SITE_PURGE_FROM,
        |s| parse_peer(text(s, "10.0.0.0/8")?),
        ToString::to_string,
    );
    let keep_tags = reader.switch(&o::SITE_KEEP_TAGS);
    // The cards' words: whole, asked; refuse, octets.
    let ranges = RangeOptions {
        forward: reader.choice(&o::RANGES_FETCH) == 1,
        trust: [Trust::Neither, Trust::Octets][reader.choice(&o::RANGES_MISMATCH).min(1)],
    };
    let origin = origin::origin(reader, surroundings);
    if hosts.is_empty() || origins.is_empty() {
        return None; // Said above.
    }
    let (hosts, places) = hosts.into_iter().unzip();
    let origins = origins.into_iter().map(|(origin, _)| origin).collect();
    let site = Site {
        name: name?,
        hosts,
        origins,
        origin_host,
        query,
        no_vary_search,
        select_by_language,
        targeted_fields: targeted_fields.into_iter().map(|(name, _)| name).collect(),
        cookies,
        ttl,
        rules,
        stale,
        ignore_request_cache_control,
        purge_from: purge_from.into_iter().map(|(peer, _)| peer).collect(),
        keep_tags,
        ranges,
        origin,
    };
    Some(ReadSite { site, places })
}

fn check_origins(reader: &mut Reader<'_>, origins: &[(OriginConfig, Place)]) {
    if origins.len() > ORIGINS_MAX {
        let place = reader.place_of(&o::SITE_ORIGINS);
        let wrong =
            Wrong::new(format!("more than {ORIGINS_MAX} origins"), "name a balancer instead");
        reader.wrong(&o::SITE_ORIGINS, place, wrong);
        return;
    }
    for (at, (origin, place)) in origins.iter().enumerate() {
        if let Some((_, first)) =
            origins[..at].iter().find(|(earlier, _)| earlier.address == origin.address)
        {
            let wrong = Wrong::new(
                format!("origin {} stands twice", origin.address),
                "write each origin once",
            );
            reader.problems.add_pair(place.clone(), wrong, first.clone(), "the first stands here");
        }
    }
}

fn ttl(reader: &mut Reader<'_>) -> TtlOptions {
    let ttl = TtlOptions {
        default_s: reader.lifetime_s(&o::TTL_DEFAULT).unwrap_or(0),
        min_s: reader.lifetime_s(&o::TTL_MIN),
        max_s: reader.lifetime_s(&o::TTL_MAX),
        heuristic_max_s: reader.lifetime_s(&o::TTL_HEURISTIC_MAX).unwrap_or(0),
    };
    if let (Some(min), Some(max)) = (ttl.min_s, ttl.max_s)
        && min > max
    {
        let (place, also) = (reader.place_of(&o::TTL_MIN), reader.place_of(&o::TTL_MAX));
        let wrong =
            Wrong::new("`site.ttl.min` is above `site.ttl.max`", "write a `min` of at most `max`");
        reader.problems.add_pair(place, wrong, also, "`max` stands here");
    }
    ttl
}
