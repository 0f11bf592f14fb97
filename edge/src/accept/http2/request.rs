//! The request's side of a stream: its content, and the way to answer before the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Sleep;

use crate::error::{Cause, Error};
use crate::journal::{COUNTERS, Counters};

/// The sending half of a stream, shared by the exchange (which takes it out for the final
/// response) and the [`InterimWriter`]s. It is locked for moments and never across an await.
pub(super) type SharedRespond = Arc<Mutex<Option<SendResponse<Bytes>>>>;

/// Sends interim responses on a stream. Once the final response has begun, nothing is sent.
#[derive(Debug)]
pub struct InterimWriter {
    respond: SharedRespond,
}

impl InterimWriter {
    pub(super) const fn new(respond: SharedRespond) -> Self {
        Self { respond }
    }

    pub(in crate::accept) fn send(&mut self, status: StatusCode, headers: HeaderMap) {
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        super::exchange::remove_connection_fields(response.headers_mut());
        let sent = self
            .respond
            .lock()
            .as_mut()
            .is_some_and(|respond| respond.send_informational(response).is_ok());
        if sent {
            Counters::bump(&COUNTERS.interim_sent);
        }
    }
}

/// The content of a request on an H2 stream.
///
/// The peer may send as much as the stream's window; the window opens again as the handler
/// reads. Dropping it unread gives the connection's window back and, when the response is
/// complete, tells the client to stop with `RST_STREAM(NO_ERROR)` (RFC 9113 §8.1).
#[derive(Debug)]
pub struct RequestStream {
    recv: h2::RecvStream,
    part: Part,
    /// What the head's `Content-Length` leaves to come; `h2` enforces it.
    bytes_left: Option<u64>,
    body_ms: u64,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Set while the client waits for a 100 (RFC 9110 §10.1.1).
    go_ahead: Option<InterimWriter>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Data,
    Trailers,
    Over,
}

impl RequestStream {
    /// `body_ms`: longest wait between two pieces.
    pub(super) fn new(
        recv: h2::RecvStream,
        fields: &HeaderMap,
        body_ms: u64,
        respond: &SharedRespond,
    ) -> Self {
        let waits = fields
            .get(header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self {
            recv,
            part: Part::Data,
            bytes_left: super::exchange::content_length(fields),
            body_ms,
            deadline: None,
            go_ahead: waits.then(|| InterimWriter::new(Arc::clone(respond))),
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.part == Part::Data {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Cannot fail: exactly what was received is given back. Were it otherwise,
                    // the stream is gone and the next poll says so.
                    let _ = self.recv.flow_control().release_capacity(data.len());
                    self.bytes_left =
                        self.bytes_left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.fail(error)))),
                None => self.part = Part::Trailers,
            }
        }
        if self.part == Part::Trailers {
            let trailers = ready!(self.recv.poll_trailers(cx));
            self.part = Part::Over;
            return Poll::Ready(match trailers {
                Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
                Ok(None) => None,
                Err(error) => Some(Err(self.fail(error))),
            });
        }
        Poll::Ready(None)
    }

    fn fail(&mut self, error: h2::Error) -> Error {
        self.part = Part::Over;
        // A reset that h2 made itself: lengths contradict, or fields are malformed.
        let cause = if error.is_reset() && error.is_library() {
            Cause::Malformed
        } else {
            Cause::ClientGone
        };
        Error::with(cause, error)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let body_ms = self.body_ms;
        self.deadline.get_or_insert_with(|| patience(body_ms)).as_mut().poll(cx)
    }
}

impl Body for RequestStream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match this.poll_part(cx) {
            Poll::Ready(frame) => {
                this.deadline = None;
                Poll::Ready(frame)
            }
            Poll::Pending => {
                if let Some(mut writer) = this.go_ahead.take() {
                    writer.send(StatusCode::CONTINUE, HeaderMap::new());
                }
                ready!(this.poll_deadline(cx));
                this.part = Part::Over;
                Counters::bump(&COUNTERS.client_deadlines);
                Poll::Ready(Some(Err(Error::new(Cause::BodyTimeout))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.part == Part::Over || self.recv.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.bytes_left {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

/// A deadline for one wait, armed when the wait begins.
pub(super) fn patience(ms: u64) -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(Duration::from_millis(ms)))
}
