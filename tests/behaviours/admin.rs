//! The admin plane: health, status and who may do what.

use std::net::TcpStream;
use std::sync::mpsc;

use harness::{Client, ConfigFile, Edge, Origin, config, eventually};

#[test]
fn a_node_is_alive_and_ready_and_while_it_drains_alive_only() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |_, to| {
        to.raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        let _test_is_over = wait.lock().expect("unpoisoned").recv();
        to.raw("after");
    });
    let mut edge = Edge::before(&origin);
    let status = |path: &str| edge.admin("GET", path, "").status;
    assert_eq!((status("/healthz"), status("/readyz")), (200, 200));
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.await_bytes(b"first");
    edge.signal("TERM");
    eventually("not ready", || (status("/readyz") == 503).then_some(()));
    assert_eq!(status("/healthz"), 200);
    go.send(()).expect("the origin waits");
    assert_eq!(client.response(false).text(), "firstafter");
    assert_eq!(edge.wait().code(), Some(0));
}

#[test]
fn the_status_tells_sites_origins_and_ratios() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    for _ in 0..4 {
        edge.get("/");
    }
    let site = eventually("the exchanges are counted", || {
        let status = edge.admin("GET", "/v1/status", "").json();
        let site = status["sites"][0].clone();
        (site["hit_ratio"]["1m"]["requests"] == 0.75).then_some(site)
    });
    assert_eq!(site["origins"][0]["healthy"], true);
    assert!(site["origins"][0]["name"].as_str().is_some_and(|name| name.contains("127.0.0.1")));
}

#[test]
fn the_dashboard_is_a_page_that_needs_nothing_from_elsewhere() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let page = edge.admin("GET", "/", "");
    assert_eq!(page.status, 200);
    assert!(page.field("content-type").starts_with("text/html"));
    for loads in ["src=", "href=\"http", "@import", "url("] {
        assert!(!page.text().contains(loads), "{loads}");
    }
}

#[test]
fn a_path_or_method_that_is_none_is_told() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let nothing = edge.admin("GET", "/v2/x", "");
    assert_eq!((nothing.status, nothing.field("content-type")), (404, "application/problem+json"));
    let wrong = edge.admin("DELETE", "/metrics", "");
    assert_eq!(wrong.status, 405);
}

#[test]
fn a_browser_on_the_same_machine_is_no_operator() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let everything = br#"{"everything":true}"#;
    let ask = |host: &str, fields: &[(&str, &str)]| {
        Client::connect(edge.admin)
            .request_to(host, "POST", "/v1/purges", fields, everything)
            .status
    };
    let known = edge.admin.to_string();
    let json = [("Content-Type", "application/json")];
    // DNS rebinding: the browser believes that the admin plane is the attacker's host.
    let rebound = ask("evil.example", &json);
    assert!((400..500).contains(&rebound), "{rebound}");
    // A form or a simple request of another page.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let simple = ask(&known, &[("Content-Type", kind)]);
        assert!((400..500).contains(&simple), "{kind}: {simple}");
    }
    assert!((400..500).contains(&ask(&known, &[])));
    assert_eq!(ask(&known, &json), 200);
}

#[test]
fn tokens_say_who_may_do_what() {
    let origin = Origin::constant("x");
    let tokens = "[[admin.tokens]]\nname = \"reader\"\nenv = \"READER\"\nscopes = [\"read\"]\n\
                  [[admin.tokens]]\nname = \"purger\"\nenv = \"PURGER\"\nscopes = [\"purge\"]\n";
    let file = ConfigFile::new("", &[tokens, &config::site(&[&origin], "")].concat());
    let path = file.path().to_str().expect("a plain name");
    let (reader, purger) =
        ("reader-0123456789abcdef0123456789abcdef", "purger-0123456789abcdef0123456789abcdef");
    let edge =
        Edge::start_with(&["serve", "--config", path], &[("READER", reader), ("PURGER", purger)]);
    let host = edge.admin.to_string();
    let ask = |method: &str, path: &str, token: &str| {
        let authorization = format!("Bearer {token}");
        let mut fields = vec![("Content-Type", "application/json")];
        if !token.is_empty() {
            fields.push(("Authorization", &authorization));
        }
        let body: &[u8] = if method == "POST" { br#"{"everything":true}"# } else { b"" };
        Client::connect(edge.admin).request_to(&host, method, path, &fields, body).status
    };
    let table = [
        ("GET", "/healthz", "", 200),
        ("GET", "/readyz", "", 200),
        ("GET", "/metrics", "", 401),
        ("GET", "/v1/status", "wrong", 401),
        ("GET", "/v1/status", reader, 200),
        ("GET", "/metrics", reader, 200),
        ("POST", "/v1/purges", "", 401),
        ("POST", "/v1/purges", "wrong", 401),
        ("POST", "/v1/purges", reader, 403),
        ("POST", "/v1/purges", purger, 200),
    ];
    for (method, path, token, status) in table {
        assert_eq!(ask(method, path, token), status, "{method} {path} {token}");
    }
}

#[test]
fn stuck_clients_do_not_lock_the_operator_out() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let stuck: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = TcpStream::connect(edge.admin).expect("accepts");
            std::io::Write::write_all(&mut stream, b"GET / HT").expect("sent");
            stream
        })
        .collect();
    assert_eq!(edge.admin("GET", "/healthz", "").status, 200);
    drop(stuck);
}
