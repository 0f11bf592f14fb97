//! The process: where it listens, what it may use, how it ends.

use std::os::unix::net::UnixStream;
use std::path::Path;

use harness::{Origin, eventually, tls};

use super::scene::{Scene, Stage, connect, ends};
use super::{Group, row};

/// A listener beside the plain one.
pub(super) const TLS_LISTEN: (&str, &str) = ("node.tls_listen", "[\"127.0.0.1:0\"]");

/// What a node is started with.
pub(super) fn group() -> Group {
    let origin = Origin::start(|request, to| to.cacheable(request.field("x-forwarded-for")));
    let folder = harness::temp::dir();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let certificate = tls::make("a", &["a.example"]);
    certificate.install(folder.path(), "a");
    let (cert, key) = (format!("{:?}", at("a.pem")), format!("{:?}", at("a.key")));
    let base = [("tls[].cert", cert.as_str()), ("tls[].key", key.as_str())];
    let mut group = Group::before(&[origin.url()], &base);
    let (socket, log) = (at("node.socket"), at("access.log"));
    let (one, other) = (at("one"), at("other"));
    let (here, there) = (one.clone(), other.clone());
    group.rows = vec![
        {
            let values = ["[\"127.0.0.1:0\"]", &format!("[\"127.0.0.1:0\", \"unix:{socket}\"]")];
            row("node.listen", values, ["TCP", "TCP and Unix"], move |_| {
                let unix = UnixStream::connect(&socket).is_ok();
                if unix { "TCP and Unix" } else { "TCP" }.to_owned()
            })
        },
        row(TLS_LISTEN.0, ["[]", TLS_LISTEN.1], ["no TLS", "TLS"], move |scene| {
            let Some(address) = scene.edge.tls else { return "no TLS".to_owned() };
            let client = tls::client(&[&certificate], &[]);
            tls::connect(address, "a.example", &client).expect("a handshake");
            "TLS".to_owned()
        }),
        {
            let values = ["\"127.0.0.1:0\"", "\"127.0.0.2:0\""];
            row("node.admin", values, ["127.0.0.1 200", "127.0.0.2 200"], |scene| {
                let answer = scene.edge.admin("GET", "/healthz", "");
                format!("{} {}", scene.edge.admin.ip(), answer.status)
            })
        },
        row("node.workers", ["1", "3"], ["1", "3"], |scene| data_threads(scene.edge.pid())),
        {
            let values = ["\"off\"", &format!("{log:?}")];
            row("node.access_log", values, ["no line", "a line"], move |scene| {
                let path = scene.path("/logged");
                assert_eq!(scene.edge.get(&path).status, 200);
                if !Path::new(&log).exists() {
                    return "no line".to_owned();
                }
                eventually("a line of the access log", || {
                    std::fs::read_to_string(&log).is_ok_and(|log| log.contains(&path)).then_some(())
                });
                "a line".to_owned()
            })
        },
        row("node.connections_max", ["1000", "20"], ["21", "20"], |scene| {
            // What other rows left behind may take a moment to be gone.
            eventually("no connection is open", || {
                let open = scene.edge.metrics().count("selvedge_connections_open", &[]);
                (open == 0 || scene.stage == Stage::First).then_some(())
            });
            let mut clients: Vec<_> = (0..21).map(|_| scene.edge.client()).collect();
            let served = clients.iter_mut().filter_map(|client| {
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client.try_response(false).filter(|answer| answer.status == 200)
            });
            served.count().to_string()
        }),
        {
            let values = [format!("{one:?}"), format!("{other:?}")];
            let values = [values[0].as_str(), values[1].as_str()];
            row("disk.path", values, ["one", "one and other"], move |scene| {
                assert!(scene.edge.metrics().has("selvedge_store_healthy"));
                let other = Path::new(&other).join("ledger").exists();
                assert!(Path::new(&one).join("ledger").exists());
                if other { "one and other" } else { "one" }.to_owned()
            })
        },
        row("disk.size", ["\"64MiB\"", "\"256MiB\""], ["64 MiB", "256 MiB"], move |_| {
            let used = if Path::new(&there).exists() { &there } else { &here };
            format!("{} MiB", space(Path::new(used)) >> 20)
        }),
        {
            // Reloadable, and here because it needs nothing but a node.
            let values = ["[]", "[\"127.0.0.0/8\"]"];
            let seen = ["127.0.0.1", "192.0.2.7, 127.0.0.1"];
            row("node.trusted_proxies", values, seen, |scene| {
                let fields = [("X-Forwarded-For", "192.0.2.7")];
                scene.edge.get_with(&scene.path("/forwarded"), &fields).text()
            })
        },
    ];
    group.actors = vec![Box::new(origin), Box::new(folder)];
    group
}

fn data_threads(pid: u32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the node runs");
    let names = tasks.flatten().filter_map(|task| {
        std::fs::read_to_string(task.path().join("comm")).ok().filter(|name| {
            name.trim().strip_prefix("data-").is_some_and(|n| n.parse::<usize>().is_ok())
        })
    });
    names.count().to_string()
}

/// Bytes of all files in a folder: the tier lays its space out at the start.
fn space(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the node made it").flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(kind) if kind.is_dir() => space(&entry.path()),
        Ok(file) => file.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Memory, without a disk that would keep what memory does not.
pub(super) fn memory() -> Group {
    let origin = Origin::start(|_, to| to.cacheable(vec![b'x'; 4 << 20]));
    let mut group = Group::before(&[origin.url()], &[]);
    let seen = ["too large to keep", "kept"];
    group.rows = vec![row("node.memory", ["\"16MiB\"", "\"128MiB\""], seen, |scene| {
        let path = scene.path("/large");
        scene.edge.get(&path);
        if scene.edge.get(&path).is_hit() { "kept" } else { "too large to keep" }.to_owned()
    })];
    group.actors = vec![Box::new(origin)];
    group
}

/// How long a node may take to end: seen once, for it ends.
pub(super) fn drain() -> Group {
    let origin = Origin::start(|_, to| to.until_closed());
    let mut group = Group::before(&[origin.url()], &[]);
    let values = ["\"1h\"", "\"100ms\""];
    group.rows = vec![row("node.drain_deadline", values, ["not asked", "cut"], |scene| {
        if scene.stage == Stage::First {
            return "not asked".to_owned();
        }
        let mut client = connect(scene.edge.address);
        std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("a buffer of the kernel");
        eventually("the exchange runs", || {
            let open = scene.edge.metrics().count("selvedge_connections_open", &[]);
            (open == 1).then_some(())
        });
        scene.edge.signal("TERM");
        let ended = ends(&mut client, scene.patience()) == "closed";
        if ended { "cut" } else { "waited for" }.to_owned()
    })];
    group.actors = vec![Box::new(origin)];
    group
}

/// Certificates and keys.
pub(super) fn tls() -> Group {
    let origin = Origin::constant("x");
    let folder = harness::temp::dir();
    // Two certificates over one key, and a pair of its own.
    let (first, second) = tls::make_two(["first", "second"], &["a.example"]);
    let third = tls::make("third", &["a.example"]);
    for (certificate, name) in [(&first, "first"), (&second, "second"), (&third, "third")] {
        certificate.install(folder.path(), name);
    }
    let at = |name: &str| format!("{:?}", folder.path().join(name).display().to_string());
    let shown = move |scene: &Scene| {
        let trusted = tls::client(&[&first, &second, &third], &[]);
        let address = scene.edge.tls.expect("a TLS listener");
        let connection = tls::connect(address, "a.example", &trusted).expect("a handshake");
        let der = &connection.conn.peer_certificates().expect("a certificate")[0];
        let known = [(&first, "first"), (&second, "second"), (&third, "third")];
        let found = known.iter().find(|(certificate, _)| certificate.der == *der);
        found.expect("one of ours").1.to_owned()
    };
    let shown = std::sync::Arc::new(shown);
    let again = std::sync::Arc::clone(&shown);
    let mut group = Group::before(&[origin.url()], &[TLS_LISTEN]);
    group.rows = vec![
        row("tls[].cert", [&at("first.pem"), &at("second.pem")], ["first", "second"], move |s| {
            shown(s)
        }),
        // A key of its own needs a certificate of its own.
        row("tls[].key", [&at("first.key"), &at("third.key")], ["first", "third"], move |s| {
            again(s)
        })
        .with("tls[].cert", at("third.pem")),
    ];
    group.actors = vec![Box::new(origin), Box::new(folder)];
    group
}
