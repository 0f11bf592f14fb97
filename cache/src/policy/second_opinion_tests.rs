//! Where the second opinion is known to differ, as data; and everywhere else it must agree.

use http::{HeaderMap, HeaderName, Method};
use http_cache_semantics::BeforeRequest;
use proptest::prelude::*;

use super::*;
use crate::Millis;
use crate::invalidate::PurgeState;
use crate::policy::cache_control::request_facts;
use crate::policy::reuse::judge;
use crate::policy::storable::storable;
use crate::policy::{Cause, Options, Verdict, flag};

const NOW: u64 = 1_800_000_000;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let value = match value.strip_prefix('@') {
            Some(offset) => {
                date::format(NOW.saturating_add_signed(offset.parse().expect("an offset")))
            }
            None => HeaderValue::from_str(value).expect("test value"),
        };
        map.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
    }
    map
}

fn response(status: u16, headers: &HeaderMap) -> OriginResponse<'_> {
    OriginResponse {
        status: StatusCode::from_u16(status).expect("a code"),
        headers,
        requested: Millis(NOW * 1000),
        received: Millis(NOW * 1000),
    }
}

/// Its view of the fields as they came, before we normalise: seconds of freshness, or `None` when
/// it would not store.
fn raw(status: u16, fields: &[(&str, &str)]) -> Option<u64> {
    let mut answered = Response::new(());
    *answered.status_mut() = StatusCode::from_u16(status).expect("a code");
    *answered.headers_mut() = headers(fields);
    let at = UNIX_EPOCH + Duration::from_secs(NOW);
    let policy =
        CachePolicy::new_options(&Request::new(()), &answered, at, CacheOptions::default());
    policy.is_storable().then(|| policy.time_to_live(at).as_secs())
}

/// Ours: seconds of freshness left at receipt (0 with `no-cache`), or `None`.
fn ours(status: u16, fields: &[(&str, &str)]) -> Option<u64> {
    let headers = headers(fields);
    let response = response(status, &headers);
    let fresh = storable(&RequestFacts::default(), &response, &Options::default()).ok()?.fresh;
    let left = fresh.lifetime_s.saturating_sub(fresh.age_s);
    Some(if fresh.has(flag::NO_CACHE) { 0 } else { u64::from(left) })
}

const CC: &str = "cache-control";

/// A known deviation: why, status, fields, its view, ours.
type Deviation =
    (&'static str, u16, &'static [(&'static str, &'static str)], Option<u64>, Option<u64>);

/// Known deviations on fields as they come. When an update of the crate mends one, this test says
/// so and the special case in `second_opinion` can go.
const DEVIATIONS: &[Deviation] = &[
    ("names in any case", 200, &[(CC, "No-Store, max-age=60")], Some(60), None),
    ("names in any case", 200, &[(CC, "Private, max-age=60")], Some(60), None),
    ("names in any case", 200, &[(CC, "Max-Age=60")], Some(0), Some(60)),
    ("quotes", 200, &[(CC, "ext=\"a, no-store, b\", max-age=60")], None, Some(60)),
    ("saturation", 200, &[(CC, "max-age=99999999999999999999")], Some(0), Some(4_294_967_295)),
    ("proxy-revalidate is fresh", 200, &[(CC, "max-age=60, proxy-revalidate")], Some(0), Some(60)),
    ("cookies", 200, &[(CC, "max-age=60"), ("set-cookie", "a=b")], Some(0), Some(60)),
    ("apparent age", 200, &[(CC, "max-age=60"), ("date", "@-7200")], Some(60), Some(0)),
    ("first Age", 200, &[(CC, "max-age=60"), ("age", "30, 40")], Some(60), Some(30)),
    ("asctime", 200, &[("expires", "Mon Aug  8 02:01:18 2050")], Some(0), Some(743_536_878)),
    (
        "guess without bound",
        200,
        &[("last-modified", "@-864000000")],
        Some(86_400_001),
        Some(86_400),
    ),
    ("star in a list", 200, &[(CC, "max-age=60"), ("vary", "accept, *")], Some(60), None),
    ("unknown status", 599, &[(CC, "max-age=60")], None, Some(60)),
    ("unknown status", 403, &[(CC, "max-age=60")], None, Some(60)),
    ("must-understand", 200, &[(CC, "max-age=60, must-understand, no-store")], None, Some(60)),
    ("qualified private", 200, &[(CC, "max-age=60, private=\"x\"")], None, Some(60)),
    ("qualified no-cache", 200, &[(CC, "max-age=60, no-cache=\"x\"")], Some(0), Some(60)),
    ("targeted", 200, &[(CC, "no-store"), ("cdn-cache-control", "max-age=60")], None, Some(60)),
    ("invented lifetime", 200, &[(CC, "immutable"), ("etag", "\"a\"")], Some(86_400), Some(0)),
    ("nothing to use", 200, &[], Some(0), None),
];

#[test]
fn known_deviations_are_these() {
    for (why, status, fields, theirs, we) in DEVIATIONS {
        assert_eq!(raw(*status, fields), *theirs, "theirs: {why}: {fields:?}");
        assert_eq!(ours(*status, fields), *we, "ours: {why}: {fields:?}");
        assert_ne!(theirs, we, "no deviation any more: {why}: {fields:?}");
    }
}

#[test]
fn the_stricter_reading_wins() {
    // A lifetime that we would have read wrongly is cut to the other's.
    let headers = headers(&[(CC, "max-age=60")]);
    let response = response(200, &headers);
    let effective = Effective::of(&headers, &Options::default());
    let lifetime = Lifetime { seconds: 600, source: super::super::freshness::Source::MaxAge };
    let fresh = Fresh {
        received: response.received,
        age_s: 10,
        lifetime_s: 600,
        swr_s: 0,
        sie_s: 0,
        flags: 0,
        status: 200,
    };
    let request = RequestFacts::default();
    assert_eq!(hear(&request, &response, &effective, &fresh, lifetime), Ok(60));
    // And a refusal of the other is a refusal.
    let mut forbidden = effective;
    forbidden.directives.private = true;
    let got = hear(&request, &response, &forbidden, &fresh, lifetime);
    assert_eq!(got, Err(NotStorable::Contradictory));
}

/// Where `judge` is stricter than the second opinion on a normalised pair.
const STRICTER: &[Allowed] = &[
    ("§5.2.2.4: no-cache is a flag of ours, left out of the normalised form", |p| {
        p.ours == Cause::NoCache
    }),
    ("§5.2.2.8, §5.2.2.10: max-stale ends at proxy-revalidate and s-maxage", |p| {
        p.request.max_stale_s.is_some() && p.fresh.has(flag::MUST_REVALIDATE)
    }),
    ("§5.2.1.3: with min-fresh nothing stale is wanted, max-stale or not", |p| {
        p.request.max_stale_s.is_some() && p.request.min_fresh_s == Some(0)
    }),
];

/// Where it is more generous.
const MORE_GENEROUS: &[Allowed] = &[
    ("§5.2.1.2: exceeded by no more than max-stale, equality included", |p| {
        p.ours == Cause::MaxStale && p.stale_s == i64::from(p.request.max_stale_s.unwrap_or(0))
    }),
    ("RFC 5861 is unknown to it", |p| p.ours == Cause::WithinSwr),
];

type Allowed = (&'static str, fn(&Pair) -> bool);

struct Pair {
    request: RequestFacts,
    fresh: Fresh,
    ours: Cause,
    stale_s: i64,
}

fn directives() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        (0u32..40).prop_map(|n| format!("max-age={n}")),
        (0u32..40).prop_map(|n| format!("s-maxage={n}")),
        (0u32..40).prop_map(|n| format!("stale-while-revalidate={n}")),
        Just("public".to_owned()),
        Just("must-revalidate".to_owned()),
        Just("proxy-revalidate".to_owned()),
        Just("no-cache".to_owned()),
        Just("private".to_owned()),
        Just("no-store".to_owned()),
    ];
    proptest::collection::vec(one, 0..4).prop_map(|all| all.join(", "))
}

fn wishes() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        (0u32..40).prop_map(|n| format!("max-age={n}")),
        (0u32..40).prop_map(|n| format!("min-fresh={n}")),
        (0u32..40).prop_map(|n| format!("max-stale={n}")),
        Just("max-stale".to_owned()),
        Just("no-cache".to_owned()),
    ];
    proptest::collection::vec(one, 0..3).prop_map(|mut all| {
        // Of a repeated directive it takes the first, we the stricter: not asked here.
        let mut seen = Vec::new();
        all.retain(|one| {
            let name = one.split('=').next().unwrap_or_default().to_owned();
            let new = !seen.contains(&name);
            seen.push(name);
            new
        });
        all.join(", ")
    })
}

/// Inputs of one run; `SELVEDGE_SECOND_OPINION_CASES=3000000` asks millions.
fn cases() -> ProptestConfig {
    let wanted = std::env::var("SELVEDGE_SECOND_OPINION_CASES").ok();
    ProptestConfig::with_cases(wanted.map_or(4000, |text| text.parse().expect("a number")))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn judge_agrees_with_the_second_opinion(
        control in directives(),
        wish in wishes(),
        status in prop_oneof![Just(200u16), Just(404), Just(302), Just(599)],
        expires in proptest::option::of(-40i64..40),
        date in proptest::option::of(-40i64..40),
        age in proptest::option::of(0u32..40),
        modified in proptest::option::of(-900i64..0),
        authorization: bool,
        passed_s in 0u64..90,
    ) {
        let mut head = headers(&[("etag", "\"a\"")]);
        head.insert(CACHE_CONTROL, HeaderValue::from_str(&control).expect("words"));
        let at = |offset: i64| date::format(NOW.saturating_add_signed(offset));
        expires.map(|offset| head.insert(EXPIRES, at(offset)));
        date.map(|offset| head.insert(DATE, at(offset)));
        modified.map(|offset| head.insert(LAST_MODIFIED, at(offset)));
        age.map(|seconds| head.insert(AGE, HeaderValue::from(seconds)));
        let response = response(status, &head);
        let options = Options::default();

        let mut asked = Request::new(());
        if !wish.is_empty() {
            asked.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_str(&wish).expect("words"));
        }
        if authorization {
            asked.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("x"));
        }
        let request = request_facts(&Method::GET, asked.headers(), false, &options);
        let Ok(stored) = storable(&request, &response, &options) else { return Ok(()) };

        let effective = Effective::of(&head, &options);
        let lifetime = crate::policy::freshness::lifetime(&response, &effective, &options);
        let theirs = policy(&request, &response, &effective, &stored.fresh, lifetime);
        let now = UNIX_EPOCH + Duration::from_secs(NOW + passed_s);
        let they_serve = matches!(theirs.before_request(&asked, now), BeforeRequest::Fresh(_));

        let now = Millis((NOW + passed_s) * 1000);
        let purges = PurgeState::default();
        let got = judge(&request, Some((&stored.fresh, Millis::MAX)), &purges, now, &options);
        let we_serve = matches!(got.verdict, Verdict::Fresh | Verdict::Stale { .. });
        if we_serve == they_serve {
            return Ok(());
        }
        let stale_s = -got.ttl_s.unwrap_or_default();
        let pair = Pair { request, fresh: stored.fresh, ours: got.cause, stale_s };
        prop_assert!(
            if we_serve { MORE_GENEROUS } else { STRICTER }.iter().any(|(_, holds)| holds(&pair)),
            "we {we_serve} ({:?}), they {they_serve}: {control} / {wish} / {:?}",
            got.cause,
            stored.fresh,
        );
    }
}
