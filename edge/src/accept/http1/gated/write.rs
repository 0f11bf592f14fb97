//! The writing side: hyper's bytes and ours, in order.
//!
//! Interim responses go out where hyper has nothing half written. A flush that reaches the
//! transport means that hyper's buffer is empty, so it is also the moment at which responses count
//! as delivered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use hyper::rt::Write;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Gated;
use crate::accept::http1::link::Cut;
use crate::accept::{Handler, Screen};
use crate::journal::{COUNTERS, Counters};

impl<IO, S, H> Gated<IO, S, H>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Screen,
    H: Handler,
{
    /// Writes waiting interim responses, if this is a place between messages.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(request) = self.link.mailbox.filled()
            && self.interim.is_empty()
        {
            let delivered = self.link.delivered.get();
            if self.leaving >= request || delivered >= request {
                drop(self.link.mailbox.take()); // too late
            } else if delivered + 1 == request {
                let (bytes, messages) = self.link.mailbox.take();
                self.interim = BytesMut::from(bytes.as_slice());
                COUNTERS.interim_sent.fetch_add(messages, std::sync::atomic::Ordering::Relaxed);
            }
        }
        while !self.interim.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.interim) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.write_failed())),
                Poll::Ready(Ok(bytes)) => {
                    self.interim.advance(bytes);
                    self.unflushed = true;
                    self.waits.write_progressed();
                }
                Poll::Ready(Err(error)) => {
                    self.failed = true;
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => return self.poll_write_wait(cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One write of hyper's, done by `write`.
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut IO>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if !self.mid_write {
            ready!(self.poll_interim(cx))?;
        }
        match write(Pin::new(&mut self.io), cx) {
            Poll::Ready(Ok(bytes)) => {
                self.mid_write = true;
                self.unflushed = true;
                self.leaving = self.link.answered.get();
                self.waits.write_progressed();
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => {
                self.failed = true;
                Poll::Ready(Err(error))
            }
            Poll::Pending => self.poll_write_wait(cx).map_ok(|()| 0),
        }
    }

    /// Flushes the transport, if it holds anything.
    pub(super) fn poll_flush_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => {
                    self.failed = true;
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => return self.poll_write_wait(cx),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The socket takes nothing at the moment. Never ready with success.
    pub(super) fn poll_write_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.waits.poll_write(cx, self.config.deadlines.write_ms));
        Counters::bump(&COUNTERS.client_deadlines);
        self.failed = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    pub(super) fn write_failed(&mut self) -> io::Error {
        self.failed = true;
        io::ErrorKind::WriteZero.into()
    }

    /// hyper's buffer is empty, and so is ours.
    pub(super) fn flushed(&mut self, cx: &mut Context<'_>) {
        self.link.ahead_bytes.set(0);
        if self.link.awaits_flush.take() {
            cx.waker().wake_by_ref();
        }
        self.link.flushed();
        if self.link.cut.get() == Cut::Wanted {
            self.link.cut.set(Cut::Flushed);
            cx.waker().wake_by_ref();
        }
    }
}

impl<IO, S, H> Write for Gated<IO, S, H>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Screen + Unpin,
    H: Handler,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_with(cx, |io, cx| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_parting(cx))?;
        let wrote = std::mem::take(&mut this.mid_write);
        ready!(this.poll_interim(cx))?;
        ready!(this.poll_flush_io(cx))?;
        this.flushed(cx);
        if !wrote && this.link.in_service() && this.link.breach.get().is_none() {
            return this.poll_look_ahead(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// The driver shuts the transport down, after it has looked at how the connection ended.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
