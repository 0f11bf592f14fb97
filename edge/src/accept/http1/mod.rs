//! HTTP/1.x: hyper behind the gate.
//!
//! hyper parses, frames and pipelines well, but forgives too much, cannot send interim responses
//! and keeps its deadlines to itself. So it runs between two parts of ours: under it a transport
//! that lets only strict messages in and owns all waits, above it a service that calls the
//! handler. The driver here polls hyper, and takes the transport back however hyper ends, because
//! how a connection closes is part of the answer.
//!
//! One request at a time: the next is released only when the present answer has left. hyper's own
//! timers, upgrades and graceful shutdown are not used.
//!
//! A plain request that memory can answer is answered before hyper sees it: `front`.
//!
//! In reading order: `gated` (the transport), `front`, `link` (what both sides know), `reply` (the
//! response), `interim`, `waits`, `refusal` and `closing`.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::request::Parts;
use http::{Method, Request, Version};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::{Answer, ClientDeadlines, Connection, Handler, HeadLimits, Interim, OutgoingBody};
use super::{Received, RequestBody, Screen};
use crate::error::{Cause, Error};

mod closing;
mod front;
mod gated;
mod interim;
mod link;
mod refusal;
mod reply;
mod waits;

pub use interim::InterimWriter;

use front::Front;
use gated::{Breach, Gated};
use link::{Begun, Cut, Link};

/// Response bytes beyond which hyper takes no further piece for one connection, unless heads are
/// longer. With one piece more (a chunk) this is what a client that does not read can pin.
const BUFFER_BYTES: usize = 64 * 1024;
/// Fields that hyper parses without being told a number.
const HYPER_FIELDS: usize = 100;

/// `true` once the node is draining: answer what was asked, take no more.
pub type DrainSignal = watch::Receiver<bool>;

/// Settings of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http1Config {
    /// Sizes and counts of a head.
    pub limits: HeadLimits,
    /// Deadlines on the client's side.
    pub deadlines: ClientDeadlines,
    /// How long a client that closed its side, before any of the answer was sent, is believed to
    /// wait for it, in milliseconds. Then it counts as gone and the handler is dropped.
    pub half_closed_ms: u64,
}

impl Default for Http1Config {
    fn default() -> Self {
        Self {
            limits: HeadLimits::default(),
            deadlines: ClientDeadlines::default(),
            half_closed_ms: 1_000,
        }
    }
}

/// How a connection ended.
#[derive(Debug)]
pub enum Ending<IO> {
    /// Closed, by either side.
    Closed,
    /// A response was cut. The transport is given back open.
    Cut {
        /// The transport.
        io: IO,
        /// The content ends where the connection ends (HTTP/1.0 without a length): an orderly
        /// close would look complete, so the connection must be reset.
        open_ended: bool,
    },
}

/// Serves one connection until it ends.
pub async fn serve<S, H, IO>(
    io: IO,
    connection: Arc<Connection>,
    handler: H,
    config: Http1Config,
    drain: DrainSignal,
) -> Ending<IO>
where
    S: Screen + Unpin,
    H: Handler,
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let link: Rc<Link<H::Body>> = Rc::new(Link::new());
    let front = Front::new(handler.clone(), Arc::clone(&connection), Rc::clone(&link));
    let gated = Gated::<IO, S, H>::new(io, config, front, Rc::clone(&link));
    let service = service_fn(|request: Request<Incoming>| {
        let link = Rc::clone(&link);
        let is_head = request.method() == Method::HEAD;
        let chunks = request.version() == Version::HTTP_11;
        let begun = link.take_begun().unwrap_or_else(|| {
            let (head, body) = request.into_parts();
            let body =
                if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Http1(body) };
            match handler.call(receive(head, body, &connection, &link)) {
                Answer::Now(response) => Begun::Framed(reply::frame(response, is_head)),
                Answer::Later(answer) => Begun::Later(answer),
            }
        });
        async move {
            let framed = match begun {
                Begun::Framed(framed) => framed,
                Begun::Later(answer) => reply::frame(answer.await, is_head),
            };
            Ok::<_, Infallible>(reply::adapt(framed, &link, chunks))
        }
    });
    let mut builder = Builder::new();
    builder
        .half_close(true)
        .header_read_timeout(None)
        .pipeline_flush(false)
        .max_buf_size(BUFFER_BYTES.max(config.limits.head_bytes_max + 8 * 1024));
    if config.limits.fields_max > HYPER_FIELDS {
        builder.max_headers(config.limits.fields_max);
    }
    let mut hyper = builder.serve_connection(gated, service);

    let mut is_draining = drain.clone();
    let mut drained = pin!(is_draining.wait_for(|draining| *draining));
    let mut waker = None;
    let mut deaf = false; // nobody can send the signal any more
    let served = std::future::poll_fn(|cx| {
        if !link.draining.get() && !deaf {
            // Asking the signal takes a lock that all connections share, so it is asked once, and
            // again only when it has changed or we are polled from elsewhere.
            let known = waker.as_ref().is_some_and(|known| cx.waker().will_wake(known));
            if !known || drain.has_changed().unwrap_or(false) {
                waker = Some(cx.waker().clone());
                if let Poll::Ready(signal) = drained.as_mut().poll(cx) {
                    link.draining.set(signal.is_ok());
                    deaf = signal.is_err();
                }
            }
        }
        Pin::new(&mut hyper).poll(cx)
    })
    .await;
    if let Err(error) = &served {
        tracing::debug!(connection = connection.id, %error, "HTTP/1 connection ended early");
    }
    let gated = hyper.into_parts().io; // drops the handler, if it still works
    let refused = |cause, sent| handler.refused(&connection, cause, sent);
    finish(gated, &link, config.deadlines, refused).await
}

/// A request as the handler gets it.
fn receive<B: OutgoingBody>(
    mut head: Parts,
    body: RequestBody,
    connection: &Arc<Connection>,
    link: &Link<B>,
) -> Received {
    if !head.extensions.is_empty() {
        head.extensions.clear(); // hyper's own upgrade handle, which would fail
    }
    let number = link.begin();
    let interim = if head.version == Version::HTTP_11 {
        Interim::Http1(InterimWriter { mailbox: Arc::clone(&link.mailbox), request: number })
    } else {
        Interim::None
    };
    Received { head, body, connection: Arc::clone(connection), interim }
}

/// Closes the transport in the way that its end asks for.
async fn finish<IO, S, H>(
    gated: Gated<IO, S, H>,
    link: &Link<H::Body>,
    deadlines: ClientDeadlines,
    note: impl FnOnce(Cause, Option<u64>),
) -> Ending<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let Gated { mut io, buffer, eof, failed, refused, .. } = gated;
    if link.cut.get() != Cut::No {
        return Ending::Cut { io, open_ended: link.open_ended.get() };
    }
    if failed {
        return Ending::Closed;
    }
    if !link.is_settled() {
        // hyper has given up with bytes of a response in its buffer: it does so when a request
        // that asks for an upgrade is answered early and the client is slow.
        link.cut.set(Cut::Flushed);
        return Ending::Cut { io, open_ended: link.open_ended.get() };
    }
    if let Some(cause) = refused {
        note(cause, closing::refuse(&mut io, cause, deadlines).await);
    } else {
        let unread = link.request_open.get() || link.breach.get().is_some() || !buffer.is_empty();
        closing::close(&mut io, unread && !eof, deadlines).await;
    }
    Ending::Closed
}

/// A body error of hyper with the gate's own cause taken out of its source.
pub(super) fn request_body_error(error: hyper::Error) -> Error {
    let mut cause = Cause::ClientGone;
    let mut source = error.source();
    while let Some(inner) = source {
        // An io::Error shows what it wraps only through `get_ref`.
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let breach = inner
            .downcast_ref::<Breach>()
            .or_else(|| wrapped.and_then(|wrapped| wrapped.downcast_ref::<Breach>()));
        if let Some(Breach(known)) = breach {
            cause = *known;
            break;
        }
        source = inner.source();
    }
    Error::with(cause, error)
}
