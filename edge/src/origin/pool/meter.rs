//! What hyper does not tell: how many bytes went each way, and what a peer said before it left.
//!
//! Whether a request may be sent again hangs on two facts: was a byte of it written, and was a byte
//! of an answer read. This wrapper counts under the parser.
//!
//! An origin that answers early (413, 401) and closes makes our next write fail while its answer
//! still lies unread. hyper would give up the answer for the error. So a failed write is kept back:
//! writing just does not go on, and reading, which meets the answer first and the end after it,
//! decides how the exchange ends.
//!
//! It also bounds what one read brings: the parser's buffer grows with that, and behind a response
//! that nobody takes it is memory that no permit covers. Reads are large only on a connection that
//! has brought much, and never while memory for slow clients is short.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use selvedge_cache::budget::Budget;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The two counts of one connection, in bytes, since it was made.
#[derive(Debug, Default)]
pub struct Counts {
    /// Read from the origin.
    pub read: Cell<u64>,
    /// Written to the origin.
    pub written: Cell<u64>,
}

/// Counts what passes.
#[derive(Debug)]
pub struct Meter<T> {
    io: T,
    counts: Rc<Counts>,
    write_failed: bool,
    budget: Option<Budget>,
}

/// A read is never held to less, in bytes: the parser's smallest buffer.
const READ_BYTES_MIN: usize = 8 * 1024;
/// What a read brings at most until a connection has brought [`PROVEN_BYTES`], in bytes.
const READ_BYTES_AT_FIRST: usize = 16 * 1024;
/// After so many bytes, a connection reads as much at once as its parser has room for.
const PROVEN_BYTES: u64 = 4 << 20;

impl<T> Meter<T> {
    /// Counts from zero. Reads as much at a time as a client may be handed within `budget`.
    pub fn new(io: T, budget: Option<Budget>) -> (Self, Rc<Counts>) {
        let counts = Rc::new(Counts::default());
        (Self { io, counts: counts.clone(), write_failed: false, budget }, counts)
    }

    fn read_bytes_max(&self) -> usize {
        let short = self.budget.as_ref().map_or(usize::MAX, Budget::piece_bytes);
        let at_first = self.counts.read.get() < PROVEN_BYTES;
        let most = if at_first { short.min(READ_BYTES_AT_FIRST) } else { short };
        most.max(READ_BYTES_MIN)
    }

    /// Counts what was written, and keeps a failure back. No waker is needed: the reader's own
    /// wakes the task when the peer's last words or its end arrive.
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => {
                self.counts.written.set(self.counts.written.get() + *bytes as u64);
                written
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "an origin does not take more; reading what it said");
                self.write_failed = true;
                Poll::Pending
            }
            Poll::Pending => written,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Meter<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let most = self.read_bytes_max();
        let polled = if buf.remaining() <= most {
            Pin::new(&mut self.io).poll_read(cx, buf)
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            let polled = Pin::new(&mut self.io).poll_read(cx, &mut part);
            let bytes = part.filled().len();
            buf.advance(bytes);
            polled
        };
        let bytes = (buf.filled().len() - before) as u64;
        self.counts.read.set(self.counts.read.get() + bytes);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Meter<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_failed {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.write_failed {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_failed {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "an origin does not take more; reading what it said");
                self.write_failed = true;
                Poll::Ready(Ok(()))
            }
            polled => polled,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_failed {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
