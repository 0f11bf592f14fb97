//! `kill -9`: at any moment, and between the writing of a purge and its `fsync`.
//!
//! `SELVEDGE_TEST_KILLS` says how often each test kills; by default fifty times.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use harness::client::Ending;
use harness::{Client, Edge, Origin, content, eventually};

fn rounds() -> usize {
    std::env::var("SELVEDGE_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

fn arguments(origin: &str, disk: &Path) -> Vec<String> {
    let disk = disk.to_str().expect("a plain path");
    let all = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--origin", origin];
    let more = ["--disk", disk, "--disk-size", "256MiB", "--memory", "32MiB"];
    all.iter().chain(&more).map(|&word| word.to_owned()).collect()
}

fn on_disk(origin: &str, disk: &Path) -> Edge {
    let arguments = arguments(origin, disk);
    Edge::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[])
}

/// What a path holds: a kilobyte and more, or four mebibytes. Made once: it is asked for often.
fn right(path: &str) -> Arc<[u8]> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<[u8]>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().expect("unpoisoned");
    let length = if path.starts_with("/big") { 4 << 20 } else { 1000 + path.len() * 7 };
    let body = made.entry(path.to_owned()).or_insert_with(|| content(path, length).into());
    Arc::clone(body)
}

fn paths() -> Vec<String> {
    let small = (0..500).map(|number| format!("/small/{number}"));
    small.chain((0..10).map(|number| format!("/big/{number}"))).collect()
}

#[test]
fn killed_under_load_it_never_answers_a_wrong_byte() {
    let dir = harness::temp::dir();
    let origin = Origin::start(|request, to| {
        to.send(200, &[("Cache-Control", "max-age=3600")], right(&request.target));
    });
    let url = origin.url();
    for round in 0..rounds() {
        let edge = on_disk(&url, dir.path());
        let served = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..4)
            .map(|worker| {
                let (address, served) = (edge.address, Arc::clone(&served));
                thread::spawn(move || read_until_it_dies(address, worker + round, &served))
            })
            .collect();
        // The moment differs from round to round by what has been answered.
        let enough = 20 + (round * 37) % 400;
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
    for path in &paths() {
        let answer = client.request("GET", path, &[], b"");
        assert!(answer.body[..] == right(path)[..], "{path}: {:?}", answer.fields);
    }
}

/// Asks for one thing after another until the node is gone; every whole answer must be right, and
/// every part of one.
fn read_until_it_dies(address: SocketAddr, seed: usize, served: &AtomicUsize) {
    let paths = paths();
    let Some(mut client) = Client::try_connect(address) else { return };
    for step in 0.. {
        let path = &paths[(seed * 131 + step * 17) % paths.len()];
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes());
        let Some(answer) = client.try_response(false) else { return };
        let right = right(path);
        assert_eq!(answer.status, 200, "{path}");
        if answer.ending == Ending::Cut {
            assert!(right.starts_with(&answer.body), "{path}: wrong bytes before the end");
            return;
        }
        assert!(answer.body[..] == right[..], "{path}: wrong bytes, {:?}", answer.fields);
        served.fetch_add(1, Ordering::SeqCst);
    }
}

const OBJECTS: usize = 8;

/// What is true, and what was promised: the origin's content is a version, which is raised before
/// each purge; once the purge is acknowledged, no older version may be seen.
#[derive(Default)]
struct Promises {
    versions: [AtomicUsize; OBJECTS],
    acknowledged: [AtomicUsize; OBJECTS],
    /// The highest position that was acknowledged.
    position: AtomicUsize,
    count: AtomicUsize,
}

impl Promises {
    fn origin(self: &Arc<Self>) -> Origin {
        let truth = Arc::clone(self);
        Origin::start(move |request, to| {
            let object: usize = request.target[1..].parse().expect("our own path");
            let body = truth.versions[object].load(Ordering::SeqCst).to_string();
            let tag = format!("t{object}");
            to.send(200, &[("Cache-Control", "max-age=3600"), ("Cache-Tag", &tag)], body);
        })
    }

    /// Everything that was acknowledged holds on this node.
    fn hold_on(&self, edge: &Edge, round: usize) {
        let position = edge.metrics().count("selvedge_purge_position", &[]);
        let promised = self.position.load(Ordering::SeqCst);
        assert!(position >= promised, "round {round}: position {position} after {promised}");
        let mut client = edge.client();
        for object in 0..OBJECTS {
            let least = self.acknowledged[object].load(Ordering::SeqCst);
            let answer = client.request("GET", &format!("/{object}"), &[], b"");
            let got: usize = answer.text().parse().expect("a number");
            assert!(got >= least, "round {round}: {got} after the purge of {least}: {answer:?}");
        }
    }

    /// Fills an object, changes the truth, purges; whether it was acknowledged.
    fn purge(&self, node: &mut Client, admin: SocketAddr, step: usize) -> bool {
        let object = step % OBJECTS;
        node.send(format!("GET /{object} HTTP/1.1\r\nHost: test.example\r\n\r\n").as_bytes());
        if node.try_response(false).is_none() {
            return false;
        }
        let version = self.versions[object].fetch_add(1, Ordering::SeqCst) + 1;
        let Some(position) = purge_once(admin, &selector(step)) else { return false };
        self.keep(object, version, position);
        true
    }

    /// A purge was acknowledged.
    fn keep(&self, object: usize, version: usize, position: usize) {
        self.acknowledged[object].store(version, Ordering::SeqCst);
        self.position.fetch_max(position, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

fn selector(step: usize) -> String {
    let object = step % OBJECTS;
    match step % 3 {
        0 => format!(r#"{{"tag":"t{object}"}}"#),
        1 => format!(r#"{{"prefix":"http://test.example/{object}"}}"#),
        _ => r#"{"everything":true}"#.to_owned(),
    }
}

/// One purge; its position if it was acknowledged before the node died.
fn purge_once(admin: SocketAddr, selector: &str) -> Option<usize> {
    let mut client = Client::try_connect(admin)?;
    let json = "Content-Type: application/json\r\nConnection: close";
    let length = selector.len();
    client.send(
        format!(
            "POST /v1/purges HTTP/1.1\r\nHost: {admin}\r\n{json}\r\nContent-Length: {length}\r\n\r\n\
             {selector}"
        )
        .as_bytes(),
    );
    let answer = client.try_response(false).filter(|answer| answer.ending == Ending::Clean)?;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["position"].as_u64().map(|position| position as usize)
}

#[test]
fn killed_at_any_moment_it_keeps_every_purge_it_acknowledged() {
    let dir = harness::temp::dir();
    let promises = Arc::new(Promises::default());
    let origin = promises.origin();
    for round in 0..rounds() {
        let edge = on_disk(&origin.url(), dir.path());
        promises.hold_on(&edge, round);
        let stop = Arc::new(AtomicBool::new(false));
        let before = promises.count.load(Ordering::SeqCst);
        let purging = {
            let (promises, stop) = (Arc::clone(&promises), Arc::clone(&stop));
            let (admin, mut node) = (edge.admin, edge.client());
            thread::spawn(move || {
                let mut steps = 0..;
                while !stop.load(Ordering::SeqCst) {
                    let step = steps.next().expect("without end");
                    if !promises.purge(&mut node, admin, step) {
                        break;
                    }
                }
            })
        };
        let enough = before + 1 + (round * 7) % 23;
        eventually("enough is purged", || {
            (promises.count.load(Ordering::SeqCst) >= enough).then_some(())
        });
        edge.kill();
        stop.store(true, Ordering::SeqCst);
        purging.join().expect("no wrong answer");
    }
}

/// How the disk looks after the kill: as the kernel had it, or as a machine that lost power may
/// leave it, with nothing or with a part of what was not made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Left {
    All,
    Part,
    Nothing,
}

#[test]
fn killed_between_write_and_fsync_a_purge_is_in_force_or_never_was() {
    let dir = harness::temp::dir();
    let promises = Arc::new(Promises::default());
    let origin = promises.origin();
    let ledger = dir.path().join("ledger/purges.ledger");
    let length = || std::fs::metadata(&ledger).map_or(0, |file| file.len());
    // What was under way when the node was killed, and how the disk was left.
    let mut before: Option<(String, Left)> = None;
    let (mut steps, mut unpromised) = (0.., 0);
    for round in 0..rounds() {
        // The first so many reach the disk; the next is held up as long as the test lives.
        let passing = 1 + round % 4;
        let when = format!("-einject=fdatasync:delay_enter=1000s:when={}+", passing + 1);
        let path = ledger.to_str().expect("a plain path");
        let options = ["--seccomp-bpf", "-P", path, "-e", "trace=fdatasync", &when];
        let mut command = harness::strace::injected(&options);
        command.args(arguments(&origin.url(), dir.path()));
        let edge = Edge::spawn(command);
        promises.hold_on(&edge, round);
        if let Some((selector, left)) = before.take() {
            whole_or_absent(&edge, promises.position.load(Ordering::SeqCst), &selector, left);
        }
        let mut node = edge.client();
        let mut asked_for = 0;
        let (asked, step, version, durable) = loop {
            assert!(asked_for <= passing + 2, "purges are acknowledged without fdatasync");
            asked_for += 1;
            let step = steps.next().expect("without end");
            let durable = length();
            let (object, admin) = (step % OBJECTS, edge.admin);
            node.request("GET", &format!("/{object}"), &[], b"");
            let version = promises.versions[object].fetch_add(1, Ordering::SeqCst) + 1;
            let asked = thread::spawn(move || purge_once(admin, &selector(step)));
            eventually("the purge is in the file", || (length() > durable).then_some(()));
            let held = eventually("it is acknowledged, or held up", || {
                let waits = waits_in_fdatasync(edge.pid());
                (waits || asked.is_finished()).then_some(waits && !asked.is_finished())
            });
            if held {
                break (asked, step, version, durable);
            }
            let position = asked.join().expect("it only asks").expect("acknowledged");
            promises.keep(object, version, position);
        };
        edge.kill();
        if let Some(position) = asked.join().expect("it only asks") {
            promises.keep(step % OBJECTS, version, position);
        } else {
            let left = [Left::All, Left::Part, Left::Nothing][round % 3];
            cut(&ledger, durable, left, round);
            before = Some((selector(step), left));
            unpromised += 1;
        }
    }
    // A call that is let pass stops for a moment, too: a few of those may have been taken for it.
    assert!(unpromised * 4 >= rounds() * 3, "{unpromised} of {} were held up", rounds());
}

/// Leaves so much of what is behind `durable` in the file.
fn cut(ledger: &Path, durable: u64, left: Left, round: usize) {
    let file = std::fs::File::options().write(true).open(ledger).expect("the ledger");
    let written = file.metadata().expect("the ledger").len();
    assert!(written > durable, "nothing was written, yet it was held up");
    let kept = match left {
        Left::All => written,
        Left::Part => durable + 1 + (round as u64 * 13) % (written - durable - 1),
        Left::Nothing => durable,
    };
    file.set_len(kept).expect("it can be cut");
}

/// Whether the ledger's thread stands before `fdatasync`, where it was stopped.
fn waits_in_fdatasync(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the node runs");
    tasks.flatten().any(|task| {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        read("comm").trim() == "purge-ledger" && read("status").contains("State:\tt")
    })
}

/// The purge that nobody promised: in the audit trail as it was asked for, or not at all.
fn whole_or_absent(edge: &Edge, promised: usize, selector: &str, left: Left) {
    let trail = edge.admin("GET", &format!("/v1/purges?after={promised}"), "").json();
    let purges = trail["purges"].as_array().expect("a list");
    let asked: serde_json::Value = serde_json::from_str(selector).expect("our own");
    match left {
        Left::All => {
            assert_eq!(purges.len(), 1, "{trail}");
            assert_eq!(purges[0]["selector"], asked, "{trail}");
        }
        Left::Part | Left::Nothing => assert_eq!(purges.len(), 0, "{left:?}: {trail}"),
    }
}
