//! A handler's response as hyper takes it.
//!
//! The adapter owns framing: a declared length is either kept exactly or the response is cut, and
//! what may have no body gets none. A body that fails is first let out as far as it came, then the
//! connection breaks, so that the client sees a beginning and no end.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode, response};
use http_body::{Body, Frame, SizeHint};

use super::link::{Cut, Link};
use crate::accept::OutgoingBody;
use crate::error::{Cause, Error};

/// The body that hyper pulls; the handler's own body stays in the [`Link`].
pub(super) struct ReplyBody<B: OutgoingBody> {
    link: Rc<Link<B>>,
    source: Source,
    /// Declared content bytes that were not taken yet; `None` when nothing was declared.
    remaining: Option<u64>,
    failure: Option<Error>,
}

#[derive(Debug)]
enum Source {
    /// No content, or all of it was taken.
    Done,
    /// All of it, in hand.
    Whole(Bytes),
    /// As the handler's body yields it.
    Stream,
    /// Ends visibly incomplete.
    Failed,
}

/// A handler's response with its framing decided.
pub(super) struct Framed<B> {
    pub(super) head: response::Parts,
    body: B,
    source: Source,
    /// Declared content bytes; `None` when nothing was declared or nothing is sent.
    remaining: Option<u64>,
}

impl<B> Framed<B> {
    /// Length of the content if all of it is in hand.
    pub(super) fn whole(&self) -> Option<usize> {
        match &self.source {
            Source::Done => Some(0),
            Source::Whole(bytes) => Some(bytes.len()),
            Source::Stream | Source::Failed => None,
        }
    }

    /// The body, and the content if all of it is in hand (else nothing).
    pub(super) fn into_whole(self) -> (B, Bytes) {
        match self.source {
            Source::Whole(bytes) => (self.body, bytes),
            _ => (self.body, Bytes::new()),
        }
    }
}

/// Decides the framing of a response.
pub(super) fn frame<B: OutgoingBody>(response: Response<B>, is_head: bool) -> Framed<B> {
    let (mut head, mut body) = response.into_parts();
    let misplaced = head.status.is_informational();
    if misplaced {
        // Interim responses have their own way, and tunnels theirs; hyper would panic or lie.
        tracing::error!(status = head.status.as_u16(), "a final response cannot be interim");
        head.status = StatusCode::INTERNAL_SERVER_ERROR;
        head.headers.clear();
    }
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let declared = own_framing(&mut head.headers, bodiless);
    let hinted = body.size_hint().exact();
    let (source, remaining) = if misplaced {
        (Source::Done, Some(0))
    } else if is_head {
        if let (None, Some(bytes @ 1..)) = (declared, hinted)
            && !bodiless
        {
            head.headers.insert(header::CONTENT_LENGTH, bytes.into());
        }
        (Source::Done, None)
    } else if bodiless {
        (Source::Done, None)
    } else if let Some(whole) = body.take_whole() {
        let length = whole.len() as u64;
        if declared.is_some_and(|bytes| bytes != length) {
            // The bytes in hand are a fact, the field was a claim.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        (if length == 0 { Source::Done } else { Source::Whole(whole) }, Some(length))
    } else if body.is_end_stream() && declared.unwrap_or(0) == 0 {
        (Source::Done, Some(0))
    } else {
        (Source::Stream, declared.or(hinted))
    };
    Framed { head, body, source, remaining }
}

/// Takes over a response for hyper. `chunks`: the client understands chunks.
pub(super) fn adapt<B: OutgoingBody>(
    framed: Framed<B>,
    link: &Rc<Link<B>>,
    chunks: bool,
) -> Response<ReplyBody<B>> {
    let Framed { mut head, body, source, remaining } = framed;
    if link.must_close() {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    link.open_ended.set(!chunks && remaining.is_none());
    link.answer(body);
    let body = ReplyBody { link: Rc::clone(link), source, remaining, failure: None };
    Response::from_parts(head, body)
}

/// Makes the framing fields ours; the declared length if it is believable.
fn own_framing(headers: &mut HeaderMap, bodiless: bool) -> Option<u64> {
    // One walk finds what there is; asking for each field by name would hash three times.
    let (mut lengths, mut declared, mut connection, mut coding) = (0, None, false, false);
    for (name, value) in &*headers {
        match *name {
            header::CONTENT_LENGTH => {
                lengths += 1;
                declared = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
            }
            header::CONNECTION => connection |= !value.as_bytes().eq_ignore_ascii_case(b"close"),
            header::TRANSFER_ENCODING => coding = true,
            _ => {}
        }
    }
    if coding {
        headers.remove(header::TRANSFER_ENCODING);
    }
    if connection {
        headers.remove(header::CONNECTION);
    }
    if lengths != 1 || bodiless {
        declared = None;
    }
    if lengths > 0 && declared.is_none() {
        headers.remove(header::CONTENT_LENGTH);
    }
    declared
}

impl<B: OutgoingBody> ReplyBody<B> {
    /// Waits until what was taken has left, then breaks the connection.
    fn poll_fail(&mut self) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.link.cut.get() {
            Cut::Flushed => {
                let failure = self.failure.take().unwrap_or_else(|| Cause::Internal.into());
                Poll::Ready(Some(Err(failure)))
            }
            // The transport wakes the task once the flush is through.
            Cut::No | Cut::Wanted => Poll::Pending,
        }
    }

    fn fail(
        &mut self,
        failure: Error,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.source = Source::Failed;
        self.failure = Some(failure);
        self.link.cut.set(Cut::Wanted);
        // hyper may have flushed just now; it must come round once more.
        cx.waker().wake_by_ref();
        self.poll_fail()
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let ahead = &self.link.ahead_bytes;
        let polled = match &mut self.link.replies.borrow_mut().current {
            // hyper would gather several pieces for a client that takes none.
            Some(body) if ahead.get() > 0 && ahead.get() >= body.ahead_bytes_max() => {
                self.link.awaits_flush.set(true);
                return Poll::Pending;
            }
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Err(failure))) => self.fail(failure, cx),
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(left)) = (frame.data_ref(), self.remaining) {
                    match left.checked_sub(data.len() as u64) {
                        Some(left) => self.remaining = Some(left),
                        // More than was declared would be read as the next response.
                        None => return self.fail(Cause::Internal.into(), cx),
                    }
                }
                ahead.set(ahead.get() + frame.data_ref().map_or(0, Bytes::len));
                if frame.is_trailers() {
                    self.source = Source::Done;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) if self.remaining.is_some_and(|left| left > 0) => {
                self.fail(Cause::Internal.into(), cx)
            }
            Poll::Ready(None) => {
                self.source = Source::Done;
                Poll::Ready(None)
            }
        }
    }
}

impl<B: OutgoingBody> Body for ReplyBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.source, Source::Done) {
            Source::Done => Poll::Ready(None),
            Source::Whole(bytes) => {
                this.remaining = Some(0);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Source::Stream => {
                this.source = Source::Stream;
                this.poll_stream(cx)
            }
            Source::Failed => {
                this.source = Source::Failed;
                this.poll_fail()
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.source {
            Source::Done => true,
            Source::Whole(_) | Source::Failed => false,
            // A short body must reach `poll_frame`, which notices.
            Source::Stream => {
                self.remaining.unwrap_or(0) == 0
                    && self.link.replies.borrow().current.as_ref().is_none_or(B::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl<B: OutgoingBody> Drop for ReplyBody<B> {
    fn drop(&mut self) {
        // hyper drops a sized body without asking for its end.
        let complete = match self.source {
            Source::Done => true,
            Source::Whole(_) | Source::Failed => false,
            Source::Stream => self.remaining == Some(0) || self.is_end_stream(),
        };
        if complete {
            self.link.end();
        }
    }
}
