//! Bodies of many chunks: byte for byte the same from the origin, from memory and from disk.

use harness::{Edge, Origin, content, eventually};

const LENGTH: usize = 10 << 20;

fn origin() -> Origin {
    Origin::start(|request, to| {
        let body = content(&request.target, LENGTH);
        if request.target.starts_with("/chunked") {
            to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(100_003) {
                to.raw(format!("{:x}\r\n", piece.len()));
                to.raw(piece);
                to.raw("\r\n");
            }
            to.raw("0\r\n\r\n");
        } else {
            to.cacheable(&body);
        }
    })
}

fn assert_right(edge: &Edge, path: &str) {
    let whole = content(path, LENGTH);
    assert!(edge.get(path).body == whole, "{path}: wrong bytes while it fills");
    let hit = eventually("it is stored", || {
        let answer = edge.get(path);
        answer.is_hit().then_some(answer)
    });
    assert!(hit.body == whole, "{path}: wrong bytes from the cache");
    // Ranges at and across the borders of whatever pieces it is kept in.
    for border in [65_472, 65_536, 1 << 20, 10 * 65_472] {
        let (from, to) = (border - 2, border + 1);
        let value = format!("bytes={from}-{to}");
        let part = edge.get_with(path, &[("Range", &value)]);
        assert_eq!(part.body, &whole[from..=to], "{path}: {value}");
    }
}

#[test]
fn ten_mebibytes_come_from_memory_byte_for_byte() {
    let origin = origin();
    let edge = Edge::before(&origin);
    for path in ["/length", "/chunked"] {
        assert_right(&edge, path);
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn ten_mebibytes_come_from_disk_byte_for_byte() {
    let (origin, dir) = (origin(), harness::temp::dir());
    let disk = dir.path().to_str().expect("a plain path");
    // Memory holds two of these at most: most of what is read comes from disk.
    let edge = Edge::start(&[
        "--origin",
        &origin.url(),
        "--memory",
        "32MiB",
        "--disk",
        disk,
        "--disk-size",
        "512MiB",
    ]);
    let paths: Vec<_> = (0..6).map(|n| format!("/length-{n}")).chain(["/chunked".into()]).collect();
    for path in &paths {
        assert_right(&edge, path);
    }
    let before = origin.count();
    for path in &paths {
        let answer = edge.get(path);
        assert!(answer.body == content(path, LENGTH), "{path}");
    }
    assert_eq!(origin.count(), before, "something had to be fetched again");
}
