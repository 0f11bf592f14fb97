//! Interim responses on their way from the connection's task to the waiting exchange.
//!
//! hyper reports each 1xx head through a callback that runs in the connection's task. The exchange
//! waits elsewhere for the final head and has a callback of its own that may borrow. Between them
//! lies a short queue. Its bound is also the answer to an origin that sends interim responses
//! without end: one more than allowed and the exchange is failed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::head;

/// The queue; both sides hold it.
#[derive(Clone, Debug)]
pub struct InterimQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    waker: AtomicWaker,
    interim_max: u32,
}

#[derive(Debug, Default)]
struct State {
    heads: VecDeque<(StatusCode, HeaderMap)>,
    seen: u32,
}

/// What the waiting side takes out.
#[derive(Debug)]
pub enum Taken {
    /// An interim response, cleaned.
    Head(StatusCode, HeaderMap),
    /// The origin sent more than it may.
    Flood,
}

impl InterimQueue {
    /// A queue that lets `interim_max` heads through.
    pub fn new(interim_max: u32) -> Self {
        let (state, waker) = (Mutex::default(), AtomicWaker::new());
        Self(Arc::new(Inner { state, waker, interim_max }))
    }

    /// The connection's side: one more head has arrived. 100 is counted and not passed on: the
    /// origin was not asked to expect anything (RFC 9110 §15.2.1).
    pub fn push(&self, status: StatusCode, headers: &HeaderMap) {
        let mut state = self.0.state.lock();
        state.seen = state.seen.saturating_add(1);
        if state.seen <= self.0.interim_max && status != StatusCode::CONTINUE {
            state.heads.push_back((status, headers.clone()));
        }
        drop(state);
        self.0.waker.wake();
    }

    /// The exchange's side: the next head, if there is one.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        self.0.waker.register(cx.waker());
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next head without waiting.
    pub fn take(&self) -> Option<Taken> {
        let mut state = self.0.state.lock();
        if let Some((status, mut headers)) = state.heads.pop_front() {
            drop(state);
            head::clean_interim(&mut headers);
            return Some(Taken::Head(status, headers));
        }
        (state.seen > self.0.interim_max).then_some(Taken::Flood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_out_in_order_and_then_the_flood() {
        let queue = InterimQueue::new(3);
        assert!(queue.take().is_none());
        for code in [100, 103, 102, 103] {
            queue.push(StatusCode::from_u16(code).expect("a status"), &HeaderMap::new());
        }
        assert!(matches!(queue.take(), Some(Taken::Head(status, _)) if status == 103));
        assert!(matches!(queue.take(), Some(Taken::Head(status, _)) if status == 102));
        assert!(matches!(queue.take(), Some(Taken::Flood)));
    }
}
