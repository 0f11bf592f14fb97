//! Restarts: what was stored is there again, what was purged is not, and no byte is wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use harness::client::Ending;
use harness::{Client, Edge, Origin, content, eventually};

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

/// How often a killing test kills: `SELVEDGE_TEST_KILLS`, or the default.
fn rounds(default: usize) -> usize {
    std::env::var("SELVEDGE_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn killed_under_load_it_never_answers_a_wrong_byte() {
    let (dir, origin) = (harness::temp::dir(), origin());
    let url = origin.url();
    for round in 0..rounds(10) {
        let edge = on_disk(&url, dir.path());
        let served = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..4)
            .map(|worker| {
                let (address, served) = (edge.address, Arc::clone(&served));
                thread::spawn(move || read_until_it_dies(address, worker + round, &served))
            })
            .collect();
        // The moment differs from round to round by what has been answered.
        let enough = 40 + round * 37;
        eventually("enough is answered", || {
            (served.load(Ordering::SeqCst) >= enough).then_some(())
        });
        edge.kill();
        for client in clients {
            client.join().expect("right answers");
        }
    }
    // And in peace: everything that is answered is right.
    let edge = on_disk(&url, dir.path());
    let mut client = edge.client();
    for path in paths().iter().step_by(7) {
        let answer = client.request("GET", path, &[], b"");
        assert!(answer.body == content(path, length(path)), "{path}: {:?}", answer.fields);
    }
}

/// Asks for one thing after another until the node is gone; every whole answer must be right, and
/// every part of one.
fn read_until_it_dies(address: std::net::SocketAddr, seed: usize, served: &AtomicUsize) {
    let paths = paths();
    let Ok(_probe) = std::net::TcpStream::connect(address) else { return };
    let mut client = Client::connect(address);
    for step in 0.. {
        let path = &paths[(seed * 131 + step * 17) % paths.len()];
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes());
        let Some(answer) = client.try_response(false) else { return };
        let right = content(path, length(path));
        assert_eq!(answer.status, 200, "{path}");
        if answer.ending == Ending::Cut {
            assert!(right.starts_with(&answer.body), "{path}: wrong bytes before the end");
            return;
        }
        assert!(answer.body == right, "{path}: wrong bytes, {:?}", answer.fields);
        served.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn killed_at_any_moment_it_keeps_every_purge_it_acknowledged() {
    // The origin's content is a version that is raised before each purge.
    const OBJECTS: usize = 8;
    let dir = harness::temp::dir();
    let versions: Arc<[AtomicUsize; OBJECTS]> = Arc::default();
    let truth = Arc::clone(&versions);
    let origin = Origin::start(move |request, to| {
        let object: usize = request.target[1..].parse().expect("our own path");
        let body = format!("{}", truth[object].load(Ordering::SeqCst));
        let tag = format!("t{object}");
        to.send(200, &[("Cache-Control", "max-age=3600"), ("Cache-Tag", &tag)], body);
    });
    let url = origin.url();
    let acknowledged: Arc<[AtomicUsize; OBJECTS]> = Arc::default();
    let mut last_position = 0;
    for round in 0..rounds(20) {
        let edge = on_disk(&url, dir.path());
        let position = edge.metrics().sum("selvedge_purge_position", &[]);
        assert!(position >= f64::from(last_position), "{position} after {last_position}");
        let mut client = edge.client();
        for object in 0..OBJECTS {
            let least = acknowledged[object].load(Ordering::SeqCst);
            let answer = client.request("GET", &format!("/{object}"), &[], b"");
            let got: usize = answer.text().parse().expect("a number");
            assert!(got >= least, "round {round}: {got} after the purge of {least}: {answer:?}");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let purging = {
            let (versions, acknowledged) = (Arc::clone(&versions), Arc::clone(&acknowledged));
            let (admin, address) = (edge.admin, edge.address);
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            thread::spawn(move || {
                let mut last = 0;
                let mut client = Client::connect(address);
                for step in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let object = step % OBJECTS;
                    // Fill it, change the truth, purge.
                    client.send(
                        format!("GET /{object} HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes(),
                    );
                    if client.try_response(false).is_none() {
                        break;
                    }
                    let version = versions[object].fetch_add(1, Ordering::SeqCst) + 1;
                    let Some(position) = purge_once(admin, object, step) else { break };
                    acknowledged[object].store(version, Ordering::SeqCst);
                    last = position;
                    done.fetch_add(1, Ordering::SeqCst);
                }
                last
            })
        };
        let enough = 1 + (round * 7) % 23;
        eventually("enough is purged", || (done.load(Ordering::SeqCst) >= enough).then_some(()));
        edge.kill();
        stop.store(true, Ordering::SeqCst);
        last_position = purging.join().expect("no wrong answer").max(last_position);
    }
}

/// One purge; its position if it was acknowledged before the node died.
fn purge_once(admin: std::net::SocketAddr, object: usize, step: usize) -> Option<u32> {
    use std::io::{Read, Write};
    let selector = match step % 3 {
        0 => format!(r#"{{"tag":"t{object}"}}"#),
        1 => format!(r#"{{"prefix":"http://test.example/{object}"}}"#),
        _ => r#"{"everything":true}"#.to_owned(),
    };
    let mut stream = std::net::TcpStream::connect(admin).ok()?;
    let request = format!(
        "POST /v1/purges HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{selector}",
        selector.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let document: serde_json::Value = serde_json::from_str(body).ok()?;
    document["position"].as_u64().and_then(|position| position.try_into().ok())
}
