//! The client's content on its way to the origin: bounded, and seen by the filters that want to.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::outbound;
use crate::accept::RequestBody;
use crate::error::{Cause, Error};
use crate::filter::{Context, Filters};

/// Content that is read while it is sent.
#[derive(Debug)]
pub(super) struct Upload {
    body: RequestBody,
    left_bytes: u64,
    filtered: Option<(Filters, Context)>,
}

impl Upload {
    pub(super) fn new(
        body: RequestBody,
        bytes_max: u64,
        filters: &Filters,
        context: &Context,
    ) -> Self {
        let filtered =
            filters.sees_request_body().then(|| (filters.clone(), outbound::context(context)));
        Self { body, left_bytes: bytes_max, filtered }
    }

    fn pass(&mut self, piece: Bytes) -> Result<Bytes, Error> {
        self.left_bytes =
            self.left_bytes.checked_sub(piece.len() as u64).ok_or(Cause::BodyTooLarge)?;
        match &mut self.filtered {
            None => Ok(piece),
            Some((filters, context)) => {
                filters.request_body(context, piece).ok_or_else(|| Cause::Refused.into())
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        Pin::new(&mut this.body).poll_frame(cx).map(|next| {
            next.map(|frame| match frame?.into_data() {
                Ok(piece) => this.pass(piece).map(Frame::data),
                Err(other) => Ok(other),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.filtered.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}
