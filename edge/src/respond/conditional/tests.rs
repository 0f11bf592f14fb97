use http::header::ACCEPT_RANGES;

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

fn get(request: &[(HeaderName, &str)], stored: &HeaderMap) -> Shape {
    shape(&Method::GET, &fields(request), StatusCode::OK, stored, Some(100))
}

#[test]
fn a_request_without_conditions_gets_all() {
    assert_eq!(get(&[], &stored()), Shape::Full);
}

#[test]
fn if_none_match_compares_weakly_and_beats_the_date() {
    for value in ["\"v1\"", "W/\"v1\"", "\"x,\", \"v1\"", "*", " \"a\" ,,W/\"v1\""] {
        assert_eq!(get(&[(IF_NONE_MATCH, value)], &stored()), Shape::NotModified, "{value}");
    }
    for value in ["\"v2\"", "v1", "\"x, \"v1\"\"", "", "\"*\"", "w/\"v1\""] {
        let request = [(IF_NONE_MATCH, value), (IF_MODIFIED_SINCE, NEW)];
        assert_eq!(get(&request, &stored()), Shape::Full, "{value}");
    }
    let two_lines = [(IF_NONE_MATCH, "\"v0\""), (IF_NONE_MATCH, "\"v1\"")];
    assert_eq!(get(&two_lines, &stored()), Shape::NotModified);
    // An origin that forgets the quotes gets back what it gave.
    let unquoted = fields(&[(ETAG, "v1")]);
    assert_eq!(get(&[(IF_NONE_MATCH, "v1")], &unquoted), Shape::NotModified);
    assert_eq!(get(&[(IF_MATCH, "v1")], &unquoted), Shape::PreconditionFailed);
}

#[test]
fn if_modified_since_uses_last_modified_or_else_the_date() {
    assert_eq!(get(&[(IF_MODIFIED_SINCE, MODIFIED)], &stored()), Shape::NotModified);
    assert_eq!(get(&[(IF_MODIFIED_SINCE, OLD)], &stored()), Shape::Full);
    assert_eq!(get(&[(IF_MODIFIED_SINCE, "yesterday")], &stored()), Shape::Full);
    let twice = [(IF_MODIFIED_SINCE, NEW), (IF_MODIFIED_SINCE, NEW)];
    assert_eq!(get(&twice, &stored()), Shape::Full);
    let dated = fields(&[(DATE, MODIFIED)]);
    assert_eq!(get(&[(IF_MODIFIED_SINCE, MODIFIED)], &dated), Shape::NotModified);
    assert_eq!(get(&[(IF_MODIFIED_SINCE, NEW)], &HeaderMap::new()), Shape::Full);
}

#[test]
fn if_match_and_if_unmodified_since_guard() {
    assert_eq!(get(&[(IF_MATCH, "\"v1\"")], &stored()), Shape::Full);
    assert_eq!(get(&[(IF_MATCH, "*")], &stored()), Shape::Full);
    assert_eq!(get(&[(IF_MATCH, "W/\"v1\"")], &stored()), Shape::PreconditionFailed);
    assert_eq!(
        get(&[(IF_MATCH, "\"v2\""), (IF_NONE_MATCH, "*")], &stored()),
        Shape::PreconditionFailed
    );
    assert_eq!(get(&[(IF_UNMODIFIED_SINCE, OLD)], &stored()), Shape::PreconditionFailed);
    assert_eq!(get(&[(IF_UNMODIFIED_SINCE, MODIFIED)], &stored()), Shape::Full);
    // If-Match comes first and alone.
    let both = [(IF_MATCH, "\"v1\""), (IF_UNMODIFIED_SINCE, OLD)];
    assert_eq!(get(&both, &stored()), Shape::Full);
    let weak = fields(&[(ETAG, "W/\"v1\"")]);
    assert_eq!(get(&[(IF_MATCH, "W/\"v1\"")], &weak), Shape::PreconditionFailed);
}

#[test]
fn a_range_gives_a_part_only_where_it_may() {
    let request = fields(&[(RANGE, "bytes=10-19")]);
    let ask = |method: Method, status: u16, length: Option<u64>| {
        let status = StatusCode::from_u16(status).expect("a status");
        shape(&method, &request, status, &stored(), length)
    };
    assert_eq!(ask(Method::GET, 200, Some(100)), Shape::Partial { start: 10, end: 19 });
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
fn if_range_asks_for_exactly_the_version_we_hold() {
    let ask = |validator: &str, stored: &HeaderMap| {
        get(&[(RANGE, "bytes=0-0"), (IF_RANGE, validator)], stored)
    };
    let part = Shape::Partial { start: 0, end: 0 };
    assert_eq!(ask("\"v1\"", &stored()), part);
    assert_eq!(ask("\"v2\"", &stored()), Shape::Full);
    assert_eq!(ask("W/\"v1\"", &stored()), Shape::Full);
    assert_eq!(ask("W/\"v1\"", &fields(&[(ETAG, "W/\"v1\"")])), Shape::Full);
    assert_eq!(ask(MODIFIED, &stored()), part);
    assert_eq!(ask(OLD, &stored()), Shape::Full);
    assert_eq!(ask(NEW, &stored()), Shape::Full);
    assert_eq!(ask("nonsense", &stored()), Shape::Full);
    // Modified in the second in which it was sent: not a strong validator.
    let hasty = fields(&[(LAST_MODIFIED, MODIFIED), (DATE, MODIFIED)]);
    assert_eq!(ask(MODIFIED, &hasty), Shape::Full);
    // A range that cannot be satisfied is not looked at if the version is another.
    let request = [(RANGE, "bytes=500-"), (IF_RANGE, "\"v2\"")];
    assert_eq!(get(&request, &stored()), Shape::Full);
    let twice = [(RANGE, "bytes=0-0"), (IF_RANGE, "\"v1\""), (IF_RANGE, "\"v1\"")];
    assert_eq!(get(&twice, &stored()), Shape::Full);
}

#[test]
fn conditions_count_only_for_success_and_for_safe_reads() {
    let request = fields(&[(IF_NONE_MATCH, "*"), (IF_MATCH, "\"other\"")]);
    for status in [StatusCode::NOT_FOUND, StatusCode::MOVED_PERMANENTLY] {
        assert_eq!(shape(&Method::GET, &request, status, &stored(), None), Shape::Full);
    }
    assert_eq!(shape(&Method::PUT, &request, StatusCode::OK, &stored(), None), Shape::Full);
    let head = fields(&[(IF_NONE_MATCH, "\"v1\"")]);
    assert_eq!(shape(&Method::HEAD, &head, StatusCode::OK, &stored(), None), Shape::NotModified);
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
    assert!(head.contains_key(ETAG) && head.contains_key(DATE) && !head.contains_key(CONTENT_TYPE));
    assert!(!head.contains_key(LAST_MODIFIED));

    let (mut status, mut head) = (StatusCode::OK, full());
    reshape(&Shape::Partial { start: 10, end: 19 }, &mut status, &mut head, Some(100), || 0);
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
