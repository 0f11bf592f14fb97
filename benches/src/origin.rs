//! An origin that never is the limit: a thread of this program, on the load's core.
//!
//! ```text
//! /object/N  1 KiB, fresh for a day, ten fields
//! /pass      1 KiB that may not be stored
//! /large/N   N bytes of the pattern, fresh for a day, with ranges
//! ```

use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;

use crate::bare::io::Io;

/// Length of a small object.
pub(crate) const OBJECT_BYTES: usize = 1024;

/// Bytes after which the pattern of a large object begins again: no multiple of a page.
const PATTERN_BYTES: usize = 262_139;

/// The byte of a large object at an offset.
pub(crate) const fn pattern(offset: u64) -> u8 {
    let at = offset % PATTERN_BYTES as u64;
    (at ^ (at >> 8)) as u8
}

/// A running origin; it ends with this program.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
    ranges: Arc<AtomicU64>,
}

struct Shared {
    small: HeaderMap,
    body: Bytes,
    pattern: Bytes,
    requests: Arc<AtomicU64>,
    ranges: Arc<AtomicU64>,
}

impl Origin {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (requests, ranges) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let shared = Arc::new(Shared {
            small: small_fields(),
            body: Bytes::from(vec![b'x'; OBJECT_BYTES]),
            pattern: (0..PATTERN_BYTES as u64).map(pattern).collect::<Vec<u8>>().into(),
            requests: Arc::clone(&requests),
            ranges: Arc::clone(&ranges),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("origin".into()).spawn(move || {
            let local = tokio::task::LocalSet::new();
            let served = runtime.block_on(local.run_until(serve(listener, shared)));
            if let Err(error) = served {
                eprintln!("the origin ended: {error}");
            }
        })?;
        Ok(Self { address, requests, ranges })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far, those for a range included.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests for a range so far.
    pub(crate) fn ranges(&self) -> u64 {
        self.ranges.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let shared = Arc::clone(&shared);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let response = shared.answer(&request);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(Io(stream), service);
            let _node_left = served.await;
        });
    }
}

/// The ten fields that a site's origin typically sends, about 300 bytes with their names.
fn small_fields() -> HeaderMap {
    let pairs = [
        ("content-type", "text/css; charset=utf-8"),
        ("cache-control", "public, max-age=86400"),
        ("etag", "\"5f3c9a7b1e20d4c8\""),
        ("last-modified", "Mon, 23 Nov 2026 10:11:12 GMT"),
        ("accept-ranges", "bytes"),
        ("server", "origin/2.4"),
        ("x-content-type-options", "nosniff"),
        ("strict-transport-security", "max-age=31536000"),
    ];
    let pairs = pairs.into_iter();
    // hyper adds content-length and date: ten.
    pairs
        .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
        .collect()
}

impl Shared {
    fn answer(&self, request: &Request<Incoming>) -> Response<Piece> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.uri().path();
        if let Some(length) = path.strip_prefix("/large/").and_then(|text| text.parse().ok()) {
            return self.large(length, request.headers().get(RANGE));
        }
        let mut response =
            Response::new(Piece { bytes: self.body.clone(), left: OBJECT_BYTES as u64, at: 0 });
        *response.headers_mut() = self.small.clone();
        if path == "/pass" {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }

    fn large(&self, length: u64, range: Option<&HeaderValue>) -> Response<Piece> {
        let range = range.and_then(|value| {
            let (from, to) = value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
            let to = to.parse::<u64>().map_or(length, |last| last.saturating_add(1));
            let (from, to) = (from.parse::<u64>().ok()?, to.min(length));
            (from < to).then_some((from, to))
        });
        let (from, to) = range.unwrap_or((0, length));
        let piece = Piece { bytes: self.pattern.clone(), left: to - from, at: from };
        let mut response = Response::new(piece);
        *response.headers_mut() = self.small.clone();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(to - from));
        if range.is_some() {
            self.ranges.fetch_add(1, Ordering::Relaxed);
            let text = format!("bytes {from}-{}/{length}", to - 1);
            let text = HeaderValue::try_from(text).expect("digits");
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response.headers_mut().insert(CONTENT_RANGE, text);
        }
        response
    }
}

/// `left` bytes, again and again from one buffer.
struct Piece {
    bytes: Bytes,
    left: u64,
    at: u64,
}

impl Body for Piece {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let from = (self.at % self.bytes.len() as u64) as usize;
        let bytes = self.bytes.len() - from;
        let bytes = bytes.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let piece = self.bytes.slice(from..from + bytes);
        self.left -= bytes as u64;
        self.at += bytes as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
