//! One disk instance as callers see it: the engine, its queue, its numbers. One task works on it
//! ([`super::keeper`]). While the instance is out of use, reads miss, writes are left out, and
//! nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::counters::Errors;
use super::engine::{Engine, Loaded};
use super::keeper::{Care, Keeper};
use super::layout::{DirLock, Layout, OpenError};
use super::pulse::Reads;
use super::slot::Slot;
use super::writer::{Queue, Sink};
use super::{ErrorKind, StoreKey, TierStats};
use crate::budget::{Budget, Class};

/// A load that takes longer is a miss.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(5);
/// How much later a load is given up that has not even begun: after those that are told apart.
const READ_GRACE: Duration = Duration::from_millis(50);
/// Each load holds about two copies of its value: so many bytes of `Bodies` allow one at a time.
const LOAD_BYTES: usize = 32 * super::CHUNK_BYTES;
const LOADS_MAX: usize = 256;
const LOADS_MIN: usize = 8;

const BATCH_BYTES_MAX: usize = 8 << 20;
const BATCH_BYTES_MIN: usize = 128 << 10;
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// One disk instance, as callers see it.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) layout: Layout,
    pub(super) engine: RwLock<Option<Engine>>,
    pub(super) queue: Queue,
    loads: Semaphore,
    pub(super) errors: Errors,
    pub(super) reads: Reads,
    pub(super) well: AtomicBool,
    pub(super) turned: Notify,
    pub(super) held_bytes: AtomicU64,
    pub(super) reclaimed: Arc<AtomicU64>,
}

impl Disk {
    /// Opens the instance and starts its task on `runtime`. The task holds `lock` to its end.
    pub(super) async fn open(
        layout: Layout,
        budget: &Budget,
        care: Care,
        lock: Arc<DirLock>,
        runtime: &Handle,
    ) -> Result<(Arc<Self>, JoinHandle<()>), OpenError> {
        // Two instances share Queues: each has a quarter for what waits and, as the engine has
        // two buffers that one batch fills, twice an eighth for what is being written.
        let queues_bytes = budget.limit_bytes(Class::Queues);
        let batch_bytes =
            (queues_bytes / 8).clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX).next_multiple_of(4096);
        let queue_bytes = (queues_bytes / 4).clamp(2 * BATCH_BYTES_MIN, QUEUE_BYTES_MAX);
        let buffers = budget.take(Class::Queues, (2 * batch_bytes).min(queues_bytes / 4));
        let loads = (budget.limit_bytes(Class::Bodies) / LOAD_BYTES).clamp(LOADS_MIN, LOADS_MAX);

        let reclaimed = Arc::<AtomicU64>::default();
        let engine = Engine::open(&layout, batch_bytes, reclaimed.clone(), runtime).await?;
        let disk = Arc::new(Self {
            held_bytes: AtomicU64::new(layout.held_bytes()),
            layout,
            engine: RwLock::new(Some(engine)),
            queue: Queue::new(budget, queue_bytes, batch_bytes),
            loads: Semaphore::new(loads),
            errors: Errors::default(),
            reads: Reads::default(),
            well: AtomicBool::new(true),
            turned: Notify::new(),
            reclaimed,
        });
        let keeper = Keeper::new(disk.clone(), runtime.clone(), care, batch_bytes, (lock, buffers));
        let task = runtime.spawn(keeper.run());
        Ok((disk, task))
    }

    /// Reads a value; a miss whatever the reason, and the reason is counted.
    pub(super) async fn get(&self, key: StoreKey) -> Option<Bytes> {
        let slot = Slot::from(key);
        let engine = self.engine.read().clone().filter(|engine| engine.contains(slot))?;
        let due = Instant::now() + READ_DEADLINE;
        let load = async {
            let _one_of_few = self.loads.acquire().await;
            let begun = Instant::now();
            let loaded = timeout_at(due, engine.load(slot)).await;
            if loaded.is_ok() {
                self.reads.ended();
            } else if begun.elapsed() >= READ_DEADLINE / 2 && self.reads.late() {
                // Not the queue was slow but the disk, and not for the first time.
                self.queue.nudge();
            }
            loaded
        };
        match timeout_at(due + READ_GRACE, load).await.and_then(|loaded| loaded) {
            Ok(Loaded::Value { bytes, aging }) => {
                if aging {
                    // Second chance: first in, first out would drop what is still in use.
                    self.queue.offer(slot, bytes.clone());
                }
                return Some(bytes);
            }
            Ok(Loaded::Damaged) => {
                self.errors.count(ErrorKind::Corrupt);
                engine.remove(slot);
                tracing::warn!(instance = self.layout.name, ?key, "stored value is damaged");
            }
            Ok(Loaded::Failed(error)) => {
                self.errors.count(ErrorKind::Read);
                tracing::debug!(instance = self.layout.name, ?key, %error, "cannot read value");
            }
            // Too slow; or the index promised it, and its block was evicted meanwhile or its
            // checksum failed.
            Err(_) | Ok(Loaded::Absent) => self.errors.count(ErrorKind::Read),
        }
        None
    }

    /// Queues a value; one that finds no room is counted and left out.
    pub(super) fn put(&self, key: StoreKey, value: Bytes) {
        if self.is_well() && !self.queue.offer(Slot::from(key), value) {
            self.errors.count(ErrorKind::QueueFull);
        }
    }

    /// Waits until the queue has room for `bytes`; returns at once while out of use.
    pub(super) async fn room(&self, bytes: usize) {
        if self.is_well() {
            self.queue.room(bytes).await;
        }
    }

    /// Whether the index names the value.
    pub(super) fn contains(&self, key: StoreKey) -> bool {
        self.engine.read().as_ref().is_some_and(|engine| engine.contains(Slot::from(key)))
    }

    /// Takes the value out of the index.
    pub(super) fn forget(&self, key: StoreKey) {
        if let Some(engine) = self.engine.read().as_ref() {
            engine.remove(Slot::from(key));
        }
    }

    /// Whether the instance reads and writes.
    pub(super) fn is_well(&self) -> bool {
        self.well.load(Ordering::Acquire)
    }

    /// Waits until the instance changes sides.
    pub(super) fn turned(&self) -> tokio::sync::futures::Notified<'_> {
        self.turned.notified()
    }

    /// Waits until the queue is written.
    pub(super) async fn flush(&self) {
        self.queue.idle().await;
    }

    /// Takes nothing more; the task writes what waits, closes the engine and ends.
    pub(super) fn stop(&self) {
        self.queue.close();
    }

    /// Bytes that the block files occupy, evicted blocks, errors. The engine does not know how
    /// many values it holds: `entries` is 0.
    pub(super) fn stats(&self) -> TierStats {
        TierStats {
            bytes: self.held_bytes.load(Ordering::Relaxed),
            entries: 0,
            evictions: self.reclaimed.load(Ordering::Relaxed),
            errors: self.errors.read(),
        }
    }
}
