use super::*;

const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("test value"));
    }
    headers
}

fn ask(request: &[(&'static str, &str)], stored: &[(&'static str, &str)]) -> Precondition {
    ask_status(200, request, stored)
}

fn ask_status(
    status: u16,
    request: &[(&'static str, &str)],
    stored: &[(&'static str, &str)],
) -> Precondition {
    let headers = map(stored);
    let status = StatusCode::from_u16(status).expect("a code");
    let stored = Stored { status, headers: &headers, received: Millis(784_111_777_000) };
    evaluate(&Method::GET, &map(request), &stored)
}

#[test]
fn r9110_8_8_3_entity_tags_are_read_strictly() {
    let tag = |value: &str| {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("test value");
        EntityTag::of(&value).map(|tag| (tag.weak, tag.opaque.to_vec()))
    };
    assert_eq!(tag("\"a\""), Some((false, b"a".to_vec())));
    assert_eq!(tag(" W/\"a\" "), Some((true, b"a".to_vec())));
    assert_eq!(tag("\"\""), Some((false, Vec::new())));
    assert_eq!(tag("\"fü\""), Some((false, "fü".as_bytes().to_vec())));
    for bad in ["", "a", "\"a", "a\"", "w/\"a\"", "W\"a\"", "W\\\"a\"", "\"a\"b", "\"a b\"", "*"] {
        assert_eq!(tag(bad), None, "{bad}");
    }
    assert_eq!(EntityTag::of_head(&map(&[("etag", "\"a\""), ("etag", "\"b\"")])), None);
}

#[test]
fn s4_3_1_the_conditions_that_are_sent() {
    let both = map(&[("etag", "W/\"a\""), ("last-modified", CHANGED)]);
    let sent = Conditional::from_stored(&[&both]);
    assert_eq!(sent.if_none_match.as_ref().map(HeaderValue::as_bytes), Some(&b"W/\"a\""[..]));
    assert_eq!(
        sent.if_modified_since.as_ref().map(HeaderValue::as_bytes),
        Some(CHANGED.as_bytes())
    );

    let other = map(&[("etag", "\"b\"")]);
    let unquoted = map(&[("etag", "c")]);
    let sent = Conditional::from_stored(&[&both, &other, &unquoted]);
    assert_eq!(sent.if_none_match.expect("two tags"), "W/\"a\", \"b\"");
    assert_eq!(sent.if_modified_since, None);

    let nothing = map(&[("etag", "c"), ("last-modified", "then")]);
    assert!(Conditional::from_stored(&[&nothing]).is_empty());
    let many = vec![&other; TAGS_OFFERED_MAX + 5];
    let sent = Conditional::from_stored(&many).if_none_match.expect("tags");
    assert_eq!(sent.as_bytes().split(|b| *b == b',').count(), TAGS_OFFERED_MAX);
}

#[test]
fn s4_3_1_the_clients_conditions_and_range_are_replaced() {
    let mut request = map(&[
        ("if-none-match", "\"client\""),
        ("if-modified-since", CHANGED),
        ("if-match", "*"),
        ("if-range", "\"x\""),
        ("range", "bytes=0-1"),
        ("accept", "a"),
    ]);
    Conditional::from_stored(&[&map(&[("etag", "\"a\"")])]).apply(&mut request);
    assert_eq!(request, map(&[("accept", "a"), ("if-none-match", "\"a\"")]));
}

#[test]
fn s4_3_3_what_an_answer_means() {
    use ValidationReply::{Contradiction, Full, NotModified, ServerError};
    let stored = map(&[("etag", "\"a\""), ("last-modified", CHANGED)]);
    let sent = Conditional::from_stored(&[&stored]);
    let reply = |status: u16, fields: &[(&'static str, &str)]| {
        let status = StatusCode::from_u16(status).expect("a code");
        read_reply(status, &map(fields), &sent, &[&stored])
    };
    assert_eq!(reply(200, &[]), Full);
    assert_eq!(reply(404, &[]), Full);
    assert_eq!(reply(501, &[]), Full);
    for status in [500, 502, 503, 504] {
        assert_eq!(reply(status, &[]), ServerError);
    }
    assert_eq!(reply(304, &[]), NotModified { base: 0 });
    assert_eq!(reply(304, &[("etag", "\"a\"")]), NotModified { base: 0 });
    assert_eq!(reply(304, &[("last-modified", CHANGED)]), NotModified { base: 0 });
    assert_eq!(reply(304, &[("last-modified", AFTER)]), Contradiction);
    assert_eq!(reply(304, &[("etag", "\"b\"")]), Contradiction);
    assert_eq!(reply(304, &[("etag", "b")]), Contradiction);
    assert_eq!(reply(304, &[("etag", "W/\"a\"")]), NotModified { base: 0 });
    let unasked = read_reply(
        StatusCode::NOT_MODIFIED,
        &HeaderMap::new(),
        &Conditional::default(),
        &[&HeaderMap::new()],
    );
    assert_eq!(unasked, Contradiction);
}

#[test]
fn s4_3_4_which_of_several_is_updated() {
    let (a, b, weak) =
        (map(&[("etag", "\"a\"")]), map(&[("etag", "\"b\"")]), map(&[("etag", "W/\"a\"")]));
    let offered = [&b, &weak, &a];
    let sent = Conditional::from_stored(&offered);
    let reply = |fields: &[(&'static str, &str)]| {
        read_reply(StatusCode::NOT_MODIFIED, &map(fields), &sent, &offered)
    };
    assert_eq!(reply(&[("etag", "\"a\"")]), ValidationReply::NotModified { base: 2 });
    assert_eq!(reply(&[("etag", "W/\"a\"")]), ValidationReply::NotModified { base: 1 });
    assert_eq!(reply(&[]), ValidationReply::Contradiction);
}

#[test]
fn r9110_13_1_2_if_none_match_is_compared_weakly() {
    use Precondition::{NotModified, Proceed};
    let strong = &[("etag", "\"a\"")][..];
    for (value, want) in [
        ("\"a\"", NotModified),
        ("W/\"a\"", NotModified),
        ("\"1\", \"a\", \"2\"", NotModified),
        ("\"1\",W/\"a\"", NotModified),
        ("\"1,\",\"a\"", NotModified),
        (", ,\"a\"", NotModified),
        ("*", NotModified),
        ("\"b\"", Proceed),
        ("a", Proceed),
        ("\"a", Proceed),
        ("\"a\"x", Proceed),
        ("x\"a\"", Proceed),
        ("\"x, \"a\"\"", Proceed),
        ("\"*\"", Proceed),
        ("w/\"a\"", Proceed),
        ("", Proceed),
        ("*, \"b\"", Proceed),
    ] {
        assert_eq!(ask(&[("if-none-match", value)], strong), want, "{value}");
    }
    assert_eq!(ask(&[("if-none-match", "W/\"a\"")], &[("etag", "W/\"a\"")]), NotModified);
    assert_eq!(ask(&[("if-none-match", "\"a\"")], &[]), Proceed);
    // An origin that forgets the quotes gets back what it gave, and nothing else matches.
    let unquoted = &[("etag", "v1")][..];
    assert_eq!(ask(&[("if-none-match", "v0, v1")], unquoted), NotModified);
    assert_eq!(ask(&[("if-none-match", "\"v1\"")], unquoted), Proceed);
    assert_eq!(ask(&[("if-none-match", "W/v1")], unquoted), Proceed);
    assert_eq!(ask(&[("if-none-match", ",")], &[("etag", "")]), Proceed);
    let lines = [("if-none-match", "\"1\""), ("if-none-match", "\"a\"")];
    assert_eq!(ask(&lines, strong), NotModified);
}

#[test]
fn r9110_13_1_3_if_modified_since() {
    use Precondition::{NotModified, Proceed};
    let stored = &[("last-modified", CHANGED)][..];
    assert_eq!(ask(&[("if-modified-since", CHANGED)], stored), NotModified);
    assert_eq!(ask(&[("if-modified-since", AFTER)], stored), NotModified);
    assert_eq!(ask(&[("if-modified-since", BEFORE)], stored), Proceed);
    assert_eq!(ask(&[("if-modified-since", "now")], stored), Proceed);
    let twice = [("if-modified-since", AFTER), ("if-modified-since", AFTER)];
    assert_eq!(ask(&twice, stored), Proceed);
}

#[test]
fn s4_3_2_without_last_modified_date_or_the_receipt_counts() {
    use Precondition::{NotModified, Proceed};
    assert_eq!(ask(&[("if-modified-since", CHANGED)], &[("date", AFTER)]), Proceed);
    assert_eq!(ask(&[("if-modified-since", AFTER)], &[("date", AFTER)]), NotModified);
    assert_eq!(ask(&[("if-modified-since", CHANGED)], &[]), NotModified);
    assert_eq!(ask(&[("if-modified-since", BEFORE)], &[]), Proceed);
}

#[test]
fn r9110_13_2_2_precedence() {
    use Precondition::{Failed, NotModified, Proceed};
    let stored = &[("etag", "\"a\""), ("last-modified", CHANGED)][..];
    let ims = ("if-modified-since", BEFORE);
    assert_eq!(ask(&[("if-none-match", "\"a\""), ims], stored), NotModified);
    let ims = ("if-modified-since", AFTER);
    assert_eq!(ask(&[("if-none-match", "\"b\""), ims], stored), Proceed);
    assert_eq!(ask(&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], stored), Failed);
    assert_eq!(ask(&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], stored), NotModified);
    assert_eq!(ask(&[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], stored), Proceed);
}

#[test]
fn r9110_13_1_1_and_13_1_4_guards_that_fail_are_412() {
    use Precondition::{Failed, Proceed};
    let stored = &[("etag", "\"a\""), ("last-modified", CHANGED)][..];
    assert_eq!(ask(&[("if-match", "*")], stored), Proceed);
    assert_eq!(ask(&[("if-match", "\"x\", \"a\"")], stored), Proceed);
    assert_eq!(ask(&[("if-match", "W/\"a\"")], stored), Failed);
    assert_eq!(ask(&[("if-match", "\"a\"")], &[("etag", "W/\"a\"")]), Failed);
    assert_eq!(ask(&[("if-unmodified-since", CHANGED)], stored), Proceed);
    assert_eq!(ask(&[("if-unmodified-since", BEFORE)], stored), Failed);
    assert_eq!(ask(&[("if-unmodified-since", "now")], stored), Proceed);
    // §13.1.4: without a modification date it is ignored.
    assert_eq!(ask(&[("if-unmodified-since", CHANGED)], &[]), Proceed);
    assert_eq!(ask(&[("if-match", "v1")], &[("etag", "v1")]), Failed);
}

#[test]
fn r9110_13_2_1_conditions_count_only_for_successes() {
    let stored = &[("etag", "\"a\"")][..];
    for status in [301, 404, 500] {
        let got = ask_status(status, &[("if-none-match", "\"a\"")], stored);
        assert_eq!(got, Precondition::Proceed, "{status}");
    }
    assert_eq!(ask_status(404, &[("if-match", "\"b\"")], stored), Precondition::Proceed);
}

proptest::proptest! {
    #[test]
    fn condition_lists_never_panic(bytes in proptest::collection::vec(0x20u8.., 0..60)) {
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
        let mut request = HeaderMap::new();
        for name in [IF_NONE_MATCH, IF_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            request.insert(name, value.clone());
            let headers = map(&[("etag", "\"a\""), ("last-modified", CHANGED)]);
            let stored =
                Stored { status: StatusCode::OK, headers: &headers, received: Millis(0) };
            evaluate(&Method::GET, &request, &stored);
        }
    }
}
