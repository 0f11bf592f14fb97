//! Readers behind a writer: locks and wakers around [`Machine`].

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;

use super::FailureCode;
use super::collapse::{Candidate, FillKey, InFlight};
use super::machine::{Machine, Read};
use super::reader::FillReader;
use crate::directory::{Record, Varied};
use crate::invalidate::{Position, Watermark};
use crate::policy::Fresh;
use crate::range::Parts;
use crate::store::Store;

/// The head of a response that is being filled: what waiters are checked against and given.
#[derive(Clone, Debug)]
pub struct FillHead {
    /// Final status.
    pub status: StatusCode,
    /// Fields as they will be stored.
    pub headers: HeaderMap,
    /// Fields that are not stored, because a directive names them: for the request that fetched.
    pub omitted: HeaderMap,
    /// Length that the origin declared, of the content that it sends.
    pub length: Option<u64>,
    /// Set when that content is not all of the body.
    pub part: Option<PartHead>,
    /// Watermark of the fetch, or of what is stored and combined with it: the lower one.
    pub sent: Watermark,
    /// Position in force when the fetch was sent.
    pub validated: Position,
    /// Tag hashes.
    pub tags: Box<[u64]>,
    /// There were more tags than we keep.
    pub tags_overflow: bool,
    /// Selecting fields, when the response varies.
    pub varied: Option<Arc<Varied>>,
    /// Freshness facts.
    pub fresh: Fresh,
    /// Object id of the body.
    pub object: u64,
}

/// What a fill of some bytes of a body brings.
#[derive(Clone, Debug)]
pub struct PartHead {
    /// What is there once they have come, what is stored already included.
    pub parts: Parts,
    /// Length of the whole body, in bytes.
    pub length: u64,
    /// `Content-Range` as the origin sent it, when it answered the client's request as it was:
    /// fit to be passed on to that client, whatever that asked for.
    pub as_sent: Option<HeaderValue>,
}

/// What came of the fetch that a request waited for.
#[derive(Clone, Debug)]
pub enum HeadOutcome {
    /// A storable response; its body follows.
    Head(Arc<FillHead>),
    /// The origin confirmed what is stored (304): the record as it is now.
    Validated(Box<Record>),
    /// Nothing that can be shared: go alone.
    Released,
    /// The origin answered with an error that is not shared: what is stored may stand in for it,
    /// each request decides for itself (RFC 5861 §4); else it goes alone.
    Erred,
    /// The fetch failed.
    Failed(FailureCode),
}

#[derive(Debug, Default)]
struct Seat {
    taken: bool,
    offset: u64,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct State {
    sent: Option<Watermark>,
    outcome: Option<HeadOutcome>,
    machine: Machine,
    seats: Vec<Seat>,
    free: Vec<usize>,
    /// Waits for a reader to come closer, or to leave.
    writer: Option<Waker>,
}

/// What became of a wish to join a fill.
#[derive(Debug)]
pub(super) enum Seated {
    /// It reads along.
    Here(Waiter),
    /// It may, but there is no seat left.
    Full,
    /// The check does not admit it.
    NotAdmitted,
}

/// One fill in flight.
#[derive(Debug)]
pub struct Fill {
    key: FillKey,
    state: Mutex<State>,
}

impl Fill {
    pub(super) fn new(key: FillKey) -> Self {
        Self {
            key,
            state: Mutex::new(State {
                sent: None,
                outcome: None,
                machine: Machine::new(None),
                seats: Vec::new(),
                free: Vec::new(),
                writer: None,
            }),
        }
    }

    pub(super) const fn key(&self) -> &FillKey {
        &self.key
    }

    pub(super) fn admits(&self, admits: &impl Fn(&Candidate<'_>) -> bool) -> bool {
        self.state.lock().admits(&self.key, admits)
    }

    pub(super) fn in_flight(&self, admits: &impl Fn(&Candidate<'_>) -> bool) -> InFlight {
        let state = self.state.lock();
        let head = match &state.outcome {
            Some(HeadOutcome::Head(head)) => Some(head),
            _ => None,
        };
        InFlight {
            admits: state.admits(&self.key, admits),
            sent: state.sent,
            status: head.map(|head| head.status),
            length: head.and_then(|head| head.length),
            received_bytes: state.machine.received(),
            readers: state.readers(),
        }
    }

    /// A seat, if the check admits the one who asks.
    pub(super) fn join_if(
        self: &Arc<Self>,
        admits: &impl Fn(&Candidate<'_>) -> bool,
        readers_max: usize,
    ) -> Seated {
        let mut state = self.state.lock();
        if !state.admits(&self.key, admits) {
            return Seated::NotAdmitted;
        }
        if state.readers() >= readers_max {
            return Seated::Full;
        }
        let seat = state.sit();
        Seated::Here(Waiter { fill: Arc::clone(self), seat })
    }

    /// The position under which the fetch was sent, if it was.
    pub(super) fn sent_under(&self) -> Option<Position> {
        self.state.lock().sent.map(|watermark| watermark.position)
    }

    pub(super) fn sent(&self, watermark: Watermark) {
        self.state.lock().sent = Some(watermark);
    }

    pub(super) fn settle(&self, outcome: HeadOutcome) {
        self.update(|state| {
            if let HeadOutcome::Head(head) = &outcome {
                state.machine = Machine::new(head.length);
            }
            state.outcome = Some(outcome);
        });
    }

    /// Changes the body and wakes every reader.
    pub(super) fn advance<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        self.update(|state| change(&mut state.machine))
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let wakers: Vec<Waker> =
            state.seats.iter_mut().filter_map(|seat| seat.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// How far the writer is ahead of its fastest reader; `None` if nobody reads. Registers
    /// `waker` for the next change among the readers.
    pub(super) fn ahead_bytes(&self, waker: &Waker) -> Option<u64> {
        let mut state = self.state.lock();
        state.writer = Some(waker.clone());
        let fastest = state.seats.iter().filter(|seat| seat.taken).map(|seat| seat.offset).max()?;
        Some(state.machine.received().saturating_sub(fastest))
    }

    pub(super) fn read_machine<T>(&self, look: impl FnOnce(&Machine) -> T) -> T {
        look(&self.state.lock().machine)
    }

    fn leave(&self, seat: usize) {
        let mut state = self.state.lock();
        state.seats[seat] = Seat::default();
        state.free.push(seat);
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl State {
    fn admits(&self, key: &FillKey, admits: &impl Fn(&Candidate<'_>) -> bool) -> bool {
        let head = match &self.outcome {
            None => None,
            Some(HeadOutcome::Head(head)) => Some(&**head),
            // It came to nothing; it is about to leave the list.
            Some(_) => return false,
        };
        if self.machine.ended() && !self.machine.complete() {
            // It broke off; it is about to leave the list.
            return false;
        }
        admits(&Candidate { key, sent: self.sent, head, starts_at: self.machine.starts_at() })
    }

    fn readers(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    fn sit(&mut self) -> usize {
        let seat = self.free.pop().unwrap_or_else(|| {
            self.seats.push(Seat::default());
            self.seats.len() - 1
        });
        self.seats[seat].taken = true;
        seat
    }
}

/// A request that waits for the head.
#[derive(Debug)]
pub struct Waiter {
    fill: Arc<Fill>,
    seat: usize,
}

impl Waiter {
    pub(super) fn attach(fill: &Arc<Fill>) -> Self {
        let seat = fill.state.lock().sit();
        Self { fill: Arc::clone(fill), seat }
    }

    /// Waits until the fetch yields a head or comes to nothing. The caller bounds the wait.
    pub async fn head(&mut self) -> HeadOutcome {
        std::future::poll_fn(|cx| {
            let mut state = self.fill.state.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(outcome.clone());
            }
            state.seats[self.seat].waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Becomes a reader of the bytes `from..to`, once the head is there.
    pub fn read(
        self,
        store: Arc<dyn Store>,
        object: u64,
        from: u64,
        to: Option<u64>,
    ) -> FillReader {
        self.fill.state.lock().seats[self.seat].offset = from;
        FillReader::new(self, store, object, from, to)
    }

    /// What stands at `offset`; who finds nothing yet is woken when there is.
    pub(super) fn look(&self, offset: u64, cx: &Context<'_>) -> Read {
        let mut state = self.fill.state.lock();
        let read = state.machine.read(offset);
        if read == Read::Wait {
            state.seats[self.seat].waker = Some(cx.waker().clone());
        }
        read
    }

    /// The reader has come to `offset`: the writer may go on.
    pub(super) fn moved(&self, offset: u64) {
        let mut state = self.fill.state.lock();
        state.seats[self.seat].offset = offset;
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.fill.read_machine(Machine::received)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.fill.leave(self.seat);
    }
}
