//! Tiers of the store: what they hold, what they gave up, what went wrong.

use std::fs;
use std::path::Path;

use harness::{Edge, Origin, content, eventually};

use super::{Book, close};

/// Small enough to stand beside its head in one value.
const LENGTH: usize = 20_000;

fn origin() -> Origin {
    Origin::start(|request, to| {
        to.send(200, &[("Cache-Control", "max-age=3600")], content(&request.target, LENGTH));
    })
}

pub(super) fn tiers(book: &Book) {
    let origin = origin();
    let edge = Edge::start(&["--origin", &origin.url(), "--memory", "16MiB"]);
    let memory: &[&str] = &["tier=\"memory\""];
    let mut client = edge.client();
    let mut ask = |from: usize, to: usize| {
        for number in from..to {
            client.request("GET", &format!("/{number}"), &[], b"");
        }
    };
    book.moves(&edge, ("selvedge_store_entries", memory), (0.0, 10.0), || ask(0, 10));
    let bytes = edge.metrics().count("selvedge_store_bytes", memory);
    assert!((10 * LENGTH..10 * (LENGTH + 1_024)).contains(&bytes), "{bytes}");
    book.note("selvedge_store_bytes");
    ask(10, 1_500);
    eventually("each is held or was given up", || {
        let metrics = edge.metrics();
        let given_up = metrics.sum("selvedge_store_evictions_total", memory);
        let held = metrics.sum("selvedge_store_entries", memory);
        (given_up > 0.0 && close(given_up + held, 1_500.0)).then_some(())
    });
    book.note("selvedge_store_evictions_total");
}

/// Every regular file below a directory.
fn files(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

pub(super) fn a_disk_that_fails(book: &Book) {
    const RESPONSES: usize = 10;
    let (dir, origin) = (harness::temp::dir(), origin());
    let disk = dir.path().join("cache");
    let path = disk.to_str().expect("a plain path");
    let start =
        || Edge::start(&["--origin", &origin.url(), "--disk", path, "--disk-size", "128MiB"]);
    let edge = start();
    for number in 0..RESPONSES {
        edge.get(&format!("/{number}"));
    }
    let tier: &[&str] = &["tier=\"disk\""];
    book.counts(&edge, "selvedge_store_entries", tier, RESPONSES);
    edge.stop();
    let mut all = Vec::new();
    files(&disk.join("heads"), &mut all);
    for file in all {
        let mut bytes = fs::read(&file).expect("it is ours");
        // A bit here and there, in the bodies: they are most of the file.
        bytes.iter_mut().skip(10_000).step_by(5_000).for_each(|byte| *byte ^= 4);
        fs::write(file, bytes).expect("it is ours");
    }
    let edge = start();
    book.moves(&edge, ("selvedge_store_errors_total", tier), (0.0, RESPONSES as f64), || {
        for number in 0..RESPONSES {
            let path = format!("/{number}");
            assert!(edge.get(&path).body == content(&path, LENGTH), "{path}");
        }
    });
    book.counts(&edge, "selvedge_store_healthy", tier, 1);
}
