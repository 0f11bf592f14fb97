//! A 304 and what it does to what is stored: new fields, the same bytes, never a younger fetch.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::{Cache, Request};
use crate::Millis;
use crate::directory::{Record, Varied};
use crate::head::{self, StoredHead};
use crate::invalidate::Watermark;
use crate::policy::Storable;
use crate::store::{Part, StoreKey};

impl Cache {
    /// **Freshen**: the origin confirmed `base` with a 304; `merged` is its head with the fields
    /// of the 304 taken over. Publishes the new record and gives it back; `None` if a hard purge
    /// selected the base meanwhile, or the head is too large.
    pub fn freshen(
        &self,
        request: &Request<'_>,
        base: &Record,
        inline: &Bytes,
        merged: &StoredHead,
        storable: Storable,
        sent: Watermark,
    ) -> Option<Record> {
        let body: &[Bytes] = if base.inline { std::slice::from_ref(inline) } else { &[] };
        let (block, head_bytes) = head::encode(merged.status, &merged.headers, body)?;
        let head_id = self.next_object(&base.key);
        self.store.put(StoreKey { object: head_id, part: Part::Head }, block.clone());
        let mut tags = base.tags.to_vec();
        tags.extend(storable.tags.iter().filter(|tag| !base.tags.contains(tag)));
        let overflows = storable.tags_overflow && !base.tags_overflow;
        // A tag that the response gained was never compared with the ledger.
        let gained = tags.len() > base.tags.len() || overflows;
        let record = Record {
            head: head_id,
            body: if base.inline { head_id } else { base.body },
            varied: self.still_varied(request, base, &storable, &merged.headers),
            fresh: storable.fresh,
            checked: if gained { base.sent } else { base.checked },
            validated: sent.position.max(base.validated),
            stale_since: Millis::MAX,
            tags_overflow: base.tags_overflow || storable.tags_overflow,
            tags: tags.into_boxed_slice(),
            head_bytes,
            ..base.clone()
        };
        // With the tags that it has now: a later 304 does not rehabilitate purged bytes.
        if self.purges(&record, &request.target).forbids() || !self.replace(base, &record) {
            self.store.forget(StoreKey { object: head_id, part: Part::Head });
            return None;
        }
        self.store.forget(StoreKey { object: base.head, part: Part::Head });
        if super::join::fits(request, record.varied.as_deref()) {
            return Some(record);
        }
        let varied = self.varied(request, &storable, &merged.headers);
        Some(self.alias(&record, block, varied))
    }

    /// The fields that a confirmed response was selected by stay, unless it varies on others now.
    fn still_varied(
        &self,
        request: &Request<'_>,
        base: &Record,
        storable: &Storable,
        merged: &HeaderMap,
    ) -> Option<Arc<Varied>> {
        match &base.varied {
            Some(varied) if varied.vary == storable.vary => Some(Arc::clone(varied)),
            _ => self.varied(request, storable, merged),
        }
    }

    /// Makes a stored response answer other selecting fields, too: the origin said with its 304
    /// that it is right for them (RFC 9111 §4.3.3). The content is shared, the head is not.
    fn alias(&self, record: &Record, block: Bytes, varied: Option<Arc<Varied>>) -> Record {
        let head = self.next_object(&record.key);
        self.store.put(StoreKey { object: head, part: Part::Head }, block);
        let body = if record.inline { head } else { record.body };
        let alias = Record { head, body, varied, ..record.clone() };
        self.publish(alias.clone());
        alias
    }

    /// Puts `record` in the place of `base`. `false` if the base is not stored any more: what took
    /// its place may be newer than these bytes.
    fn replace(&self, base: &Record, record: &Record) -> bool {
        let same = |a: &Varied, b: &Varied| a.selected == b.selected;
        let same_variant = match (&base.varied, &record.varied) {
            (None, None) => true,
            (Some(a), Some(b)) => same(a, b),
            _ => false,
        };
        if same_variant {
            let put = |stored: &mut Record| stored.clone_from(record);
            return self.directory.amend(&base.key, base.head, put).is_some();
        }
        // The 304 changed what it varies on.
        let was_stored = self.directory.forget(&base.key, base.head).is_some();
        if was_stored {
            self.publish(record.clone());
        }
        was_stored
    }
}
