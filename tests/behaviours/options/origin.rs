//! Waits and bounds towards origins.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Edge, Origin, eventually, tls};

use super::scene::{Scene, connect, ends};
use super::{Group, row};

/// The option that [`resolving`] proves by itself.
pub(super) const RESOLVE: &str = "site[].origin.resolve";
/// First and second value of most waits.
const WAITS: [&str; 2] = ["\"1h\"", "\"100ms\""];

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// Waits for an answer.
pub(super) fn waits() -> Group {
    let origin = Origin::start(|request, to| {
        if request.target.starts_with("/half") {
            to.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        }
        to.until_closed();
    });
    let base = [("site[].origin.total", "\"1h\"")];
    let mut group = Group::before(&[origin.url()], &base);
    let half = |scene: &Scene| {
        let mut client = connect(scene.edge.address);
        client.write_all(&get(&scene.path("/half"))).expect("written");
        ends(&mut client, scene.patience()).to_owned()
    };
    group.rows = vec![
        row("site[].origin.response", WAITS, ["open", "504"], |scene| {
            scene.answer(&get(&scene.path("/silent")))
        }),
        row("site[].origin.body", WAITS, ["open", "closed"], half),
        row("site[].origin.whole", WAITS, ["open", "closed"], half),
    ];
    group.actors = vec![Box::new(origin)];
    group
}

/// How long a connection is kept: the origin sees when it is closed.
pub(super) fn connections() -> Group {
    let origin = Arc::new(Origin::start(move |request, to| {
        if request.target.starts_with("/aged") {
            // Older than the least `lifetime` that can be written.
            std::thread::sleep(Duration::from_millis(1100));
        }
        to.send(200, &[], "x");
    }));
    let look = |start: &'static str| {
        let origin = Arc::clone(&origin);
        move |scene: &Scene| {
            let (asked, before) = (Instant::now(), origin.closed());
            assert_eq!(scene.edge.get(&scene.path(start)).status, 200);
            while origin.closed() == before && asked.elapsed() < scene.patience() {
                std::thread::yield_now();
            }
            if origin.closed() > before { "closed" } else { "kept" }.to_owned()
        }
    };
    let mut group = Group::before(&[origin.url()], &[]);
    let seen = ["kept", "closed"];
    group.rows = vec![
        row("site[].origin.idle", ["\"1h\"", "\"50ms\""], seen, look("/new")),
        row("site[].origin.lifetime", ["\"1h\"", "\"1s\""], seen, look("/aged")),
        row("site[].origin.idle_max", ["100", "0"], seen, look("/new")),
    ];
    group.actors = vec![Box::new(origin)];
    group
}

/// Places at an origin that has one, which somebody holds.
pub(super) fn places() -> Group {
    let origin =
        Origin::start(
            |request, to| {
                if request.method == "POST" { to.until_closed() } else { to.cacheable("x") }
            },
        );
    let look = |scene: &Scene| {
        let busy = || {
            let status = scene.edge.admin("GET", "/v1/status", "").json();
            let origin = &status["sites"][0]["origins"][0];
            origin["in_flight"].as_u64().expect("a number")
        };
        let mut holder = connect(scene.edge.address);
        holder
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .expect("written");
        eventually("the place is taken", || (busy() >= 1).then_some(()));
        scene.answer(&get(&scene.path("/waits")))
    };
    let mut group = Group::before(&[origin.url()], &[]);
    group.rows = vec![
        row("site[].origin.queue", WAITS, ["open", "503"], look),
        row("site[].origin.queue_max", ["1000", "0"], ["open", "503"], look),
        row("site[].origin.connections_max", ["1", "2"], ["open", "200"], look),
    ];
    group.actors = vec![Box::new(origin)];
    group
}

/// One of two origins takes a while to fail.
pub(super) fn attempts() -> Group {
    let origin = Origin::constant("x");
    let fails = Origin::start(|_, to| {
        std::thread::sleep(Duration::from_millis(30));
        to.break_off();
    });
    let look = |scene: &Scene| {
        let failed = (0..4).any(|_| scene.edge.get(&scene.path("/")).status == 502);
        if failed { "it failed" } else { "the other answered" }.to_owned()
    };
    let base = [("site[].origin.balance", "\"turns\""), ("site[].health.failures", "0")];
    let mut group = Group::before(&[fails.url(), origin.url()], &base);
    let seen = ["the other answered", "it failed"];
    group.rows = vec![
        row("site[].origin.attempts_max", ["2", "1"], seen, look),
        row("site[].origin.total", ["\"1h\"", "\"10ms\""], seen, look),
    ];
    group.actors = vec![Box::new(origin), Box::new(fails)];
    group
}

/// An origin whose queue of connections is full: the kernel leaves the next one without an answer.
pub(super) fn connecting() -> Group {
    let listener = narrow_listener();
    let address = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    let full = Duration::from_millis(200);
    while let Ok(stream) = TcpStream::connect_timeout(&address, full) {
        waiting.push(stream);
    }
    let base = [("site[].origin.attempts_max", "1")];
    let mut group = Group::before(&[format!("http://{address}")], &base);
    let look = |scene: &Scene| scene.answer(&get(&scene.path("/")));
    group.rows = vec![row("site[].origin.connect", WAITS, ["open", "504"], look)];
    group.actors = vec![Box::new(listener), Box::new(waiting)];
    group
}

fn narrow_listener() -> TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
    bind(&socket, &any).expect("a free port");
    listen(&socket, 0).expect("it listens");
    TcpListener::from(socket)
}

/// An origin with TLS: one that is silent, one whose certificate nobody but us knows.
pub(super) fn handshakes() -> Group {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let certificate = tls::make("origin", &["localhost"]);
    let other = tls::make("other", &["localhost"]);
    let folder = harness::temp::dir();
    certificate.install(folder.path(), "right");
    other.install(folder.path(), "wrong");
    let at = |name: &str| format!("{:?}", folder.path().join(name).display().to_string());
    let speaks = tls::origin(&certificate);
    let urls = |address: std::net::SocketAddr| format!("https://localhost:{}", address.port());
    let quiet = format!("[{:?}]", urls(silent.local_addr().expect("bound")));
    let mut group = Group::before(&[urls(speaks)], &[]);
    let look = |scene: &Scene| scene.answer(&get(&scene.path("/")));
    group.rows = vec![
        row("site[].origin.ca", [&at("wrong.pem"), &at("right.pem")], ["502", "200"], look),
        row("site[].origin.tls", WAITS, ["502", "504"], look).with("site[].origins", quiet),
    ];
    group.actors = vec![Box::new(silent), Box::new(folder)];
    group
}

/// The system's resolver, held up where it opens its own file.
#[test]
fn resolving() {
    const SLOW: [&str; 6] = [
        "--seccomp-bpf",
        "-P",
        "/etc/hosts",
        "-e",
        "trace=openat",
        "-einject=openat:delay_enter=100s",
    ];
    let file = harness::ConfigFile::new("", "");
    let site = |wait: &str| {
        let origin = "http://nowhere.selvedge.example:8000";
        let site = format!("[[site]]\nname = \"all\"\nhosts = [\"*\"]\norigins = [{origin:?}]\n");
        file.rewrite("", &format!("{site}[site.origin]\nresolve = {wait}\n"));
    };
    site(WAITS[0]);
    let mut command = harness::strace::injected(&SLOW);
    command.args(["serve", "--config"]).arg(file.path());
    let edge = Edge::spawn(command);
    let mut early = connect(edge.address);
    early.write_all(&get("/")).expect("written");
    assert_eq!(ends(&mut early, Duration::from_millis(500)), "open");
    site(WAITS[1]);
    edge.signal("HUP");
    edge.logged("\"reloaded\"");
    assert_eq!(edge.get("/").status, 504);
}
