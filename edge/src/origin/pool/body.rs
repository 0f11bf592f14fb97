//! The content of a response as it comes from the origin.
//!
//! It ends in exactly one of three ways. *Whole*: every promised byte was handed on; the connection
//! goes back to its core's idle set. *Broken*: too short, stalled, garbled; the reader gets an
//! error and the connection is closed, so nobody can take a part for the whole. *Dropped*: nobody
//! wants it; the connection is closed, because reading on would cost more than a new one.
//!
//! The reader sets the pace. Only time in which the reader waits for the origin counts against the
//! origin.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::rc::Rc;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Attempt;
use super::head::clean_trailers;
use super::http1::{Connection, content_error};
use super::takers::Lent;
use super::upload::Progress;
use crate::error::{Cause, Error};
use crate::origin::config::wait;
use crate::origin::observe::OriginOutcome;
use crate::origin::send::Connections;

/// A piece shorter than this, in bytes, is copied: it is a slice of the buffer that it was read
/// into (up to `read_bytes_max`), and while somebody slow keeps it, it keeps the whole buffer.
const COPY_BYTES_MAX: usize = 32 * 1024;

/// Content that is still arriving. Stays on its core.
#[derive(Debug)]
pub struct OriginBody {
    incoming: Incoming,
    /// Bytes still to come, when a length was promised.
    missing: Option<u64>,
    /// What is settled at the end; `None` after it.
    lease: Option<Lease>,
    wait: Wait,
}

/// What a response holds until it ends.
#[derive(Debug)]
pub struct Lease {
    /// What it arrives on.
    pub connection: Connection,
    /// To be told how it ended.
    pub attempt: Attempt,
    /// The place that it takes at the origin.
    pub lent: Lent,
    /// Where the connection goes afterwards.
    pub home: Connections,
    /// Of the request's content, which may still be under way.
    pub upload: Rc<Progress>,
    /// What a whole response counts as.
    pub outcome: OriginOutcome,
}

impl OriginBody {
    /// Content of a response whose head has just arrived; it must end before `whole_by`.
    pub fn new(incoming: Incoming, lease: Lease, whole_by: Instant) -> Self {
        let between = wait(lease.attempt.pool().config().deadlines.body_ms);
        let missing = incoming.size_hint().exact();
        let wait = Wait { between, whole_by, since: None, timer: None };
        let mut body = Self { incoming, missing, lease: Some(lease), wait };
        if body.incoming.is_end_stream() {
            body.whole();
        }
        body
    }

    /// Everything has arrived: the connection serves the next request, if it can.
    fn whole(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let Lease { connection, attempt, home, upload, outcome, .. } = lease;
        home.give_back(attempt.pool(), attempt.index(), connection, upload.done());
        attempt.end(outcome);
    }

    /// It will not be whole: the connection closes with the lease.
    fn broken(&mut self, error: Error) -> Error {
        if let Some(lease) = self.lease.take() {
            lease.attempt.end(OriginOutcome::of_failure(error.cause));
        }
        error
    }

    /// The place went to a request that waited; what the connection says is not the origin's doing.
    fn revoked(&mut self) -> Option<Error> {
        self.lease.as_ref()?.lent.is_revoked().then(|| {
            let slow = Error::with(Cause::ClientSlow, "others waited for the origin meanwhile");
            self.broken(slow)
        })
    }

    fn accept(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        if let (Some(data), Some(missing)) = (frame.data_ref(), &mut self.missing) {
            *missing = missing.checked_sub(data.len() as u64).ok_or_else(|| {
                Error::with(Cause::OriginMalformed, "more content than was promised")
            })?;
        }
        Ok(match frame.into_trailers() {
            Ok(mut trailers) => {
                clean_trailers(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame.map_data(|data| {
                if data.len() < COPY_BYTES_MAX { Bytes::copy_from_slice(&data) } else { data }
            }),
        })
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some(lease) = &this.lease else { return Poll::Ready(None) };
        lease.lent.asks();
        let polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if let Some(revoked) = this.revoked() {
            return Poll::Ready(Some(Err(revoked)));
        }
        let ended = match polled {
            Poll::Pending => match this.wait.poll_over(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(late) => Err(late),
            },
            Poll::Ready(Some(Ok(frame))) => {
                this.wait.over();
                match this.accept(frame) {
                    Ok(frame) => {
                        // Not every reader asks again after the last byte of a known length.
                        if this.incoming.is_end_stream() {
                            this.whole();
                        } else if let Some(Lease { attempt, lent, .. }) = &this.lease {
                            lent.got(attempt.pool().now());
                        }
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Err(error) => Err(error),
                }
            }
            Poll::Ready(Some(Err(error))) => Err(content_error(error)),
            Poll::Ready(None) if this.missing.is_some_and(|missing| missing > 0) => {
                Err(Error::with(Cause::OriginBroke, "less content than was promised"))
            }
            Poll::Ready(None) => Ok(()),
        };
        match ended {
            Ok(()) => {
                this.whole();
                Poll::Ready(None)
            }
            Err(error) => Poll::Ready(Some(Err(this.broken(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.lease.is_none() { SizeHint::with_exact(0) } else { self.incoming.size_hint() }
    }
}

// === waiting ===

/// How long the reader has been waiting for the origin. The timer is made when it first waits and
/// is moved only when it fires, so that a piece that is there costs nothing.
#[derive(Debug)]
struct Wait {
    between: Duration,
    whole_by: Instant,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    fn over(&mut self) {
        self.since = None;
    }

    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let due = (since + self.between).min(self.whole_by);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                if due == self.whole_by {
                    return Poll::Ready(Cause::OriginWholeTimeout.into());
                }
                let late = format!("nothing for {} ms", self.between.as_millis());
                return Poll::Ready(Error::with(Cause::OriginBodyTimeout, late));
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}
