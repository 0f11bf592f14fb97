//! 64 writers purge one hot key that 256 readers ask for, and the node is killed in between: no
//! answer is older than the last purge that was acknowledged before its request.
//!
//! `SELVEDGE_TEST_STORM_SECONDS=60` makes it longer.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::Ending;
use harness::{Client, Edge, Origin, eventually};

const WRITERS: usize = 64;
const READERS: usize = 256;
/// Lives of the node, each ended by a kill after so many purges.
const LIVES: usize = 3;
const PURGES_OF_A_LIFE: usize = 400;

const SELECTORS: [&str; 6] = [
    r#"{"url":"http://test.example/hot"}"#,
    r#"{"tag":"t"}"#,
    r#"{"prefix":"http://test.example/"}"#,
    r#"{"tags":["u","t"],"site":"s"}"#,
    r#"{"host":"test.example"}"#,
    r#"{"everything":true}"#,
];

/// What is known without looking into the node.
#[derive(Default)]
struct Truth {
    /// Answers that the origin has begun; each carries its number.
    answered: AtomicUsize,
    /// No request that begins now may be given a lower number.
    least: AtomicUsize,
    purges: AtomicUsize,
    reads: AtomicUsize,
    stop: AtomicBool,
}

fn start(origin: &Origin, dir: &Path) -> Edge {
    let file = dir.join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [disk]\npath = \"cache\"\nsize = \"64MiB\"\n[admin]\npurges_per_second = 1000000\n\
         [[site]]\nname = \"s\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url()
    );
    std::fs::write(&file, text).expect("a scratch file");
    Edge::configured(&file)
}

/// Purges until it is told to stop, or the node dies.
fn write(admin: SocketAddr, first: usize, truth: &Truth) {
    let Some(mut client) = Client::try_connect(admin) else { return };
    let mut turn = first;
    loop {
        turn += 1;
        if truth.stop.load(Ordering::SeqCst) {
            return;
        }
        let selector = SELECTORS[turn % SELECTORS.len()];
        let before = truth.answered.load(Ordering::SeqCst);
        let request = format!(
            "POST /v1/purges HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{selector}",
            selector.len()
        );
        client.send(request.as_bytes());
        let Some(answer) = client.try_response(false) else {
            // The node died, or another connection took this one's place.
            let Some(again) = Client::try_connect(admin) else { return };
            client = again;
            continue;
        };
        assert_eq!(answer.status, 200, "{}", answer.text());
        // What the origin had answered before the purge was asked for is gone now.
        truth.least.fetch_max(before, Ordering::SeqCst);
        truth.purges.fetch_add(1, Ordering::SeqCst);
    }
}

/// Reads until it is told to stop, or the node dies.
fn read(address: SocketAddr, truth: &Truth) {
    let Some(mut client) = Client::try_connect(address) else { return };
    while !truth.stop.load(Ordering::SeqCst) {
        let least = truth.least.load(Ordering::SeqCst);
        client.send(b"GET /hot HTTP/1.1\r\nHost: test.example\r\n\r\n");
        let Some(answer) = client.try_response(false) else { return };
        if answer.ending != Ending::Clean {
            return; // Cut by the kill.
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let got: usize = answer.text().parse().expect("a number");
        assert!(got >= least, "{got} after a purge of all before {least}: {answer:?}");
        truth.reads.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_answer_is_older_than_the_last_acknowledged_purge_and_kills_change_nothing() {
    let seconds = std::env::var("SELVEDGE_TEST_STORM_SECONDS").ok().and_then(|s| s.parse().ok());
    let least_time = Duration::from_secs(seconds.unwrap_or(0));
    let (dir, truth) = (harness::temp::dir(), Arc::new(Truth::default()));
    let counter = Arc::clone(&truth);
    let origin = Origin::start(move |_, to| {
        let number = counter.answered.fetch_add(1, Ordering::SeqCst);
        let fields = [("Cache-Control", "max-age=600"), ("Cache-Tag", "t"), ("ETag", "\"same\"")];
        to.send(200, &fields, number.to_string());
    });
    let started = Instant::now();
    let mut life = 0;
    while life < LIVES || started.elapsed() < least_time {
        life += 1;
        truth.stop.store(false, Ordering::SeqCst);
        let edge = start(&origin, dir.path());
        let (purged, read_before) =
            (truth.purges.load(Ordering::SeqCst), truth.reads.load(Ordering::SeqCst));
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            let (admin, truth) = (edge.admin, Arc::clone(&truth));
            threads.push(thread::spawn(move || write(admin, writer, &truth)));
        }
        for _ in 0..READERS {
            let (address, truth) = (edge.address, Arc::clone(&truth));
            threads.push(thread::spawn(move || read(address, &truth)));
        }
        eventually("enough was purged and read", || {
            let failed = threads.iter().any(thread::JoinHandle::is_finished);
            let purges = truth.purges.load(Ordering::SeqCst) - purged;
            let reads = truth.reads.load(Ordering::SeqCst) - read_before;
            (failed || (purges >= PURGES_OF_A_LIFE && reads >= 4 * READERS)).then_some(())
        });
        // In the middle of everything.
        edge.kill();
        truth.stop.store(true, Ordering::SeqCst);
        for thread in threads {
            thread.join().expect("right answers only");
        }
    }
    // The last word: what survived the last kill is no older, either.
    let edge = start(&origin, dir.path());
    let least = truth.least.load(Ordering::SeqCst);
    let got: usize = edge.get("/hot").text().parse().expect("a number");
    assert!(got >= least, "{got} after a purge of all before {least}");
    let position = edge.metrics().sum("selvedge_purge_position", &[]);
    assert!(position >= truth.purges.load(Ordering::SeqCst) as f64, "an acknowledged one is lost");
}
