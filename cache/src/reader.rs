//! Reading a stored body, chunk by chunk, one ahead.
//!
//! The index of a tier may promise what its device does not give: a damaged block, an I/O error, a
//! read that takes too long. The reader finds out late, so it does two things for those who come
//! after: [`StoredReader::primed`] tries the first chunk before anything was promised to a client,
//! and a chunk that could not be had is taken out of the index, so that the next request does not
//! rely on it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::fill::ReadError;
use crate::store::{BoxFuture, CHUNK_BYTES, Part, Store, StoreKey};

/// Disk reads under way per reader: the one that is waited for and one ahead.
const READS_MAX: usize = 2;

enum Slot {
    Ready(Option<Bytes>),
    Loading(BoxFuture<'static, Option<Bytes>>),
}

/// Reads the bytes `from..to` of a stored body.
pub struct StoredReader {
    store: Arc<dyn Store>,
    object: u64,
    offset: u64,
    to: u64,
    next_chunk: u32,
    slots: VecDeque<Slot>,
}

impl std::fmt::Debug for StoredReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredReader").field("offset", &self.offset).field("to", &self.to).finish()
    }
}

impl StoredReader {
    /// A reader of one object's chunks.
    pub fn new(store: Arc<dyn Store>, object: u64, from: u64, to: u64) -> Self {
        let next_chunk = (from / CHUNK_BYTES as u64) as u32;
        Self { store, object, offset: from, to, next_chunk, slots: VecDeque::new() }
    }

    /// Bytes left.
    pub const fn remaining(&self) -> u64 {
        self.to - self.offset
    }

    /// Whether the first chunk can be had: waits for it, and keeps it for the read that follows.
    pub async fn primed(&mut self) -> bool {
        if self.offset >= self.to {
            return true;
        }
        self.read_ahead();
        std::future::poll_fn(|cx| {
            let Some(first) = self.slots.front_mut() else { return Poll::Ready(true) };
            if let Slot::Loading(loading) = first {
                let Poll::Ready(loaded) = Pin::new(loading).poll(cx) else { return Poll::Pending };
                *first = Slot::Ready(loaded);
            }
            let missing = matches!(first, Slot::Ready(None));
            if missing {
                self.forget(self.offset);
            }
            Poll::Ready(!missing)
        })
        .await
    }

    /// Takes the chunk at `offset` out of the index.
    fn forget(&self, offset: u64) {
        let chunk = (offset / CHUNK_BYTES as u64) as u32;
        self.store.forget(StoreKey { object: self.object, part: Part::Chunk(chunk) });
    }

    /// The next bytes; `None` at the end. A chunk that is in no tier any more is an error: what
    /// was sent so far must not look complete.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.offset >= self.to {
            return Poll::Ready(None);
        }
        self.read_ahead();
        let Some(first) = self.slots.front_mut() else { return Poll::Ready(None) };
        let loaded = match first {
            Slot::Ready(bytes) => bytes.take(),
            Slot::Loading(loading) => match Pin::new(loading).poll(cx) {
                Poll::Ready(bytes) => bytes,
                Poll::Pending => return Poll::Pending,
            },
        };
        self.slots.pop_front();
        let skip = (self.offset % CHUNK_BYTES as u64) as usize;
        let Some(chunk) = loaded.filter(|bytes| bytes.len() > skip) else {
            self.forget(self.offset);
            return Poll::Ready(Some(Err(ReadError::FellBehind)));
        };
        let end = chunk.len().min(skip + usize::try_from(self.remaining()).unwrap_or(usize::MAX));
        self.offset += (end - skip) as u64;
        Poll::Ready(Some(Ok(chunk.slice(skip..end))))
    }

    fn read_ahead(&mut self) {
        let last = ((self.to - 1) / CHUNK_BYTES as u64) as u32;
        while self.slots.len() < READS_MAX && self.next_chunk <= last {
            let key = StoreKey { object: self.object, part: Part::Chunk(self.next_chunk) };
            self.next_chunk += 1;
            if let Some(bytes) = self.store.peek(key) {
                // What is in memory needs no read-ahead, and holding it would only pin it.
                self.slots.push_back(Slot::Ready(Some(bytes)));
                break;
            }
            let store = Arc::clone(&self.store);
            let load = async move { store.get(key).await.map(|(bytes, _)| bytes) };
            self.slots.push_back(Slot::Loading(Box::pin(load)));
        }
    }
}
