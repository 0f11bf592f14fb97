//! The one task of a disk instance: writes to it, watches over it, takes it out of use and brings
//! it back. What it does next is decided by [`Pulse`]; the waiting and the doing are here.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::disk::{Disk, READ_DEADLINE};
use super::engine::{Engine, Loaded};
use super::layout::{DirLock, free_bytes};
use super::pulse::{Illness, Pace, Pulse, Step, Turn};
use super::slot::Slot;
use super::writer::{self, Sink};
use super::{ErrorKind, Part, StoreKey};
use crate::budget::Permit;

/// A batch that takes longer makes the instance ill.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// Patience with an engine that is to be closed.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

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

/// The one task of an instance.
pub(super) struct Keeper {
    disk: Arc<Disk>,
    runtime: Handle,
    batch_bytes: usize,
    started: Instant,
    pulse: Pulse,
    reserve_bytes: u64,
    canaries: u64,
    /// An engine that did not close in time: until it does, its files are not opened again.
    leaving: Option<JoinHandle<()>>,
    /// What is held to the end: the directory's lock, and the budget of the engine's buffers.
    _held: (Arc<DirLock>, Option<Permit>),
}

impl Keeper {
    pub(super) fn new(
        disk: Arc<Disk>,
        runtime: Handle,
        care: Care,
        batch_bytes: usize,
        held: (Arc<DirLock>, Option<Permit>),
    ) -> Self {
        Self {
            disk,
            runtime,
            batch_bytes,
            started: Instant::now(),
            pulse: Pulse::new(0, care.pace),
            reserve_bytes: care.reserve_bytes,
            canaries: 0,
            leaving: None,
            _held: held,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let turn = self.pulse.read(self.now_ms(), self.disk.reads.outcome());
            self.turn(turn).await;
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
        let outcome = written.map_err(|(lost, illness)| {
            self.disk.errors.add(ErrorKind::Write, lost as u64);
            illness
        });
        let turn = self.pulse.wrote(self.now_ms(), outcome);
        self.turn(turn).await;
        // Last, so that whoever waited for the queue sees what became of it.
        self.disk.queue.done(batch);
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
        let settled = timeout(WRITE_DEADLINE, engine.settled()).await;
        if settled != Ok(true) || !engine.contains(slot) {
            self.disk.errors.count(ErrorKind::Write);
            self.enough_space(1)?;
            return Err(match settled {
                Err(_) => Illness::Stuck,
                Ok(false) => Illness::Died,
                Ok(true) => Illness::Lost,
            });
        }
        let read = timeout(READ_DEADLINE, engine.load(slot)).await;
        engine.remove(slot);
        match read {
            Ok(Loaded::Value { bytes, .. }) if bytes == value => Ok(()),
            _ => {
                self.disk.errors.count(ErrorKind::Read);
                Err(Illness::Unreadable)
            }
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

impl Drop for Keeper {
    /// Also when the task dies: nobody may wait for it.
    fn drop(&mut self) {
        self.disk.well.store(false, Ordering::Release);
        self.disk.queue.abandon();
        self.disk.turned.notify_waiters();
    }
}

/// Free bytes; a file system that does not say is not held against the instance.
fn free_or_most(path: &Path) -> u64 {
    free_bytes(path).unwrap_or(u64::MAX)
}
