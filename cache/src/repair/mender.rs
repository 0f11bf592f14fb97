//! A reader's side of repairs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::run::{Run, end_of_run};
use super::table::{Repairs, Ticket};
use super::{ASKS_MAX, Outcome, RUN_CHUNKS, RUN_CHUNKS_MAX, Refetch, RepairWriter};
use crate::range::Representation;
use crate::store::{BoxFuture, Part, Presence, Store, StoreKey};

/// Where a reader stands with a chunk that it lacks.
enum Step {
    Look,
    Place(BoxFuture<'static, Option<OwnedSemaphorePermit>>),
    Wait(Ticket),
}

/// What a reader needs to have lost chunks of its body fetched again.
pub struct Mender {
    repairs: Arc<Repairs>,
    store: Arc<dyn Store>,
    of: Representation,
    object: u64,
    refetch: Box<dyn Refetch>,
    run_chunks: u32,
    asks: u32,
    step: Step,
}

impl std::fmt::Debug for Mender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mender").field("object", &self.object).finish_non_exhaustive()
    }
}

impl Mender {
    /// For one reader of the object, whose bytes are those of a representation.
    pub fn new(
        repairs: Arc<Repairs>,
        store: Arc<dyn Store>,
        of: Representation,
        object: u64,
        refetch: Box<dyn Refetch>,
    ) -> Self {
        let run_chunks = RUN_CHUNKS;
        Self { repairs, store, of, object, refetch, run_chunks, asks: 0, step: Step::Look }
    }

    /// A chunk that is in no tier; `None` if it cannot be had. `last` is the last chunk that the
    /// reader wants. Asked for one chunk until that is there.
    pub fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: u32,
        last: u32,
    ) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.step {
                Step::Look => {
                    if self.asks >= ASKS_MAX || self.repairs.has_refused(self.object) {
                        return self.over(None);
                    }
                    if let Some(ticket) = self.repairs.join(self.object, chunk) {
                        self.step = Step::Wait(ticket);
                        continue;
                    }
                    self.step = Step::Place(Box::pin(self.repairs.place()));
                }
                Step::Place(place) => match ready!(place.as_mut().poll(cx)) {
                    Some(place) => match self.begin(place, chunk, last) {
                        Ok(ticket) => self.step = Step::Wait(ticket),
                        Err(found) => return self.over(found),
                    },
                    None => {
                        self.repairs.count(Outcome::Busy);
                        return self.over(None);
                    }
                },
                Step::Wait(ticket) => match ready!(Pin::new(ticket).poll(cx)) {
                    Ok(bytes) => return self.over(Some(bytes)),
                    Err(_) => {
                        self.asks += 1;
                        self.step = Step::Look;
                    }
                },
            }
        }
    }

    fn over(&mut self, found: Option<Bytes>) -> Poll<Option<Bytes>> {
        self.asks = 0;
        self.step = Step::Look;
        Poll::Ready(found)
    }

    /// Begins a repair or joins one. `Err`: what came meanwhile, or nothing.
    fn begin(
        &mut self,
        place: OwnedSemaphorePermit,
        chunk: u32,
        last: u32,
    ) -> Result<Ticket, Option<Bytes>> {
        let key = |chunk| StoreKey { object: self.object, part: Part::Chunk(chunk) };
        if let Some(bytes) = self.store.peek(key(chunk)) {
            return Err(Some(bytes));
        }
        let Some(memory) = self.repairs.memory() else {
            self.repairs.count(Outcome::Busy);
            return Err(None);
        };
        let last = end_of_run(chunk, last, self.run_chunks, |chunk| {
            self.store.presence(key(chunk)) == Presence::Absent
        });
        let run = Run::new(chunk, last, self.of.length());
        let Some(missing) = self.of.missing(run.range()) else { return Err(None) };
        let (repair, ticket) = match self.repairs.begin(self.object, &run, last) {
            Ok(begun) => begun,
            Err(ticket) => return Ok(ticket),
        };
        self.run_chunks = (self.run_chunks * 2).min(RUN_CHUNKS_MAX);
        let (repairs, store) = (Arc::clone(&self.repairs), Arc::clone(&self.store));
        let writer = RepairWriter::new((repairs, store), self.object, repair, run, (place, memory));
        self.refetch.refetch(missing, writer);
        Ok(ticket)
    }
}
