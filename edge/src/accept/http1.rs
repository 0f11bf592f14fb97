//! HTTP/1.x: hyper behind the gate.

use http::{HeaderMap, StatusCode};

use crate::error::{Cause, Error};

/// Queues interim responses for the connection's writer.
#[derive(Debug)]
pub struct InterimWriter {}

impl InterimWriter {
    pub(super) fn send(&mut self, _status: StatusCode, _headers: &HeaderMap) {}
}

/// A body error of hyper with the gate's own cause taken out of its source.
pub(super) fn request_body_error(error: hyper::Error) -> Error {
    Error::with(Cause::ClientGone, error)
}
