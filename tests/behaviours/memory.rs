//! The memory bound: what does not fit makes room, and every answer stays right.

use harness::{Client, Edge, Origin, content, eventually};

#[test]
fn more_than_fits_is_still_answered_right_and_the_process_stays_small() {
    const LENGTH: usize = 256 << 10;
    const OBJECTS: usize = 400;
    let origin = Origin::start(|request, to| to.cacheable(content(&request.target, LENGTH)));
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "16MiB", "--workers", "2"]);
    let before_kib = edge.resident_kib();
    let mut client = edge.client();
    for _ in 0..2 {
        for number in 0..OBJECTS {
            let path = format!("/{number}");
            let answer = client.request("GET", &path, &[], b"");
            assert!(answer.body == content(&path, LENGTH), "{path}");
        }
    }
    let grown_kib = edge.peak_kib().saturating_sub(before_kib);
    assert!(grown_kib < 64 << 10, "100 MiB passed through; memory grew by {grown_kib} KiB");
    let metrics = edge.metrics();
    assert!(metrics.sum("selvedge_store_evictions_total", &["tier=\"memory\""]) > 0.0);
    let held: f64 = metrics.sum("selvedge_memory_bytes", &[]);
    assert!(held <= 16.0 * 1024.0 * 1024.0, "{held} bytes are accounted for");
}

#[test]
fn one_body_larger_than_memory_passes_through() {
    const LENGTH: usize = 48 << 20;
    let origin = Origin::start(|request, to| to.cacheable(content(&request.target, LENGTH)));
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "16MiB", "--workers", "1"]);
    let before_kib = edge.resident_kib();
    let whole = content("/huge", LENGTH);
    for _ in 0..2 {
        let answer = edge.get("/huge");
        assert!(answer.body == whole, "{:?} {}", answer.ending, answer.body.len());
    }
    let grown_kib = edge.peak_kib().saturating_sub(before_kib);
    assert!(grown_kib < 64 << 10, "memory grew by {grown_kib} KiB");
}

#[test]
fn of_a_body_larger_than_memory_every_reader_gets_all_at_a_pace_of_its_own() {
    const LENGTH: usize = 24 << 20;
    let origin = Origin::start(|request, to| to.cacheable(content(&request.target, LENGTH)));
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "16MiB", "--workers", "1"]);
    let whole = content("/huge", LENGTH);
    let mut slow: Vec<_> = (0..3).map(|_| started(&edge, "/huge")).collect();
    // A quick one goes by.
    let quick = edge.get("/huge");
    assert!(quick.body == whole, "{:?} after {}", quick.ending, quick.body.len());
    for client in &mut slow {
        assert_rest(client, &whole);
    }
}

/// A client that asked and has read nothing but the head.
fn started(edge: &Edge, path: &str) -> Client {
    let mut client = edge.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes());
    client.head().expect("a head");
    client
}

fn assert_rest(client: &mut Client, whole: &[u8]) {
    let mut got = 0;
    while got < whole.len() {
        let piece = client.read_some();
        assert!(!piece.is_empty(), "cut after {got} bytes");
        assert!(whole[got..].starts_with(&piece), "wrong bytes after {got}");
        got += piece.len();
    }
}

#[test]
fn readers_that_stop_reading_do_not_pin_memory() {
    const LENGTH: usize = 2 << 20;
    let origin = Origin::start(|request, to| to.cacheable(content(&request.target, LENGTH)));
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "32MiB", "--workers", "2"]);
    edge.get("/big");
    eventually("it is stored", || edge.get("/big").is_hit().then_some(()));
    let before_kib = edge.resident_kib();
    let mut stuck: Vec<_> = (0..200).map(|_| started(&edge, "/big")).collect();
    // Others are served meanwhile, and what the stuck ones cost has a bound.
    let whole = content("/big", LENGTH);
    assert!(edge.get("/big").body == whole);
    let grown_kib = edge.resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 64 << 10, "200 stuck readers cost {grown_kib} KiB");
    // One of them changes its mind and reads everything.
    assert_rest(&mut stuck.pop().expect("200 clients"), &whole);
    assert_eq!(origin.count(), 1);
}
