//! May a stored response answer this request (RFC 9111 §4)? The function on the path of every hit.
//!
//! Nothing is read here but two small records, the answer of the purge map and the time. The
//! order of the questions is the order of strength: what forbids the bytes altogether, what
//! demands a validation, then freshness, then the permissions to be stale.

use super::{Cause, Fresh, Judgement, MethodClass, Options, RequestFacts, Verdict, flag};
use crate::Millis;
use crate::invalidate::PurgeState;

/// Decides what to do with a request. `stored` is the selected response, if any, and the point
/// from which a soft purge made it stale ([`Millis::MAX`] if none did, as records keep it).
pub fn judge(
    request: &RequestFacts,
    stored: Option<(&Fresh, Millis)>,
    purges: &PurgeState,
    now: Millis,
    _options: &Options,
) -> Judgement {
    let (verdict, cause) = match (refused(request), stored) {
        (Some(cause), _) => (Verdict::Bypass, cause),
        (None, None) => (Verdict::Absent, Cause::NothingStored),
        (None, Some((fresh, stale_since))) => {
            judge_stored(request, fresh, stale_since, purges, now)
        }
    };
    let age_s = stored.map(|(fresh, _)| fresh.age_at(now));
    let ttl_s = stored.map(|(fresh, since)| ttl(fresh, since, purges, now));
    Judgement { verdict: only_if_cached(request, verdict), cause, age_s, ttl_s, purges: *purges }
}

/// The judgement when only parts of what the request needs are stored (§3.3): what is there may
/// be completed, and cannot be used as it is.
#[must_use]
pub fn incomplete(judgement: Judgement, request: &RequestFacts) -> Judgement {
    match judgement.verdict {
        Verdict::Fresh | Verdict::Stale { .. } | Verdict::Validate => Judgement {
            verdict: only_if_cached(request, Verdict::Validate),
            cause: Cause::Partial,
            ..judgement
        },
        _ => judgement,
    }
}

/// Requests that the cache has no part in.
fn refused(request: &RequestFacts) -> Option<Cause> {
    if !matches!(request.method, MethodClass::Get | MethodClass::Head) {
        return Some(Cause::Method);
    }
    request.has_body.then_some(Cause::RequestBody)
}

/// §5.2.1.7: what would need the origin is answered 504, also where the cache has no part in it
/// (content, `Authorization`). A method that is no question to a cache means the origin.
const fn only_if_cached(request: &RequestFacts, verdict: Verdict) -> Verdict {
    let asks = matches!(request.method, MethodClass::Get | MethodClass::Head);
    match verdict {
        Verdict::Absent | Verdict::Validate | Verdict::Bypass if request.only_if_cached && asks => {
            Verdict::Unsatisfied
        }
        verdict => verdict,
    }
}

fn judge_stored(
    request: &RequestFacts,
    fresh: &Fresh,
    stale_since: Millis,
    purges: &PurgeState,
    now: Millis,
) -> (Verdict, Cause) {
    if purges.forbids() {
        let hard = purges.hard.is_some();
        return (Verdict::Absent, if hard { Cause::HardPurged } else { Cause::Invalidated });
    }
    if unauthorized(request, fresh) {
        return (Verdict::Bypass, Cause::Authorization);
    }
    if let Some(cause) = must_validate(request, fresh, now) {
        return (Verdict::Validate, cause);
    }
    let stale_at = stale_at(fresh, stale_since, purges);
    if now < stale_at {
        return judge_fresh(request, stale_at, now);
    }
    judge_stale(request, fresh, stale_at, now)
}

/// §3.5, read from both sides: a request with `Authorization` is answered only by a response that
/// says it may be shared so.
const fn unauthorized(request: &RequestFacts, fresh: &Fresh) -> bool {
    request.authorization && !fresh.has(flag::SHARED_AUTHORIZED)
}

/// Demands that hold whether the response is fresh or not.
fn must_validate(request: &RequestFacts, fresh: &Fresh, now: Millis) -> Option<Cause> {
    if fresh.has(flag::NO_CACHE) {
        return Some(Cause::NoCache);
    }
    if request.no_cache {
        return Some(Cause::RequestNoCache);
    }
    let too_old = request.max_age_s.is_some_and(|max| fresh.age_at(now) > u64::from(max));
    too_old.then_some(Cause::RequestMaxAge)
}

fn judge_fresh(request: &RequestFacts, stale_at: Millis, now: Millis) -> (Verdict, Cause) {
    match request.min_fresh_s {
        // §5.2.1.3: lifetime no less than age + min-fresh.
        Some(wanted) if now.plus_s(u64::from(wanted)) > stale_at => {
            (Verdict::Validate, Cause::RequestMinFresh)
        }
        _ => (Verdict::Fresh, Cause::Fresh),
    }
}

fn judge_stale(
    request: &RequestFacts,
    fresh: &Fresh,
    stale_at: Millis,
    now: Millis,
) -> (Verdict, Cause) {
    let stale_ms = now.since_ms(stale_at);
    // §4.2.4: prohibited in protocol, or by a request that wants fresh ones only.
    let prohibited = fresh.has(flag::MUST_REVALIDATE) || request.min_fresh_s.is_some();
    if !prohibited {
        if request.max_age_s.is_none() && within(stale_ms, fresh.swr_s) {
            return (Verdict::Stale { refresh: true }, Cause::WithinSwr);
        }
        if request
            .max_stale_s
            .is_some_and(|allowed| allowed == u32::MAX || stale_ms / 1000 <= u64::from(allowed))
        {
            return (Verdict::Stale { refresh: false }, Cause::MaxStale);
        }
    }
    let soft = stale_at < fresh_until(fresh);
    (Verdict::Validate, if soft { Cause::SoftPurged } else { Cause::Expired })
}

/// Whether a stored response may be served although the origin failed to answer a validation
/// (RFC 9111 §4.2.4, RFC 5861 §4). For each waiter on its own: their requests differ.
pub fn stale_on_error(
    fresh: &Fresh,
    stale_since: Millis,
    request: &RequestFacts,
    purges: &PurgeState,
    now: Millis,
    _options: &Options,
) -> bool {
    if refused(request).is_some()
        || purges.forbids()
        || unauthorized(request, fresh)
        || fresh.has(flag::NO_CACHE)
        || request.no_cache
    {
        return false;
    }
    let stale_at = stale_at(fresh, stale_since, purges);
    if now < stale_at {
        // Still fresh: the validation was only a wish of the client.
        return true;
    }
    let window_s = request.stale_if_error_s.unwrap_or(fresh.sie_s);
    !fresh.has(flag::MUST_REVALIDATE) && within(now.since_ms(stale_at), window_s)
}

/// A window of seconds that begins with staleness; its end is outside.
const fn within(stale_ms: u64, window_s: u32) -> bool {
    stale_ms < window_s as u64 * 1000
}

/// When the lifetime ends, or ended.
pub const fn fresh_until(fresh: &Fresh) -> Millis {
    let end = fresh.received.plus_s(fresh.lifetime_s as u64).0;
    Millis(end.saturating_sub(fresh.age_s as u64 * 1000))
}

/// When the response becomes stale: at the end of its lifetime, or by a soft purge before it.
/// A purge can only shorten.
pub fn stale_at(fresh: &Fresh, stale_since: Millis, purges: &PurgeState) -> Millis {
    let until = fresh_until(fresh).min(stale_since);
    match purges.soft {
        Some((_, accepted)) => until.min(accepted),
        None => until,
    }
}

/// Seconds until the response becomes stale; zero or less once it is.
fn ttl(fresh: &Fresh, stale_since: Millis, purges: &PurgeState, now: Millis) -> i64 {
    let stale_at = stale_at(fresh, stale_since, purges);
    if now < stale_at {
        // Rounded up: the age is rounded down.
        stale_at.since_ms(now).div_ceil(1000).cast_signed()
    } else {
        -(now.since_ms(stale_at) / 1000).cast_signed()
    }
}

#[cfg(test)]
#[path = "reuse_tests.rs"]
mod tests;
