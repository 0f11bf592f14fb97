//! A request that reads a body while it arrives: from the window, behind it from the store, and what
//! is lost there from the origin again.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::FailureCode;
use super::machine::Read;
use super::progress::Waiter;
use crate::budget::window;
use crate::repair::Mender;
use crate::store::{BoxFuture, CHUNK_BYTES, Part, Store, StoreKey};

/// Why a reader does not get its next bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// The fill failed.
    Failed(FailureCode),
    /// The reader fell behind and the bytes are in no tier any more.
    FellBehind,
}

/// A request that reads a body while it arrives.
pub struct FillReader {
    waiter: Waiter,
    store: Arc<dyn Store>,
    object: u64,
    offset: u64,
    to: Option<u64>,
    loading: Option<Loading>,
    mender: Option<Box<Mender>>,
}

/// A chunk behind the window on its way to a reader.
enum Loading {
    Stored { chunk: u32, load: BoxFuture<'static, Option<Bytes>> },
    Lost { chunk: u32 },
}

impl std::fmt::Debug for FillReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FillReader").field("offset", &self.offset).field("to", &self.to).finish()
    }
}

impl FillReader {
    pub(super) const fn new(
        waiter: Waiter,
        store: Arc<dyn Store>,
        object: u64,
        from: u64,
        to: Option<u64>,
    ) -> Self {
        Self { waiter, store, object, offset: from, to, loading: None, mender: None }
    }

    /// Has chunks that are lost meanwhile fetched again.
    #[must_use]
    pub fn mended(mut self, mender: Option<Mender>) -> Self {
        self.mender = mender.map(Box::new);
        self
    }

    /// The next bytes, at most `bytes_max` (one at least); `None` at the clean end.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        loop {
            if self.to.is_some_and(|to| self.offset >= to) {
                return Poll::Ready(None);
            }
            if self.loading.is_some() {
                let skip = (self.offset % CHUNK_BYTES as u64) as usize;
                let loaded = ready!(self.poll_loading(cx));
                self.loading = None;
                let Some(chunk) = loaded.filter(|bytes| bytes.len() > skip) else {
                    return Poll::Ready(Some(Err(ReadError::FellBehind)));
                };
                return Poll::Ready(Some(Ok(self.take(&chunk, skip, bytes_max))));
            }
            match self.waiter.look(self.offset, cx) {
                Read::Data(bytes) => return Poll::Ready(Some(Ok(self.take(&bytes, 0, bytes_max)))),
                Read::Stored { chunk, .. } => {
                    let load = self.load(chunk);
                    self.loading = Some(Loading::Stored { chunk, load });
                }
                Read::Wait => return Poll::Pending,
                Read::End => return Poll::Ready(None),
                Read::Failed(code) => return Poll::Ready(Some(Err(ReadError::Failed(code)))),
            }
        }
    }

    /// The chunk that is being loaded: from the store, or else from the origin.
    fn poll_loading(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let lost = match &mut self.loading {
            None => return Poll::Ready(None),
            Some(Loading::Lost { chunk }) => *chunk,
            Some(Loading::Stored { chunk, load }) => {
                if let Some(loaded) = ready!(load.as_mut().poll(cx)) {
                    return Poll::Ready(Some(loaded));
                }
                *chunk
            }
        };
        self.loading = Some(Loading::Lost { chunk: lost });
        let Some(mender) = &mut self.mender else { return Poll::Ready(None) };
        // No further than what was whole when the reader came: the rest is on its way.
        let received = self.waiter.received();
        let whole = (received / CHUNK_BYTES as u64).saturating_sub(1);
        let wanted = self.to.map_or(whole, |to| whole.min((to - 1) / CHUNK_BYTES as u64));
        mender.poll_chunk(cx, lost, wanted as u32)
    }

    fn load(&self, chunk: u32) -> BoxFuture<'static, Option<Bytes>> {
        let key = StoreKey { object: self.object, part: Part::Chunk(chunk) };
        let store = Arc::clone(&self.store);
        Box::pin(async move { store.get(key).await.map(|(bytes, _)| bytes) })
    }

    /// Takes the bytes of `held` from `skip` on, as many as there are, fit the range and are
    /// wanted; moves on and tells the writer.
    fn take(&mut self, held: &Bytes, skip: usize, bytes_max: usize) -> Bytes {
        let left = self
            .to
            .map_or(usize::MAX, |to| usize::try_from(to - self.offset).unwrap_or(usize::MAX));
        let end = held.len().min(skip.saturating_add(left.min(bytes_max.max(1))));
        let bytes = window::cut(held, skip, end);
        self.offset += bytes.len() as u64;
        self.waiter.moved(self.offset);
        bytes
    }
}
