//! Reading a stored body, chunk by chunk, one ahead.
//!
//! The index of a tier may promise what its device does not give: a damaged block, an I/O error, a
//! read that takes too long. The reader finds out late, so it does two things for those who come
//! after: [`StoredReader::primed`] tries the first chunk before anything was promised to a client,
//! and a chunk that could not be had is taken out of the index, so that the next request does not
//! rely on it. With a [`Mender`] it has the chunk fetched again; without, the body breaks off.
//!
//! It hands out no more than it is asked for, and between two pieces of a chunk it keeps nothing:
//! what a slow client pins is its piece, the chunk stays where the store can evict it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::budget::window;
use crate::fill::ReadError;
use crate::repair::Mender;
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
    mender: Option<Box<Mender>>,
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
        let (slots, mender) = (VecDeque::new(), None);
        Self { store, object, offset: from, to, next_chunk, slots, mender }
    }

    /// Has chunks that are lost meanwhile fetched again.
    #[must_use]
    pub fn mended(mut self, mender: Option<Mender>) -> Self {
        self.mender = mender.map(Box::new);
        self
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
        std::future::poll_fn(|cx| {
            let first = ready!(self.poll_chunk(cx, READS_MAX));
            let found = first.is_some();
            if found {
                self.slots.push_front(Slot::Ready(first));
            }
            Poll::Ready(found)
        })
        .await
    }

    /// Number of the chunk at the offset.
    const fn chunk(&self) -> u32 {
        (self.offset / CHUNK_BYTES as u64) as u32
    }

    /// The next bytes, at most `bytes_max` (one at least); `None` at the end. A chunk that is in no
    /// tier any more and cannot be fetched again is an error: what was sent so far must not look
    /// complete.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.offset >= self.to {
            return Poll::Ready(None);
        }
        let is_whole = bytes_max >= CHUNK_BYTES;
        let chunk = ready!(self.poll_chunk(cx, if is_whole { READS_MAX } else { 1 }));
        let skip = (self.offset % CHUNK_BYTES as u64) as usize;
        let Some(chunk) = chunk.filter(|bytes| bytes.len() > skip) else {
            return Poll::Ready(Some(Err(ReadError::FellBehind)));
        };
        let left = usize::try_from(self.remaining()).unwrap_or(usize::MAX);
        let end = chunk.len().min(skip.saturating_add(left.min(bytes_max.max(1))));
        self.offset += (end - skip) as u64;
        if end < chunk.len() {
            // Found again in the store when the client takes more.
            self.slots.clear();
            self.next_chunk = self.chunk();
        }
        Poll::Ready(Some(Ok(window::cut(&chunk, skip, end))))
    }

    /// Takes the chunk at the offset: from the store, or else from the origin.
    fn poll_chunk(&mut self, cx: &mut Context<'_>, reads_max: usize) -> Poll<Option<Bytes>> {
        let wanted = self.chunk();
        self.read_ahead(reads_max);
        if let Some(first) = self.slots.front_mut() {
            let loaded = match first {
                Slot::Ready(bytes) => bytes.take(),
                Slot::Loading(loading) => ready!(Pin::new(loading).poll(cx)),
            };
            let skip = (self.offset % CHUNK_BYTES as u64) as usize;
            if let Some(chunk) = loaded.filter(|bytes| bytes.len() > skip) {
                self.slots.pop_front();
                return Poll::Ready(Some(chunk));
            }
            if !matches!(first, Slot::Ready(None)) {
                // Once: what comes back meanwhile is to stay.
                *first = Slot::Ready(None);
                let key = StoreKey { object: self.object, part: Part::Chunk(wanted) };
                self.store.forget(key);
            }
        }
        let mended = ready!(self.poll_mend(cx, wanted));
        self.slots.pop_front();
        Poll::Ready(mended)
    }

    fn poll_mend(&mut self, cx: &mut Context<'_>, chunk: u32) -> Poll<Option<Bytes>> {
        let Some(mender) = &mut self.mender else { return Poll::Ready(None) };
        let last = ((self.to - 1) / CHUNK_BYTES as u64) as u32;
        mender.poll_chunk(cx, chunk, last)
    }

    fn read_ahead(&mut self, reads_max: usize) {
        let last = ((self.to - 1) / CHUNK_BYTES as u64) as u32;
        while self.slots.len() < reads_max && self.next_chunk <= last {
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
