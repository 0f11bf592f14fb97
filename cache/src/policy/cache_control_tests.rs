use http::header::HeaderValue;

use super::*;

fn response(lines: &[&str]) -> Directives {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(CACHE_CONTROL, HeaderValue::from_str(line).expect("test value"));
    }
    Directives::of(&headers)
}

fn request(fields: &[(&'static str, &str)]) -> RequestFacts {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("test value"));
    }
    request_facts(&Method::GET, &headers, false, &Options::default())
}

#[test]
fn s5_2_names_are_case_insensitive_and_lines_are_one_list() {
    let got = response(&["No-StOrE", "MaX-aGe=60, PUBLIC", "Private"]);
    assert!(got.no_store && got.public && got.private);
    assert_eq!(got.max_age_s, Some(60));
}

#[test]
fn s4_2_1_of_two_values_the_smaller_counts() {
    for lines in [&["max-age=1, max-age=1800"][..], &["max-age=1800", "max-age=1"][..]] {
        assert_eq!(response(lines).max_age_s, Some(1));
    }
    assert_eq!(response(&["max-age=60, max-age=x"]).max_age_s, Some(0));
}

#[test]
fn s4_2_1_an_invalid_lifetime_is_stale() {
    for bad in [
        "max-age",
        "max-age=",
        "max-age=-3600",
        "max-age=3600.0",
        "max-age='3600'",
        "max-age =3600",
        "max-age= 3600",
        "max-age=3600;x",
        "max-age=\"3600",
        "max-age=\"\"",
    ] {
        assert_eq!(response(&[bad]).max_age_s, Some(0), "{bad}");
    }
    assert_eq!(response(&["max-age=\"60\""]).max_age_s, Some(60));
    assert_eq!(response(&["max-age=99999999999"]).max_age_s, Some(u32::MAX));
}

#[test]
fn s5_2_quoted_extensions_do_not_speak() {
    let got = response(&[r#"ext="max-age=3600, no-store", max-age=1"#]);
    assert_eq!((got.max_age_s, got.no_store), (Some(1), false));
    let got = response(&[r#"max-age=1, ext="max-age=3600\", private""#]);
    assert_eq!((got.max_age_s, got.private), (Some(1), false));
}

#[test]
fn s5_2_restrictions_are_read_from_broken_members_and_permissions_are_not() {
    assert!(response(&["no-cache no-store"]).no_store);
    assert!(response(&["max-age=60;private"]).max_age_s == Some(0));
    assert!(response(&["max-age=60; private"]).private);
    assert!(response(&["ext=\"a, no-store"]).no_store);
    assert!(response(&["no-store=1"]).no_store && response(&["private;x"]).private);
    assert!(!response(&["public;x"]).public && !response(&["immutable x"]).immutable);
}

#[test]
fn s5_2_2_4_qualified_no_cache_and_private_omit_fields() {
    let got = response(&[r#"no-cache="a, B" , private="set-cookie""#]);
    assert!(!got.no_cache && !got.private);
    let names: Vec<_> = got.omitted_fields.iter().map(HeaderName::as_str).collect();
    assert_eq!(names, ["a", "b", "set-cookie"]);
}

#[test]
fn s5_2_2_4_a_list_that_cannot_be_followed_counts_as_unqualified() {
    let long = format!("no-cache=\"{}\"", "a,".repeat(OMITTED_FIELDS_MAX + 1));
    for value in
        [r#"no-cache="""#, r#"no-cache="a b""#, "no-cache=a", r#"no-cache="content-type""#, &long]
    {
        let got = response(&[value]);
        assert!(got.no_cache, "{value}");
        assert!(got.omitted_fields.is_empty(), "{value}");
    }
}

#[test]
fn s5_2_1_request_directives() {
    let got = request(&[(
        "cache-control",
        "max-age=60, MIN-FRESH=5, max-stale, stale-if-error=9, only-if-cached, no-store",
    )]);
    assert_eq!(got.max_age_s, Some(60));
    assert_eq!(got.min_fresh_s, Some(5));
    assert_eq!(got.max_stale_s, Some(u32::MAX));
    assert_eq!(got.stale_if_error_s, Some(9));
    assert!(got.only_if_cached && got.no_store && !got.no_cache);
    assert_eq!(request(&[("cache-control", "max-stale=7, max-stale")]).max_stale_s, Some(7));
}

#[test]
fn s5_2_1_odd_request_values_do_not_force_a_miss() {
    let got = request(&[("cache-control", "max-age=x, min-fresh=-1, max-stale=\"")]);
    assert_eq!(got, RequestFacts::default());
}

#[test]
fn s5_4_pragma_speaks_only_without_cache_control() {
    assert!(request(&[("pragma", "No-Cache")]).no_cache);
    assert!(!request(&[("pragma", "x-no-cache")]).no_cache);
    assert!(!request(&[("pragma", "no-cache"), ("cache-control", "max-age=1")]).no_cache);
}

#[test]
fn option_ignore_request_cache_control() {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic x"));
    let options = Options { ignore_request_cache_control: true, ..Options::default() };
    let got = request_facts(&Method::HEAD, &headers, true, &options);
    assert!(!got.no_cache && got.authorization && got.has_body);
    assert_eq!(got.method, MethodClass::Head);
}

proptest::proptest! {
    #[test]
    fn the_parser_never_panics_and_always_ends(line in proptest::collection::vec(0u8.., 0..200)) {
        let mut directives = Directives::default();
        directives.add_line(&line);
    }

    #[test]
    fn a_restriction_is_found_whatever_stands_before_it(junk in "[ !#-~]{0,40}") {
        // Only a closed quoted string may swallow it: no quotes here.
        let mut directives = Directives::default();
        directives.add_line(format!("{junk}, no-store").as_bytes());
        proptest::prop_assert!(directives.no_store);
    }
}
