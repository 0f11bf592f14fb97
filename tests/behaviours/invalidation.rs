//! Methods that change something at the origin make what is stored of it unusable
//! (RFC 9111 §4.4).

use harness::{Edge, Origin};

/// An origin whose `GET` answers tell their number, and whose other answers are as told.
fn origin(status: u16, fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::start(move |request, to| {
        if request.method == "GET" {
            to.cacheable(format!("{}", request.number));
        } else {
            to.send(status, fields, "");
        }
    })
}

#[test]
fn every_unsafe_method_that_succeeds_invalidates_its_url() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "UNHEARD-OF"] {
        let origin = origin(204, &[]);
        let edge = Edge::before(&origin);
        edge.get("/a");
        edge.get("/other");
        edge.client().request(method, "/a", &[], b"x");
        let after = edge.get("/a");
        assert!(!after.is_hit(), "{method}: {after:?}");
        assert!(edge.get("/other").is_hit(), "{method}");
    }
}

#[test]
fn safe_methods_and_failures_invalidate_nothing() {
    for (method, status) in [("POST", 404), ("PUT", 500), ("OPTIONS", 200), ("HEAD", 200)] {
        let origin = origin(status, &[]);
        let edge = Edge::before(&origin);
        edge.get("/a");
        edge.client().request(method, "/a", &[], b"");
        assert!(edge.get("/a").is_hit(), "{method} {status}");
    }
}

#[test]
fn the_places_that_a_change_names_are_invalidated_on_the_same_host() {
    let origin = origin(
        201,
        &[("Location", "/made"), ("Content-Location", "http://test.example/list?page=1")],
    );
    let edge = Edge::before(&origin);
    for path in ["/made", "/list?page=1", "/list"] {
        edge.get(path);
    }
    edge.client().request("POST", "/form", &[], b"x");
    assert!(!edge.get("/made").is_hit());
    assert!(!edge.get("/list?page=1").is_hit());
    assert!(edge.get("/list").is_hit());
}

#[test]
fn a_change_cannot_invalidate_what_belongs_to_another_host() {
    let origin = origin(201, &[("Location", "http://victim.example/a")]);
    let edge = Edge::before(&origin);
    let victim = || edge.client().request_to("victim.example", "GET", "/a", &[], b"");
    victim();
    edge.client().request("POST", "/form", &[], b"x");
    assert!(victim().is_hit());
}

#[test]
fn a_change_whose_answer_never_came_invalidates_too() {
    let origin = Origin::start(|request, to| {
        if request.method == "GET" {
            to.cacheable(format!("{}", request.number));
        } else {
            to.break_off();
        }
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let answer = edge.client().request("POST", "/a", &[], b"x");
    assert_eq!(answer.status, 502);
    assert!(!edge.get("/a").is_hit());
}

#[test]
fn answers_to_post_are_not_stored() {
    let origin = Origin::start(|request, to| to.cacheable(format!("{}", request.number)));
    let edge = Edge::before(&origin);
    let post = || edge.client().request("POST", "/a", &[], b"x").text();
    assert_eq!((post().as_str(), post().as_str()), ("0", "1"));
    assert_eq!(edge.get("/a").text(), "2");
}
