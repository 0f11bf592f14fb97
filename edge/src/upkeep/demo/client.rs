//! A client of the tour: one request, one connection, everything over a real socket.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Failed;

/// How long one exchange may take.
pub(super) const EXCHANGE_WAIT: Duration = Duration::from_secs(30);

/// Largest answer that is kept, in bytes; `/metrics` is the largest.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// From the request to the last byte.
    pub(super) took: Duration,
}

impl Answer {
    /// A field as text; empty without it.
    pub(super) fn field(&self, name: &str) -> &str {
        text(&self.headers, name)
    }

    /// The first line of the body.
    pub(super) fn line(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default().lines().next().unwrap_or_default()
    }
}

/// A field as text; empty without it.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A connection on which one request may be sent.
pub(super) async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, Failed> {
    let failed =
        |why: &dyn std::fmt::Display| Failed::new(format!("No connection to {address}: {why}."));
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // Its end shows at the sender's side, too.
    tokio::spawn(connection);
    Ok(sender)
}

/// A `GET` of `path` with this `Host`.
pub(super) fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header(HOST, host)
        .body(Full::default())
        .expect("the tour's own targets are valid")
}

/// A `POST` of JSON.
pub(super) fn post(host: &str, path: &str, json: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(json.to_owned()))
        .expect("the tour's own targets are valid")
}

/// Sends on a connection of its own and reads the whole answer.
pub(super) async fn ask(address: &str, request: Request<Full<Bytes>>) -> Result<Answer, Failed> {
    let what = format!("{} {}", request.method(), request.uri());
    let started = Instant::now();
    let exchange = async {
        let mut sender = connect(address).await?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| Failed::new(format!("{what} was not answered: {error}.")))?;
        let (head, body) = response.into_parts();
        let body: Limited<Incoming> = Limited::new(body, ANSWER_BYTES_MAX);
        let body = body
            .collect()
            .await
            .map_err(|error| Failed::new(format!("The answer to {what} broke off: {error}.")))?
            .to_bytes();
        let took = started.elapsed();
        Ok(Answer { status: head.status, headers: head.headers, body, took })
    };
    tokio::time::timeout(EXCHANGE_WAIT, exchange)
        .await
        .unwrap_or_else(|_| Err(Failed::new(format!("{what} was not answered in time."))))
}
