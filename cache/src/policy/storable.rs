//! May a response be stored, and what must be remembered of it (RFC 9111 §3).
//!
//! The clauses are asked in an order from cheap to dear; the first that forbids gives the reason.
//! At the end a second opinion is heard (`second_opinion`); the stricter of both holds.

use http::StatusCode;
use http::header::{HeaderMap, SET_COOKIE};

use super::freshness::{self, Lifetime, Source, cacheable_by_default};
use super::tags::Tags;
use super::targeted::Effective;
use super::validation::EntityTag;
use super::{
    CookieRule, Fresh, MethodClass, NotStorable, Options, OriginResponse, RequestFacts, Storable,
    flag, second_opinion,
};
use crate::variant::Vary;

/// Heads above this size are not stored, in bytes of names and values.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Decides whether a response may be stored and makes the record of it.
///
/// `request` are the facts of the request **as it was sent to the origin**: a HEAD that became a
/// GET is a GET here. A response to HEAD is never stored, since it has no content to store; it
/// can freshen ([`super::freshen`]).
pub fn storable(
    request: &RequestFacts,
    response: &OriginResponse<'_>,
    options: &Options,
) -> Result<Storable, NotStorable> {
    request_allows(request)?;
    response_allows(request, response, options)
}

/// A successful response to POST that stands for a later GET of the same URL (RFC 9110 §9.3.3):
/// its `Content-Location` is the request's own target ([`super::invalidation::is_own_target`])
/// and its freshness is explicit. The POST itself invalidates the target first.
pub fn storable_post(
    request: &RequestFacts,
    response: &OriginResponse<'_>,
    content_location_is_target: bool,
    options: &Options,
) -> Result<Storable, NotStorable> {
    if !content_location_is_target || response.status != StatusCode::OK {
        return Err(NotStorable::Method);
    }
    let as_get = RequestFacts { method: MethodClass::Get, has_body: false, ..*request };
    request_allows(&as_get)?;
    let stored = response_allows(&as_get, response, options)?;
    let fresh = stored.fresh.has(flag::EXPLICIT) && stored.fresh.lifetime_s > 0;
    if fresh { Ok(stored) } else { Err(NotStorable::NoFreshness) }
}

fn response_allows(
    request: &RequestFacts,
    response: &OriginResponse<'_>,
    options: &Options,
) -> Result<Storable, NotStorable> {
    if !storable_status(response.status) {
        return Err(NotStorable::Status);
    }
    let effective = Effective::of(response.headers, options);
    directives_allow(request, response.status, &effective)?;
    let vary = Vary::of(response.headers).map_err(|_| NotStorable::VaryStar)?;
    if head_bytes(response.headers) > HEAD_BYTES_MAX {
        return Err(NotStorable::TooLarge);
    }
    let lifetime = freshness::lifetime(response, &effective, options);
    let mut fresh = record(response, &effective, lifetime, options);
    explicit_enough(response, &effective, lifetime, options.cookies)?;
    fresh.lifetime_s = second_opinion::hear(request, response, &effective, &fresh, lifetime)?;
    if lifetime.source.is_explicit() {
        fresh.lifetime_s = options.bounded_s(fresh.lifetime_s);
    }
    useful(&fresh)?;

    let tags = Tags::of(response.headers, options.tags_max);
    Ok(Storable {
        fresh,
        vary,
        tags: tags.hashes,
        tags_overflow: tags.overflow,
        omitted_fields: effective.directives.omitted_fields,
        _proof: (),
    })
}

fn request_allows(request: &RequestFacts) -> Result<(), NotStorable> {
    if request.method != MethodClass::Get || request.has_body {
        return Err(NotStorable::Method);
    }
    if request.no_store {
        return Err(NotStorable::RequestNoStore);
    }
    Ok(())
}

/// Final statuses that are stored at all. Not: interim and partial ones, 304 and 416, which only
/// speak of other responses; 407, 421, 425 and 511, which speak of the connection (425 of its early
/// data: RFC 8470 §5.2); 428, 429 and 431, which RFC 6585 forbids to store.
const fn storable_status(status: StatusCode) -> bool {
    !matches!(status.as_u16(), 0..200 | 206 | 304 | 407 | 416 | 421 | 425 | 428 | 429 | 431 | 511)
}

/// Statuses whose caching rules we know (RFC 9111 §5.2.2.3): those of RFC 9110 and a few others
/// without rules of their own.
pub const fn understood(status: StatusCode) -> bool {
    storable_status(status)
        && matches!(
            status.as_u16(),
            200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 422 | 426 | 451 | 500..=505
        )
}

fn directives_allow(
    request: &RequestFacts,
    status: StatusCode,
    effective: &Effective,
) -> Result<(), NotStorable> {
    let d = &effective.directives;
    if d.must_understand && !understood(status) {
        return Err(NotStorable::Status);
    }
    // §5.2.2.3: `must-understand` undoes the `no-store` beside it, for a cache that understands.
    let overridden = d.must_understand && !d.malformed;
    if d.no_store && !overridden {
        return Err(NotStorable::NoStore);
    }
    if d.private {
        return Err(NotStorable::Private);
    }
    if request.authorization && !shared_authorized(effective) {
        return Err(NotStorable::Authorization);
    }
    Ok(())
}

/// §3.5: these directives allow a shared cache to store a response to an authorised request.
fn shared_authorized(effective: &Effective) -> bool {
    let d = &effective.directives;
    d.public || d.must_revalidate || d.s_maxage_s.is_some()
}

/// §3: without explicit freshness or `public` the status must be cacheable by default. Two rules
/// are stricter than the RFC: a guess never covers `Set-Cookie`, because the cookie would reach
/// other people, nor does a response that is validated before every use; and an error without
/// freshness is not kept for its validator.
fn explicit_enough(
    response: &OriginResponse<'_>,
    effective: &Effective,
    lifetime: Lifetime,
    cookies: CookieRule,
) -> Result<(), NotStorable> {
    let d = &effective.directives;
    let explicit = lifetime.source.is_explicit();
    let stated = explicit || lifetime.source.is_sites();
    if !stated && !d.public && !cacheable_by_default(response.status) {
        return Err(NotStorable::NoFreshness);
    }
    if lifetime.source == Source::None && response.status.as_u16() >= 400 {
        return Err(NotStorable::NoFreshness);
    }
    let cookie =
        response.headers.contains_key(SET_COOKIE) && !d.omitted_fields.contains(&SET_COOKIE);
    // Stripped ones are taken out before the response is judged.
    if cookie && (cookies == CookieRule::Refuse || !explicit || lifetime.seconds == 0 || d.no_cache)
    {
        return Err(NotStorable::SetCookie);
    }
    Ok(())
}

/// A response that can be used neither fresh nor stale nor for a validation is not worth a place.
fn useful(fresh: &Fresh) -> Result<(), NotStorable> {
    let validator = fresh.has(flag::ETAG_STRONG | flag::ETAG_WEAK | flag::LAST_MODIFIED);
    let usable =
        !fresh.has(flag::NO_CACHE) && (fresh.lifetime_s > 0 || fresh.swr_s > 0 || fresh.sie_s > 0);
    if validator || usable { Ok(()) } else { Err(NotStorable::NoFreshness) }
}

fn record(
    response: &OriginResponse<'_>,
    effective: &Effective,
    lifetime: Lifetime,
    options: &Options,
) -> Fresh {
    let d = &effective.directives;
    let windows_named = d.swr_s.is_some() || d.sie_s.is_some();
    let s_maxage_binds =
        d.s_maxage_s.is_some() && !(options.stale_beside_s_maxage && windows_named);
    let must_revalidate = d.must_revalidate || d.proxy_revalidate || s_maxage_binds;
    let window = |named: Option<u32>, default: u32| {
        if must_revalidate || d.no_cache { 0 } else { named.unwrap_or(default) }
    };
    let etag = EntityTag::of_head(response.headers);
    let guessed = lifetime.source == Source::Heuristic || lifetime.source.is_sites();
    let flags = [
        (d.no_cache, flag::NO_CACHE),
        (must_revalidate, flag::MUST_REVALIDATE),
        (guessed, flag::HEURISTIC),
        (etag.is_some_and(|tag| !tag.weak), flag::ETAG_STRONG),
        (etag.is_some_and(|tag| tag.weak), flag::ETAG_WEAK),
        (freshness::has_last_modified(response.headers), flag::LAST_MODIFIED),
        (shared_authorized(effective), flag::SHARED_AUTHORIZED),
        (d.immutable, flag::IMMUTABLE),
        (lifetime.source.is_explicit(), flag::EXPLICIT),
    ];
    Fresh {
        received: response.received,
        age_s: freshness::initial_age(response),
        lifetime_s: lifetime.seconds,
        swr_s: window(d.swr_s, options.default_swr_s),
        sie_s: window(d.sie_s, options.default_sie_s),
        flags: flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit),
        status: response.status.as_u16(),
    }
}

fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

#[cfg(test)]
#[path = "storable_tests.rs"]
mod tests;
