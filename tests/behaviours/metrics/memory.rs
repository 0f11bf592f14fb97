//! What is in memory: fills, their share of the budget, refreshes, repairs.

use std::sync::{Arc, Mutex, mpsc};

use harness::{ConfigFile, Edge, Origin, config, content, eventually};

use super::{Book, assert_close};
use crate::repairs;

pub(super) fn refreshing(book: &Book) {
    const RESPONSES: usize = 12;
    let origin = Origin::start(|request, to| {
        let control = "max-age=600, stale-while-revalidate=3600";
        to.send(200, &[("Cache-Control", control)], format!("{}", request.number));
    });
    let site = config::site(&[&origin], "stale.refreshes_per_second = 1\n");
    let edge = ConfigFile::new("", &site).start();
    let path = |number: usize| format!("/{number}");
    for number in 0..RESPONSES {
        eventually("it is stored", || edge.get(&path(number)).is_hit().then_some(()));
    }
    let fetched = origin.count();
    edge.purge(r#"{"everything":true,"soft":true}"#);
    for number in 0..RESPONSES {
        assert!(edge.get(&path(number)).is_hit(), "whoever asks is answered at once");
    }
    let total = "selvedge_refreshes_total";
    book.counts(&edge, total, &["site=\"all\""], RESPONSES);
    let started = edge.metrics().count(total, &["outcome=\"started\""]);
    assert!((1..RESPONSES).contains(&started), "{started}");
    eventually("they reach the origin", || (origin.count() == fetched + started).then_some(()));
    book.counts(&edge, total, &["outcome=\"deferred\""], RESPONSES - started);
}

pub(super) fn filling(book: &Book) {
    const MEMORY: usize = 16 << 20;
    const LENGTH: usize = 1 << 20;
    const ASKED: usize = 40;
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let origin = Origin::start(move |request, to| {
        let body = content(&request.target, LENGTH);
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        to.raw(format!("{head}Content-Length: {LENGTH}\r\n\r\n"));
        to.raw(&body[..1]);
        let _test_is_over = wait.lock().expect("unpoisoned").recv();
        to.raw(&body[1..]);
    });
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "16MiB"]);
    // A sixteenth waits for a disk, an eighth is for each of three other parts.
    book.counts(&edge, "selvedge_memory_limit_bytes", &["part=\"queues\""], MEMORY / 16);
    book.counts(&edge, "selvedge_memory_limit_bytes", &["part=\"fills\""], MEMORY / 8);
    let mut clients: Vec<_> = (0..ASKED)
        .map(|number| {
            let mut client = edge.client();
            client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            assert_eq!(client.head().expect("a head").0, 200);
            client
        })
        .collect();
    // Each fill takes as much; who finds no room is answered, but not stored.
    let metrics = edge.metrics();
    let fills = metrics.count("selvedge_fills_in_flight", &[]);
    let part = &["part=\"fills\""];
    let (used, limit) = (
        metrics.count("selvedge_memory_bytes", part),
        metrics.count("selvedge_memory_limit_bytes", part),
    );
    assert!((1..ASKED).contains(&fills), "{fills}");
    let each = used / fills;
    assert!(used == fills * each && limit / each == fills, "{used} of {limit} by {fills}");
    assert_close(&metrics, "selvedge_memory_refusals_total", part, (ASKED - fills) as f64);
    let rows =
        ["selvedge_memory_bytes", "selvedge_memory_refusals_total", "selvedge_fills_in_flight"];
    for row in rows {
        book.note(row);
    }
    drop(go);
    for (number, client) in clients.iter_mut().enumerate() {
        let mut got = Vec::new();
        while got.len() < LENGTH {
            let piece = client.read_some();
            assert!(!piece.is_empty(), "it breaks off");
            got.extend_from_slice(&piece);
        }
        assert!(got == content(&format!("/{number}"), LENGTH));
    }
    eventually("all are over", || {
        let metrics = edge.metrics();
        let left = metrics.count("selvedge_fills_in_flight", &[]);
        (left + metrics.count("selvedge_memory_bytes", part) == 0).then_some(())
    });
}

pub(super) fn repairing(book: &Book) {
    let origin = repairs::origin(|_| false);
    let edge = repairs::edge(&origin);
    for client in &mut repairs::left_behind(&edge, 2) {
        repairs::rest(client);
    }
    let mut asked = (0, 0);
    for request in origin.requests() {
        let range = request.field("range").strip_prefix("bytes=").and_then(|it| it.split_once('-'));
        let Some((first, last)) = range else { continue };
        let (first, last): (usize, usize) =
            (first.parse().expect("a number"), last.parse().expect("a number"));
        asked = (asked.0 + 1, asked.1 + last + 1 - first);
    }
    book.counts(&edge, "selvedge_repairs_total", &["outcome=\"spliced\""], asked.0);
    book.counts(&edge, "selvedge_repair_bytes_total", &[], asked.1);
}
