//! A disk directory that cannot be used: one clear line in the log, and the node serves from
//! memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use harness::{Edge, Origin, content, eventually};

fn start(origin: &Origin, disk: &Path) -> Edge {
    let disk = disk.to_str().expect("a plain path");
    Edge::start(&["--origin", &origin.url(), "--disk", disk, "--disk-size", "128MiB"])
}

/// Serves from memory, purges included, and says why the disk is not used.
fn assert_serves_from_memory(edge: &Edge, disk: &Path) {
    assert_eq!(edge.get("/a").text(), "hello");
    assert!(edge.get("/a").is_hit());
    edge.purge(r#"{"everything":true}"#);
    assert!(!edge.get("/a").is_hit());
    let path = disk.to_str().expect("a plain path");
    let told: Vec<_> = edge
        .log()
        .into_iter()
        .filter(|line| line.contains("memory") && line.contains(path))
        .collect();
    assert_eq!(told.len(), 1, "one line that names the directory: {:#?}", edge.log());
    assert!(told[0].contains("ERROR") || told[0].contains("WARN"), "{}", told[0]);
}

#[test]
fn a_file_where_the_directory_should_be() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("hello"));
    let disk = dir.path().join("file");
    fs::write(&disk, "precious").expect("a scratch file");
    let edge = start(&origin, &disk);
    assert_serves_from_memory(&edge, &disk);
    assert_eq!(fs::read_to_string(&disk).expect("it is still there"), "precious");
}

#[test]
fn a_directory_that_cannot_be_made_or_written() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("hello"));
    // A file in the way stops even root; permissions stop everybody else.
    let disk = dir.path().join("file/below");
    fs::write(dir.path().join("file"), "").expect("a scratch file");
    assert_serves_from_memory(&start(&origin, &disk), &disk);

    let disk = dir.path().join("closed");
    fs::create_dir(&disk).expect("a scratch directory");
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o500)).expect("it is ours");
    let is_closed = fs::write(disk.join("probe"), "").is_err();
    let edge = start(&origin, &disk);
    if is_closed {
        assert_serves_from_memory(&edge, &disk);
    } else {
        // Root may write anyway.
        fs::remove_file(disk.join("probe")).expect("it is ours");
        assert_eq!(edge.get("/a").text(), "hello");
    }
    drop(edge);
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o700)).expect("it is ours");
}

#[test]
fn a_read_only_file_system() {
    // `/proc` is one everywhere.
    let origin = Origin::constant("hello");
    let disk = Path::new("/proc/selvedge-cache");
    assert_serves_from_memory(&start(&origin, disk), disk);
}

#[test]
fn a_directory_that_a_second_node_uses() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("hello"));
    let first = start(&origin, dir.path());
    first.get("/a");
    let second = start(&origin, dir.path());
    assert_serves_from_memory(&second, dir.path());
    // The first one is not disturbed, and the lock goes with its process.
    assert!(first.get("/a").is_hit());
    drop(second);
    first.kill();
    let third = start(&origin, dir.path());
    assert!(third.metrics().has("selvedge_store_healthy"), "{:#?}", third.log());
}

#[test]
fn a_directory_of_another_version() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("hello"));
    start(&origin, dir.path()).stop();
    let format = dir.path().join("format");
    let written = fs::read_to_string(&format).expect("the format file");
    let other = format!("selvedge-store 999\n{}", written.lines().skip(1).collect::<String>());
    fs::write(&format, &other).expect("it is ours");
    let edge = start(&origin, dir.path());
    assert_serves_from_memory(&edge, dir.path());
    assert_eq!(fs::read_to_string(&format).expect("the format file"), other, "left alone");
}

#[test]
fn foreign_files_in_the_directory_are_left_alone() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("hello"));
    fs::write(dir.path().join("family-photo.jpg"), "precious").expect("a scratch file");
    let edge = start(&origin, dir.path());
    assert_eq!(edge.get("/a").text(), "hello");
    assert!(edge.get("/a").is_hit());
    edge.stop();
    let kept = fs::read_to_string(dir.path().join("family-photo.jpg")).expect("still there");
    assert_eq!(kept, "precious");
}

/// Every regular file below a directory.
fn files(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

#[test]
fn garbage_over_everything_on_disk_is_never_served() {
    const LENGTH: usize = 20_000;
    let dir = harness::temp::dir();
    let origin = Origin::start(|request, to| {
        to.send(200, &[("Cache-Control", "max-age=3600")], content(&request.target, LENGTH));
    });
    // Each time another kind of file is overwritten.
    for part in ["heads", "bodies", "directory", "epoch", "ledger", "format", ""] {
        let edge = start(&origin, dir.path());
        for number in 0..50 {
            edge.get(&format!("/{number}"));
        }
        edge.stop();
        let mut all = Vec::new();
        files(dir.path(), &mut all);
        for file in all.iter().filter(|file| file.to_string_lossy().contains(part)) {
            let length = fs::metadata(file).expect("a file").len() as usize;
            let garbage = content("garbage", length.min(4 << 20));
            fs::write(file, garbage).expect("it is ours");
        }
        let edge = start(&origin, dir.path());
        for number in 0..50 {
            let path = format!("/{number}");
            let answer = edge.get(&path);
            assert_eq!(answer.status, 200, "{part}: {path}");
            assert!(answer.body == content(&path, LENGTH), "{part}: {path}: wrong bytes");
        }
        drop(edge);
        if part.is_empty() || part == "format" {
            fs::remove_dir_all(dir.path()).expect("it is ours");
            fs::create_dir(dir.path()).expect("it was there");
        }
    }
}

#[test]
fn bytes_that_rot_on_disk_are_fetched_again() {
    const LENGTH: usize = 300_000;
    let dir = harness::temp::dir();
    let origin = Origin::start(|request, to| {
        to.send(200, &[("Cache-Control", "max-age=3600")], content(&request.target, LENGTH));
    });
    let edge = start(&origin, dir.path());
    for number in 0..20 {
        edge.get(&format!("/{number}"));
    }
    eventually("all of it is on disk", || {
        let bytes = edge.metrics().sum("selvedge_store_bytes", &["tier=\"disk\""]);
        (bytes >= 20.0 * LENGTH as f64).then_some(())
    });
    edge.stop();
    let mut all = Vec::new();
    files(dir.path(), &mut all);
    for file in all.iter().filter(|file| {
        let name = file.to_string_lossy();
        name.contains("/heads/") || name.contains("/bodies/")
    }) {
        let mut bytes = fs::read(file).expect("it is ours");
        // One bit in every 50 kB.
        bytes.iter_mut().step_by(50_000).for_each(|byte| *byte ^= 4);
        fs::write(file, bytes).expect("it is ours");
    }
    let edge = start(&origin, dir.path());
    for number in 0..20 {
        let path = format!("/{number}");
        // A body that turns out rotten in the middle may be cut, never wrong; then it is new.
        let right = content(&path, LENGTH);
        let whole = eventually("it is right again", || {
            let answer = edge.get(&path);
            assert!(right.starts_with(&answer.body), "{path}: wrong bytes");
            (answer.body == right).then_some(answer)
        });
        assert_eq!(whole.status, 200);
    }
    // A line of the engine for each value would flood the log of a node with a broken disk.
    let engine: Vec<_> = edge.log().into_iter().filter(|line| line.contains("foyer")).collect();
    assert_eq!(engine, Vec::<String>::new());
}

#[test]
fn files_deleted_under_a_running_node_hurt_nobody() {
    const LENGTH: usize = 100_000;
    let dir = harness::temp::dir();
    let origin = Origin::start(|request, to| {
        to.send(200, &[("Cache-Control", "max-age=3600")], content(&request.target, LENGTH));
    });
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
    let mut client = edge.client();
    for round in 0..2 {
        for number in 0..300 {
            let path = format!("/{number}");
            let answer = client.request("GET", &path, &[], b"");
            assert!(answer.body == content(&path, LENGTH), "round {round}: {path}");
        }
        if round == 0 {
            fs::remove_dir_all(&disk).expect("it is ours");
        }
    }
}
