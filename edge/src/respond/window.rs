//! What a client is handed and has not taken: memory that is accounted for.
//!
//! Each piece of a streamed body is handed out under a permit that comes back when its last byte has
//! left the codec. As the windows fill up pieces become smaller; when they are full a body waits for
//! room, and breaks off when it has waited too long. Who holds the room are the clients that do not
//! read: their write deadlines end them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use selvedge_cache::budget::window::held;
use selvedge_cache::budget::{Budget, Class, Permit};
use tokio::time::{Sleep, sleep};

use crate::error::{Cause, Error};

/// How long a body waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// The next frame of a body.
type Next = Option<Result<Frame<Bytes>, Error>>;

/// The window of one response.
#[derive(Debug)]
pub(super) struct Window {
    budget: Budget,
    waiting: Option<Box<Waiting>>,
}

struct Waiting {
    freed: Pin<Box<dyn Future<Output = ()>>>,
    patience: Pin<Box<Sleep>>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

impl Window {
    pub(super) const fn new(budget: Budget) -> Self {
        Self { budget, waiting: None }
    }

    /// Bytes that may wait to leave before the next piece is asked for.
    pub(super) fn ahead_bytes_max(&self) -> usize {
        self.budget.piece_bytes()
    }

    /// Takes room for a piece, then asks `body` for one that is no longer.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: impl FnOnce(&mut Context<'_>, usize) -> Poll<Next>,
    ) -> Poll<Next> {
        let bytes_max = self.budget.piece_bytes();
        let permit = match ready!(self.poll_room(cx, bytes_max)) {
            Ok(permit) => permit,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        let next = ready!(body(cx, bytes_max));
        Poll::Ready(next.map(|frame| frame.map(|frame| frame.map_data(|data| held(data, permit)))))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<Result<Permit, Error>> {
        loop {
            if let Some(permit) = self.budget.take(Class::Windows, bytes) {
                self.waiting = None;
                return Poll::Ready(Ok(permit));
            }
            let budget = &self.budget;
            let freed = || {
                let budget = budget.clone();
                Box::pin(async move { budget.freed(Class::Windows).await })
            };
            let waiting = self.waiting.get_or_insert_with(|| {
                Box::new(Waiting { freed: freed(), patience: Box::pin(sleep(ROOM_WAIT)) })
            });
            if waiting.patience.as_mut().poll(cx).is_ready() {
                let full =
                    Error::with(Cause::Overloaded, "no memory for what clients have not taken");
                return Poll::Ready(Err(full));
            }
            if waiting.freed.as_mut().poll(cx).is_ready() {
                waiting.freed = freed();
                continue;
            }
            // It may have come back before we were listed.
            if !self.budget.could_take(Class::Windows, bytes) {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn piece(length: usize) -> Poll<Next> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![1; length])))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_window_waits_for_room_and_not_for_ever() {
        let budget = Budget::new(1 << 20);
        let mut window = Window::new(budget.clone());
        let limit = budget.limit_bytes(Class::Windows);
        let stuck = budget.take(Class::Windows, limit).expect("all of it");
        let mut next = std::pin::pin!(poll_fn(|cx| window.poll(cx, |_, most| piece(most.min(9)))));
        let pending = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        drop(stuck);
        let frame = next.await.expect("a frame").expect("there was room");
        assert_eq!(budget.used_bytes(Class::Windows), 9);
        drop(frame);
        assert_eq!(budget.used_bytes(Class::Windows), 0);

        let _stuck = budget.take(Class::Windows, limit).expect("all of it");
        let mut window = Window::new(budget.clone());
        let frame = poll_fn(|cx| window.poll(cx, |_, _| piece(9))).await.expect("an end");
        assert_eq!(frame.expect_err("no room").cause, Cause::Overloaded);
    }

    #[tokio::test]
    async fn a_body_that_has_nothing_yet_holds_no_room() {
        let budget = Budget::new(1 << 20);
        let mut window = Window::new(budget.clone());
        let polled = poll_fn(|cx| Poll::Ready(window.poll(cx, |_, _| Poll::Pending))).await;
        assert!(polled.is_pending());
        assert_eq!(budget.used_bytes(Class::Windows), 0);
    }
}
