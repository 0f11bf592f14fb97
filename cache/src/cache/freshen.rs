//! A 304 and what it does to what is stored: new fields, the same bytes, never a younger fetch.

use bytes::Bytes;

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
        self.store.put(StoreKey { object: head_id, part: Part::Head }, block);
        let mut tags = base.tags.to_vec();
        tags.extend(storable.tags.iter().filter(|tag| !base.tags.contains(tag)));
        let overflows = storable.tags_overflow && !base.tags_overflow;
        // A tag that the response gained was never compared with the ledger.
        let gained = tags.len() > base.tags.len() || overflows;
        let record = Record {
            head: head_id,
            body: if base.inline { head_id } else { base.body },
            varied: self.varied(request, &storable),
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
        Some(record)
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
