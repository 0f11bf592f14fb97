//! The disk engine: foyer's block engine, set up so that its known defects cannot reach us.
//!
//! Its memory part keeps nothing (every entry is "phantom"); it serves only to let concurrent
//! loads of one key share one read. Keys are immutable, so a lost delete or a resurrected entry
//! is unreachable garbage. No tombstone log, no reinsertion, no compression, one flusher;
//! buffered I/O, so that the page cache is a third tier.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use foyer::{
    Age, BlockEngineConfig, DeviceBuilder, EvictionInfo, EvictionPicker, FifoPicker,
    FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy, HybridCacheProperties,
    PsyncIoEngineConfig, RecoverMode, S3FifoConfig, Spawner,
};
use tokio::runtime::Handle;

use super::frame::Framed;
use super::layout::{Layout, OpenError};
use super::slot::{Mix, Slot};
use super::writer::Sink;

/// Threads that read blocks when the engine opens, in tasks.
const RECOVER_TASKS: usize = 8;

/// Clean blocks that are kept ready, so that a batch need not wait for one.
const CLEAN_BLOCKS: usize = 2;

/// What a load gave.
#[derive(Debug)]
pub(super) enum Loaded {
    /// The value; `aging` says that its block will be evicted soon.
    Value {
        /// The payload.
        bytes: Bytes,
        /// Whether it should be written again to stay.
        aging: bool,
    },
    /// Not there (any more), or the engine's checksum did not fit.
    Absent,
    /// There, but it is not the value of this key.
    Damaged,
    /// The system refused.
    Failed(foyer::Error),
}

/// One open engine; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    cache: HybridCache<Slot, Framed, Mix>,
    runtime: Handle,
}

impl Engine {
    /// Opens the blocks in a directory that [`super::layout::prepare`] has made, and reads what
    /// is in them. `batch_bytes` is what the writer hands over at once; `reclaimed` counts blocks
    /// whose values were evicted. Everything runs on `runtime`; a panic inside is an error here.
    pub(super) async fn open(
        layout: &Layout,
        batch_bytes: usize,
        reclaimed: Arc<AtomicU64>,
        runtime: &Handle,
    ) -> Result<Self, OpenError> {
        let failed = {
            let path = layout.path.clone();
            move |reason: String| OpenError::Engine { path, reason }
        };
        let layout = layout.clone();
        let spawner = Spawner::from(runtime.clone());
        let opened = runtime
            .spawn(async move { build(&layout, batch_bytes, reclaimed, spawner).await })
            .await;
        match opened {
            Ok(Ok(cache)) => Ok(Self { cache, runtime: runtime.clone() }),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(died) => Err(failed(format!("it died while opening: {died}"))),
        }
    }

    /// Reads a value.
    pub(super) async fn load(&self, slot: Slot) -> Loaded {
        match self.cache.get(&slot).await {
            Ok(Some(entry)) => match entry.value().open(slot) {
                Some(bytes) => Loaded::Value { bytes, aging: entry.properties().age() == Age::Old },
                None => Loaded::Damaged,
            },
            Ok(None) => Loaded::Absent,
            Err(error) => Loaded::Failed(error),
        }
    }

    /// Takes the value out of the index, if it is there.
    pub(super) fn remove(&self, slot: Slot) {
        if self.cache.storage().may_contains(&slot) {
            self.cache.remove(&slot);
        }
    }

    /// Waits for writes under way and ends.
    pub(super) async fn close(&self) {
        if let Err(error) = self.cache.close().await {
            tracing::warn!(engine = self.cache.name(), %error, "disk engine did not close cleanly");
        }
    }
}

impl Sink for Engine {
    fn insert(&self, slot: Slot, value: Bytes) {
        drop(self.cache.insert(slot, Framed::Outgoing(slot, value)));
    }

    async fn settled(&self) -> bool {
        // In a task of its own: after a failed write the engine may panic here.
        let storage = self.cache.storage().clone();
        self.runtime.spawn(async move { storage.wait().await }).await.is_ok()
    }

    fn contains(&self, slot: Slot) -> bool {
        self.cache.storage().may_contains(&slot)
    }
}

async fn build(
    layout: &Layout,
    batch_bytes: usize,
    reclaimed: Arc<AtomicU64>,
    spawner: Spawner,
) -> foyer::Result<HybridCache<Slot, Framed, Mix>> {
    // The engine drops what does not fit into the rest of a buffer: it never has to, as the
    // writer hands over at most half a buffer and waits.
    let buffer_bytes = 2 * batch_bytes;
    // `build` of the device unwraps `create_dir_all`: the directory exists.
    let device = FsDeviceBuilder::new(&layout.path)
        .with_capacity(layout.size_bytes() as usize)
        .with_direct(false)
        .build()?;
    let engine = BlockEngineConfig::<Slot, Framed, HybridCacheProperties>::new(device)
        .with_block_size(layout.block_bytes as usize)
        .with_flushers(1)
        .with_reclaimers(1)
        .with_clean_block_threshold(CLEAN_BLOCKS)
        .with_buffer_pool_size(buffer_bytes)
        .with_submit_queue_size_threshold(buffer_bytes)
        .with_recover_concurrency(RECOVER_TASKS)
        .with_eviction_pickers(vec![Box::new(CountingPicker::new(reclaimed))])
        .with_tombstone_log(false);
    HybridCacheBuilder::new()
        .with_name(layout.name)
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_flush_on_close(false)
        .memory(1)
        .with_shards(1)
        .with_eviction_config(S3FifoConfig::default())
        .with_hash_builder(Mix)
        .with_filter(|_, _| false)
        .storage()
        .with_io_engine_config(PsyncIoEngineConfig::new())
        .with_engine_config(engine)
        .with_recover_mode(RecoverMode::Quiet)
        .with_spawner(spawner)
        .build()
        .await
}

/// First in, first out, and a count of the blocks that went.
#[derive(Debug)]
struct CountingPicker {
    fifo: FifoPicker,
    reclaimed: Arc<AtomicU64>,
}

impl CountingPicker {
    fn new(reclaimed: Arc<AtomicU64>) -> Self {
        Self { fifo: FifoPicker::default(), reclaimed }
    }
}

impl EvictionPicker for CountingPicker {
    fn init(&mut self, blocks: &[u32], block_size: usize) {
        self.fifo.init(blocks, block_size);
    }

    fn pick(&mut self, info: EvictionInfo<'_>) -> Option<u32> {
        self.fifo.pick(info)
    }

    fn on_block_evictable(&mut self, info: EvictionInfo<'_>, block: u32) {
        self.fifo.on_block_evictable(info, block);
    }

    fn on_block_evict(&mut self, info: EvictionInfo<'_>, block: u32) {
        self.reclaimed.fetch_add(1, Ordering::Relaxed);
        self.fifo.on_block_evict(info, block);
    }
}
