//! One stream: a request to the handler, its response to the peer.
//!
//! Written as a future that the connection's own task polls, first of all in place: a response
//! that is ready at once is queued in the turn that read its request. Whatever is queued sets
//! [`Shared::progress`], so that the driver lets `h2` frame it before it writes.
//!
//! Content is handed to `h2` only when the peer's windows take it, so what `h2` holds per
//! stream is bounded whatever the size of the object. Endings: whole → END_STREAM; cut by its
//! source, or not as long as announced → `RST_STREAM(INTERNAL_ERROR)`, never END_STREAM; the
//! peer reset the stream or its window stays closed → the handler or the body is dropped.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header, response};
use http_body::{Body, Frame};
use parking_lot::Mutex;
use tokio::time::Sleep;

use super::Http2Config;
use super::request::{InterimWriter, RequestStream, SharedRespond, patience};
use crate::accept::RequestBody;
use crate::accept::{Answer, Connection, Delivery, Handler, Interim, OutgoingBody, Received};
use crate::error::Error;
use crate::journal::{COUNTERS, Counters};

/// What the exchanges of a connection share with its driver.
pub(super) struct Shared<H> {
    pub handler: H,
    pub connection: Arc<Connection>,
    pub config: Http2Config,
    /// Something was queued for `h2` since the driver last looked.
    pub progress: Rc<Cell<bool>>,
}

/// Answers one request.
pub(super) async fn run<H: Handler>(
    shared: Rc<Shared<H>>,
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (head, recv) = request.into_parts();
    let is_head = head.method == Method::HEAD;
    let respond: SharedRespond = Arc::new(Mutex::new(Some(respond)));
    let body = if recv.is_end_stream() {
        RequestBody::Empty
    } else {
        let body_ms = shared.config.deadlines.body_ms;
        RequestBody::Http2(RequestStream::new(recv, &head.headers, body_ms, &respond))
    };
    let received = Received {
        head,
        body,
        connection: Arc::clone(&shared.connection),
        interim: Interim::Http2(InterimWriter::new(Arc::clone(&respond))),
    };
    let Some(response) = answer(&shared, received, &respond).await else { return };
    let sender = respond.lock().take();
    let Some(mut sender) = sender else { return };
    deliver(&shared, &mut sender, response, is_head).await;
}

/// The handler's response, or `None` when the peer reset the stream before.
async fn answer<H: Handler>(
    shared: &Shared<H>,
    received: Received,
    respond: &SharedRespond,
) -> Option<Response<H::Body>> {
    let mut waiting = match shared.handler.call(received) {
        Answer::Now(response) => {
            shared.progress.set(true);
            return Some(response);
        }
        Answer::Later(waiting) => waiting,
    };
    poll_fn(|cx| {
        let polled = waiting.as_mut().poll(cx).map(Some);
        shared.progress.set(true); // it may have sent interim responses or opened windows
        if polled.is_ready() {
            return polled;
        }
        let is_reset = respond.lock().as_mut().is_some_and(|it| it.poll_reset(cx).is_ready());
        if is_reset { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Sends the response and reports, exactly once, how that ended.
async fn deliver<H: Handler>(
    shared: &Shared<H>,
    sender: &mut SendResponse<Bytes>,
    response: Response<H::Body>,
    is_head: bool,
) {
    let (mut head, body) = response.into_parts();
    let mut body = Reported(Some(body));
    remove_connection_fields(&mut head.headers);
    let delivery = if head.status.is_informational() {
        sender.send_reset(Reason::INTERNAL_ERROR); // 101 does not exist here (RFC 9113 §8.6)
        Delivery::Cut
    } else if is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        match sender.send_response(Response::from_parts(head, ()), true) {
            Ok(_) => Delivery::Complete,
            Err(_) => Delivery::ClientGone,
        }
    } else {
        match send(shared, sender, head, body.get()).await {
            Ok(()) => Delivery::Complete,
            Err((reason, delivery)) => {
                if let Some(reason) = reason {
                    sender.send_reset(reason);
                }
                delivery
            }
        }
    };
    shared.progress.set(true);
    body.report(delivery);
}

/// Why sending ended early: what the peer is told, if it still listens, and what we report.
type Ending = (Option<Reason>, Delivery);

const GONE: Ending = (None, Delivery::ClientGone);
const STALLED: Ending = (Some(Reason::CANCEL), Delivery::ClientGone);
const CUT: Ending = (Some(Reason::INTERNAL_ERROR), Delivery::Cut);

async fn send<H: Handler>(
    shared: &Shared<H>,
    sender: &mut SendResponse<Bytes>,
    head: response::Parts,
    body: &mut H::Body,
) -> Result<(), Ending> {
    let announced = content_length(&head.headers);
    let whole = if body.is_end_stream() { Some(Bytes::new()) } else { body.take_whole() };
    let differs = |bytes: u64| announced.is_some_and(|announced| announced != bytes);
    if whole.as_ref().is_some_and(|whole| differs(whole.len() as u64)) {
        return Err(CUT);
    }
    let is_empty = whole.as_ref().is_some_and(Bytes::is_empty);
    let stream =
        sender.send_response(Response::from_parts(head, ()), is_empty).map_err(|_| GONE)?;
    if is_empty {
        return Ok(());
    }
    let write_ms = shared.config.deadlines.write_ms;
    let mut outflow = Outflow { stream, write_ms, deadline: None, progress: &shared.progress };
    if let Some(whole) = whole {
        return outflow.write(whole, true).await;
    }

    let mut bytes_sent = 0;
    loop {
        // Content is taken only for a peer that lets some of it leave: whoever keeps its windows
        // closed holds no piece. (The end of content of unknown length needs no window.)
        if body.size_hint().exact().is_some_and(|left| left > 0) {
            outflow.capacity(1).await?;
        }
        let Some(frame) = outflow.next_frame(body).await? else { break };
        // A body of very many very small pieces must neither fill `h2` with frames nor keep
        // the core from others.
        tokio::task::consume_budget().await;
        let frame = match frame.map_err(|_| CUT)?.into_data() {
            Err(frame) => frame,
            Ok(data) => {
                bytes_sent += data.len() as u64;
                if announced.is_some_and(|announced| bytes_sent > announced) {
                    return Err(CUT);
                }
                let ends = body.is_end_stream() && !differs(bytes_sent);
                outflow.write(data, ends).await?;
                if ends {
                    return Ok(());
                }
                continue;
            }
        };
        let Ok(trailers) = frame.into_trailers() else { continue };
        if differs(bytes_sent) {
            return Err(CUT);
        }
        return outflow.trailers(trailers);
    }
    if differs(bytes_sent) {
        return Err(CUT);
    }
    outflow.end()
}

/// The content's way out.
struct Outflow<'a> {
    stream: SendStream<Bytes>,
    write_ms: u64,
    deadline: Option<Pin<Box<Sleep>>>,
    progress: &'a Cell<bool>,
}

impl Outflow<'_> {
    /// Hands over all of `data`, as the peer's windows allow.
    async fn write(&mut self, mut data: Bytes, ends: bool) -> Result<(), Ending> {
        if data.is_empty() {
            return if ends { self.end() } else { Ok(()) };
        }
        while !data.is_empty() {
            let room = self.capacity(data.len()).await?;
            let piece = data.split_to(room.min(data.len()));
            self.stream.send_data(piece, ends && data.is_empty()).map_err(|_| GONE)?;
            self.progress.set(true);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Ending> {
        self.stream.send_data(Bytes::new(), true).map_err(|_| GONE)
    }

    fn trailers(&mut self, mut trailers: HeaderMap) -> Result<(), Ending> {
        remove_connection_fields(&mut trailers);
        self.stream.send_trailers(trailers).map_err(|_| GONE)
    }

    /// How much may be handed over now; waits while the windows are closed, but no longer than
    /// the write deadline. Capacity is reserved only for bytes in hand: what one stream holds
    /// of the connection's window without using it would starve the others.
    async fn capacity(&mut self, wanted: usize) -> Result<usize, Ending> {
        self.stream.reserve_capacity(wanted);
        let room = poll_fn(|cx| {
            loop {
                match self.stream.capacity() {
                    0 => {}
                    room => return Poll::Ready(Ok(room)),
                }
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(Err(GONE)),
                    Poll::Pending => break,
                }
            }
            let write_ms = self.write_ms;
            ready!(self.deadline.get_or_insert_with(|| patience(write_ms)).as_mut().poll(cx));
            Counters::bump(&COUNTERS.client_deadlines);
            Poll::Ready(Err(STALLED))
        })
        .await;
        self.deadline = None;
        room
    }

    /// The body's next frame; stops waiting for it when the peer resets the stream.
    async fn next_frame<B: OutgoingBody>(
        &mut self,
        body: &mut B,
    ) -> Result<Option<Result<Frame<Bytes>, Error>>, Ending> {
        poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(Ok(frame));
            }
            ready!(self.stream.poll_reset(cx)).ok();
            Poll::Ready(Err(GONE))
        })
        .await
    }
}

/// Makes sure that a body hears of its end, also when the connection drops the exchange.
struct Reported<B: OutgoingBody>(Option<B>);

impl<B: OutgoingBody> Reported<B> {
    fn get(&mut self) -> &mut B {
        self.0.as_mut().expect("taken only by `report`, which consumes it")
    }

    fn report(mut self, delivery: Delivery) {
        if let Some(mut body) = self.0.take() {
            body.delivered(delivery);
        }
    }
}

impl<B: OutgoingBody> Drop for Reported<B> {
    fn drop(&mut self) {
        if let Some(mut body) = self.0.take() {
            body.delivered(Delivery::ClientGone);
        }
    }
}

/// Fields that have no place in H2 (RFC 9113 §8.2.2); `h2` refuses the whole head for one.
pub(super) fn remove_connection_fields(fields: &mut HeaderMap) {
    fields.remove(header::CONNECTION);
    fields.remove(header::TRANSFER_ENCODING);
    fields.remove(header::UPGRADE);
    fields.remove("keep-alive");
    fields.remove("proxy-connection");
    fields.remove(header::TE);
}

/// The announced length, if it is one.
pub(super) fn content_length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
