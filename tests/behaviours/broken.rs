//! An origin that breaks off in the middle: nobody takes half for the whole, now or later.

use std::thread;

use harness::client::Ending;
use harness::{Client, Edge, Latch, Origin, eventually};

/// An origin that breaks off its first answer and sends whole ones afterwards.
fn cut(framing: &'static str, piece: &'static str, go: Latch) -> Origin {
    Origin::start(move |request, to| {
        if request.number == 0 {
            to.raw(format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{framing}\r\n{piece}"));
            go.wait();
            to.close();
        } else {
            to.cacheable("the whole thing");
        }
    })
}

fn assert_nobody_takes_it_for_whole(framing: &'static str, piece: &'static str) {
    let go = Latch::default();
    let origin = cut(framing, piece, go.clone());
    let edge = Edge::before(&origin);
    let address = edge.address;
    let read =
        move || thread::spawn(move || Client::connect(address).request("GET", "/a", &[], b""));
    let mut clients = vec![read()];
    eventually("the fetch is under way", || (origin.count() == 1).then_some(()));
    let mut along = edge.client();
    along.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
    along.head().expect("a follower has a head while the fill runs");
    clients.extend((0..4).map(|_| read()));
    eventually("all are there", || {
        (edge.metrics().sum("selvedge_connections_open", &[]) >= 6.0).then_some(())
    });
    go.open();
    for client in clients {
        let answer = client.join().expect("an answer");
        // Whoever came late enough may have been given the second, whole answer.
        let is_whole = answer.text() == "the whole thing" && answer.ending == Ending::Clean;
        assert!(is_whole || answer.ending == Ending::Cut, "{answer:?}");
    }
    let rest = String::from_utf8_lossy(&along.rest()).into_owned();
    assert!(!rest.contains("0\r\n\r\n"), "a clean end of half a body: {rest:?}");

    let next = edge.get("/a");
    assert_eq!((next.text().as_str(), next.ending), ("the whole thing", Ending::Clean));
}

#[test]
fn half_a_body_with_a_length_is_neither_stored_nor_shown_as_whole() {
    assert_nobody_takes_it_for_whole("Content-Length: 1000\r\n", "the first half");
}

#[test]
fn half_a_chunked_body_is_neither_stored_nor_shown_as_whole() {
    assert_nobody_takes_it_for_whole("Transfer-Encoding: chunked\r\n", "5\r\nfirst\r\n");
}

#[test]
fn a_body_cut_inside_a_chunk_is_neither_stored_nor_shown_as_whole() {
    assert_nobody_takes_it_for_whole("Transfer-Encoding: chunked\r\n", "ff\r\nfirst");
}

#[test]
fn half_of_what_is_not_stored_is_not_shown_as_whole_either() {
    for framing in
        ["Content-Length: 1000\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
    {
        let origin = Origin::start(move |_, to| {
            to.raw(format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n{framing}"));
            to.close();
        });
        let edge = Edge::before(&origin);
        let answer = edge.get("/a");
        assert!(answer.ending == Ending::Cut || answer.status == 502, "{framing}: {answer:?}");
        let post = edge.client().request("POST", "/a", &[], b"x");
        assert!(post.ending == Ending::Cut || post.status == 502, "{framing}: {post:?}");
    }
}

#[test]
fn a_validation_cut_off_leaves_what_is_stored_alone() {
    let origin = Origin::start(|request, to| {
        let stale = [("Cache-Control", "max-age=10"), ("Age", "20"), ("ETag", "\"v1\"")];
        match request.number {
            0 => to.send(200, &stale, "old and whole"),
            1 => {
                to.raw(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 99\r\n\r\nnew",
                );
                to.close();
            }
            _ => {
                assert_eq!(request.field("if-none-match"), "\"v1\"");
                to.send(304, &[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")], "");
            }
        }
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    assert_eq!(edge.get("/a").ending, Ending::Cut);
    let next = edge.get("/a");
    assert_eq!(next.text(), "old and whole", "{next:?}");
}

#[test]
fn more_bytes_than_announced_do_not_become_the_next_answer() {
    let origin = Origin::start(|request, to| {
        if request.target == "/a" {
            to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nevil");
        } else {
            to.cacheable("good");
        }
    });
    let edge = Edge::before(&origin);
    assert_eq!(edge.get("/a").text(), "ok");
    assert_eq!(edge.get("/b").text(), "good");
    assert_eq!(edge.get("/a").text(), "ok");
    assert_eq!(edge.get("/b").text(), "good");
}

#[test]
fn r9112_6_3_a_coding_that_does_not_exist_ends_with_the_connection_and_is_not_passed_on() {
    let origin = Origin::start(|request, to| {
        if request.target == "/a" {
            to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: no-such\r\n\r\n");
            to.raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            to.close();
        } else {
            to.cacheable("good");
        }
    });
    let edge = Edge::before(&origin);
    for hit in [false, true] {
        let answer = edge.get("/a");
        assert_eq!(answer.text(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        assert_eq!(
            (answer.is_hit(), answer.field("transfer-encoding")),
            (hit, if hit { "" } else { "chunked" })
        );
    }
    assert_eq!(edge.get("/b").text(), "good");
}
