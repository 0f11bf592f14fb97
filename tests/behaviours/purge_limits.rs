//! What bounds purges: how much one selects, told before; how many one caller may ask for; how many
//! tags a response may carry.

use harness::{Client, Edge, Origin, Response};

/// A node before an origin that tags its answers as the query says (`?tags=x,y`), 10 bytes each.
fn node() -> (Origin, Edge) {
    let origin = Origin::start(|request, to| {
        let tags = request.target.split_once("tags=").map_or("", |(_, tags)| tags);
        to.send(200, &[("Cache-Control", "max-age=60"), ("Cache-Tag", tags)], "0123456789");
    });
    let edge = Edge::before(&origin);
    (origin, edge)
}

fn store(edge: &Edge, host: &str, path: &str) {
    let ask = || edge.client().request_to(host, "GET", path, &[], b"");
    ask();
    harness::eventually("it is stored", || ask().is_hit().then_some(()));
}

#[test]
fn a_dry_run_tells_what_each_selector_would_take_and_takes_nothing() {
    let (origin, edge) = node();
    for path in ["/shop/1?tags=x", "/shop/2?tags=x,y", "/shopping", "/blog/1?tags=y"] {
        store(&edge, "a.example", path);
    }
    store(&edge, "b.example", "/shop/1?tags=x");
    let status = edge.admin("GET", "/v1/status", "").json();
    let site = format!("{{\"site\":{}}}", status["sites"][0]["name"]);
    let tag_of_site = format!("{{\"tag\":\"x\",\"site\":{}}}", status["sites"][0]["name"]);
    let fetched = origin.count();
    for (selector, responses) in [
        (r#"{"url":"http://a.example/shop/1?tags=x"}"#, 1),
        (r#"{"url":"http://a.example/shop/1"}"#, 0),
        (r#"{"prefix":"http://a.example/shop"}"#, 2),
        (r#"{"prefix":"https://a.example/"}"#, 4),
        (r#"{"tag":"x"}"#, 3),
        (r#"{"tags":["x","y"]}"#, 4),
        (r#"{"host":"b.example"}"#, 1),
        (r#"{"host":"c.example"}"#, 0),
        (site.as_str(), 5),
        (tag_of_site.as_str(), 3),
        (r#"{"everything":true}"#, 5),
    ] {
        let body = selector.replacen('{', r#"{"dry_run":true,"#, 1);
        let told = edge.admin("POST", "/v1/purges", &body);
        assert_eq!(told.status, 200, "{selector}: {}", told.text());
        let told = told.json();
        assert_eq!(told["responses"], responses, "{selector}: {told}");
        assert_eq!(told["bytes"], responses * 10, "{selector}: {told}");
        assert_eq!((&told["exact"], &told["dry_run"]), (&true.into(), &true.into()), "{selector}");
    }
    assert!(edge.client().request_to("b.example", "GET", "/shop/1?tags=x", &[], b"").is_hit());
    assert!(edge.metrics().sum("selvedge_purge_position", &[]) < 0.5);
    assert_eq!(origin.count(), fetched);
}

#[test]
fn a_dry_run_over_many_responses_is_an_estimate_and_says_so() {
    let (_origin, edge) = node();
    let mut client = edge.client();
    for first in (0..8_000).step_by(50) {
        let mut requests = Vec::new();
        for n in first..first + 50 {
            let part = if n % 2 == 0 { "even" } else { "odd" };
            let line = format!("GET /{part}/{n} HTTP/1.1\r\nHost: a.example\r\n\r\n");
            requests.extend_from_slice(line.as_bytes());
        }
        client.send(&requests);
        for _ in 0..50 {
            assert_eq!(client.response(false).status, 200);
        }
    }
    let ask = || {
        let body = r#"{"prefix":"http://a.example/odd","dry_run":true}"#;
        edge.admin("POST", "/v1/purges", body).json()
    };
    let stored = || edge.admin("GET", "/v1/status", "").json()["stored"].as_u64();
    harness::eventually("all are stored", || (stored() == Some(8_000)).then_some(()));
    let told = ask();
    assert_eq!(told["exact"], false, "{told}");
    // Half of them: a sample of at least 2048 is off by less than 5 % of all, 4.5 deviations.
    let responses = told["responses"].as_u64().expect("a number");
    assert!((3_600..4_400).contains(&responses), "{told}");
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let file = dir.path().join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [admin]\npurges_per_second = 1\n\
         [[site]]\nname = \"s\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url()
    );
    std::fs::write(&file, text).expect("a scratch file");
    let edge = Edge::configured(&file);
    let ask = || edge.admin("POST", "/v1/purges", r#"{"tag":"t"}"#);
    let refused = harness::eventually("the burst is used up", || {
        let answer = ask();
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.field("retry-after"), "1");
    assert_eq!(refused.field("content-type"), "application/problem+json");
    assert_eq!(edge.admin("GET", "/v1/purges", "").status, 200, "reading is not bounded by it");
    let counted = edge.metrics().count("selvedge_purges_refused_total", &["status=\"429\""]);
    assert_eq!(counted, 1);
    harness::eventually("a token comes back", || (ask().status == 200).then_some(()));
}

#[test]
fn a_response_with_more_tags_than_are_kept_is_selected_by_any_and_counted() {
    let (_origin, edge) = node();
    let many: Vec<_> = (0..200).map(|n| format!("t{n}")).collect();
    let paths = [
        format!("/many?tags={}", many.join(",")),
        format!("/long?tags={}", "x".repeat(2_000)),
        "/few?tags=t1,t2".to_owned(),
    ];
    for path in &paths {
        store(&edge, "test.example", path);
    }
    assert_eq!(edge.metrics().count("selvedge_tags_overflowed_total", &[]), 2);
    edge.purge(r#"{"tag":"nobody-has-this"}"#);
    let hits = paths.map(|path| edge.get(&path).is_hit());
    assert_eq!(hits, [false, false, true]);
}

#[test]
fn methods_that_are_not_there_are_refused_with_those_that_are() {
    let (_origin, edge) = node();
    let ask = |method: &str, path: &str| -> Response {
        let host = edge.admin.to_string();
        Client::connect(edge.admin).request_to(&host, method, path, &[], b"")
    };
    for (path, allow) in [
        ("/v1/purges", "GET, HEAD, OPTIONS, POST"),
        ("/v1/purges/1", "GET, HEAD, OPTIONS"),
        ("/v1/status", "GET, HEAD, OPTIONS"),
        ("/v1/openapi.json", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
    ] {
        for method in ["DELETE", "PUT", "PATCH", "BREW"] {
            let refused = ask(method, path);
            assert_eq!((refused.status, refused.field("allow")), (405, allow), "{method} {path}");
        }
        let told = ask("OPTIONS", path);
        assert_eq!((told.status, told.field("allow")), (204, allow), "{path}");
    }
    for path in ["/v1/purges", "/v1/status", "/v1/openapi.json"] {
        let head = ask("HEAD", path);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
}

#[test]
fn the_audit_trail_tells_from_where() {
    let (_origin, edge) = node();
    edge.purge(r#"{"tag":"t"}"#);
    let entry = edge.admin("GET", "/v1/purges/1", "").json();
    assert_eq!(entry["from"], "127.0.0.1", "{entry}");
}
