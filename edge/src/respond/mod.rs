//! 6 · Shape and send.
//!
//! [`Body`] is the closed list of where response bytes come from; [`Outgoing`] is a body on its
//! way to a client, with the filters that look at it and somebody who is told how it ended.
//!
//! Knows nothing of sites or of how the bytes were fetched.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use selvedge_cache::budget::Budget;
use selvedge_cache::fill::{FailureCode, FillReader, ReadError};
use selvedge_cache::reader::StoredReader;

use crate::accept::{Delivery, OutgoingBody};
use crate::error::{Cause, Error};
use crate::filter::{Context, Filters};
use crate::origin::OriginBody;

pub mod cache_status;
pub mod conditional;
pub mod fields;
pub mod multipart;
pub mod negotiate;
pub mod synthetic;
mod window;

use multipart::Multipart;
use window::Window;

/// Where the bytes of a response come from.
#[derive(Debug)]
pub enum Body {
    /// There are none.
    Empty,
    /// All of them, in hand.
    Inline(Bytes),
    /// A stored body, chunk by chunk.
    Stored(StoredReader),
    /// Bodies one after the other: the parts of a multipart content.
    Sequence(VecDeque<Body>),
    /// A body that still arrives; the length if it is known.
    Filling(FillReader, Option<u64>),
    /// Straight from the origin.
    Passing(Box<OriginBody>),
}

impl Body {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Inline(bytes) => Some(bytes.len() as u64),
            Self::Stored(reader) => Some(reader.remaining()),
            Self::Sequence(bodies) => bodies.iter().map(Self::length).sum(),
            Self::Filling(_, length) => *length,
            Self::Passing(body) => HttpBody::size_hint(&**body).exact(),
        }
    }

    /// Whether the first bytes of a stored body can be had; waits for them.
    pub async fn primed(&mut self) -> bool {
        match self {
            Self::Stored(reader) => reader.primed().await,
            Self::Sequence(bodies) => match bodies.front_mut() {
                Some(Self::Stored(reader)) => reader.primed().await,
                _ => true,
            },
            _ => true,
        }
    }

    /// Puts the framing of a multipart content around the parts.
    #[must_use]
    pub fn framed(self, multipart: &Multipart) -> Self {
        let Self::Sequence(parts) = self else { return self };
        let mut framed = VecDeque::with_capacity(parts.len() * 2 + 1);
        for (index, part) in parts.into_iter().enumerate() {
            framed.extend(multipart.head(index).cloned().map(Self::Inline));
            framed.push_back(part);
        }
        framed.push_back(Self::Inline(multipart.tail().clone()));
        Self::Sequence(framed)
    }

    /// Whether its bytes are not all in hand: they come piece by piece, as the client takes them.
    pub const fn is_streamed(&self) -> bool {
        !matches!(self, Self::Empty | Self::Inline(_))
    }

    /// The next frame; of a stored body or one that is being stored at most `bytes_max`.
    fn poll(
        &mut self,
        cx: &mut TaskContext<'_>,
        bytes_max: usize,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let read = |read: Poll<Option<Result<Bytes, ReadError>>>| {
            read.map(|next| next.map(|piece| piece.map(Frame::data).map_err(read_error)))
        };
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Inline(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Inline(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stored(reader) => read(reader.poll_next(cx, bytes_max)),
            Self::Sequence(bodies) => loop {
                let Some(first) = bodies.front_mut() else { return Poll::Ready(None) };
                match ready!(first.poll(cx, bytes_max)) {
                    Some(frame) => return Poll::Ready(Some(frame)),
                    None => drop(bodies.pop_front()),
                }
            },
            Self::Filling(reader, length) => {
                let next = ready!(reader.poll_next(cx, bytes_max));
                if let (Some(Ok(piece)), Some(length)) = (&next, length) {
                    *length = length.saturating_sub(piece.len() as u64);
                }
                read(Poll::Ready(next))
            }
            Self::Passing(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }
}

/// What a failed read of a stored or filling body means for the client.
fn read_error(error: ReadError) -> Error {
    match error {
        ReadError::Failed(code) => fill_failure(code).into(),
        ReadError::FellBehind => Cause::FellBehind.into(),
    }
}

/// The cause behind a fill's failure code.
pub fn fill_failure(code: FailureCode) -> Cause {
    Cause::from_code(code.0).unwrap_or(Cause::OriginBroke)
}

/// Told once when a response is over.
pub trait OnClose: Unpin + 'static {
    /// How it ended, with the body bytes handed to the transport and what failed, if something did.
    fn closed(&mut self, delivery: Delivery, body_bytes: u64, error: Option<&Error>);
}

/// A body on its way to a client.
#[derive(Debug)]
pub struct Outgoing<C: OnClose> {
    body: Body,
    window: Option<Window>,
    filtered: Option<Box<(Filters, Context)>>,
    body_bytes: u64,
    failed: Option<Error>,
    on_close: Option<C>,
}

impl<C: OnClose> Outgoing<C> {
    /// A body whose end `on_close` is told.
    pub const fn new(body: Body, on_close: C) -> Self {
        let on_close = Some(on_close);
        Self { body, window: None, filtered: None, body_bytes: 0, failed: None, on_close }
    }

    /// Takes memory for what the client has not taken yet, and hands it no more than there is.
    #[must_use]
    pub fn within(mut self, budget: &Budget) -> Self {
        self.window = self.body.is_streamed().then(|| Window::new(budget.clone()));
        self
    }

    /// Lets filters see the content: its length is not known any more.
    #[must_use]
    pub fn filtered(mut self, filters: Filters, context: Context) -> Self {
        self.filtered = Some(Box::new((filters, context)));
        self
    }

    fn close(&mut self, delivery: Delivery) {
        if let Some(mut on_close) = self.on_close.take() {
            on_close.closed(delivery, self.body_bytes, self.failed.as_ref());
        }
    }

    fn filter(
        &mut self,
        next: Option<Result<Frame<Bytes>, Error>>,
    ) -> Option<Result<Frame<Bytes>, Error>> {
        let Some(filtered) = &mut self.filtered else { return next };
        let (filters, context) = &mut **filtered;
        match next {
            Some(Ok(frame)) => Some(match frame.into_data() {
                Ok(piece) => Ok(Frame::data(filters.response_body(context, piece, false))),
                Err(other) => Ok(other),
            }),
            None => {
                let rest = filters.response_body(context, Bytes::new(), true);
                self.filtered = None;
                (!rest.is_empty()).then(|| Ok(Frame::data(rest)))
            }
            failed => failed,
        }
    }
}

impl<C: OnClose> HttpBody for Outgoing<C> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let next = match &mut this.window {
            None => ready!(this.body.poll(cx, usize::MAX)),
            Some(window) => {
                let body = &mut this.body;
                ready!(window.poll(cx, |cx, bytes_max| body.poll(cx, bytes_max)))
            }
        };
        let next = this.filter(next);
        match next {
            Some(Ok(frame)) => {
                this.body_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let cause = error.cause;
                this.failed = Some(error);
                Poll::Ready(Some(Err(cause.into())))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.filtered.is_none()
            && self.body.length() == Some(0)
            && !matches!(self.body, Body::Passing(_))
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.length() {
            Some(length) if self.filtered.is_none() => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}

impl<C: OnClose> OutgoingBody for Outgoing<C> {
    fn take_whole(&mut self) -> Option<Bytes> {
        if self.filtered.is_some() {
            return None;
        }
        let whole = match &mut self.body {
            Body::Empty => Bytes::new(),
            Body::Inline(bytes) => std::mem::take(bytes),
            _ => return None,
        };
        self.body = Body::Empty;
        self.body_bytes += whole.len() as u64;
        Some(whole)
    }

    fn ahead_bytes_max(&self) -> usize {
        self.window.as_ref().map_or(usize::MAX, Window::ahead_bytes_max)
    }

    fn delivered(&mut self, delivery: Delivery) {
        self.close(delivery);
    }
}

impl<C: OnClose> Drop for Outgoing<C> {
    /// A codec that was torn down says nothing: the client is gone.
    fn drop(&mut self) {
        self.close(Delivery::ClientGone);
    }
}
