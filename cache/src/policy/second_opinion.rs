//! The second opinion on storability and lifetime: the crate `http-cache-semantics`.
//!
//! It was written by others from RFC 7234, so it errs in other places than we do. It sees a
//! *normalised* response: our parser's directives, dates as IMF-fixdate, our age. Where it is
//! known to deviate (its parser, newer clauses, opinions of its own) the normalised form leaves
//! that question out; the deviations are listed as data in this module's tests. Whatever else it
//! forbids is forbidden, and the shorter lifetime counts.
//!
//! Consulted once per stored response, never on a hit.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, DATE, EXPIRES, HeaderValue, LAST_MODIFIED};
use http::{Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};

use super::date::{self, DateField};
use super::freshness::{Lifetime, cacheable_by_default, date_latest};
use super::targeted::Effective;
use super::{Fresh, NotStorable, OriginResponse, RequestFacts};

/// Gives the lifetime on which both opinions agree, in seconds, or the refusal.
pub(super) fn hear(
    request: &RequestFacts,
    response: &OriginResponse<'_>,
    effective: &Effective,
    fresh: &Fresh,
    lifetime: Lifetime,
) -> Result<u32, NotStorable> {
    let policy = policy(request, response, effective, fresh, lifetime);
    if !policy.is_storable() {
        return Err(NotStorable::Contradictory);
    }
    // A lifetime that the site's operator set is unknown to it.
    if lifetime.source.is_sites() || fresh.age_s >= lifetime.seconds {
        return Ok(lifetime.seconds);
    }
    let ttl_s = policy.time_to_live(system_time(response)).as_secs();
    let theirs = u64::from(fresh.age_s).saturating_add(ttl_s);
    Ok(lifetime.seconds.min(u32::try_from(theirs).unwrap_or(u32::MAX)))
}

/// The other view of the same response.
pub(super) fn policy(
    request: &RequestFacts,
    response: &OriginResponse<'_>,
    effective: &Effective,
    fresh: &Fresh,
    lifetime: Lifetime,
) -> CachePolicy {
    let mut asked = Request::new(());
    if request.authorization {
        asked.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("x"));
    }
    if request.no_store {
        asked.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let mut answered = Response::new(());
    *answered.status_mut() = known_status(response.status, effective, lifetime);
    let headers = answered.headers_mut();
    let directives = normalised_directives(effective);
    if !directives.is_empty() {
        headers.insert(CACHE_CONTROL, HeaderValue::try_from(directives).expect("ASCII words"));
    }
    headers.insert(AGE, HeaderValue::from(fresh.age_s));
    headers.insert(DATE, date::format(date_latest(response)));
    if !effective.targeted {
        match DateField::of(response.headers, EXPIRES) {
            DateField::Absent => {}
            DateField::Invalid => {
                headers.insert(EXPIRES, HeaderValue::from_static("0"));
            }
            DateField::Valid { earliest, .. } => {
                headers.insert(EXPIRES, date::format(earliest));
            }
        }
    }
    if let Some(at) = DateField::of(response.headers, LAST_MODIFIED).single() {
        headers.insert(LAST_MODIFIED, date::format(at));
    }
    let options = CacheOptions { shared: true, ..CacheOptions::default() };
    CachePolicy::new_options(&asked, &answered, system_time(response), options)
}

/// It knows few statuses. One that it does not know is shown as 200 when freshness is explicit, or
/// set by the site, or `public` speaks, since then the status decides nothing more (RFC 9111 §3).
fn known_status(status: StatusCode, effective: &Effective, lifetime: Lifetime) -> StatusCode {
    let source = lifetime.source;
    let decided = source.is_explicit() || source.is_sites() || effective.directives.public;
    if decided && !cacheable_by_default(status) { StatusCode::OK } else { status }
}

/// Directives in the one spelling that it reads. Left out: `no-cache` (it sets the lifetime to 0,
/// we keep it as a flag), `proxy-revalidate` (likewise), `immutable` (it invents a lifetime),
/// qualified `private`, and `no-store` that `must-understand` undoes.
fn normalised_directives(effective: &Effective) -> String {
    let d = &effective.directives;
    let mut text = String::new();
    let words = [
        (d.no_store && !d.must_understand, "no-store"),
        (d.private, "private"),
        (d.public, "public"),
        (d.must_revalidate, "must-revalidate"),
    ];
    for (_, word) in words.iter().filter(|(set, _)| *set) {
        separate(&mut text);
        text.push_str(word);
    }
    for (name, seconds) in [("max-age", d.max_age_s), ("s-maxage", d.s_maxage_s)] {
        if let Some(seconds) = seconds {
            separate(&mut text);
            write!(text, "{name}={seconds}").expect("a string takes everything");
        }
    }
    text
}

fn separate(text: &mut String) {
    if !text.is_empty() {
        text.push_str(", ");
    }
}

fn system_time(response: &OriginResponse<'_>) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(response.received.unix_s())
}

#[cfg(test)]
#[path = "second_opinion_tests.rs"]
mod tests;
