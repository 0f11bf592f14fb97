//! What clients may send, and how long they may take.

use std::io::Write;
use std::time::Instant;

use harness::{Origin, eventually, tls};

use super::node::TLS_LISTEN;
use super::scene::{Scene, Stage, connect, ends};
use super::{Group, row};

/// Sizes.
pub(super) fn limits() -> Group {
    let origin = Origin::constant("x");
    let mut group = Group::before(&[origin.url()], &[]);
    let get = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes()
    };
    let head = get("/", &format!("X: {}\r\n", "x".repeat(8000)));
    let fields = get("/", &"X: 1\r\n".repeat(20));
    let target = get(&format!("/{}", "x".repeat(999)), "");
    let body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let (kib, count) = (["\"16KiB\"", "\"4KiB\""], ["50", "10"]);
    group.rows = vec![
        row("limits.head_bytes", kib, ["200", "431"], move |scene| scene.answer(&head)),
        row("limits.fields", count, ["200", "431"], move |scene| scene.answer(&fields)),
        row("limits.target_bytes", ["\"4KiB\"", "\"64B\""], ["200", "414"], move |scene| {
            scene.answer(&target)
        }),
        row("limits.body_bytes", ["\"5B\"", "\"4B\""], ["200", "413"], |scene| scene.answer(body)),
    ];
    group.actors = vec![Box::new(origin)];
    group
}

/// Waits.
pub(super) fn deadlines() -> Group {
    let origin = Origin::start(|request, to| {
        if request.target != "/endless" {
            return to.cacheable("x");
        }
        to.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        let piece = vec![0; 64 * 1024];
        while to.try_raw(&piece) {}
    });
    let folder = harness::temp::dir();
    tls::make("a", &["a.example"]).install(folder.path(), "a");
    let at = |name: &str| format!("{:?}", folder.path().join(name).display().to_string());
    let (cert, key) = (at("a.pem"), at("a.key"));
    let base = [("tls[].cert", cert.as_str()), ("tls[].key", key.as_str()), TLS_LISTEN];
    let mut group = Group::before(&[origin.url()], &base);
    let values = ["\"1h\"", "\"100ms\""];
    group.rows = vec![
        row("deadlines.handshake", values, ["open", "closed"], |scene| {
            let mut silent = connect(scene.edge.tls.expect("a TLS listener"));
            ends(&mut silent, scene.patience()).to_owned()
        }),
        row("deadlines.head", values, ["open", "408"], |scene| scene.answer(b"GET / HT")),
        row("deadlines.body", values, ["open", "408"], |scene| {
            scene.answer(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello")
        }),
        row("deadlines.idle", values, ["open", "closed"], |scene| {
            let mut client = connect(scene.edge.address);
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
            ends(&mut client, scene.patience()).to_owned()
        }),
        row("deadlines.write", values, ["0", "1"], |scene| {
            let counted = || scene.edge.metrics().count("selvedge_client_deadlines_total", &[]);
            let before = counted();
            let mut client = connect(scene.edge.address);
            client.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").expect("written");
            if scene.stage == Stage::Changed {
                eventually("a deadline is counted", || (counted() > before).then_some(()));
            }
            (counted() - before).to_string()
        }),
        row("deadlines.linger", values, ["listens", "gone"], lingers),
    ];
    group.actors = vec![Box::new(origin), Box::new(folder)];
    group
}

/// Whether what a client still sends after a last answer is taken, or answered by a reset.
fn lingers(scene: &Scene) -> String {
    let mut client = connect(scene.edge.address);
    client.write_all(b"nonsense\r\n\r\n").expect("written");
    assert_eq!(ends(&mut client, scene.patience()), "closed", "our side is closed first");
    let started = Instant::now();
    while started.elapsed() < scene.patience() {
        if client.write_all(b"x").is_err() {
            return "gone".to_owned();
        }
        // The pace of a client that is slow: what is taken after the end is bounded, too.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    "listens".to_owned()
}
