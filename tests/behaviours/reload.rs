//! Reload on SIGHUP: what is new applies to what comes afterwards, and nobody notices otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use harness::{Client, ConfigFile, Edge, Ending, Origin, config, eventually, tls};

/// Reloads and waits until the log says how it went for the `n`th time.
fn reload(edge: &Edge, words: &str, n: usize) -> String {
    edge.signal("HUP");
    eventually(&format!("the log says {words:?} {n} times"), || {
        edge.log().into_iter().filter(|line| line.contains(words)).nth(n - 1)
    })
}

#[test]
fn twenty_reloads_under_load_lose_no_request() {
    let origin = Origin::start(|request, to| to.send(200, &[], &request.target));
    let file = ConfigFile::new("", &config::site(&[&origin], ""));
    let edge = file.start();
    let (address, done) = (edge.address, Arc::new(AtomicBool::new(false)));
    let answered = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|worker| {
            let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for n in 0.. {
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                    if n % 10 == 0 {
                        client = Client::connect(address);
                    }
                    let path = format!("/{worker}/{n}");
                    let answer = client.request("GET", &path, &[], b"");
                    assert_eq!((answer.status, answer.text()), (200, path));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for n in 1..=20 {
        file.rewrite("", &config::site(&[&origin], &format!("[site.ttl]\ndefault = \"{n}s\"\n")));
        let before = answered.load(Ordering::SeqCst);
        reload(&edge, "\"reloaded\"", n);
        eventually("requests go on", || {
            (answered.load(Ordering::SeqCst) >= before + 20).then_some(())
        });
    }
    done.store(true, Ordering::SeqCst);
    for thread in load {
        thread.join().expect("no request was lost");
    }
}

#[test]
fn a_reload_that_fails_keeps_the_old_configuration_and_says_why() {
    let origin = Origin::constant("x");
    let file = ConfigFile::new("", &config::site(&[&origin], ""));
    let edge = file.start();
    file.rewrite("", &config::site(&[&origin], "[site.ttl]\ndefalt = \"60s\"\n"));
    let told = reload(&edge, "reload refused", 1);
    assert!(told.contains("edge.toml:") && told.contains("did you mean `default`?"), "{told}");
    assert_eq!(edge.get("/").status, 200);
    file.rewrite("", &config::site(&[&origin], ""));
    reload(&edge, "\"reloaded\"", 1);
}

#[test]
fn lifetimes_and_hosts_take_effect_and_the_cache_is_kept() {
    let origin = Origin::start(|request, to| {
        if request.target == "/kept" { to.cacheable("kept") } else { to.send(200, &[], "x") }
    });
    let file = ConfigFile::new("", &config::site(&[&origin], ""));
    let edge = file.start();
    edge.get("/kept");
    edge.get("/a");
    assert!(!edge.get("/a").is_hit());
    file.rewrite("", &config::site(&[&origin], "[site.ttl]\ndefault = \"60s\"\n"));
    reload(&edge, "\"reloaded\"", 1);
    edge.get("/b");
    assert!(edge.get("/b").is_hit() && edge.get("/kept").is_hit());
    let named =
        config::site(&[&origin], "").replace("hosts = [\"*\"]", "hosts = [\"shop.example\"]");
    file.rewrite("", &named);
    reload(&edge, "\"reloaded\"", 2);
    assert_eq!(edge.get("/kept").status, 421);
    let shop = edge.client().request_to("shop.example", "GET", "/kept", &[], b"");
    assert_eq!(shop.status, 200);
}

#[test]
fn origins_and_limits_take_effect_on_what_comes_afterwards() {
    let (old, new) = (Origin::constant("old"), Origin::constant("new"));
    let file = ConfigFile::new("", &config::site(&[&old], ""));
    let edge = file.start();
    assert_eq!(edge.get("/1").text(), "old");
    let limits = "[limits]\nbody_bytes = \"10B\"\n";
    file.rewrite("", &[limits, &config::site(&[&new], "")].concat());
    reload(&edge, "\"reloaded\"", 1);
    assert_eq!(edge.get("/2").text(), "new");
    assert_eq!(edge.client().request("POST", "/", &[], &[b'x'; 11]).status, 413);
}

#[test]
fn certificates_take_effect_for_new_connections() {
    let origin = Origin::constant("x");
    let (old, new) = (tls::make("old", &["a.example"]), tls::make("new", &["a.example"]));
    let file = ConfigFile::new("", "");
    let rest = [old.install(file.folder(), "a"), config::site(&[&origin], "")].concat();
    let node = "tls_listen = [\"127.0.0.1:0\"]";
    file.rewrite(node, &rest);
    let edge = file.start();
    let address = edge.tls.expect("a TLS listener");
    let both = tls::client(&[&old, &new], &[]);
    let shown = || {
        let connection = tls::connect(address, "a.example", &both).expect("a handshake");
        connection.conn.peer_certificates().expect("a certificate")[0].clone()
    };
    assert_eq!(shown(), old.der);
    // The same path, other bytes: nothing in the file has changed.
    new.install(file.folder(), "a");
    reload(&edge, "\"reloaded\"", 1);
    assert_eq!(shown(), new.der);
    std::fs::write(file.folder().join("a.pem"), "nonsense").expect("written");
    reload(&edge, "reload refused", 1);
    assert_eq!(shown(), new.der);
}

#[test]
fn tokens_take_effect() {
    let origin = Origin::constant("x");
    let token = |sha256: &str| {
        format!(
            "[[admin.tokens]]\nname = \"ops\"\nsha256 = \"{sha256}\"\nscopes = [\"read\", \"purge\"]\n"
        )
    };
    // printf %s one | sha256sum; printf %s two | sha256sum
    let one = token("7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
    let two = token("3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3");
    let file = ConfigFile::new("", &[one, config::site(&[&origin], "")].concat());
    let edge = file.start();
    let ask = |token: &str| {
        let authorization = format!("Bearer {token}");
        let fields = [("Authorization", authorization.as_str())];
        let host = edge.admin.to_string();
        Client::connect(edge.admin).request_to(&host, "GET", "/v1/status", &fields, b"").status
    };
    assert_eq!((ask("one"), ask("two")), (200, 401));
    file.rewrite("", &[two, config::site(&[&origin], "")].concat());
    reload(&edge, "\"reloaded\"", 1);
    assert_eq!((ask("one"), ask("two")), (401, 200));
}

#[test]
fn a_download_that_runs_survives_reloads_and_keeps_its_rules() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |_, to| {
        to.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        let _test_is_over = wait.lock().expect("unpoisoned").recv();
        to.raw("after");
    });
    let other = Origin::constant("other");
    let file = ConfigFile::new("", &config::site(&[&origin], ""));
    let edge = file.start();
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.await_bytes(b"first");
    for n in 1..=3 {
        file.rewrite("", &config::site(&[&other], &format!("[site.ttl]\ndefault = \"{n}s\"\n")));
        reload(&edge, "\"reloaded\"", n);
    }
    assert_eq!(edge.get("/other").text(), "other");
    go.send(()).expect("the origin waits");
    let answer = client.response(false);
    assert_eq!((answer.ending, answer.text().as_str()), (Ending::Clean, "firstafter"));
    assert_eq!(client.request("GET", "/next", &[], b"").text(), "other", "the connection lives on");
}

#[test]
fn what_waits_for_a_restart_is_named() {
    let origin = Origin::constant("x");
    let file = ConfigFile::new("memory = \"64MiB\"", &config::site(&[&origin], ""));
    let edge = file.start();
    file.rewrite("memory = \"128MiB\"\nworkers = 3", &config::site(&[&origin], ""));
    reload(&edge, "\"reloaded\"", 1);
    let log = edge.log().join("\n");
    for option in ["node.memory: ", "node.workers: "] {
        let line = log.lines().find(|line| line.contains(option)).expect(option);
        assert!(line.contains("waits for a restart"), "{line}");
    }
}

#[test]
fn sighup_without_a_file_is_harmless() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.signal("HUP");
    edge.logged("without a configuration file");
    assert_eq!(edge.get("/").status, 200);
}
