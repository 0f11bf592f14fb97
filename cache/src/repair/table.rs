//! Repairs in flight: who fetches which chunks, and who waits for them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::run::Run;
use super::{Outcome, PLACE_WAIT, REFUSED_MAX, REPAIRS_MAX};
use crate::budget::{Budget, Class, Permit};
use crate::store::CHUNK_BYTES;

/// A chunk that somebody waits for; an error if it will not come.
pub(super) type Ticket = oneshot::Receiver<Bytes>;

/// One repair, as readers see it.
#[derive(Debug)]
pub(super) struct Repair {
    last: u32,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    next: u32,
    waiting: Vec<(u32, oneshot::Sender<Bytes>)>,
}

impl Repair {
    /// A ticket for a chunk that is still to come.
    fn join(&self, chunk: u32) -> Option<Ticket> {
        let mut progress = self.progress.lock();
        (progress.next <= chunk && chunk <= self.last).then(|| {
            let (sender, ticket) = oneshot::channel();
            progress.waiting.push((chunk, sender));
            ticket
        })
    }

    /// A chunk came: it is in the store by now.
    pub(super) fn give(&self, chunk: u32, bytes: &Bytes) {
        let mut progress = self.progress.lock();
        progress.next = chunk + 1;
        let given = |(wanted, _): &mut (u32, _)| *wanted == chunk;
        for (_, waiting) in progress.waiting.extract_if(.., given) {
            // A reader that left does not want it.
            let _gone = waiting.send(bytes.clone());
        }
    }
}

/// Repairs in flight. Shared by all cores.
#[derive(Debug)]
pub struct Repairs {
    pub(super) in_flight: Mutex<HashMap<u64, Vec<Arc<Repair>>>>,
    pub(super) places: Arc<Semaphore>,
    budget: Budget,
    refused: Mutex<VecDeque<u64>>,
    counts: [AtomicU64; Outcome::ALL.len()],
    bytes: AtomicU64,
}

impl Repairs {
    /// None yet.
    pub fn new(budget: Budget) -> Arc<Self> {
        Arc::new(Self {
            in_flight: Mutex::default(),
            places: Arc::new(Semaphore::new(REPAIRS_MAX)),
            budget,
            refused: Mutex::default(),
            counts: Default::default(),
            bytes: AtomicU64::new(0),
        })
    }

    /// How repairs ended since the start, in the order of [`Outcome::ALL`].
    pub fn counts(&self) -> [u64; Outcome::ALL.len()] {
        self.counts.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Body bytes that came back.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn came(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A place among the repairs under way; waits for one, but not for ever.
    pub(super) fn place(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + use<> {
        let places = Arc::clone(&self.places);
        async move { timeout(PLACE_WAIT, places.acquire_owned()).await.ok()?.ok() }
    }

    /// Memory for the chunk that arrives and what is on its way behind it.
    pub(super) fn memory(&self) -> Option<Permit> {
        self.budget.take(Class::Fills, 2 * CHUNK_BYTES)
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the origin has refused to give bytes of this object.
    pub(super) fn has_refused(&self, object: u64) -> bool {
        self.refused.lock().contains(&object)
    }

    pub(super) fn remember_refusal(&self, object: u64) {
        let mut refused = self.refused.lock();
        if refused.len() >= REFUSED_MAX {
            refused.pop_front();
        }
        refused.push_back(object);
    }

    pub(super) fn join(&self, object: u64, chunk: u32) -> Option<Ticket> {
        self.in_flight.lock().get(&object)?.iter().find_map(|repair| repair.join(chunk))
    }

    /// Lists a repair that begins with a chunk somebody waits for, unless one is listed by now.
    pub(super) fn begin(
        &self,
        object: u64,
        run: &Run,
        last: u32,
    ) -> Result<(Arc<Repair>, Ticket), Ticket> {
        let mut in_flight = self.in_flight.lock();
        let listed = in_flight.entry(object).or_default();
        if let Some(ticket) = listed.iter().find_map(|repair| repair.join(run.next())) {
            return Err(ticket);
        }
        let progress = Mutex::new(Progress { next: run.next(), waiting: Vec::new() });
        let repair = Arc::new(Repair { last, progress });
        let ticket = repair.join(run.next()).expect("it is the first to come");
        listed.push(Arc::clone(&repair));
        Ok((repair, ticket))
    }

    pub(super) fn end(&self, object: u64, repair: &Arc<Repair>) {
        let mut in_flight = self.in_flight.lock();
        if let Some(listed) = in_flight.get_mut(&object) {
            listed.retain(|other| !Arc::ptr_eq(other, repair));
            if listed.is_empty() {
                in_flight.remove(&object);
            }
        }
        drop(in_flight);
        // Nobody can join any more: who waits is told.
        repair.progress.lock().waiting.clear();
    }
}
