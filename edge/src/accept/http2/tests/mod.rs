//! The H2 codec against the `h2` client and against raw frames, over a pipe in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;

use super::{Http2Config, serve};
use crate::accept::connection::{Peer, Protocol};
use crate::accept::{Answer, Connection, Delivery, Handler, OutgoingBody, Received};
use crate::error::{Cause, Error};

mod deadlines;
mod floods;
mod streams;

type Answering = Pin<Box<dyn Future<Output = Response<Script>>>>;

/// A handler made of a closure.
#[derive(Clone)]
struct Scripted(Rc<dyn Fn(Received) -> Answering>);

impl Handler for Scripted {
    type Body = Script;

    fn call(&self, received: Received) -> Answer<Script> {
        let mut answer = (self.0)(received);
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Answer::Now(response),
            Poll::Pending => Answer::Later(answer),
        }
    }
}

/// A handler that answers at once.
fn at_once(answer: impl Fn(&Received) -> Response<Script> + 'static) -> Scripted {
    Scripted(Rc::new(move |received| Box::pin(std::future::ready(answer(&received)))))
}

/// Where bodies say how they ended.
type Deliveries = Rc<RefCell<Vec<Delivery>>>;

/// A response body that does what the test wrote.
#[derive(Default)]
struct Script {
    whole: Option<Bytes>,
    frames: VecDeque<Result<Frame<Bytes>, Cause>>,
    /// After the frames: wait for ever instead of ending.
    hangs: bool,
    deliveries: Deliveries,
    dropped: DropFlag,
}

/// Tells that it was dropped.
#[derive(Default)]
struct DropFlag(Rc<Cell<bool>>);

impl Script {
    fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { whole: Some(bytes.into()), ..Self::default() }
    }

    fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece))).collect();
        Self { frames, ..Self::default() }
    }

    fn then(mut self, frame: Result<Frame<Bytes>, Cause>) -> Self {
        self.frames.push_back(frame);
        self
    }

    fn telling(mut self, deliveries: &Deliveries) -> Self {
        self.deliveries = Rc::clone(deliveries);
        self
    }
}

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame.map_err(Error::new))),
            None if self.hangs => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_none() && self.frames.is_empty() && !self.hangs
    }
}

impl OutgoingBody for Script {
    fn take_whole(&mut self) -> Option<Bytes> {
        self.whole.take()
    }

    fn delivered(&mut self, delivery: Delivery) {
        self.deliveries.borrow_mut().push(delivery);
    }
}

/// A server at the other end of a pipe.
struct Served {
    drain: watch::Sender<bool>,
    task: JoinHandle<()>,
    writes: Rc<Cell<usize>>,
}

/// Starts a server whose end of the pipe holds `pipe_bytes` in each direction.
fn served(handler: Scripted, config: Http2Config, pipe_bytes: usize) -> (DuplexStream, Served) {
    let (client, io) = tokio::io::duplex(pipe_bytes);
    let connection = Arc::new(Connection {
        id: Connection::next_id(),
        peer: Peer::Unix,
        local: "unix:test".into(),
        protocol: Protocol::Http2,
        tls: None,
        accepted: std::time::Instant::now(),
    });
    let (drain, draining) = watch::channel(false);
    let writes = Rc::new(Cell::new(0));
    let io = Counting { io, writes: Rc::clone(&writes) };
    let task = spawn_local(serve(io, connection, handler, config, draining));
    (client, Served { drain, task, writes })
}

/// A client of the `h2` crate whose connection runs beside the test.
async fn client(
    io: DuplexStream,
) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    client_with(io, &h2::client::Builder::new()).await
}

async fn client_with(
    io: DuplexStream,
    builder: &h2::client::Builder,
) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (send, connection) = builder.handshake(io).await.expect("the handshake succeeds");
    (send, spawn_local(connection))
}

fn get(path: &str) -> http::Request<()> {
    http::Request::get(format!("http://shop.example{path}")).body(()).expect("a valid request")
}

/// Reads a body, releasing what was read; trailers if there are some.
async fn read_all(mut body: h2::RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok((all, body.trailers().await?))
}

/// Counts calls that write.
struct Counting {
    io: DuplexStream,
    writes: Rc<Cell<usize>>,
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, slices.first().map_or(&[], |slice| slice))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

// === raw frames ===

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Field block of `GET http://a/`: static table entries, and a literal authority.
const GET_BLOCK: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];

#[derive(Debug, PartialEq, Eq)]
struct RawFrame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> Option<RawFrame> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    io.read_exact(&mut payload).await.ok()?;
    Some(RawFrame { kind, flags, stream: u32::from_be_bytes(stream), payload })
}

/// Everything that comes until the end of the connection.
async fn read_frames(io: &mut (impl AsyncRead + Unpin)) -> Vec<RawFrame> {
    let mut frames = Vec::new();
    while let Some(frame) = read_frame(io).await {
        frames.push(frame);
    }
    frames
}

/// The error code of the last GOAWAY.
fn goaway_code(frames: &[RawFrame]) -> Option<u32> {
    let payload = &frames.iter().rfind(|frame| frame.kind == GOAWAY)?.payload;
    Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")))
}

/// Preface and empty SETTINGS.
fn opening() -> Vec<u8> {
    [PREFACE, &raw(SETTINGS, 0, 0, &[])].concat()
}

async fn run<F: Future>(test: F) -> F::Output {
    LocalSet::new().run_until(test).await
}
