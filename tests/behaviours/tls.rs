//! TLS and the other ways in: certificates by name, ALPN, sockets of the file system.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use harness::tls::{self, Certificate};
use harness::{ConfigFile, Edge, Origin, config, eventually, http2};

/// A node with two certificates: `one.example` first, then `two.example` with its wildcard.
fn node(origin: &Origin) -> (ConfigFile, Edge, Certificate, Certificate) {
    let one = tls::make("one", &["one.example"]);
    let two = tls::make("two", &["two.example", "*.two.example"]);
    let file = ConfigFile::new("", "");
    let tables = [one.install(file.folder(), "one"), two.install(file.folder(), "two")].concat();
    let rest = [tables, config::site(&[origin], "")].concat();
    file.rewrite("tls_listen = [\"127.0.0.1:0\"]", &rest);
    let edge = file.start();
    (file, edge, one, two)
}

fn address(edge: &Edge) -> std::net::SocketAddr {
    edge.tls.expect("a TLS listener")
}

#[test]
fn the_name_that_the_client_asks_for_chooses_the_certificate() {
    let origin = Origin::constant("hello");
    let (_file, edge, one, two) = node(&origin);
    let both = tls::client(&[&one, &two], &["http/1.1"]);
    for (name, wanted) in [
        ("one.example", &one),
        ("two.example", &two),
        ("a.two.example", &two),
        ("TWO.example", &two),
    ] {
        let mut connection = tls::connect(address(&edge), name, &both).expect("a handshake");
        let shown = connection.conn.peer_certificates().expect("a certificate")[0].clone();
        assert_eq!(shown, wanted.der, "{name}");
        let answer = tls::get(&mut connection, name, "/");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    }
}

#[test]
fn a_name_without_a_certificate_gets_the_first() {
    let origin = Origin::constant("hello");
    let (_file, edge, one, two) = node(&origin);
    // The client sees the first certificate and does not like its name.
    let both = tls::client(&[&one, &two], &[]);
    let error = tls::connect(address(&edge), "three.example", &both).expect_err("a wrong name");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn alpn_chooses_the_protocol() {
    let origin = Origin::constant("hello");
    let (_file, edge, one, _two) = node(&origin);
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let config = tls::client(&[&one], offered);
        let connection = tls::connect(address(&edge), "one.example", &config).expect("a handshake");
        assert_eq!(connection.conn.alpn_protocol(), chosen, "{offered:?}");
    }
    let strange = tls::client(&[&one], &["spdy/3"]);
    assert!(tls::connect(address(&edge), "one.example", &strange).is_err());
}

#[test]
fn http_2_over_tls_serves_and_the_origin_is_told_https() {
    let origin = Origin::constant("hello");
    let (_file, edge, one, _two) = node(&origin);
    let config = tls::client(&[&one], &["h2"]);
    http2::run(async {
        let stream = tokio::net::TcpStream::connect(address(&edge)).await.expect("accepts");
        let name = "one.example".try_into().expect("a name");
        let stream =
            tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("TLS");
        let send = http2::over(stream).await;
        let ask = || http2::request("GET", "https://one.example/", &[]);
        let miss = http2::exchange(&send, ask(), b"").await.expect("an answer");
        assert_eq!((miss.status.as_u16(), miss.body.as_slice()), (200, &b"hello"[..]));
        let hit = http2::exchange(&send, ask(), b"").await.expect("an answer");
        assert!(hit.field("cache-status").contains("selvedge; hit"));
    });
    let seen = &origin.requests()[0];
    assert_eq!(seen.field("x-forwarded-proto"), "https");
    assert!(seen.field("forwarded").contains("proto=https"));
    let clear = edge.client().request_to("one.example", "GET", "/", &[], b"");
    assert!(!clear.is_hit(), "the scheme is part of the key");
}

#[test]
fn http_in_the_clear_on_a_tls_port_does_no_harm() {
    let origin = Origin::constant("hello");
    let (_file, edge, one, _two) = node(&origin);
    for junk in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0; 100], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut stream = TcpStream::connect(address(&edge)).expect("accepts");
        stream.write_all(junk).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "nothing is served in the clear");
    }
    eventually("failed handshakes are counted", || {
        (edge.metrics().sum("selvedge_tls_handshakes_failed_total", &[]) >= 2.0).then_some(())
    });
    let config = tls::client(&[&one], &[]);
    let mut connection = tls::connect(address(&edge), "one.example", &config).expect("TLS");
    assert!(tls::get(&mut connection, "one.example", "/").ends_with("hello"));
}

#[test]
fn a_handshake_that_does_not_begin_is_ended() {
    let origin = Origin::constant("hello");
    let one = tls::make("one", &["one.example"]);
    let file = ConfigFile::new("", "");
    let rest = [
        "[deadlines]\nhandshake = \"300ms\"\n",
        &one.install(file.folder(), "one"),
        &config::site(&[&origin], ""),
    ]
    .concat();
    file.rewrite("tls_listen = [\"127.0.0.1:0\"]", &rest);
    let edge = file.start();
    let mut silent = TcpStream::connect(address(&edge)).expect("accepts");
    silent.set_read_timeout(Some(harness::PATIENCE)).expect("positive");
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing).expect("closed before patience ends");
    assert!(nothing.is_empty());
}

/// `GET /` through a socket of the file system.
fn get_unix(path: &Path, host: &str, target: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("the node listens there");
    let ask = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn unix_sockets_serve_data_and_admin() {
    let origin = Origin::constant("hello");
    let folder = harness::temp::dir();
    let (data, admin) = (folder.path().join("data.sock"), folder.path().join("admin.sock"));
    let (listen, control) =
        (format!("unix:{}", data.display()), format!("unix:{}", admin.display()));
    let edge = Edge::start_with(
        &["serve", "--listen", &listen, "--admin", &control, "--origin", &origin.url()],
        &[],
    );
    assert_eq!(edge.ready["listen"][0], listen.as_str());
    for _ in 0..8 {
        let answer = get_unix(&data, "test.example", "/");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    }
    let ready = get_unix(&admin, "localhost", "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(get_unix(&admin, "localhost", "/metrics").contains("selvedge_requests_total"));
}

#[test]
fn a_socket_file_that_was_left_over_is_replaced_and_one_in_use_is_not() {
    let origin = Origin::constant("hello");
    let folder = harness::temp::dir();
    let data = folder.path().join("data.sock");
    let listen = format!("unix:{}", data.display());
    let arguments =
        ["serve", "--listen", &listen, "--admin", "127.0.0.1:0", "--origin", &origin.url()];
    Edge::start_with(&arguments, &[]).kill();
    assert!(data.exists(), "a killed node cleans nothing up");
    let _second = Edge::start_with(&arguments, &[]);
    assert!(get_unix(&data, "a", "/").ends_with("hello"));
    let (code, _, message) = harness::edge::run(&arguments);
    assert_eq!(code, 1);
    assert!(message.contains("data.sock") && message.contains("in use"), "{message}");
    assert!(get_unix(&data, "a", "/").ends_with("hello"));
}
