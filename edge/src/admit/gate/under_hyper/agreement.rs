//! The gate and hyper must take the same bytes the same way, and over a real socket an exchange
//! must cost no more than it has to.

use std::io::{Read as _, Write as _};

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// hyper's own refusals have no content; ours and the handler's have.
    #[test]
    fn hyper_never_refuses_what_the_gate_releases(input in soup()) {
        story(async {
            let mut client = Client::new(answer);
            client.pipe.write_all(&input).await.expect("the pipe holds it");
            // The head or body deadline ends what is incomplete.
            let answers = client.rest().await;
            prop_assert_eq!(
                answers.matches("HTTP/1.1 ").count(),
                answers.matches("from the handler").count() + answers.matches("\"title\"").count(),
                "{}", answers
            );
            Ok(())
        })?;
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
