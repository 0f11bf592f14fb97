//! `--memory` is a promise: whatever clients do, the process stays within it and 200 MiB beside.

use harness::http2::{END_HEADERS, END_STREAM, HEADERS, RawPeer, block};
use harness::{Client, Edge, Origin, config, content, eventually};

/// `--memory` of the tests of readers, and what a process may hold beside it, in KiB.
const MEMORY_KIB: u64 = 128 << 10;
const BESIDE_KIB: u64 = 200 << 10;

/// Clients that ask for something from somewhere in a body, and read its head at most.
fn stuck(edge: &Edge, path: &str, length: usize, count: usize) -> Vec<Client> {
    (0..count)
        .map(|number| {
            let mut client = Client::narrow(edge.address);
            // Everywhere in the body: what one of them pins no other does.
            let from = length / 2 / count * number;
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: test.example\r\nRange: bytes={from}-\r\n\r\n"
            );
            client.send(request.as_bytes());
            client
        })
        .collect()
}

fn assert_promise_under_slow_readers(arguments: &[&str], length: usize) {
    const READERS: usize = 3_000;
    let large = vec![b'x'; length];
    let origin = Origin::start(move |request, to| {
        to.cacheable(if request.target == "/large" { &large[..] } else { b"small" });
    });
    let url = origin.url();
    let mut all = vec!["--origin", &url, "--memory", "128MiB", "--workers", "2"];
    all.extend(arguments);
    let edge = Edge::start(&all);
    edge.get("/small");
    assert_eq!(edge.get("/large").body.len(), length);
    eventually("it is stored", || {
        let answer = edge.client().request("HEAD", "/large", &[], b"");
        answer.is_hit().then_some(())
    });
    let mut readers = stuck(&edge, "/large", length, READERS);
    for reader in &mut readers {
        assert_eq!(reader.head().map(|(status, _)| status), Some(206));
    }
    for _ in 0..100 {
        assert!(edge.get("/small").is_hit(), "who is quick is not held up");
    }
    let peak_kib = edge.peak_kib();
    assert!(peak_kib < MEMORY_KIB + BESIDE_KIB, "{READERS} slow readers: {peak_kib} KiB");
    let windows = edge.metrics().sum("selvedge_memory_bytes", &["part=\"windows\""]);
    assert!(windows > 0.0, "what they hold is accounted for");
    drop(readers);
    eventually("it is given back", || {
        let held = edge.metrics().sum("selvedge_memory_bytes", &["part=\"windows\""]);
        (held == 0.0).then_some(())
    });
    let fetches = origin.requests().into_iter().filter(|request| request.method == "GET").count();
    assert_eq!(fetches, 2, "no reader went to the origin");
}

#[test]
fn three_thousand_slow_readers_from_memory_stay_within_the_promise() {
    assert_promise_under_slow_readers(&[], 12 << 20);
}

#[test]
fn three_thousand_slow_readers_from_disk_stay_within_the_promise() {
    let dir = harness::temp::dir();
    let disk = dir.path().to_str().expect("a plain path");
    assert_promise_under_slow_readers(&["--disk", disk, "--disk-size", "512MiB"], 80 << 20);
}

#[test]
fn a_thousand_half_heads_stay_within_the_promise() {
    let origin = Origin::constant("x");
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "64MiB", "--workers", "2"]);
    let before_kib = edge.resident_kib();
    let mut halves: Vec<_> = (0..1_000)
        .map(|_| {
            let mut client = edge.client();
            // Piece by piece: each read asks for room.
            for piece in ["GET / HT", "TP/1.1\r\n", "Host: test.ex"] {
                client.send(piece.as_bytes());
            }
            client
        })
        .collect();
    assert_eq!(edge.get("/").status, 200);
    let grown_kib = edge.peak_kib().saturating_sub(before_kib);
    assert!(grown_kib < 64 << 10, "half a head costs {} KiB", grown_kib / 1_000);
    let last = halves.last_mut().expect("a thousand");
    last.send(b"ample\r\n\r\n");
    assert_eq!(last.response(false).status, 200);
}

#[test]
fn streams_whose_windows_stay_closed_hold_no_content() {
    const LENGTH: usize = 6 << 20;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let origin = Origin::start(|request, to| to.cacheable(content(&request.target, LENGTH)));
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "64MiB", "--workers", "2"]);
    eventually("it is stored", || edge.get("/large").is_hit().then_some(()));
    let before_kib = edge.resident_kib();
    let fields =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/large")];
    let mut peers: Vec<_> = (0..40)
        .map(|_| {
            let mut peer = RawPeer::connect(edge.address, &[(INITIAL_WINDOW_SIZE, 0)]);
            for stream in (1..200).step_by(2) {
                assert!(peer.send(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields)));
            }
            peer
        })
        .collect();
    for peer in &mut peers {
        let mut heads = 0;
        peer.until(|frame| {
            heads += u32::from(frame.kind == HEADERS);
            heads == 100
        })
        .expect("all streams are answered");
    }
    let windows = edge.metrics().sum("selvedge_memory_bytes", &["part=\"windows\""]);
    assert!(windows < 1024.0 * 1024.0, "4,000 closed streams hold {windows} bytes of content");
    let grown_kib = edge.peak_kib().saturating_sub(before_kib);
    assert!(grown_kib < 64 << 10, "4,000 closed streams cost {grown_kib} KiB");
}

#[test]
fn a_client_that_takes_nothing_does_not_keep_others_from_the_origin() {
    const LENGTH: usize = 32 << 20;
    let origin = Origin::start(|request, to| {
        let length = if request.target == "/large" { LENGTH } else { 3 };
        to.send(200, &[("Cache-Control", "no-store")], content(&request.target, length));
    });
    let site = config::site(&[&origin], "[site.origin]\nconnections_max = 2\n");
    let edge = config::ConfigFile::new("", &site).start();
    let mut slow: Vec<_> = (0..2)
        .map(|_| {
            let mut client = Client::narrow(edge.address);
            client.send(b"GET /large HTTP/1.1\r\nHost: test.example\r\n\r\n");
            assert_eq!(client.head().expect("a head").0, 200);
            client
        })
        .collect();
    let answer = edge.get("/small");
    assert_eq!((answer.status, answer.body.len()), (200, 3), "{}", answer.text());
    let metrics = edge.metrics();
    assert_eq!(metrics.sum("selvedge_origin_places_taken_back_total", &[]) as u64, 1);
    // One of them was broken off, and can see it; the other gets everything.
    let mut whole = 0;
    for client in &mut slow {
        let mut got = 0;
        loop {
            let piece = client.read_some();
            got += piece.len();
            if piece.is_empty() || got == LENGTH {
                break;
            }
        }
        whole += usize::from(got == LENGTH);
    }
    assert_eq!(whole, 1);
    eventually("it is counted", || {
        let cut = edge.metrics().sum("selvedge_errors_total", &["cause=\"client_slow\""]);
        (cut as u64 == 1).then_some(())
    });
}
