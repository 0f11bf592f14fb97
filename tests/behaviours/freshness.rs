//! Hits, their age, and when a stored response is no longer good enough.

use harness::{Edge, Origin};

#[test]
fn the_second_request_is_a_hit_and_says_so() {
    let origin = Origin::constant("hello");
    let edge = Edge::before(&origin);

    let first = edge.get("/a");
    assert_eq!((first.status, first.text().as_str()), (200, "hello"));
    assert_eq!(first.field("cache-status"), "selvedge; fwd=uri-miss; ttl=60; stored");
    assert_eq!(first.field("via"), "1.1 selvedge");
    assert!(!first.field("date").is_empty());

    let second = edge.get("/a");
    assert_eq!((second.status, second.text().as_str()), (200, "hello"));
    assert!(second.field("cache-status").starts_with("selvedge; hit; ttl="), "{second:?}");
    assert_eq!(second.all("via"), ["1.1 selvedge"]);
    assert!(second.field("age").parse::<u64>().expect("a hit has an age") < 60);
    assert_eq!(second.field("date"), first.field("date"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn requests_are_counted_by_where_their_answer_came_from() {
    let origin = Origin::constant("hello");
    let edge = Edge::before(&origin);
    for _ in 0..4 {
        edge.get("/a");
    }
    edge.client().request("POST", "/b", &[], b"x");
    harness::eventually("five requests are counted", || {
        let metrics = edge.metrics();
        let count = |label| metrics.sum("selvedge_requests_total", &[label]);
        let counts = (count("cache=\"miss\""), count("cache=\"hit\""), count("cache=\"pass\""));
        (counts == (1.0, 3.0, 1.0)).then_some(())
    });
}

#[test]
fn the_age_that_a_response_arrived_with_counts() {
    let origin = Origin::start(|_, to| {
        to.send(200, &[("Cache-Control", "max-age=100"), ("Age", "30")], "aged");
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let hit = edge.get("/a");
    let age: u64 = hit.field("age").parse().expect("a number");
    assert!((30..60).contains(&age), "{hit:?}");
    let ttl = hit.field("cache-status").rsplit("ttl=").next().and_then(|ttl| ttl.parse().ok());
    assert!(ttl.is_some_and(|ttl: u64| (40..=70).contains(&ttl)), "{hit:?}");
}

#[test]
fn a_response_that_arrives_past_its_lifetime_is_not_reused_without_asking() {
    let origin = Origin::start(|_, to| {
        let fields = [("Cache-Control", "max-age=10"), ("Age", "10")];
        to.send(200, &fields, "old");
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let again = edge.get("/a");
    assert!(!again.is_hit());
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_lifetime_ends_by_the_clock() {
    let origin = Origin::start(|request, to| {
        to.send(200, &[("Cache-Control", "max-age=1")], format!("{}", request.number));
    });
    let edge = Edge::before(&origin);
    assert_eq!(edge.get("/a").text(), "0");
    let later = harness::eventually("the second passes", || {
        let answer = edge.get("/a");
        (answer.text() != "0").then_some(answer)
    });
    assert!(later.field("cache-status").contains("fwd=stale"), "{later:?}");
}

#[test]
fn head_is_answered_from_a_stored_get() {
    let origin = Origin::constant("twelve bytes");
    let edge = Edge::before(&origin);
    edge.get("/a");
    let mut client = edge.client();
    let head = client.request("HEAD", "/a", &[], b"");
    assert!(head.is_hit(), "{head:?}");
    assert_eq!(head.field("content-length"), "12");
    // Nothing of a body came: the connection is good for the next request.
    assert_eq!(client.request("GET", "/a", &[], b"").text(), "twelve bytes");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_request_that_wants_no_cached_answer_reaches_the_origin_and_renews_what_is_stored() {
    for wish in ["no-cache", "max-age=0", "min-fresh=1000"] {
        let origin = Origin::start(|request, to| {
            let fields = [("Cache-Control", "max-age=60"), ("Age", "5")];
            to.send(200, &fields, format!("{}", request.number));
        });
        let edge = Edge::before(&origin);
        edge.get("/a");
        let asked = edge.get_with("/a", &[("Cache-Control", wish)]);
        assert_eq!(asked.text(), "1", "{wish}: {asked:?}");
        let next = edge.get("/a");
        assert_eq!(next.text(), "1", "{wish}: {next:?}");
        assert!(next.is_hit(), "{wish}: {next:?}");
    }
}

#[test]
fn pragma_counts_only_where_no_cache_control_is() {
    let origin = Origin::start(|request, to| to.cacheable(format!("{}", request.number)));
    let edge = Edge::before(&origin);
    edge.get("/a");
    let both = [("Pragma", "no-cache"), ("Cache-Control", "max-stale=0")];
    assert_eq!(edge.get_with("/a", &both).text(), "0");
    assert_eq!(edge.get_with("/a", &[("Pragma", "no-cache")]).text(), "1");
}

#[test]
fn only_if_cached_never_reaches_the_origin() {
    let origin = Origin::constant("hello");
    let edge = Edge::before(&origin);
    let wish = [("Cache-Control", "only-if-cached")];
    assert_eq!(edge.get_with("/a", &wish).status, 504);
    assert_eq!(origin.count(), 0);
    edge.get("/a");
    let stored = edge.get_with("/a", &wish);
    assert_eq!((stored.status, stored.text().as_str()), (200, "hello"));
    assert_eq!(origin.count(), 1);
}

#[test]
fn odd_request_fields_do_not_force_a_miss() {
    let origin = Origin::constant("hello");
    let edge = Edge::before(&origin);
    edge.get("/a");
    let odd: [(&str, &str); 8] = [
        ("Accept-Encoding", "x-unheard-of;q=7"),
        ("Cache-Control", "max-age=soon, unknown, no-cacheable"),
        ("Cookie", "a=b"),
        ("Pragma", "no-caches"),
        ("Range", "bites=0-3"),
        ("If-None-Match", "not quoted"),
        ("If-Modified-Since", "yesterday"),
        ("X-Anything", "at all"),
    ];
    for field in odd {
        let answer = edge.get_with("/a", &[field]);
        assert!(answer.is_hit() && answer.text() == "hello", "{field:?}: {answer:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn host_path_and_query_tell_responses_apart() {
    let origin = Origin::start(|request, to| {
        to.cacheable(format!("{}{}", request.field("host"), request.target));
    });
    let edge = Edge::before(&origin);
    let places = [
        ("a.example", "/p"),
        ("b.example", "/p"),
        ("a.example", "/P"),
        ("a.example", "/p?"),
        ("a.example", "/p?a=1&b=2"),
        ("a.example", "/p?b=2&a=1"),
        ("a.example", "/p/"),
        ("a.example", "/p%2F"),
        ("a.example:8080", "/p"),
    ];
    for round in 0..2 {
        for (host, path) in places {
            let answer = edge.client().request_to(host, "GET", path, &[], b"");
            assert_eq!(answer.text(), format!("{host}{path}"), "round {round}");
            assert_eq!(answer.is_hit(), round == 1, "{host}{path}: {answer:?}");
        }
    }
    // What differs in spelling only is one URL.
    let same = edge.client().request_to("A.Example", "GET", "/p", &[], b"");
    assert!(same.is_hit(), "{same:?}");
}

#[test]
fn only_if_cached_never_asks_the_origin_even_where_the_cache_has_no_part_in_it() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let wish = ("Cache-Control", "only-if-cached");
    edge.get("/a");
    let mut client = edge.client();
    assert_eq!(client.request("GET", "/a", &[wish], b"content").status, 504);
    let secret = ("Authorization", "Basic eDp5");
    assert_eq!(edge.get_with("/a", &[wish, secret]).status, 504);
    assert_eq!(origin.count(), 1);
    // A method that changes something is no question to a cache.
    assert_eq!(edge.client().request("POST", "/a", &[wish], b"content").status, 200);
}
