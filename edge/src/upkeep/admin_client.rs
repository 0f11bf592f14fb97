//! The client of the admin plane behind the commands `purge` and `explain`.
//!
//! One request over a connection of its own, bounded in time and size. How a command ended is a
//! sentence for people and a code for scripts: 0 done, 1 refused, 2 unreachable (or the answer was
//! lost: unknown). Nothing is tried again.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};

use crate::accept::listener::ListenAddress;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Longer than the admin plane itself waits for its ledger.
const ANSWER_WAIT: Duration = Duration::from_secs(45);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What to look at when nobody is there.
pub(super) const WHERE: &str = "Is the node running, and is this the admin address of its ready \
                                line? Name another with --admin.";

/// Which node is asked, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct AdminPlane {
    /// Where the admin plane of the node listens: HOST:PORT or unix:/PATH
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901", env = "SELVEDGE_ADMIN")]
    pub admin: String,
    /// Bearer token, when the node has tokens
    #[arg(long, value_name = "TOKEN", env = "SELVEDGE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code: 0 done, 1 refused, 2 unreachable.
    pub code: u8,
    /// For stdout when the code is 0, else for stderr.
    pub message: String,
}

impl Outcome {
    /// The node, or this command, said no.
    pub(super) const fn refused(message: String) -> Self {
        Self { code: 1, message }
    }

    /// Nobody answered.
    pub(super) const fn unreachable(message: String) -> Self {
        Self { code: 2, message }
    }
}

/// Why there is no answer, each with what went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The question could not be asked.
    Unsent(String),
    /// Nobody is there.
    Unreachable(String),
    /// It was sent; what became of it is unknown.
    Lost(String),
}

/// Sends one request and waits for its answer.
pub(super) async fn ask(
    plane: &AdminPlane,
    method: Method,
    target: &str,
    json: Option<&Value>,
) -> Result<(StatusCode, Bytes), Unanswered> {
    let addr: ListenAddress =
        plane.admin.parse().map_err(|why| Unanswered::Unsent(format!("--admin: {why}")))?;
    let request = request(plane, &addr, method, target, json).map_err(Unanswered::Unsent)?;
    match tokio::time::timeout(ANSWER_WAIT, send(&addr, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Unanswered::Lost("no answer within 45 seconds".to_owned())),
    }
}

fn request(
    plane: &AdminPlane,
    addr: &ListenAddress,
    method: Method,
    target: &str,
    json: Option<&Value>,
) -> Result<Request<Full<Bytes>>, String> {
    let content = Full::from(json.map(Value::to_string).unwrap_or_default());
    let built = Request::builder().method(method).uri(target).body(content);
    let mut request = built.map_err(|why| why.to_string())?;
    let host = match addr {
        ListenAddress::Tcp { .. } => HeaderValue::from_str(&addr.to_string()),
        ListenAddress::Unix(_) => Ok(HeaderValue::from_static("localhost")),
    };
    let fields = request.headers_mut();
    fields.insert(HOST, host.map_err(|_| "--admin has characters no host has".to_owned())?);
    if json.is_some() {
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(token) = &plane.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "the token has characters that no token has".to_owned())?;
        value.set_sensitive(true);
        fields.insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// One exchange over a connection of its own.
async fn send(
    addr: &ListenAddress,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Unanswered> {
    let unreachable = |why: &dyn std::fmt::Display| Unanswered::Unreachable(why.to_string());
    let connected = tokio::time::timeout(CONNECT_WAIT, async {
        Ok::<_, std::io::Error>(match addr {
            ListenAddress::Tcp { host, port } => {
                Either::Tcp(TcpStream::connect((host.as_str(), *port)).await?)
            }
            ListenAddress::Unix(path) => Either::Unix(UnixStream::connect(path).await?),
        })
    });
    let stream = connected
        .await
        .map_err(|_| unreachable(&"no connection within 5 seconds"))?
        .map_err(|why| unreachable(&why))?;
    let answered = match stream {
        Either::Tcp(stream) => exchange(TokioIo::new(stream), request).await,
        Either::Unix(stream) => exchange(TokioIo::new(stream), request).await,
    };
    answered.map_err(Unanswered::Lost)
}

enum Either {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn exchange<T>(io: T, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(|why| why.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|why| why.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|why| why.to_string())?.to_bytes()))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection moves the bytes; when it ends first, the answer knows why.
        _ = connection => answer.await,
    }
}

/// What a refusal means to the operator, and what to do about it.
pub(super) fn refusal(status: StatusCode, document: &Value) -> String {
    let mut message = format!("Refused ({})", status.as_u16());
    for name in ["field", "detail"] {
        if let Some(text) = document[name].as_str() {
            let _ = write!(message, ": {text}");
        }
    }
    let advice = match status {
        StatusCode::UNAUTHORIZED => " Give it with --token or SELVEDGE_TOKEN.",
        StatusCode::NOT_FOUND => " Is --admin the admin address, or that of another server?",
        _ if document.is_null() => ": the answer is not of a Selvedge node. Check --admin.",
        _ => "",
    };
    message.push_str(advice);
    message
}
