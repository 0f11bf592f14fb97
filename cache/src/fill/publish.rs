//! What has come of a fill becomes reachable: a whole response, a part, or what came of a body
//! that broke off (RFC 9111 §3.3).

use http::StatusCode;

use super::progress::{FillHead, PartHead};
use super::writer::{FillWriter, Inner, PublishError};
use crate::Millis;
use crate::cache::{strong_tag, union};
use crate::directory::Record;
use crate::head;
use crate::range::{ByteRange, Parts, Piece, Received};
use crate::store::{Part, StoreKey};

impl FillHead {
    /// The content is these bytes only. What is stored of the same representation is used with
    /// them, so the response has its watermark and its tags, too (a part that is fetched later
    /// does not rehabilitate what was purged).
    pub(super) fn take_part(&mut self, received: Received, base: Option<&Record>) {
        let piece = Piece { range: received.range, object: self.object, offset: 0 };
        let alone = || Parts::new(strong_tag(&self.headers), piece);
        let stored = base.and_then(|base| base.parts.as_deref());
        let parts = stored.map_or_else(alone, |stored| stored.with(piece));
        let as_sent = base.is_none().then_some(received.as_sent);
        if let Some(base) = base {
            self.sent.position = self.sent.position.min(base.sent);
            self.sent.local = self.sent.local.min(base.local);
            self.tags = union(&self.tags, &base.tags);
            self.tags_overflow |= base.tags_overflow;
        }
        self.part = Some(PartHead { parts, length: received.length, as_sent });
    }
}

impl FillWriter {
    pub(super) fn publish(&self, inner: &Inner) -> Result<Record, PublishError> {
        let (complete, length, whole) = inner
            .fill
            .read_machine(|machine| (machine.complete(), machine.received(), machine.whole()));
        if !complete {
            return Err(PublishError::Length);
        }
        let cache = &inner.cache;
        if whole.is_none() && !cache.can_keep(length) {
            return Err(PublishError::TooLarge);
        }
        let inline = whole.is_some();
        let head_id =
            if inline { self.head.object } else { cache.next_object(&inner.fill.key().key) };
        let pieces = whole.unwrap_or_default();
        let (block, head_bytes) = head::encode(self.head.status, &self.head.headers, &pieces)
            .ok_or(PublishError::TooLarge)?;
        cache.store.put(StoreKey { object: head_id, part: Part::Head }, block);
        let record = Record {
            key: inner.fill.key().key,
            head: head_id,
            body: self.head.object,
            length,
            fresh: self.head.fresh,
            sent: self.head.sent.position,
            checked: self.head.sent.position,
            validated: self.head.validated,
            local: self.head.sent.local,
            stale_since: Millis::MAX,
            tags: self.head.tags.clone(),
            tags_overflow: self.head.tags_overflow,
            varied: self.head.varied.clone(),
            inline,
            parts: None,
            head_bytes,
        };
        cache.publish(record.clone());
        Ok(record)
    }

    /// All the bytes of a part have come.
    pub(super) fn publish_part(&self, inner: &Inner) -> Result<Record, PublishError> {
        let complete = inner.fill.read_machine(super::machine::Machine::complete);
        let part = self.head.part.as_ref().filter(|_| complete).ok_or(PublishError::Length)?;
        self.put_last_chunk(inner);
        let (cache, key) = (&inner.cache, inner.fill.key().key);
        cache.publish_parts(&key, &self.head, part.parts.clone(), part.length)
    }

    /// Keeps what came of a body that broke off: of a 200 of known length with a strong tag, to
    /// which the rest can be added. Gives back how many bytes.
    pub(super) fn keep_part(&self, inner: &Inner) -> Option<u64> {
        let received = inner.fill.read_machine(super::machine::Machine::received);
        let last = received.checked_sub(1)?;
        let tag = strong_tag(&self.head.headers)?;
        let (parts, length) = if let Some(part) = &self.head.part {
            (part.parts.without_rest(self.head.object, received)?, part.length)
        } else {
            let length = self.head.length.filter(|length| received < *length)?;
            let range = ByteRange { first: 0, last };
            let piece = Piece { range, object: self.head.object, offset: 0 };
            (Parts::new(Some(tag), piece), length)
        };
        let is_ok = self.head.status == StatusCode::OK && inner.cache.can_keep(received);
        if !is_ok {
            return None;
        }
        self.put_last_chunk(inner);
        let (cache, key) = (&inner.cache, inner.fill.key().key);
        cache.publish_parts(&key, &self.head, parts, length).ok()?;
        Some(received)
    }

    fn put_last_chunk(&self, inner: &Inner) {
        if let Some((number, bytes)) = inner.fill.read_machine(super::machine::Machine::last_chunk)
        {
            inner.cache.store.put(self.chunk_key(number), bytes);
        }
    }
}
