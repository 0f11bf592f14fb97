//! Fuzz targets for every reader of a field value, and of a stored head.
//!
//! Under `cargo test` each runs its corpus (`__fuzz__`, small, committed) and a thousand random
//! inputs; `cargo bolero test NAME` runs one for as long as one likes. An input whose first byte is
//! even is taken as it is; in an odd one each byte picks a word, so that grammar is reached without
//! a coverage map. Beside "no panic" each target holds what must be true of any input.

use bolero::check;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use http::{Method, StatusCode};
use selvedge_cache::policy::cache_control::{Directives, request_facts};
use selvedge_cache::policy::freshness::{age_value, initial_age, lifetime};
use selvedge_cache::policy::tags::Tags;
use selvedge_cache::policy::targeted::Effective;
use selvedge_cache::policy::validation::{Conditional, EntityTag, Precondition, Stored, evaluate};
use selvedge_cache::policy::{Options, OriginResponse, RequestFacts, date, storable};
use selvedge_cache::range::request::parse_value;
use selvedge_cache::range::{ByteRange, ContentRange, Resolved};
use selvedge_cache::variant::{Vary, normalize, vary};
use selvedge_cache::{Millis, head};

const NOW: Millis = Millis(1_800_000_000_000);

const WORDS: [&str; 48] = [
    ",",
    ";",
    "=",
    "\"",
    "\\",
    " ",
    "\t",
    "*",
    "-",
    "/",
    "0",
    "1",
    "9",
    "10",
    "4294967296",
    "99999999999999999999",
    "max-age",
    "s-maxage",
    "no-cache",
    "no-store",
    "private",
    "public",
    "must-revalidate",
    "must-understand",
    "immutable",
    "stale-while-revalidate",
    "stale-if-error",
    "max-stale",
    "only-if-cached",
    "W/",
    "\"a\"",
    "bytes=",
    "bytes ",
    "0-",
    "-5",
    "1-2",
    "(",
    ")",
    "?1",
    ":AA==:",
    "content",
    "accept",
    "x-a",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "+600",
    "selvedge",
    "q=0.5",
    "é",
];

/// The bytes of a value: as they are, or as words.
fn value_bytes(input: &[u8]) -> Vec<u8> {
    match input {
        [first, rest @ ..] if first % 2 == 1 => {
            rest.iter().flat_map(|byte| WORDS[*byte as usize % WORDS.len()].bytes()).collect()
        }
        [_, rest @ ..] => rest.to_vec(),
        [] => Vec::new(),
    }
}

/// Up to four lines of a field, cut at line feeds; what cannot stand in a value is a space.
fn lines(name: &HeaderName, input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in value_bytes(input).split(|byte| *byte == b'\n').take(4) {
        let fits = |byte: &u8| if *byte < 0x20 || *byte == 0x7f { b' ' } else { *byte };
        let line: Vec<u8> = line.iter().map(fits).collect();
        headers.append(name, HeaderValue::from_bytes(&line).expect("no control bytes"));
    }
    headers
}

fn response(headers: &HeaderMap) -> OriginResponse<'_> {
    OriginResponse { status: StatusCode::OK, headers, requested: NOW, received: NOW }
}

#[test]
fn cache_control() {
    check!().for_each(|input: &[u8]| {
        let headers = lines(&CACHE_CONTROL, input);
        let read = Directives::of(&headers);
        // A restriction on a line of its own is heard, whatever stands on the others.
        let mut more = headers.clone();
        more.append(CACHE_CONTROL, HeaderValue::from_static("no-store, private, max-age=0"));
        let strict = Directives::of(&more);
        assert!(strict.no_store && strict.private && strict.max_age_s == Some(0));
        // Of several values the smallest: more lines never make a lifetime longer.
        assert!(read.max_age_s.is_none() || strict.max_age_s <= read.max_age_s);
        assert!(strict.s_maxage_s == read.s_maxage_s && strict.no_cache == read.no_cache);
        request_facts(&Method::GET, &headers, false, &Options::default());
    });
}

#[test]
fn storing() {
    check!().for_each(|input: &[u8]| {
        let mut headers = lines(&CACHE_CONTROL, input);
        let (request, options) = (RequestFacts::default(), Options::default());
        let stored = storable::storable(&request, &response(&headers), &options);
        if let Ok(stored) = &stored {
            assert!(stored.fresh.age_s == 0 && stored.omitted_fields.len() <= 64);
        }
        // Whatever was said: with no-store on a line of its own it is not stored.
        headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let directives = Directives::of(&headers);
        let stored = storable::storable(&request, &response(&headers), &options);
        assert!(stored.is_err() || directives.must_understand);
    });
}

#[test]
fn targeted_fields() {
    check!().for_each(|input: &[u8]| {
        for name in ["cdn-cache-control", "surrogate-control"] {
            let name = HeaderName::from_static(name);
            let mut headers = lines(&name, input);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=7"));
            let options = Options::default();
            let effective = Effective::of(&headers, &options);
            // Either it speaks alone, or it is as if it were absent (RFC 9213 §2.2).
            if !effective.targeted {
                assert_eq!(effective.directives.max_age_s, Some(7));
            }
            lifetime(&response(&headers), &effective, &options);
        }
    });
}

#[test]
fn dates() {
    check!().for_each(|input: &[u8]| {
        let bytes = value_bytes(input);
        let Ok(text) = std::str::from_utf8(&bytes) else { return };
        if let Some(unix_s) = date::parse_str(text) {
            assert_eq!(date::parse(&date::format(unix_s)), Some(unix_s), "{text}");
        }
        let headers = lines(&DATE, input);
        initial_age(&response(&headers));
    });
}

#[test]
fn age() {
    check!().for_each(|input: &[u8]| {
        let headers = lines(&AGE, input);
        let seconds = age_value(&headers);
        assert!(initial_age(&response(&headers)) >= seconds);
    });
}

#[test]
fn vary_names() {
    check!().for_each(|input: &[u8]| {
        let mut headers = lines(&VARY, input);
        if let Ok(read) = Vary::of(&headers) {
            assert!(read.0.len() <= vary::NAMES_MAX);
            assert!(read.0.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        }
        headers.append(VARY, HeaderValue::from_static("*"));
        assert!(Vary::of(&headers).is_err());
    });
}

#[test]
fn selecting_values() {
    check!().for_each(|input: &[u8]| {
        for name in ["accept-encoding", "accept-language", "cookie", "x-any"] {
            let name = HeaderName::from_static(name);
            let headers = lines(&name, input);
            let mut value = normalize::Buffer::new();
            assert!(normalize::selecting_value(&name, &headers, &mut value));
            assert!(!value.is_empty(), "how it was read stands first");
        }
    });
}

#[test]
fn entity_tags() {
    check!().for_each(|input: &[u8]| {
        let mut stored = lines(&ETAG, input);
        let is_one = EntityTag::of_head(&stored).is_some();
        let conditional = Conditional::from_stored(&[&stored]);
        assert_eq!(conditional.if_none_match.is_some(), is_one);
        let answer = |request: &HeaderMap, stored: &HeaderMap| {
            let stored = Stored { status: StatusCode::OK, headers: stored, received: NOW };
            evaluate(&Method::GET, request, &stored)
        };
        // A client that gives back what it got has what we have.
        if let Some(tag) = conditional.if_none_match {
            let request = HeaderMap::from_iter([(IF_NONE_MATCH, tag)]);
            assert_eq!(answer(&request, &stored), Precondition::NotModified);
        }
        // As lists: a star alone fits whatever is stored.
        stored.insert(ETAG, HeaderValue::from_static("\"a\""));
        answer(&lines(&IF_NONE_MATCH, input), &stored);
        answer(&lines(&IF_MATCH, input), &stored);
    });
}

#[test]
fn modification_dates() {
    check!().for_each(|input: &[u8]| {
        let stored = lines(&LAST_MODIFIED, input);
        let conditional = Conditional::from_stored(&[&stored]);
        if let Some(asked) = conditional.if_modified_since {
            assert!(date::parse(&asked).is_some());
        }
    });
}

#[test]
fn ranges() {
    check!().with_type::<(u64, Vec<u8>)>().for_each(|(length, input)| {
        let Some(asked) = parse_value(&value_bytes(input), 8) else { return };
        if let Resolved::Satisfiable(ranges) = asked.resolve(*length) {
            assert!(!ranges.is_empty() && ranges.len() <= 8);
            let total: u64 = ranges.iter().map(ByteRange::len).sum();
            assert!(total <= *length, "never more than the whole");
            assert!(ranges.iter().all(|range| range.first <= range.last && range.last < *length));
        }
    });
}

#[test]
fn content_ranges() {
    check!().for_each(|input: &[u8]| {
        let Some(read) = ContentRange::parse(&value_bytes(input)) else { return };
        assert_eq!(ContentRange::parse(read.to_value().as_bytes()), Some(read));
        assert!(
            ContentRange::of(&HeaderMap::from_iter([(CONTENT_RANGE, read.to_value())])).is_some()
        );
    });
}

#[test]
fn tags() {
    check!().for_each(|input: &[u8]| {
        for name in ["surrogate-key", "cache-tag", "cache-groups"] {
            let tags = Tags::of(&lines(&HeaderName::from_static(name), input), 5);
            assert!(tags.hashes.len() <= 5 && tags.hashes.is_sorted());
        }
    });
}

#[test]
fn stored_heads() {
    check!().for_each(|input: &[u8]| {
        // From a disk: any bytes are a head or none.
        let block = bytes::Bytes::copy_from_slice(input);
        if let Some((read, _)) = head::decode_again(&block) {
            assert!(read.headers.len() <= head::FIELDS_MAX);
        }
    });
}
