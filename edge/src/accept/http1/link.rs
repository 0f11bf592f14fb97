//! What the two ends of hyper tell each other.
//!
//! Under hyper lies the gated transport, above it the service that calls the handler. hyper hides
//! each from the other; this is their common notebook. Both live in one task, so cells suffice.
//!
//! It also keeps the response bodies until their bytes have left: hyper drops a body when it has
//! taken the last piece, but [`OutgoingBody::delivered`] speaks of bytes handed to the transport.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::Response;
use smallvec::SmallVec;

use super::interim::Mailbox;
use super::reply::Framed;
use crate::accept::{Delivery, OutgoingBody};
use crate::error::Cause;

/// How far a response is that must end visibly incomplete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Cut {
    /// None is to be cut.
    #[default]
    No,
    /// The body failed; what was taken of it should leave first.
    Wanted,
    /// It has left: the connection may break now.
    Flushed,
}

/// The notebook of one connection.
pub(super) struct Link<B: OutgoingBody> {
    /// No further request is wanted.
    pub(super) draining: Cell<bool>,
    /// The present request was not handed to hyper to its end.
    pub(super) request_open: Cell<bool>,
    /// The content of the present request broke a rule or a deadline.
    pub(super) breach: Cell<Option<Cause>>,
    /// Requests given to the handler.
    pub(super) begun: Cell<u64>,
    /// Requests for which the handler has given the final head.
    pub(super) answered: Cell<u64>,
    /// Responses that have left entirely.
    pub(super) delivered: Cell<u64>,
    /// Whether the present response is to be cut.
    pub(super) cut: Cell<Cut>,
    /// The content of the present response ends where the connection ends.
    pub(super) open_ended: Cell<bool>,
    /// Content bytes that hyper was given since its buffer was last empty.
    pub(super) ahead_bytes: Cell<usize>,
    /// The present body has more, and waits for that moment.
    pub(super) awaits_flush: Cell<bool>,
    /// Interim responses on their way out.
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) replies: RefCell<Replies<B>>,
    /// The present request was begun before hyper saw it.
    begun_before: RefCell<Option<Begun<B>>>,
}

/// How far the front path came with a request that hyper must answer.
pub(super) enum Begun<B> {
    /// The response is there.
    Framed(Framed<B>),
    /// The handler works.
    Later(Pin<Box<dyn Future<Output = Response<B>>>>),
}

/// Bodies of responses that have not left entirely.
pub(super) struct Replies<B: OutgoingBody> {
    /// The one that hyper is taking.
    pub(super) current: Option<B>,
    /// Taken to their end, but perhaps still in hyper's buffer.
    ended: SmallVec<[B; 1]>,
}

impl<B: OutgoingBody> Link<B> {
    pub(super) fn new() -> Self {
        Self {
            draining: Cell::new(false),
            request_open: Cell::new(false),
            breach: Cell::new(None),
            begun: Cell::new(0),
            answered: Cell::new(0),
            delivered: Cell::new(0),
            cut: Cell::new(Cut::No),
            open_ended: Cell::new(false),
            ahead_bytes: Cell::new(0),
            awaits_flush: Cell::new(false),
            mailbox: Arc::new(Mailbox::default()),
            replies: RefCell::new(Replies { current: None, ended: SmallVec::new() }),
            begun_before: RefCell::new(None),
        }
    }

    /// The handler gets a request; the number it has on this connection.
    pub(super) fn begin(&self) -> u64 {
        let number = self.begun.get() + 1;
        self.begun.set(number);
        self.mailbox.open(number);
        number
    }

    /// The handler gave its final head, with this body.
    pub(super) fn answer(&self, body: B) {
        self.head_is_known();
        let replaced = self.replies.borrow_mut().current.replace(body);
        debug_assert!(replaced.is_none(), "hyper takes one body at a time");
    }

    /// The front path began a request and leaves the rest to hyper.
    pub(super) fn put_begun(&self, begun: Begun<B>) {
        self.begun_before.replace(Some(begun));
    }

    /// What was begun of the request that hyper has parsed.
    pub(super) fn take_begun(&self) -> Option<Begun<B>> {
        self.begun_before.take()
    }

    /// The final head of the present request is known: nothing may come before it any more.
    pub(super) fn head_is_known(&self) {
        self.mailbox.close();
        self.answered.set(self.begun.get());
    }

    /// A response of the front path has left entirely.
    pub(super) fn passed(&self, mut body: B) {
        self.delivered.set(self.delivered.get() + 1);
        body.delivered(Delivery::Complete);
    }

    /// A response of the front path has left in part; the rest is with the transport.
    pub(super) fn keep(&self, body: B) {
        self.replies.borrow_mut().ended.push(body);
    }

    /// hyper has taken the present body to its end.
    pub(super) fn end(&self) {
        let mut replies = self.replies.borrow_mut();
        if let Some(body) = replies.current.take() {
            replies.ended.push(body);
        }
    }

    /// Everything that hyper had buffered was handed to the transport.
    pub(super) fn flushed(&self) {
        let ended = {
            let mut replies = self.replies.borrow_mut();
            if replies.ended.is_empty() {
                return;
            }
            std::mem::take(&mut replies.ended)
        };
        for mut body in ended {
            self.delivered.set(self.delivered.get() + 1);
            body.delivered(Delivery::Complete);
        }
    }

    /// Whether the handler works on a request whose final head is not known yet.
    pub(super) fn is_working(&self) -> bool {
        self.begun.get() > self.answered.get()
    }

    /// Whether a request is with the handler or its response has not left entirely.
    pub(super) fn in_service(&self) -> bool {
        self.begun.get() > self.delivered.get()
    }

    /// Whether every response that was begun has left entirely.
    pub(super) fn is_settled(&self) -> bool {
        let replies = self.replies.borrow();
        replies.current.is_none() && replies.ended.is_empty()
    }

    /// Whether the final response to the present request must be the last one.
    pub(super) fn must_close(&self) -> bool {
        self.draining.get() || self.request_open.get() || self.breach.get().is_some()
    }
}

/// Whatever did not leave by the end of the connection did not arrive.
impl<B: OutgoingBody> Drop for Link<B> {
    fn drop(&mut self) {
        let cut = self.cut.get() != Cut::No;
        let delivery = if cut { Delivery::Cut } else { Delivery::ClientGone };
        let replies = self.replies.get_mut();
        for body in replies.ended.iter_mut().chain(&mut replies.current) {
            body.delivered(delivery);
        }
    }
}
