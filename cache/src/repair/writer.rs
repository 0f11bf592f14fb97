//! The side of a repair that fetches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Outcome;
use super::run::{Excess, Run};
use super::table::{Repair, Repairs};
use crate::budget::Permit;
use crate::store::{CHUNK_BYTES, Part, Store, StoreKey};

/// How long a piece waits for room in the disk's queue; then it stays in memory only.
const ROOM_WAIT: Duration = Duration::from_millis(200);

/// Puts the chunks of one repair where they are missing. Dropped before the last of them is there,
/// it tells those who wait that nothing more comes.
pub struct RepairWriter {
    repairs: Arc<Repairs>,
    store: Arc<dyn Store>,
    object: u64,
    repair: Arc<Repair>,
    run: Run,
    outcome: Outcome,
    _held: (OwnedSemaphorePermit, Permit),
}

impl RepairWriter {
    pub(super) fn new(
        (repairs, store): (Arc<Repairs>, Arc<dyn Store>),
        object: u64,
        repair: Arc<Repair>,
        run: Run,
        held: (OwnedSemaphorePermit, Permit),
    ) -> Self {
        Self { repairs, store, object, repair, run, outcome: Outcome::Broke, _held: held }
    }

    /// Waits until the next piece may come.
    pub async fn ready(&self) {
        let _full = timeout(ROOM_WAIT, self.store.room(CHUNK_BYTES)).await;
    }

    /// Appends a piece of the content that was asked for.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), Excess> {
        for (chunk, bytes) in self.run.append(piece)? {
            self.repairs.came(bytes.len());
            self.give(chunk, &bytes);
        }
        if self.run.is_done() {
            self.outcome = Outcome::Spliced;
        }
        Ok(())
    }

    /// The origin's answer is not of the same bytes: the object is not asked for again.
    pub fn refused(mut self) {
        self.outcome = Outcome::Refused;
        self.repairs.remember_refusal(self.object);
    }

    /// Into the store first: who looks for the chunk finds it there or is waiting.
    fn give(&self, chunk: u32, bytes: &Bytes) {
        let key = StoreKey { object: self.object, part: Part::Chunk(chunk) };
        self.store.put(key, bytes.clone());
        self.repair.give(chunk, bytes);
    }
}

impl std::fmt::Debug for RepairWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepairWriter").field("object", &self.object).finish_non_exhaustive()
    }
}

impl Drop for RepairWriter {
    fn drop(&mut self) {
        self.repairs.count(self.outcome);
        self.repairs.end(self.object, &self.repair);
    }
}
