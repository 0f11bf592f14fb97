//! What `200` rests on: an `fsync` of the kernel's, shared by those who wait together; and what a
//! ledger that was damaged is worth.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use harness::parts::{self, Part};
use harness::{Client, Edge, Origin};

pub(crate) fn on_disk(origin: &Origin, disk: &Path) -> Edge {
    let disk = disk.to_str().expect("a plain path");
    Edge::start(&["--origin", &origin.url(), "--disk", disk, "--disk-size", "64MiB"])
}

/// Watches what the node asks of the kernel, and makes it answer as `inject` says.
pub(crate) struct Kernel {
    tracer: Part,
    calls: PathBuf,
}

impl Kernel {
    pub(crate) fn watch(edge: &Edge, scratch: &Path, inject: &str) -> Self {
        let calls = scratch.join("calls");
        let mut command: Command = parts::command(&parts::program("strace", "strace"));
        command.args(["-f", "-y", "-p", &edge.pid().to_string(), "-o"]).arg(&calls);
        command.args(["-e", "trace=fdatasync", "-e", &format!("inject=fdatasync:{inject}")]);
        let mut tracer = Part::spawn(command);
        tracer.line("that it is attached", |line| line.contains("attached").then_some(()));
        Self { tracer, calls }
    }

    /// How often the ledger was synced meanwhile.
    fn ledger_syncs(self) -> usize {
        self.tracer.kill();
        let calls = std::fs::read_to_string(&self.calls).expect("it wrote its file");
        // A call that another thread's interrupts stands on two lines, the path on the first.
        calls
            .lines()
            .filter(|line| line.contains("fdatasync(") && line.contains("/ledger/"))
            .count()
    }
}

/// Purges; asks again when an operator's connection took this one's place.
fn purge_surely(edge: &Edge, tag: usize) {
    let body = format!("{{\"tag\":\"t{tag}\"}}");
    let request = format!(
        "POST /v1/purges HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        edge.admin,
        body.len()
    );
    let answer = loop {
        let mut client = Client::connect(edge.admin);
        client.send(request.as_bytes());
        if let Some(answer) = client.try_response(false) {
            break answer;
        }
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn purge(edge: &Edge, tag: usize) -> u16 {
    edge.admin("POST", "/v1/purges", &format!("{{\"tag\":\"t{tag}\"}}")).status
}

#[test]
fn purges_that_come_together_share_an_fsync() {
    const PURGES: usize = 64;
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let edge = on_disk(&origin, &dir.path().join("cache"));
    // Microseconds: a slow disk.
    let kernel = Kernel::watch(&edge, dir.path(), "delay_enter=100000");
    let together = Barrier::new(PURGES);
    thread::scope(|scope| {
        for tag in 0..PURGES {
            let (edge, together) = (&edge, &together);
            scope.spawn(move || {
                together.wait();
                purge_surely(edge, tag);
            });
        }
    });
    let syncs = kernel.ledger_syncs();
    assert!((1..=PURGES / 4).contains(&syncs), "{syncs} syncs for {PURGES} purges");
    let status = edge.admin("GET", "/v1/status", "").json();
    assert!(status["purges"]["position"].as_u64() >= Some(PURGES as u64), "{status}");
    assert_eq!(status["purges"]["commits"], syncs, "{status}");
}

#[test]
fn a_purge_is_not_answered_before_its_fsync() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let edge = on_disk(&origin, &dir.path().join("cache"));
    let kernel = Kernel::watch(&edge, dir.path(), "delay_exit=400000");
    let started = Instant::now();
    assert_eq!(purge(&edge, 0), 200);
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert_eq!(kernel.ledger_syncs(), 1);
}

#[test]
fn an_fsync_that_fails_is_not_asked_again_about_the_same_file() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let edge = on_disk(&origin, &dir.path().join("cache"));
    edge.get("/a");
    let kernel = Kernel::watch(&edge, dir.path(), "error=EIO:when=1");
    let refused = edge.admin("POST", "/v1/purges", r#"{"everything":true}"#);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.field("retry-after"), "1");
    assert!(!edge.get("/a").is_hit(), "in doubt: it selects already");
    let accepted = harness::eventually("purges are taken again", || {
        let answer = edge.admin("POST", "/v1/purges", r#"{"tag":"t"}"#);
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(accepted["position"], 2, "the one in doubt kept its place");
    drop(kernel);
    edge.kill();
    let edge = on_disk(&origin, &dir.path().join("cache"));
    let trail = edge.admin("GET", "/v1/purges", "").json();
    let selectors: Vec<_> =
        trail["purges"].as_array().into_iter().flatten().map(|one| &one["selector"]).collect();
    assert_eq!(selectors.len(), 2, "{trail}");
    assert_eq!(selectors[1]["tag"], "t", "{trail}");
}

/// The one file of the ledger that holds entries.
fn ledger_file(disk: &Path) -> PathBuf {
    let files = std::fs::read_dir(disk.join("ledger")).expect("the node made it");
    let files = files.flatten().map(|file| file.path());
    files.max_by_key(|file| file.metadata().map_or(0, |meta| meta.len())).expect("a file")
}

#[test]
fn a_ledger_that_is_damaged_in_its_middle_means_an_empty_cache_and_is_told() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let disk = dir.path().join("cache");
    let edge = on_disk(&origin, &disk);
    edge.get("/a");
    for tag in 0..20 {
        assert_eq!(purge(&edge, tag), 200);
    }
    let before = edge.admin("GET", "/v1/status", "").json()["purges"]["ledger"].clone();
    assert!(edge.stop().success());
    let edge = on_disk(&origin, &disk);
    assert!(edge.get("/a").is_hit(), "an undamaged one keeps it");
    assert!(edge.stop().success());

    let file = ledger_file(&disk);
    let mut bytes = std::fs::read(&file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&file, bytes).expect("writable");

    let edge = on_disk(&origin, &disk);
    assert!(!edge.get("/a").is_hit(), "nothing can be said of what is stored");
    let told = edge.log().join("\n");
    assert!(told.contains("ledger") && told.contains("\"level\":\"ERROR\""), "{told}");
    let status = edge.admin("GET", "/v1/status", "").json();
    assert_ne!(status["purges"]["ledger"], before, "{status}");
    assert_eq!(purge(&edge, 0), 200);
    assert!(edge.get("/a").is_hit(), "it caches again");
}

#[test]
fn a_ledger_that_lost_its_last_bytes_is_cut_to_whole_records_and_still_holds() {
    let (dir, origin) = (harness::temp::dir(), Origin::constant("x"));
    let disk = dir.path().join("cache");
    let edge = on_disk(&origin, &disk);
    for tag in 0..3 {
        assert_eq!(purge(&edge, tag), 200);
    }
    edge.kill();
    let file = ledger_file(&disk);
    let whole = std::fs::read(&file).expect("readable");
    let end = whole.iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1;
    // As a crash in the middle of an append leaves it: a fourth record that was never acknowledged.
    let torn = [&whole[..end], &whole[end - 40..end - 30]].concat();
    std::fs::write(&file, torn).expect("writable");
    let edge = on_disk(&origin, &disk);
    let status = edge.admin("GET", "/v1/status", "").json();
    assert_eq!(status["purges"]["position"], 3, "{status}");
    assert_eq!(purge(&edge, 3), 200);
    assert_eq!(edge.admin("GET", "/v1/purges/4", "").json()["selector"]["tag"], "t3");
}
