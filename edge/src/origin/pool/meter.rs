//! How many bytes went over a connection, each way.
//!
//! Whether a request may be sent again hangs on two facts that hyper does not tell: was a byte of
//! it written, and was a byte of an answer read. This wrapper counts under the parser.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
}

impl<T> Meter<T> {
    /// Counts from zero.
    pub fn new(io: T) -> (Self, Rc<Counts>) {
        let counts = Rc::new(Counts::default());
        (Self { io, counts: counts.clone() }, counts)
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.counts.written.set(self.counts.written.get() + *bytes as u64);
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
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
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
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
