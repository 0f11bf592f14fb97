//! What an operator sets for a site beside what the origin says.

use harness::{ConfigFile, Edge, Origin, config};

type Fields = &'static [(&'static str, &'static str)];

/// A node with a site of these rules, and its origin: status and fields by path, numbered bodies.
fn node(rules: &str, answer: fn(&str) -> (u16, Fields)) -> (Edge, Origin, ConfigFile) {
    let origin = Origin::start(move |request, to| {
        let (status, fields) = answer(request.target.as_str());
        to.send(status, fields, request.number.to_string());
    });
    let file = ConfigFile::new("", &config::site(&[&origin], rules));
    (file.start(), origin, file)
}

fn is_stored(edge: &Edge, path: &str) -> bool {
    edge.get(path);
    edge.get(path).is_hit()
}

#[test]
fn errors_are_kept_for_a_moment_where_a_rule_says_so() {
    let rules = "[[site.rule]]\nstatus = [\"404\", \"5xx\"]\ndefault = \"10s\"\n\
                 [[site.rule]]\nstatus = [\"4xx\"]\ndefault = \"1h\"";
    let (edge, _origin, _file) = node(rules, |path| match path {
        "/404" => (404, &[]),
        "/503" => (503, &[]),
        "/599" => (599, &[]),
        "/403" => (403, &[]),
        "/private" => (404, &[("Cache-Control", "private")]),
        "/cookie" => (404, &[("Set-Cookie", "a=b")]),
        "/429" => (429, &[]),
        _ => (200, &[]),
    });
    for kept in ["/404", "/503", "/599", "/403"] {
        assert!(is_stored(&edge, kept), "{kept}");
    }
    let first = edge.get("/404");
    let told = first.field("cache-status");
    assert!(told.contains("ttl=10") || told.contains("ttl=9"), "the first rule counts: {told}");
    // A rule sets lifetimes; it does not allow what is forbidden.
    for left in ["/private", "/cookie", "/429", "/200"] {
        assert!(!is_stored(&edge, left), "{left}");
    }
}

#[test]
fn an_override_counts_in_place_of_the_origins_word_and_never_against_its_prohibition() {
    let rules = "[[site.rule]]\npath = [\"/o/*\"]\noverride = \"1h\"";
    let (edge, origin, _file) = node(rules, |path| match path.rsplit('/').next() {
        Some("zero") => (200, &[("Cache-Control", "max-age=0")]),
        Some("expired") => (200, &[("Expires", "0")]),
        Some("no-store") => (200, &[("Cache-Control", "no-store")]),
        Some("no-cache") => (200, &[("Cache-Control", "no-cache"), ("ETag", "\"e\"")]),
        _ => (200, &[]),
    });
    for kept in ["/o/zero", "/o/expired", "/o/silent"] {
        assert!(is_stored(&edge, kept), "{kept}");
    }
    for left in ["/o/no-store", "/o/no-cache", "/zero", "/silent"] {
        assert!(!is_stored(&edge, left), "{left}");
    }
    assert!(origin.requests().iter().any(|request| request.field("if-none-match") == "\"e\""));
}

#[test]
fn cookies_are_stored_stripped_or_refused() {
    let answer: fn(&str) -> (u16, Fields) = |path| match path {
        "/stated" => (200, &[("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")]),
        "/guessed" => {
            (200, &[("Last-Modified", "Mon, 01 Jan 2001 00:00:00 GMT"), ("Set-Cookie", "a=b")])
        }
        _ => (200, &[("Cache-Control", "private"), ("Set-Cookie", "a=b")]),
    };
    // Rule; what becomes of a stated lifetime, a guessed one and a private response: stored or
    // not, and whether the first client sees the cookie.
    for (rule, stated, guessed) in [
        ("default", (true, true), (false, true)),
        ("strip", (true, false), (true, false)),
        ("refuse", (false, true), (false, true)),
    ] {
        let (edge, _origin, _file) = node(&format!("cookies = {rule:?}"), answer);
        for (path, (kept, seen)) in
            [("/stated", stated), ("/guessed", guessed), ("/private", (false, true))]
        {
            let first = edge.get(path);
            assert_eq!(!first.field("set-cookie").is_empty(), seen, "{rule} {path}");
            let second = edge.get(path);
            assert_eq!(second.is_hit(), kept, "{rule} {path}");
            assert_eq!(!second.field("set-cookie").is_empty(), seen, "{rule} {path}");
        }
    }
}

#[test]
fn r9213_2_1_the_list_of_targeted_fields_is_the_sites() {
    let rules = "targeted_fields = [\"Shop-Cache-Control\", \"CDN-Cache-Control\"]";
    let (edge, _origin, _file) = node(rules, |path| match path {
        "/first" => (
            200,
            &[
                ("Cache-Control", "no-store"),
                ("CDN-Cache-Control", "no-store"),
                ("Shop-Cache-Control", "max-age=60"),
            ],
        ),
        "/invalid" => {
            (200, &[("Shop-Cache-Control", "max-age=60, !"), ("CDN-Cache-Control", "max-age=60")])
        }
        _ => (200, &[("Selvedge-Cache-Control", "max-age=60")]),
    });
    assert!(is_stored(&edge, "/first"));
    assert!(is_stored(&edge, "/invalid"));
    assert!(!is_stored(&edge, "/not-on-the-list"));
}

#[test]
fn s4_3_3_a_full_answer_that_may_not_be_stored_ends_what_was() {
    for (status, ends) in [(200, true), (301, true), (404, true), (403, false), (503, false)] {
        let origin = Origin::start(move |request, to| match request.number {
            0 => to.send(
                200,
                &[
                    ("Cache-Control", "max-age=10, stale-if-error=3600"),
                    ("Age", "100"),
                    ("ETag", "\"e\""),
                ],
                "old",
            ),
            1 => to.send(status, &[("Cache-Control", "no-store")], "new"),
            _ => to.send(503, &[], "broken"),
        });
        let edge = Edge::before(&origin);
        edge.get("/a");
        edge.get("/a");
        assert_eq!(edge.get("/a").text() == "broken", ends, "{status}");
    }
}
