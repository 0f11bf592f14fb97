//! Connections of clients: taken, turned away, given up.

use std::net::TcpStream;

use harness::http2::RawPeer;
use harness::tls;
use harness::{Client, ConfigFile, Edge, Origin, config, eventually, strace};

use super::Book;

const PING: u8 = 6;

pub(super) fn connections(book: &Book) {
    let origin = Origin::constant("x");
    let edge = ConfigFile::new("connections_max = 3", &config::site(&[&origin], "")).start();
    let open = ("selvedge_connections_open", &[] as &[&str]);
    let mut clients: Vec<Client> = book.moves(&edge, open, (0.0, 3.0), || {
        (0..3)
            .map(|_| {
                let mut client = edge.client();
                assert_eq!(client.request("GET", "/", &[], b"").status, 200);
                client
            })
            .collect()
    });
    book.counts(&edge, "selvedge_connections_accepted_total", &[], 3);
    for _ in 0..2 {
        let mut over = edge.client();
        over.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(over.try_response(false).is_none_or(|answer| answer.status == 503));
    }
    book.counts(&edge, "selvedge_connections_refused_total", &[], 2);
    book.moves(&edge, open, (3.0, 1.0), || clients.truncate(1));
}

pub(super) fn refusals(book: &Book) {
    let origin = Origin::constant("x");
    let certificate = tls::make("one", &["one.example"]);
    let file = ConfigFile::new("", "");
    let rest = [
        certificate.install(file.folder(), "one"),
        "[deadlines]\nhead = \"300ms\"\n".to_owned(),
        config::site(&[&origin], ""),
    ];
    file.rewrite("tls_listen = [\"127.0.0.1:0\"]", &rest.concat());
    let edge = file.start();

    for _ in 0..3 {
        let mut client = edge.client();
        client.send(b"GET / HTTP/1.1\nHost: a\r\n\r\n");
        assert_eq!(client.response(false).status, 400);
    }
    book.counts(&edge, "selvedge_gate_refusals_total", &[], 3);

    for _ in 0..2 {
        let mut client = edge.client();
        client.send(b"GET / HT");
        assert_eq!(client.response(false).status, 408);
    }
    book.counts(&edge, "selvedge_client_deadlines_total", &[], 2);

    let address = edge.tls.expect("a TLS listener");
    let mut stranger = Client::connect(address);
    stranger.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    stranger.rest();
    book.counts(&edge, "selvedge_tls_handshakes_failed_total", &[], 1);

    let mut flood = RawPeer::connect(edge.address, &[]);
    while flood.send(PING, 0, 0, &[0; 8]) {}
    book.counts(&edge, "selvedge_h2_floods_total", &[], 1);
}

pub(super) fn want_of_descriptors(book: &Book) {
    const EMFILE: &str = "inject=accept4:error=EMFILE:when=1";
    let origin = Origin::constant("x");
    let mut command = strace::injected(&["-e", "trace=accept4", "-e", EMFILE]);
    command.args(["serve", "--workers", "1", "--listen", "127.0.0.1:0"]);
    command.args(["--admin", "127.0.0.1:0", "--origin", &origin.url()]);
    let edge = Edge::spawn(command);
    // The listener goes on when there are descriptors again.
    eventually("it accepts", || {
        let _first_try_may_fail = TcpStream::connect(edge.address).ok()?;
        (edge.get("/").status == 200).then_some(())
    });
    book.counts(&edge, "selvedge_accept_errors_total", &[], 1);
}
