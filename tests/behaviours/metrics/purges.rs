//! Purges, and the ledger that keeps them.

use harness::{Client, ConfigFile, Edge, Origin, config, eventually};

use super::{Book, close};
use crate::purge_durability::{Kernel, on_disk};

pub(super) fn of_every_kind(book: &Book) {
    let origin = Origin::constant("x");
    let edge = ConfigFile::new("", &config::site(&[&origin], "")).start();
    // One tag or several are one kind.
    let kinds = [
        ("url", r#""url":"http://a.example/x""#, 1),
        ("prefix", r#""prefix":"http://a.example/x/""#, 1),
        ("tag", r#""tag":"x""#, 1),
        ("tag", r#""tags":["y","z"]"#, 2),
        ("host", r#""host":"a.example""#, 1),
        ("site", r#""site":"all""#, 1),
        ("everything", r#""everything":true"#, 1),
    ];
    let mut position = 0;
    for (selector, json, so_far) in kinds {
        for (mode, soft) in [("hard", "false"), ("soft", "true")] {
            let before = position as f64;
            let purge = || edge.purge(&format!("{{{json},\"soft\":{soft}}}"));
            let at = ("selvedge_purge_position", &[] as &[&str]);
            position = book.moves(&edge, at, (before, before + 1.0), purge);
            let label = [format!("selector=\"{selector}\""), format!("mode=\"{mode}\"")];
            let labels = label.each_ref().map(String::as_str);
            book.counts(&edge, "selvedge_purges_total", &labels, so_far);
        }
    }
    let metrics = edge.metrics();
    let applied = metrics.sum("selvedge_purge_apply_seconds_count", &[]);
    assert!(close(applied, position as f64), "{applied} of {position}");
    assert!(metrics.sum("selvedge_purge_apply_seconds_sum", &[]) < 60.0);
    book.note("selvedge_purge_apply_seconds");

    assert_eq!(edge.admin("POST", "/v1/purges", r#"{"url":"/relative"}"#).status, 422);
    book.counts(&edge, "selvedge_purges_refused_total", &["status=\"422\""], 1);
}

pub(super) fn tags_and_groups(book: &Book) {
    let many = (0..200).map(|n| format!("t{n}")).collect::<Vec<_>>().join(",");
    let origin = Origin::start(move |request, to| match request.target.as_str() {
        "/many" => to.send(200, &[("Cache-Control", "max-age=60"), ("Cache-Tag", &many)], "x"),
        "/grouped" => {
            let group = ("Cache-Groups", "\"g\"");
            to.send(200, &[("Cache-Control", "max-age=60"), group], "x");
        }
        "/change" => to.send(200, &[("Cache-Group-Invalidation", "\"g\"")], "x"),
        _ => to.cacheable("x"),
    });
    let edge = Edge::before(&origin);
    for path in ["/many", "/grouped", "/plain"] {
        eventually("it is stored", || edge.get(path).is_hit().then_some(()));
    }
    book.counts(&edge, "selvedge_tags_overflowed_total", &[], 1);
    for path in ["/plain", "/change"] {
        assert_eq!(edge.client().request("POST", path, &[], b"").status, 200);
    }
    assert!(!edge.get("/plain").is_hit() && !edge.get("/grouped").is_hit());
    book.counts(&edge, "selvedge_invalidations_total", &["of=\"group\""], 1);
    book.counts(&edge, "selvedge_invalidations_total", &["of=\"url\""], 2);
}

pub(super) fn a_ledger_that_cannot_be_written(book: &Book) {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let edge = on_disk(&origin, &dir.path().join("cache"));
    let _broken = Kernel::watch(&edge, dir.path(), "error=EIO");
    let healthy = ("selvedge_purge_ledger_healthy", &[] as &[&str]);
    book.moves(&edge, healthy, (1.0, 0.0), || {
        let answer = edge.admin("POST", "/v1/purges", r#"{"tag":"x"}"#);
        assert_eq!(answer.status, 503, "{}", answer.text());
    });
    book.counts(&edge, "selvedge_purge_commit_failures_total", &[], 1);
}

pub(super) fn forgetting(book: &Book) {
    // A ledger in memory has room for 16 MiB; what is older than that is forgotten.
    const TEXT: usize = 8_000;
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = Client::connect(edge.admin);
    let mut purge = |number: usize| {
        let path = format!("{number}/{}", "x".repeat(TEXT));
        let body = format!("{{\"url\":\"http://a.example/{path}\"}}");
        let json = [("Content-Type", "application/json")];
        let host = edge.admin.to_string();
        let answer = client.request_to(&host, "POST", "/v1/purges", &json, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    (0..2_200).for_each(&mut purge);
    let floor = edge.metrics().sum("selvedge_purge_floor", &[]);
    let oldest = edge.admin("GET", "/v1/purges?after=0", "").json();
    let oldest = oldest["purges"][0]["position"].as_f64().expect("purges are kept");
    assert!(floor >= 1.0 && close(floor + 1.0, oldest), "{floor}, and {oldest} is the oldest");
    book.note("selvedge_purge_floor");
}

pub(super) fn keeping(book: &Book) {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let disk = dir.path().join("cache");
    let edge = on_disk(&origin, &disk);
    for number in 0..20 {
        edge.purge(&format!("{{\"tag\":\"t{number}\"}}"));
    }
    let file = std::fs::metadata(disk.join("ledger/purges.ledger")).expect("the ledger");
    book.counts(&edge, "selvedge_purge_ledger_bytes", &[], file.len() as usize);
    book.counts(&edge, "selvedge_purge_scopes", &[], 20);
}

pub(super) fn sweeping(book: &Book) {
    const TAGGED: usize = 25;
    let origin = Origin::start(|request, to| {
        let tag = if request.target.starts_with("/tagged") { "x" } else { "y" };
        to.send(200, &[("Cache-Control", "max-age=60"), ("Cache-Tag", tag)], "x");
    });
    let edge = Edge::before(&origin);
    for number in 0..TAGGED {
        edge.get(&format!("/tagged/{number}"));
        edge.get(&format!("/other/{number}"));
    }
    let stored = || edge.admin("GET", "/v1/status", "").json()["stored"].as_u64();
    eventually("all are stored", || (stored() == Some(2 * TAGGED as u64)).then_some(()));
    edge.purge(r#"{"tag":"x"}"#);
    book.counts(&edge, "selvedge_purge_scopes", &[], 1);
    book.counts(&edge, "selvedge_swept_total", &["reason=\"purged\""], TAGGED);
    assert_eq!(stored(), Some(TAGGED as u64));
}
