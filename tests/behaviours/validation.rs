//! Validators: towards the origin for what is stale, towards the client for what it has.

use harness::{Edge, Origin};

const PAST: &str = "Mon, 01 Jan 2001 00:00:00 GMT";
const LATER: &str = "Tue, 02 Jan 2001 00:00:00 GMT";

/// Stale on arrival, with a validator.
const STALE: [(&str, &str); 3] =
    [("Cache-Control", "max-age=10"), ("Age", "100"), ("ETag", "\"v1\"")];

#[test]
fn a_stale_response_is_validated_and_takes_over_what_the_304_says() {
    let origin = Origin::start(|request, to| {
        if request.number == 0 {
            let fields = [STALE[0], STALE[1], STALE[2], ("X-Old", "kept"), ("X-Both", "old")];
            to.send(200, &fields, "body");
        } else {
            let fields = [("Cache-Control", "max-age=60"), ("ETag", "\"v1\""), ("X-Both", "new")];
            to.send(304, &fields, "");
        }
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let validated = edge.get("/a");
    assert_eq!((validated.status, validated.text().as_str()), (200, "body"));
    let status = validated.field("cache-status");
    assert!(status.contains("fwd=stale") && status.contains("fwd-status=304"), "{status}");
    assert_eq!(origin.requests()[1].field("if-none-match"), "\"v1\"");

    let hit = edge.get("/a");
    assert!(hit.is_hit(), "{hit:?}");
    assert_eq!(hit.text(), "body");
    assert_eq!((hit.field("x-old"), hit.all("x-both")), ("kept", vec!["new"]));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_date_validates_where_there_is_no_tag() {
    let origin = Origin::start(|request, to| match request.number {
        0 => {
            let fields = [STALE[0], STALE[1], ("Last-Modified", PAST)];
            to.send(200, &fields, "body");
        }
        _ => to.send(304, &[("Cache-Control", "max-age=60")], ""),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    assert_eq!(edge.get("/a").text(), "body");
    assert_eq!(origin.requests()[1].field("if-modified-since"), PAST);
    assert!(edge.get("/a").is_hit());
}

#[test]
fn a_changed_response_replaces_the_stale_one() {
    let origin = Origin::start(|request, to| match request.number {
        0 => to.send(200, &STALE, "old"),
        _ => to.send(200, &[("Cache-Control", "max-age=60"), ("ETag", "\"v2\"")], "new"),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    assert_eq!(edge.get("/a").text(), "new");
    let hit = edge.get("/a");
    assert_eq!((hit.text().as_str(), hit.field("etag"), hit.is_hit()), ("new", "\"v2\"", true));
}

#[test]
fn a_304_about_another_representation_is_not_believed() {
    let origin = Origin::start(|request, to| {
        if request.number == 0 {
            to.send(200, &STALE, "old");
        } else if request.field("if-none-match").is_empty() {
            to.send(200, &[("Cache-Control", "max-age=60"), ("ETag", "\"v2\"")], "new");
        } else {
            to.send(304, &[("Cache-Control", "max-age=60"), ("ETag", "\"v2\"")], "");
        }
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let answer = edge.get("/a");
    assert_eq!((answer.status, answer.text().as_str()), (200, "new"), "{answer:?}");
    assert_eq!(edge.get("/a").text(), "new");
}

#[test]
fn no_cache_is_stored_and_asked_about_every_time() {
    let origin = Origin::start(|request, to| {
        let fields = [("Cache-Control", "no-cache, max-age=60"), ("ETag", "\"v1\"")];
        if request.field("if-none-match") == "\"v1\"" {
            to.send(304, &fields, "");
        } else {
            to.send(200, &fields, "body");
        }
    });
    let edge = Edge::before(&origin);
    for _ in 0..3 {
        let answer = edge.get("/a");
        assert_eq!((answer.status, answer.text().as_str(), answer.is_hit()), (200, "body", false));
    }
    let asked: Vec<_> =
        origin.requests().iter().map(|r| r.field("if-none-match").to_owned()).collect();
    assert_eq!(asked, ["", "\"v1\"", "\"v1\""]);
}

/// A node with one response in the cache: tag `"v1"`, modified at [`PAST`].
fn with_stored() -> (Origin, Edge) {
    let origin = Origin::start(|_, to| {
        let fields = [("Cache-Control", "max-age=60"), ("ETag", "\"v1\""), ("Last-Modified", PAST)];
        to.send(200, &fields, "body");
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    (origin, edge)
}

#[test]
fn a_client_that_has_it_is_told_so_without_the_origin() {
    let (origin, edge) = with_stored();
    let conditions = [
        ("If-None-Match", "\"v1\""),
        ("If-None-Match", "W/\"v1\""),
        ("If-None-Match", "\"v0\", \"v1\""),
        ("If-None-Match", "*"),
        ("If-Modified-Since", PAST),
        ("If-Modified-Since", LATER),
    ];
    for condition in conditions {
        let mut client = edge.client();
        let answer = client.request("GET", "/a", &[condition], b"");
        assert_eq!(answer.status, 304, "{condition:?}: {answer:?}");
        assert_eq!(answer.field("etag"), "\"v1\"", "{condition:?}");
        assert!(answer.field("cache-status").contains("hit"), "{condition:?}");
        // No body came along.
        assert_eq!(client.request("GET", "/a", &[], b"").text(), "body", "{condition:?}");
        let head = edge.client().request("HEAD", "/a", &[condition], b"");
        assert_eq!(head.status, 304, "HEAD {condition:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_that_has_something_else_gets_the_body() {
    let (origin, edge) = with_stored();
    let conditions: [&[(&str, &str)]; 4] = [
        &[("If-None-Match", "\"v0\"")],
        &[("If-Modified-Since", "Sun, 31 Dec 2000 00:00:00 GMT")],
        // The date does not count beside a tag.
        &[("If-None-Match", "\"v0\""), ("If-Modified-Since", LATER)],
        &[("If-Match", "\"v1\"")],
    ];
    for condition in conditions {
        let answer = edge.get_with("/a", condition);
        assert_eq!((answer.status, answer.text().as_str()), (200, "body"), "{condition:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_precondition_that_fails_is_412() {
    let (_origin, edge) = with_stored();
    let conditions = [
        ("If-Match", "\"v0\""),
        ("If-Match", "W/\"v1\""),
        ("If-Unmodified-Since", "Sun, 31 Dec 2000 00:00:00 GMT"),
    ];
    for condition in conditions {
        let answer = edge.get_with("/a", &[condition]);
        assert_eq!(answer.status, 412, "{condition:?}: {answer:?}");
        assert_ne!(answer.text(), "body");
    }
}

#[test]
fn a_condition_of_one_client_does_not_decide_what_is_stored_for_all() {
    let origin = Origin::start(|request, to| {
        let fields = [("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")];
        if request.field("if-none-match").is_empty() {
            to.send(200, &fields, "body");
        } else {
            to.send(304, &fields, "");
        }
    });
    let edge = Edge::before(&origin);
    let first = edge.get_with("/a", &[("If-None-Match", "\"v1\"")]);
    assert_eq!(first.status, 304, "{first:?}");
    let hit = harness::eventually("the fill ends", || {
        let answer = edge.get("/a");
        answer.is_hit().then_some(answer)
    });
    assert_eq!(hit.text(), "body");
    assert_eq!(origin.count(), 1);
    assert_eq!(origin.requests()[0].count("if-none-match"), 0);
}

#[test]
fn a_client_with_an_old_tag_gets_what_the_validation_found() {
    let origin = Origin::start(|request, to| match request.number {
        0 => to.send(200, &STALE, "body"),
        _ => to.send(304, &[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")], ""),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let old = edge.get_with("/a", &[("If-None-Match", "\"v0\"")]);
    assert_eq!((old.status, old.text().as_str()), (200, "body"));
    // The origin was asked about ours, not about the client's.
    assert_eq!(origin.requests()[1].field("if-none-match"), "\"v1\"");
}

#[test]
fn a_head_about_something_stale_is_validated_too() {
    let origin = Origin::start(|request, to| match request.field("if-none-match") {
        "\"v1\"" => to.send(304, &[("Cache-Control", "max-age=60")], ""),
        _ if request.method == "HEAD" => {
            to.raw("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 4\r\n\r\n");
        }
        _ => to.send(200, &STALE, "body"),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let mut client = edge.client();
    let head = client.request("HEAD", "/a", &[], b"");
    assert_eq!((head.status, head.field("content-length")), (200, "4"), "{head:?}");
    assert_eq!(client.request("GET", "/a", &[], b"").text(), "body");
}

#[test]
fn only_if_cached_does_not_validate() {
    let origin = Origin::start(|_, to| to.send(200, &STALE, "body"));
    let edge = Edge::before(&origin);
    edge.get("/a");
    let answer = edge.get_with("/a", &[("Cache-Control", "only-if-cached")]);
    assert_eq!(answer.status, 504);
    assert_eq!(origin.count(), 1);
}
