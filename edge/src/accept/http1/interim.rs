//! Interim (1xx) responses: written by the handler, sent by the connection (RFC 9110 §15.2).
//!
//! hyper's server cannot send them, so they pass beside it: the writer leaves finished bytes in a
//! mailbox, and the connection writes them between two of hyper's writes, never into one. The
//! mailbox belongs to the connection; a writer is good for its own request only, so one that
//! outlives it is silent. The handler may sit in another task: leaving something wakes the
//! connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::task::AtomicWaker;
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;

/// Most unsent bytes of interim responses on one connection; more are dropped.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Where interim responses wait for their connection.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Number of the request that may leave something; 0 for none.
    open: AtomicU64,
    /// Number of the request that left something; 0 when empty.
    filled: AtomicU64,
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    messages: u64,
}

impl Mailbox {
    /// Lets the writer of this request leave something, and nobody else.
    pub(super) fn open(&self, request: u64) {
        self.open.store(request, Ordering::Release);
    }

    /// The final response is known: nobody may leave anything.
    pub(super) fn close(&self) {
        self.open.store(0, Ordering::Release);
    }

    /// The request that left something, if there is one.
    pub(super) fn filled(&self) -> Option<u64> {
        match self.filled.load(Ordering::Acquire) {
            0 => None,
            request => Some(request),
        }
    }

    /// Takes everything that waits: the bytes and how many messages they are.
    pub(super) fn take(&self) -> (Vec<u8>, u64) {
        let mut waiting = self.waiting.lock();
        self.filled.store(0, Ordering::Release);
        let waiting = std::mem::take(&mut *waiting);
        (waiting.bytes, waiting.messages)
    }

    /// Whom to wake when something is left.
    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }
}

/// Queues interim responses for the connection's writer.
#[derive(Debug)]
pub struct InterimWriter {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) request: u64,
}

impl InterimWriter {
    pub(in crate::accept) fn send(&mut self, status: StatusCode, headers: &HeaderMap) {
        let mut waiting = self.mailbox.waiting.lock();
        if self.mailbox.open.load(Ordering::Acquire) != self.request {
            return;
        }
        if self.mailbox.filled.load(Ordering::Acquire) != self.request {
            *waiting = Waiting::default(); // left over from an earlier request
        }
        let before = waiting.bytes.len();
        write_head(&mut waiting.bytes, status, headers);
        if waiting.bytes.len() > WAITING_BYTES_MAX {
            waiting.bytes.truncate(before);
            return;
        }
        waiting.messages += 1;
        self.mailbox.filled.store(self.request, Ordering::Release);
        drop(waiting);
        self.mailbox.waker.wake();
    }
}

/// Fields that speak about a connection or a body have no place in an interim response.
fn write_head(out: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Interim").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        if matches!(
            *name,
            header::CONNECTION
                | header::CONTENT_LENGTH
                | header::TRANSFER_ENCODING
                | header::UPGRADE
                | header::TRAILER
        ) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(mailbox: &Arc<Mailbox>, request: u64) -> InterimWriter {
        InterimWriter { mailbox: Arc::clone(mailbox), request }
    }

    #[test]
    fn a_writer_is_good_for_its_own_request_only() {
        let mailbox = Arc::new(Mailbox::default());
        let (mut first, mut second) = (writer(&mailbox, 1), writer(&mailbox, 2));
        mailbox.open(1);
        second.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
        assert_eq!(mailbox.filled(), None);
        first.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
        mailbox.close();
        first.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
        mailbox.open(2);
        second.send(StatusCode::PROCESSING, &HeaderMap::new());
        assert_eq!(mailbox.filled(), Some(2));
        assert_eq!(mailbox.take(), (b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(), 1));
        assert_eq!(mailbox.filled(), None);
    }

    #[test]
    fn fields_are_written_and_the_queue_is_bounded() {
        let mailbox = Arc::new(Mailbox::default());
        let mut hints = writer(&mailbox, 1);
        mailbox.open(1);
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, "</a>; rel=preload".parse().expect("value"));
        headers.insert(header::CONNECTION, "close".parse().expect("value"));
        for _ in 0..100_000 {
            hints.send(StatusCode::EARLY_HINTS, &headers);
        }
        let (bytes, messages) = mailbox.take();
        let one = b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n";
        assert!(bytes.starts_with(one) && bytes.len() <= WAITING_BYTES_MAX);
        assert_eq!(bytes.len() as u64, messages * one.len() as u64);
    }
}
