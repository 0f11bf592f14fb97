//! Purges that meet a fetch under way: what was asked for before may not come back after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use harness::client::Ending;
use harness::{Client, Edge, Latch, Origin, Response, eventually};

fn asking(edge: &Edge) -> thread::JoinHandle<Response> {
    let address = edge.address;
    thread::spawn(move || Client::connect(address).request("GET", "/a", &[], b""))
}

/// A node whose origin holds its first answer until `go`; answers are `old`, then `new`.
fn held(go: &Latch) -> (Origin, Edge) {
    let held = go.clone();
    let origin = Origin::start(move |request, to| {
        let fields = [("Cache-Control", "max-age=60"), ("Cache-Tag", "t")];
        if request.number == 0 {
            held.wait();
            to.send(200, &fields, "old");
        } else {
            to.send(200, &fields, "new");
        }
    });
    let edge = Edge::before(&origin);
    (origin, edge)
}

const SELECTORS: [&str; 5] = [
    r#"{"url":"http://test.example/a"}"#,
    r#"{"prefix":"http://test.example/"}"#,
    r#"{"tag":"t"}"#,
    r#"{"host":"test.example"}"#,
    r#"{"everything":true}"#,
];

#[test]
fn a_fetch_that_was_sent_before_a_purge_does_not_fill_the_cache() {
    for selector in SELECTORS {
        let go = Latch::default();
        let (origin, edge) = held(&go);
        let before = asking(&edge);
        eventually("the fetch is sent", || (origin.count() == 1).then_some(()));
        edge.purge(selector);
        go.open();
        // Whoever asked before the purge may have either; afterwards only the new one is right.
        let _either = before.join().expect("an answer");
        for _ in 0..2 {
            assert_eq!(edge.get("/a").text(), "new", "{selector}");
        }
    }
}

#[test]
fn who_arrives_after_the_purge_never_gets_what_was_fetched_before() {
    for selector in SELECTORS {
        let go = Latch::default();
        let (origin, edge) = held(&go);
        let before = asking(&edge);
        eventually("the fetch is sent", || (origin.count() == 1).then_some(()));
        edge.purge(selector);
        // These come while the old fetch still waits. By its tag they cannot know yet whether
        // they may use it, so some of them may have to wait for its head.
        let after: Vec<_> = (0..4).map(|_| asking(&edge)).collect();
        if !selector.contains("tag") {
            eventually("a second fetch is sent", || (origin.count() >= 2).then_some(()));
        }
        go.open();
        before.join().expect("an answer");
        for client in after {
            assert_eq!(client.join().expect("an answer").text(), "new", "{selector}");
        }
    }
}

#[test]
fn a_purge_during_the_body_neither_mixes_nor_keeps_the_old_one() {
    for selector in SELECTORS {
        let go = Latch::default();
        let held = go.clone();
        let origin = Origin::start(move |request, to| {
            if request.number == 0 {
                to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Tag: t\r\n");
                to.raw("Content-Length: 8\r\n\r\nold-");
                held.wait();
                to.raw("body");
            } else {
                to.send(200, &[("Cache-Control", "max-age=60"), ("Cache-Tag", "t")], "new-body");
            }
        });
        let edge = Edge::before(&origin);
        let mut reader = edge.client();
        reader.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
        reader.head().expect("a head");
        let mut got = reader.read_some();
        edge.purge(selector);
        // The old body is still on its way, and already nobody new gets it.
        assert_eq!(edge.get("/a").text(), "new-body", "{selector}");
        go.open();
        while got.len() < 8 {
            let piece = reader.read_some();
            if piece.is_empty() {
                break;
            }
            got.extend(piece);
        }
        // The reader of the old one has it whole, or sees that it was cut.
        assert!(b"old-body".starts_with(&got[..]), "{selector}: {got:?}");
        assert_eq!(edge.get("/a").text(), "new-body", "{selector}");
    }
}

#[test]
fn a_304_to_a_question_from_before_the_purge_does_not_resurrect() {
    for (selector, soft) in SELECTORS.iter().flat_map(|s| [(*s, false), (*s, true)]) {
        let go = Latch::default();
        let held = go.clone();
        let origin = Origin::start(move |request, to| {
            let fresh = [("Cache-Control", "max-age=60"), ("ETag", "\"v1\""), ("Cache-Tag", "t")];
            if request.number == 0 {
                let aged = [fresh[0], ("Age", "100"), fresh[1], fresh[2]];
                to.send(200, &aged, "old");
            } else if request.field("if-none-match") == "\"v1\"" {
                if request.number == 1 {
                    held.wait();
                }
                to.send(304, &fresh, "");
            } else {
                to.send(200, &[("Cache-Control", "max-age=60"), ("ETag", "\"v2\"")], "new");
            }
        });
        let edge = Edge::before(&origin);
        edge.get("/a");
        let before = asking(&edge);
        eventually("the question is asked", || (origin.count() == 2).then_some(()));
        let body = selector.replace('}', if soft { r#","soft":true}"# } else { "}" });
        edge.purge(&body);
        let after = asking(&edge);
        go.open();
        before.join().expect("an answer");
        let after = after.join().expect("an answer");
        if soft {
            // It may be validated by a later question: the answer of the first one is no proof.
            assert!(matches!(after.text().as_str(), "old" | "new"), "{body}: {after:?}");
            let asked = origin.count();
            assert!(asked >= 3, "{body}: answered by a question from before the purge");
        } else {
            assert_eq!(after.text(), "new", "{body}: {after:?}");
            assert_eq!(edge.get("/a").text(), "new", "{body}");
        }
    }
}

#[test]
fn a_background_refresh_from_before_the_purge_does_not_fill_the_cache() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| match request.number {
        0 => {
            let directives = "max-age=10, stale-while-revalidate=1000";
            to.send(200, &[("Cache-Control", directives), ("Age", "100")], "oldest");
        }
        1 => {
            held.wait();
            to.cacheable("old");
        }
        _ => to.cacheable("new"),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    assert_eq!(edge.get("/a").text(), "oldest");
    eventually("the refresh is sent", || (origin.count() == 2).then_some(()));
    edge.purge(r#"{"url":"http://test.example/a"}"#);
    go.open();
    for _ in 0..3 {
        assert_eq!(edge.get("/a").text(), "new");
    }
}

#[test]
fn an_unsafe_request_during_a_fetch_keeps_the_old_answer_out() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| match request.number {
        0 => {
            held.wait();
            to.cacheable("old");
        }
        _ if request.method == "POST" => to.send(204, &[], ""),
        _ => to.cacheable("new"),
    });
    let edge = Edge::before(&origin);
    let before = asking(&edge);
    eventually("the fetch is sent", || (origin.count() == 1).then_some(()));
    edge.client().request("POST", "/a", &[], b"x");
    go.open();
    before.join().expect("an answer");
    assert_eq!(edge.get("/a").text(), "new");
}

#[test]
fn under_load_no_answer_is_older_than_the_last_purge_before_its_request() {
    // The origin's content is a counter that the test raises before each purge.
    let version = Arc::new(AtomicUsize::new(0));
    let truth = Arc::clone(&version);
    let origin = Origin::start(move |_, to| {
        let body = format!("{}", truth.load(Ordering::SeqCst));
        to.send(200, &[("Cache-Control", "max-age=60"), ("Cache-Tag", "t")], body);
    });
    let edge = Edge::start(&["--origin", &origin.url(), "--workers", "2"]);
    let purged = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (purged, stop, address) = (Arc::clone(&purged), Arc::clone(&stop), edge.address);
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut count = 0;
                while !stop.load(Ordering::SeqCst) {
                    let at_least = purged.load(Ordering::SeqCst);
                    let answer = client.request("GET", "/a", &[], b"");
                    assert_eq!(answer.ending, Ending::Clean);
                    let got: usize = answer.text().parse().expect("a number");
                    assert!(got >= at_least, "{got} after the purge of {at_least}: {answer:?}");
                    count += 1;
                }
                count
            })
        })
        .collect();
    for round in 1..=100 {
        version.store(round, Ordering::SeqCst);
        let selector = SELECTORS[round % SELECTORS.len()];
        edge.purge(selector);
        purged.store(round, Ordering::SeqCst);
    }
    stop.store(true, Ordering::SeqCst);
    let answers: usize = readers.into_iter().map(|r| r.join().expect("right answers")).sum();
    assert!(answers > 0);
}
