//! Reading a stored body, chunk by chunk, one ahead.

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
            self.slots.push_back(match self.store.peek(key) {
                Some(bytes) => Slot::Ready(Some(bytes)),
                None => {
                    let store = Arc::clone(&self.store);
                    let load = async move { store.get(key).await.map(|(bytes, _)| bytes) };
                    Slot::Loading(Box::pin(load))
                }
            });
            // What is in memory needs no read-ahead, and holding it would only pin it.
            if matches!(self.slots.back(), Some(Slot::Ready(_))) {
                break;
            }
        }
    }
}
