//! Restarts: what was stored is there again, what was purged is not, and no byte is wrong.

use std::path::Path;

use harness::{Edge, Origin, content, eventually};

fn on_disk(origin: &str, disk: &Path) -> Edge {
    let disk = disk.to_str().expect("a plain path");
    Edge::start(&["--origin", origin, "--disk", disk, "--disk-size", "1GiB", "--memory", "32MiB"])
}

/// Length of what a path holds: small, or ten mebibytes.
fn length(path: &str) -> usize {
    if path.starts_with("/big") { 10 << 20 } else { 1000 + path.len() * 7 }
}

fn origin() -> Origin {
    Origin::start(|request, to| {
        let body = content(&request.target, length(&request.target));
        to.send(200, &[("Cache-Control", "max-age=3600")], body);
    })
}

fn paths() -> Vec<String> {
    let small = (0..1000).map(|number| format!("/small/{number}"));
    small.chain((0..10).map(|number| format!("/big/{number}"))).collect()
}

/// Waits until so many bytes are on disk; what is still queued then, a graceful stop writes.
fn written(edge: &Edge, bytes: f64) {
    eventually("the disk writer wrote enough", || {
        let now = edge.metrics().sum("selvedge_store_bytes", &["tier=\"disk\""]);
        (now >= bytes).then_some(())
    });
}

#[test]
fn small_and_large_objects_come_back_byte_for_byte_without_the_origin() {
    let (dir, origin) = (harness::temp::dir(), origin());
    let url = origin.url();
    let edge = on_disk(&url, dir.path());
    let mut client = edge.client();
    for path in paths() {
        let answer = client.request("GET", &path, &[], b"");
        assert!(answer.body == content(&path, length(&path)), "{path}");
    }
    written(&edge, 100.0 * 1024.0 * 1024.0);
    assert!(edge.stop().success());
    origin.stop();

    let edge = on_disk(&url, dir.path());
    let mut client = edge.client();
    for path in paths() {
        let answer = client.request("GET", &path, &[], b"");
        assert!(answer.is_hit(), "{path}: {} {:?}", answer.status, answer.fields);
        assert!(answer.body == content(&path, length(&path)), "{path}: wrong bytes");
    }
}

#[test]
fn age_goes_on_over_a_restart() {
    let dir = harness::temp::dir();
    let origin = Origin::start(|_, to| {
        to.send(200, &[("Cache-Control", "max-age=1000"), ("Age", "500")], "x");
    });
    let edge = on_disk(&origin.url(), dir.path());
    edge.get("/a");
    assert!(edge.stop().success());
    let edge = on_disk(&origin.url(), dir.path());
    let hit = edge.get("/a");
    assert!(hit.is_hit(), "{hit:?}");
    let age: u64 = hit.field("age").parse().expect("a number");
    assert!((500..600).contains(&age), "{age}");
}

#[test]
fn a_purge_and_its_position_survive_a_restart() {
    let (dir, origin) = (harness::temp::dir(), origin());
    let edge = on_disk(&origin.url(), dir.path());
    for path in ["/kept", "/purged"] {
        edge.get(path);
    }
    let first = edge.purge(r#"{"url":"http://test.example/purged"}"#);
    assert!(edge.stop().success());

    let edge = on_disk(&origin.url(), dir.path());
    assert!(edge.get("/kept").is_hit());
    assert!(!edge.get("/purged").is_hit());
    let entry = edge.admin("GET", &format!("/v1/purges/{first}"), "").json();
    assert_eq!(entry["selector"]["url"], "http://test.example/purged", "{entry}");
    assert!(edge.purge(r#"{"tag":"x"}"#) > first);
}

#[test]
fn without_a_disk_a_restart_is_an_empty_cache() {
    let origin = origin();
    let edge = Edge::before(&origin);
    edge.get("/a");
    assert!(edge.stop().success());
    let edge = Edge::before(&origin);
    assert!(!edge.get("/a").is_hit());
}
