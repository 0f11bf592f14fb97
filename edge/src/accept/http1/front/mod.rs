//! The front path: a plain request that memory can answer never enters hyper.
//!
//! Most requests at an edge are a `GET` without content whose answer is at hand. For them hyper's
//! parser, dispatcher and encoder are the larger part of the work. So, when the gate has released
//! a whole request and nothing about it is special, the handler is asked here. If it answers at
//! once with all bytes in hand, head and content go to the socket in one write. Otherwise hyper
//! gets the very same bytes, and its service takes over what was begun here ([`Begun`]): each
//! request is decided once, whichever way its answer leaves.
//!
//! In reading order: `read` (which requests are plain), `write` (the head on the wire). Knows
//! nothing of sockets: the gated transport writes, waits and keeps the deadlines.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::link::{Begun, Link};
use super::{receive, reply};
use crate::accept::{Answer, Connection, Handler, RequestBody};

mod read;
mod write;

/// Content up to this length is copied behind its head: one plain write costs less than a vector
/// of two, in bytes.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// Answers requests before hyper sees them.
pub(super) struct Front<H: Handler> {
    handler: H,
    connection: Arc<Connection>,
    link: Rc<Link<H::Body>>,
}

/// A response that is ready to leave.
pub(super) struct Ready<B> {
    /// Content that was not copied behind the head.
    pub(super) content: Bytes,
    /// Who is told when everything has left.
    pub(super) body: B,
}

impl<H: Handler> Front<H> {
    pub(super) fn new(handler: H, connection: Arc<Connection>, link: Rc<Link<H::Body>>) -> Self {
        Self { handler, connection, link }
    }

    /// Begins the request whose whole head is `bytes`, and which has no content. A response is
    /// written to `out`, except for what is left in [`Ready::content`]. `None`: hyper must see
    /// the request, whether or not it was begun.
    pub(super) fn answer(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<Ready<H::Body>> {
        // hyper knows how to say that it closes, and may still hold an answer that goes before.
        if self.link.must_close() || self.link.in_service() {
            return None;
        }
        let head = read::plain(bytes)?;
        let is_head = head.method == http::Method::HEAD;
        let received = receive(head, RequestBody::Empty, &self.connection, &self.link);
        let begun = match self.handler.call(received) {
            Answer::Later(answer) => Begun::Later(answer),
            Answer::Now(response) => Begun::Framed(reply::frame(response, is_head)),
        };
        // An interim response must leave before.
        let framed = match begun {
            Begun::Framed(framed)
                if self.link.mailbox.filled().is_none() && write::head(&framed, is_head, out) =>
            {
                framed
            }
            begun => {
                self.link.put_begun(begun);
                return None;
            }
        };
        let (body, mut content) = framed.into_whole();
        if content.len() <= COPIED_BYTES_MAX {
            out.extend_from_slice(&content);
            content = Bytes::new();
        }
        Some(Ready { content, body })
    }
}

#[cfg(test)]
mod tests;
