//! Bytes by immutable key; knows no HTTP and not why something is stored.
//!
//! Only the directory makes bytes reachable. A key names one value for ever: object ids are
//! never reused, no `put` replaces a different value, so every lost update or resurrection
//! inside the store is unreachable garbage. Every answer may be "absent" at any time.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub mod faulty;
pub mod memory;
pub mod ram;
pub mod tiered;

mod counters;
mod disk;
mod engine;
mod frame;
mod keeper;
mod layout;
mod pulse;
mod room;
mod slot;
mod writer;

pub use faulty::{Fault, Faulty};
pub use memory::OnEvicted;
pub use ram::RamStore;
pub use tiered::{DiskConfig, OpenError, Tiered, TieredConfig};

/// Payload bytes of one body chunk: 16 × 4,096 − 64, so that with its frame it fills whole disk
/// pages, and thousands of slow readers that pin different chunks stay in budget.
pub const CHUNK_BYTES: usize = 65_472;

/// Bodies up to this length are stored inline behind their head, as one value.
pub const INLINE_BYTES_MAX: usize = CHUNK_BYTES;

/// Names one value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct StoreKey {
    /// Object id: boot epoch << 40 | counter; never reused.
    pub object: u64,
    /// Which part of the object.
    pub part: Part,
}

/// Part of a stored object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Part {
    /// The encoded head, with the body behind it when it is inline.
    Head,
    /// A chunk of a large body; all but the last have [`CHUNK_BYTES`].
    Chunk(u32),
}

/// Where a value could be read from right now, by RAM tables alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// In memory.
    Memory,
    /// Probably on disk.
    Disk,
    /// Nowhere.
    Absent,
}

/// Which tier gave a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tier {
    /// RAM.
    Memory,
    /// Disk, by way of RAM.
    Disk,
}

impl Tier {
    /// The `tier` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// Numbers of one tier, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierStats {
    /// Bytes held.
    pub bytes: u64,
    /// Values held.
    pub entries: u64,
    /// Values evicted since start.
    pub evictions: u64,
    /// Errors since start, by kind (see [`ErrorKind`]).
    pub errors: [u64; ErrorKind::ALL.len()],
}

impl TierStats {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            entries: self.entries + other.entries,
            evictions: self.evictions + other.evictions,
            errors: std::array::from_fn(|kind| self.errors[kind] + other.errors[kind]),
        }
    }
}

/// Kinds of trouble a tier counts: the `kind` label of `selvedge_store_errors_total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// A read failed or timed out.
    Read,
    /// A write failed or was dropped by the engine.
    Write,
    /// The writer's queue was full: the value stays in memory only.
    QueueFull,
    /// A value did not match its key, length or checksum.
    Corrupt,
    /// No space left.
    Full,
}

impl ErrorKind {
    /// Every kind, in the order of [`TierStats::errors`].
    pub const ALL: [Self; 5] =
        [Self::Read, Self::Write, Self::QueueFull, Self::Corrupt, Self::Full];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::QueueFull => "queue_full",
            Self::Corrupt => "corrupt",
            Self::Full => "full",
        }
    }
}

/// Whether the disk tier can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// There is no disk tier.
    MemoryOnly,
    /// It reads and writes.
    Healthy,
    /// It failed its probe: the node serves from memory until it recovers.
    Bypassed,
}

/// A future that crosses the trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The store. One object for all tiers, shared by all cores.
pub trait Store: Send + Sync + 'static {
    /// The value, if it is in memory.
    fn peek(&self, key: StoreKey) -> Option<Bytes>;

    /// The value from any tier. `None` is a miss, whatever the reason; reasons are counted.
    fn get(&self, key: StoreKey) -> BoxFuture<'_, Option<(Bytes, Tier)>>;

    /// The value from any tier, left where it lies: what is on disk does not move to memory.
    fn read(&self, key: StoreKey) -> BoxFuture<'_, Option<Bytes>>;

    /// Keeps a value: in memory at once, on disk behind (a copy that cannot be queued is counted
    /// and left out). `value` must own exactly its bytes: callers copy out of big buffers first.
    fn put(&self, key: StoreKey, value: Bytes);

    /// Waits until the disk writer has room for `bytes` more, or returns at once without a disk
    /// tier. Fills of large bodies call it before each chunk, so that the writer's speed is theirs.
    fn room(&self, bytes: usize) -> BoxFuture<'_, ()>;

    /// Where the value could be read from.
    fn presence(&self, key: StoreKey) -> Presence;

    /// Frees the space when convenient. Never semantics: the directory has already forgotten.
    fn forget(&self, key: StoreKey);

    /// The state of the disk tier.
    fn health(&self) -> Health;

    /// Numbers of a tier; `None` if there is no such tier.
    fn stats(&self, tier: Tier) -> Option<TierStats>;

    /// Waits until all that was put is on disk, as far as the engine can tell (for a clean stop).
    fn flush(&self) -> BoxFuture<'_, ()>;
}
