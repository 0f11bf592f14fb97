//! One disk instance: the engine, its queue, its numbers; and the one task that writes to it,
//! watches over it, takes it out of use and brings it back.
//!
//! Callers see [`Disk`]. The task is [`Keeper`]; what it does next is decided by
//! [`Pulse`](super::pulse::Pulse). While the instance is out of use, reads miss, writes are left
//! out, and nobody waits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::counters::Errors;
use super::engine::{Engine, Loaded};
use super::layout::{DirLock, Layout, OpenError, free_bytes};
use super::pulse::{Illness, Pace, Pulse, Step, Turn};
use super::slot::Slot;
use super::writer::{self, Queue, Sink};
use super::{ErrorKind, Part, StoreKey, TierStats};
use crate::budget::{Budget, Class, Permit};

/// A load that takes longer is a miss.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// A batch that takes longer makes the instance ill.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Patience with an engine that is to be closed.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Each load holds about two copies of its value: so many bytes of `Bodies` allow one at a time.
const LOAD_BYTES: usize = 32 * super::CHUNK_BYTES;
const LOADS_MAX: usize = 256;
const LOADS_MIN: usize = 8;

const BATCH_BYTES_MAX: usize = 8 << 20;
const BATCH_BYTES_MIN: usize = 128 << 10;
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// With less than this free, and block files that still want space, the disk counts as full.
const RESERVE_BYTES: u64 = 64 << 20;

/// Object ids of canaries have the top bit set; no boot epoch reaches it.
const CANARY: u64 = 1 << 63;

/// How an instance is run; tests hurry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Care {
    pub(super) pace: Pace,
    pub(super) reserve_bytes: u64,
}

impl Default for Care {
    fn default() -> Self {
        Self { pace: Pace::default(), reserve_bytes: RESERVE_BYTES }
    }
}

/// One disk instance, as callers see it.
#[derive(Debug)]
pub(super) struct Disk {
    layout: Layout,
    engine: RwLock<Option<Engine>>,
    queue: Queue,
    loads: Semaphore,
    errors: Errors,
    well: AtomicBool,
    turned: Notify,
    held_bytes: AtomicU64,
    reclaimed: Arc<AtomicU64>,
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
        let buffers = budget.take(Class::Queues, 2 * batch_bytes);
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
            well: AtomicBool::new(true),
            turned: Notify::new(),
            reclaimed,
        });
        let keeper = Keeper {
            disk: disk.clone(),
            runtime: runtime.clone(),
            batch_bytes,
            started: Instant::now(),
            pulse: Pulse::new(0, care.pace),
            reserve_bytes: care.reserve_bytes,
            canaries: 0,
            leaving: None,
            _lock: lock,
            _buffers: buffers,
        };
        let task = runtime.spawn(keeper.run());
        Ok((disk, task))
    }

    /// Reads a value; a miss whatever the reason, and the reason is counted.
    pub(super) async fn get(&self, key: StoreKey) -> Option<Bytes> {
        let slot = Slot::from(key);
        let engine = self.engine.read().clone().filter(|engine| engine.contains(slot))?;
        let load = async {
            let _one_of_few = self.loads.acquire().await;
            engine.load(slot).await
        };
        match timeout(READ_DEADLINE, load).await {
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
            // The index promised it: its block was evicted meanwhile, or its checksum failed.
            Ok(Loaded::Absent) => self.errors.count(ErrorKind::Read),
            Ok(Loaded::Failed(error)) => {
                self.errors.count(ErrorKind::Read);
                tracing::debug!(instance = self.layout.name, ?key, %error, "cannot read value");
            }
            Err(_) => self.errors.count(ErrorKind::Read),
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

/// The one task of an instance.
struct Keeper {
    disk: Arc<Disk>,
    runtime: Handle,
    batch_bytes: usize,
    started: Instant,
    pulse: Pulse,
    reserve_bytes: u64,
    canaries: u64,
    /// An engine that did not close in time: until it does, its files are not opened again.
    leaving: Option<JoinHandle<()>>,
    _lock: Arc<DirLock>,
    _buffers: Option<Permit>,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let step = self.pulse.step(self.now_ms());
            if self.disk.queue.is_closed() && !self.write_batch().await {
                break;
            }
            match step {
                Step::Probe => self.probe().await,
                Step::Reopen => self.reopen().await,
                Step::Wait(ms) => {
                    if !self.write_batch().await {
                        let something = self.disk.queue.arrived();
                        let _ = timeout(Duration::from_millis(ms), something).await;
                    }
                }
            }
        }
        self.close_engine().await;
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Writes what waits, up to a batch; says whether there was anything.
    async fn write_batch(&mut self) -> bool {
        let Some(engine) = self.disk.engine.read().clone() else {
            self.disk.queue.clear();
            return false;
        };
        let batch = self.disk.queue.take();
        if batch.is_empty() {
            return false;
        }
        let written = writer::write(&engine, &batch, WRITE_DEADLINE).await;
        self.disk.queue.done(batch);
        self.disk.errors.add(ErrorKind::Write, written.lost as u64);
        let now_ms = self.now_ms();
        self.pulse.wrote(now_ms, written.found, written.lost);
        if written.stuck {
            let turn = self.pulse.probed(now_ms, Err(Illness::Stuck));
            self.turn(turn).await;
        }
        true
    }

    async fn probe(&mut self) {
        let Some(engine) = self.disk.engine.read().clone() else { return };
        let outcome = self.try_out(&engine).await;
        let turn = self.pulse.probed(self.now_ms(), outcome);
        self.turn(turn).await;
    }

    async fn reopen(&mut self) {
        let outcome = self.open_again().await;
        let turn = self.pulse.probed(self.now_ms(), outcome);
        self.turn(turn).await;
    }

    async fn open_again(&mut self) -> Result<(), Illness> {
        if self.leaving.as_ref().is_some_and(|close| !close.is_finished()) {
            return Err(Illness::Stuck);
        }
        self.enough_space(2)?;
        let Disk { layout, reclaimed, .. } = &*self.disk;
        let engine = Engine::open(layout, self.batch_bytes, reclaimed.clone(), &self.runtime)
            .await
            .map_err(|error| Illness::Closed(error.to_string()))?;
        let outcome = self.try_out(&engine).await;
        match outcome {
            Ok(()) => *self.disk.engine.write() = Some(engine),
            Err(_) => self.end(engine).await,
        }
        outcome
    }

    /// Writes a value that never was, waits, looks for it and reads it back.
    async fn try_out(&mut self, engine: &Engine) -> Result<(), Illness> {
        self.disk.held_bytes.store(self.disk.layout.held_bytes(), Ordering::Relaxed);
        self.enough_space(1)?;
        let slot = self.next_canary();
        let value = Bytes::from_static(b"canary");
        engine.insert(slot, value.clone());
        if timeout(WRITE_DEADLINE, engine.settled()).await.is_err() {
            return Err(Illness::Stuck);
        }
        if !engine.contains(slot) {
            return Err(Illness::Lost);
        }
        let read = timeout(READ_DEADLINE, engine.load(slot)).await;
        engine.remove(slot);
        match read {
            Ok(Loaded::Value { bytes, .. }) if bytes == value => Ok(()),
            _ => Err(Illness::Unreadable),
        }
    }

    /// The block files are sparse: whatever they do not occupy yet must still be free, or at
    /// least `times` the reserve.
    fn enough_space(&self, times: u64) -> Result<(), Illness> {
        let layout = &self.disk.layout;
        let wanted = layout.size_bytes().saturating_sub(layout.held_bytes());
        let free_bytes = free_or_most(&layout.path);
        if free_bytes < wanted.min(self.reserve_bytes.saturating_mul(times)) {
            self.disk.errors.count(ErrorKind::Full);
            return Err(Illness::NoSpace { free_bytes });
        }
        Ok(())
    }

    /// Unique over restarts, so that finding it proves that it was written just now.
    fn next_canary(&mut self) -> Slot {
        self.canaries += 1;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let object = CANARY | (wall.as_micros() as u64).wrapping_add(self.canaries) & !CANARY;
        Slot::from(StoreKey { object, part: Part::Chunk(0) })
    }

    async fn turn(&mut self, turn: Option<Turn>) {
        let instance = self.disk.layout.name;
        match turn {
            None => {}
            Some(Turn::Recovered) => {
                self.disk.well.store(true, Ordering::Release);
                self.disk.turned.notify_waiters();
                tracing::info!(instance, "disk tier is in use again");
            }
            Some(Turn::Fell(illness)) => {
                self.disk.well.store(false, Ordering::Release);
                tracing::error!(instance, reason = %illness, "disk tier is out of use; serving from memory");
                let left_out = self.disk.queue.clear();
                self.disk.errors.add(ErrorKind::Write, left_out as u64);
                self.close_engine().await;
                self.disk.turned.notify_waiters();
            }
        }
    }

    async fn close_engine(&mut self) {
        let engine = self.disk.engine.write().take();
        if let Some(engine) = engine {
            self.end(engine).await;
        }
    }

    /// Closes an engine, with patience: two must not work on the same files.
    async fn end(&mut self, engine: Engine) {
        let mut close = self.runtime.spawn(async move { engine.close().await });
        if timeout(CLOSE_DEADLINE, &mut close).await.is_err() {
            tracing::warn!(instance = self.disk.layout.name, "disk engine does not close");
            self.leaving = Some(close);
        }
    }
}

/// Free bytes; a file system that does not say is not held against the instance.
fn free_or_most(path: &Path) -> u64 {
    free_bytes(path).unwrap_or(u64::MAX)
}
