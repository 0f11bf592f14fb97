//! Responses of the front path on their way out.
//!
//! Nearly always the socket takes head and content at once, from a buffer that the thread keeps
//! for the purpose. What it does not take is copied into the connection and leaves later, under
//! the write deadline like everything else; until then no further request is looked at.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Gated;
use crate::accept::http1::front::Ready;
use crate::accept::{Handler, Screen};

/// A thread's buffer that grew beyond this is given back after use, in bytes.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Where heads are written; one per thread, because one response at a time is made.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The rest of a response that the socket has not taken.
pub(super) struct Parting {
    head: Bytes,
    content: Bytes,
}

impl<IO, S, H> Gated<IO, S, H>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Screen,
    H: Handler,
{
    /// Lets the front path have the request that was just released, all of which is in the buffer.
    /// `None`: it is hyper's. Else ready when the response has left.
    pub(super) fn answer_before_hyper(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<Poll<io::Result<()>>> {
        let mut scratch = SCRATCH.take();
        scratch.clear();
        let answered = self.front.answer(&self.buffer[..self.released], &mut scratch);
        let polled = answered.map(|ready| self.poll_leave(cx, &scratch, ready));
        if scratch.capacity() <= SCRATCH_BYTES_MAX {
            SCRATCH.set(scratch);
        }
        polled
    }

    fn poll_leave(
        &mut self,
        cx: &mut Context<'_>,
        mut head: &[u8],
        ready: Ready<H::Body>,
    ) -> Poll<io::Result<()>> {
        self.buffer.advance(self.released);
        self.released = 0;
        self.link.request_open.set(false);
        self.link.head_is_known();
        self.leaving = self.link.answered.get();
        let Ready { mut content, body } = ready;
        match self.poll_out(cx, &mut head, &mut content) {
            Poll::Ready(Ok(())) => {
                self.link.passed(body);
                Poll::Ready(Ok(()))
            }
            unfinished => {
                self.link.keep(body);
                self.parting = Some(Parting { head: Bytes::copy_from_slice(head), content });
                unfinished
            }
        }
    }

    /// Ready when no response of the front path is on its way.
    pub(super) fn poll_parting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(Parting { head, mut content }) = self.parting.take() else {
            return Poll::Ready(Ok(()));
        };
        let mut rest: &[u8] = &head;
        let polled = self.poll_out(cx, &mut rest, &mut content);
        if !matches!(polled, Poll::Ready(Ok(()))) {
            // Also after a failure: what did not leave must not count as flushed.
            self.parting = Some(Parting { head: head.slice_ref(rest), content });
        }
        ready!(polled)?;
        self.flushed(cx);
        Poll::Ready(Ok(()))
    }

    /// Writes and flushes; takes from `head` and `content` what has left.
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut &[u8],
        content: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        if self.failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while !head.is_empty() || !content.is_empty() {
            let io = Pin::new(&mut self.io);
            let written = if content.is_empty() {
                io.poll_write(cx, head)
            } else {
                io.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(content)])
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.write_failed())),
                Poll::Ready(Ok(bytes)) => {
                    let of_head = bytes.min(head.len());
                    *head = &head[of_head..];
                    content.advance(bytes - of_head);
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
        self.poll_flush_io(cx)
    }
}
