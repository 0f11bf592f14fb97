//! The measure: hyper, a fixed body, a header map that is cloned, and nothing else.
//!
//! One thread, the node's allocator, no timers, no log, no lookup. What it costs is what any
//! server over hyper costs; what the node costs beyond it is ours to answer for. It sends the
//! fields that it is given, so both send the same bytes.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

mod codec;
pub(crate) mod io;

use io::Io;

/// First word of the command line of this part.
pub(crate) const WORD: &str = "part-bare";

/// What the runner tells: `{"fields": [[name, value]…], "body_bytes": n, "cert": path, "key": path}`.
pub(crate) fn run(orders: &str) -> anyhow::Result<()> {
    let orders: Value = serde_json::from_str(orders).context("orders in JSON")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(serve(orders)))
}

async fn serve(orders: Value) -> anyhow::Result<()> {
    let mut fields = HeaderMap::new();
    for pair in orders["fields"].as_array().into_iter().flatten() {
        let text = |at: usize| pair[at].as_str().unwrap_or_default().to_owned();
        fields.append(HeaderName::try_from(text(0))?, HeaderValue::try_from(text(1))?);
    }
    let answer = Arc::new(Answer {
        fields,
        body: Bytes::from(vec![b'x'; orders["body_bytes"].as_u64().unwrap_or(0) as usize]),
    });
    let plain = TcpListener::bind(("127.0.0.1", 0)).await?;
    let tls = match (orders["cert"].as_str(), orders["key"].as_str()) {
        (Some(cert), Some(key)) => {
            Some((TcpListener::bind(("127.0.0.1", 0)).await?, acceptor(cert, key)?))
        }
        _ => None,
    };
    let tls_address = tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
    let tls_list: Vec<String> = tls_address.iter().map(ToString::to_string).collect();
    let ready =
        json!({"message": "ready", "listen": [plain.local_addr()?.to_string()], "tls": tls_list});
    eprintln!("{ready}");
    if let Some((listener, acceptor)) = tls {
        let codec = Codec::of(&orders);
        tokio::task::spawn_local(over_tls(listener, acceptor, Arc::clone(&answer), codec));
    }
    loop {
        let (stream, _) = plain.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(http1(stream, Arc::clone(&answer)));
    }
}

struct Answer {
    fields: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.headers_mut() = self.fields.clone();
        response
    }
}

async fn http1(stream: TcpStream, answer: Arc<Answer>) {
    let service = service_fn(move |_| {
        let response = answer.response();
        async move { Ok::<_, Infallible>(response) }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(Io(stream), service);
    let _client_left = served.await;
}

/// Who speaks HTTP/2.
#[derive(Clone, Copy)]
enum Codec {
    /// hyper's server.
    Hyper,
    /// The node's own, which writes once per turn, or at each flush.
    Ours { flush_each: bool },
}

impl Codec {
    fn of(orders: &Value) -> Self {
        match orders["flush_each"].as_bool() {
            Some(flush_each) => Self::Ours { flush_each },
            None => Self::Hyper,
        }
    }
}

async fn over_tls(listener: TcpListener, acceptor: TlsAcceptor, answer: Arc<Answer>, codec: Codec) {
    while let Ok((stream, _)) = listener.accept().await {
        let _without = stream.set_nodelay(true);
        let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
        tokio::task::spawn_local(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            match codec {
                Codec::Hyper => http2(stream, answer).await,
                Codec::Ours { flush_each } => codec::serve(stream, answer, flush_each).await,
            }
        });
    }
}

async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, answer: Arc<Answer>) {
    let service = service_fn(move |_| {
        let response = answer.response();
        async move { Ok::<_, Infallible>(response) }
    });
    let served =
        hyper::server::conn::http2::Builder::new(Local).serve_connection(Io(stream), service);
    let _client_left = served.await;
}

fn acceptor(cert: &str, key: &str) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_no_client_auth()
    .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Streams of a connection are tasks of the one thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
