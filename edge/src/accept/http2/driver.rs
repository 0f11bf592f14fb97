//! A connection's turns.
//!
//! One task owns the connection, its streams and its transport. A turn is: let `h2` read what
//! came, start each new request in place, let waiting exchanges go on, and repeat that while it
//! leads to anything; then write once. Requests that are answered at once never leave the turn,
//! and their answers leave in one write.
//!
//! After each turn the [`Watchdog`] is told how things are, and the one timer is set.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::Reason;
use h2::server::{Connection, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use super::link::{Link, Transport};
use super::watchdog::{Alarm, Facts, Watchdog};
use crate::journal::{COUNTERS, Counters};

/// Rounds of one turn. A connection that could go on for ever (a fast peer, a handler that
/// wakes itself) writes and lets others run after so many.
const ROUNDS_MAX: usize = 16;

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// `h2` is done; its last frames may still be on their way.
    Closed,
    /// The transport failed or is stuck: nothing more can be said.
    Broken,
}

/// Runs one connection to its end.
pub(super) struct Driver<IO, Start, Exchange> {
    h2: Connection<Transport<IO>, Bytes>,
    link: Rc<RefCell<Link<IO>>>,
    start: Start,
    running: FuturesUnordered<Seat<Exchange>>,
    spare: Option<Place<Exchange>>,
    progress: Rc<Cell<bool>>,
    watchdog: Watchdog,
    timer: Pin<Box<Sleep>>,
    requests: u64,
    is_leaving: bool,
    is_condemned: bool,
}

impl<IO, Start, Exchange> Driver<IO, Start, Exchange>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    Start: FnMut(Request<h2::RecvStream>, SendResponse<Bytes>) -> Exchange,
    Exchange: Future<Output = ()>,
{
    /// `start` makes the future of one exchange, which sets `progress` when it queues a frame.
    pub fn new(
        h2: Connection<Transport<IO>, Bytes>,
        link: Rc<RefCell<Link<IO>>>,
        watchdog: Watchdog,
        progress: Rc<Cell<bool>>,
        start: Start,
    ) -> Self {
        Self {
            h2,
            link,
            start,
            running: FuturesUnordered::new(),
            spare: None,
            progress,
            watchdog,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            requests: 0,
            is_leaving: false,
            is_condemned: false,
        }
    }

    /// Says goodbye: no new streams, those that are open finish (RFC 9113 §6.8).
    pub fn leave(&mut self) {
        if !self.is_leaving {
            self.is_leaving = true;
            self.h2.graceful_shutdown();
        }
    }

    /// Ends the connection in this turn.
    fn condemn(&mut self, reason: Reason) {
        if !self.is_condemned {
            self.is_condemned = true;
            self.h2.abrupt_shutdown(reason);
        }
    }

    /// One turn, and what the deadlines make of it.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            if let Poll::Ready(ending) = self.poll_turn(cx) {
                return Poll::Ready(ending);
            }
            let is_busy = !self.running.is_empty() || self.h2.has_streams();
            let facts = {
                let link = self.link.borrow();
                Facts {
                    now: Instant::now(),
                    requests: self.requests,
                    is_midway: link.is_midway(),
                    is_busy,
                    is_waiting: link.is_waiting(),
                    bytes_sent: link.bytes_sent(),
                    is_leaving: self.is_leaving,
                    is_condemned: self.is_condemned,
                }
            };
            match self.watchdog.observe(facts) {
                Ok(None) => return Poll::Pending,
                // The timer is only ever moved to an earlier moment, or on once it has rung:
                // most turns do not touch it.
                Ok(Some(due)) => {
                    if due < self.timer.deadline() || self.timer.is_elapsed() {
                        self.timer.as_mut().reset(due);
                    }
                    if self.timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Err(alarm) => {
                    if let Some(ending) = self.ring(alarm) {
                        return Poll::Ready(ending);
                    }
                }
            }
        }
    }

    fn ring(&mut self, alarm: Alarm) -> Option<Ending> {
        match alarm {
            Alarm::Head => {
                Counters::bump(&COUNTERS.client_deadlines);
                self.condemn(Reason::ENHANCE_YOUR_CALM);
            }
            Alarm::Idle => {
                Counters::bump(&COUNTERS.client_deadlines);
                self.leave();
            }
            Alarm::Leave => self.condemn(Reason::NO_ERROR),
            Alarm::Write => {
                Counters::bump(&COUNTERS.client_deadlines);
                return Some(Ending::Broken);
            }
            Alarm::Teardown => return Some(Ending::Broken),
        }
        None
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            self.progress.set(false);
            if let Poll::Ready(ending) = self.poll_requests(cx) {
                return Poll::Ready(ending);
            }
            while let Poll::Ready(Some(place)) = self.running.poll_next_unpin(cx) {
                self.spare = Some(place);
                self.progress.set(true);
            }
            if self.progress.get() && rounds < ROUNDS_MAX {
                continue;
            }
            let mut link = self.link.borrow_mut();
            let is_written = match link.poll_write_out(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Ending::Broken),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            let goes_on = self.progress.get() || (is_written && link.take_blocked());
            if goes_on && rounds >= ROUNDS_MAX {
                cx.waker().wake_by_ref();
            }
            if !goes_on || rounds >= ROUNDS_MAX {
                return Poll::Pending;
            }
        }
    }

    /// Lets `h2` read and frame, and starts what came.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            let accepted = self.h2.poll_accept(cx);
            let flood = self.link.borrow().flood();
            if flood.is_some() && !self.is_condemned {
                tracing::debug!(kind = ?flood, "http/2 flood");
                Counters::bump(&COUNTERS.floods);
                self.running.clear();
                self.condemn(Reason::ENHANCE_YOUR_CALM);
                continue;
            }
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.requests += 1;
                    self.begin(request, respond, cx);
                }
                Poll::Ready(Some(Err(error))) => {
                    let calm = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
                    if calm && error.is_library() {
                        Counters::bump(&COUNTERS.floods);
                    }
                    tracing::debug!(%error, "http/2 connection ended");
                    let broken = error.is_io();
                    return Poll::Ready(if broken { Ending::Broken } else { Ending::Closed });
                }
                Poll::Ready(None) => return Poll::Ready(Ending::Closed),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Starts an exchange in place; only one that has to wait gets a seat.
    fn begin(
        &mut self,
        request: Request<h2::RecvStream>,
        respond: SendResponse<Bytes>,
        cx: &mut Context<'_>,
    ) {
        let exchange = (self.start)(request, respond);
        let mut place = self.spare.take().unwrap_or_else(|| Box::pin(None));
        place.set(Some(exchange));
        let mut seat = Seat(Some(place));
        match Pin::new(&mut seat).poll(cx) {
            Poll::Ready(place) => self.spare = Some(place),
            Poll::Pending => self.running.push(seat),
        }
    }
}

/// Room for one exchange, used again for the next.
type Place<F> = Pin<Box<Option<F>>>;

/// An exchange in its place; yields the place, vacated.
struct Seat<F>(Option<Place<F>>);

impl<F: Future<Output = ()>> Future for Seat<F> {
    type Output = Place<F>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place<F>> {
        let mut place = self.0.take().expect("a seat is not polled after it is vacated");
        let exchange = place.as_mut().as_pin_mut().expect("a seat is made with an exchange in it");
        match exchange.poll(cx) {
            Poll::Ready(()) => {
                place.set(None);
                Poll::Ready(place)
            }
            Poll::Pending => {
                self.0 = Some(place);
                Poll::Pending
            }
        }
    }
}
