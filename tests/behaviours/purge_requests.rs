//! Asking for a purge: the admin plane's answers, the audit trail, the command, and `PURGE`.

use std::path::Path;
use std::process::Output;

use harness::{Client, Edge, Origin, Response, edge};

fn refused(answer: &Response, status: u16, field: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.field("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"].as_u64(), Some(u64::from(status)), "{problem}");
    if !field.is_empty() {
        assert_eq!(problem["field"].as_str(), Some(field), "{problem}");
    }
}

#[test]
fn what_is_no_purge_is_refused_with_the_field_that_is_wrong() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/a");
    let post = |body: &str| edge.admin("POST", "/v1/purges", body);
    for body in ["{", "[]", "\"url\"", "nonsense", "{\"url\":\"http://a/\"} more"] {
        refused(&post(body), 400, "");
    }
    let wrong = [
        ("{}", "url"),
        (r#"{"url":"http://a.example/","tag":"x"}"#, "tag"),
        (r#"{"url":"/relative"}"#, "url"),
        (r#"{"url":"ftp://a.example/"}"#, "url"),
        (r#"{"url":7}"#, "url"),
        (r#"{"prefix":"a.example"}"#, "prefix"),
        (r#"{"tag":""}"#, "tag"),
        (r#"{"tags":[]}"#, "tags"),
        (r#"{"tags":["a",7]}"#, "tags"),
        (r#"{"everything":false}"#, "everything"),
        (r#"{"host":"a.example/path"}"#, "host"),
        (r#"{"site":"nobody"}"#, "site"),
        (r#"{"url":"http://a.example/","sfot":true}"#, "sfot"),
        (r#"{"url":"http://a.example/","soft":"yes"}"#, "soft"),
        (r#"{"url":"http://a.example/","url":"http://b.example/"}"#, "url"),
    ];
    for (body, field) in wrong {
        refused(&post(body), 422, field);
    }
    assert!(edge.get("/a").is_hit());
    assert!(edge.metrics().sum("selvedge_purge_position", &[]) < 0.5);
}

#[test]
fn a_browser_that_was_led_here_purges_nothing() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/a");
    let body = br#"{"everything":true}"#;
    let host = edge.admin.to_string();
    let ask = |host: &str, fields: &[(&str, &str)]| {
        Client::connect(edge.admin).request_to(host, "POST", "/v1/purges", fields, body)
    };
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        refused(&ask(&host, &[("Content-Type", kind)]), 415, "Content-Type");
    }
    refused(&ask(&host, &[]), 415, "Content-Type");
    let json = ("Content-Type", "application/json");
    refused(&ask("evil.example", &[json]), 421, "Host");
    refused(&ask(&host, &[json, ("Sec-Fetch-Site", "cross-site")]), 403, "Sec-Fetch-Site");
    assert!(edge.get("/a").is_hit());
    assert_eq!(ask(&host, &[json]).status, 200);
    assert!(!edge.get("/a").is_hit());
}

/// A node from a file: one site before `origin`, more lines of the site, more tables.
fn configured(dir: &Path, origin: &Origin, site: &str, tables: &str) -> Edge {
    let file = dir.join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n{tables}\n\
         [[site]]\nname = \"shop\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n{site}\n",
        origin.url()
    );
    std::fs::write(&file, text).expect("a scratch file");
    Edge::configured(&file)
}

/// SHA-256 of `secret` and of `reader`.
const TOKENS: &str = "\
[[admin.tokens]]\nname = \"ops\"\nscopes = [\"purge\"]\n\
sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\n\
[[admin.tokens]]\nname = \"eyes\"\nscopes = [\"read\"]\n\
sha256 = \"3d0941964aa3ebdcb00ccef58b1bb399f9f898465e9886d5aec7f31090a0fb30\"\n";

#[test]
fn where_there_are_tokens_a_purge_needs_one_that_may() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let edge = configured(dir.path(), &origin, "", TOKENS);
    edge.get("/a");
    let ask = |token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut fields = vec![("Content-Type", "application/json")];
        fields.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        let body = br#"{"everything":true}"#;
        let host = edge.admin.to_string();
        Client::connect(edge.admin).request_to(&host, "POST", "/v1/purges", &fields, body)
    };
    refused(&ask(None), 401, "Authorization");
    assert!(ask(None).field("www-authenticate").starts_with("Bearer"));
    refused(&ask(Some("guessed")), 401, "Authorization");
    assert_eq!(ask(Some("reader")).status, 403);
    assert!(edge.get("/a").is_hit());
    let purged = ask(Some("secret"));
    assert_eq!(purged.status, 200, "{}", purged.text());
    assert!(!edge.get("/a").is_hit());
}

#[test]
fn the_audit_trail_tells_every_purge_page_by_page() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let positions: Vec<_> =
        (0..25).map(|n| edge.purge(&format!("{{\"tag\":\"t{n}\",\"soft\":true}}"))).collect();
    assert!(positions.windows(2).all(|two| two[0] < two[1]), "{positions:?}");

    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = edge.admin("GET", &format!("/v1/purges?after={after}&limit=10"), "").json();
        let purges = page["purges"].as_array().expect("a list").clone();
        assert!(purges.len() <= 10);
        seen.extend(purges);
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    let told: Vec<_> = seen.iter().map(|purge| purge["position"].as_u64()).collect();
    assert_eq!(told, positions.iter().map(|p| Some(*p)).collect::<Vec<_>>());
    assert_eq!(seen[7]["selector"]["tag"], "t7");
    assert_eq!(seen[7]["mode"], "soft");
    assert!(seen[7]["who"].as_str().is_some_and(|who| who.contains("127.0.0.1")), "{}", seen[7]);

    let one = edge.admin("GET", &format!("/v1/purges/{}", positions[7]), "");
    assert_eq!(one.json()["selector"]["tag"], "t7");
    assert_eq!(edge.admin("GET", "/v1/purges/999999", "").status, 404);
    assert_eq!(edge.admin("GET", "/v1/purges?after=x", "").status, 400);
    let metrics = edge.metrics();
    let counted = metrics.sum("selvedge_purges_total", &["selector=\"tag\"", "mode=\"soft\""]);
    assert!((counted - 25.0).abs() < 0.5, "{counted}");
}

#[test]
fn a_purge_sent_twice_with_one_key_is_one_purge() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let fields = [("Content-Type", "application/json"), ("Idempotency-Key", "deploy-17")];
    let host = edge.admin.to_string();
    let ask = |body: &[u8]| {
        Client::connect(edge.admin).request_to(&host, "POST", "/v1/purges", &fields, body)
    };
    let first = ask(br#"{"tag":"a"}"#).json();
    let again = ask(br#"{"tag":"a"}"#).json();
    assert_eq!(first["position"], again["position"]);
    assert_eq!(ask(br#"{"tag":"b"}"#).status, 422);
}

fn purge_command(edge: &Edge, arguments: &[&str]) -> Output {
    let admin = edge.admin.to_string();
    edge::command()
        .arg("purge")
        .args(arguments)
        .args(["--admin", &admin])
        .output()
        .expect("the binary runs")
}

#[test]
fn the_command_purges_and_ends_with_a_code_for_scripts() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/a");
    let dry = purge_command(&edge, &["--everything", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{dry:?}");
    assert!(edge.get("/a").is_hit());

    let done = purge_command(&edge, &["--url", "http://test.example/a"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(!done.stdout.is_empty(), "{done:?}");
    assert!(!edge.get("/a").is_hit());

    let soft = purge_command(&edge, &["--tag", "a", "--tag", "b", "--soft"]);
    assert_eq!(soft.status.code(), Some(0), "{soft:?}");
    let last = edge.admin("GET", "/v1/purges?after=1", "").json()["purges"][0].clone();
    assert_eq!((&last["mode"], &last["selector"]["tags"][1]), (&"soft".into(), &"b".into()));

    let refused = purge_command(&edge, &["--url", "/relative"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!refused.stderr.is_empty(), "{refused:?}");

    let port = harness::parts::free_port();
    let nobody = edge::command()
        .args(["purge", "--everything", "--admin", &format!("127.0.0.1:{port}")])
        .output()
        .expect("the binary runs");
    assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
}

#[test]
fn purge_as_a_method_is_off_until_somebody_is_named() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/a");
    let answer = edge.client().request("PURGE", "/a", &[], b"");
    assert_eq!(answer.status, 405, "{answer:?}");
    assert!(edge.get("/a").is_hit());
    assert_eq!(origin.count(), 1, "it did not reach the origin");
}

#[test]
fn purge_as_a_method_is_for_those_who_are_named_and_came_directly() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let edge = configured(dir.path(), &origin, "purge_from = [\"127.0.0.0/8\"]", "");
    edge.get("/a");
    edge.get("/b");
    for field in [("X-Forwarded-For", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")] {
        let forwarded = edge.client().request("PURGE", "/a", &[field], b"");
        assert_eq!(forwarded.status, 405, "{field:?}: {forwarded:?}");
    }
    assert!(edge.get("/a").is_hit());
    let purged = edge.client().request("PURGE", "/a", &[], b"");
    assert_eq!(purged.status, 200, "{purged:?}");
    assert!(!edge.get("/a").is_hit());
    assert!(edge.get("/b").is_hit());
    let position = purged.json()["position"].as_u64().expect("a position");
    let entry = edge.admin("GET", &format!("/v1/purges/{position}"), "").json();
    assert_eq!(entry["selector"]["url"], "http://test.example/a", "{entry}");
}

#[test]
fn purge_as_a_method_is_not_for_strangers() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let edge = configured(dir.path(), &origin, "purge_from = [\"192.0.2.0/24\"]", "");
    edge.get("/a");
    assert_eq!(edge.client().request("PURGE", "/a", &[], b"").status, 405);
    assert!(edge.get("/a").is_hit());
}

#[test]
fn the_answer_says_whether_the_purge_outlives_the_node() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let disk = dir.path().to_str().expect("a plain path");
    let url = origin.url();
    let memory = ["--origin", url.as_str()];
    let on_disk = ["--origin", url.as_str(), "--disk", disk, "--disk-size", "64MiB"];
    for (arguments, durable, words) in
        [(&memory[..], false, "in memory only"), (&on_disk[..], true, "on stable storage")]
    {
        let edge = Edge::start(arguments);
        let answer = edge.admin("POST", "/v1/purges", r#"{"tag":"x"}"#).json();
        assert_eq!(answer["durable"], durable, "{answer}");
        let status = edge.admin("GET", "/v1/status", "").json();
        assert_eq!(status["purges"]["durable"], durable, "{status}");
        let admin = edge.admin.to_string();
        let (code, said, _) = harness::edge::run(&["purge", "--tag", "x", "--admin", &admin]);
        assert_eq!(code, 0);
        assert!(said.contains(words), "{said}");
    }
}
