//! Permit → writer → stored: the one side of a fill that fetches.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout};

use super::FailureCode;
use super::abandon::{REMEMBER_ERROR_MS, REMEMBER_MS};
use super::machine::WINDOW_CHUNKS;
use super::patience::Patience;
use super::progress::{Fill, FillHead, HeadOutcome, Kept};
use crate::budget::{Class, Permit};
use crate::cache::Cache;
use crate::directory::{Record, Varied};
use crate::invalidate::Watermark;
use crate::policy::Storable;
use crate::range::{RangeSpec, Received};
use crate::store::{CHUNK_BYTES, Health, INLINE_BYTES_MAX, Part, StoreKey};

/// How far a fill runs ahead of its fastest reader when what it fetches can be kept nowhere.
const AHEAD_BYTES_MAX: u64 = (WINDOW_CHUNKS as u64 / 2) * CHUNK_BYTES as u64;

/// A fill that everybody left is finished all the same up to this length.
const FINISH_BYTES_MAX: u64 = 1024 * 1024;

/// The single right to ask the origin for one variant. Dropped without a result, it lets the
/// others go.
#[derive(Debug)]
pub struct FillPermit {
    inner: Option<Inner>,
    sent: Watermark,
    /// No client waits: a background validation is finished whoever leaves.
    background: bool,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) cache: Arc<Cache>,
    pub(super) fill: Arc<Fill>,
}

impl FillPermit {
    pub(crate) fn new(cache: Arc<Cache>, fill: Arc<Fill>, background: bool) -> Self {
        let sent = cache.watermark();
        Self { inner: Some(Inner { cache, fill }), sent, background }
    }

    /// For a response that is here already, to a request that was sent under `sent`.
    pub(crate) fn answered(cache: Arc<Cache>, fill: Arc<Fill>, sent: Watermark) -> Self {
        fill.sent(sent);
        Self { inner: Some(Inner { cache, fill }), sent, background: false }
    }

    /// Call it right before the first connection attempt: fixes the watermark of the fetch.
    pub fn sending(&mut self) -> Watermark {
        if let Some(inner) = &self.inner {
            self.sent = inner.cache.watermark();
            inner.fill.sent(self.sent);
        }
        self.sent
    }

    /// The bytes that the origin is to be asked for; `None`: all.
    pub fn asked(&self) -> Option<RangeSpec> {
        self.inner.as_ref().and_then(|inner| inner.fill.key().asked)
    }

    /// The watermark of the fetch.
    pub const fn sent(&self) -> Watermark {
        self.sent
    }

    /// The origin answered with a storable response: its body follows. `omitted` are fields that
    /// only the request that fetched is given. `Err` gives the permit
    /// back when there is no memory for another fill (the request then goes on alone).
    pub fn storable(
        mut self,
        kept: Kept,
        status: StatusCode,
        (headers, omitted): (HeaderMap, HeaderMap),
        content: Content,
        storable: Storable,
        varied: Option<Arc<Varied>>,
    ) -> Result<FillWriter, Self> {
        let length = content.length();
        let window = CHUNK_BYTES as u64 * (WINDOW_CHUNKS as u64 + 1);
        let wanted = length.unwrap_or(window).min(window).max(1024) as usize;
        let inner = self.inner.take().expect("a permit is used once");
        let Some(memory) = inner.cache.budget.take(Class::Fills, wanted) else {
            self.inner = Some(inner);
            return Err(self);
        };
        let key = inner.fill.key().key;
        let mut head = FillHead {
            kept,
            status,
            headers,
            omitted,
            length,
            part: None,
            sent: self.sent,
            validated: self.sent.position,
            tags: storable.tags.into_boxed_slice(),
            tags_overflow: storable.tags_overflow,
            varied,
            fresh: storable.fresh,
            object: inner.cache.next_object(&kept.key),
        };
        if let Content::Part(received, base) = content {
            head.take_part(received, base.as_deref());
        }
        let head = Arc::new(head);
        if length.is_some_and(|length| !inner.cache.can_keep(length)) {
            // Only the request that started it can read it along: the others need not wait.
            inner.remember(self.sent, REMEMBER_MS);
        } else {
            inner.cache.hit_for_miss.forget(&key);
        }
        inner.fill.settle(HeadOutcome::Head(Arc::clone(&head)));
        let keep = self.background;
        let patience = Patience::default();
        let inner = Some(inner);
        Ok(FillWriter { inner, head, keep, patience, _memory: memory })
    }

    /// The origin's answer may not be stored: the waiters go alone, and for a while later requests
    /// for the key do not wait at all.
    pub fn not_storable(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.remember(self.sent, REMEMBER_MS);
            inner.settle(HeadOutcome::Released);
        }
    }

    /// The origin answered with an error. That speaks of the moment, not of the URL: it is
    /// remembered for a moment only, and not at all while something stored may stand in.
    pub fn erred(mut self, may_stand_in: bool) {
        if let Some(inner) = self.inner.take() {
            if !may_stand_in {
                inner.remember(self.sent, REMEMBER_ERROR_MS);
            }
            inner.settle(HeadOutcome::Erred);
        }
    }

    /// The origin confirmed `record`, which is published already.
    pub fn validated(mut self, record: Record) {
        if let Some(inner) = self.inner.take() {
            inner.settle(HeadOutcome::Validated(Box::new(record)));
        }
    }

    /// The fetch failed; all who wait share the failure.
    pub fn failed(mut self, code: FailureCode) {
        if let Some(inner) = self.inner.take() {
            inner.settle(HeadOutcome::Failed(code));
        }
    }
}

impl Inner {
    fn remember(&self, sent: Watermark, for_ms: u64) {
        let until = self.cache.clock.now().plus_ms(for_ms);
        self.cache.hit_for_miss.remember(&self.fill.key().key, sent.position, until);
    }

    /// Off the list first: who is woken and looks again must not find this fill.
    fn settle(&self, outcome: HeadOutcome) {
        self.cache.fills.remove(&self.fill);
        self.fill.settle(outcome);
    }
}

impl Drop for FillPermit {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.settle(HeadOutcome::Released);
        }
    }
}

/// Everybody left and the rest is not worth fetching.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abandoned;

/// Why a finished body was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PublishError {
    /// The length is not the declared one, or more came than declared.
    Length,
    /// It is larger than what this node can keep.
    TooLarge,
    /// It is a part, and the whole is stored.
    Whole,
}

/// What the content of an answer is.
#[derive(Debug)]
pub enum Content {
    /// All of the body; its length if it is declared.
    Whole(Option<u64>),
    /// Some bytes of it, and what is stored of the same representation.
    Part(Received, Option<Box<Record>>),
}

impl Content {
    const fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(length) => *length,
            Self::Part(received, _) => Some(received.range.len()),
        }
    }
}

/// Writes the body of one fill. Dropped before [`FillWriter::finish`], it breaks the body off.
#[derive(Debug)]
pub struct FillWriter {
    inner: Option<Inner>,
    pub(super) head: Arc<FillHead>,
    keep: bool,
    /// Towards a disk that is busy.
    patience: Patience,
    _memory: Permit,
}

/// Codes that the machine reports for a body whose length is wrong.
pub const LENGTH_MISMATCH: FailureCode = FailureCode(u16::MAX);
/// The writer went away without finishing.
pub const BROKEN_OFF: FailureCode = FailureCode(u16::MAX - 1);

impl FillWriter {
    /// The head that was announced.
    pub const fn head(&self) -> &Arc<FillHead> {
        &self.head
    }

    /// Waits until the next piece may come: the disk has room, or a reader is close enough. `Err`
    /// when everybody left and the rest is not worth fetching.
    pub async fn ready(&mut self) -> Result<(), Abandoned> {
        let Some(inner) = &self.inner else { return Err(Abandoned) };
        let free_running = self.fits_somewhere(&inner.cache);
        std::future::poll_fn(|cx| match inner.fill.ahead_bytes(cx.waker()) {
            None if self.keep || self.worth_finishing(inner) => Poll::Ready(Ok(())),
            None => Poll::Ready(Err(Abandoned)),
            Some(ahead) if free_running || ahead <= AHEAD_BYTES_MAX => Poll::Ready(Ok(())),
            Some(_) => Poll::Pending,
        })
        .await?;
        let received = inner.fill.read_machine(super::machine::Machine::received);
        if received > INLINE_BYTES_MAX as u64 && !self.patience.is_over() {
            let mut room = pin!(inner.cache.store.room(CHUNK_BYTES));
            let has_room =
                std::future::poll_fn(|cx| Poll::Ready(room.as_mut().poll(cx).is_ready())).await;
            if !has_room {
                let since = Instant::now();
                if timeout(self.patience.left(received), room).await.is_err() {
                    tracing::debug!(object = self.head.object, "a fill goes on without the disk");
                }
                self.patience.waited(since.elapsed());
            }
        }
        Ok(())
    }

    /// Appends a piece. More than the declared length breaks the body off.
    pub fn write(&mut self, data: Bytes) {
        let Some(inner) = &self.inner else { return };
        if data.is_empty() || inner.fill.read_machine(super::machine::Machine::ended) {
            return;
        }
        let chunks = inner.fill.advance(|machine| {
            let chunks = machine.append(data, LENGTH_MISMATCH);
            // In the store before a reader can be sent there: the lock is held.
            for (number, bytes) in &chunks {
                inner.cache.store.put(self.chunk_key(*number), bytes.clone());
            }
            chunks.len()
        });
        tracing::trace!(object = self.head.object, chunks, "fill advanced");
    }

    /// The origin's body is complete: stores and publishes it.
    pub fn finish(mut self) -> Result<Record, PublishError> {
        let inner = self.inner.take().expect("a writer finishes once");
        let last = inner.fill.advance(|machine| machine.finish(LENGTH_MISMATCH));
        if let Some((number, bytes)) = last {
            inner.cache.store.put(self.chunk_key(number), bytes);
        }
        let published = match &self.head.part {
            None => self.publish(&inner),
            Some(_) => self.publish_part(&inner),
        };
        inner.cache.fills.remove(&inner.fill);
        published
    }

    /// The origin broke off, or we did. What came is kept as a part, if the rest can be added later.
    pub fn fail(mut self, code: FailureCode) {
        if let Some(inner) = self.inner.take() {
            let too_long = inner.fill.read_machine(super::machine::Machine::ended);
            Self::break_off(&inner, code);
            if !too_long && let Some(kept) = self.keep_part(&inner) {
                tracing::debug!(
                    object = self.head.object,
                    bytes = kept,
                    "a body broke off: a part stays"
                );
            }
        }
    }

    pub(super) fn chunk_key(&self, number: u32) -> StoreKey {
        StoreKey { object: self.head.object, part: Part::Chunk(number) }
    }

    /// Whether the fill may run at the origin's speed because nothing it fetches is lost.
    fn fits_somewhere(&self, cache: &Cache) -> bool {
        (cache.store.health() == Health::Healthy && !self.patience.is_over())
            || self.head.length.is_some_and(|length| cache.can_keep(length))
    }

    /// Nobody reads any more: finish what is short, or more than half here.
    fn worth_finishing(&self, inner: &Inner) -> bool {
        let received = inner.fill.read_machine(super::machine::Machine::received);
        match self.head.length {
            Some(length) => length <= FINISH_BYTES_MAX || received > length / 2,
            None => received <= FINISH_BYTES_MAX,
        }
    }

    fn break_off(inner: &Inner, code: FailureCode) {
        // Off the list first: nobody joins what has broken off.
        inner.cache.fills.remove(&inner.fill);
        inner.fill.advance(|machine| machine.fail(code));
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            Self::break_off(&inner, BROKEN_OFF);
        }
    }
}
