//! Responses of which only parts are stored (RFC 9111 §3.3, §3.4): what the origin is asked for,
//! how a part joins what is there, and what is left when chunks are gone.
//!
//! A response keeps the lowest watermark and all tags of what it was made of: a part that is
//! fetched later does not rehabilitate the others. What is here is never served as complete.

use std::sync::Arc;

use http::StatusCode;
use http::header::{ETAG, HeaderMap, HeaderValue};
use smallvec::SmallVec;

use super::{Cache, Found, Request};
use crate::directory::Record;
use crate::fill::{FillHead, PublishError};
use crate::head;
use crate::policy::validation::EntityTag;
use crate::range::{ByteRange, Parts, Piece, RangeSpec, wanted};
use crate::reader::StoredReader;
use crate::store::{CHUNK_BYTES, Part, StoreKey};
use crate::{CacheKey, Millis};

/// Readers of one range, in order: one for each object that it lies in.
pub type Readers = SmallVec<[StoredReader; 1]>;

impl Found {
    /// The stored response, if it has all that the request needs: it can be validated, or stand in
    /// for an error.
    pub fn base(&self) -> Option<&Record> {
        self.record.as_ref().filter(|_| self.lacks.is_none())
    }

    /// The stored parts that the rest is to be added to.
    pub fn incomplete(&self) -> Option<&Record> {
        let tagged = |record: &&Record| record.parts.as_ref().is_some_and(|all| all.tag.is_some());
        self.record.as_ref().filter(|_| self.lacks.is_some()).filter(tagged)
    }

    /// What the origin is asked for; `None`: everything. Of a response of which parts are stored
    /// the rest, if it has a strong tag that lets the answer be combined with them.
    pub(super) fn asks(&self, request: &Request<'_>) -> Option<RangeSpec> {
        if self.base().is_some() {
            return None;
        }
        let forwards = request.options.forward_ranges;
        if let (Some(record), Some(lacks)) = (self.incomplete(), self.lacks)
            && let Some(parts) = &record.parts
        {
            let whole = ByteRange { first: 0, last: record.length.saturating_sub(1) };
            // Pieces are bounded: who adds one too many takes all the rest instead.
            let is_some = forwards && !parts.is_full();
            let range = if is_some { lacks } else { parts.missing(whole)? };
            return Some(RangeSpec::From { first: range.first, last: Some(range.last) });
        }
        let forwardable = || wanted::forwardable(request.facts.method, request.headers);
        forwards.then(forwardable).flatten()
    }
}

impl Cache {
    /// Whether a fill brings less than this request needs.
    pub fn lacks(&self, request: &Request<'_>, head: &FillHead) -> bool {
        head.part.as_ref().is_some_and(|part| {
            let method = request.facts.method;
            wanted::lacking_on_arrival(method, request.headers, &part.parts, part.length).is_some()
        })
    }

    /// Whether a purge or an invalidation forbids the bytes of a record.
    pub fn forbids(&self, request: &Request<'_>, record: &Record) -> bool {
        self.purges(record, &request.target).forbids()
    }

    /// Readers of the bytes `from..to` of a body that is not inline; `None` if some of them could
    /// not be read now, by RAM tables alone.
    pub fn readers(&self, record: &Record, from: u64, to: u64) -> Option<Readers> {
        if from >= to {
            return Some(Readers::new());
        }
        let range = ByteRange { first: from, last: to - 1 };
        let Some(parts) = &record.parts else {
            return Some(Readers::from_iter([self.reader(Piece {
                range,
                object: record.body,
                offset: from,
            })?]));
        };
        parts.cut(range)?.into_iter().map(|piece| self.reader(piece)).collect()
    }

    /// A reader of one piece, if it could be read now.
    pub fn reader(&self, piece: Piece) -> Option<StoredReader> {
        let (from, to) = (piece.offset, piece.offset + piece.range.len());
        let mut chunks = from / CHUNK_BYTES as u64..=(to - 1) / CHUNK_BYTES as u64;
        chunks
            .all(|chunk| self.has_chunk(piece.object, chunk))
            .then(|| StoredReader::new(Arc::clone(&self.store), piece.object, from, to))
    }

    /// Some bytes of a record are gone: what can still be read stays, as parts. `headers` are those
    /// stored. Nothing stays of a body without a strong tag: the rest could not be added.
    pub fn shrink(&self, record: &Record, headers: &HeaderMap) {
        let all = match &record.parts {
            Some(parts) => Some(Parts::clone(parts)),
            None => whole_of(record).map(|piece| Parts::new(strong_tag(headers), piece)),
        };
        let left = all
            .clone()
            .filter(|all| all.tag.is_some() && record.fresh.status == StatusCode::OK.as_u16())
            .and_then(|all| {
                all.readable(CHUNK_BYTES as u64, |object, chunk| self.has_chunk(object, chunk))
            })
            // A tier that promises what it does not give would be asked for ever.
            .filter(|left| Some(left) != all.as_ref());
        let Some(left) = left else { return self.forget(record) };
        self.directory.amend(&record.key, record.head, |stored| {
            // Another may have come meanwhile.
            if stored.parts == record.parts {
                stored.parts = Some(Arc::new(left));
            }
        });
    }

    /// Puts a response of which only `parts` are there into the directory, together with what is
    /// stored of the same representation. `length` is that of the whole.
    pub(crate) fn publish_parts(
        &self,
        key: &CacheKey,
        head: &FillHead,
        parts: Parts,
        length: u64,
    ) -> Result<Record, PublishError> {
        let mut record = Record {
            key: *key,
            head: self.next_object(key),
            body: head.object,
            length,
            fresh: head.fresh,
            sent: head.sent.position,
            checked: head.sent.position,
            validated: head.validated,
            local: head.sent.local,
            stale_since: Millis::MAX,
            tags: head.tags.clone(),
            tags_overflow: head.tags_overflow,
            varied: head.varied.clone(),
            inline: false,
            parts: None,
            head_bytes: 0,
        };
        let stored = self.directory.variants(key);
        let stored = stored.iter().find(|stored| stored.is_same_variant(&record));
        let parts = match stored.map(|stored| (stored, &stored.parts)) {
            // No purge came between: a whole response is worth more.
            Some((whole, None)) if (whole.sent, whole.local) >= (record.sent, record.local) => {
                return Err(PublishError::Whole);
            }
            // Only of one watermark: others have one of their own to keep.
            Some((stored, Some(there)))
                if there.tag.is_some()
                    && there.tag == parts.tag
                    && stored.length == length
                    && (stored.sent, stored.local) == (record.sent, record.local) =>
            {
                record.tags = union(&record.tags, &stored.tags);
                record.tags_overflow |= stored.tags_overflow;
                record.validated = record.validated.max(stored.validated);
                parts.pieces().iter().fold(Parts::clone(there), |all, piece| all.with(*piece))
            }
            _ => parts,
        };
        let (block, head_bytes) =
            head::encode(head.status, &head.headers, &[]).ok_or(PublishError::TooLarge)?;
        self.store.put(StoreKey { object: record.head, part: Part::Head }, block);
        record.head_bytes = head_bytes;
        record.parts = Some(Arc::new(parts));
        self.publish(record.clone());
        Ok(record)
    }
}

/// The entity tag of a head, if it is a strong one.
pub(crate) fn strong_tag(headers: &HeaderMap) -> Option<HeaderValue> {
    EntityTag::of_head(headers).filter(|tag| !tag.weak)?;
    headers.get(ETAG).cloned()
}

/// The body of a record as one piece; `None` if it stands behind its head or is empty.
fn whole_of(record: &Record) -> Option<Piece> {
    let last = record.length.checked_sub(1).filter(|_| !record.inline)?;
    Some(Piece { range: ByteRange { first: 0, last }, object: record.body, offset: 0 })
}

/// All members of both, once.
pub(crate) fn union(a: &[u64], b: &[u64]) -> Box<[u64]> {
    let mut all = a.to_vec();
    all.extend(b.iter().filter(|tag| !a.contains(tag)));
    all.into_boxed_slice()
}

#[cfg(test)]
mod tests;
