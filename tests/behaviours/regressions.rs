//! What probes from outside found once and must not find again: one test per finding.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use harness::client::Ending;
use harness::{Edge, Origin, content, eventually};

/// Reads to the end: what came, and whether the end was an orderly one.
fn read_to_end(stream: &mut TcpStream) -> (usize, bool) {
    stream.set_read_timeout(Some(harness::PATIENCE)).expect("positive");
    let (mut got, mut piece) = (0, [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return (got, true),
            Ok(bytes) => got += bytes,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                return (got, false);
            }
        }
    }
}

/// Content that ends with the connection looks complete after an orderly close: HTTP/1.0 knows no
/// chunks, and the origin gave no length.
#[test]
fn a_cut_body_without_a_length_is_reset_for_a_client_of_http_1_0() {
    let origin = Origin::start(|request, to| {
        to.raw(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        to.raw("5\r\nfirst\r\n");
        if request.target == "/whole" {
            to.raw("0\r\n\r\n");
        } else {
            to.close();
        }
    });
    let edge = Edge::before(&origin);
    for (path, orderly) in [("/cut", false), ("/whole", true)] {
        let mut stream = TcpStream::connect(edge.address).expect("accepts");
        let request = format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("accepts");
        assert_eq!(read_to_end(&mut stream).1, orderly, "{path}");
    }
}

fn truncate_files(dir: &Path) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            truncate_files(&path);
        } else {
            let file = fs::OpenOptions::new().write(true).open(&path).expect("ours");
            file.set_len(0).expect("a file can be cut");
        }
    }
}

/// The index of the disk tier promised chunks that could not be read: every request for such a
/// body was answered with a head and nothing else, until it was stale.
#[test]
fn a_body_that_cannot_be_read_from_disk_comes_from_the_origin() {
    const LENGTH: usize = 200_000;
    const OBJECTS: usize = 60;
    let dir = harness::temp::dir();
    let origin = Origin::start(|request, to| to.cacheable(content(&request.target, LENGTH)));
    let disk = dir.path().join("cache");
    let edge = Edge::start(&[
        "--origin",
        &origin.url(),
        "--disk",
        disk.to_str().expect("a plain path"),
        "--disk-size",
        "128MiB",
        "--memory",
        "16MiB",
    ]);
    let paths = || (0..OBJECTS).map(|number| format!("/{number}"));
    for path in paths() {
        assert!(edge.get(&path).body == content(&path, LENGTH), "{path}");
    }
    eventually("all are served without the origin", || {
        let before = origin.count();
        let whole = paths().all(|path| edge.get(&path).is_hit());
        (whole && origin.count() == before).then_some(())
    });
    truncate_files(&disk.join("bodies"));
    // What starts in memory and goes on where nothing is left is cut, visibly and once.
    for path in paths() {
        let answer = edge.get(&path);
        let whole = answer.body == content(&path, LENGTH);
        assert!(whole || (answer.ending == Ending::Cut && !answer.body.is_empty()), "{path}");
    }
    for path in paths() {
        assert!(edge.get(&path).body == content(&path, LENGTH), "{path} again");
    }
}

/// Connections that say nothing took all places of the admin plane, for half a minute at a time:
/// health checks failed and purges waited.
#[test]
fn silent_connections_do_not_lock_the_operator_out() {
    let origin = Origin::start(|_, to| to.cacheable("x"));
    let edge = Edge::before(&origin);
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(edge.admin)).collect();
    let begun = std::time::Instant::now();
    assert_eq!(edge.admin("GET", "/healthz", "").status, 200);
    edge.purge(r#"{"everything":true}"#);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    drop(silent);
}
