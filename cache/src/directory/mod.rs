//! The directory: cache key → what is stored under it and where; the authority.
//!
//! RAM, in shards by hash. No lock is held across an await. A [`Record`] is small because there
//! are many; heads and bodies are in the store under immutable ids.

pub(crate) mod files;
pub mod journal;
pub mod record;
pub mod shard;

pub use record::{Record, Varied};
