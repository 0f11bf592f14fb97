//! Memory before disk: the store that the node runs on.
//!
//! Both tiers are divided in two, heads (with inline bodies) and chunks. Memory is filled by
//! `put` and by disk hits; the disk is filled behind, by one writer per instance, and is never
//! waited for except in [`Store::room`], [`Store::flush`] and on a miss in memory.
//!
//! Does not know what is stored or whether it is still wanted; never retries; never serves a
//! value that fails its checks.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::disk::Disk;
use super::keeper::Care;
use super::memory::{MemoryTier, OnEvicted};
use super::room::Room;
use super::{BoxFuture, Health, Part, Presence, Store, StoreKey, Tier, TierStats, layout};
use crate::budget::Budget;

pub use super::layout::{DiskConfig, OpenError, free_bytes};

/// What a [`Tiered`] store is made from.
pub struct TieredConfig {
    /// Sizes of the memory tier and of the writer's queues.
    pub budget: Budget,
    /// The disk tier, if there is one.
    pub disk: Option<DiskConfig>,
    /// Where the disk tier does its work: it needs timers and blocking threads, and must live
    /// longer than the store.
    pub disk_runtime: Handle,
    /// Called with the object id of each head that leaves memory, in a store without a disk
    /// tier: its record is worth nothing from then on. With a disk tier it is not called.
    pub on_evicted: Option<OnEvicted>,
}

/// Memory and, perhaps, disk.
#[derive(Debug)]
pub struct Tiered {
    memory: Arc<Room>,
    disk: Option<Pair>,
}

#[derive(Debug)]
struct Pair {
    heads: Arc<Disk>,
    bodies: Arc<Disk>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Tiered {
    /// Opens the tiers. With a disk tier this reads its index (about a second per million
    /// values), and fails with a sentence when the directory cannot be used; the caller may then
    /// open a store without it.
    pub async fn open(config: TieredConfig) -> Result<Self, OpenError> {
        Self::open_with(config, Care::default()).await
    }

    async fn open_with(config: TieredConfig, care: Care) -> Result<Self, OpenError> {
        let TieredConfig { budget, disk, disk_runtime, on_evicted } = config;
        let on_evicted = on_evicted.filter(|_| disk.is_none());
        let disk = match disk {
            None => None,
            Some(disk) => Some(open_pair(disk, &budget, care, &disk_runtime).await?),
        };
        Ok(Self { memory: Room::new(&budget, on_evicted), disk })
    }

    /// Writes what waits, closes the disk tier and unlocks its directory; then the store serves
    /// from memory only.
    pub async fn close(&self) {
        let Some(disk) = &self.disk else { return };
        disk.stop();
        let tasks = std::mem::take(&mut *disk.tasks.lock());
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "disk task died");
            }
        }
    }

    /// Waits until the disk tier is in the given state; for ever without a disk tier.
    pub async fn becomes(&self, health: Health) {
        let Some(disk) = &self.disk else { return std::future::pending().await };
        loop {
            let (mut heads, mut bodies) = (pin!(disk.heads.turned()), pin!(disk.bodies.turned()));
            heads.as_mut().enable();
            bodies.as_mut().enable();
            if self.health() == health {
                return;
            }
            tokio::select! {
                () = heads => {}
                () = bodies => {}
            }
        }
    }

    fn memory(&self, key: StoreKey) -> &MemoryTier {
        self.memory.tier(key)
    }

    fn disk(&self, key: StoreKey) -> Option<&Disk> {
        let pair = self.disk.as_ref()?;
        Some(match key.part {
            Part::Head => &pair.heads,
            Part::Chunk(_) => &pair.bodies,
        })
    }
}

impl Store for Tiered {
    fn peek(&self, key: StoreKey) -> Option<Bytes> {
        self.memory(key).get(key)
    }

    fn get(&self, key: StoreKey) -> BoxFuture<'_, Option<(Bytes, Tier)>> {
        if let Some(value) = self.peek(key) {
            return Box::pin(ready(Some((value, Tier::Memory))));
        }
        let Some(disk) = self.disk(key) else { return Box::pin(ready(None)) };
        Box::pin(async move {
            let value = disk.get(key).await?;
            self.memory.put(key, value.clone());
            Some((value, Tier::Disk))
        })
    }

    fn read(&self, key: StoreKey) -> BoxFuture<'_, Option<Bytes>> {
        if let Some(value) = self.peek(key) {
            return Box::pin(ready(Some(value)));
        }
        match self.disk(key) {
            Some(disk) => Box::pin(disk.get(key)),
            None => Box::pin(ready(None)),
        }
    }

    fn put(&self, key: StoreKey, value: Bytes) {
        if let Some(disk) = self.disk(key) {
            disk.put(key, value.clone());
        }
        self.memory.put(key, value);
    }

    fn room(&self, bytes: usize) -> BoxFuture<'_, ()> {
        match &self.disk {
            Some(disk) => Box::pin(disk.bodies.room(bytes)),
            None => Box::pin(ready(())),
        }
    }

    fn presence(&self, key: StoreKey) -> Presence {
        if self.memory(key).contains(key) {
            return Presence::Memory;
        }
        match self.disk(key) {
            Some(disk) if disk.contains(key) => Presence::Disk,
            _ => Presence::Absent,
        }
    }

    fn forget(&self, key: StoreKey) {
        self.memory(key).forget(key);
        if let Some(disk) = self.disk(key) {
            disk.forget(key);
        }
    }

    fn health(&self) -> Health {
        match &self.disk {
            None => Health::MemoryOnly,
            Some(disk) if disk.heads.is_well() && disk.bodies.is_well() => Health::Healthy,
            Some(_) => Health::Bypassed,
        }
    }

    fn stats(&self, tier: Tier) -> Option<TierStats> {
        Some(match tier {
            Tier::Memory => self.memory.stats(),
            Tier::Disk => {
                let disk = self.disk.as_ref()?;
                disk.heads.stats().and(disk.bodies.stats())
            }
        })
    }

    fn flush(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Some(disk) = &self.disk {
                disk.heads.flush().await;
                disk.bodies.flush().await;
            }
        })
    }
}

impl Pair {
    fn stop(&self) {
        self.heads.stop();
        self.bodies.stop();
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn open_pair(
    config: DiskConfig,
    budget: &Budget,
    care: Care,
    runtime: &Handle,
) -> Result<Pair, OpenError> {
    let path = config.path.clone();
    let prepared = runtime.spawn_blocking(move || layout::prepare(&config)).await;
    let layout::Prepared { lock, heads, bodies } = prepared
        .unwrap_or_else(|died| Err(OpenError::Engine { path, reason: died.to_string() }))?;
    let lock = Arc::new(lock);
    let (heads, heads_task) = Disk::open(heads, budget, care, lock.clone(), runtime).await?;
    let opened = Disk::open(bodies, budget, care, lock, runtime).await;
    let (bodies, bodies_task) = opened.inspect_err(|_| heads.stop())?;
    Ok(Pair { heads, bodies, tasks: Mutex::new(vec![heads_task, bodies_task]) })
}

#[cfg(test)]
mod tests;
