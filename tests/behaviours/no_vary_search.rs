//! `No-Vary-Search`: responses that do not depend on all of the query.

use harness::{Edge, Origin};

/// An origin that says so, and answers with the number of the request and its target.
fn says(field: &'static str) -> Origin {
    Origin::start(move |request, to| {
        let fields = [("Cache-Control", "max-age=60"), ("No-Vary-Search", field)];
        to.send(200, &fields, format!("{} {}", request.number, request.target));
    })
}

#[test]
fn queries_that_mean_the_same_share_a_response_from_the_first_on() {
    for (field, first, same, other) in [
        ("params=(\"utm\")", "/a?x=1&utm=1", "/a?utm=2&x=%31", "/a?x=2&utm=1"),
        ("key-order", "/a?x=1&y=2", "/a?y=2&x=1", "/a?x=2&y=1"),
        ("params, except=(\"id\")", "/a?id=1", "/a?z&id=1", "/a?id=2"),
        ("params", "/a", "/a?anything", "/b"),
    ] {
        let origin = says(field);
        let edge = Edge::before(&origin);
        assert_eq!(edge.get(first).text(), format!("0 {first}"));
        let second = edge.get(same);
        assert!(second.is_hit() && second.text() == format!("0 {first}"), "{field}: {second:?}");
        // The origin is asked for the whole query.
        assert_eq!(edge.get(other).text(), format!("1 {other}"), "{field}");
        assert!(edge.get(other).is_hit() && edge.get(first).is_hit(), "{field}");
    }
}

#[test]
fn a_field_that_is_malformed_folds_nothing() {
    for field in ["params=(utm)", "params=\"utm\"", "except=(\"x\")", "params=?0", "key-order, !"] {
        let origin = says(field);
        let edge = Edge::before(&origin);
        edge.get("/a?x=1&utm=1");
        assert!(!edge.get("/a?x=1&utm=2").is_hit(), "{field}");
    }
}

#[test]
fn a_response_that_does_not_say_so_answers_its_own_url_alone() {
    let origin = Origin::start(|request, to| {
        let mut fields = vec![("Cache-Control", "max-age=60")];
        if request.target.contains("free") {
            fields.push(("No-Vary-Search", "params=(\"utm\" \"free\")"));
        }
        to.send(200, &fields, request.number.to_string());
    });
    let edge = Edge::before(&origin);
    edge.get("/a?x=1&utm=1&free");
    assert!(edge.get("/a?x=1&utm=2").is_hit());
    assert_eq!(edge.get("/a?x=2&utm=1").text(), "1");
    assert_eq!(edge.get("/a?x=2&utm=2").text(), "2");
    for (path, body) in [("/a?x=2&utm=1", "1"), ("/a?x=2&utm=2", "2"), ("/a?x=1&utm=9", "0")] {
        let answer = edge.get(path);
        assert!(answer.is_hit() && answer.text() == body, "{path}: {answer:?}");
    }
}

#[test]
fn a_purge_of_any_query_that_means_the_same_takes_all_of_them_out() {
    let origin = says("params=(\"utm\")");
    let edge = Edge::before(&origin);
    edge.get("/a?x=1&utm=1");
    edge.purge(r#"{"url":"http://test.example/a?utm=7&x=1"}"#);
    let after = edge.get("/a?x=1&utm=2");
    assert_eq!(after.text(), "1 /a?x=1&utm=2", "{after:?}");
    assert!(edge.get("/a?x=1&utm=3").is_hit());
    // So does an unsafe method on any of them.
    edge.client().request("DELETE", "/a?x=1&utm=9", &[], b"");
    assert!(!edge.get("/a?x=1&utm=3").is_hit());
}
