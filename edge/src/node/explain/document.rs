//! An explanation as a JSON document.
//!
//! Words are those of `Cache-Status` and the access log. Points in time are RFC 3339 in UTC,
//! lengths of time whole seconds, positions of the ledger numbers. Every list is bounded where it
//! is made.

use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use http::header::DATE;
use selvedge_cache::Millis;
use selvedge_cache::cache::{Compared, Explanation, Place, VariantView, WayOn};
use selvedge_cache::directory::Record;
use selvedge_cache::fill::InFlight;
use selvedge_cache::head::StoredHead;
use selvedge_cache::invalidate::Marks;
use selvedge_cache::policy::date::DateField;
use selvedge_cache::policy::freshness::{age_value, lifetime};
use selvedge_cache::policy::targeted::Effective;
use selvedge_cache::policy::{OriginResponse, RequestFacts, flag};
use serde_json::{Value, json};

use crate::admit::Admitted;
use crate::decide::Plan;
use crate::lookup::Way;
use crate::origin::OriginStatus;
use crate::respond::cache_status::Forward;
use crate::telemetry::access_log::format::rfc3339_ms;

/// The whole document.
pub(super) fn of(
    admitted: &Admitted,
    plan: &Plan,
    told: &Explanation,
    origins: &[OriginStatus],
) -> Value {
    let stored = told.record.as_ref().map(|record| stored(record, plan, told));
    json!({
        "asked": time(told.now),
        "request": {
            "method": admitted.method.as_str(),
            "url": format!("{}://{}{}", admitted.scheme, admitted.host(), admitted.target()),
            "directives": directives(&plan.facts),
        },
        "site": &*plan.site.name,
        "key": {
            "hash": plan.key.to_string(),
            "site": &*plan.site.name,
            "scheme": admitted.scheme,
            "host": admitted.host(),
            "path": plan.target.path(),
            "query": plan.target.query(),
            "query_rule": plan.site.key.to_string(),
        },
        "now": now(plan, told),
        "outlook": told.outlook.iter().map(|span| json!({
            "from": time(span.from),
            "until": span.until.map(time),
            "verdict": span.verdict.name(),
            "detail": span.cause.token(),
        })).collect::<Vec<_>>(),
        "stands_in_for_errors_until": told.stands_in_until.map(time),
        "stored": stored,
        "variants": told.variants.iter().map(variant).collect::<Vec<_>>(),
        "purges": purges(told),
        "fetches": told.fills.iter().map(fetch).collect::<Vec<_>>(),
        "origins": origins.iter().map(|origin| json!({
            "name": &*origin.name,
            "healthy": origin.healthy,
        })).collect::<Vec<_>>(),
        "filters_not_asked": !plan.site.filters.is_empty(),
    })
}

/// What would be done with the request at this moment.
fn now(plan: &Plan, told: &Explanation) -> Value {
    let judgement = &told.judgement;
    let usable = told.record.is_some() && !judgement.purges.forbids();
    let validators = flag::ETAG_STRONG | flag::ETAG_WEAK | flag::LAST_MODIFIED;
    let validated = told.record.as_ref().is_some_and(|record| record.fresh.has(validators));
    let way = Way::of(judgement.verdict, usable, &plan.facts);
    let (cache, action, status) = match (way, told.way_on) {
        (Way::Stored(outcome), _) => (outcome.name(), "answer from the cache", None),
        (Way::Unsatisfied, _) => ("error", "refuse", Some(StatusCode::GATEWAY_TIMEOUT.as_u16())),
        (Way::Pass, _) | (Way::Fetch, WayOn::Alone(_)) => {
            ("pass", "ask the origin for this request alone", None)
        }
        (Way::Fetch, WayOn::Join) => ("collapsed", "wait for a fetch under way", None),
        (Way::Fetch, WayOn::Fetch) if usable && validated => {
            ("revalidated", "ask the origin whether it still holds", None)
        }
        (Way::Fetch, WayOn::Fetch) => ("miss", "fetch from the origin", None),
    };
    let detail = match (way, told.way_on) {
        (Way::Fetch, WayOn::Alone(cause)) => cause,
        _ => judgement.cause,
    };
    json!({
        "verdict": judgement.verdict.name(),
        "detail": detail.token(),
        "cache": cache,
        "action": action,
        "status": status,
        "forward": match way {
            Way::Stored(_) => None,
            _ => Forward::because(detail).map(Forward::token),
        },
        "until": told.outlook.first().and_then(|span| span.until).map(time),
        "ttl_s": judgement.ttl_s,
    })
}

fn stored(record: &Record, plan: &Plan, told: &Explanation) -> Value {
    let fresh = &record.fresh;
    json!({
        "status": fresh.status,
        "bytes": record.length,
        "received": time(fresh.received),
        "ttl": told.head.as_ref().map_or_else(
            || json!({"seconds": fresh.lifetime_s, "set_by": null, "why": "the head cannot be read"}),
            |head| ttl(record, head, plan),
        ),
        "age": age(record, told.head.as_ref(), told.now),
        "stale_while_revalidate_s": fresh.swr_s,
        "stale_if_error_s": fresh.sie_s,
        "must_revalidate": fresh.has(flag::MUST_REVALIDATE),
        "no_cache": fresh.has(flag::NO_CACHE),
        "immutable": fresh.has(flag::IMMUTABLE),
        "may_answer_authorized": fresh.has(flag::SHARED_AUTHORIZED),
        "validators": {
            "etag": match () {
                () if fresh.has(flag::ETAG_STRONG) => Some("strong"),
                () if fresh.has(flag::ETAG_WEAK) => Some("weak"),
                () => None,
            },
            "last_modified": fresh.has(flag::LAST_MODIFIED),
        },
        "place": told.place.as_ref().map(place),
    })
}

/// What set the lifetime: the stored head read by the same functions as when it was stored. Under
/// rules that were changed since, they may say another number than the record: that is told.
fn ttl(record: &Record, head: &StoredHead, plan: &Plan) -> Value {
    let fresh = &record.fresh;
    let response = OriginResponse {
        status: head.status,
        headers: &head.headers,
        requested: fresh.received,
        received: fresh.received,
    };
    let options = plan.site.options_for(plan.target.path(), head.status, &head.headers);
    let effective = Effective::of(&head.headers, &options);
    let said = lifetime(&response, &effective, &options);
    let bounded =
        if said.source.is_explicit() { options.bounded_s(said.seconds) } else { said.seconds };
    let field = match said.source.name() {
        "s-maxage" | "max-age" => Some(effective.field.as_str()),
        "expires" => Some("expires"),
        "heuristic" => Some("last-modified"),
        _ => None,
    };
    let bound = match () {
        () if bounded == said.seconds => None,
        () if bounded == options.ttl_max_s => Some("ttl.max"),
        () => Some("ttl.min"),
    };
    json!({
        "seconds": fresh.lifetime_s,
        "set_by": said.source.name(),
        "field": field,
        "said_s": said.seconds,
        "bounded_by": bound,
        "rules_changed_since": bounded != fresh.lifetime_s,
    })
}

/// RFC 9111 §4.2.3, addend by addend.
fn age(record: &Record, head: Option<&StoredHead>, now: Millis) -> Value {
    let fresh = &record.fresh;
    let received_s = fresh.received.unix_s();
    let date = head.and_then(|head| match DateField::of(&head.headers, DATE) {
        DateField::Valid { earliest, .. } => Some(earliest),
        DateField::Absent | DateField::Invalid => None,
    });
    let apparent_s = head.map(|_| received_s.saturating_sub(date.unwrap_or(received_s)));
    let field_s = head.map(|head| age_value(&head.headers));
    // The delay is not kept; where the field and it make up the initial age it is what is left.
    let delay_s = match (apparent_s, field_s) {
        (Some(apparent), Some(field)) if u64::from(fresh.age_s) > apparent => {
            Some(fresh.age_s.saturating_sub(field))
        }
        _ => None,
    };
    json!({
        "date": date.map(|s| time(Millis(s.saturating_mul(1000)))),
        "apparent_s": apparent_s,
        "age_field_s": field_s,
        "response_delay_s": delay_s,
        "initial_s": fresh.age_s,
        "resident_s": now.since_ms(fresh.received) / 1000,
        "now_s": fresh.age_at(now),
    })
}

fn place(place: &Place) -> Value {
    json!({
        "tier": place.name(),
        "inline": place.inline,
        "chunks": place.chunks,
        "chunks_in_memory": place.in_memory,
        "chunks_on_disk": place.on_disk,
    })
}

fn variant(variant: &VariantView) -> Value {
    let selecting: Vec<Value> = variant
        .selecting
        .iter()
        .map(|(name, value)| json!({"field": name.as_str(), "request": value}))
        .collect();
    json!({
        "fits": variant.fits,
        "selecting": selecting,
        "status": variant.status,
        "bytes": variant.length,
        "received": time(variant.received),
    })
}

fn purges(told: &Explanation) -> Value {
    let Compared { ledger, in_force, floor, since, local, scopes } = &told.compared;
    let state = &told.judgement.purges;
    let marks = |marks: &Option<Marks>| {
        marks.map(|marks| {
            let position = |at: u64| (at > 0).then_some(at);
            json!({"hard": position(marks.hard.0), "soft": position(marks.soft.0)})
        })
    };
    let record = told.record.as_ref();
    json!({
        "ledger": format!("{:016x}", ledger.0),
        "position": in_force.0,
        "floor": floor.0,
        "fetched_under": record.map(|record| record.sent.0),
        "validated_under": record.map(|record| record.validated.0),
        "compared_from": since.map(|position| position.0),
        "selected_by": {
            "hard": state.hard.map(|position| position.0),
            "soft": state.soft.map(|(position, _)| position.0),
            "soft_since": state.soft.map(|(_, at)| time(at)),
            "unsafe_method": state.local,
        },
        "unsafe_methods_seen": local,
        "tags_overflow": record.map(|record| record.tags_overflow),
        "scopes": scopes.iter().map(|scope| json!({
            "kind": scope.kind,
            "value": scope.value,
            "all_sites": marks(&scope.all_sites),
            "own_site": marks(&scope.own_site),
        })).collect::<Vec<_>>(),
    })
}

fn fetch(fill: &InFlight) -> Value {
    json!({
        "may_be_joined": fill.admits,
        "sent_under": fill.sent.map(|sent| sent.position.0),
        "status": fill.status.map(|status| status.as_u16()),
        "bytes": fill.length,
        "received_bytes": fill.received_bytes,
        "readers": fill.readers,
    })
}

fn directives(facts: &RequestFacts) -> Value {
    json!({
        "no_cache": facts.no_cache,
        "no_store": facts.no_store,
        "only_if_cached": facts.only_if_cached,
        "max_age_s": facts.max_age_s,
        "min_fresh_s": facts.min_fresh_s,
        "max_stale_s": facts.max_stale_s,
        "stale_if_error_s": facts.stale_if_error_s,
        "authorization": facts.authorization,
    })
}

/// RFC 3339; `null` where time ends.
fn time(at: Millis) -> Value {
    let Some(wall) = UNIX_EPOCH.checked_add(Duration::from_millis(at.0)) else {
        return Value::Null;
    };
    // Four digits of a year are what RFC 3339 has room for.
    if at.0 > 253_402_300_799_999 {
        return Value::Null;
    }
    let mut text = Vec::with_capacity(24);
    rfc3339_ms(&mut text, wall);
    String::from_utf8(text).map_or(Value::Null, Value::from)
}
