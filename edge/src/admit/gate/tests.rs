use proptest::prelude::*;

use super::*;

/// What came out of the gate for an input.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Outcome {
    released: Vec<u8>,
    requests: usize,
    refused: Option<Cause>,
}

/// Feeds `input` in pieces, asking for the next request whenever one is complete.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &HeadLimits) -> Outcome {
    let mut gate = Gate::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut outcome = Outcome::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match gate.inspect(&buffer, limits) {
                Screened::Release(bytes) => {
                    assert!(bytes > 0);
                    outcome.released.extend(buffer.drain(..bytes));
                }
                Screened::ReleaseEnd(bytes) => {
                    outcome.released.extend(buffer.drain(..bytes));
                    outcome.requests += 1;
                    assert_eq!(gate.inspect(&buffer, limits), Screened::NeedMore, "held");
                    gate.next_request();
                }
                Screened::Skip(bytes) => drop(buffer.drain(..bytes)),
                Screened::NeedMore => break,
                Screened::Refuse(cause) => {
                    outcome.refused = Some(cause);
                    assert_eq!(gate.inspect(&buffer, limits), Screened::Refuse(cause), "sticky");
                    return outcome;
                }
            }
        }
    }
    outcome
}

fn whole(input: &[u8]) -> Outcome {
    feed([input], &HeadLimits::default())
}

/// The outcome, which must be the same when fed byte by byte.
fn both_ways(input: &[u8]) -> Outcome {
    let outcome = whole(input);
    let bytewise = feed(input.chunks(1), &HeadLimits::default());
    assert_eq!(outcome, bytewise, "{}", String::from_utf8_lossy(input));
    outcome
}

const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET /a%20b?c=d&e HTTP/1.1\r\nhost:a.test:8080\r\n\r\n",
    "GET http://a.test/x HTTP/1.1\r\nHost: b.test\r\n\r\n",
    "GET HTTPS://a.test HTTP/1.1\r\nHost: b.test\r\n\r\n",
    "GET http://[::1]:81?q HTTP/1.1\r\nHost: [::1]:81\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb \t\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e4}\u{20ac}\r\n\r\n",
    "GET /\u{e4}?\u{f6} HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n\r\n\r\n\0",
    "POST / HTTP/1.1\r\nHost: a\r\ncontent-length:  05 \r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na;x=\"y\"\r\n0123456789\r\n00\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0;e\r\nX: y\r\nZ:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000A\r\n0123456789\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\na",
    "GET / HTTP/1.0\r\nExpect: tea\r\n\r\n",
];

#[test]
fn good_messages_pass_unchanged() {
    for input in GOOD {
        let outcome = both_ways(input.as_bytes());
        assert_eq!((outcome.requests, outcome.refused), (1, None), "{input:?}");
        let expected = input.trim_start_matches("\r\n").as_bytes();
        assert_eq!(outcome.released, expected, "{input:?}");
    }
}

#[test]
fn pipelined_messages_pass_in_order() {
    let input = GOOD.concat();
    let outcome = both_ways(input.as_bytes());
    assert_eq!((outcome.requests, outcome.refused), (GOOD.len(), None));
}

#[test]
fn the_next_request_waits() {
    let limits = HeadLimits::default();
    let mut gate = Gate::default();
    let input = [GOOD[0], GOOD[0]].concat();
    let first = GOOD[0].len();
    assert_eq!(gate.inspect(input.as_bytes(), &limits), Screened::ReleaseEnd(first));
    assert_eq!(gate.inspect(&input.as_bytes()[first..], &limits), Screened::NeedMore);
    gate.next_request();
    assert_eq!(gate.inspect(&input.as_bytes()[first..], &limits), Screened::ReleaseEnd(first));
}

#[test]
fn bad_request_lines_are_refused() {
    for (line, cause) in [
        ("GET /", Cause::Malformed),
        ("GET  / HTTP/1.1", Cause::Malformed),
        ("GET / HTTP/1.1 ", Cause::Malformed),
        (" GET / HTTP/1.1", Cause::Malformed),
        ("GET\t/ HTTP/1.1", Cause::Malformed),
        ("GET /a b HTTP/1.1", Cause::Malformed),
        ("GET /a\tb HTTP/1.1", Cause::Malformed),
        ("GET /a\0 HTTP/1.1", Cause::Malformed),
        ("GET /a\rb HTTP/1.1", Cause::Malformed),
        ("GET /a\u{7f} HTTP/1.1", Cause::Malformed),
        ("GET /a#b HTTP/1.1", Cause::Malformed),
        ("GET a HTTP/1.1", Cause::Malformed),
        ("GET * HTTP/1.1", Cause::Malformed),
        ("GET ftp://a/ HTTP/1.1", Cause::Malformed),
        ("GET http:/a HTTP/1.1", Cause::Malformed),
        ("GET http://u:p@a/ HTTP/1.1", Cause::Host),
        ("GET http:///a HTTP/1.1", Cause::Host),
        ("GET http://a:99999/ HTTP/1.1", Cause::Host),
        ("GET http://a%2eb/ HTTP/1.1", Cause::Host),
        ("GE(T / HTTP/1.1", Cause::Malformed),
        ("G\u{e4}T / HTTP/1.1", Cause::Malformed),
        ("GET / http/1.1", Cause::Malformed),
        ("GET / HTTP/1.1x", Cause::Malformed),
        ("GET / HTTP/11", Cause::Malformed),
        ("GET / HTTP/1.2", Cause::Version),
        ("GET / HTTP/2.0", Cause::Version),
        ("GET / HTTP/0.9", Cause::Version),
        ("PRI * HTTP/2.0", Cause::Version),
        ("CONNECT a:443 HTTP/1.1", Cause::Method),
    ] {
        let outcome = both_ways(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!((outcome.refused, outcome.released.len()), (Some(cause), 0), "{line:?}");
    }
    for input in [
        &b"GET / HTTP/1.1\nHost: a\n\n"[..],
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(both_ways(input).refused, Some(Cause::Malformed), "{input:?}");
    }
}

#[test]
fn bad_fields_are_refused() {
    for (fields, cause) in [
        ("Host: a\r\nX : b", Cause::Malformed),
        ("Host: a\r\nX\t: b", Cause::Malformed),
        ("Host: a\r\n X: b", Cause::Malformed),
        ("Host: a\r\nX: b\r\n c", Cause::Malformed),
        ("Host: a\r\nX: b\r\n\tc", Cause::Malformed),
        ("Host: a\r\n: b", Cause::Malformed),
        ("Host: a\r\nX", Cause::Malformed),
        ("Host: a\r\nX(: b", Cause::Malformed),
        ("Host: a\r\nX\u{e4}: b", Cause::Malformed),
        ("Host: a\r\nX: b\0c", Cause::Malformed),
        ("Host: a\r\nX: b\rc", Cause::Malformed),
        ("Host: a\r\nX: b\nc: d", Cause::Malformed),
        ("Host: a\r\nX: b\u{b}c", Cause::Malformed),
        ("Host: a\r\nX: b\u{7f}c", Cause::Malformed),
        ("X: b", Cause::Host),
        ("Host:", Cause::Host),
        ("Host: a\r\nhost: a", Cause::Host),
        ("Host: a, b@c", Cause::Host),
        ("Host: a b", Cause::Host),
        ("Host: a/b", Cause::Host),
        ("Host: a:", Cause::Host),
        ("Host: a:65536", Cause::Host),
        ("Host: u@a", Cause::Host),
        ("Host: ::1", Cause::Host),
        ("Host: a\r\nContent-Length: 1\r\nContent-Length: 1", Cause::Framing),
        ("Host: a\r\nContent-Length: 1, 1", Cause::Framing),
        ("Host: a\r\nContent-Length: +1", Cause::Framing),
        ("Host: a\r\nContent-Length: -1", Cause::Framing),
        ("Host: a\r\nContent-Length: 0x1", Cause::Framing),
        ("Host: a\r\nContent-Length: 1 1", Cause::Framing),
        ("Host: a\r\nContent-Length:", Cause::Framing),
        ("Host: a\r\nContent-Length: 9007199254740993", Cause::Framing),
        ("Host: a\r\nContent-Length: 99999999999999999999999999", Cause::Framing),
        ("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", Cause::Framing),
        ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1", Cause::Framing),
        ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Cause::Framing),
        ("Host: a\r\nTransfer-Encoding: chunked, chunked", Cause::TransferCoding),
        ("Host: a\r\nTransfer-Encoding: gzip, chunked", Cause::TransferCoding),
        ("Host: a\r\nTransfer-Encoding: identity", Cause::TransferCoding),
        ("Host: a\r\nTransfer-Encoding: xchunked", Cause::TransferCoding),
        ("Host: a\r\nTransfer-Encoding: \u{b}chunked", Cause::Malformed),
        ("Host: a\r\nTransfer-Encoding:", Cause::TransferCoding),
        ("Host: a\r\nTransfer_Encoding: chunked", Cause::Framing),
        ("Host: a\r\nContent_Length: 1", Cause::Framing),
        ("Host: a\r\nExpect: tea", Cause::Expectation),
        ("Host: a\r\nExpect: 100-continue, tea", Cause::Expectation),
    ] {
        let outcome = both_ways(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes());
        assert_eq!((outcome.refused, outcome.released.len()), (Some(cause), 0), "{fields:?}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(both_ways(old).refused, Some(Cause::Framing));
}

#[test]
fn bad_chunks_are_refused() {
    let trailer_flood = "X: y\r\n".repeat(65);
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000));
    let extensions = format!("1;{}\r\na\r\n", "e".repeat(6000)).repeat(3);
    let many = format!("0\r\n{trailer_flood}\r\n");
    for (body, cause) in [
        ("\r\n", Cause::Malformed),
        (";x\r\n", Cause::Malformed),
        ("g\r\n", Cause::Malformed),
        ("0x5\r\nhello\r\n", Cause::Malformed),
        ("-1\r\n", Cause::Malformed),
        ("+5\r\nhello\r\n", Cause::Malformed),
        (" 5\r\nhello\r\n", Cause::Malformed),
        ("5 \r\nhello\r\n", Cause::Malformed),
        ("5\nhello\r\n", Cause::Malformed),
        ("5\rhello\r\n", Cause::Malformed),
        ("5\r\r\nhello\r\n", Cause::Malformed),
        ("5\r\nhello0\r\n\r\n", Cause::Malformed),
        ("5\r\nhello\n0\r\n\r\n", Cause::Malformed),
        ("5\r\nhello\rx", Cause::Malformed),
        ("5;a\nb\r\nhello\r\n", Cause::Malformed),
        ("5;a\rb\r\nhello\r\n", Cause::Malformed),
        ("5;a\0b\r\nhello\r\n", Cause::Malformed),
        ("00000000000000005\r\nhello\r\n", Cause::Framing),
        ("0\r\nX : y\r\n\r\n", Cause::Malformed),
        ("0\r\nX\r\n\r\n", Cause::Malformed),
        ("0\r\nX: y\n\r\n", Cause::Malformed),
        ("0\r\n X: y\r\n\r\n", Cause::Malformed),
        ("0\r\nContent-Length: 1\r\n\r\n", Cause::Framing),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", Cause::Framing),
        ("0\r\nContent_Length: 1\r\n\r\n", Cause::Framing),
        ("0\r\nHost: a\r\n\r\n", Cause::Framing),
        (many.as_str(), Cause::HeadTooLarge),
        (long_trailer.as_str(), Cause::HeadTooLarge),
        (extensions.as_str(), Cause::Malformed),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let outcome = both_ways(format!("{head}{body}").as_bytes());
        assert_eq!((outcome.refused, outcome.requests), (Some(cause), 0), "{body:?}");
        assert!(outcome.released.starts_with(head.as_bytes()));
    }
}

#[test]
fn limits_are_exact_however_the_input_is_split() {
    let limits = HeadLimits { target_bytes_max: 40, head_bytes_max: 120, fields_max: 3 };
    let ends = |input: String| {
        let outcome = feed([input.as_bytes()], &limits);
        assert_eq!(outcome, feed(input.as_bytes().chunks(1), &limits), "{input}");
        outcome.refused
    };
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(bytes));
    let line = "GET / HTTP/1.1".len();
    assert_eq!(ends(target(40 - line)), None);
    assert_eq!(ends(target(41 - line)), Some(Cause::TargetTooLong));
    assert_eq!(ends(target(4000)), Some(Cause::TargetTooLong));

    let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let field =
        |bytes: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "b".repeat(bytes));
    assert_eq!(ends(field(120 - rest)), None);
    for over in [1, 2, 3, 4, 5, 4000] {
        assert_eq!(ends(field(120 - rest + over)), Some(Cause::HeadTooLarge), "{over}");
    }

    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X:\r\n".repeat(count));
    assert_eq!(ends(fields(2)), None);
    assert_eq!(ends(fields(3)), Some(Cause::HeadTooLarge));
}

#[test]
fn what_passes_is_taken_the_same_way_by_the_next_parser() {
    for input in GOOD {
        let line = input.trim_start_matches("\r\n").lines().next().expect("a line");
        let target = line.split(' ').nth(1).expect("a target");
        assert!(http::Uri::try_from(target.as_bytes()).is_ok(), "{target}");
    }
}

/// Bytes that are likely to mean something.
pub(super) fn soup() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        &b"GET / HTTP/1.1\r\nHost: a\r\n"[..],
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"X: y\r\n",
        b" ",
        b"5;e\r\nhello\r\n",
        b"0\r\n",
        b"0",
        b"hello",
        b"\0",
        b"Content-Length: 1\r\n",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn splitting_never_changes_the_outcome(
        input in soup(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        head_bytes_max in 20_usize..200,
    ) {
        let limits = HeadLimits { head_bytes_max, target_bytes_max: 30, fields_max: 3 };
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        at.extend([0, input.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| &input[pair[0]..pair[1]]);
        let unsplit = feed([&input[..]], &limits);
        prop_assert_eq!(&feed(pieces, &limits), &unsplit);
        prop_assert_eq!(&feed(input.chunks(1), &limits), &unsplit);
    }

    #[test]
    fn random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
        both_ways(&input);
    }
}
