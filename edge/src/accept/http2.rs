//! HTTP/2 on the `h2` crate.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};

use crate::error::Error;

/// The content of a request on an H2 stream.
#[derive(Debug)]
pub struct RequestStream {}

impl http_body::Body for RequestStream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// Sends interim responses on a stream.
#[derive(Debug)]
pub struct InterimWriter {}

impl InterimWriter {
    pub(super) fn send(&mut self, _status: StatusCode, _headers: HeaderMap) {}
}
