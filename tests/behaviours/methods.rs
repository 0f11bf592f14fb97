//! What methods other than GET leave behind for later GETs: an answer to POST that stands for
//! one (RFC 9110 §9.3.3), and what a HEAD says about what is stored (RFC 9111 §4.3.5).

use harness::{Edge, Origin};

type Fields = &'static [(&'static str, &'static str)];

/// An origin that answers POST with these fields, everything else `no-store`; bodies are numbers.
fn answers_post(fields: Fields) -> Origin {
    Origin::start(move |request, to| {
        let fields =
            if request.method == "POST" { fields } else { &[("Cache-Control", "no-store")] };
        to.send(200, fields, request.number.to_string());
    })
}

#[test]
fn r9110_9_3_3_an_answer_to_post_that_names_its_own_url_answers_later_gets() {
    for location in ["/a?b", "http://test.example/a?b", "a?b", "?b"] {
        let origin = Origin::start(move |request, to| {
            let fields = [("Cache-Control", "max-age=60"), ("Content-Location", location)];
            to.send(200, &fields, request.number.to_string());
        });
        let edge = Edge::before(&origin);
        let post = edge.client().request("POST", "/a?b", &[], b"x");
        assert_eq!(post.text(), "0");
        assert_eq!(
            post.field("cache-status"),
            "selvedge; fwd=method; ttl=60; stored; detail=METHOD"
        );
        let get = edge.get("/a?b");
        assert!(get.is_hit() && get.text() == "0", "{location}: {get:?}");
        assert!(!edge.get("/a").is_hit());
        // The next one takes its place.
        assert_eq!(edge.client().request("POST", "/a?b", &[], b"x").text(), "2");
        assert_eq!(edge.get("/a?b").text(), "2");
    }
}

#[test]
fn r9110_9_3_3_an_answer_to_post_is_not_kept_without_all_of_its_conditions() {
    let table: &[Fields] = &[
        &[("Cache-Control", "max-age=60")],
        &[("Cache-Control", "max-age=60"), ("Content-Location", "/other")],
        &[("Cache-Control", "max-age=60"), ("Content-Location", "http://other.example/a")],
        &[("Cache-Control", "max-age=0"), ("Content-Location", "/a"), ("ETag", "\"e\"")],
        &[("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT"), ("Content-Location", "/a")],
        &[("Cache-Control", "private, max-age=60"), ("Content-Location", "/a")],
        &[("Cache-Control", "no-store, max-age=60"), ("Content-Location", "/a")],
    ];
    for fields in table {
        let origin = answers_post(fields);
        let edge = Edge::before(&origin);
        assert_eq!(edge.client().request("POST", "/a", &[], b"x").text(), "0", "{fields:?}");
        assert_eq!(edge.get("/a").text(), "1", "{fields:?}");
    }
    // A method that is no POST never stands for a GET.
    let origin = Origin::start(|request, to| {
        let fields = [("Cache-Control", "max-age=60"), ("Content-Location", "/a")];
        to.send(200, &fields, request.number.to_string());
    });
    let edge = Edge::before(&origin);
    edge.client().request("PUT", "/a", &[], b"x");
    assert_eq!(edge.get("/a").text(), "1");
    // Nor does what a client does not want to be stored.
    edge.client().request("POST", "/b", &[("Cache-Control", "no-store")], b"x");
    assert_eq!(edge.get("/b").text(), "3");
}

/// An origin whose GET is stale on arrival and whose HEAD answers as told.
fn answers_head(status: u16, fields: Fields) -> Origin {
    Origin::start(move |request, to| {
        if request.method == "HEAD" {
            to.raw(format!("HTTP/1.1 {status} Scripted\r\n"));
            for (name, value) in fields {
                to.raw(format!("{name}: {value}\r\n"));
            }
            to.raw("\r\n");
        } else {
            let fields = [
                ("Cache-Control", "max-age=60"),
                ("Age", if request.number == 0 { "100" } else { "0" }),
                ("ETag", "\"a\""),
                ("X-Kept", "old"),
                ("X-Changed", "old"),
            ];
            to.send(200, &fields, request.number.to_string());
        }
    })
}

#[test]
fn s4_3_5_a_head_that_confirms_freshens_what_is_stored() {
    let origin = answers_head(
        200,
        &[
            ("ETag", "\"a\""),
            ("Content-Length", "1"),
            ("X-Changed", "new"),
            ("Connection", "x-hop"),
            ("X-Hop", "1"),
        ],
    );
    let edge = Edge::before(&origin);
    edge.get("/a");
    let head = edge.client().request("HEAD", "/a", &[], b"");
    assert_eq!((head.status, head.field("x-kept"), head.field("x-changed")), (200, "old", "new"));
    assert_eq!((head.field("x-hop"), head.field("content-length")), ("", "1"));
    assert!(head.field("cache-status").contains("fwd=stale; fwd-status=200"), "{head:?}");
    let get = edge.get("/a");
    assert!(get.is_hit(), "{get:?}");
    assert_eq!(
        (get.text().as_str(), get.field("x-kept"), get.field("x-changed")),
        ("0", "old", "new")
    );
    assert_eq!(origin.count(), 2);
}

#[test]
fn s4_3_5_a_head_that_contradicts_makes_what_is_stored_stale() {
    for fields in [&[("ETag", "\"b\"")][..], &[("ETag", "\"a\""), ("Content-Length", "2")], &[]] {
        let origin = answers_head(200, fields);
        let edge = Edge::before(&origin);
        edge.get("/a");
        edge.get_with("/a", &[("Cache-Control", "no-cache")]);
        assert!(edge.get("/a").is_hit(), "{fields:?}");
        let head = edge.client().request("HEAD", "/a", &[("Cache-Control", "no-cache")], b"");
        assert_eq!(head.field("x-kept"), "", "{fields:?}");
        let before = origin.count();
        assert!(!edge.get("/a").is_hit(), "{fields:?}");
        assert_eq!(origin.count(), before + 1);
    }
}

#[test]
fn s4_3_5_a_head_that_failed_or_is_not_to_be_stored_changes_nothing() {
    for (status, asked) in [(503, "no-cache"), (200, "no-cache, no-store")] {
        let origin = answers_head(status, &[("ETag", "\"b\"")]);
        let edge = Edge::before(&origin);
        edge.get("/a");
        edge.get_with("/a", &[("Cache-Control", "no-cache")]);
        edge.client().request("HEAD", "/a", &[("Cache-Control", asked)], b"");
        assert!(edge.get("/a").is_hit(), "{status} {asked}");
    }
}
