//! Places at an origin: how many requests it is given at once, and who waits for the next one.
//!
//! A place is a value; dropping it passes it on. Who finds none waits in one of two lines: a fetch
//! that is to be stored, behind which others may wait, is served before a request that goes alone;
//! after [`AHEAD_MAX`] of them in a row one that goes alone has its turn. How many places there are
//! may change at any time: when there are fewer, those in use are not taken away but not passed on
//! either.
//!
//! The lock is held for a few instructions, never across a wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::{Cause, Error};

/// Places that go to fetches in a row while a request that goes alone waits.
const AHEAD_MAX: u32 = 4;

/// How a request waits for a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Urgency {
    /// Others may wait for the same answer.
    Shared,
    /// Nobody but its client does.
    #[default]
    Alone,
    /// Something stands in for its answer: it does not wait at all.
    Dispensable,
}

/// The places of one origin.
#[derive(Debug)]
pub struct Places {
    lines: Mutex<Lines>,
    /// Copies for readers without the lock.
    in_use: AtomicUsize,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Lines {
    limit: usize,
    in_use: usize,
    shared: VecDeque<oneshot::Sender<Place>>,
    alone: VecDeque<oneshot::Sender<Place>>,
    /// Places given to the line of fetches since the other one had its turn.
    ahead: u32,
}

/// One place; passed on when dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Places {
    /// So many places, all free.
    pub fn new(limit: usize) -> Arc<Self> {
        let (shared, alone) = (VecDeque::new(), VecDeque::new());
        let lines = Mutex::new(Lines { limit, in_use: 0, shared, alone, ahead: 0 });
        Arc::new(Self { lines, in_use: AtomicUsize::new(0), waiting: AtomicUsize::new(0) })
    }

    /// Places in use.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Requests that wait for one.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Places there are.
    pub fn limit(&self) -> usize {
        self.lines.lock().limit
    }

    /// From now on there are so many places.
    pub fn set_limit(self: &Arc<Self>, limit: usize) {
        let mut lines = self.lines.lock();
        if lines.limit == limit {
            return;
        }
        lines.limit = limit;
        let unwanted = self.serve(&mut lines);
        drop(lines);
        drop(unwanted);
    }

    /// A place; waits for one at most `patience`, among at most `waiting_max` others.
    pub async fn take(
        self: &Arc<Self>,
        urgency: Urgency,
        waiting_max: usize,
        patience: Duration,
    ) -> Result<Place, Error> {
        let (waiting, _in_line) = {
            let mut lines = self.lines.lock();
            if lines.in_use < lines.limit {
                return Ok(self.occupy(&mut lines));
            }
            if urgency == Urgency::Dispensable {
                let limit = lines.limit;
                return Err(busy(format!(
                    "all {limit} places are taken, and a stale answer is at hand"
                )));
            }
            if self.waiting() >= waiting_max {
                return Err(busy(format!("{waiting_max} requests wait already")));
            }
            let (hand, waiting) = oneshot::channel();
            match urgency {
                Urgency::Shared => lines.shared.push_back(hand),
                _ => lines.alone.push_back(hand),
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            (waiting, InLine(self))
        };
        match timeout(patience, waiting).await {
            Ok(Ok(place)) => Ok(place),
            // The hand is dropped only with the lines.
            Ok(Err(gone)) => Err(Error::with(Cause::Internal, gone)),
            Err(_) => Err(busy(format!("no place within {} ms", patience.as_millis()))),
        }
    }

    fn occupy(self: &Arc<Self>, lines: &mut Lines) -> Place {
        lines.in_use += 1;
        self.in_use.store(lines.in_use, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Gives free places to who waits. Whoever has left in the meantime hands the place back in
    /// the result, to be dropped without the lock.
    fn serve(self: &Arc<Self>, lines: &mut Lines) -> Vec<Place> {
        let mut unwanted = Vec::new();
        while lines.in_use < lines.limit {
            let Some(hand) = lines.next() else { break };
            if hand.is_closed() {
                continue;
            }
            let place = self.occupy(lines);
            if let Err(place) = hand.send(place) {
                unwanted.push(place);
            }
        }
        unwanted
    }
}

impl Lines {
    /// Whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        let alone_first = self.ahead >= AHEAD_MAX && !self.alone.is_empty();
        if !alone_first && let Some(hand) = self.shared.pop_front() {
            self.ahead = self.ahead.saturating_add(1);
            return Some(hand);
        }
        self.ahead = 0;
        self.alone.pop_front()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = &self.0;
        let mut lines = places.lines.lock();
        lines.in_use -= 1;
        places.in_use.store(lines.in_use, Ordering::Relaxed);
        let unwanted = places.serve(&mut lines);
        drop(lines);
        drop(unwanted);
    }
}

/// One request in line; leaves it when dropped.
struct InLine<'a>(&'a Places);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn busy(why: String) -> Error {
    Error::with(Cause::OriginBusy, why)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    async fn is_ready<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_fetch_is_served_before_one_that_goes_alone_but_not_for_ever() {
        LocalSet::new()
            .run_until(async {
                let places = Places::new(1);
                let first = places.take(Urgency::Alone, 100, LONG).await.expect("free");
                let order = Rc::<RefCell<String>>::default();
                let mut tasks = Vec::new();
                for letter in "aasssssss".chars() {
                    let (places, order) = (Arc::clone(&places), Rc::clone(&order));
                    let urgency = if letter == 'a' { Urgency::Alone } else { Urgency::Shared };
                    tasks.push(spawn_local(async move {
                        let place = places.take(urgency, 100, LONG).await.expect("in time");
                        order.borrow_mut().push(letter);
                        drop(place);
                    }));
                    yield_now().await;
                }
                assert_eq!((places.in_use(), places.waiting()), (1, 9));
                drop(first);
                for task in tasks {
                    task.await.expect("no panic");
                }
                assert_eq!(*order.borrow(), "ssssasssa");
                assert_eq!((places.in_use(), places.waiting()), (0, 0));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_or_waits_too_long_does_not_take_a_place_along() {
        let places = Places::new(1);
        let held = places.take(Urgency::Alone, 1, LONG).await.expect("free");
        let late = places.take(Urgency::Shared, 1, Duration::from_millis(5)).await;
        assert_eq!(late.expect_err("late").cause, Cause::OriginBusy);
        {
            let mut left = std::pin::pin!(places.take(Urgency::Shared, 1, LONG));
            assert!(!is_ready(&mut left).await);
            let full = places.take(Urgency::Alone, 1, LONG).await;
            assert_eq!(full.expect_err("a line of one").cause, Cause::OriginBusy);
        }
        let stale = places.take(Urgency::Dispensable, 100, LONG).await;
        assert_eq!(stale.expect_err("does not wait").cause, Cause::OriginBusy);
        assert_eq!(places.waiting(), 0);
        drop(held);
        drop(places.take(Urgency::Dispensable, 0, LONG).await.expect("free again"));
        assert_eq!(places.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_places_may_change_under_way() {
        let places = Places::new(3);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(places.take(Urgency::Alone, 9, LONG).await.expect("free"));
        }
        places.set_limit(1);
        let mut waits = std::pin::pin!(places.take(Urgency::Alone, 9, LONG));
        assert!(!is_ready(&mut waits).await);
        held.truncate(1);
        assert!(!is_ready(&mut waits).await, "one place, and it is taken");
        places.set_limit(2);
        assert!(is_ready(&mut waits).await);
        assert_eq!((places.in_use(), places.limit()), (1, 2), "the one that came was dropped");
    }
}
