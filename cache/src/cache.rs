//! `Cache`: lookup, fill, freshen, invalidate.
//!
//! The one place where directory, store, fills, ledger and policy meet. Decisions are
//! `policy`'s; bytes are the store's; this file asks them in the right order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderMap;

use crate::budget::{Budget, Class};
use crate::directory::{Directory, Record};
use crate::fill::{FillPermit, Fills, HitForMiss, Waiter};
use crate::head::{self, StoredHead};
use crate::invalidate::{
    Live, Local, PurgeState, Sample, ScopeHash, Selection, TargetScopes, Wanted, Watermark,
};
use crate::policy::{self, Cause, Fresh, Judgement, Options, RequestFacts, flag};
use crate::range::{ByteRange, wanted};
use crate::repair::Repairs;
use crate::store::{Health, Part, Presence, Store, StoreKey, Tier};
use crate::{CacheKey, Clock, Millis};

mod explain;
mod freshen;
mod join;
mod parts;
mod searches;
mod select;
mod sweep;

pub use explain::{Compared, Explanation, Place, VariantView, WayOn};
pub use join::Admission;
pub use parts::Readers;
pub(crate) use parts::{strong_tag, union};
pub use searches::{Folded, Searches};
pub use select::{OTHERS_OFFERED_MAX, Offer};
pub use sweep::{Step, Sweeper};

/// The cache. Shared by all cores; every method is short and holds no lock across an await.
pub struct Cache {
    /// What is stored and where.
    pub directory: Arc<Directory>,
    /// Bytes.
    pub store: Arc<dyn Store>,
    /// Purges in force.
    pub live: Arc<Live>,
    /// Invalidations by unsafe methods.
    pub local: Local,
    /// What is kept of URLs, to count what a purge would select.
    pub sample: Sample,
    /// Fills in flight.
    pub fills: Fills,
    /// Lost chunks that are fetched again.
    pub repairs: Arc<Repairs>,
    /// Memory.
    pub budget: Budget,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What origins said about the queries of their paths.
    pub searches: Arc<Searches>,
    pub(crate) hit_for_miss: HitForMiss,
    tags_overflowed: AtomicU64,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("stored", &self.directory.len()).finish_non_exhaustive()
    }
}

/// A request, as the cache looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The cache key.
    pub key: &'a CacheKey,
    /// Directives and method.
    pub facts: &'a RequestFacts,
    /// All fields, for selecting.
    pub headers: &'a HeaderMap,
    /// What purges can select.
    pub target: TargetScopes<'a>,
    /// The site's rules.
    pub options: &'a Options,
    /// What was in force when it arrived.
    pub arrival: Watermark,
}

/// What the directory holds for a request, judged.
#[derive(Clone, Debug)]
pub struct Found {
    /// What to do, and why.
    pub judgement: Judgement,
    /// The stored response that fits, unless a purge forbids its bytes.
    pub record: Option<Record>,
    /// The bytes, from the first to the last, that the record lacks for this request: only parts
    /// of its body are stored.
    pub lacks: Option<ByteRange>,
    /// Hash of the selecting fields, for joining fills.
    selected: u64,
    /// What is stored is good for one request at a time: to wait for another's is in vain.
    solitary: bool,
}

/// A way on for a request that needs the origin.
#[derive(Debug)]
pub enum Entry {
    /// Fetch, and wait for the head like everybody else.
    Lead(FillPermit, Waiter),
    /// Somebody else fetches.
    Follow(Waiter),
    /// Meanwhile somebody stored it: look again.
    Again,
    /// Go to the origin without the cache, for this reason.
    Alone(Cause),
}

/// A stored head, loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Status and fields.
    pub head: StoredHead,
    /// The body if it is stored inline.
    pub inline: Bytes,
    /// Where the head came from.
    pub tier: Tier,
}

impl Cache {
    /// A cache over its parts.
    pub fn new(
        directory: Arc<Directory>,
        store: Arc<dyn Store>,
        live: Arc<Live>,
        budget: Budget,
        clock: Arc<dyn Clock>,
        searches: Arc<Searches>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            store,
            live,
            local: Local::default(),
            sample: Sample::default(),
            fills: Fills::default(),
            repairs: Repairs::new(budget.clone()),
            budget,
            clock,
            searches,
            hit_for_miss: HitForMiss::default(),
            tags_overflowed: AtomicU64::new(0),
        })
    }

    /// What is in force now: a request takes it on arrival, a fetch when it is sent.
    pub fn watermark(&self) -> Watermark {
        self.live.watermark(&self.local)
    }

    /// **Lookup**: finds the stored response that fits and judges it.
    pub fn lookup(&self, request: &Request<'_>) -> Found {
        let now = self.clock.now();
        self.examine(request, now).into_found(request)
    }

    /// The lookup itself, with everything that it found out; what it gives leads to a [`Found`].
    fn examine(&self, request: &Request<'_>, now: Millis) -> Examined {
        let (record, selected) = self.select(request);
        if record.is_some() {
            self.note(request);
        }
        let in_force = self.live.position();
        let purges = record.as_ref().map(|record| self.purges(record, &request.target));
        if let (Some(record), Some(purges)) = (&record, &purges)
            && record.checked < in_force
            && *purges == PurgeState::default()
        {
            // Compared with everything up to here: the next lookup need not do it again.
            self.directory.stamp(&record.key, record.head, in_force);
        }
        let purges = purges.unwrap_or_default();
        let stored = record.as_ref().map(|record| (&record.fresh, record.stale_since));
        let judgement = policy::reuse::judge(request.facts, stored, &purges, now, request.options);
        let lacks = record.as_ref().and_then(|record| {
            let parts = record.parts.as_ref()?;
            wanted::lacking(request.facts.method, request.headers, parts, record.length)
        });
        let judgement = match lacks {
            Some(_) => policy::reuse::incomplete(judgement, request.facts),
            None => judgement,
        };
        Examined { judgement, record, lacks, selected }
    }

    /// Which purges select a record.
    fn purges(&self, record: &Record, target: &TargetScopes<'_>) -> PurgeState {
        let since = self.live.compared(record.sent, record.checked);
        let mut purges = self.live.check(target, &record.tags, since, record.validated.max(since));
        if record.tags_overflow && since < self.live.marked() {
            // Tags that were not kept might be selected: the safe reading.
            purges.hard = purges.hard.or(Some(self.live.marked()));
        }
        purges.local = self.local.selects(target, &record.tags, record.tags_overflow, record.local);
        purges
    }

    /// Whether a body of this length, in bytes, can be kept: on disk, or in half of the memory that
    /// bodies may have now.
    pub fn can_keep(&self, length: u64) -> bool {
        self.store.health() == Health::Healthy
            || length <= self.budget.limit_bytes(Class::Bodies) as u64 / 2
    }

    /// Loads a stored head. `None`: the bytes are gone, and so is the record now.
    pub async fn load(&self, record: &Record) -> Option<Loaded> {
        let key = StoreKey { object: record.head, part: Part::Head };
        let loaded = match self.store.peek(key) {
            Some(block) => Some((block, Tier::Memory)),
            None => self.store.get(key).await,
        };
        let decoded = loaded.and_then(|(block, tier)| take_apart(record, &block, tier));
        if decoded.is_none() {
            self.forget(record);
        }
        decoded
    }

    /// [`load`](Self::load) without waiting: `None` unless the head is in memory and whole.
    pub fn load_now(&self, record: &Record) -> Option<Loaded> {
        let block = self.store.peek(StoreKey { object: record.head, part: Part::Head })?;
        take_apart(record, &block, Tier::Memory)
    }

    /// Whether a chunk could be read now, by RAM tables alone.
    fn has_chunk(&self, object: u64, chunk: u64) -> bool {
        let key = StoreKey { object, part: Part::Chunk(chunk as u32) };
        self.store.presence(key) != Presence::Absent
    }

    /// Takes a request's URL into the sample.
    fn note(&self, request: &Request<'_>) {
        let is_stored = |key: &CacheKey| self.directory.find_map(key, |_| Some(())).is_some();
        self.sample.note(request.key, &request.target, is_stored);
    }

    /// What some scopes select, of all that is stored. Walks the directory: not for a data thread.
    pub fn count(&self, scopes: &[ScopeHash], wanted: Wanted) -> Selection {
        let mut count = self.sample.count(scopes, wanted);
        self.directory.each(|record| {
            let bytes = record.stored_bytes();
            count.see(&record.key, &record.tags, record.tags_overflow, bytes);
        });
        count.done()
    }

    /// What is stored under some keys.
    pub fn count_keys(&self, keys: &[CacheKey]) -> Selection {
        let mut found = Selection { is_exact: true, ..Selection::default() };
        for record in keys.iter().flat_map(|key| self.directory.variants(key)) {
            found.responses += 1;
            found.bytes += record.stored_bytes();
        }
        found
    }

    /// Drops a record whose bytes are gone.
    pub fn forget(&self, record: &Record) {
        self.directory.forget(&record.key, record.head);
    }

    /// Responses stored so far with more tags, or longer ones, than are kept.
    pub fn tags_overflowed(&self) -> u64 {
        self.tags_overflowed.load(Ordering::Relaxed)
    }

    /// What is stored is said to be out of date: it is validated before its next use.
    pub fn mark_stale(&self, record: &Record) {
        let now = self.clock.now();
        let mark = |stored: &mut Record| stored.stale_since = stored.stale_since.min(now);
        // Replaced or gone meanwhile: nothing to mark.
        let _marked = self.directory.amend(&record.key, record.head, mark);
    }

    pub(crate) fn publish(&self, record: Record) {
        self.tags_overflowed.fetch_add(u64::from(record.tags_overflow), Ordering::Relaxed);
        // A variant that was fetched later is never replaced: if a purge selects it, the purge
        // selects what was fetched before it, too.
        let published = self.directory.publish(record, |_| false);
        for old in published.freed.iter().filter(|old| old.inline || old.parts.is_some()) {
            // Readers of an inline body hold it already. Chunks of a large one may still be read;
            // they age out. Of a body in parts only the head is forgotten: the pieces live on.
            self.store.forget(StoreKey { object: old.head, part: Part::Head });
        }
    }

    /// A new object id for something stored under `key`.
    pub(crate) fn next_object(&self, key: &CacheKey) -> u64 {
        self.directory.allocate(key)
    }

    /// Whether a stale response may stand in for an error of the origin.
    pub fn stale_on_error(&self, request: &Request<'_>, record: &Record) -> bool {
        let purges = self.purges(record, &request.target);
        policy::reuse::stale_on_error(
            &record.fresh,
            record.stale_since,
            request.facts,
            &purges,
            self.clock.now(),
            request.options,
        )
    }
}

/// What a lookup found out.
struct Examined {
    judgement: Judgement,
    /// The response that fits, whatever purges say of it.
    record: Option<Record>,
    /// What that lacks for this request.
    lacks: Option<ByteRange>,
    /// Hash of the selecting fields, as far as they were looked at.
    selected: u64,
}

impl Examined {
    fn into_found(self, request: &Request<'_>) -> Found {
        let Self { judgement, record, lacks, mut selected } = self;
        let record = record.filter(|_| !judgement.purges.forbids());
        let solitary = record.as_ref().is_some_and(|record| is_solitary(&record.fresh));
        if request.facts.authorization {
            // What is fetched for one who is authorised is for those only, until its head says
            // more: nobody else waits for it.
            selected = selected.rotate_left(1) ^ AUTHORIZED;
        }
        let lacks = lacks.filter(|_| record.is_some());
        Found { judgement, record, lacks, selected, solitary }
    }
}

/// Told apart from every other selection of a key.
const AUTHORIZED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whether every use needs a validation of its own, also right after one.
pub(crate) const fn is_solitary(fresh: &Fresh) -> bool {
    fresh.has(flag::NO_CACHE) || (fresh.lifetime_s == 0 && fresh.swr_s == 0)
}

/// A stored head and its inline body; `None` if the block is not what the record says.
fn take_apart(record: &Record, block: &Bytes, tier: Tier) -> Option<Loaded> {
    let (head, inline) = head::decode_again(block)?;
    let whole = !record.inline || inline.len() as u64 == record.length;
    whole.then_some(Loaded { head, inline, tier })
}
