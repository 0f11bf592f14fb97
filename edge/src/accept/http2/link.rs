//! The transport as `h2` sees it: frames are collected and leave once per turn.
//!
//! `h2` flushes after every DATA frame of some size, which would mean one system call per
//! response. So [`Transport`] answers every flush at once and keeps what was written in one
//! buffer; the driver calls [`Link::poll_write_out`] when nothing more can be done in this turn.
//! A lone response leaves in the turn that made it, no later than without the buffer.
//!
//! The buffer has a bound (`batch_bytes_max`), and a buffer of which a part has left is not
//! appended to: it first leaves wholly. That keeps bytes from being moved twice, and it is the
//! backpressure: `h2` then waits, and streams get no more capacity.
//!
//! Incoming bytes pass the [`FrameCensus`]. After a flood nothing more is read.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Http2Config;
use super::flood::{Earned, FrameCensus, FrameKind};

/// Most that is read and thrown away while a connection lingers (RFC 9112 §9.6 describes why a
/// close with unread bytes loses the last answer).
pub(super) const LINGER_BYTES_MAX: usize = 256 * 1024;

/// The transport and everything that is waiting to leave through it.
pub(super) struct Link<IO> {
    io: IO,
    out: Vec<u8>,
    out_sent: usize,
    batch_bytes_max: usize,
    /// Every flush of `h2` writes, as if there were no buffer.
    flush_each: bool,
    /// The transport was written to and has not confirmed a flush.
    unflushed: bool,
    /// `h2` was told to wait for room in the buffer.
    blocked: bool,
    is_shut: bool,
    is_ended: bool,
    census: FrameCensus,
    flood: Option<FrameKind>,
    started: Instant,
    bytes_sent: u64,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Link<IO> {
    pub fn new(io: IO, config: &Http2Config, started: Instant) -> Self {
        Self {
            io,
            out: Vec::new(),
            out_sent: 0,
            batch_bytes_max: config.batch_bytes_max,
            flush_each: config.flush_each,
            unflushed: false,
            blocked: false,
            is_shut: false,
            is_ended: false,
            census: FrameCensus::new(config.floods),
            flood: None,
            started,
            bytes_sent: 0,
        }
    }

    /// The flood that was seen, if one was.
    pub const fn flood(&self) -> Option<FrameKind> {
        self.flood
    }

    /// See [`FrameCensus::is_midway`].
    pub const fn is_midway(&self) -> bool {
        self.census.is_midway()
    }

    /// Bytes that the transport took so far.
    pub const fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// Whether bytes wait for the transport.
    pub const fn is_waiting(&self) -> bool {
        self.unflushed || !self.out.is_empty()
    }

    /// Whether `h2` had to wait for room since the last call.
    pub const fn take_blocked(&mut self) -> bool {
        std::mem::replace(&mut self.blocked, false)
    }

    /// Writes what was collected, once, and passes it on.
    pub fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our side, then reads and drops what the peer still sends, up to a bound, so that
    /// our last frames are not lost to a reset of the transport.
    pub fn poll_linger(
        &mut self,
        cx: &mut Context<'_>,
        dropped: &mut usize,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_shut(cx))?;
        let mut scratch = [0; 4096];
        while !self.is_ended && *dropped < LINGER_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.is_ended = buf.filled().is_empty();
            *dropped += buf.filled().len();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out_sent < self.out.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.out[self.out_sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out_sent += n;
            self.bytes_sent += n as u64;
            self.unflushed = true;
        }
        self.out_sent = 0;
        give_buffer(std::mem::take(&mut self.out));
        Poll::Ready(Ok(()))
    }

    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.out_sent > 0 || self.out.len() >= self.batch_bytes_max {
            match self.poll_drain(cx) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    self.blocked = true;
                    return Poll::Pending;
                }
            }
        }
        if self.out.capacity() == 0 {
            self.out = take_buffer(self.batch_bytes_max);
        }
        let mut taken = 0;
        for slice in slices {
            let room = self.batch_bytes_max - self.out.len();
            let n = slice.len().min(room);
            self.out.extend_from_slice(&slice[..n]);
            taken += n;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        if !self.is_shut {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.flood.is_some() {
            return Poll::Pending; // the driver ends the connection in this very turn
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.is_ended = buf.filled().len() == before;
        let (started, bytes_sent) = (self.started, self.bytes_sent);
        let earned = || Earned { now_ms: started.elapsed().as_millis() as u64, bytes_sent };
        if let Err(kind) = self.census.feed(&buf.filled()[before..], earned) {
            self.flood = Some(kind);
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO> Drop for Link<IO> {
    fn drop(&mut self) {
        give_buffer(std::mem::take(&mut self.out));
    }
}

/// The end of a [`Link`] that `h2` holds.
pub(super) struct Transport<IO>(pub Rc<RefCell<Link<IO>>>);

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_fill(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_take(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_take(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The turn's end flushes, see the module's text.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut link = self.0.borrow_mut();
        if link.flush_each { link.poll_write_out(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_shut(cx)
    }
}

/// Buffers that a thread keeps for its next turn: one connection is in a turn at a time, so a
/// handful serves thousands of connections, and an idle one holds none.
const POOL_BUFFERS_MAX: usize = 16;

thread_local! {
    static POOL: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

fn take_buffer(bytes: usize) -> Vec<u8> {
    let mut pool = POOL.take();
    let buffer = pool.pop();
    POOL.set(pool);
    let mut buffer = buffer.unwrap_or_default();
    buffer.reserve_exact(bytes);
    buffer
}

fn give_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 {
        return;
    }
    buffer.clear();
    let mut pool = POOL.take();
    if pool.len() < POOL_BUFFERS_MAX {
        pool.push(buffer);
    }
    POOL.set(pool);
}
