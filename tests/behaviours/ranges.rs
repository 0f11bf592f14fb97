//! Parts of a body: single, several, conditional, unsatisfiable, and of a body still arriving.

use harness::{Client, Edge, Latch, Origin, Response, content, eventually};

const LENGTH: usize = 100_000;

/// A node with one response of [`LENGTH`] bytes in the cache.
fn with_stored() -> (Origin, Edge, Vec<u8>) {
    let origin = Origin::start(|request, to| {
        let fields = [
            ("Cache-Control", "max-age=60"),
            ("ETag", "\"v1\""),
            ("Last-Modified", "Mon, 01 Jan 2001 00:00:00 GMT"),
            ("Content-Type", "application/x-test"),
        ];
        to.send(200, &fields, content(&request.target, LENGTH));
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    eventually("it is stored", || edge.get("/a").is_hit().then_some(()));
    (origin, edge, content("/a", LENGTH))
}

fn range(edge: &Edge, value: &str) -> Response {
    edge.get_with("/a", &[("Range", value)])
}

#[test]
fn one_range_is_answered_with_exactly_its_bytes() {
    let (origin, edge, whole) = with_stored();
    let cases = [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=65000-66000", 65_000, 66_000),
        ("bytes=99999-", 99_999, 99_999),
        ("bytes=50000-", 50_000, 99_999),
        ("bytes=-1", 99_999, 99_999),
        ("bytes=-70000", 30_000, 99_999),
        ("bytes=-500000", 0, 99_999),
        ("bytes=99000-500000", 99_000, 99_999),
        ("BYTES=1-2", 1, 2),
    ];
    for (value, first, last) in cases {
        let answer = range(&edge, value);
        assert_eq!(answer.status, 206, "{value}: {:?}", answer.fields);
        assert_eq!(
            answer.field("content-range"),
            format!("bytes {first}-{last}/{LENGTH}"),
            "{value}"
        );
        assert_eq!(answer.field("content-length"), format!("{}", last - first + 1), "{value}");
        assert!(answer.body == whole[first..=last], "{value}: wrong bytes");
        assert!(answer.is_hit(), "{value}");
        assert_eq!(answer.field("etag"), "\"v1\"");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_range_outside_is_416_and_tells_the_length() {
    let (_origin, edge, _) = with_stored();
    for value in ["bytes=100000-", "bytes=100000-100001", "bytes=-0"] {
        let answer = range(&edge, value);
        assert_eq!(answer.status, 416, "{value}: {answer:?}");
        assert_eq!(answer.field("content-range"), format!("bytes */{LENGTH}"), "{value}");
    }
}

#[test]
fn a_range_that_means_nothing_is_ignored() {
    let (_origin, edge, whole) = with_stored();
    for value in
        ["bytes=5-4", "bytes=a-b", "bytes=", "bytes 0-1", "lines=0-1", "bytes=0-1-2", "bytes=+1-2"]
    {
        let answer = range(&edge, value);
        assert_eq!(answer.status, 200, "{value}");
        assert!(answer.body == whole, "{value}");
    }
}

/// Parts of a `multipart/byteranges`: their `Content-Range` and bytes.
fn parts(answer: &Response) -> Vec<(String, Vec<u8>)> {
    let kind = answer.field("content-type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect(kind);
    let delimiter = format!("\r\n--{}", boundary.trim_matches('"'));
    let mut body = b"\r\n".to_vec();
    body.extend(&answer.body);
    let mut parts = Vec::new();
    let mut rest = &body[..];
    let find = |hay: &[u8], needle: &[u8]| hay.windows(needle.len()).position(|w| w == needle);
    let at = find(rest, delimiter.as_bytes()).expect("a first delimiter");
    rest = &rest[at + delimiter.len()..];
    while !rest.starts_with(b"--") {
        let head_end = find(rest, b"\r\n\r\n").expect("a part head");
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        let range = head
            .lines()
            .find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-range").then(|| value.to_owned())
            })
            .expect("a Content-Range");
        assert!(head.to_ascii_lowercase().contains("content-type: application/x-test"), "{head}");
        rest = &rest[head_end + 4..];
        let end = find(rest, delimiter.as_bytes()).expect("a next delimiter");
        parts.push((range, rest[..end].to_vec()));
        rest = &rest[end + delimiter.len()..];
    }
    parts
}

#[test]
fn several_ranges_come_as_parts() {
    let (_origin, edge, whole) = with_stored();
    let answer = range(&edge, "bytes=10-19, 70000-70009,-5");
    assert_eq!(answer.status, 206);
    assert_eq!(answer.field("content-length"), format!("{}", answer.body.len()));
    let expected: Vec<_> = [(10, 19), (70_000, 70_009), (99_995, 99_999)]
        .map(|(first, last)| {
            (format!("bytes {first}-{last}/{LENGTH}"), whole[first..=last].to_vec())
        })
        .to_vec();
    assert_eq!(parts(&answer), expected);
}

#[test]
fn ranges_that_cover_each_other_never_cost_more_than_the_whole() {
    let (_origin, edge, _) = with_stored();
    let many = format!("bytes={}", vec!["0-"; 1000].join(","));
    for value in ["bytes=0-,0-,0-,0-", "bytes=0-99998,1-99999", many.as_str()] {
        let answer = range(&edge, value);
        assert!(matches!(answer.status, 200 | 206 | 416), "{value:.40}");
        assert!(answer.body.len() <= LENGTH + 2000, "{value:.40}: {}", answer.body.len());
    }
}

#[test]
fn if_range_gives_a_part_only_of_the_same_representation() {
    let (_origin, edge, whole) = with_stored();
    let ask =
        |condition: &str| edge.get_with("/a", &[("Range", "bytes=5-9"), ("If-Range", condition)]);
    let same = ask("\"v1\"");
    assert_eq!((same.status, &same.body[..]), (206, &whole[5..10]));
    for other in ["\"v2\"", "W/\"v1\"", "Tue, 02 Jan 2001 00:00:00 GMT"] {
        let answer = ask(other);
        assert_eq!(answer.status, 200, "{other}");
        assert!(answer.body == whole, "{other}");
    }
}

#[test]
fn a_condition_is_asked_before_the_range() {
    let (_origin, edge, _) = with_stored();
    let ask = |field| edge.get_with("/a", &[("Range", "bytes=5-9"), field]).status;
    assert_eq!(ask(("If-None-Match", "\"v1\"")), 304);
    assert_eq!(ask(("If-Match", "\"v2\"")), 412);
}

#[test]
fn head_ignores_ranges() {
    let (_origin, edge, _) = with_stored();
    let head = edge.client().request("HEAD", "/a", &[("Range", "bytes=0-9")], b"");
    assert_eq!((head.status, head.field("content-length")), (200, "100000"));
}

#[test]
fn a_range_of_something_new_fills_the_whole_and_later_ranges_are_hits() {
    let origin = Origin::start(|request, to| {
        assert_eq!(request.count("range"), 0, "the fill asks for everything");
        to.cacheable(content(&request.target, LENGTH));
    });
    let edge = Edge::before(&origin);
    let whole = content("/a", LENGTH);
    let first = range(&edge, "bytes=1000-1999");
    assert_eq!((first.status, &first.body[..]), (206, &whole[1000..2000]));
    let later = eventually("the fill ends", || {
        let answer = range(&edge, "bytes=-10");
        answer.is_hit().then_some(answer)
    });
    assert_eq!(later.body, &whole[LENGTH - 10..]);
    assert!(edge.get("/a").body == whole);
    assert_eq!(origin.count(), 1);
}

#[test]
fn ranges_of_a_body_that_still_arrives_come_as_soon_as_their_bytes_do() {
    let (first_half, second_half) = (Latch::default(), Latch::default());
    let (a, b) = (first_half.clone(), second_half.clone());
    let origin = Origin::start(move |request, to| {
        let whole = content(&request.target, LENGTH);
        to.raw(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"v1\"\r\nContent-Length: {LENGTH}\r\n\r\n"
        ));
        a.wait();
        to.raw(&whole[..50_000]);
        b.wait();
        to.raw(&whole[50_000..]);
    });
    let edge = Edge::before(&origin);
    let whole = content("/a", LENGTH);
    let mut leader = edge.client();
    leader.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
    leader.head().expect("the head is there before the body");

    let address = edge.address;
    let late = std::thread::spawn(move || {
        Client::connect(address).request("GET", "/a", &[("Range", "bytes=90000-90009")], b"")
    });
    let early = std::thread::spawn(move || {
        Client::connect(address).request("GET", "/a", &[("Range", "bytes=10-19")], b"")
    });
    first_half.open();
    let early = early.join().expect("an answer");
    assert!(!second_half.is_open(), "the early range waited for the whole body");
    assert_eq!((early.status, &early.body[..]), (206, &whole[10..20]));
    second_half.open();
    let late = late.join().expect("an answer");
    assert_eq!((late.status, &late.body[..]), (206, &whole[90_000..90_010]));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_range_outside_a_body_that_still_arrives_is_416() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |_, to| {
        to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n01234");
        held.wait();
        to.raw("56789");
    });
    let edge = Edge::before(&origin);
    let mut leader = edge.client();
    leader.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
    leader.head().expect("a head");
    let answer = range(&edge, "bytes=10-");
    assert_eq!((answer.status, answer.field("content-range")), (416, "bytes */10"));
    go.open();
}

#[test]
fn ranges_of_what_is_not_stored_are_left_to_the_origin_or_ignored() {
    let origin = Origin::start(|request, to| {
        let whole = content(&request.target, LENGTH);
        to.send(200, &[("Cache-Control", "no-store")], whole);
    });
    let edge = Edge::before(&origin);
    for _ in 0..2 {
        let answer = range(&edge, "bytes=5-9");
        let whole = content("/a", LENGTH);
        match answer.status {
            200 => assert!(answer.body == whole),
            206 => assert_eq!(answer.body, &whole[5..10]),
            other => panic!("{other}"),
        }
    }
}
