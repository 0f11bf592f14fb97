//! The strict front: what is not HTTP/1.1 to the letter is refused, and no origin ever sees it.

use harness::{Client, Edge, Ending, Origin, eventually};

/// Sends raw bytes and reads the refusal; the connection must end with it.
fn refusal(edge: &Edge, raw: &[u8]) -> u16 {
    let mut client = edge.client();
    client.send(raw);
    let shown = String::from_utf8_lossy(raw).into_owned();
    let answer =
        client.try_response(false).unwrap_or_else(|| panic!("closed without an answer: {shown:?}"));
    assert!(client.is_closed(), "{} and the connection stays: {shown:?}", answer.status);
    answer.status
}

#[test]
fn a_malformed_head_is_refused_and_never_reaches_the_origin() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let heads: &[&[u8]] = &[
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tfolded\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX y: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET index HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for head in heads {
        let shown = String::from_utf8_lossy(head);
        assert_eq!(refusal(&edge, head), 400, "{shown:?}");
    }
    assert_eq!(refusal(&edge, b"GET / HTTP/2.1\r\nHost: a\r\n\r\n"), 505);
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_ambiguous_body_length_is_refused_and_never_reaches_the_origin() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let fields = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Content-Length: 5\r\nX: y\r\ncontent-length: 5", 400),
        ("Content-Length: 5, 5", 400),
        ("Content-Length: 5,6", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: -5", 400),
        ("Content-Length: 5 5", 400),
        ("Content-Length: 0x5", 400),
        ("Content-Length: 5.0", 400),
        ("Content-Length:", 400),
        ("Content-Length: 9007199254740993", 400),
        ("Content-Length: 99999999999999999999999", 400),
        ("Content-Length: 18446744073709551621", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: chunked, chunked", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: chunked, gzip", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: chunked;q=1", 501),
        ("Transfer-Encoding: \"chunked\"", 501),
        ("Transfer-Encoding:", 501),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer_Encoding: chunked", 400),
        ("Content_Length: 5", 400),
    ];
    for (field, status) in fields {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(refusal(&edge, raw.as_bytes()), status, "{field:?}");
    }
    let old = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refusal(&edge, old), 400);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_broken_chunk_is_refused_and_the_origin_never_sees_a_complete_body() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let bodies: &[&[u8]] = &[
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\0b\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;\"a\nb\"\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    ];
    for body in bodies {
        let mut raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        raw.extend_from_slice(body);
        assert_eq!(refusal(&edge, &raw), 400, "{:?}", String::from_utf8_lossy(body));
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn more_than_16_kib_of_chunk_extensions_are_refused() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        raw.extend_from_slice(format!("1;{}\r\nx\r\n", "e".repeat(500)).as_bytes());
    }
    raw.extend_from_slice(b"0\r\n\r\n");
    let status = refusal(&edge, &raw);
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(origin.count(), 0);
}

#[test]
fn chunk_extensions_are_dropped_and_trailers_never_become_fields() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
          3;sneaky=\"1\"\r\nhel\r\n2;x\r\nlo\r\n0;last\r\nX-Trailer: 1\r\nAuthorization: me\r\n\r\n",
    );
    assert_eq!(client.response(false).status, 200);
    let seen = &origin.requests()[0];
    assert_eq!(seen.body, b"hello");
    let wire = String::from_utf8_lossy(&seen.raw_body).into_owned();
    assert!(!wire.contains("sneaky") && !wire.contains(";last"), "{wire:?}");
    assert_eq!((seen.count("x-trailer"), seen.count("authorization")), (0, 0));
}

#[test]
fn an_empty_line_before_a_request_is_skipped() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(false).text(), "x");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::start(|request, to| to.cacheable(&request.target));
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let paths: Vec<String> = (0..20).map(|n| format!("/{}", n % 7)).collect();
    let asked = paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.send(asked.collect::<Vec<_>>().concat().as_bytes());
    for path in paths {
        assert_eq!(client.response(false).text(), path);
    }
}

#[test]
fn after_a_pipelined_refusal_nothing_more_is_answered() {
    let origin = Origin::start(|request, to| to.cacheable(&request.target));
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost : a\r\n\r\n\
          GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.response(false).text(), "/1");
    assert_eq!(client.response(false).status, 400);
    assert!(client.is_closed());
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_and_the_connection_ends() {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    });
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let answer = client.response(false);
    assert_eq!(answer.field("transfer-encoding"), "");
    assert_eq!((answer.text().as_str(), answer.status), ("abc", 200));
    assert!(client.is_closed());
}

#[test]
fn a_client_of_http_1_0_may_keep_the_connection() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for _ in 0..2 {
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.response(false);
        assert_eq!(answer.text(), "x");
        assert_eq!(answer.field("connection").to_ascii_lowercase(), "keep-alive");
    }
}

#[test]
fn a_client_that_expects_100_gets_it_before_its_body() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let (status, _) = client.head().expect("an interim response");
    assert_eq!(status, 100);
    client.send(b"hello");
    assert_eq!(client.response(false).status, 200);
    assert_eq!(origin.requests()[0].body, b"hello");
}

#[test]
fn an_expectation_that_nobody_knows_fails() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    assert_eq!(refusal(&edge, b"GET / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n"), 417);
    assert_eq!(origin.count(), 0);
}

/// Sends `first` with a body that looks like a request, then a request for `/next`. Whatever the
/// edge makes of the body, it must not answer it as a request.
fn body_is_never_a_request(edge: &Edge, origin: &Origin, first: &str, status: u16) {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = smuggled.len();
    let mut client = edge.client();
    let bodiless = first.starts_with("HEAD");
    client.send(format!("{first}Content-Length: {length}\r\n\r\n{smuggled}").as_bytes());
    client.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(bodiless).status, status, "{first}");
    if let Some(next) = client.try_response(false) {
        assert_eq!(next.text(), "/next", "{first}");
    }
    assert!(origin.requests().iter().all(|request| request.target != "/smuggled"), "{first}");
}

#[test]
fn an_unread_body_never_becomes_the_next_request() {
    let origin = Origin::start(|request, to| {
        if request.method == "HEAD" {
            to.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        } else {
            to.cacheable(&request.target);
        }
    });
    let edge = Edge::before(&origin);
    edge.get_with("/hit", &[("Host", "a")]);
    let mut warm = Client::connect(edge.address);
    assert!(warm.request_to("a", "GET", "/hit", &[], b"").status == 200);
    for (first, status) in [
        ("GET /hit HTTP/1.1\r\nHost: a\r\n", 200),
        ("HEAD /hit HTTP/1.1\r\nHost: a\r\n", 200),
        ("HEAD /miss HTTP/1.1\r\nHost: a\r\n", 200),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n", 405),
        ("POST / HTTP/1.1\r\nHost: a b\r\n", 400),
    ] {
        body_is_never_a_request(&edge, &origin, first, status);
    }
}

#[test]
fn an_upgrade_to_h2c_is_not_passed_on() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
          HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
    );
    assert_eq!(client.response(false).status, 200);
    let seen = &origin.requests()[0];
    assert_eq!((seen.count("upgrade"), seen.count("http2-settings")), (0, 0));
    assert!(!seen.field("connection").to_ascii_lowercase().contains("upgrade"));
}

#[test]
fn bytes_behind_an_upgrade_are_not_forwarded_before_the_origin_agreed() {
    let origin = Origin::constant("no upgrade here");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
          GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let answer = client.response(false);
    assert_ne!(answer.status, 101);
    let _whatever_follows = client.try_response(false);
    for request in origin.requests() {
        // As a request of its own it is an ordinary one; inside of the upgrade it is smuggled.
        assert_eq!(String::from_utf8_lossy(&request.raw_head).matches(" HTTP/1.1\r\n").count(), 1);
        assert!(request.body.is_empty());
    }
}

#[test]
fn connect_and_trace_are_not_allowed() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    assert_eq!(refusal(&edge, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 405);
    let answer = edge.client().request("TRACE", "/", &[], b"");
    assert_eq!(answer.status, 405);
    assert!(answer.field("allow").contains("GET"));
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_answer_of_unknown_length_is_chunked_again_for_http_1_1() {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.0 200 OK\r\nX-Origin: old\r\n\r\nuntil the end");
        to.close();
    });
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let answer = client.request("GET", "/", &[], b"");
    assert_eq!((answer.text().as_str(), answer.ending), ("until the end", Ending::Clean));
    assert_eq!(answer.field("transfer-encoding"), "chunked");
}

#[test]
fn a_client_that_leaves_is_not_an_error_of_the_origin() {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let piece = vec![0; 64 * 1024];
        while to.try_raw(&piece) {}
    });
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!client.read_some().is_empty());
    drop(client);
    eventually("the exchange is over", || {
        let numbers = edge.metrics();
        (numbers.count("selvedge_errors_total", &["cause=\"client_gone\""]) == 1).then_some(())
    });
    assert_eq!(edge.metrics().count("selvedge_errors_total", &["cause=\"origin_broke\""]), 0);
}
