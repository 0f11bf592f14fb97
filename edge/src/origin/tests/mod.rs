//! Origins that behave as a script says, over real sockets on loopback.
//!
//! An origin is a list of connections, a connection a list of steps. What the origin read is kept,
//! and a script that ends with [`Step::AwaitClose`] proves that our side closed the connection.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::*;
use crate::error::Cause;

mod cut;
mod deadlines;
mod failover;
mod hostile;
mod reuse;
mod tls;
mod uploads;

/// What an origin does next on a connection.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Read a request head, and as much content as its Content-Length says.
    Read,
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait until our side closes.
    AwaitClose,
    /// Close so that our side gets a reset.
    Reset,
    /// Wait for the test's word.
    AwaitWord,
    /// Let this much time pass, in milliseconds.
    Pause(u64),
}

pub(super) fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// A plain response that keeps the connection.
pub(super) const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A scripted origin on loopback.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    /// Requests as they were read, over all connections.
    pub(super) seen: Rc<RefCell<Vec<String>>>,
    /// Says the word to every connection that waits for it, now or later.
    pub(super) word: Arc<tokio::sync::Semaphore>,
    /// Connections that the origin has closed.
    pub(super) closed: Rc<Cell<usize>>,
    connections: JoinHandle<()>,
}

impl Scripted {
    /// Serves one connection per script, one after another or side by side, then refuses.
    pub(super) async fn new(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        Self::on(listener, scripts)
    }

    /// As [`Scripted::new`], where something listens already.
    pub(super) fn on(listener: TcpListener, scripts: Vec<Vec<Step>>) -> Self {
        let address = listener.local_addr().expect("bound");
        let closed: Rc<Cell<usize>> = Rc::default();
        let seen: Rc<RefCell<Vec<String>>> = Rc::default();
        let word = Arc::new(tokio::sync::Semaphore::new(0));
        let (kept, said) = (Rc::clone(&seen), word.clone());
        let gone = closed.clone();
        let connections = spawn_local(async move {
            let mut running = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().await.expect("accept");
                let (kept, said, gone) = (kept.clone(), said.clone(), gone.clone());
                running.push(spawn_local(async move {
                    play(stream, script, kept, said).await;
                    gone.set(gone.get() + 1);
                }));
            }
            drop(listener);
            for connection in running {
                connection.await.expect("a script that ends");
            }
        });
        Self { address, seen, word, closed, connections }
    }

    /// Every script was played to its end.
    pub(super) async fn played(self) {
        self.connections.await.expect("all scripts");
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn play(
    mut stream: TcpStream,
    script: Vec<Step>,
    seen: Rc<RefCell<Vec<String>>>,
    word: Arc<tokio::sync::Semaphore>,
) {
    for step in script {
        match step {
            Step::Read => match read_request(&mut stream).await {
                Some(request) => seen.borrow_mut().push(request),
                None => return,
            },
            Step::Send(bytes) => {
                let _ = stream.write_all(&bytes).await;
            }
            Step::AwaitClose => {
                let mut rest = [0; 1024];
                while matches!(stream.read(&mut rest).await, Ok(bytes) if bytes > 0) {}
            }
            Step::Reset => {
                let linger = Some(Duration::ZERO);
                socket2::SockRef::from(&stream).set_linger(linger).expect("linger");
                return;
            }
            Step::Pause(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::AwaitWord => word.acquire().await.expect("open").forget(),
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        if let Some(head) = memchr::memmem::find(&text, b"\r\n\r\n") {
            let lower = String::from_utf8_lossy(&text).to_lowercase();
            let length = lower.split("content-length: ").nth(1).and_then(|rest| {
                rest.split("\r\n").next().and_then(|digits| digits.parse::<usize>().ok())
            });
            let chunked = lower.contains("transfer-encoding: chunked");
            if chunked && text.ends_with(b"0\r\n\r\n")
                || !chunked && text.len() >= head + 4 + length.unwrap_or(0)
            {
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(bytes) if bytes > 0 => text.extend_from_slice(&buffer[..bytes]),
            _ => return None,
        }
    }
}

// === our side ===

/// Runs a test on one core, as a data runtime would, and ends it if it hangs.
pub(super) async fn on_a_core<T>(test: impl Future<Output = T>) -> T {
    let test = tokio::time::timeout(Duration::from_mins(2), test);
    LocalSet::new().run_until(test).await.expect("no test hangs")
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Mutex<Vec<String>>);

impl OriginObserver for Notes {
    fn finished(&self, origin: OriginName<'_>, outcome: OriginOutcome) {
        self.0.lock().push(format!("{} {}", origin.index, outcome.name()));
    }

    fn health_changed(&self, origin: OriginName<'_>, event: &health::Event) {
        let word = if event.is_good() { "recovered" } else { "ejected" };
        self.0.lock().push(format!("{} {word}", origin.index));
    }
}

impl Notes {
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

pub(super) fn config(urls: &[String]) -> PoolConfig {
    let urls = urls.iter().map(|url| url.parse().expect("an address"));
    let mut config = PoolConfig::new("shop", urls);
    // What a test expects of the first and the second origin must not be drawn by lot.
    config.balance.policy = balance::Policy::Turns;
    config
}

pub(super) fn pool(urls: &[String]) -> (Arc<Pool>, Arc<Notes>) {
    pool_of(config(urls))
}

pub(super) fn pool_of(config: PoolConfig) -> (Arc<Pool>, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    (Pool::new(config, notes.clone()).expect("a pool"), notes)
}

pub(super) fn request(method: Method, body: Outbound) -> OutboundRequest {
    OutboundRequest {
        method,
        host: HeaderValue::from_static("shop.example"),
        target: PathAndQuery::from_static("/a?b"),
        headers: HeaderMap::new(),
        body,
        preferred: None,
        has_fallback: false,
        affinity: None,
        is_shared: false,
    }
}

pub(super) fn get() -> OutboundRequest {
    request(Method::GET, Outbound::Empty)
}

pub(super) fn post(text: &'static str) -> OutboundRequest {
    let body = http_body_util::Full::new(Bytes::from_static(text.as_bytes()));
    request(Method::POST, Outbound::stream(body.map_err(|never| match never {})))
}

/// Head and content of a response, or how it failed.
pub(super) async fn fetch(
    connections: &Connections,
    pool: &Arc<Pool>,
    request: OutboundRequest,
) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
    let reply = connections.send(pool, request, |_, _| {}).await.map_err(|f| f.error)?;
    let content = reply.body.collect().await?;
    Ok((reply.status, reply.headers, content.to_bytes()))
}

pub(super) async fn cause_of(
    connections: &Connections,
    pool: &Arc<Pool>,
    request: OutboundRequest,
) -> Cause {
    match fetch(connections, pool, request).await {
        Ok((status, ..)) => panic!("a response: {status}"),
        Err(error) => error.cause,
    }
}

/// Lets the other tasks run until something is so.
pub(super) async fn until(mut so: impl FnMut() -> bool) {
    std::future::poll_fn(|cx| {
        if so() {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
