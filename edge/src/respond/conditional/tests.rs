use http::header::{
    ACCEPT_RANGES, DATE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    RANGE,
};
use selvedge_cache::Millis;

use super::*;

const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn fields(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name, HeaderValue::from_str(value).expect("a valid value"));
    }
    map
}

fn stored() -> HeaderMap {
    fields(&[(ETAG, "\"v1\""), (LAST_MODIFIED, MODIFIED), (DATE, NEW), (CONTENT_TYPE, "a/b")])
}

const PART: Shape = Shape::Partial(ByteRange { first: 0, last: 0 });

fn get(request: &[(HeaderName, &str)], headers: &HeaderMap) -> Shape {
    let stored = Stored { status: StatusCode::OK, headers, received: Millis(0) };
    shape(&Method::GET, &fields(request), &stored, Some(100))
}

fn shaped(method: &Method, request: &HeaderMap, status: StatusCode, length: Option<u64>) -> Shape {
    shape(method, request, &Stored { status, headers: &stored(), received: Millis(0) }, length)
}

#[test]
fn a_request_without_conditions_gets_all() {
    assert_eq!(get(&[], &stored()), Shape::Full);
}

#[test]
fn conditions_come_before_the_range_in_the_order_of_13_2_2() {
    let ask = |condition: (HeaderName, &str)| get(&[condition, (RANGE, "bytes=0-0")], &stored());
    assert_eq!(ask((IF_NONE_MATCH, "\"v1\"")), Shape::NotModified);
    assert_eq!(ask((IF_MODIFIED_SINCE, MODIFIED)), Shape::NotModified);
    assert_eq!(ask((IF_MATCH, "\"v2\"")), Shape::PreconditionFailed);
    assert_eq!(ask((IF_UNMODIFIED_SINCE, OLD)), Shape::PreconditionFailed);
    assert_eq!(ask((IF_NONE_MATCH, "\"v2\"")), PART);
}

#[test]
fn a_range_gives_a_part_only_where_it_may() {
    let request = fields(&[(RANGE, "bytes=10-19")]);
    let ask = |method: Method, status: u16, length: Option<u64>| {
        let status = StatusCode::from_u16(status).expect("a status");
        shaped(&method, &request, status, length)
    };
    assert_eq!(ask(Method::GET, 200, Some(100)), Shape::Partial(ByteRange { first: 10, last: 19 }));
    assert_eq!(ask(Method::GET, 200, Some(10)), Shape::Unsatisfiable);
    assert_eq!(ask(Method::GET, 200, None), Shape::Full);
    assert_eq!(ask(Method::HEAD, 200, Some(100)), Shape::Full);
    assert_eq!(ask(Method::GET, 203, Some(100)), Shape::Full);
    assert_eq!(ask(Method::GET, 404, Some(100)), Shape::Full);
    assert_eq!(ask(Method::POST, 200, Some(100)), Shape::Full);
    let twice = [(RANGE, "bytes=0-0"), (RANGE, "bytes=5-5")];
    assert_eq!(get(&twice, &stored()), Shape::Full);
}

#[test]
fn a_part_is_given_only_of_the_version_that_if_range_names() {
    let ask =
        |range: &str, validator: &str| get(&[(RANGE, range), (IF_RANGE, validator)], &stored());
    assert_eq!(ask("bytes=0-0", "\"v1\""), PART);
    assert_eq!(ask("bytes=0-0", "\"v2\""), Shape::Full);
    // A range that cannot be satisfied is not looked at if the version is another.
    assert_eq!(ask("bytes=500-", "\"v2\""), Shape::Full);
    assert_eq!(ask("bytes=500-", "\"v1\""), Shape::Unsatisfiable);
}

#[test]
fn a_range_that_does_not_count_gives_all() {
    let many = |count: u64| {
        let ranges: Vec<_> = (0..count).map(|at| format!("{}-{}", at * 4, at * 4)).collect();
        get(&[(RANGE, &format!("bytes={}", ranges.join(",")))], &stored())
    };
    assert!(matches!(many(RANGES_MAX as u64), Shape::Parts(parts) if parts.len() == RANGES_MAX));
    assert_eq!(many(RANGES_MAX as u64 + 1), Shape::Full);
    assert_eq!(get(&[(RANGE, "lines=0-1")], &stored()), Shape::Full);
}

#[test]
fn conditions_count_only_for_success_and_for_safe_reads() {
    let request = fields(&[(IF_NONE_MATCH, "*"), (IF_MATCH, "\"other\"")]);
    for status in [StatusCode::NOT_FOUND, StatusCode::MOVED_PERMANENTLY] {
        assert_eq!(shaped(&Method::GET, &request, status, None), Shape::Full);
    }
    assert_eq!(shaped(&Method::PUT, &request, StatusCode::OK, None), Shape::Full);
    let head = fields(&[(IF_NONE_MATCH, "\"v1\"")]);
    assert_eq!(shaped(&Method::HEAD, &head, StatusCode::OK, None), Shape::NotModified);
}

#[test]
fn heads_are_reshaped() {
    let full = || {
        let mut head = stored();
        head.insert(CONTENT_LENGTH, HeaderValue::from_static("100"));
        head.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        head.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        head
    };
    let (mut status, mut head) = (StatusCode::OK, full());
    reshape(&Shape::NotModified, &mut status, &mut head, Some(100), || 0);
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    assert!(!head.contains_key(CONTENT_LENGTH) && !head.contains_key(CONTENT_ENCODING));
    assert!(
        head.contains_key(ETAG) && head.contains_key(DATE) && !head.contains_key(CONTENT_LENGTH)
    );
    // What a validation changed must reach the caches behind us.
    assert_eq!(head[CONTENT_TYPE], "a/b");
    assert!(!head.contains_key(LAST_MODIFIED));

    let (mut status, mut head) = (StatusCode::OK, full());
    reshape(
        &Shape::Partial(ByteRange { first: 10, last: 19 }),
        &mut status,
        &mut head,
        Some(100),
        || 0,
    );
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(head[CONTENT_RANGE], "bytes 10-19/100");
    assert_eq!(head[CONTENT_LENGTH], "10");

    let (mut status, mut head) = (StatusCode::OK, full());
    let shape = get(&[(RANGE, "bytes=0-1,90-")], &stored());
    let multipart = reshape(&shape, &mut status, &mut head, Some(100), || 5).expect("two parts");
    assert_eq!(status, StatusCode::PARTIAL_CONTENT);
    assert!(!head.contains_key(CONTENT_RANGE), "only the parts have one (RFC 9110 §15.3.7.2)");
    assert_eq!(head[CONTENT_LENGTH], multipart.content_length().to_string());
    let first = multipart.head(0).expect("a head for each part");
    assert!(first.ends_with(b"Content-Type: a/b\r\nContent-Range: bytes 0-1/100\r\n\r\n"));
}
