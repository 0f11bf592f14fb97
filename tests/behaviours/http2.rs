//! HTTP/2: the same answers and the same rules as HTTP/1.1, and frames that cost us nothing.

use harness::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, RawPeer,
    SETTINGS, block, connect, exchange, frame, get, request, run,
};
use harness::{ConfigFile, Edge, Origin, config, eventually};

#[test]
fn a_miss_a_hit_and_a_head_are_answered() {
    let origin = Origin::constant("hello");
    let edge = Edge::before(&origin);
    run(async {
        let send = connect(edge.address).await;
        let miss = get(&send, "/").await;
        assert_eq!((miss.status.as_u16(), miss.body.as_slice()), (200, &b"hello"[..]));
        let hit = get(&send, "/").await;
        assert!(hit.field("cache-status").contains("selvedge; hit"));
        let head = exchange(&send, request("HEAD", "http://test.example/", &[]), b"").await;
        let head = head.expect("an answer");
        assert_eq!((head.field("content-length"), head.body.len()), ("5", 0));
    });
    assert!(edge.get("/").is_hit(), "the key does not know the protocol");
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_origin_gets_an_ordinary_http_1_1_request() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    run(async {
        let send = connect(edge.address).await;
        let fields = [
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("te", "trailers"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-original-url", "/admin"),
        ];
        let post = request("POST", "http://Test.Example/a?b", &fields);
        assert_eq!(exchange(&send, post, b"content").await.expect("an answer").status, 200);
    });
    let seen = &origin.requests()[0];
    let head = String::from_utf8_lossy(&seen.raw_head).into_owned();
    assert!(head.starts_with("POST /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!((seen.field("host"), seen.count("host")), ("test.example", 1));
    assert_eq!((seen.field("cookie"), seen.count("cookie")), ("a=1; b=2", 1));
    assert_eq!(seen.field("x-forwarded-for"), "127.0.0.1");
    assert_eq!((seen.count("x-original-url"), seen.body.as_slice()), (0, &b"content"[..]));
    assert_eq!(seen.count("content-length") + seen.count("transfer-encoding"), 1);
}

#[test]
fn a_hundred_streams_are_answered_side_by_side() {
    let origin = Origin::start(|request, to| to.cacheable(&request.target));
    let edge = Edge::before(&origin);
    run(async {
        let send = connect(edge.address).await;
        let asked: Vec<_> = (0..100)
            .map(|n| {
                let send = send.clone();
                tokio::spawn(async move { get(&send, &format!("/{n}")).await.body })
            })
            .collect();
        for (n, answer) in asked.into_iter().enumerate() {
            assert_eq!(answer.await.expect("no panic"), format!("/{n}").into_bytes());
        }
    });
}

#[test]
fn a_cut_body_is_a_reset_and_no_end() {
    let origin = Origin::start(|request, to| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        if request.target == "/length" {
            to.raw(format!("{head}Content-Length: 10\r\n\r\nhello"));
        } else {
            to.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
        }
        to.close();
    });
    let edge = Edge::before(&origin);
    run(async {
        let send = connect(edge.address).await;
        for path in ["/length", "/chunked", "/length", "/chunked"] {
            let url = format!("http://test.example{path}");
            // Cut before the head was on its way, or after: never a whole answer.
            match exchange(&send, request("GET", &url, &[]), b"").await {
                Ok(answer) if answer.status == 502 => {}
                Ok(answer) => assert!(answer.reset.is_some(), "{path}: {answer:?}"),
                Err(error) => assert!(error.is_reset(), "{path}: {error}"),
            }
        }
        // The connection lives on.
        assert_eq!(
            exchange(&send, request("TRACE", "http://test.example/", &[]), b"")
                .await
                .expect("an answer")
                .status,
            405
        );
    });
    assert_eq!(origin.count(), 4);
}

#[test]
fn trailers_of_a_pass_reach_the_client() {
    let origin = Origin::start(|_, to| {
        to.raw(
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTrailer: X-Sum\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
        );
    });
    let edge = Edge::before(&origin);
    run(async {
        let send = connect(edge.address).await;
        let answer = get(&send, "/").await;
        assert_eq!(answer.body, b"abc");
        let trailers = answer.trailers.expect("trailers");
        assert_eq!(trailers.get("x-sum").map(http::HeaderValue::as_bytes), Some(&b"6"[..]));
    });
}

#[test]
fn rules_of_admission_hold_after_decoding() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let many: Vec<(String, String)> =
        (0..101).map(|n| (format!("x-{n}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let crumbs = vec![("cookie", "a=1"); 120];
    let long = "x".repeat(9000);
    run(async {
        let send = connect(edge.address).await;
        let cases: Vec<(&str, String, &[(&str, &str)], u16)> = vec![
            ("GET", "http://a.example/".into(), &[("host", "b.example")], 400),
            ("GET", "http://user:pass@a.example/".into(), &[], 400),
            ("GET", "http://a.example:99999/".into(), &[], 400),
            ("GET", "http://a.example/".into(), &[("content-length", "+5")], 400),
            ("GET", "http://a.example/".into(), &[("content_length", "5")], 400),
            ("GET", "http://a.example/".into(), &[("expect", "cake")], 417),
            ("TRACE", "http://a.example/".into(), &[], 405),
            ("GET", "http://a.example/".into(), &many, 431),
            ("GET", "http://a.example/".into(), &crumbs, 431),
            ("GET", format!("http://a.example/{long}"), &[], 414),
        ];
        for (method, url, fields, status) in cases {
            let fault = format!("{method} {} {:?}", &url[..url.len().min(40)], fields.first());
            match exchange(&send, request(method, &url, fields), b"").await {
                Ok(answer) => assert_eq!(answer.status, status, "{fault}"),
                // The codec below may know that a message is malformed: a stream error.
                Err(error) => assert!(error.is_reset() && status == 400, "{fault}: {error}"),
            }
        }
        let agreeing = request("GET", "http://a.example/", &[("host", "A.example:80")]);
        assert_eq!(exchange(&send, agreeing, b"").await.expect("an answer").status, 200);
    });
    assert_eq!(origin.count(), 1);
}

const GOOD: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")];

/// Status of the answer, or 0 when the stream or the connection was ended instead.
fn outcome(edge: &Edge, fields: &[(&str, &str)]) -> u16 {
    let mut peer = RawPeer::connect(edge.address, &[]);
    peer.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    let frame = peer.until(|frame| match frame.kind {
        GOAWAY => true,
        HEADERS | RST_STREAM => frame.stream == 1,
        _ => false,
    });
    match frame {
        Some(frame) if frame.kind == HEADERS => status_of(&frame.payload),
        _ => 0,
    }
}

/// `:status` of a block: an indexed field of the static table, or a literal that names it.
fn status_of(block: &[u8]) -> u16 {
    match block[0] & 0x7f {
        8 if block[0] & 0x80 != 0 => 200,
        9 if block[0] & 0x80 != 0 => 204,
        10 if block[0] & 0x80 != 0 => 206,
        11 if block[0] & 0x80 != 0 => 304,
        12 if block[0] & 0x80 != 0 => 400,
        13 if block[0] & 0x80 != 0 => 404,
        14 if block[0] & 0x80 != 0 => 500,
        _ => 1,
    }
}

#[test]
fn a_malformed_header_block_is_refused_and_never_reaches_the_origin() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    assert_eq!(outcome(&edge, &GOOD), 200);
    let with = |more: &[(&'static str, &'static str)]| [&GOOD[..], more].concat();
    let without = |name: &str| -> Vec<(&str, &str)> {
        GOOD.into_iter().filter(|(known, _)| *known != name).collect()
    };
    let path = |path: &'static str| {
        let mut fields = without(":path");
        fields.push((":path", path));
        fields
    };
    let authority = |authority: &'static str| {
        let mut fields = without(":authority");
        fields.push((":authority", authority));
        fields
    };
    let blocks: Vec<Vec<(&str, &str)>> = vec![
        with(&[("X-Upper", "1")]),
        with(&[("x y", "1")]),
        with(&[("x:y", "1")]),
        with(&[("", "1")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", "a\nb")]),
        with(&[("x", "a\0b")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("keep-alive", "timeout=5")]),
        with(&[("upgrade", "h2c")]),
        with(&[("proxy-connection", "close")]),
        with(&[("te", "gzip")]),
        with(&[(":path", "/two")]),
        with(&[(":authority", "b.example")]),
        with(&[(":method", "POST")]),
        with(&[(":strange", "1")]),
        with(&[(":status", "200")]),
        with(&[("host", "b.example")]),
        [&[("x", "first")][..], &GOOD[..]].concat(),
        without(":method"),
        without(":path"),
        without(":scheme"),
        path(""),
        path("no-slash"),
        path("/a b"),
        path("/a\tb"),
        path("/a\r\nb"),
        path("*"),
        authority("user@a.example"),
        authority("a b"),
        authority("a/b"),
        authority("a.example:x"),
    ];
    for fields in blocks {
        let outcome = outcome(&edge, &fields);
        assert!(matches!(outcome, 0 | 400), "{outcome} for {fields:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_follows_a_hash_reaches_neither_key_nor_origin() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut fields = GOOD.to_vec();
    fields[3].1 = "/a#/admin";
    outcome(&edge, &fields);
    assert!(origin.requests().iter().all(|request| request.target == "/a"));
}

#[test]
fn a_length_that_the_content_does_not_have_is_an_error_of_the_stream() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    for content in [&b"hello"[..], b"hello, this is too long"] {
        let mut fields = GOOD.to_vec();
        fields[0].1 = "POST";
        fields.push(("content-length", "10"));
        let mut peer = RawPeer::connect(edge.address, &[]);
        peer.send(HEADERS, END_HEADERS, 1, &block(&fields));
        peer.send(DATA, END_STREAM, 1, content);
        let end = peer.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        let refused = end.is_none_or(|end| end.kind != HEADERS || status_of(&end.payload) != 200);
        assert!(refused, "{content:?}");
    }
    assert_eq!(origin.count(), 0);
}

/// Sends one frame again and again until the connection ends.
fn flood(edge: &Edge, settings: &[(u16, u32)], first: &[u8], next: impl Fn(u32) -> Vec<u8>) {
    let before = edge.resident_kib();
    let mut peer = RawPeer::connect(edge.address, settings);
    peer.write(first);
    let mut sent = 0;
    // 64 Ki frames in batches: a peer that takes them all has no limit.
    while sent < 65_536 {
        let batch: Vec<u8> = (sent..sent + 256).flat_map(&next).collect();
        if !peer.write(&batch) {
            break;
        }
        sent += 256;
    }
    let calm = peer.until(|frame| frame.kind == GOAWAY);
    assert!(
        sent < 65_536 || calm.is_some(),
        "{sent} frames and the connection neither ends nor complains"
    );
    let grown = edge.resident_kib().saturating_sub(before);
    assert!(grown < 32_000, "{grown} KiB");
    assert_eq!(edge.get("/").status, 200, "others are served");
}

#[test]
fn floods_of_cheap_frames_end_the_connection_and_memory_stays_flat() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    flood(&edge, &[], &[], |_| frame(SETTINGS, 0, 0, &[]));
    flood(&edge, &[], &[], |_| frame(PING, 0, 0, &[0; 8]));
    flood(&edge, &[], &[], |_| frame(0x42, 0, 0, &[0; 8]));
    flood(&edge, &[], &[], |n| frame(2, 0, n * 2 + 1, &[0, 0, 0, 0, 1]));
    flood(&edge, &[], &[], |_| frame(8, 0, 0, &[0, 0, 0, 1]));
    let mut post = GOOD.to_vec();
    post[0].1 = "POST";
    let open = frame(HEADERS, END_HEADERS, 1, &block(&post));
    flood(&edge, &[], &open, |_| frame(DATA, 0, 1, &[]));
    assert!(edge.metrics().sum("selvedge_h2_floods_total", &[]) >= 4.0);
}

#[test]
fn rapid_resets_end_the_connection_and_memory_stays_flat() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    flood(&edge, &[], &[], |n| {
        let stream = n * 2 + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&GOOD));
        [open, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    // Resets that the peer provokes from us: content on a stream that is closed for it.
    flood(&edge, &[], &[], |n| {
        let stream = n * 2 + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&GOOD));
        [open, frame(8, 0, stream, &[0, 0, 0, 0])].concat()
    });
}

#[test]
fn a_header_block_without_end_ends_the_connection_and_memory_stays_flat() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    let start = frame(HEADERS, END_STREAM, 1, &block(&GOOD));
    flood(&edge, &[], &start, |_| {
        frame(CONTINUATION, 0, 1, &block(&[("x-long", &"y".repeat(100))]))
    });
    flood(&edge, &[], &start, |_| frame(CONTINUATION, 0, 1, &[]));
}

#[test]
fn a_header_bomb_costs_no_memory() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    let before = edge.resident_kib();
    // One entry of 3 KiB enters the table; each further byte of the block repeats it.
    let value = "b".repeat(3000);
    let mut bomb = block(&GOOD);
    bomb.extend_from_slice(&[0x40, 1, b'x']);
    bomb.extend_from_slice(&[0x7f, 0xb9, 0x16]); // 3000 as a seven-bit prefix integer
    bomb.extend_from_slice(value.as_bytes());
    bomb.extend(std::iter::repeat_n(0xbe, 12_000));
    let mut peers: Vec<RawPeer> = (0..16)
        .map(|_| {
            let mut peer = RawPeer::connect(edge.address, &[(4, 0)]);
            for n in 0..64 {
                let parts = [
                    frame(HEADERS, END_STREAM, n * 2 + 1, &bomb[..15_000]),
                    frame(CONTINUATION, END_HEADERS, n * 2 + 1, &bomb[15_000..]),
                ];
                if !peer.write(&parts.concat()) {
                    break;
                }
            }
            peer
        })
        .collect();
    for peer in &mut peers {
        let answer = peer.until(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        assert!(
            answer.is_none_or(|frame| status_of(&frame.payload) != 200 || frame.kind != HEADERS)
        );
    }
    let grown = edge.resident_kib().saturating_sub(before);
    assert!(grown < 32_000, "{grown} KiB");
    assert_eq!(origin.count(), 1);
}

#[test]
fn peers_that_open_no_window_cost_little_memory() {
    let origin = Origin::constant(vec![b'x'; 4 << 20]);
    let edge = Edge::before(&origin);
    edge.get("/");
    let before = edge.resident_kib();
    let mut peers: Vec<RawPeer> =
        (0..10).map(|_| RawPeer::connect(edge.address, &[(4, 0)])).collect();
    for peer in &mut peers {
        for n in 0..50 {
            peer.send(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &block(&GOOD));
        }
    }
    for peer in &mut peers {
        for _ in 0..50 {
            peer.until(|frame| frame.kind == HEADERS).expect("a head for each");
        }
    }
    let grown = edge.resident_kib().saturating_sub(before);
    assert!(grown < 32_000, "{grown} KiB for 500 streams of 4 MiB that nobody reads");
}

#[test]
fn open_streams_finish_when_the_node_drains() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |_, to| {
        to.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        let _test_is_over = wait.lock().expect("unpoisoned").recv();
        to.raw("after");
    });
    let mut edge = Edge::before(&origin);
    run(async {
        let send = connect(edge.address).await;
        let asked = send.clone();
        let download = tokio::spawn(async move { get(&asked, "/").await });
        // Kept to the end: an origin that is dropped breaks its connections.
        let _origin = tokio::task::spawn_blocking(move || {
            eventually("the origin is asked", || (origin.count() == 1).then_some(origin.count()));
            origin
        })
        .await
        .map(|origin| {
            edge.signal("TERM");
            eventually("new connections are refused", || {
                std::net::TcpStream::connect(edge.address).err()
            });
            go.send(()).expect("the origin waits");
            origin
        })
        .expect("no panic");
        let answer = download.await.expect("no panic");
        assert_eq!((answer.body.as_slice(), answer.reset), (&b"firstafter"[..], None));
    });
    assert_eq!(edge.wait().code(), Some(0));
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let origin = Origin::constant("x");
    let file = ConfigFile::new(
        "",
        &["[deadlines]\nidle = \"300ms\"\n", &config::site(&[&origin], "")].concat(),
    );
    let edge = file.start();
    let mut peer = RawPeer::connect(edge.address, &[]);
    assert!(peer.until(|frame| frame.kind == GOAWAY).is_some());
    assert!(peer.until(|_| false).is_none());
}
