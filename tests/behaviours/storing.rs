//! What is stored, what is not, and what reaches nobody else.

use harness::{Edge, Origin, Response};

/// Fields of a response, and whether it may be stored.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

/// Asks for each case twice; says which were answered from the cache the second time.
fn stored(status: u16, cases: &'static [Case]) -> Vec<(&'static str, bool)> {
    let origin = Origin::start(move |request, to| {
        let number: usize = request.target[1..].parse().expect("our own path");
        to.send(status, cases[number].1, format!("{}", request.number));
    });
    let edge = Edge::before(&origin);
    let twice = |number: usize| {
        let path = format!("/{number}");
        let first = edge.get(&path);
        assert_eq!(first.status, status, "{first:?}");
        let second = edge.get(&path);
        assert_eq!(second.is_hit(), first.body == second.body, "{second:?}");
        second.is_hit()
    };
    (0..cases.len()).map(|number| (cases[number].0, twice(number))).collect()
}

fn assert_all(found: &[(&'static str, bool)], expected: bool) {
    let wrong: Vec<_> =
        found.iter().filter(|(_, hit)| *hit != expected).map(|(name, _)| *name).collect();
    assert!(wrong.is_empty(), "stored should be {expected}: {wrong:?}");
}

const FAR: &str = "Fri, 01 Jan 2100 00:00:00 GMT";
const PAST: &str = "Mon, 01 Jan 2001 00:00:00 GMT";

#[test]
fn what_the_origin_keeps_for_itself_is_not_stored() {
    let cases: &[Case] = &[
        ("no freshness", &[]),
        ("no-store", &[("Cache-Control", "no-store, max-age=60")]),
        ("private", &[("Cache-Control", "private, max-age=60")]),
        ("upper case", &[("Cache-Control", "max-age=60, NO-STORE")]),
        ("second line", &[("Cache-Control", "max-age=60"), ("Cache-Control", "private")]),
        ("no-cache", &[("Cache-Control", "no-cache")]),
        ("max-age=0", &[("Cache-Control", "max-age=0")]),
        ("s-maxage=0", &[("Cache-Control", "max-age=60, s-maxage=0")]),
        ("invalid max-age", &[("Cache-Control", "max-age=sixty")]),
        ("the smaller of two", &[("Cache-Control", "max-age=60, max-age=0")]),
        ("Expires: 0", &[("Expires", "0")]),
        ("past Expires", &[("Expires", PAST)]),
        ("max-age=0 over Expires", &[("Cache-Control", "max-age=0"), ("Expires", FAR)]),
        ("Vary: *", &[("Cache-Control", "max-age=60"), ("Vary", "*")]),
        ("Vary: * among others", &[("Cache-Control", "max-age=60"), ("Vary", "accept, *")]),
        ("guessed, with a cookie", &[("Last-Modified", PAST), ("Set-Cookie", "id=1")]),
        ("Pragma is no lifetime", &[("Pragma", "cache")]),
    ];
    assert_all(&stored(200, cases), false);
}

#[test]
fn what_may_be_shared_is_stored() {
    let cases: &[Case] = &[
        ("max-age", &[("Cache-Control", "max-age=60")]),
        ("s-maxage over max-age", &[("Cache-Control", "s-maxage=60, max-age=0")]),
        ("case", &[("Cache-Control", "Public, MAX-AGE=60")]),
        ("quoted", &[("Cache-Control", "max-age=\"60\"")]),
        ("odd neighbours", &[("Cache-Control", "foo, bar=\"no-store\", max-age=60,")]),
        ("Expires", &[("Expires", FAR)]),
        ("max-age over Expires", &[("Cache-Control", "max-age=60"), ("Expires", PAST)]),
        ("guessed from Last-Modified", &[("Last-Modified", PAST)]),
        ("must-revalidate", &[("Cache-Control", "max-age=60, must-revalidate")]),
        ("huge max-age", &[("Cache-Control", "max-age=99999999999999999999")]),
    ];
    assert_all(&stored(200, cases), true);
}

#[test]
fn errors_and_redirects_are_stored_only_where_they_say_for_how_long() {
    let stated: &[Case] = &[("stated", &[("Cache-Control", "max-age=60")])];
    let silent: &[Case] = &[("silent", &[("Last-Modified", PAST)])];
    for status in [203, 300, 301, 302, 307, 308, 404, 410, 500, 503] {
        assert_all(&stored(status, stated), true);
    }
    for status in [302, 307, 400, 403, 500, 502, 503] {
        assert_all(&stored(status, silent), false);
    }
}

#[test]
fn fields_for_this_edge_overrule_cache_control_and_the_nearest_wins() {
    let cases: &[Case] = &[
        ("CDN", &[("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=60")]),
        ("Surrogate", &[("Cache-Control", "no-store"), ("Surrogate-Control", "max-age=60")]),
        ("ours", &[("Cache-Control", "no-store"), ("Selvedge-Cache-Control", "max-age=60")]),
        (
            "ours over CDN",
            &[("CDN-Cache-Control", "no-store"), ("Selvedge-Cache-Control", "max-age=60")],
        ),
        ("CDN over Expires", &[("Expires", "0"), ("CDN-Cache-Control", "max-age=60")]),
    ];
    assert_all(&stored(200, cases), true);
    let cases: &[Case] = &[
        ("CDN", &[("Cache-Control", "max-age=60"), ("CDN-Cache-Control", "no-store")]),
        (
            "ours over CDN",
            &[("CDN-Cache-Control", "max-age=60"), ("Selvedge-Cache-Control", "no-store")],
        ),
        ("private", &[("Cache-Control", "max-age=60"), ("CDN-Cache-Control", "private")]),
    ];
    assert_all(&stored(200, cases), false);
}

#[test]
fn fields_that_speak_to_this_edge_alone_do_not_reach_clients() {
    let ours = [
        "surrogate-key",
        "cache-tag",
        "cache-groups",
        "surrogate-control",
        "selvedge-cache-control",
    ];
    let origin = Origin::start(|request, to| {
        let lifetime = if request.target == "/stored" { "max-age=60" } else { "no-store" };
        let fields = [
            ("Surrogate-Key", "a b"),
            ("Cache-Tag", "a,b"),
            ("Cache-Groups", "\"a\""),
            ("Surrogate-Control", lifetime),
            ("Selvedge-Cache-Control", lifetime),
            ("CDN-Cache-Control", lifetime),
            ("X-Kept", "yes"),
        ];
        to.send(200, &fields, "x");
    });
    let edge = Edge::before(&origin);
    for path in ["/stored", "/stored", "/passed", "/passed"] {
        let answer = edge.get(path);
        for name in ours {
            assert!(answer.all(name).is_empty(), "{path}: {name} in {answer:?}");
        }
        assert_eq!(answer.field("x-kept"), "yes");
        assert!(!answer.field("cdn-cache-control").is_empty(), "{path}: {answer:?}");
    }
}

#[test]
fn an_answer_to_a_request_with_credentials_is_shared_only_where_it_says_so() {
    let origin = Origin::start(|request, to| {
        let lifetime = match request.target.as_str() {
            "/plain" => "max-age=60",
            "/public" => "public, max-age=60",
            "/shared" => "s-maxage=60",
            _ => "max-age=60, must-revalidate",
        };
        let who = request.field("authorization");
        to.send(200, &[("Cache-Control", lifetime)], format!("{who}{}", request.number));
    });
    let edge = Edge::before(&origin);
    let with = |path: &str, who: &str| edge.get_with(path, &[("Authorization", who)]);

    let alice = with("/plain", "alice");
    let bob = with("/plain", "bob");
    let nobody = edge.get("/plain");
    assert!(alice.text().starts_with("alice") && bob.text().starts_with("bob"));
    assert!(nobody.text().starts_with(char::is_numeric), "{nobody:?}");
    // Stored for everybody by now, but not for those with credentials.
    assert!(edge.get("/plain").is_hit());
    assert!(with("/plain", "carol").text().starts_with("carol"));

    for path in ["/public", "/shared", "/must-revalidate"] {
        with(path, "alice");
        assert!(with(path, "bob").is_hit(), "{path}");
        assert!(edge.get(path).is_hit(), "{path}");
    }
}

#[test]
fn a_cookie_for_one_client_reaches_no_other() {
    let origin = Origin::start(|request, to| {
        let fields = [
            ("Cache-Control", "max-age=60, no-cache=\"set-cookie\""),
            ("Set-Cookie", "id=secret"),
            ("X-Number", &*format!("{}", request.number)),
        ];
        to.send(200, &fields, "x");
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let second = edge.get("/a");
    assert!(second.is_hit(), "{second:?}");
    assert!(second.all("set-cookie").is_empty(), "{second:?}");
    assert_eq!(second.field("x-number"), "0");
}

#[test]
fn a_request_that_forbids_storing_leaves_nothing_behind() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get_with("/a", &[("Cache-Control", "no-store")]);
    assert!(!edge.get("/a").is_hit());
    assert!(edge.get("/a").is_hit());
}

#[test]
fn a_get_with_a_body_is_neither_stored_nor_answered_from_the_cache() {
    let origin = Origin::start(|request, to| {
        to.cacheable(format!("{}{}", request.number, String::from_utf8_lossy(&request.body)));
    });
    let edge = Edge::before(&origin);
    let with_body = || edge.client().request("GET", "/a", &[], b"poison");
    assert_eq!(with_body().text(), "0poison");
    assert_eq!(edge.get("/a").text(), "1");
    assert_eq!(with_body().text(), "2poison");
    assert_eq!(edge.get("/a").text(), "1");
}

#[test]
fn a_partial_answer_nobody_asked_for_is_not_stored_as_the_whole() {
    let origin = Origin::start(|_, to| {
        let fields = [("Cache-Control", "max-age=60"), ("Content-Range", "bytes 0-2/9")];
        to.send(206, &fields, "abc");
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    edge.get("/a");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_head_on_an_empty_cache_leaves_no_empty_body_behind() {
    let origin = Origin::start(|request, to| {
        if request.method == "HEAD" {
            to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n");
        } else {
            to.cacheable("hello");
        }
    });
    let edge = Edge::before(&origin);
    let head = edge.client().request("HEAD", "/a", &[], b"");
    assert_eq!((head.status, head.field("content-length")), (200, "5"));
    assert_eq!(edge.get("/a").text(), "hello");
}

#[test]
fn every_framing_of_the_origin_arrives_whole_and_is_a_hit_afterwards() {
    let origin = Origin::start(|request, to| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        match request.target.as_str() {
            "/length" => to.raw(format!("{head}Content-Length: 10\r\n\r\n0123456789")),
            "/chunked" => {
                let chunks = "3\r\n012\r\n1;x=y\r\n3\r\n6\r\n456789\r\n0\r\n\r\n";
                to.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}"));
            }
            "/close" => {
                to.raw(format!("{head}Connection: close\r\n\r\n0123456789"));
                to.close();
            }
            _ => to.send(200, &[("Cache-Control", "max-age=60")], ""),
        }
    });
    let edge = Edge::before(&origin);
    let check = |path: &str, answer: &Response| {
        let whole = if path == "/empty" { "" } else { "0123456789" };
        assert_eq!(answer.text(), whole, "{path}");
        assert_ne!(answer.ending, harness::client::Ending::Cut, "{path}");
    };
    for path in ["/length", "/chunked", "/close", "/empty"] {
        check(path, &edge.get(path));
        let hit = harness::eventually("the fill ends", || {
            let answer = edge.get(path);
            answer.is_hit().then_some(answer)
        });
        check(path, &hit);
        assert_eq!(hit.field("content-length"), if path == "/empty" { "0" } else { "10" });
    }
}

#[test]
fn what_is_stored_survives_the_origin() {
    let origin = Origin::constant("still here");
    let edge = Edge::before(&origin);
    edge.get("/a");
    origin.stop();
    let hit = edge.get("/a");
    assert!(hit.is_hit() && hit.text() == "still here", "{hit:?}");
    assert!(matches!(edge.get("/b").status, 502..=504));
}

#[test]
fn what_is_too_large_to_be_kept_is_not_called_stored() {
    let origin = Origin::start(|request, to| {
        let bytes = if request.target == "/large" { 10 << 20 } else { 1000 };
        to.cacheable(vec![b'x'; bytes]);
    });
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "16MiB"]);
    for (path, is_stored) in [("/small", true), ("/large", false)] {
        let first = edge.get(path);
        let told = first.field("cache-status");
        assert_eq!(told.contains("; stored"), is_stored, "{path}: {told}");
        assert_eq!(edge.get(path).is_hit(), is_stored, "{path}");
    }
}

#[test]
fn r8470_5_2_too_early_is_said_to_the_early_one_alone() {
    let origin = Origin::start(|request, to| match request.field("early-data") {
        "1" => to.send(425, &[("Cache-Control", "max-age=60")], "too early"),
        _ => to.cacheable("in time"),
    });
    let edge = Edge::before(&origin);
    let early = || edge.get_with("/a", &[("Early-Data", "1")]);
    assert_eq!((early().status, edge.get("/a").status), (425, 200));
    // What is stored answers early requests, too: to repeat it changes nothing.
    assert!(edge.get("/a").is_hit() && early().is_hit());
    assert_eq!(origin.count(), 2);
}
