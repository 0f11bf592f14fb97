//! `[[site]]` and its tables.

use super::node::count;
use super::{ReadSite, origin};
use crate::origin::OriginAddress;
use crate::upkeep::config::model::{Site, StaleOptions, TtlOptions};
use crate::upkeep::config::options as o;
use crate::upkeep::config::problem::{Place, Wrong};
use crate::upkeep::config::reader::{Reader, text};
use crate::upkeep::config::surroundings::Surroundings;
use crate::upkeep::config::value::{
    HostPattern, authority, name, parse_origin, parse_peer, parse_query,
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
    let origins = reader.list(
        &o::SITE_ORIGINS,
        |s| parse_origin(text(s, "http://10.0.0.1:8000")?),
        ToString::to_string,
    );
    check_origins(reader, &origins);
    let origin_host =
        reader.one(&o::SITE_ORIGIN_HOST, |s| authority(text(s, "origin.example")?), Clone::clone);
    let query = reader.one(&o::KEY_QUERY, parse_query, ToString::to_string).unwrap_or_default();
    let ttl = ttl(reader);
    let stale = StaleOptions {
        while_revalidate_s: reader.lifetime_s(&o::STALE_WHILE_REVALIDATE).unwrap_or(0),
        if_error_s: reader.lifetime_s(&o::STALE_IF_ERROR).unwrap_or(0),
        refreshes_per_second: count(reader, &o::STALE_REFRESHES_PER_SECOND) as u32,
    };
    // The card's words: honour, ignore.
    let ignore_request_cache_control = reader.choice(&o::SITE_REQUEST_CACHE_CONTROL) == 1;
    let purge_from = reader.list(
        &o::SITE_PURGE_FROM,
        |s| parse_peer(text(s, "10.0.0.0/8")?),
        ToString::to_string,
    );
    let keep_tags = reader.switch(&o::SITE_KEEP_TAGS);
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
        ttl,
        stale,
        ignore_request_cache_control,
        purge_from: purge_from.into_iter().map(|(peer, _)| peer).collect(),
        keep_tags,
        origin,
    };
    Some(ReadSite { site, places })
}

fn check_origins(reader: &mut Reader<'_>, origins: &[(OriginAddress, Place)]) {
    if origins.len() > ORIGINS_MAX {
        let place = reader.place_of(&o::SITE_ORIGINS);
        let wrong =
            Wrong::new(format!("more than {ORIGINS_MAX} origins"), "name a balancer instead");
        reader.wrong(&o::SITE_ORIGINS, place, wrong);
        return;
    }
    for (at, (origin, place)) in origins.iter().enumerate() {
        if let Some((_, first)) = origins[..at].iter().find(|(earlier, _)| earlier == origin) {
            let wrong =
                Wrong::new(format!("origin {origin} stands twice"), "write each origin once");
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
