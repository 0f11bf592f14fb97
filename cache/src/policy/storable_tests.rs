use http::header::HeaderValue;

use super::*;
use crate::Millis;
use crate::invalidate::scope::tag_hash;
use crate::policy::date;

/// When responses are received, in Unix seconds; `@n` in a value is an HTTP date n seconds later.
const NOW: u64 = 1_800_000_000;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let value = match value.strip_prefix('@') {
            Some(offset) => {
                date::format(NOW.saturating_add_signed(offset.parse().expect("an offset")))
            }
            None => HeaderValue::from_bytes(value.as_bytes()).expect("test value"),
        };
        map.append(http::HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
    }
    map
}

fn store_with(
    request: &RequestFacts,
    status: u16,
    fields: &[(&str, &str)],
    options: &Options,
) -> Result<Storable, NotStorable> {
    let headers = headers(fields);
    let response = OriginResponse {
        status: StatusCode::from_u16(status).expect("a code"),
        headers: &headers,
        requested: Millis(NOW * 1000),
        received: Millis(NOW * 1000),
    };
    storable(request, &response, options)
}

fn store(status: u16, fields: &[(&str, &str)]) -> Result<Storable, NotStorable> {
    store_with(&RequestFacts::default(), status, fields, &Options::default())
}

fn refusal(status: u16, fields: &[(&str, &str)]) -> Option<NotStorable> {
    store(status, fields).err()
}

const CC: &str = "cache-control";
const FRESH: (&str, &str) = (CC, "max-age=60");

#[test]
fn s3_a_plain_fresh_response_is_stored() {
    let got = store(200, &[FRESH, ("etag", "\"a\"")]).expect("storable");
    assert_eq!((got.fresh.lifetime_s, got.fresh.age_s), (60, 0));
    assert_eq!(got.fresh.flags, flag::ETAG_STRONG | flag::EXPLICIT);
    assert!(got.vary.is_empty() && got.tags.is_empty() && !got.tags_overflow);
}

#[test]
fn s3_the_request_must_allow_it() {
    let plain = RequestFacts::default();
    let of = |request: RequestFacts| store_with(&request, 200, &[FRESH], &Options::default()).err();
    let method = |method| of(RequestFacts { method, ..plain });
    assert_eq!(method(MethodClass::Head), Some(NotStorable::Method));
    assert_eq!(method(MethodClass::Unsafe), Some(NotStorable::Method));
    assert_eq!(of(RequestFacts { has_body: true, ..plain }), Some(NotStorable::Method));
    assert_eq!(of(RequestFacts { no_store: true, ..plain }), Some(NotStorable::RequestNoStore));
}

#[test]
fn r9110_9_3_3_a_post_may_stand_for_a_get() {
    let request =
        RequestFacts { method: MethodClass::Unsafe, has_body: true, ..RequestFacts::default() };
    let post = |status: u16, fields: &[(&str, &str)], same| {
        let headers = headers(fields);
        let response = OriginResponse {
            status: StatusCode::from_u16(status).expect("a code"),
            headers: &headers,
            requested: Millis(NOW * 1000),
            received: Millis(NOW * 1000),
        };
        storable_post(&request, &response, same, &Options::default()).err()
    };
    assert_eq!(post(200, &[FRESH], true), None);
    assert_eq!(post(200, &[FRESH], false), Some(NotStorable::Method));
    assert_eq!(post(201, &[FRESH], true), Some(NotStorable::Method));
    let modified = ("last-modified", "@-86400");
    assert_eq!(post(200, &[modified], true), Some(NotStorable::NoFreshness));
    assert_eq!(post(200, &[(CC, "max-age=9, private")], true), Some(NotStorable::Private));
}

#[test]
fn s3_any_final_status_with_explicit_freshness() {
    for status in [
        200, 201, 203, 204, 299, 301, 302, 303, 307, 308, 400, 403, 404, 410, 451, 499, 500, 502,
        503, 504, 599, 999,
    ] {
        assert_eq!(store(status, &[FRESH]).map(|s| s.fresh.lifetime_s), Ok(60), "{status}");
        assert!(store(status, &[("expires", "@60")]).is_ok(), "{status}");
    }
    for status in [100, 103, 206, 304, 407, 416, 421, 425, 428, 429, 431, 511] {
        assert_eq!(refusal(status, &[FRESH]), Some(NotStorable::Status), "{status}");
    }
}

#[test]
fn s3_without_explicit_freshness_the_status_decides() {
    let modified = ("last-modified", "@-86400");
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        let got = store(status, &[modified]).expect("heuristic").fresh;
        assert_eq!(got.lifetime_s, 8640, "{status}");
        assert!(got.has(flag::HEURISTIC) && got.has(flag::LAST_MODIFIED));
    }
    for status in [201, 202, 302, 403, 502, 503, 504, 599] {
        assert_eq!(refusal(status, &[modified]), Some(NotStorable::NoFreshness), "{status}");
        assert!(store(status, &[modified, (CC, "public")]).is_ok(), "{status}");
    }
}

#[test]
fn s3_what_can_never_be_used_is_not_stored() {
    let none = Some(NotStorable::NoFreshness);
    assert_eq!(refusal(200, &[]), none);
    assert_eq!(refusal(200, &[(CC, "max-age=0")]), none);
    assert_eq!(refusal(200, &[(CC, "max-age=60, no-cache")]), none);
    assert_eq!(refusal(200, &[("expires", "0")]), none);
    assert_eq!(refusal(200, &[("etag", "unquoted")]), none);
    assert_eq!(refusal(404, &[("etag", "\"a\"")]), none, "no error without freshness");
    for useful in [("etag", "W/\"a\""), ("last-modified", "@0")] {
        let fresh = store(200, &[useful]).expect("for its validator").fresh;
        assert_eq!(fresh.lifetime_s, 0);
        assert!(store(200, &[useful, (CC, "no-cache")]).expect("kept").fresh.has(flag::NO_CACHE));
    }
    assert!(store(200, &[(CC, "max-age=0, stale-if-error=9")]).is_ok());
}

#[test]
fn s5_2_2_5_no_store_and_s5_2_2_7_private() {
    assert_eq!(refusal(200, &[(CC, "max-age=60, NO-STORE")]), Some(NotStorable::NoStore));
    assert_eq!(refusal(200, &[FRESH, (CC, "Private")]), Some(NotStorable::Private));
    let got = store(200, &[FRESH, (CC, "private=\"x\"")]).expect("storable without x");
    assert_eq!(got.omitted_fields, ["x"]);
}

#[test]
fn s5_2_2_3_must_understand() {
    assert!(store(200, &[(CC, "max-age=60, must-understand, no-store")]).is_ok());
    let must = (CC, "max-age=60, must-understand");
    assert!(store(404, &[must]).is_ok());
    for unknown in [299, 499, 599] {
        assert_eq!(refusal(unknown, &[must]), Some(NotStorable::Status));
    }
    let broken = (CC, "max-age=60, must-understand;x, no-store");
    assert_eq!(refusal(200, &[broken]), Some(NotStorable::NoStore));
}

#[test]
fn s3_5_authorization() {
    let request = RequestFacts { authorization: true, ..RequestFacts::default() };
    let of = |value| store_with(&request, 200, &[(CC, value)], &Options::default());
    assert_eq!(of("max-age=60"), Err(NotStorable::Authorization));
    assert_eq!(of("max-age=60, proxy-revalidate"), Err(NotStorable::Authorization));
    for value in ["max-age=60, public", "max-age=60, must-revalidate", "s-maxage=60"] {
        assert!(of(value).expect("shareable").fresh.has(flag::SHARED_AUTHORIZED), "{value}");
    }
}

#[test]
fn s4_1_vary() {
    let got = store(200, &[FRESH, ("vary", "Foo, accept"), ("vary", "foo")]).expect("storable");
    assert_eq!(got.vary.0.as_ref(), ["accept", "foo"]);
    assert_eq!(refusal(200, &[FRESH, ("vary", "foo"), ("vary", "*")]), Some(NotStorable::VaryStar));
}

#[test]
fn s7_3_a_cookie_is_stored_only_with_explicit_freshness() {
    let cookie = ("set-cookie", "a=b");
    assert!(store(200, &[FRESH, cookie]).is_ok());
    let no = Some(NotStorable::SetCookie);
    assert_eq!(refusal(200, &[("last-modified", "@-86400"), cookie]), no);
    assert_eq!(refusal(200, &[("etag", "\"a\""), cookie]), no);
    assert_eq!(refusal(200, &[("etag", "\"a\""), (CC, "max-age=0"), cookie]), no);
    assert_eq!(refusal(200, &[("etag", "\"a\""), (CC, "max-age=9, no-cache"), cookie]), no);
    let options = Options { default_ttl_s: 60, ..Options::default() };
    let got = store_with(&RequestFacts::default(), 200, &[cookie], &options);
    assert_eq!(got.err(), no);
    let omitted = [(CC, "no-cache=\"set-cookie\""), ("last-modified", "@-86400"), cookie];
    assert!(store(200, &omitted).is_ok());
}

#[test]
fn s5_2_2_revalidation_directives_forbid_stale_windows() {
    let windows = "stale-while-revalidate=5, stale-if-error=6";
    let of = |value: &str, options: &Options| {
        let value = format!("{value}, {windows}");
        let etag = ("etag", "\"a\"");
        let got = store_with(&RequestFacts::default(), 200, &[(CC, &value), etag], options);
        let fresh = got.expect("storable").fresh;
        (fresh.swr_s, fresh.sie_s, fresh.has(flag::MUST_REVALIDATE))
    };
    let rfc = Options::default();
    assert_eq!(of("max-age=60", &rfc), (5, 6, false));
    for bound in ["max-age=60, must-revalidate", "max-age=60, proxy-revalidate", "s-maxage=60"] {
        assert_eq!(of(bound, &rfc), (0, 0, true), "{bound}");
    }
    let lenient = Options { stale_beside_s_maxage: true, ..Options::default() };
    assert_eq!(of("s-maxage=60", &lenient), (5, 6, false));
    assert_eq!(of("s-maxage=60, must-revalidate", &lenient), (0, 0, true));
}

#[test]
fn options_of_a_site() {
    let plain = RequestFacts::default();
    let options = Options {
        default_ttl_s: 30,
        default_swr_s: 7,
        default_sie_s: 8,
        heuristic_max_s: 100,
        ..Options::default()
    };
    let fresh = |fields: &[(&str, &str)]| {
        store_with(&plain, 200, fields, &options).expect("storable").fresh
    };
    let got = fresh(&[]);
    assert_eq!((got.lifetime_s, got.swr_s, got.sie_s), (30, 7, 8));
    assert!(got.has(flag::HEURISTIC) && !got.has(flag::EXPLICIT));
    assert_eq!(fresh(&[("last-modified", "@-86400")]).lifetime_s, 100);
    let got = fresh(&[(CC, "max-age=5, stale-while-revalidate=0, stale-if-error=x")]);
    assert_eq!((got.swr_s, got.sie_s), (0, 0), "what is named counts, invalid as 0");
    let got = fresh(&[(CC, "max-age=5, must-revalidate")]);
    assert_eq!((got.swr_s, got.sie_s), (0, 0));
}

#[test]
fn r9213_targeted_fields_replace_the_others() {
    let got = store(200, &[(CC, "no-store"), ("surrogate-control", "max-age=9;selvedge")]);
    assert_eq!(got.map(|s| s.fresh.lifetime_s), Ok(9));
    let got = refusal(200, &[FRESH, ("expires", "@60"), ("surrogate-control", "no-store")]);
    assert_eq!(got, Some(NotStorable::NoStore));
    let got = store(200, &[(CC, "max-age=1"), ("cdn-cache-control", "max-age=60, immutable")]);
    let fresh = got.expect("storable").fresh;
    assert!(fresh.lifetime_s == 60 && fresh.has(flag::IMMUTABLE));
}

#[test]
fn s4_2_3_age_counts_from_the_start() {
    let got = store(200, &[(CC, "max-age=3600"), ("age", "7200")]).expect("storable").fresh;
    assert_eq!((got.age_s, got.lifetime_s), (7200, 3600));
    let got = store(200, &[(CC, "max-age=3600"), ("date", "@-7200")]).expect("storable").fresh;
    assert_eq!(got.age_s, 7200);
    let got = store(200, &[(CC, "max-age=99999999999999")]).expect("storable").fresh;
    assert_eq!(got.lifetime_s, u32::MAX);
}

#[test]
fn tags_are_read_at_store_time() {
    let got = store(200, &[FRESH, ("surrogate-key", "a b"), ("cache-tag", "b")]).expect("ok");
    assert_eq!(got.tags.len(), 2);
    assert!(got.tags.contains(&tag_hash("a")));
}

#[test]
fn a_head_beyond_the_bound_is_not_stored() {
    let long = "x".repeat(HEAD_BYTES_MAX);
    assert_eq!(refusal(200, &[FRESH, ("x", &long)]), Some(NotStorable::TooLarge));
}

proptest::proptest! {
    #[test]
    fn whatever_an_origin_sends_is_judged_without_panic(
        status in 100u16..1000,
        control in "[ -~]{0,60}",
        vary in "[ -~]{0,20}",
        expires in "[ -~]{0,30}",
        age in "[ -~]{0,12}",
    ) {
        let fields =
            [(CC, &*control), ("vary", &vary), ("expires", expires.trim_start_matches('@')),
             ("age", age.trim_start_matches('@')), ("etag", "\"a\"")];
        let fields = fields.map(|(name, value)| (name, value.trim_start_matches('@')));
        if let Ok(stored) = store(status, &fields) {
            proptest::prop_assert!(!control.to_ascii_lowercase().split([',', ' ', ';']).any(|w| w == "no-store")
                || control.contains('"') || control.to_ascii_lowercase().contains("must-understand"));
            proptest::prop_assert!(stored.fresh.has(flag::ETAG_STRONG));
        }
    }
}
