//! 1 · Bytes arrive.
//!
//! Listeners and codecs. Whatever the protocol, a codec yields [`Received`] and drives the
//! response that a [`Handler`] gives back. The response body is *pulled*: the codec asks for the
//! next piece when the client can take it, so backpressure reaches the cache without a channel.
//! Interim (1xx) responses are pushed through [`Interim`] while the handler still works.
//!
//! Knows nothing of sites, rules, cache or origins.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::error::{Cause, Error};

pub mod connection;
pub mod detect;
pub mod drain;
pub mod http1;
pub mod http2;
pub mod listener;
pub mod tls;

pub use connection::Connection;

pub use crate::journal::Delivery;

/// A request as a codec read it: syntactically a message, not yet checked against any rule.
#[derive(Debug)]
pub struct Received {
    /// Method, target, version and fields as they came.
    pub head: http::request::Parts,
    /// The content, read at the handler's pace.
    pub body: RequestBody,
    /// What is known of the connection.
    pub connection: Arc<Connection>,
    /// The way to send 1xx responses before the final one.
    pub interim: Interim,
}

/// What turns a request into a response: the exchange. Runs on the core that accepted.
pub trait Handler: Clone + Unpin + 'static {
    /// The response body.
    type Body: OutgoingBody;

    /// Begins one request, and answers it if nothing has to be waited for. Never fails: failures
    /// are answers too.
    fn call(&self, received: Received) -> Answer<Self::Body>;

    /// Notes a message that never became a request: the codec answered it itself. `sent_bytes` is
    /// the length of the answer's content; `None` if the client did not take it.
    #[expect(unused_variables, reason = "a handler need not keep account")]
    fn refused(&self, connection: &Connection, cause: Cause, sent_bytes: Option<u64>) {}
}

/// What a handler gives for a request. Most answers come from memory: those need no future, and no
/// place to keep one.
pub enum Answer<B> {
    /// The response.
    Now(Response<B>),
    /// Something has to be waited for; dropping it gives the request up.
    Later(Pin<Box<dyn Future<Output = Response<B>>>>),
}

impl<B> Answer<B> {
    /// An answer that has to be waited for.
    pub fn later(answer: impl Future<Output = Response<B>> + 'static) -> Self {
        Self::Later(Box::pin(answer))
    }

    /// The response, when it is there.
    pub async fn response(self) -> Response<B> {
        match self {
            Self::Now(response) => response,
            Self::Later(answer) => answer.await,
        }
    }
}

impl<B> std::fmt::Debug for Answer<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}

/// A response body as codecs drive it. An error means: what was sent is not complete, and the
/// client must be able to see that (H1: close without the last chunk; H2: `RST_STREAM`).
pub trait OutgoingBody: Body<Data = Bytes, Error = Error> + Unpin + 'static {
    /// The whole content if it is already in hand and there are no trailers; the codec then sends
    /// it with the head in one go. After `Some` the body is at its end.
    fn take_whole(&mut self) -> Option<Bytes>;

    /// How many bytes of it may wait to leave before the codec asks for more: less while memory for
    /// slow clients is short.
    fn ahead_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Called once when the last byte was handed to the transport or the delivery was given up.
    fn delivered(&mut self, delivery: Delivery);
}

/// The content of a request.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// There is none.
    #[default]
    Empty,
    /// Read by hyper behind the gate.
    Http1(hyper::body::Incoming),
    /// An H2 stream.
    Http2(http2::RequestStream),
}

impl RequestBody {
    /// Whether there is certainly no content.
    pub fn is_empty(&self) -> bool {
        self.is_end_stream()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(http1::request_body_error),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// The way to send interim responses (RFC 9110 §15.2) to this client.
#[derive(Debug)]
pub enum Interim {
    /// Through the gate's writer.
    Http1(http1::InterimWriter),
    /// Through `send_informational`.
    Http2(http2::InterimWriter),
    /// The client cannot take them (HTTP/1.0) or the test does not care.
    None,
}

impl Interim {
    /// Sends a 1xx response (not 101). Best effort: a client that is gone is not an error here.
    pub fn send(&mut self, status: StatusCode, headers: HeaderMap) {
        debug_assert!(status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS);
        match self {
            Self::Http1(writer) => writer.send(status, &headers),
            Self::Http2(writer) => writer.send(status, headers),
            Self::None => {}
        }
    }
}

/// The strict reader that stands under hyper's H1 parser: implemented by `admit::gate`, named
/// here because a codec may not import the folders behind it.
///
/// Sans-I/O. The connection feeds the bytes of the socket in and takes released bytes out; only
/// wholly checked heads and correctly framed body bytes come out.
pub trait Screen: Default + Send + 'static {
    /// Looks at newly arrived bytes. `buffered` holds what was not released so far (old and new).
    fn inspect(&mut self, buffered: &[u8], limits: &HeadLimits) -> Screened;

    /// A request was answered completely: the next head may be released.
    fn next_request(&mut self);
}

/// What a [`Screen`] says of the bytes that are buffered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screened {
    /// The first `n` bytes are checked and may be given to the parser.
    Release(usize),
    /// The first `n` bytes are checked and complete the present request.
    ReleaseEnd(usize),
    /// The first `n` bytes belong to no request and are to be dropped.
    Skip(usize),
    /// Nothing to release before more bytes arrive.
    NeedMore,
    /// The peer broke a rule: answer (if no answer has begun) and close.
    Refuse(Cause),
}

/// Sizes and counts of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Longest request line, in bytes (414 beyond).
    pub target_bytes_max: usize,
    /// Whole head with its fields, in bytes (431 beyond).
    pub head_bytes_max: usize,
    /// Number of fields, cookie crumbs included (431 beyond).
    pub fields_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { target_bytes_max: 8 * 1024, head_bytes_max: 32 * 1024, fields_max: 100 }
    }
}

/// Deadlines on the client's side; each guards one wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientDeadlines {
    /// TLS handshake, in milliseconds.
    pub handshake_ms: u64,
    /// From the first byte of a head to its last.
    pub head_ms: u64,
    /// Between two pieces of a request body.
    pub body_ms: u64,
    /// An idle keep-alive connection.
    pub idle_ms: u64,
    /// Without any progress while a response is being written.
    pub write_ms: u64,
    /// After the last response, waiting for the peer to close.
    pub linger_ms: u64,
}

impl Default for ClientDeadlines {
    fn default() -> Self {
        Self {
            handshake_ms: 10_000,
            head_ms: 10_000,
            body_ms: 30_000,
            idle_ms: 75_000,
            write_ms: 60_000,
            linger_ms: 2_000,
        }
    }
}
