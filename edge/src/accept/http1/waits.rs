//! Deadlines of one connection on one timer.
//!
//! A connection waits for one or two things at a time, and most waits end long before their
//! deadline. So there is one [`Sleep`] per connection: it is moved forward only when a nearer
//! deadline comes, and when it fires early it is set again by whoever still waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What the reading side waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReadWait {
    /// The first byte of a head.
    Idle,
    /// The rest of a head.
    Head,
    /// The next piece of a body.
    Body,
}

/// The timer and the deadlines that it serves.
#[derive(Debug, Default)]
pub(super) struct Waits {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Deadline of the present read.
    read: Option<(ReadWait, Instant)>,
    /// Deadline of the present write.
    write: Option<Instant>,
    /// When a client that closed its side counts as gone.
    leave: Option<Instant>,
}

impl Waits {
    /// Something was read: the next wait of this kind begins anew.
    pub(super) fn read_progressed(&mut self) {
        // A head must be complete in time, however many pieces it comes in.
        if !matches!(self.read, Some((ReadWait::Head, _))) {
            self.read = None;
        }
    }

    /// A request begins or ends.
    pub(super) fn read_ended(&mut self) {
        self.read = None;
        self.leave = None;
    }

    /// Something was written.
    pub(super) fn write_progressed(&mut self) {
        self.write = None;
    }

    /// Ready when the reading side has waited too long for `wait`.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        wait: ReadWait,
        limit_ms: u64,
    ) -> Poll<()> {
        let deadline = match self.read {
            Some((kind, deadline)) if kind == wait => deadline,
            _ => after(limit_ms),
        };
        self.read = Some((wait, deadline));
        self.poll_until(cx, deadline)
    }

    /// Ready when the writing side has waited too long.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, limit_ms: u64) -> Poll<()> {
        let deadline = *self.write.get_or_insert_with(|| after(limit_ms));
        self.poll_until(cx, deadline)
    }

    /// Ready when a client that closed its side has had its time.
    pub(super) fn poll_leave(&mut self, cx: &mut Context<'_>, limit_ms: u64) -> Poll<()> {
        let deadline = *self.leave.get_or_insert_with(|| after(limit_ms));
        self.poll_until(cx, deadline)
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

fn after(limit_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(limit_ms)
}
