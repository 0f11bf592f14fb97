//! Why an answer is what it is: `GET /v1/explain` and `selvedge explain` tell what serving does.

use harness::edge::run;
use harness::{ConfigFile, Edge, Origin, Response, config};
use serde_json::Value;

fn ask(edge: &Edge, question: &str) -> Response {
    edge.admin("GET", &format!("/v1/explain?{question}"), "")
}

fn why(edge: &Edge, path: &str, more: &str) -> Value {
    let answer = ask(edge, &format!("url=http://test.example{path}{more}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn what_is_told_is_what_the_next_request_gets() {
    let origin = Origin::start(|request, to| {
        let control = match request.target.as_str() {
            "/fresh" => "max-age=60",
            "/swr" => "max-age=0, stale-while-revalidate=60",
            "/no-cache" => "max-age=60, no-cache",
            "/private" => "private, max-age=60",
            _ => "max-age=0",
        };
        let status = if request.field("if-none-match").is_empty() { 200 } else { 304 };
        to.send(status, &[("Cache-Control", control), ("ETag", "\"a\"")], "");
    });
    let edge = Edge::start(&["--origin", &origin.url(), "--access-log"]);
    /// Path, fields of the request, and the two words.
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);
    let table: &[Row] = &[
        ("/fresh", &[], "hit", "FRESH"),
        ("/fresh", &[("Cache-Control", "no-cache")], "revalidated", "REQUEST-NO-CACHE"),
        ("/fresh", &[("Cache-Control", "min-fresh=90")], "revalidated", "REQUEST-MIN-FRESH"),
        ("/fresh", &[("Authorization", "x")], "pass", "AUTHORIZATION"),
        ("/swr", &[], "stale", "STALE-WHILE-REVALIDATE"),
        ("/no-cache", &[], "revalidated", "NO-CACHE"),
        ("/expired", &[("Cache-Control", "max-stale")], "stale", "MAX-STALE"),
        ("/expired", &[], "revalidated", "EXPIRED"),
        ("/new", &[("Cache-Control", "only-if-cached")], "error", "NOTHING-STORED"),
        ("/private", &[], "pass", "HIT-FOR-MISS"),
    ];
    for (path, fields, cache, detail) in table {
        if *path != "/new" {
            edge.get(path);
        }
        let asked = origin.count();
        let more: Vec<_> =
            fields.iter().map(|(name, value)| format!("&header={name}:%20{value}")).collect();
        let told = why(&edge, path, &more.concat());
        assert_eq!(origin.count(), asked, "the origin was asked for an explanation");
        assert_eq!(told["now"]["cache"], *cache, "{path} {fields:?}: {told:#}");
        assert_eq!(told["now"]["detail"], *detail, "{path} {fields:?}: {told:#}");

        let answer = edge.get_with(path, fields);
        let status = answer.field("cache-status");
        match *cache {
            "error" => {
                assert_eq!(answer.status, 504);
                continue;
            }
            "hit" => assert!(answer.is_hit() && !status.contains("detail"), "{status}"),
            _ => assert!(status.contains(&format!("detail={detail}")), "{path}: {status}"),
        }
        harness::eventually("the access log has the same words", || {
            let is_it = |line: &Value| {
                line["target"] == *path && line["cache"] == *cache && line["detail"] == *detail
            };
            edge.stdout().iter().filter_map(|line| serde_json::from_str(line).ok()).find(is_it)
        });
    }
}

#[test]
fn the_lifetime_and_the_age_are_told_addend_by_addend() {
    let origin = Origin::start(|request, to| match request.target.as_str() {
        "/shared" => {
            let control = "max-age=60, s-maxage=600, stale-if-error=5";
            to.send(200, &[("Cache-Control", control), ("Age", "30")], "x");
        }
        "/targeted" => {
            let fields = [("Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=50")];
            to.send(200, &fields, "x");
        }
        _ => to.send(200, &[("Cache-Control", "max-age=999999")], "x"),
    });
    let file = ConfigFile::new("", &config::site(&[&origin], "ttl = { max = \"1h\" }"));
    let edge = file.start();
    for path in ["/shared", "/targeted", "/long"] {
        edge.get(path);
    }
    let told = why(&edge, "/shared", "");
    let ttl = &told["stored"]["ttl"];
    assert_eq!(
        (&ttl["seconds"], &ttl["set_by"], &ttl["field"]),
        (&600.into(), &"s-maxage".into(), &"cache-control".into())
    );
    assert_eq!(told["stored"]["age"]["age_field_s"], 30);
    assert_eq!(told["stored"]["age"]["initial_s"], 30);
    assert!(told["stored"]["age"]["now_s"].as_u64().is_some_and(|age| age >= 30));
    // s-maxage forbids what is stale (RFC 9111 §5.2.2.10).
    assert_eq!(told["stored"]["must_revalidate"], true);
    let spans = told["outlook"].as_array().expect("a list").len();
    assert_eq!(spans, 2, "{told:#}");
    assert_eq!(told["outlook"][1]["detail"], "EXPIRED");
    assert_eq!(told["now"]["until"], told["outlook"][1]["from"]);

    let ttl = why(&edge, "/targeted", "")["stored"]["ttl"].clone();
    assert_eq!((&ttl["seconds"], &ttl["field"]), (&50.into(), &"cdn-cache-control".into()));
    let ttl = why(&edge, "/long", "")["stored"]["ttl"].clone();
    assert_eq!((&ttl["seconds"], &ttl["bounded_by"]), (&3600.into(), &"ttl.max".into()));
    assert_eq!((&ttl["said_s"], &ttl["rules_changed_since"]), (&999_999.into(), &false.into()));
}

#[test]
fn the_key_the_variant_and_the_place_are_told() {
    let origin = Origin::start(|_, to| {
        let fields = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language, X-Kind")];
        to.send(200, &fields, "x".repeat(100_000));
    });
    let file = ConfigFile::new("", &config::site(&[&origin], "key = { query = \"sort\" }"));
    let edge = file.start();
    edge.get_with("/a?b=2&a=1", &[("Accept-Language", "DE, en;q=0.5")]);
    let told = why(&edge, "/a?a=1%26b=2", "&header=accept-language:%20de,en;q=0.50");
    assert_eq!(told["key"]["query"], "a=1&b=2");
    assert_eq!((&told["key"]["site"], &told["key"]["query_rule"]), (&"all".into(), &"sort".into()));
    assert_eq!(told["now"]["detail"], "FRESH");
    let variant = &told["variants"][0];
    assert_eq!(variant["fits"], true);
    let [language, kind] = [0, 1].map(|at| variant["selecting"][at].clone());
    assert_eq!((&language["field"], &kind["request"]), (&"accept-language".into(), &Value::Null));
    assert!(language["request"].as_str().is_some_and(|value| value.contains("de")), "{language}");
    let place = &told["stored"]["place"];
    assert_eq!((&place["tier"], &place["chunks"]), (&"memory".into(), &2.into()));

    let other = why(&edge, "/a?a=1%26b=2", "&header=accept-language:fr");
    assert_eq!(
        (&other["now"]["detail"], &other["stored"]),
        (&"NOTHING-STORED".into(), &Value::Null)
    );
    assert_eq!(other["variants"][0]["fits"], false);
}

#[test]
fn purges_are_told_with_scope_and_position() {
    let origin = Origin::start(|_, to| {
        to.send(200, &[("Cache-Control", "max-age=60"), ("Cache-Tag", "t")], "x");
    });
    let edge = Edge::before(&origin);
    edge.get("/a/b");
    let soft = edge.purge(r#"{"tag":"t","soft":true}"#);
    let told = why(&edge, "/a/b", "");
    assert_eq!(
        (&told["now"]["detail"], &told["now"]["cache"]),
        (&"SOFT-PURGED".into(), &"miss".into()).clone(),
        "{told:#}"
    );
    assert_eq!(told["purges"]["selected_by"]["soft"], soft);
    let hard = edge.purge(r#"{"prefix":"http://test.example/a"}"#);
    let told = why(&edge, "/a/b", "");
    assert_eq!((&told["now"]["detail"], &told["now"]["cache"]), (&"PURGED".into(), &"miss".into()));
    assert_eq!(told["purges"]["selected_by"]["hard"], hard);
    let scopes = told["purges"]["scopes"].as_array().expect("a list").clone();
    let prefix = scopes.iter().find(|s| s["kind"] == "prefix" && s["value"] == "/a/");
    assert_eq!(prefix.expect("compared")["all_sites"]["hard"], hard);
    assert_eq!(
        (&told["purges"]["fetched_under"], &told["purges"]["position"]),
        (&0.into(), &hard.into())
    );
    // Asking changed nothing: the bytes are still there to be told about, and are not served.
    assert!(told["stored"].is_object());
    edge.get("/a/b");
    assert_eq!(origin.count(), 2);
}

#[test]
fn what_is_no_question_names_its_field() {
    let origin = Origin::constant("x");
    let file = ConfigFile::new("", &config::site(&[&origin], "").replace("\"*\"", "\"a.example\""));
    let edge = file.start();
    for (question, status, field) in [
        ("", 400, "url"),
        ("url=/a", 422, "url"),
        ("url=http://b.example/", 422, "url"),
        ("url=http://a.example/a%20b", 422, "url"),
        ("url=http://a.example/&header=x", 400, "header"),
        ("url=http://a.example/&method=a%20b", 400, "method"),
        ("url=http://a.example/&body=x", 400, "body"),
    ] {
        let answer = ask(&edge, question);
        assert_eq!(answer.status, status, "{question}: {}", answer.text());
        assert_eq!(answer.field("content-type"), "application/problem+json");
        assert_eq!(answer.json()["field"], field, "{question}");
    }
    assert_eq!(edge.admin("POST", "/v1/explain?url=http://a.example/", "{}").status, 405);
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_command_tells_it_in_words_and_ends_with_a_code() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/a");
    let admin = edge.admin.to_string();
    let url = "http://test.example/a";
    let (code, said, _) = run(&["explain", url, "--admin", &admin]);
    assert_eq!(code, 0, "{said}");
    for words in [
        "answer from the cache (hit; FRESH)",
        "set by max-age of cache-control",
        "memory, in one piece",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said, _) =
        run(&["explain", url, "-H", "Cache-Control: no-cache", "--json", "--admin", &admin]);
    let document: Value = serde_json::from_str(&said).expect("a document");
    assert_eq!((code, &document["now"]["detail"]), (0, &"REQUEST-NO-CACHE".into()));
    let (code, _, said) = run(&["explain", "/a", "--admin", &admin]);
    assert!(code == 1 && said.contains("url"), "{code} {said}");
    drop(edge);
    let (code, _, said) = run(&["explain", url, "--admin", &admin]);
    assert!(code == 2 && said.contains("--admin"), "{code} {said}");
}

#[test]
fn only_who_may_read_may_ask() {
    let origin = Origin::constant("x");
    let tokens = "[[admin.tokens]]\nname = \"reader\"\nenv = \"READER\"\nscopes = [\"read\"]\n";
    let file = ConfigFile::new("", &[tokens, &config::site(&[&origin], "")].concat());
    let path = file.path().to_str().expect("a plain name");
    let reader = "reader-0123456789abcdef0123456789abcdef";
    let edge = Edge::start_with(&["serve", "--config", path], &[("READER", reader)]);
    let admin = edge.admin.to_string();
    let question = ["explain", "http://a.example/", "--admin", &admin];
    assert_eq!(ask(&edge, "url=http://a.example/").status, 401);
    let (code, _, said) = run(&question);
    assert!(code == 1 && said.contains("--token"), "{said}");
    let (code, said, _) = run(&[&question[..], &["--token", reader]].concat());
    assert!(code == 0 && said.contains("NOTHING-STORED"), "{said}");
}
