//! Real sockets on this machine: what is bound, what is told, what is served.

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{LocalSet, spawn_local};

use super::*;
use crate::accept::connection::Peer;
use crate::accept::drain::Drain;

fn address(text: &str) -> ListenAddress {
    text.parse().expect("an address")
}

fn bound(text: &str, workers: usize) -> Bound {
    bind(&address(text), workers, "--listen").expect("bound").remove(0)
}

fn refusal(text: &str) -> ListenError {
    bind(&address(text), 1, "--listen").expect_err("must not be bound")
}

#[tokio::test]
async fn workers_share_one_port_and_a_double_start_is_told() {
    let group = bound("127.0.0.1:0", 4);
    let local = group.local().to_owned();
    assert!(!local.ends_with(":0"));
    let told = refusal(&local);
    assert!(matches!(told, ListenError::InUse { .. }), "{told}");
    let text = told.to_string();
    assert!(
        text.contains(&local) && text.contains("in use") && text.contains("--listen"),
        "{text}"
    );
    assert_eq!(group.split().len(), 4);
    // all closed: free again
    assert_eq!(bound(&local, 2).local(), local);
}

#[test]
fn errors_name_the_address_and_the_option() {
    let elsewhere = refusal("192.0.2.1:8080");
    assert!(matches!(elsewhere, ListenError::NoSuchHost { .. }), "{elsewhere}");
    assert!(elsewhere.to_string().contains("192.0.2.1:8080"));
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    std::fs::write(&path, "precious").expect("written");
    let file = refusal(&format!("unix:{}", path.display()));
    assert!(matches!(file, ListenError::NotASocket { .. }), "{file}");
    assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    let nowhere = refusal(&format!("unix:{}/no/such.sock", dir.path().display()));
    assert!(matches!(nowhere, ListenError::Io { .. }), "{nowhere}");
}

#[test]
fn a_socket_file_is_replaced_only_when_nothing_answers() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = format!("unix:{}/s.sock", dir.path().display());
    let first = bound(&text, 1);
    let told = refusal(&text);
    assert!(matches!(told, ListenError::InUse { .. }), "{told}");
    drop(first); // leaves its file, as a crash does
    assert_eq!(bound(&text, 1).local(), text);
}

#[test]
fn only_errors_of_the_whole_node_make_the_loop_wait() {
    let mut backoff = Backoff::default();
    let error = |errno: Errno| io::Error::from(errno);
    assert_eq!(backoff.after(&error(Errno::CONNABORTED)), None);
    let pauses: Vec<_> = (0..9)
        .filter_map(|_| backoff.after(&error(Errno::MFILE)))
        .map(|it| it.as_millis())
        .collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
}

#[test]
fn the_ceiling_counts_across_clones() {
    let ceiling = Ceiling::new(2);
    let one = ceiling.enter().expect("a place");
    let _two = ceiling.enter().expect("a place");
    assert!(ceiling.enter().is_none());
    drop(one);
    assert!(ceiling.enter().is_some());
    assert_eq!(ceiling.open(), 1);
}

/// Runs an accept loop whose connections say hello and wait for the client to leave.
async fn greeting(listener: WorkerListener, ceiling: std::sync::Arc<Ceiling>, drain: Drain) {
    let listener = listener.open().expect("registered");
    accept_loop(listener, ceiling, drain, |mut accepted| async move {
        if let Socket::Tcp(stream) = &accepted.socket {
            assert!(stream.nodelay().expect("an option"), "inherited from the listener");
            assert!(socket2::SockRef::from(stream).keepalive().expect("an option"));
            assert!(matches!(accepted.peer, Peer::Ip(_)));
        }
        let hello = accepted.local.clone();
        let _ = accepted.socket.write_all(hello.as_bytes()).await;
        let _ = accepted.socket.flush().await;
        let _ = accepted.socket.read_u8().await;
    })
    .await;
}

async fn greeted(io: &mut (impl tokio::io::AsyncRead + Unpin), local: &str) -> bool {
    let mut hello = vec![0; local.len()];
    io.read_exact(&mut hello).await.is_ok() && hello == local.as_bytes()
}

#[tokio::test]
async fn connections_beyond_the_ceiling_are_closed_and_drain_waits_for_the_rest() {
    LocalSet::new()
        .run_until(async {
            let group = bound("127.0.0.1:0", 1);
            let local = group.local().to_owned();
            let (ceiling, drain) = (Ceiling::new(2), Drain::new());
            let listener = group.split().remove(0);
            let looping =
                spawn_local(greeting(listener, std::sync::Arc::clone(&ceiling), drain.clone()));
            let mut open = Vec::new();
            for _ in 0..2 {
                let mut io = TcpStream::connect(&local).await.expect("connected");
                assert!(greeted(&mut io, &local).await);
                open.push(io);
            }
            let mut third = TcpStream::connect(&local).await.expect("connected");
            assert!(!greeted(&mut third, &local).await, "beyond the ceiling");

            open.pop();
            while ceiling.open() > 1 {
                tokio::task::yield_now().await;
            }
            // in the kernel's queue when the drain begins: still served
            let mut queued = TcpStream::connect(&local).await.expect("connected");
            drain.begin();
            assert!(greeted(&mut queued, &local).await);
            looping.await.expect("the loop ends");
            assert!(TcpStream::connect(&local).await.is_err(), "closed");
            assert_eq!(drain.wait(Duration::ZERO).await, 2);
            drop((open, queued));
            assert_eq!(drain.wait(Duration::from_mins(1)).await, 0);
        })
        .await;
}

#[tokio::test]
async fn unix_connections_are_handed_to_all_workers_in_turn() {
    LocalSet::new()
        .run_until(async {
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join("s.sock");
            let text = format!("unix:{}", path.display());
            let served = Rc::new(RefCell::new(Vec::new()));
            let drain = Drain::new();
            let mut loops = Vec::new();
            for (worker, listener) in bound(&text, 3).split().into_iter().enumerate() {
                let served = Rc::clone(&served);
                let listener = listener.open().expect("registered");
                loops.push(spawn_local(accept_loop(
                    listener,
                    Ceiling::new(10),
                    drain.clone(),
                    move |accepted| {
                        assert_eq!(accepted.peer, Peer::Unix);
                        served.borrow_mut().push(worker);
                        drop(accepted);
                        ready(())
                    },
                )));
            }
            for _ in 0..6 {
                let mut io = UnixStream::connect(&path).await.expect("connected");
                assert!(io.read_u8().await.is_err(), "taken and closed");
            }
            drain.begin();
            for looping in loops {
                looping.await.expect("the loop ends");
            }
            let mut served = served.borrow().clone();
            served.sort_unstable();
            assert_eq!(served, [0, 0, 1, 1, 2, 2]);
        })
        .await;
}

mod serving {
    //! Detection and ALPN lead to the right codec.

    use std::sync::Arc;

    use bytes::Bytes;
    use http::Response;
    use http_body::Frame;
    use rustls_pki_types::ServerName;

    use super::*;
    use crate::accept::tls::{Acceptor, CertificateStore};
    use crate::accept::{Answer, Delivery, Handler, OutgoingBody, Received};
    use crate::error::Error;

    #[derive(Clone)]
    struct Teapot;

    #[derive(Debug)]
    struct Nothing;

    impl http_body::Body for Nothing {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
            std::task::Poll::Ready(None)
        }
    }

    impl OutgoingBody for Nothing {
        fn take_whole(&mut self) -> Option<Bytes> {
            Some(Bytes::new())
        }

        fn delivered(&mut self, _delivery: Delivery) {}
    }

    impl Handler for Teapot {
        type Body = Nothing;

        fn call(&self, received: Received) -> Answer<Nothing> {
            let mut response = Response::new(Nothing);
            *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
            let scheme = received.connection.scheme();
            response.headers_mut().insert("scheme", scheme.parse().expect("a value"));
            Answer::Now(response)
        }
    }

    /// Serves on a new listener; its address, and how many connections went to H1.
    fn serving(settings: ConnectionSettings) -> (String, Rc<Cell<usize>>) {
        let group = bound("127.0.0.1:0", 1);
        let local = group.local().to_owned();
        let drain = Drain::new();
        let http1 = Rc::new(Cell::new(0));
        let count = Rc::clone(&http1);
        spawn_local(async move {
            let listener = group.split().remove(0).open().expect("registered");
            accept_loop(listener, Ceiling::new(10), drain.clone(), move |accepted| {
                let count = Rc::clone(&count);
                let codec = move |mut wire: Wire, _, _, _| async move {
                    let mut line = [0; 16];
                    wire.read_exact(&mut line).await.expect("a request line");
                    assert_eq!(&line, b"GET / HTTP/1.1\r\n");
                    count.set(count.get() + 1);
                };
                serve_connection(accepted, settings.clone(), Teapot, drain.subscribe(), codec)
            })
            .await;
        });
        (local, http1)
    }

    async fn over_http2<IO>(io: IO) -> Response<h2::RecvStream>
    where
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let (mut send, running) = h2::client::handshake(io).await.expect("shaken");
        spawn_local(running);
        let request = http::Request::get("http://a/").body(()).expect("a request");
        send.send_request(request, true).expect("sent").0.await.expect("answered")
    }

    async fn over_http1(mut io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
        io.write_all(b"GET / HTTP/1.1\r\n").await.expect("written");
        io.flush().await.expect("flushed");
        assert!(io.read_u8().await.is_err(), "the test's codec closes");
    }

    #[tokio::test]
    async fn clear_text_is_detected() {
        LocalSet::new()
            .run_until(async {
                let (local, http1) = serving(ConnectionSettings::default());
                let response = over_http2(TcpStream::connect(&local).await.expect("ok")).await;
                assert_eq!(response.status(), 418);
                assert_eq!(response.headers()["scheme"], "http");
                over_http1(TcpStream::connect(&local).await.expect("connected")).await;
                assert_eq!(http1.get(), 1);
            })
            .await;
    }

    #[tokio::test]
    async fn alpn_leads_to_the_codec() {
        LocalSet::new()
            .run_until(async {
                let dir = tempfile::tempdir().expect("a folder");
                let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
                let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).expect("made");
                std::fs::write(&cert, made.cert.pem()).expect("written");
                std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
                let store = CertificateStore::load(&[(cert, key)]).expect("good files");
                let tls = Some(Acceptor::new(store, 10_000).expect("a configuration"));
                let (local, http1) =
                    serving(ConnectionSettings { tls, ..ConnectionSettings::default() });

                let mut roots = rustls::RootCertStore::empty();
                roots.add(made.cert.der().clone()).expect("a root");
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let mut config = rustls::ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .expect("versions")
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                for alpn in ["h2", "http/1.1"] {
                    config.alpn_protocols = vec![alpn.into()];
                    let connector = tokio_rustls::TlsConnector::from(Arc::new(config.clone()));
                    let name = ServerName::try_from("a").expect("a name");
                    let io = TcpStream::connect(&local).await.expect("connected");
                    let io = connector.connect(name, io).await.expect("shaken");
                    if alpn == "h2" {
                        let response = over_http2(io).await;
                        assert_eq!(response.headers()["scheme"], "https");
                    } else {
                        over_http1(io).await;
                    }
                }
                assert_eq!(http1.get(), 1);
            })
            .await;
    }
}
