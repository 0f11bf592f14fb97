//! The built-in origin: three resources, an off switch, and counters of what it was really asked.
//!
//! `/hello` may be kept for an hour and carries a tag; `/news` for a second, and longer while its
//! origin fails; `/film` is sent slowly. Each answer is numbered, so that one can see which
//! of them a client got.
//!
//! It lives on a thread of its own, as origins do: what it costs is not the node's.
//! Switched off it closes its listener and all connections; switched on again it has its old port.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Failed;

/// Length of `/film`, in bytes.
pub(super) const FILM_BYTES: usize = FILM_PIECES * PIECE_BYTES;

/// Pieces that `/film` is sent in.
const FILM_PIECES: usize = 20;
const PIECE_BYTES: usize = 12 * 1024;

/// Between two pieces of `/film`.
const PIECE_PAUSE: Duration = Duration::from_millis(100);

/// How long the origin may take to be switched.
const SWITCH_WAIT: Duration = Duration::from_secs(10);

type Body = BoxBody<Bytes, Infallible>;

/// What the origin was asked.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Requests.
    requests: AtomicU64,
    /// Requests for `/film`.
    films: AtomicU64,
    /// When the last piece of the last film left.
    film_sent: Mutex<Option<Instant>>,
}

impl Counters {
    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests for `/film` so far.
    pub(super) fn films(&self) -> u64 {
        self.films.load(Ordering::Relaxed)
    }

    /// When the last piece of the last film left, if one did.
    pub(super) fn film_sent(&self) -> Option<Instant> {
        *self.film_sent.lock()
    }
}

/// A running origin; dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Origin {
    address: SocketAddr,
    counters: Arc<Counters>,
    wanted: watch::Sender<bool>,
    state: watch::Receiver<State>,
}

#[derive(Clone, Debug)]
enum State {
    Up,
    Down,
    Broken(String),
}

impl Origin {
    /// Starts it on a free port of 127.0.0.1.
    pub(super) fn start() -> io::Result<Self> {
        let first = std::net::TcpListener::bind("127.0.0.1:0")?;
        first.set_nonblocking(true)?;
        let address = first.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counters = Arc::new(Counters::default());
        let (wanted, wishes) = watch::channel(true);
        let (tell, state) = watch::channel(State::Up);
        let life = Life { address, counters: Arc::clone(&counters), wishes };
        std::thread::Builder::new()
            .name("demo-origin".to_owned())
            .spawn(move || runtime.block_on(life.run(first, &tell)))?;
        Ok(Self { address, counters, wanted, state })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Switches it on or off, and waits until that is so.
    pub(super) async fn switch(&self, on: bool) -> Result<(), Failed> {
        self.wanted.send_replace(on);
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| match state {
            State::Up => on,
            State::Down => !on,
            State::Broken(_) => true,
        });
        match tokio::time::timeout(SWITCH_WAIT, reached).await {
            Ok(Ok(state)) => match &*state {
                State::Broken(why) => Err(Failed::new(format!("The origin is not back: {why}."))),
                State::Up | State::Down => Ok(()),
            },
            Ok(Err(_)) => Err(Failed::new("The origin's thread died.")),
            Err(_) => Err(Failed::new("The origin did not switch in time.")),
        }
    }
}

/// The origin's own side.
struct Life {
    address: SocketAddr,
    counters: Arc<Counters>,
    wishes: watch::Receiver<bool>,
}

impl Life {
    async fn run(mut self, first: std::net::TcpListener, tell: &watch::Sender<State>) {
        let mut listener = TcpListener::from_std(first);
        loop {
            match listener {
                Ok(listener) => {
                    tell.send_replace(State::Up);
                    self.serve(listener).await;
                    tell.send_replace(State::Down);
                }
                Err(error) => {
                    tell.send_replace(State::Broken(error.to_string()));
                }
            }
            // Off, or no origin is wanted any more.
            if self.wishes.wait_for(|on| *on).await.is_err() || self.wishes.has_changed().is_err() {
                return;
            }
            listener = TcpListener::bind(self.address).await;
            if listener.is_err() {
                // Told; the next wish tries again.
                let _gone = self.wishes.changed().await;
            }
        }
    }

    /// Serves until it is switched off; then nothing stays open.
    async fn serve(&mut self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(converse(stream, Arc::clone(&self.counters)));
                    }
                }
                _ = self.wishes.wait_for(|on| !*on) => break,
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        connections.shutdown().await;
    }
}

async fn converse(stream: TcpStream, counters: Arc<Counters>) {
    let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let response = respond(request.uri().path(), &counters);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // A connection that the node drops is an ordinary end.
    let _ended = connection.serve_connection(TokioIo::new(stream), answer).await;
}

fn respond(path: &str, counters: &Arc<Counters>) -> Response<Body> {
    let number = counters.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let text = |words: &str, cache_control, tag| {
        let body = Full::from(format!("{words} This is answer number {number} of the origin.\n"));
        response(StatusCode::OK, cache_control, tag, body.boxed())
    };
    match path {
        "/hello" => text("Hello.", "public, max-age=3600", "greeting"),
        "/news" => text("Nothing new.", "public, max-age=1, stale-if-error=3600", "news"),
        "/film" => {
            counters.films.fetch_add(1, Ordering::Relaxed);
            let mut film =
                response(StatusCode::OK, "public, max-age=3600", "film", pieces(counters));
            film.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(FILM_BYTES));
            film
        }
        _ => {
            let body = Full::from("There are /hello, /news and /film.\n").boxed();
            response(StatusCode::NOT_FOUND, "no-store", "nothing", body)
        }
    }
}

fn response(
    status: StatusCode,
    cache_control: &'static str,
    tag: &'static str,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert("surrogate-key", HeaderValue::from_static(tag));
    response
}

/// The body of `/film`, at its pace.
fn pieces(counters: &Arc<Counters>) -> Body {
    let counters = Arc::clone(counters);
    let pieces = stream::unfold(0, move |sent| {
        let counters = Arc::clone(&counters);
        async move {
            if sent == FILM_PIECES {
                return None;
            }
            tokio::time::sleep(PIECE_PAUSE).await;
            if sent + 1 == FILM_PIECES {
                *counters.film_sent.lock() = Some(Instant::now());
            }
            let piece = film(sent * PIECE_BYTES..(sent + 1) * PIECE_BYTES);
            Some((Ok(Frame::data(Bytes::from(piece))), sent + 1))
        }
    });
    StreamBody::new(pieces).boxed()
}

/// Part of the film: lines of text, so that a curious client can read them.
pub(super) fn film(range: std::ops::Range<usize>) -> Vec<u8> {
    // Lines of 16 bytes, each with its own number.
    let mut lines = Vec::with_capacity(range.len() + 32);
    let first = range.start / 16;
    for number in first..range.end.div_ceil(16) {
        lines.extend_from_slice(format!("picture {number:07}\n").as_bytes());
    }
    let skip = range.start - first * 16;
    lines.drain(..skip);
    lines.truncate(range.len());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_the_film_is_that_part_of_the_whole() {
        let whole = film(0..FILM_BYTES);
        assert_eq!(whole.len(), FILM_BYTES);
        for range in [0..1, 15..17, 16..32, 100..5000, FILM_BYTES - 3..FILM_BYTES] {
            assert_eq!(film(range.clone()), whole[range.clone()], "{range:?}");
        }
    }

    #[tokio::test]
    async fn switched_off_it_refuses_and_switched_on_it_has_its_old_port() {
        let origin = Origin::start().expect("a free port");
        TcpStream::connect(origin.address()).await.expect("it is up");
        origin.switch(false).await.expect("it goes down");
        let refused = TcpStream::connect(origin.address()).await.expect_err("it is down");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        origin.switch(true).await.expect("it comes back");
        TcpStream::connect(origin.address()).await.expect("it is up again");
    }
}
