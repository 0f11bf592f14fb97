//! The transport that hyper is given: a socket behind a [`Screen`].
//!
//! It reads into its own buffer, hands hyper only what the screen has released, and nothing of the
//! next request before hyper asks for it. That asking is the signal that the present exchange is
//! over: with `half_close(true)` hyper reads only for a head, or for body bytes that it lacks, so
//! once a request was handed over entirely, the next read means that both sides are done.
//!
//! A flush with nothing written is a turn in which the handler waits. Then, and only then, the
//! transport looks ahead for a client that leaves, so that an answer from memory pays nothing.
//! Every wait that this side of hyper knows has a deadline.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::Http1Config;
use super::front::Front;
use super::link::Link;
use super::waits::{ReadWait, Waits};
use crate::accept::{Handler, Screen, Screened};
use crate::error::Cause;
use crate::journal::{COUNTERS, Counters};

/// Room for one read while a head is awaited, in bytes. Longer than almost every head: a read that
/// fills the room costs another to find the socket empty.
const HEAD_READ_BYTES: usize = 8 * 1024;
/// With less than this part of it left, a read gets new room; otherwise a client that sends its head
/// byte by byte would have the buffer grow for each.
const READ_PART_MIN: usize = 8;
/// Room for one read of content, in bytes.
const BODY_READ_BYTES: usize = 32 * 1024;
/// How much of what follows the present request is read while looking ahead, in bytes.
const LOOKAHEAD_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    /// A buffer that nobody uses at the moment; one per thread, for its next read.
    static SPARE: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// Keeps an empty buffer, unless it has grown.
fn keep_spare(buffer: BytesMut) {
    if (1..=2 * HEAD_READ_BYTES).contains(&buffer.capacity()) {
        SPARE.set(Some(buffer));
    }
}

mod parting;
mod write;

use parting::Parting;

/// A rule or deadline that the content of a request broke, inside an [`io::Error`].
#[derive(Debug)]
pub(super) struct Breach(pub(super) Cause);

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.title())
    }
}

impl std::error::Error for Breach {}

/// How much of the present request the screen has released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing yet.
    Head,
    /// The head and perhaps some content.
    Body,
    /// All of it.
    Complete,
}

/// What the screen says of the bytes in the buffer.
enum Looked {
    Released,
    /// A whole request at once, which has no content.
    Plain,
    NeedMore,
    Refused(Cause),
}

/// A transport behind a screen.
pub(super) struct Gated<IO, S, H: Handler> {
    pub(super) io: IO,
    screen: S,
    config: Http1Config,
    front: Front<H>,
    link: Rc<Link<H::Body>>,
    waits: Waits,
    /// Bytes read and not yet taken by hyper; the first `released` of them may be.
    pub(super) buffer: BytesMut,
    released: usize,
    stage: Stage,
    /// The buffer holds bytes that the screen has not judged.
    fresh: bool,
    /// The peer will send nothing more.
    pub(super) eof: bool,
    /// The transport is unusable: broken, stalled or left.
    pub(super) failed: bool,
    /// The head was refused: answer and close.
    pub(super) refused: Option<Cause>,
    /// hyper has written since its buffer was last empty.
    mid_write: bool,
    /// The transport holds bytes that were not flushed.
    unflushed: bool,
    /// Number of the request whose final response has begun to leave.
    leaving: u64,
    /// Interim responses that are being written.
    interim: BytesMut,
    /// A response of the front path that the socket has not taken entirely.
    parting: Option<Parting>,
}

impl<IO, S, H> Gated<IO, S, H>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Screen,
    H: Handler,
{
    pub(super) fn new(
        io: IO,
        config: Http1Config,
        front: Front<H>,
        link: Rc<Link<H::Body>>,
    ) -> Self {
        Self {
            io,
            screen: S::default(),
            config,
            front,
            link,
            waits: Waits::default(),
            buffer: BytesMut::new(),
            released: 0,
            stage: Stage::Head,
            fresh: false,
            eof: false,
            failed: false,
            refused: None,
            mid_write: false,
            unflushed: false,
            leaving: 0,
            interim: BytesMut::new(),
            parting: None,
        }
    }

    /// Gives hyper what was released.
    fn hand_over(&mut self, out: &mut ReadBufCursor<'_>) {
        let bytes = self.released.min(out.remaining());
        out.put_slice(&self.buffer[..bytes]);
        self.buffer.advance(bytes);
        self.released -= bytes;
        self.link.request_open.set(self.released > 0 || self.stage != Stage::Complete);
    }

    /// hyper wants the next request: the present one is answered.
    fn finish_request(&mut self) {
        self.screen.next_request();
        self.stage = Stage::Head;
        self.fresh = !self.buffer.is_empty();
        self.waits.read_ended();
    }

    /// Lets the screen judge what arrived.
    fn look(&mut self) -> Looked {
        while self.fresh && self.stage != Stage::Complete {
            match self.screen.inspect(&self.buffer[self.released..], &self.config.limits) {
                Screened::Release(bytes) => {
                    self.released += bytes;
                    self.stage = Stage::Body;
                    self.fresh = self.released < self.buffer.len();
                }
                Screened::ReleaseEnd(bytes) => {
                    let is_plain = self.stage == Stage::Head;
                    self.released += bytes;
                    self.stage = Stage::Complete;
                    if is_plain {
                        return Looked::Plain;
                    }
                }
                Screened::Skip(bytes) => {
                    debug_assert_eq!(self.released, 0, "only before a request");
                    self.buffer.advance(bytes);
                    self.fresh = !self.buffer.is_empty();
                }
                Screened::NeedMore => self.fresh = false,
                Screened::Refuse(_) if self.released > 0 => break,
                Screened::Refuse(cause) => return Looked::Refused(cause),
            }
        }
        if self.released > 0 { Looked::Released } else { Looked::NeedMore }
    }

    /// Reads what the socket has, into the buffer.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = if self.stage == Stage::Body { BODY_READ_BYTES } else { HEAD_READ_BYTES };
        if self.buffer.capacity() == 0
            && let Some(spare) = SPARE.take()
        {
            self.buffer = spare;
        }
        if self.buffer.capacity() - self.buffer.len() < room / READ_PART_MIN {
            self.buffer.reserve(room);
        }
        let read = ready!(std::pin::pin!(self.io.read_buf(&mut self.buffer)).poll(cx));
        match &read {
            Ok(0) => self.eof = true,
            Ok(_) => {
                self.fresh = true;
                self.waits.read_progressed();
            }
            Err(_) => self.failed = true,
        }
        Poll::Ready(read)
    }

    /// hyper waits for bytes that are not here.
    fn poll_read_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadlines = self.config.deadlines;
        let (wait, limit_ms) = match self.stage {
            Stage::Head if !self.buffer.is_empty() => (ReadWait::Head, deadlines.head_ms),
            Stage::Head if self.link.draining.get() => return Poll::Ready(Ok(())),
            Stage::Head => (ReadWait::Idle, deadlines.idle_ms),
            Stage::Body | Stage::Complete => (ReadWait::Body, deadlines.body_ms),
        };
        ready!(self.waits.poll_read(cx, wait, limit_ms));
        Counters::bump(&COUNTERS.client_deadlines);
        match wait {
            ReadWait::Idle => Poll::Ready(Ok(())),
            ReadWait::Head => {
                self.refused = Some(Cause::HeadTimeout);
                Poll::Ready(Ok(()))
            }
            ReadWait::Body => Poll::Ready(Err(self.breach(Cause::BodyTimeout))),
        }
    }

    /// The content of a request that the handler already has cannot be read on.
    fn breach(&mut self, cause: Cause) -> io::Error {
        self.link.breach.set(Some(cause));
        io::Error::new(io::ErrorKind::InvalidData, Breach(cause))
    }

    /// The screen refused: before the handler we answer, after it the handler does.
    fn refuse(&mut self, cause: Cause) -> io::Result<()> {
        Counters::bump(&COUNTERS.gate_refusals);
        if self.stage == Stage::Head {
            self.refused = Some(cause);
            return Ok(()); // the end of input, for hyper
        }
        Err(self.breach(cause))
    }

    /// Looks for a client that leaves while the handler works, without reading more than a little
    /// of what it has sent ahead.
    fn poll_look_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.mailbox.register(cx.waker());
        while !self.eof && self.buffer.len() < LOOKAHEAD_BYTES_MAX {
            match self.poll_fill(cx) {
                Poll::Ready(read) => drop(read?),
                Poll::Pending => return Poll::Ready(Ok(())),
            }
            if self.stage == Stage::Body {
                // hyper may be waiting for just these bytes and has looked before us.
                cx.waker().wake_by_ref();
            }
        }
        // A client may close only its own side and still wait for the answer; most that close
        // have gone. Once the answer flows, failing writes tell the difference.
        if self.eof
            && self.link.is_working()
            && self.waits.poll_leave(cx, self.config.half_closed_ms).is_ready()
        {
            self.failed = true;
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO, S, H> Read for Gated<IO, S, H>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Screen + Unpin,
    H: Handler,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_parting(cx))?;
        loop {
            if this.released == 0 {
                if this.stage == Stage::Complete {
                    this.finish_request();
                }
                match this.look() {
                    Looked::Released => {}
                    Looked::Plain => {
                        if let Some(polled) = this.answer_before_hyper(cx) {
                            ready!(polled)?;
                            continue;
                        }
                    }
                    Looked::Refused(cause) => return Poll::Ready(this.refuse(cause)),
                    Looked::NeedMore if this.eof => return Poll::Ready(Ok(())),
                    Looked::NeedMore => match this.poll_fill(cx) {
                        Poll::Ready(read) => {
                            read?;
                            continue;
                        }
                        Poll::Pending => {
                            if this.stage == Stage::Head && this.buffer.is_empty() {
                                // Thousands of idle connections must not keep a buffer each:
                                // the next one that reads gets it.
                                keep_spare(std::mem::take(&mut this.buffer));
                            }
                            return this.poll_read_wait(cx);
                        }
                    },
                }
            }
            this.hand_over(&mut out);
            return Poll::Ready(Ok(()));
        }
    }
}
