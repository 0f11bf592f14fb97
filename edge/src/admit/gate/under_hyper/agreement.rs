//! The gate and hyper must take the same bytes the same way, and over a real socket an exchange
//! must cost no more than it has to.

use std::io::{Read as _, Write as _};

use http::Method;
use http_body_util::BodyExt;
use proptest::prelude::*;

use super::super::tests::soup;
use super::*;

/// Answers every request, whatever became of its content.
async fn answer(received: Received, desk: Desk) -> Response<Script> {
    let status = received.body.collect().await.err().map_or(200, |error| {
        assert_ne!(error.cause, Cause::ClientGone, "hyper refused what the gate let through");
        error.cause.status().as_u16()
    });
    let mut response = desk.whole("from the handler");
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
}

/// What a handler sees of a head.
type Seen = (Method, http::Uri, http::Version, HeaderMap);

/// The answers to `input` and the heads that the handler saw, through hyper and before it.
fn both_ways(input: &[u8]) -> [(String, Vec<Seen>); 2] {
    story(async || {
        let heads = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&heads);
        let mut client = Client::new(move |received, desk| {
            let http::request::Parts { method, uri, version, headers, .. } = &received.head;
            seen.borrow_mut().push((method.clone(), uri.clone(), *version, headers.clone()));
            answer(received, desk)
        });
        client.pipe.write_all(input).await.expect("the pipe holds it");
        // The head or body deadline ends what is incomplete.
        let answers = client.rest().await;
        let lines = answers.split_inclusive('\n').filter(|line| !line.starts_with("date: "));
        (lines.collect(), heads.take())
    })
}

/// Requests that the gate lets through, for the most part, one after the other.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        &b"GET /a%20b?c=d&e HTTP/1.1\r\n"[..],
        b"GET http://b:81/c HTTP/1.1\r\n",
        b"GET http://b?q HTTP/1.1\r\n",
        b"HEAD / HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"DELETE /a HTTP/1.1\r\n",
    ]);
    let field = prop::sample::select(vec![
        &b"X-Odd:\t\xff a \t\r\n"[..],
        b"x-odd:\r\n",
        b"Accept: */*\r\n",
        b"Connection: Keep-Alive\r\n",
        b"Connection: close\r\n",
        b"Connection: x-odd\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 2\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: x\r\n",
        b"If-None-Match: \"a\"\r\n",
        b"Range: bytes=0-1\r\n",
    ]);
    let fields = prop::collection::vec(field, 0..4);
    let request = (line, fields).prop_map(|(line, fields)| {
        let content = if fields.contains(&&b"Content-Length: 2\r\n"[..]) { "hi" } else { "" };
        let fields = fields.concat();
        [line, b"Host: a\r\n", &fields, b"\r\n", content.as_bytes()].concat()
    });
    prop::collection::vec(request, 1..6).prop_map(|requests| requests.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// hyper's own refusals have no content; ours and the handler's have.
    #[test]
    fn hyper_never_refuses_what_the_gate_releases(input in soup()) {
        for (answers, _) in both_ways(&input) {
            prop_assert_eq!(
                answers.matches("HTTP/1.1 ").count(),
                answers.matches("from the handler").count()
                    + answers.matches("\"title\"").count(),
                "{}", answers
            );
        }
    }

    #[test]
    fn the_front_path_reads_and_writes_what_hyper_does(input in requests()) {
        let [by_hyper, in_front] = both_ways(&input);
        prop_assert_eq!(by_hyper, in_front);
    }
}

#[test]
fn a_kept_connection_over_tcp_serves_many() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = std::thread::spawn(move || {
            let mut socket = std::net::TcpStream::connect(address).expect("connects");
            let mut answer = [0; 4096];
            for _ in 0..100 {
                socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("writes");
                let bytes = socket.read(&mut answer).expect("reads");
                assert!(answer[..bytes].ends_with(b"from the handler"));
            }
            socket
                .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
                .expect("writes");
            // The answer must survive what is still being sent.
            let _ = socket.write_all(&vec![b'x'; 100_000]);
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).expect("an orderly end, no reset");
            assert!(rest.ends_with(b"from the handler"));
        });
        let (socket, peer) = listener.accept().await.expect("accepts");
        socket.set_nodelay(true).expect("a TCP socket");
        let connection = Arc::new(Connection {
            id: 1,
            peer: Peer::Ip(peer),
            local: address.to_string(),
            protocol: Protocol::Http1,
            tls: None,
            accepted: Instant::now(),
        });
        let desk = Desk::default();
        let answers = desk.clone();
        let handler = Scripted(Rc::new(move |_| {
            let answers = answers.clone();
            Box::pin(async move { answers.whole("from the handler") })
        }));
        let (_drain, signal) = watch::channel(false);
        let ending =
            serve::<Gate, _, _>(socket, connection, handler, Http1Config::default(), signal).await;
        assert!(matches!(ending, Ending::Closed));
        assert_eq!(desk.deliveries(), vec![Delivery::Complete; 101]);
        client.join().expect("the client is content");
    });
}
