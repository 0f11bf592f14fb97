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

/// A node whose `GET` answers carry the groups of their query, and whose `POST /form?GROUPS` tells
/// which groups it changed (`!` stands for a quotation mark).
fn grouped() -> (Origin, Edge) {
    let origin = Origin::start(|request, to| {
        let said = request.target.split_once('?').map_or("", |(_, said)| said).replace('!', "\"");
        if request.method == "GET" {
            let fields = [("Cache-Control", "max-age=60"), ("Cache-Groups", said.as_str())];
            to.send(200, &fields, format!("{}", request.number));
        } else {
            let status = if request.target.starts_with("/fails") { 500 } else { 204 };
            to.send(status, &[("Cache-Group-Invalidation", said.as_str())], "");
        }
    });
    let edge = Edge::before(&origin);
    (origin, edge)
}

#[test]
fn a_change_invalidates_the_groups_that_its_answer_names() {
    let (_origin, edge) = grouped();
    let places = ["/a?!x!", "/b?!x!,!y!", "/c?!y!", "/d"];
    let hits = || places.map(|place| edge.get(place).is_hit());
    hits();
    assert_eq!(hits(), [true; 4]);
    edge.client().request("POST", "/form?!x!", &[], b"x");
    assert_eq!(hits(), [false, false, true, true]);
    assert_eq!(hits(), [true; 4], "what was fetched afterwards is kept");
    let counted = edge.metrics();
    assert_eq!(counted.count("selvedge_invalidations_total", &["of=\"group\""]), 1);
    assert!(edge.metrics().sum("selvedge_purge_position", &[]) < 0.5, "it is no purge");
}

#[test]
fn a_group_is_not_invalidated_by_reading_by_failing_or_on_another_host() {
    let (_origin, edge) = grouped();
    let elsewhere = || edge.client().request_to("other.example", "GET", "/a?!x!", &[], b"");
    edge.get("/a?!x!");
    elsewhere();
    edge.client().request("OPTIONS", "/form?!x!", &[], b"");
    edge.client().request("POST", "/fails?!x!", &[], b"");
    edge.client().request("POST", "/form?x", &[], b"");
    assert!(edge.get("/a?!x!").is_hit());
    edge.client().request("POST", "/form?!x!", &[], b"");
    assert!(!edge.get("/a?!x!").is_hit());
    assert!(elsewhere().is_hit(), "groups belong to one origin (RFC 9875 section 3)");
}

#[test]
fn an_answer_that_names_too_many_groups_invalidates_every_group_of_its_host() {
    let (_origin, edge) = grouped();
    edge.get("/a?!x!");
    edge.get("/d");
    let many: Vec<_> = (0..200).map(|n| format!("!{n}!")).collect();
    edge.client().request("POST", &format!("/form?{}", many.join(",")), &[], b"x");
    assert!(!edge.get("/a?!x!").is_hit());
    assert!(edge.get("/d").is_hit(), "it carries no tag");
}
