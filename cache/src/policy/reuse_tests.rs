use super::*;
use crate::invalidate::Position;

/// The response was received here, in seconds.
const T0: u64 = 1_000_000;

fn at(seconds: u64) -> Millis {
    Millis((T0 + seconds) * 1000)
}

fn fresh(lifetime_s: u32, flags: u16) -> Fresh {
    Fresh { received: at(0), age_s: 0, lifetime_s, swr_s: 0, sie_s: 0, flags, status: 200 }
}

const NO_PURGE: PurgeState = PurgeState { hard: None, soft: None, local: false };

fn ask(request: &RequestFacts, fresh: &Fresh, purges: &PurgeState, now: Millis) -> Judgement {
    judge(request, Some((fresh, Millis::MAX)), purges, now, &Options::default())
}

fn plain(fresh: &Fresh, seconds: u64) -> (Verdict, Cause) {
    let got = ask(&RequestFacts::default(), fresh, &NO_PURGE, at(seconds));
    (got.verdict, got.cause)
}

fn with(request: RequestFacts, fresh: &Fresh, seconds: u64) -> (Verdict, Cause) {
    let got = ask(&request, fresh, &NO_PURGE, at(seconds));
    (got.verdict, got.cause)
}

#[test]
fn s4_2_fresh_below_the_lifetime_and_expired_from_it_on() {
    assert_eq!(plain(&fresh(10, 0), 9), (Verdict::Fresh, Cause::Fresh));
    assert_eq!(plain(&fresh(10, 0), 10), (Verdict::Validate, Cause::Expired));
    assert_eq!(plain(&fresh(0, 0), 0), (Verdict::Validate, Cause::Expired));
    let aged = Fresh { age_s: 7, ..fresh(10, 0) };
    assert_eq!(plain(&aged, 2).0, Verdict::Fresh);
    assert_eq!(plain(&aged, 3).0, Verdict::Validate);
    let got = ask(&RequestFacts::default(), &aged, &NO_PURGE, at(2));
    assert_eq!((got.age_s, got.ttl_s), (Some(9), Some(1)));
    let got = ask(&RequestFacts::default(), &aged, &NO_PURGE, at(8));
    assert_eq!((got.age_s, got.ttl_s), (Some(15), Some(-5)));
}

#[test]
fn s3_3_what_lacks_bytes_is_never_used_as_it_is() {
    let usable = [fresh(10, 0), Fresh { swr_s: 60, ..fresh(0, 0) }, fresh(0, 0)];
    let only = RequestFacts { only_if_cached: true, ..RequestFacts::default() };
    for stored in &usable {
        for (request, verdict) in
            [(RequestFacts::default(), Verdict::Validate), (only, Verdict::Unsatisfied)]
        {
            let judged = incomplete(ask(&request, stored, &NO_PURGE, at(1)), &request);
            assert_eq!(judged.verdict, verdict);
            assert!(request.only_if_cached || judged.cause == Cause::Partial);
        }
    }
    let purged = PurgeState { hard: Some(Position(1)), ..NO_PURGE };
    let request = RequestFacts::default();
    let judged = incomplete(ask(&request, &usable[0], &purged, at(1)), &request);
    assert_eq!((judged.verdict, judged.cause), (Verdict::Absent, Cause::HardPurged));
}

#[test]
fn s4_extreme_values_do_not_overflow() {
    let fresh = Fresh {
        received: Millis::MAX,
        age_s: u32::MAX,
        lifetime_s: u32::MAX,
        swr_s: u32::MAX,
        sie_s: u32::MAX,
        flags: 0,
        status: 200,
    };
    for now in [Millis(0), Millis::MAX] {
        ask(&RequestFacts::default(), &fresh, &NO_PURGE, now);
    }
    let born = Fresh { received: Millis(0), ..fresh };
    ask(&RequestFacts::default(), &born, &NO_PURGE, Millis::MAX);
}

#[test]
fn s4_methods_and_content_that_the_cache_has_no_part_in() {
    let judged = |method, has_body| {
        let request = RequestFacts { method, has_body, ..RequestFacts::default() };
        with(request, &fresh(10, 0), 1)
    };
    assert_eq!(judged(MethodClass::Head, false).0, Verdict::Fresh);
    assert_eq!(judged(MethodClass::Unsafe, false), (Verdict::Bypass, Cause::Method));
    assert_eq!(judged(MethodClass::OtherSafe, false), (Verdict::Bypass, Cause::Method));
    assert_eq!(judged(MethodClass::Get, true), (Verdict::Bypass, Cause::RequestBody));
}

#[test]
fn s5_2_2_4_no_cache_is_validated_although_fresh() {
    assert_eq!(plain(&fresh(10, flag::NO_CACHE), 1), (Verdict::Validate, Cause::NoCache));
}

#[test]
fn s5_2_1_the_wishes_of_a_request() {
    let wish = RequestFacts::default();
    let fresh = fresh(100, 0);
    let no_cache = RequestFacts { no_cache: true, ..wish };
    assert_eq!(with(no_cache, &fresh, 1), (Verdict::Validate, Cause::RequestNoCache));
    let max_age = RequestFacts { max_age_s: Some(5), ..wish };
    assert_eq!(with(max_age, &fresh, 5).0, Verdict::Fresh);
    assert_eq!(with(max_age, &fresh, 6), (Verdict::Validate, Cause::RequestMaxAge));
    let min_fresh = RequestFacts { min_fresh_s: Some(40), ..wish };
    assert_eq!(with(min_fresh, &fresh, 60).0, Verdict::Fresh);
    assert_eq!(with(min_fresh, &fresh, 61), (Verdict::Validate, Cause::RequestMinFresh));
    let no_store = RequestFacts { no_store: true, ..wish };
    assert_eq!(with(no_store, &fresh, 1).0, Verdict::Fresh, "§5.2.1.5: it forbids storing only");
}

#[test]
fn s5_2_1_2_max_stale_is_allowed_where_staleness_is_not_prohibited() {
    let request = RequestFacts { max_stale_s: Some(5), ..RequestFacts::default() };
    let stale = (Verdict::Stale { refresh: false }, Cause::MaxStale);
    assert_eq!(with(request, &fresh(10, 0), 15), stale);
    assert_eq!(with(request, &fresh(10, 0), 16), (Verdict::Validate, Cause::Expired));
    let any = RequestFacts { max_stale_s: Some(u32::MAX), ..request };
    assert_eq!(with(any, &fresh(10, 0), 9_999_999_999), stale);
    assert_eq!(with(any, &fresh(10, flag::MUST_REVALIDATE), 16).0, Verdict::Validate);
    assert_eq!(with(any, &fresh(10, flag::NO_CACHE), 16).0, Verdict::Validate);
    let fussy = RequestFacts { min_fresh_s: Some(0), ..any };
    assert_eq!(with(fussy, &fresh(10, 0), 16).0, Verdict::Validate);
}

#[test]
fn r5861_3_stale_while_revalidate() {
    let windowed = Fresh { swr_s: 5, ..fresh(10, 0) };
    let refreshing = (Verdict::Stale { refresh: true }, Cause::WithinSwr);
    assert_eq!(plain(&windowed, 10), refreshing);
    assert_eq!(plain(&windowed, 14), refreshing);
    assert_eq!(plain(&windowed, 15), (Verdict::Validate, Cause::Expired));
    let bound = Fresh { flags: flag::MUST_REVALIDATE, ..windowed };
    assert_eq!(plain(&bound, 10).0, Verdict::Validate);
    let max_age = RequestFacts { max_age_s: Some(999), ..RequestFacts::default() };
    assert_eq!(with(max_age, &windowed, 10).0, Verdict::Validate, "§5.2.1.1: no stale response");
}

#[test]
fn s3_5_a_request_with_authorization_needs_a_shareable_response() {
    let request = RequestFacts { authorization: true, ..RequestFacts::default() };
    assert_eq!(with(request, &fresh(10, 0), 1), (Verdict::Bypass, Cause::Authorization));
    assert_eq!(with(request, &fresh(10, flag::SHARED_AUTHORIZED), 1).0, Verdict::Fresh);
}

#[test]
fn s5_2_1_7_only_if_cached() {
    let request = RequestFacts { only_if_cached: true, ..RequestFacts::default() };
    assert_eq!(with(request, &fresh(10, 0), 1).0, Verdict::Fresh);
    assert_eq!(with(request, &fresh(10, 0), 11).0, Verdict::Unsatisfied);
    let got = judge(&request, None, &NO_PURGE, at(0), &Options::default());
    assert_eq!((got.verdict, got.cause), (Verdict::Unsatisfied, Cause::NothingStored));
    let got = judge(&RequestFacts::default(), None, &NO_PURGE, at(0), &Options::default());
    assert_eq!((got.verdict, got.age_s, got.ttl_s), (Verdict::Absent, None, None));
    // Also where the cache has no part in it, but not for a method that means the origin.
    let content = RequestFacts { has_body: true, ..request };
    assert_eq!(with(content, &fresh(10, 0), 1), (Verdict::Unsatisfied, Cause::RequestBody));
    let authorized = RequestFacts { authorization: true, ..request };
    assert_eq!(with(authorized, &fresh(10, 0), 1).0, Verdict::Unsatisfied);
    let unsafe_method = RequestFacts { method: MethodClass::Unsafe, ..request };
    assert_eq!(with(unsafe_method, &fresh(10, 0), 1).0, Verdict::Bypass);
}

#[test]
fn a_hard_purge_and_an_unsafe_method_make_the_bytes_unusable() {
    let hard = PurgeState { hard: Some(Position(1)), ..NO_PURGE };
    let got = ask(&RequestFacts::default(), &fresh(10, 0), &hard, at(1));
    assert_eq!((got.verdict, got.cause), (Verdict::Absent, Cause::HardPurged));
    let local = PurgeState { local: true, ..NO_PURGE };
    let got = ask(&RequestFacts::default(), &fresh(10, 0), &local, at(1));
    assert_eq!((got.verdict, got.cause), (Verdict::Absent, Cause::Invalidated));
    for purges in [hard, local] {
        let stored = Fresh { sie_s: 99, ..fresh(10, 0) };
        assert!(!on_error(&RequestFacts::default(), &stored, &purges, 1));
    }
}

#[test]
fn a_soft_purge_starts_the_stale_windows_and_never_lengthens_them() {
    let windowed = Fresh { swr_s: 60, ..fresh(86_400, 0) };
    let soft = |seconds| PurgeState { soft: Some((Position(1), at(seconds))), ..NO_PURGE };
    let asked = |purges: &PurgeState, now| {
        let got = ask(&RequestFacts::default(), &windowed, purges, at(now));
        (got.verdict, got.cause)
    };
    assert_eq!(asked(&soft(60), 60), (Verdict::Stale { refresh: true }, Cause::WithinSwr));
    assert_eq!(asked(&soft(60), 120), (Verdict::Validate, Cause::SoftPurged));
    assert_eq!(asked(&soft(99_999), 86_459).0, Verdict::Stale { refresh: true });
    assert_eq!(asked(&soft(99_999), 86_460), (Verdict::Validate, Cause::Expired));
    // The same when the sweep has written it into the record.
    let got = judge(
        &RequestFacts::default(),
        Some((&windowed, at(60))),
        &NO_PURGE,
        at(120),
        &Options::default(),
    );
    assert_eq!((got.verdict, got.ttl_s), (Verdict::Validate, Some(-60)));
}

fn on_error(request: &RequestFacts, fresh: &Fresh, purges: &PurgeState, seconds: u64) -> bool {
    stale_on_error(fresh, Millis::MAX, request, purges, at(seconds), &Options::default())
}

#[test]
fn r5861_4_stale_if_error() {
    let plain = RequestFacts::default();
    let windowed = Fresh { sie_s: 5, ..fresh(10, 0) };
    assert!(on_error(&plain, &windowed, &NO_PURGE, 9));
    assert!(on_error(&plain, &windowed, &NO_PURGE, 14));
    assert!(!on_error(&plain, &windowed, &NO_PURGE, 15));
    assert!(!on_error(&plain, &fresh(10, 0), &NO_PURGE, 10));
    let asking = RequestFacts { stale_if_error_s: Some(3), ..plain };
    assert!(on_error(&asking, &fresh(10, 0), &NO_PURGE, 12));
    assert!(!on_error(&asking, &windowed, &NO_PURGE, 13), "the request's own value counts");
}

#[test]
fn s4_2_4_where_staleness_is_prohibited_errors_do_not_allow_it() {
    let plain = RequestFacts::default();
    for flags in [flag::MUST_REVALIDATE, flag::NO_CACHE] {
        let stored = Fresh { sie_s: 99, flags, ..fresh(10, 0) };
        assert!(!on_error(&plain, &stored, &NO_PURGE, 10));
    }
    let stored = Fresh { sie_s: 99, ..fresh(10, 0) };
    for request in [
        RequestFacts { no_cache: true, ..plain },
        RequestFacts { authorization: true, ..plain },
        RequestFacts { method: MethodClass::Unsafe, ..plain },
    ] {
        assert!(!on_error(&request, &stored, &NO_PURGE, 10));
    }
    let soft = PurgeState { soft: Some((Position(1), at(0))), ..NO_PURGE };
    assert!(on_error(&plain, &stored, &soft, 98) && !on_error(&plain, &stored, &soft, 99));
}

#[test]
fn a_fresh_record_stays_small() {
    assert_eq!(size_of::<Fresh>(), 32);
}
