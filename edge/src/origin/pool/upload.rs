//! The request's content on its way to the origin.
//!
//! Two things must be known of it from outside while hyper reads it: whether all of it was taken
//! (may the connection serve another request?) and when it last moved (is the origin slow to answer, or is the client slow
//! to ask?). [`Progress`] is the shared note of both.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::error::Error;

/// The content of a request to an origin.
#[derive(Default)]
pub enum Outbound {
    /// There is none.
    #[default]
    Empty,
    /// Read while it is sent, once. Frames after an error are not read.
    Stream(Box<dyn Body<Data = Bytes, Error = Error> + Unpin>),
}

impl Outbound {
    /// Content that is read while it is sent.
    pub fn stream(body: impl Body<Data = Bytes, Error = Error> + Unpin + 'static) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Stream(Box::new(body)) }
    }

    /// Whether there is certainly none.
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Empty" } else { "Stream" })
    }
}

/// How far an upload is.
#[derive(Debug)]
pub struct Progress {
    waits_for_client: Cell<bool>,
    moved: Cell<Instant>,
    done: Cell<bool>,
}

impl Progress {
    /// All of the content was handed to the connection.
    pub fn done(&self) -> bool {
        self.done.get()
    }

    /// Since when the origin alone is waited for; `None` while the client is.
    pub fn origin_waited_for_since(&self) -> Option<Instant> {
        (!self.waits_for_client.get()).then(|| self.moved.get())
    }
}

/// The body that hyper reads.
#[derive(Debug)]
pub struct Upload {
    content: Outbound,
    progress: Rc<Progress>,
}

impl Upload {
    /// Content that was not sent before, at `now`.
    pub fn new(content: Outbound, now: Instant) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress {
            waits_for_client: Cell::new(false),
            moved: Cell::new(now),
            done: Cell::new(content.is_empty()),
        });
        (Self { content, progress: progress.clone() }, progress)
    }

    /// The content again, when the connection gave the request back.
    pub fn into_content(self) -> Outbound {
        self.content
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Outbound::Stream(body) = &mut this.content else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        let progress = &this.progress;
        progress.waits_for_client.set(polled.is_pending());
        if let Poll::Ready(frame) = &polled {
            progress.moved.set(Instant::now());
            let last = !matches!(frame, Some(Ok(_))) || this.is_end_stream();
            this.progress.done.set(last);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Outbound::Empty => true,
            Outbound::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Outbound::Empty => SizeHint::with_exact(0),
            Outbound::Stream(body) => body.size_hint(),
        }
    }
}
